"""A search for settings: one thing is varied at a time, each stage from the best so far."""

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
    trials, best = [], {part: {} for part in parts}
    lowest = float("inf")
    for stage, variants in stages.items():
        tried = []
        for label, changes in variants.items():
            settings = {part: best[part] | changes.get(part, {}) for part in best}
            per_seed = [measure(seed, **settings) for seed in seeds]
            measured = {name: summary([each[name] for each in per_seed]) for name in per_seed[0]}
            tried.append({"stage": stage, "label": label} | settings | measured)
        first = min(tried, key=_score)
        if _score(first) < lowest:
            lowest, best = _score(first), {part: first[part] for part in best}
        trials += tried
    return trials, best


def require_walked(
    trials: Sequence[Mapping], chosen: Mapping, stages: Mapping[str, Mapping]
) -> None:
    """Refuse stored trials that are not those of the stages, or of which none is the best.

    Raises:
        ValueError: the result is damaged, or of other stages.
    """
    tried = [(trial["stage"], trial["label"]) for trial in trials]
    expected = [(stage, label) for stage, variants in stages.items() for label in variants]
    if tried != expected or not chosen:
        raise ValueError(f"Expected trials and a choice of {expected}. Received: {tried}.")
    best = min(trials, key=_score)
    if math.isfinite(_score(best)) and not is_chosen(best, chosen):
        raise ValueError(f"Expected the best trial as chosen. Received: {chosen}.")


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
