"""By how much the printed numbers deviate from measured ones, and which are within reach."""

import math
import statistics

import numpy as np

from support import one_batch, paper
from support.one_batch import KS

# Of 4 errors, 18 accuracies and a rise, jointly: Bonferroni.
NUMBERS = len(paper.TABLE1) + len(paper.TABLE2) * len(paper.TABLE2_COLUMNS) + 1
MOST_DEVIATIONS = statistics.NormalDist().inv_cdf(1 - 0.05 / 2 / NUMBERS)


def sorted_components(values: list[float]) -> list[float]:
    """Return a row of Table II with its components from the lowest up: they have no order."""
    joined, *components, vae = values
    return [joined, *sorted(components), vae]


def error_deviations(errors: dict) -> list[float]:
    """Return how many deviations of a batch each printed error of Table I is from the measured."""
    return [
        _deviations(printed, errors[str(count)]["mse"], errors[str(count)]["std"]["mean"])
        for _, count, printed in paper.TABLE1
    ]


def one_batch_deviations(of_batch: dict) -> list[float]:
    """Return the same of the printed errors' mean and steps, by what these deviate over batches."""
    by_k = {count: printed for _, count, printed in paper.TABLE1}
    printed = one_batch.mean_and_steps(np.array([by_k[count] for count in KS]))
    return [
        _deviations(value, of_batch[name]["mse"], of_batch[name]["std"]["mean"])
        for name, value in zip(one_batch.NAMES, printed.tolist(), strict=True)
    ]


def accuracy_deviations(accuracy: dict, images: int) -> list[float]:
    """Return the same of each accuracy of Table II, by the deviation of so many test images."""
    return [
        _deviations(printed, measured, _binomial(printed, images))
        for classifier, row in paper.TABLE2.items()
        for printed, measured in zip(sorted_components(row), accuracy[classifier], strict=True)
    ]


def rise_deviations(rise: dict, accuracy: float, images: int) -> float:
    """Return by how many deviations Figure 4's accuracy falls from its first to its last K."""
    # Of two accuracies; that their test images are the same makes it less, not more.
    deviation = math.sqrt(2) * _binomial(accuracy, images)
    fallen = -rise["mean"] / math.hypot(deviation, rise["std"] or 0.0)
    return math.inf if math.isnan(fallen) else max(0.0, fallen)


def _deviations(printed, measured, deviation):
    """Return how many deviations lie between them; infinitely many where one is no number."""
    apart = abs(printed - measured["mean"]) / math.hypot(deviation, measured["std"] or 0.0)
    return math.inf if math.isnan(apart) else apart


def _binomial(percent, images):
    share = min(max(percent / 100, 0.5 / images), 1 - 0.5 / images)
    return 100 * math.sqrt(share * (1 - share) / images)


def judged(row: dict, images: int) -> dict:
    """Return what of the printed numbers a reading explains, by the ways that explain most.

    Args:
        row: Of the result.
        images: Test images.

    Returns:
        "errors", "one_batch" and "codes": the ways by which most printed numbers of Table I, as of
        a batch each and as of one batch, and of Table II and Figure 4, are within reach, and of
        several such the one whose farthest is nearest, each as (way, deviations).
    """
    errors = {way: error_deviations(values) for way, values in row["errors"].items()}
    codes = {
        way: [
            *accuracy_deviations(values, images),
            rise_deviations(row["rise"][way], values["KNN"][0]["mean"], images),
        ]
        for way, values in row["accuracy"].items()
    }
    of_batch = {way: one_batch_deviations(values) for way, values in row["one_batch"].items()}
    found = {"errors": errors, "one_batch": of_batch, "codes": codes}
    return {name: nearest(by_way) for name, by_way in found.items()}


def nearest(by_way: dict[str, list[float]]) -> tuple[str, list[float]]:
    """Return the way, with its deviations, by which most are within reach; of several, nearest."""
    way = min(by_way, key=lambda way: (-within(by_way[way]), max(by_way[way])))
    return way, by_way[way]


def within(deviations: list[float]) -> int:
    """Return how many are within reach."""
    return int(np.sum(np.less_equal(deviations, MOST_DEVIATIONS)))


def of_classifiers(row: dict, way: str, images: int) -> dict[str, tuple[int, int, float]]:
    """Return of each classifier how many printed accuracies of all are within reach.

    By a way of measuring; the third number is by how many points ours are above the printed ones,
    in the mean.
    """
    deviations, found = accuracy_deviations(row["accuracy"][way], images), {}
    for index, (classifier, printed) in enumerate(paper.TABLE2.items()):
        each = deviations[index * len(printed) : (index + 1) * len(printed)]
        ours = [accuracy["mean"] for accuracy in row["accuracy"][way][classifier]]
        above = statistics.fmean(ours) - statistics.fmean(printed)
        found[classifier] = within(each), len(each), above
    return found
