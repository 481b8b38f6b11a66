"""Images that a `Split` has in place of an array, each read when it is asked for."""

import operator
from typing import Protocol

import numpy as np

from mvae_tf.datasets.streaming.files import Names


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
        names: Of all files of the folder.
        places: int64 [n], of these images' files among the names.
    """

    ndim = 4
    is_streamed = True

    def __init__(self, reader: Reader, positions: np.ndarray, names: Names, places: np.ndarray):
        self._reader, self._positions = reader, positions
        self._names, self._places = names, places

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
        self._require_first_axis(which)
        return self._of(np.atleast_1d(self._positions[which]), np.atleast_1d(self._places[which]))

    def files(self) -> list[str]:
        """Return each image's file, as its path inside the folder, `/` between names."""
        return [self._names.inside(place) for place in self._places]

    def joined(self, others: "StreamedImages") -> tuple["StreamedImages", np.ndarray]:
        """Return these images and others of the same folder, in the order of the files.

        Returns:
            The images, and the order, int64 [n], that puts these and then the others into it.
        """
        positions = np.concatenate([self._positions, others._positions])
        places = np.concatenate([self._places, others._places])
        order = np.argsort(places)
        return self._of(positions[order], places[order]), order

    def _of(self, positions, places):
        return StreamedImages(self._reader, positions, self._names, places)

    def _chosen(self, which):
        self._require_first_axis(which)
        return np.atleast_1d(self._positions[which])

    def _require_first_axis(self, which):
        if isinstance(which, tuple) or which is None or which is Ellipsis:
            raise ValueError(
                "Expected images that are streamed to be indexed along their first axis alone. "
                f"Received: {which!r}. (images[:100][..., 0] indexes an array.)"
            )
