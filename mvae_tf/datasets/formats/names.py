"""Paths of many files of one folder, in little more memory than their letters take."""

import array
import os
from collections.abc import Iterable, Sequence
from pathlib import Path


class Names(Sequence):
    """Paths in a folder: where a million `Path`s take half a gigabyte, these take 40 MB.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._folder = os.path.join(os.fsencode(folder), b"")
        self._bytes, self._ends = bytearray(), array.array("q", [0])

    def add(self, folder: Path, names: Iterable[str]) -> None:
        """Add files of the folder, or of one inside it, by their names there."""
        inside = os.path.join(os.fsencode(folder), b"")[len(self._folder) :]
        for name in names:
            self._bytes += inside + os.fsencode(name)
            self._ends.append(len(self._bytes))

    def __add__(self, other: "Names") -> "Names":
        """Return these, then others of the same folder."""
        both = Names(self.folder)
        both._bytes = self._bytes + other._bytes
        both._ends = self._ends + array.array(
            "q", (end + self._ends[-1] for end in other._ends[1:])
        )
        return both

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> Path:
        return Path(os.fsdecode(self._folder + self._inside(index)))

    def inside(self, index: int) -> str:
        """Return a path inside the folder, `/` between names."""
        return Path(os.fsdecode(self._inside(index))).as_posix()

    def _inside(self, index):
        index = range(len(self))[index]  # which may count from the end, and be too large
        return bytes(self._bytes[self._ends[index] : self._ends[index + 1]])

    def add_to(self, total) -> None:
        """Add all of them, in their order, to a hash."""
        total.update(b"%d %d;" % (len(self), len(self._folder)))
        total.update(self._folder + self._ends.tobytes() + self._bytes)
