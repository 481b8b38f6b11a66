"""The Inception score of images (eq. 15, Table III), for any classifier.

    IS = exp( E_x KL(p(y | x) || p(y)) ),    p(y) = E_x p(y | x),

from 1, where the classifier says the same of all images, to its number of classes C, where it is
certain of each image and all classes are equally frequent. Following Salimans et al. (Improved
techniques for training GANs, NIPS 2016) the images are cut into splits in the order in which they
come, each split has a score of its own, and the mean and deviation over the splits are reported.

A score means nothing without its classifier, and scores of different classifiers can't be
compared: whoever prints one prints the classifier's description with it.
"""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mvae_tf import checks

# What rounding may leave of a row's sum, in the precisions that classifiers compute in.
_SUM_TOLERANCE = 1e-3


class InceptionScore(NamedTuple):
    """Inception scores of the splits of a set of images.

    Attributes:
        mean: Over the splits.
        deviation: Population standard deviation over the splits; 0 for one split.
        per_split: The score of each split.
    """

    mean: float
    deviation: float
    per_split: tuple[float, ...]


def inception_score(
    batches: Iterable, classifier, *, count: int, splits: int = 10
) -> InceptionScore:
    """Compute the Inception score of images that come batch by batch.

    Each batch is classified and let go before the next one is asked for: memory depends on the
    size of a batch alone.

    Args:
        batches: Batches of images, float [b, h, w, c] in [0, 1], of any sizes; a generator will do.
        classifier: A function from such a batch to class probabilities [b, C]; see
            `image_classifiers`.
        count: How many images there are in all batches together.
        splits: Into how many parts the images are cut: image j belongs to part i where
            i * count // splits <= j < (i + 1) * count // splits.

    Returns:
        `InceptionScore`, accumulated in float64.

    Raises:
        ValueError: There are fewer images than splits, or fewer or more images than `count`; or
            the classifier gives something else than a row of probabilities for each image.
    """
    # Not a generator expression: its variable would keep a batch while the next one is made.
    rows = map(functools.partial(_classified, classifier), batches)
    return score_of_probabilities(rows, count=count, splits=splits)


def score_of_probabilities(batches: Iterable, *, count: int, splits: int = 10) -> InceptionScore:
    """Compute the Inception score from class probabilities, as `inception_score` does.

    Args:
        batches: Batches of rows p(y | x), [b, C]. Each row is scaled in float64 to sum exactly 1.
        count: How many rows there are in all batches together.
        splits: As for `inception_score`.

    Returns:
        `InceptionScore`.

    Raises:
        ValueError: As for `inception_score`.
    """
    checks.size("splits", splits)
    if checks.size("count", count) < splits:
        raise ValueError(
            f"Expected count of at least {splits}, the number of splits. Received: {count}."
        )
    bounds = np.array([index * count // splits for index in range(splits + 1)])
    marginals = None  # sums of p(y | x), [splits, C]
    negative_entropies = np.zeros(splits)  # sums of sum_y p(y | x) log p(y | x)
    arrived = 0
    for batch in batches:
        rows = _checked_rows(batch, None if marginals is None else marginals.shape[1])
        if arrived + len(rows) > count:
            raise ValueError(f"Expected {count} images. Received: {arrived + len(rows)} or more.")
        if marginals is None:
            marginals = np.zeros([splits, rows.shape[1]])
        parts = np.searchsorted(bounds, arrived + np.arange(len(rows)), side="right") - 1
        np.add.at(marginals, parts, rows)
        np.add.at(negative_entropies, parts, _negative_entropy(rows))
        arrived += len(rows)
    if arrived < count:
        raise ValueError(f"Expected {count} images. Received: {arrived}.")
    sizes = np.diff(bounds)
    # E_x KL(p(y | x) || p(y)) = E_x sum_y p(y | x) log p(y | x) - sum_y p(y) log p(y).
    divergences = negative_entropies / sizes - _negative_entropy(marginals / sizes[:, None])
    scores = np.exp(np.maximum(divergences, 0))  # rounding may take 0 below 0
    return InceptionScore(float(scores.mean()), float(scores.std()), tuple(scores.tolist()))


def in_batches(images, batch_size: int = 100):
    """Yield images in batches, as `inception_score` takes them.

    Args:
        images: A `Split` of `datasets.load`, or float images [n, h, w, c] in [0, 1].
        batch_size: Images at a time; the last batch may be smaller.

    Yields:
        Batches [b, h, w, c], of a split as float32 in [0, 1].
    """
    checks.size("batch_size", batch_size)
    for start in range(0, len(images), batch_size):
        if hasattr(images, "float_images"):
            yield images.float_images(start, start + batch_size)
        else:
            yield images[start : start + batch_size]


def _classified(classifier, images):
    rows = classifier(images)
    if len(rows) != len(images):
        raise ValueError(
            f"Expected a row of probabilities for each of {len(images)} images. "
            f"Received: {len(rows)} rows."
        )
    return rows


def _checked_rows(rows, num_classes):
    """Return rows of probabilities as float64 [b, C] whose sums are 1 up to float64's rounding."""
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or rows.shape[1] != (num_classes or rows.shape[1]) or rows.size == 0:
        raise ValueError(
            f"Expected probabilities of shape [b, {num_classes or 'C'}], b at least 1. "
            f"Received: shape {list(rows.shape)}."
        )
    if not (np.all(np.isfinite(rows)) and np.all(rows >= 0)):
        raise ValueError(
            "Expected finite probabilities of at least 0. "
            f"Received: values from {rows.min()} to {rows.max()}."
        )
    sums = rows.sum(axis=1, keepdims=True)
    worst = sums.flat[np.argmax(np.abs(sums - 1))]
    if abs(worst - 1) > _SUM_TOLERANCE:
        raise ValueError(f"Expected rows of probabilities with sum 1. Received: sum {worst}.")
    return rows / sums


def _negative_entropy(rows):
    """Return sum_y p log p of each row [..., C], with 0 log 0 = 0."""
    return np.sum(rows * np.log(np.where(rows > 0, rows, 1.0)), axis=-1)
