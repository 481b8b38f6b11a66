"""All files gone through once before anything is trained: whether they can be read, what they hold.

Whether all images are grey decides on their channels, and what can't be read on the images held
out; both are known for certain only after the last file. So a few files tell what to expect, and if
a later one doesn't agree, all are gone through again. The digest that comes of it is that of the
arrays which reading the folder into memory gives.
"""

import collections
import hashlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from mvae_tf.datasets.formats import forms, image_folder
from mvae_tf.datasets.formats.forms import Form
from mvae_tf.datasets.splits import add_head_to_digest, add_to_digest
from mvae_tf.datasets.streaming.files import Files
from mvae_tf.files import shown

_A_FEW = 16


class Sink(Protocol):
    """What images are written to, while they are in memory."""

    def begin(self, form: Form, count: int) -> None:
        """Be told of so many images to come, in place of those given so far."""

    def add(self, image: np.ndarray) -> None:
        """Take the next image."""


class Survey(NamedTuple):
    """What files hold.

    Attributes:
        form: Of the images.
        digest: Of images and labels, see `array_digest`.
        unreadable: Positions of the files that are passed over.
        notes: What there is to say of the files.
    """

    form: Form
    digest: str
    unreadable: np.ndarray
    notes: tuple[str, ...]


def survey(
    files: Files,
    labels: np.ndarray | None,
    arranged: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    *,
    skip_unreadable: bool,
    sink: Sink | None = None,
) -> Survey:
    """Go through all files.

    Args:
        files: To go through.
        labels: int64 [n], of all files, or None.
        arranged: Returns which of the files at some positions train, and which test.
        skip_unreadable: Whether files that can't be read are passed over.
        sink: Is given the train images, then the test images, in their order.

    Raises:
        ValueError: a file can't be read, or images differ in size.
    """
    look, kept = _Look(files, skip_unreadable), np.arange(len(files.names))
    few = np.unique(np.linspace(0, len(kept) - 1, _A_FEW).astype(np.int64))
    collections.deque(look.at(few), maxlen=0)
    while True:
        kept = np.setdiff1d(kept, look.unreadable)
        if not len(kept):
            raise image_folder.none_readable(files.names.folder, files.names[0], len(files.names))
        parts, before = arranged(kept), look.found()
        digest = _gone_through(look, parts, labels, sink)
        if look.found() == before:
            unreadable = np.array(sorted(look.unreadable), np.int64)
            return Survey(look.form, digest, unreadable, look.notes())


def _gone_through(look, parts, labels, sink):
    """Look at all images of two parts; return the digest, if nothing new is found on the way."""
    expected, form, total = look.found(), look.form, hashlib.sha256()
    look.begin()
    if form is not None and sink is not None:
        sink.begin(form, sum(map(len, parts)))
    with tqdm(desc="images", total=sum(map(len, parts)), unit="", delay=1, leave=False) as bar:
        for positions, is_train in zip(parts, (True, False), strict=True):
            if form is not None:
                add_head_to_digest(total, form.dtype, (len(positions), *form.shape))
            for image in look.at(positions):
                bar.update()
                if look.found() == expected:
                    image = np.ascontiguousarray(form.fitted(image))
                    total.update(image)
                    if sink is not None:
                        sink.add(image)
                    if is_train and not look.levels.are_usual():
                        look.levels.add(image)
            add_to_digest(total, None if labels is None else labels[positions])
    return total.hexdigest()


class _Look:
    """A look at files: the form of all images so far, and what could not be read."""

    def __init__(self, files, skip_unreadable):
        self._files, self._skip = files, skip_unreadable
        self._first = None  # an image and the name of its file, which the others are compared with
        self.form, self.unreadable = None, []  # positions
        self.begin()

    def begin(self):
        """Forget what there is to say of the files."""
        self._said, self.levels = collections.Counter(), forms.Levels()

    def found(self):
        """Return what can only become more."""
        return self.form, len(self.unreadable)

    def notes(self):
        """Return what there is to say of the files."""
        names = self._files.names
        unreadable = [shown(names[each]) for each in sorted(self.unreadable)]
        levels = (f"the images to train on {note}" for note in self.levels.notes())
        return (*forms.notes(self._said, unreadable, len(names)), *levels)

    def at(self, positions):
        """Yield the images, as they are, of the files that can be read."""
        looked = self._files.look_at(positions.tolist())
        for position, picture in zip(positions.tolist(), looked, strict=True):
            if isinstance(picture, ValueError):
                if not self._skip:
                    raise image_folder.unreadable(picture) from picture
                self.unreadable.append(position)
                continue
            image, said = picture
            self._said.update(said)
            name = self._files.names[position]
            self._first = self._first or (image, name)
            image_folder.require_one_size(*self._first, image, name)
            self.form = forms.joined(self.form, image)
            yield image
