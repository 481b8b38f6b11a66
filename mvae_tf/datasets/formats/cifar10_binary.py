"""The binary batches of CIFAR-10, as a user puts them into a folder by hand."""

import hashlib
import tarfile
from pathlib import Path

import numpy as np

from mvae_tf.datasets.published.cifar10 import (
    CIFAR10,
    RECORD_BYTES,
    SPLITS,
    Batch,
    BatchedOriginal,
    md5_of,
    unpack,
)
from mvae_tf.datasets.published.identity import Found
from mvae_tf.datasets.sources.fetching import SourceAbsentError, SourceError

FILES = "batches"
FOLDER = "cifar-10-batches-bin"


def in_folder(folder: Path) -> set[str]:
    """Names of the batches that a folder holds; other files do not count."""
    return {batch.name for batch in CIFAR10.batches if (folder / batch.name).is_file()}


def manual_folders(data_dir: Path) -> tuple[Path, Path]:
    """Names the folders in which the batches are looked for, first one first."""
    return data_dir / "downloads" / "manual" / FOLDER, data_dir / FOLDER


def read_manual(original: BatchedOriginal, data_dir: Path) -> Found:
    """Read the batches from the first place that has enough of them for the split.

    The places are `downloads/manual/cifar-10-batches-bin`, `cifar-10-batches-bin`, and the packed
    archive in `downloads/manual`.

    Args:
        original: The dataset, with its split.
        data_dir: The folder that holds those places.

    Returns:
        The arrays: images uint8 [n, 32, 32, 3] and labels int64 [n], train and test.

    Raises:
        SourceError: batches are there, but not those that the split needs.
        SourceAbsentError: none is there.
        ValueError: a file is damaged or is not what its name says.
    """
    shortfalls = []
    for folder in manual_folders(data_dir):
        names = in_folder(folder)
        shortage = original.shortage(names)
        if not shortage:
            return read_folder(original, folder)
        if names:
            shortfalls.append(f"{folder}: {shortage}")
    archive = data_dir / "downloads" / "manual" / original.archives[0].name
    if archive.is_file():
        return _read_archive(original, archive)
    if shortfalls:
        raise SourceError("; ".join(shortfalls))
    raise SourceAbsentError(f"no {' or '.join(map(str, manual_folders(data_dir)))}, no {archive}")


def read_folder(original: BatchedOriginal, folder: Path) -> Found:
    """Read those batches in a folder that the split uses.

    Each must have the published MD5. Of the training batches only the first must be there.

    Args:
        original: The dataset, with its split.
        folder: The folder that holds the batches.

    Returns:
        As `read_manual`.

    Raises:
        ValueError: a batch that the split needs is missing, damaged or not what its name says.
    """
    names = in_folder(folder)
    shortage = original.shortage(names)
    if shortage:
        raise ValueError(
            f"Expected {folder} to hold the batches that split={original.split!r} needs. "
            f"Received: {shortage}."
        )
    parts = {
        position: _read_batch(original, original.batches[position], folder)
        for position in (*original.roles.train, original.roles.test)
        if original.batches[position].name in names
    }
    last = len(original.batches) - 1
    numbers = ("test" if position == last else str(position + 1) for position in parts)
    return original.assemble(parts, f"original binary batches {', '.join(numbers)}")


def advice(original: BatchedOriginal, data_dir: Path) -> str:
    """Say how to supply the batches by hand."""
    (archive,) = original.archives
    folder = manual_folders(data_dir)[0]
    text = (
        f"put {archive.name} ({archive.size} bytes, sha256={archive.sha256}) from {original.url} "
        f"into {folder.parent}, or the .bin files of it into {folder}"
    )
    if original.split == "standard":
        text += (
            "\nWith data_batch_1.bin and data_batch_5.bin alone, "
            f'split="heldout" works: the test images are then {SPLITS["heldout"].test_part}'
        )
    return text


def _read_batch(
    original: BatchedOriginal, batch: Batch, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    path = folder / batch.name
    expected_size = original.batch_images * RECORD_BYTES
    with path.open("rb") as file:
        # One byte more shows that a file is too long, however long it is.
        content = file.read(expected_size + 1)
    md5 = md5_of(content) if len(content) == expected_size else None
    if md5 == batch.md5:
        return unpack(content)
    received = f"{_nature(original, content, md5)}, {path.stat().st_size} bytes"
    raise ValueError(
        f"Expected {path} to be {original.name}'s original {batch.name}, {expected_size} bytes, "
        f"md5={batch.md5}. Received: {received}{f', {md5=!s}' if md5 else ''}. "
        "Replace or remove the file."
    )


def _nature(original: BatchedOriginal, content: bytes, md5: str | None) -> str:
    for batch in original.batches:
        if md5 == batch.md5:
            return f"the content of {batch.name}"
    if content.lstrip().startswith((b"<!", b"<?", b"<h", b"<H")):
        return "a web page"
    # A label byte is at most 9, so that these are never the beginning of a batch.
    if content.startswith(b"\x80"):
        return "a Python pickle, where the binary version is needed"
    if content.startswith(b"\x1f\x8b"):
        return "a packed file"
    if len(content) < original.batch_images * RECORD_BYTES:
        return "a part of a batch" if content[:1] <= b"\x09" and content else "no batch"
    return "another file"


def _read_archive(original: BatchedOriginal, path: Path) -> Found:
    (archive,) = original.archives
    size = path.stat().st_size
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != archive.sha256:
        raise ValueError(
            f"Expected {path} to be {original.name}'s original archive, {archive.size} bytes, "
            f"sha256={archive.sha256}. Received: {size} bytes, {sha256=!s}. "
            "Replace or remove the file."
        )
    positions = {
        f"{FOLDER}/{original.batches[position].name}": position
        for position in (*original.roles.train, original.roles.test)
    }
    # Read in one pass and into memory: nothing is unpacked to the disk.
    with tarfile.open(path, "r|gz") as members:
        parts = {
            positions[member.name]: unpack(members.extractfile(member).read())
            for member in members
            if member.name in positions
        }
    return original.assemble(parts, f"original archive {archive.name}")
