"""Which images stand for a split, where only some of them are shown.

Class folders come class by class, and files by name: the first ones are then of one kind.
"""

import numpy as np

from mvae_tf.datasets.splits import Split


def some(split: Split, count: int) -> np.ndarray:
    """Choose images that show what there is; always the same ones.

    Args:
        split: Of a loaded dataset.
        count: How many, from 1.

    Returns:
        Their indices in the split, int64 [min(count, n)], ascending: the first ones, where classes
        are mixed; of images that come class by class as many of each class, while there are some;
        without labels, evenly spaced ones.
    """
    number = len(split)
    if count >= number:
        return np.arange(number)
    if split.labels is None:
        return np.arange(count) * number // count
    labels = np.asarray(split.labels)
    return np.arange(count) if _are_mixed(labels) else _of_each(labels, count)


def float_images(split: Split, indices: np.ndarray) -> np.ndarray:
    """Return chosen images, as `Split.float_images` returns a range of them."""
    if hasattr(split, "images"):  # otherwise a view
        return Split(split.images[indices], None, is_train=False).float_images()
    first, last = int(indices[0]), int(indices[-1])
    if np.array_equal(indices, np.arange(first, last + 1)):
        return split.float_images(first, last + 1)
    return np.concatenate([split.float_images(index, index + 1) for index in indices.tolist()])


def _are_mixed(labels):
    """Return whether neighbours differ at least half as often as in a random order."""
    counts = np.unique(labels, return_counts=True)[1]
    of_one_class = np.sum(counts * (counts - 1.0)) / (len(labels) * (len(labels) - 1.0))
    return np.mean(labels[1:] != labels[:-1]) >= (1 - of_one_class) / 2


def _of_each(labels, count):
    """Choose as many of each class, evenly spaced; of many classes, evenly spaced ones."""
    counts = np.unique(labels, return_counts=True)[1]
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    if count < len(members):
        members = [members[at] for at in np.arange(count) * len(members) // count]
    shares = np.zeros(len(members), int)
    while shares.sum() < count:
        room = [at for at, each in enumerate(members) if shares[at] < len(each)]
        shares[room[: count - shares.sum()]] += 1
    spaced = zip(members, shares, strict=True)
    return np.sort(np.concatenate([each[np.arange(n) * len(each) // n] for each, n in spaced]))
