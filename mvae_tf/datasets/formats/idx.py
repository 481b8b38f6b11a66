"""Files of IDX arrays: the original archives, copies of them, and others of the kind.

What a file is, its unpacked content says: a copy that was packed anew, or not at all, is as good.
"""

import collections
import contextlib
import gzip
import hashlib
import math
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mvae_tf.datasets import memory
from mvae_tf.datasets.published import ORIGINALS
from mvae_tf.datasets.published.identity import Found, Original
from mvae_tf.datasets.sources.fetching import SourceAbsentError, SourceError

FILES = "archives"
_GZIP_MAGIC = b"\x1f\x8b"
_IDX_UNSIGNED_BYTES = b"\x00\x00\x08"
# train-images-idx3-ubyte.gz, also with a dot or unpacked, and with the name of a set before it.
_NAME = re.compile(
    r"(?P<set>.*?)(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx\d-ubyte(\.gz)?"
)
_PLACES = (("train", "images"), ("train", "labels"), ("test", "images"), ("test", "labels"))


def manual_folders(original: Original, data_dir: Path) -> tuple[Path, Path]:
    """Names the folders in which the archives are looked for, first one first."""
    manual = data_dir / "downloads" / "manual"
    return manual / original.name, manual


def read_manual(original: Original, data_dir: Path) -> Found:
    """Read the four archives from `downloads/manual` or its subfolder of the dataset's name.

    Args:
        original: The dataset.
        data_dir: The folder that holds `downloads/manual`.

    Returns:
        The arrays: images uint8 [n, h, w, 1] and labels int64 [n], train and test.

    Raises:
        SourceError: some of the archives are missing, or belong to another dataset.
        SourceAbsentError: none is there.
        ValueError: an archive is damaged or is not what its name says.
    """
    shortfalls = []
    for folder in manual_folders(original, data_dir):
        arrays, missing, there = _read_checked(original, folder)
        if not missing:
            return original.found(arrays, "original archives in downloads/manual")
        if there:
            shortfalls.append(f"{folder} lacks {original.name}'s {', '.join(missing)}")
    if shortfalls:
        raise SourceError("; ".join(shortfalls))
    raise SourceAbsentError(f"no archives in {manual_folders(original, data_dir)[1]}")


def advice(original: Original, data_dir: Path) -> str:
    """Say how to supply the archives by hand."""
    archives = "\n".join(
        f"  {archive.name} ({archive.size} bytes, sha256={archive.sha256})"
        for archive in original.archives
    )
    return (
        f"put these four files from {original.url}\n{archives}\n"
        f"into {manual_folders(original, data_dir)[0]}"
    )


