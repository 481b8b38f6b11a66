"""The original IDX archives, as a user puts them into a folder by hand."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from mvae_tf.datasets.published import ORIGINALS
from mvae_tf.datasets.published.identity import Archive, Found, Original
from mvae_tf.datasets.sources.fetching import SourceAbsentError, SourceError

FILES = "archives"
_GZIP_MAGIC = b"\x1f\x8b"
_IDX_UNSIGNED_BYTES = b"\x00\x00\x08"


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
        contents, missing = _read_checked(original, folder)
        if not missing:
            arrays = _parse(original, folder, contents)
            return original.found(arrays, "original archives in downloads/manual")
        if any((folder / archive.name).exists() for archive in original.archives):
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


def _read_checked(original: Original, folder: Path) -> tuple[list[bytes], list[str]]:
    """Return the bytes of the archives that are there, and the names of those that are not."""
    known = {
        archive.sha256: (dataset.name, archive.name)
        for dataset in ORIGINALS.values()
        for archive in dataset.archives
    }
    contents, missing = [], []
    for archive in original.archives:
        path = folder / archive.name
        if not path.is_file():
            missing.append(archive.name)
            continue
        packed = path.read_bytes()
        sha256 = hashlib.sha256(packed).hexdigest()
        owner, true_name = known.get(sha256, (None, None))
        if sha256 == archive.sha256:
            contents.append(packed)
        elif owner not in (None, original.name):
            # Datasets share these file names, so that another's is no damage.
            missing.append(f"{archive.name} (the one there is {owner}'s)")
        else:
            nature = f"the content of {true_name}" if owner else _nature(packed, archive)
            raise ValueError(
                f"Expected {path} to be {original.name}'s original archive, {archive.size} bytes, "
                f"sha256={archive.sha256}. Received: {nature}, {len(packed)} bytes, {sha256=!s}. "
                "Replace or remove the file."
            )
    return contents, missing


def _nature(packed: bytes, archive: Archive) -> str:
    if packed[:4].startswith(_IDX_UNSIGNED_BYTES):
        return "an unpacked file, where the packed .gz is needed"
    if packed.lstrip()[:1] == b"<":
        return "a web page"
    if not packed.startswith(_GZIP_MAGIC):
        return "no gzip file"
    return "a part of a gzip file" if len(packed) < archive.size else "another gzip file"


def _parse(original: Original, folder: Path, contents: list[bytes]) -> list[np.ndarray]:
    arrays = []
    for archive, packed, rank in zip(original.archives, contents, (3, 1, 3, 1), strict=True):
        what = str(folder / archive.name)
        try:
            content = gzip.decompress(packed)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"Expected {what} to be a gzip file. Received: {error}.") from error
        array = parse_idx(content, rank, what)
        # A copy, since the parsed bytes cannot be written to, unlike any other source's arrays.
        arrays.append(array[..., np.newaxis].copy() if rank == 3 else array.astype(np.int64))
    for images, labels in (arrays[:2], arrays[2:]):
        if len(images) != len(labels):
            raise ValueError(
                f"Expected as many labels as images in {folder}. "
                f"Received: {len(labels)} labels for {len(images)} images."
            )
    return arrays
