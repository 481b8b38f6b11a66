"""The sources of the published datasets, tried in order."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mvae_tf.datasets.formats import cifar10_binary, idx
from mvae_tf.datasets.published import ORIGINALS
from mvae_tf.datasets.published.cifar10 import BatchedOriginal
from mvae_tf.datasets.published.identity import Found, Original
from mvae_tf.datasets.sources import package_index, tfds_prepared
from mvae_tf.datasets.sources.fetching import (
    DataUnavailableError,
    SourceAbsentError,
    SourceError,
    notice,
)
from mvae_tf.datasets.splits import Dataset, make_dataset


def load(name: str, data_dir: Path, split: str = "standard") -> Dataset:
    """Load a published dataset from the first source that has it.

    Args:
        name: A key of `ORIGINALS`.
        data_dir: Where data is looked for and kept.
        split: Which images train and test; other than "standard" for batched datasets only.

    Returns:
        The `Dataset`: images uint8 [n, h, w, c], labels int64 [n].

    Raises:
        DataUnavailableError: no source has it.
        ValueError: a file put there by hand is damaged. It is refused rather than passed over,
            since someone put it there to be used.
    """
    original = _original(name, split)
    reasons, told = [], False
    for title, source in _sources(original):
        try:
            found = source(original, data_dir)
        # An OSError, such as a full disk or a forbidden file, stops one source as well.
        except (SourceError, OSError) as failure:
            reasons.append(f"  {title}: {failure}")
            if not isinstance(failure, SourceAbsentError):
                notice(f"{name} not from {title}: {failure}")
                told = True
            continue
        if told:
            notice(f"{name} from {found.where}")
        return _dataset(name, found)
    raise DataUnavailableError(
        f"Expected {name} from one of {len(reasons)} sources. Received: none of them has it.\n"
        + "\n".join(reasons)
        + f"\nTo supply it by hand, {_by_hand(original).advice(original, data_dir)}"
    )


def load_batches(folder: Path, split: str) -> Dataset:
    """Load CIFAR-10 from a folder of its binary batches.

    Args:
        folder: The folder.
        split: A key of `cifar10.SPLITS`.

    Returns:
        As `load`.

    Raises:
        ValueError: a batch that the split needs is missing or damaged.
    """
    return _dataset("cifar10", cifar10_binary.read_folder(_original("cifar10", split), folder))


def load_archives(original: Original, arrays: Sequence[np.ndarray]) -> Dataset:
    """Wrap the arrays of a published dataset's archives, which were found in a folder."""
    return _dataset(original.name, original.found(arrays, f"original {idx.FILES}"))


def _original(name: str, split: str) -> Original:
    original = ORIGINALS[name]
    if isinstance(original, BatchedOriginal):
        return dataclasses.replace(original, split=split)
    return original


def _dataset(name: str, found: Found) -> Dataset:
    return make_dataset(name, found.arrays, found.where, found.digest, found.test_part)


def _by_hand(original: Original):
    return cifar10_binary if isinstance(original, BatchedOriginal) else idx


def _sources(original: Original):
    yield "data prepared by TensorFlow Datasets", tfds_prepared.read_prepared
    yield f"{_by_hand(original).FILES} put there by hand", _by_hand(original).read_manual
    if original.on_package_index:
        yield "the cache of an earlier fetch", package_index.read_cache
    yield "a download by TensorFlow Datasets", tfds_prepared.download
    if original.on_package_index:
        yield "the Python package index", package_index.download
