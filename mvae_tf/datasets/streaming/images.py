"""Images that a `Split` has in place of an array, each read when it is asked for."""

import operator
from typing import Protocol

import numpy as np


class Reader(Protocol):
    """What images are read from, files or a cache.

    Attributes:
        shape: Of one image, (h, w, c).
        dtype: Of its values.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Return the images at some positions, int64 [b], as [b, h, w, c]."""


class StreamedImages:
    """Images [n, h, w, c] that are read when they are asked for.

    Indexed as the first axis of an array is, they give arrays: `images[3]` [h, w, c],
    `images[10:20]` and `images[[7, 1]]` [b, h, w, c]. They are read anew each time. `part` gives
    some of them without reading any.

    Args:
        reader: Where they are read from.
        positions: int64 [n], of these images in the reader.
    """

    ndim = 4
    is_streamed = True

    def __init__(self, reader: Reader, positions: np.ndarray):
        self._reader, self._positions = reader, positions

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, h, w, c)."""
        return (len(self._positions), *self._reader.shape)

    @property
    def dtype(self) -> np.dtype:
        """Of the arrays that indexing gives."""
        return self._reader.dtype

    @property
    def nbytes(self) -> int:
        """How much memory all of them would take."""
        return len(self) * int(np.prod(self._reader.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._positions)

    def __repr__(self) -> str:
        return f"StreamedImages({self.dtype} {list(self.shape)})"

    def __getitem__(self, which) -> np.ndarray:
        if isinstance(which, int | np.integer):
            return self.read([operator.index(which)])[0]
        return self.read(which)

    def __iter__(self):
        return (self[index] for index in range(len(self)))

    def __array__(self, *args, **kwargs):
        raise ValueError(
            "Expected a range of images, such as images[:100], where an array is needed. Received: "
            f"all {len(self):,} of a folder that is streamed, which memory may not hold. "
            "(load(..., stream=False) reads a folder into memory.)"
        )

    def read(self, which) -> np.ndarray:
        """Return images as an array [b, h, w, c].

        Args:
            which: A slice, indices or booleans, as of the first axis of an array.
        """
        return self._reader.read(self._chosen(which))

    def part(self, which) -> "StreamedImages":
        """Return some images, in that order, without reading them.

        Args:
            which: As for `read`.
        """
        return StreamedImages(self._reader, self._chosen(which))

    def _chosen(self, which):
        if isinstance(which, tuple) or which is None or which is Ellipsis:
            raise ValueError(
                "Expected images that are streamed to be indexed along their first axis alone. "
                f"Received: {which!r}. (images[:100][..., 0] indexes an array.)"
            )
        return np.atleast_1d(self._positions[which])
