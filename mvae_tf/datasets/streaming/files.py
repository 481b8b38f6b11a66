"""Image files, decoded by several threads, each as reading a folder into memory decodes it."""

import collections
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mvae_tf.datasets.formats import pixels
from mvae_tf.datasets.formats.forms import Form
from mvae_tf.files import shown

# Images that a thread decodes at a time: as a task of its own each would cost more in waiting.
_A_TASK = 16

_GONE = 0
_threads: list[ThreadPoolExecutor] = []


class ChangedFileError(OSError):
    """A file is not what it was when all were gone through, or is not there any more."""


class Names(Sequence):
    """Paths in a folder, in one block of bytes.

    Args:
        folder: The folder.
        paths: Which begin with it.
    """

    def __init__(self, folder: Path, paths: Iterable[Path]):
        self.folder = folder
        self._folder = os.path.join(os.fsencode(folder), b"")
        encoded = [os.fsencode(path)[len(self._folder) :] for path in paths]
        self._bytes = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index) -> str:
        return os.fsdecode(self._folder + self._inside(index))

    def inside(self, index: int) -> str:
        """Return a path inside the folder, `/` between names."""
        return Path(os.fsdecode(self._inside(index))).as_posix()

    def _inside(self, index):
        return self._bytes[self._ends[index] : self._ends[index + 1]]

    def add_to(self, total) -> None:
        """Add all of them, in their order, to a hash."""
        total.update(b"%d %d;" % (len(self), len(self._folder)))
        total.update(self._folder + self._ends.astype("<i8").tobytes() + self._bytes)


class Files:
    """Image files.

    Args:
        names: Their paths.
        image_size: (height, width) to resize to, or None.
    """

    def __init__(self, names: Names, image_size: tuple[int, int] | None):
        self.names, self._image_size = names, image_size
        # Of each file what changes with it, as it was when the file was last looked at.
        self._stamps = np.full(len(names), _GONE)

    def look_at(self, positions: Iterable[int]) -> Iterator[pixels.Picture | ValueError]:
        """Yield the pictures in some files, in their order, or what there is to say of one."""

        def one(position):
            self._stamps[position] = _stamp(self.names[position])
            try:
                return pixels.read_picture(Path(self.names[position]), self._image_size)
            except ValueError as error:
                return error

        return _in_threads(one, positions)

    def decoded_again(self, position: int) -> np.ndarray:
        """Return the image of a file that was looked at.

        Raises:
            ChangedFileError: it is another file by now, or gone.
        """
        name = self.names[position]
        now = _stamp(name)
        if now == self._stamps[position]:
            try:
                return pixels.read(Path(name), self._image_size)
            except ValueError as error:
                reason = str(error).partition("Received: ")[2]
        else:
            reason = f"{shown(name)}, which is {'gone' if now == _GONE else 'another'}."
        raise ChangedFileError(
            f"Expected the images as they were when all were looked at. Received: {reason}"
        )


class FileReader:
    """A `Reader` of files, see there; `files` were looked at and have images of that form."""

    def __init__(self, files: Files, form: Form):
        self._files, self._form = files, form
        self.shape, self.dtype = form

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Return the images at some positions, int64 [b], as [b, h, w, c].

        Raises:
            ChangedFileError: a file is another by now, or gone.
        """
        # Blocks are filled up with images that count for nothing, again and again the same one.
        different, back = np.unique(positions, return_inverse=True)
        images = np.empty((len(different), *self.shape), self.dtype)

        def one(place):
            images[place] = self._form.fitted(self._files.decoded_again(different[place]))

        collections.deque(_in_threads(one, range(len(different))), maxlen=0)
        return images[back]


def _stamp(path: str) -> int:
    """Return a number that changes with a file; `_GONE` where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return _GONE
    return hash((found.st_size, found.st_mtime_ns)) or 1


def _in_threads(function: Callable, items: Iterable) -> Iterator:
    """Yield what a function makes of items, in their order, a few tasks ahead."""
    if not _threads:
        _threads.append(ThreadPoolExecutor(os.cpu_count(), "images"))
    items = iter(items)
    tasks = iter(lambda: list(itertools.islice(items, _A_TASK)), [])
    ahead = collections.deque()
    for task in tasks:
        ahead.append(_threads[0].submit(lambda task: [function(item) for item in task], task))
        if len(ahead) > 2 * os.cpu_count():
            yield from ahead.popleft().result()
    while ahead:
        yield from ahead.popleft().result()
