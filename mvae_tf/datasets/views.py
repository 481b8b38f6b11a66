"""Some images of a split, or of two: a source for all that measures, without a copy of them."""

from collections.abc import Sequence

import numpy as np

from mvae_tf.datasets import shown
from mvae_tf.datasets.splits import Split


class View:
    """Chosen images of a split, in the given order.

    Attributes:
        labels: Their labels, int64 [n], or None.
    """

    def __init__(self, split: Split, indices: np.ndarray):
        self._split, self._indices = split, indices
        self.labels = None if split.labels is None else np.asarray(split.labels)[indices]

    def __len__(self) -> int:
        return len(self._indices)

    def float_images(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the images of a range, as `Split.float_images` does."""
        indices = self._indices[start:stop]
        return shown.float_images(self._split, indices)


class Joined:
    """The images of several splits, one behind the other.

    Attributes:
        labels: Their labels, int64 [n], or None.
    """

    def __init__(self, splits: Sequence[Split]):
        self._splits = splits
        labels = [split.labels for split in splits]
        self.labels = None if any(each is None for each in labels) else np.concatenate(labels)

    def __len__(self) -> int:
        return sum(map(len, self._splits))

    def float_images(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the images of a range, as `Split.float_images` does."""
        start, stop, _ = slice(start, stop).indices(len(self))
        parts = []
        for split in self._splits:
            if start < min(stop, len(split)):
                parts.append(split.float_images(start, min(stop, len(split))))
            start, stop = max(0, start - len(split)), max(0, stop - len(split))
        return np.concatenate(parts)
