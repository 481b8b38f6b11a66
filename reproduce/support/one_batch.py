"""Table I's errors if they are of one and the same batch of test images: their mean, and the steps.

A batch that is hard for one K is hard for all. So the errors of several K on a batch are as good as
one number, while what lies between them hardly depends on the batch.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from support import measures, paper

KS = sorted(count for _, count, _ in paper.TABLE1)
# What is judged of the four errors: as many numbers, of which they are a function.
NAMES = ("mean", *(f"K = {first} to {last}" for first, last in itertools.pairwise(KS)))


def judged(errors: Sequence) -> dict[str, dict]:
    """Return what is judged of errors on one and the same batch, and its deviation over batches.

    Args:
        errors: For each of `KS`, a pair: on all images, and on each whole batch, [b].

    Returns:
        By the names in `NAMES`: "mse", of all images, and "std", over batches.
    """
    whole, batches = zip(*errors, strict=True)
    values = mean_and_steps(np.array(whole))
    over_batches = mean_and_steps(np.array(batches))  # [4, b]
    spreads = map(measures.spread, values.tolist(), over_batches)
    return {
        name: {part: each[part] for part in ("mse", "std")}
        for name, each in zip(NAMES, spreads, strict=True)
    }


def mean_and_steps(errors: np.ndarray) -> np.ndarray:
    """Return the mean of the errors of `KS`, [K, ...], and the steps between them, as many rows."""
    return np.concatenate([errors.mean(axis=0, keepdims=True), np.diff(errors, axis=0)])
