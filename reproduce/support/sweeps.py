"""Ensembles of K separate VAEs held against mixtures of K components: leads, and trends over K.

The former are those of controls_sweep.py, the latter of fig4_components_sweep.py (accuracies) and
table1.py (errors).
"""

import math
from typing import NamedTuple

import fig4_components_sweep
import table1
from support import beside, ensembles, verdicts
from support.rows import seeds_of
from support.study import reading_of
from support.summaries import summary

COMPONENTS = fig4_components_sweep.COMPONENTS
# What is measured; of an accuracy more is better, of an error less.
ACCURACY = "KNN"
MEASURES = {ACCURACY: "KNN (%)", "mse": "MSE", "mse_sampled": "MSE, sampled"}
_VARIED = ("num_components", "seed")

Curve = dict[int, dict[int, float]]  # of a measure, by K and seed


class Trends(NamedTuple):
    """By how much a measure gets better with each further component.

    Attributes:
        counts: The K over which the lines are fitted.
        ensembles: Of the separate VAEs.
        mixtures: None where there are none to compare.
        ahead: The mixtures' less the ensembles'; None then.
    """

    counts: list[int]
    ensembles: verdicts.Interval
    mixtures: verdicts.Interval | None = None
    ahead: verdicts.Interval | None = None


def of_ensembles(result: dict, name: str) -> Curve:
    """Return a measure of the ensembles.

    Args:
        result: Of controls_sweep.py.
        name: Of `MEASURES`.
    """
    counts, rows = COMPONENTS[result["preset"]], result["ensembles"]
    return {count: _by_seed(result, rows[str(count)], name) for count in counts}


def of_mixtures(result: dict, name: str, accuracies: dict | None, errors: dict | None) -> Curve:
    """Return a measure of the mixtures that are of the same data, settings, epochs and precision.

    Args:
        result: Of controls_sweep.py.
        name: Of `MEASURES`.
        accuracies: The result of fig4_components_sweep.py, or None.
        errors: That of table1.py, or None.
    """
    found = accuracies if name == ACCURACY else errors
    if found is None or not _are_comparable(result, found):
        return {}
    if name == ACCURACY:
        if found["classifier"] != result["classifier"]:
            return {}
        of_k = fig4_components_sweep.accuracies(found)
        rows = {count: {name: values} for count, values in of_k.items()}
    else:
        rows = table1.printed_rows(found)
    epochs = _training(result, "epochs")
    if epochs is None:
        return {}
    return {
        count: _by_seed(found, row, name)
        for count, row in sorted(rows.items())
        if count > 1 and row.get("epochs", _training(found, "epochs")) == epochs
    }


def ahead(
    result: dict, name: str, accuracies: dict | None, errors: dict | None
) -> dict[int, verdicts.Interval]:
    """Return how far the mixtures are ahead of the ensembles, for each K by the seeds of both.

    Arguments: those of `of_mixtures`.
    """
    own, others = of_ensembles(result, name), of_mixtures(result, name, accuracies, errors)
    whole, leads = max(own), {}
    for count in own:
        if seeds := _common([own[count], others.get(count, {})]):
            theirs, ours = (
                [_sign(name) * curve[count][seed] for seed in seeds] for curve in (others, own)
            )
            shared = ensembles.overlap(seeds, count, whole)
            leads[count] = verdicts.unpaired(theirs, ours, shared)
    return leads


def trends(
    result: dict, name: str, accuracies: dict | None = None, errors: dict | None = None
) -> Trends:
    """Return how a measure grows with K, over the K and by the seeds that both results have.

    Without such, the ensembles' alone, over all their K. The slopes of two seeds' ensembles count
    as alike as the largest ensembles are. Arguments: those of `of_mixtures`.
    """
    own, others = of_ensembles(result, name), of_mixtures(result, name, accuracies, errors)
    whole, counts = max(own), [count for count in own if count in others]
    seeds = _common([curve[count] for curve in (own, others) for count in counts])
    if len(counts) < 2 or not seeds:
        counts, seeds, others = list(own), seeds_of(result, {}), {}
    shared = ensembles.overlap(seeds, whole)
    gains = _gains(own, counts, seeds, name)
    alone = Trends(counts, verdicts.interval(gains, shared))
    if not others:
        return alone
    theirs = _gains(others, counts, seeds, name)
    difference = verdicts.unpaired(theirs, gains, shared)
    return alone._replace(mixtures=verdicts.interval(theirs), ahead=difference)


def _are_comparable(result, found):
    """Return whether models are trained alike, so far as both results tell."""
    own, other = (each["settings"].get("model", {}) for each in (result, found))
    same = own.keys() & other.keys() - set(_VARIED)
    return (
        beside.are_alike(result, found)
        and reading_of(result) == reading_of(found)
        and result["preset"] == found["preset"]
        and _training(result, "precision") == _training(found, "precision")
        and _training(result, "jit", "off") == _training(found, "jit", "off")
        and all(own[name] == other[name] for name in same)
    )


def _training(result, name, default=None):
    return result["settings"]["training"].get(name, default)


def _by_seed(result, row, name):
    return dict(zip(seeds_of(result, row), row[name]["per_seed"], strict=True))


def _common(points):
    """Return the seeds that all points have; none of no points."""
    first, *others = points or [{}]
    return [seed for seed in first if all(seed in other for other in others)]


def _gains(curve, counts, seeds, name):
    """Return the slope over K of each seed's least-squares line, above 0 if it gets better."""
    measured = [[curve[count][seed] for seed in seeds] for count in counts]
    return [_sign(name) * slope for slope in verdicts.slopes(counts, measured)]


def _sign(name):
    return 1 if name == ACCURACY else -1


def points(curve: Curve) -> tuple[list, list, list]:
    """Return a curve's K, and the mean and the deviation over seeds, None where not finite."""
    over = [summary(list(each.values())) for each in curve.values()]
    parts = ([each[part] for each in over] for part in ("mean", "std"))
    return list(curve), *(
        [value if value is not None and math.isfinite(value) else None for value in values]
        for values in parts
    )