def parse_idx(content: bytes, rank: int, what: str) -> np.ndarray:
    """Parse an unpacked IDX file of unsigned bytes.

    Args:
        content: The file's bytes.
        rank: The number of dimensions it must have.
        what: What to call it in an error.

    Returns:
        uint8, of the shape in the file's header.

    Raises:
        ValueError: the header or the length is wrong.
    """
    magic = _IDX_UNSIGNED_BYTES + bytes([rank])
    header = 4 + 4 * rank
    if len(content) < header or content[:4] != magic:
        raise ValueError(
            f"Expected {what} to start with the bytes {magic.hex()} and {rank} sizes. "
            f"Received: {content[:4].hex()} in {len(content)} bytes."
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", rank, offset=4))
    if len(content) - header != math.prod(shape):
        raise ValueError(
            f"Expected {math.prod(shape)} bytes after the header of {what}, for shape {shape}. "
            f"Received: {len(content) - header}."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def sets_in(folder: Path) -> dict[str, dict[tuple[str, str], Path]]:
    """Return the files of IDX arrays in a folder, as their names say what they are.

    Returns:
        For each set, by what its files' names begin with: the files, by "train" or "test", and
        "images" or "labels".
    """
    sets = collections.defaultdict(dict)
    with os.scandir(folder) as entries:
        matches = [match for entry in entries if (match := _NAME.fullmatch(entry.name))]
    for match in sorted(matches, key=lambda match: match.string):
        path = folder / match.string
        if path.is_file():
            part = "train" if match["part"] == "train" else "test"
            sets[match["set"]].setdefault((part, match["kind"]), path)
    return dict(sets)


def files_of(path: Path) -> dict[tuple[str, str], Path] | None:
    """Return the files of the set that a path stands for: its folder, or any file of it.

    Returns:
        As an entry of `sets_in`; a file of IDX arrays whose name says nothing is training images.
        None: the path stands for no such set.

    Raises:
        ValueError: a folder holds several sets.
    """
    if path.is_dir():
        sets = sets_in(path)
        if len(sets) > 1:
            names = ", ".join(next(iter(files.values())).name for files in sets.values())
            raise ValueError(
                f"Expected one set of IDX files in {path}. Received: {len(sets)}. Name a file of "
                f"the one that is meant: {names}."
            )
        return next(iter(sets.values()), None)
    match = _NAME.fullmatch(path.name)
    if match:
        return sets_in(path.parent)[match["set"]]
    with contextlib.suppress(OSError, EOFError, zlib.error), _opened(path) as file:
        if file.read(3) == _IDX_UNSIGNED_BYTES:
            return {("train", "images"): path}
    return None


def read_files(
    files: Mapping[tuple[str, str], Path],
) -> tuple[Original | None, list[np.ndarray | None]]:
    """Read a set of IDX files.

    Args:
        files: By what they hold, see `files_of`.

    Returns:
        The published dataset of which they are the four files, or None; train images, train labels,
        test images, test labels: uint8 [n, h, w, 1] or [n, h, w, c], and int64 [n] or None.

    Raises:
        ValueError: a file is damaged, or belongs to something else than the others.
        MemoryError: an array would not fit into memory.
    """
    if ("train", "images") not in files:
        names = ", ".join(path.name for path in files.values())
        raise ValueError(f"Expected IDX files with train-images among them. Received: {names}.")
    contents = {place: _unpacked(path) for place, path in files.items()}
    arrays = [
        _array(contents[place], place[1], str(files[place])) if place in files else None
        for place in _PLACES
    ]
    known = _known()
    owners = {}
    for place, content in contents.items():
        owner = known.get(hashlib.sha256(content).hexdigest())
        owners[place] = (None, None) if owner is None else (owner[0], owner[2])
    if len(owners) == len(_PLACES) and len({owner for owner, _ in owners.values()}) == 1:
        original = ORIGINALS.get(owners[_PLACES[0]][0])
        if original and all(owners[place][1] == place for place in _PLACES):
            return original, arrays
    if len({owner for owner, _ in owners.values() if owner}) > 1:
        received = ", ".join(
            f"{files[place].name} of {name}" for place, (name, _) in owners.items()
        )
        raise ValueError(f"Expected IDX files of one dataset. Received: {received}.")
    return None, arrays


class _DamageError(ValueError):
    """A file is not whole or of another kind; `received` says which."""

    def __init__(self, path, nature):
        self.received = _received(path, nature)
        super().__init__(f"Expected {path} to be a file of IDX arrays. {self.received}")


def _known():
    """Return the published archives by the SHA-256 of their content: dataset, name and place."""
    return {
        archive.content_sha256: (dataset.name, archive.name, place)
        for dataset in ORIGINALS.values()
        if len(dataset.archives) == len(_PLACES)
        for archive, place in zip(dataset.archives, _PLACES, strict=True)
    }


def _read_checked(original, folder) -> tuple[list[np.ndarray], list[str], bool]:
    """Return the arrays of the archives, the names of those missing, and whether any is there."""
    known, arrays, missing = _known(), [], []
    files = sets_in(folder).get("", {}) if folder.is_dir() else {}
    for archive, place in zip(original.archives, _PLACES, strict=True):
        path = files.get(place)
        if path is None:
            missing.append(archive.name)
            continue
        try:
            content = _unpacked(path)
        except _DamageError as error:
            raise ValueError(f"{_expected(original, archive, path)} {error.received}") from error
        owner, true_name, _ = known.get(hashlib.sha256(content).hexdigest(), (None,) * 3)
        if (owner, true_name) == (original.name, archive.name):
            arrays.append(_array(content, place[1], str(path)))
        elif owner not in (None, original.name):
            # Datasets share these file names, so that another's is no damage.
            missing.append(f"{archive.name} (the one there is {owner}'s)")
        else:
            nature = f"the content of {true_name}" if owner else "another IDX file"
            raise ValueError(f"{_expected(original, archive, path)} {_received(path, nature)}")
    return arrays, missing, bool(files)


def _expected(original, archive, path):
    return (
        f"Expected {path} to be {original.name}'s original archive, {archive.size} bytes, "
        f"sha256={archive.sha256}, or a copy of its content."
    )


def _received(path, nature):
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return f"Received: {nature}, {len(content)} bytes, {sha256=!s}. Replace or remove the file."


def _opened(path: Path):
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    return gzip.open(path) if packed else path.open("rb")


def _unpacked(path: Path) -> bytes:
    """Return the content of an IDX file, of which no more is unpacked than its header says."""
    try:
        with _opened(path) as file:
            content = file.read(4)
            if content[:3] != _IDX_UNSIGNED_BYTES:
                raise _DamageError(path, _nature(path, content))
            content += file.read(4 * content[3])
            if len(content) < 4 + 4 * content[3]:
                raise _DamageError(path, "a part of an IDX file")
            sizes = [int(size) for size in np.frombuffer(content[4:], ">u4")]
            memory.require(math.prod(sizes), str(path), "It is no file to be trusted.")
            # One byte more than there may be, and the check of a packed file's sum.
            return content + file.read(math.prod(sizes) + 1)
    except EOFError as error:
        raise _DamageError(path, "a part of a gzip file") from error
    except (OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise _DamageError(path, f"a damaged gzip file ({error})") from error


def _nature(path, content):
    with path.open("rb") as file:
        if file.read(64).lstrip()[:1] == b"<":
            return "a web page"
    if content[:2] == b"\0\0" and len(content) == 4:
        return "an IDX file of other numbers than bytes"
    return "no IDX file"


def _array(content, kind, what):
    # A copy, since the parsed bytes cannot be written to, unlike any other source's arrays.
    if kind == "labels":
        return parse_idx(content, 1, what).astype(np.int64)
    rank = 4 if content[3] == 4 else 3
    array = parse_idx(content, rank, what)
    return (array if rank == 4 else array[..., np.newaxis]).copy()
