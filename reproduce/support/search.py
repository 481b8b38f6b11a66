"""A search for settings: one thing is varied at a time, each stage from the best so far."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from support.summaries import summary


def walk(
    stages: Mapping[str, Mapping[str, Mapping]],
    parts: Iterable[str],
    seeds: Iterable[int],
    measure: Callable[..., dict[str, float]],
) -> tuple[list[dict], dict]:
    """Go through the stages; return all trials, and the settings of the best.

    Args:
        stages: In their order; of each what is tried beside the best so far, by its label: settings
            by part, in place of those of the best or beside them.
        parts: Of the settings.
        seeds: By which each is trained.
        measure: Given a seed, and each part's settings by its name, returns what is measured, among
            it "score", of which the lowest mean is best.

    Returns:
        Of each trial "stage", "label", its settings by part and a `summary` of each number that was
        measured; the best settings by part.
    """

    def tried(_, settings):
        per_seed = [measure(seed, **settings) for seed in seeds]
        return {name: summary([each[name] for each in per_seed]) for name in per_seed[0]}

    return _walked(stages, parts, tried)


def _walked(stages, parts, measured):
    """Go through the stages by what measured(index of the trial, its settings) returns of each."""
    trials, best, lowest = [], {part: {} for part in parts}, math.inf
    for stage, variants in stages.items():
        start, begun = dict(best), len(trials)
        for label, changes in variants.items():
            settings = {part: start[part] | changes.get(part, {}) for part in start}
            trial = {"stage": stage, "label": label} | settings
            trials.append(trial | measured(len(trials), settings))
        first = min(trials[begun:], key=_score)
        if _score(first) < lowest:
            lowest, best = _score(first), {part: first[part] for part in best}
    return trials, best


def require_walked(
    trials: Sequence[Mapping],
    chosen: Mapping,
    stages: Mapping[str, Mapping],
    parts: Iterable[str],
) -> None:
    """Refuse stored trials that are not those of the stages, or a choice that isn't their best.

    Args:
        trials: As `walk` returned them.
        chosen: The settings that it returned.
        stages: As for `walk`.
        parts: As for `walk`.

    Raises:
        ValueError: the result is damaged, or of other stages.
    """
    count = sum(map(len, stages.values()))
    if len(trials) != count:
        raise ValueError(f"Expected {count} trials. Received: {len(trials)}.")
    measured = [{"score": trial["score"]} for trial in trials]
    expected, best = _walked(stages, parts, lambda index, _: measured[index])
    tried = [
        {name: trial[name] for name in each} for trial, each in zip(trials, expected, strict=True)
    ]
    if not (_is_alike(tried, expected) and _is_alike(chosen, best)):
        raise ValueError(f"Expected the choice of {best} among {expected}. Received: {chosen}.")


def require_scores(
    trials: Sequence[Mapping], score: Callable[..., float], measures: Sequence[str]
) -> None:
    """Refuse stored trials whose score is not what it is made of.

    Args:
        trials: As `walk` returned them.
        score: Takes one seed's numbers; returns its score.
        measures: The names of these numbers.

    Raises:
        ValueError: the result is damaged.
    """
    for trial in trials:
        per_seed = zip(*(trial[name]["per_seed"] for name in measures), strict=True)
        expected = [score(*each) for each in per_seed]
        if not _is_alike(trial["score"]["per_seed"], expected):
            raise ValueError(f"Expected scores {expected}. Received: {trial['score']}.")


def _is_alike(stored, made):
    """Return whether two values are one in JSON, in which tuples are lists, and NaN is itself."""
    stored, made = (json.dumps(each, sort_keys=True) for each in (stored, made))
    return stored == made


def is_chosen(trial: Mapping, chosen: Mapping) -> bool:
    """Return whether a trial is of the best settings."""
    return {part: trial[part] for part in chosen} == chosen


def told(chosen: Mapping[str, Mapping]) -> str:
    """Return the best settings in words."""
    pairs = (pair for part in chosen.values() for pair in part.items())
    return ", ".join(f"{name} {value}" for name, value in pairs)


def _score(trial):
    """Return a trial's score; of one that diverged, the worst there can be."""
    score = trial["score"]["mean"]
    return math.inf if math.isnan(score) else score
