"""What the images of a set have in common, whether they are in memory or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mvae_tf.datasets.formats import pixels

# Fewer levels are more often a wrong scale, or a mask, than a picture.
_FEW_LEVELS = 16
# Of the largest value there can be: what is below in all images is more often of another scale.
_DARK = 1 / 16
_NAMED = 3  # files, where there are many to tell of


class Form(NamedTuple):
    """The form of all images of a set.

    Attributes:
        shape: Of one image, (h, w, c).
        dtype: Of its values.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Of one image."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def fitted(self, image: np.ndarray) -> np.ndarray:
        """Return an image of that size in this form, with no fewer channels and no less depth."""
        return pixels.with_dtype(pixels.with_channels(image, self.shape[-1]), self.dtype)


def joined(form: Form | None, image: np.ndarray) -> Form:
    """Return the form of images of a form (None: no images) and of one more of the same size."""
    if form is None:
        return Form(image.shape, image.dtype)
    channels = max(form.shape[-1], image.shape[-1])
    return Form((*form.shape[:2], channels), np.result_type(form.dtype, image.dtype))


class Levels:
    """The values in use in images of one dtype, as far as they may be a mistake."""

    def __init__(self):
        self._levels, self._highest, self._largest = set(), 0, 1

    def add(self, image: np.ndarray) -> None:
        """Take in the values of one more image."""
        if image.dtype.kind == "u":
            self._largest = np.iinfo(image.dtype).max
        if len(self._levels) < _FEW_LEVELS:
            self._levels.update(np.unique(image).tolist())
        self._highest = max(self._highest, image.max().item())

    def are_usual(self) -> bool:
        """Return whether nothing is left to say, whatever images are to come."""
        return len(self._levels) >= _FEW_LEVELS and self._highest > _DARK * self._largest

    def notes(self) -> list[str]:
        """Say what may be a mistake, though it need not be one."""
        largest = self._largest
        if len(self._levels) < _FEW_LEVELS:
            low, high = min(self._levels), max(self._levels)
            count = len(self._levels)
            return [f"use {count} level{'s' * (count != 1)}, from {low:g} to {high:g} of {largest}"]
        if self._highest <= _DARK * largest:
            return [f"are dark: no value is above {self._highest:g} of {largest}"]
        return []


def notes(said: Mapping[str, int], unreadable: Sequence[str], count: int) -> list[str]:
    """Say what there is to say of files.

    Args:
        said: How many of them each of the notes of a `Picture` is true of.
        unreadable: Those that are passed over, as text that can be written.
        count: Of the files.
    """
    texts = [f"{number:,} of {count:,} files {note}" for note, number in sorted(said.items())]
    if unreadable:
        named = ", ".join(unreadable[:_NAMED]) + ", ..." * (len(unreadable) > _NAMED)
        texts.append(
            f"{len(unreadable):,} of {count:,} files can't be read, and are passed over: {named}"
        )
    return texts
