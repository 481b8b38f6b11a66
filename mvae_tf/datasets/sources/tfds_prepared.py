"""What TensorFlow Datasets has prepared, or downloads and prepares in a watched child."""

import dataclasses
import hashlib
import importlib.util
import sys
import threading
from pathlib import Path

import numpy as np

from mvae_tf import files
from mvae_tf.datasets.published.identity import Found, Original
from mvae_tf.datasets.sources.fetching import (
    SourceAbsentError,
    SourceError,
    notice,
    run_watched,
    temporary_folder,
)

PROBE_SECONDS = 5.0
# Before the child asks for its first byte it imports large libraries, from a cold disk at worst.
START_SECONDS = 60.0

_PREPARE = """
import sys
import tensorflow_datasets as tfds

name, downloads, extracted, manual, data_dir = sys.argv[1:]
config = tfds.download.DownloadConfig(
    extract_dir=extracted, manual_dir=manual or None, try_download_gcs=False
)
builder = tfds.builder(name, data_dir=data_dir)
print("ready", file=open("ready", "w"))
builder.download_and_prepare(download_dir=downloads, download_config=config)
"""


def read_prepared(original: Original, data_dir: Path) -> Found:
    """Read what TensorFlow Datasets has prepared, in the order of the original files.

    Args:
        original: The dataset.
        data_dir: TensorFlow Datasets' data folder.

    Returns:
        The arrays: images uint8 [n, h, w, c] and labels int64 [n], train and test.

    Raises:
        SourceError: what is there cannot be read, or is not the dataset.
        SourceAbsentError: nothing is there.
    """
    versions = [info.parent for info in data_dir.glob(f"{original.name}/*/dataset_info.json")]
    if not versions:
        raise SourceAbsentError(f"nothing in {data_dir / original.name}")
    folder = max(versions)
    _require_tfds()
    # The records may be damaged in many ways, and any of them only means: try the next source.
    try:
        arrays = _read(folder)
    except Exception as error:
        raise SourceError(f"{folder} cannot be read: {type(error).__name__}: {error}") from error
    return original.found(
        arrays, f"TensorFlow Datasets, prepared {folder.parent.name}/{folder.name}"
    )


def download(original: Original, data_dir: Path) -> Found:
    """Have TensorFlow Datasets download and prepare the dataset, and keep the result.

    Args:
        original: The dataset.
        data_dir: TensorFlow Datasets' data folder.

    Returns:
        As `read_prepared`.

    Raises:
        SourceError: the host does not answer, nothing arrives, or the result is wrong.
    """
    _require_tfds()
    # TensorFlow Datasets goes on trying a host that is out of reach for minutes.
    probe(original.url + original.archives[0].name)
    with temporary_folder(data_dir) as folder:
        size = sum(archive.size for archive in original.archives)
        results = fetch(original.name, folder, total_bytes=size)
        found = read_prepared(original, results)
        keep(original.name, results, data_dir)
    return dataclasses.replace(found, where=f"TensorFlow Datasets' download from {original.url}")


def fetch(name: str, folder: Path, *, total_bytes: int | None, manual: Path | None = None) -> Path:
    """Have TensorFlow Datasets download and prepare a dataset, in a watched child.

    Args:
        name: The dataset's name, as TensorFlow Datasets writes it.
        folder: An empty folder for all that the child writes.
        total_bytes: Size of the download; None where nobody knows.
        manual: A folder of files put there by hand, which are then not downloaded.

    Returns:
        A folder in `folder`: a data folder that holds the prepared dataset alone.

    Raises:
        SourceError: nothing arrives, or the preparation fails.
    """
    downloads, extracted, results = (folder / part for part in ("downloads", "extracted", "data"))
    paths = [str(path) for path in (downloads, extracted, manual or "", results)]

    def at_work():
        # A download lies in a folder of this name until it is complete.
        return (folder / "ready").exists() and not any(downloads.glob("*.tmp.*"))

    run_watched(
        [sys.executable, "-c", _PREPARE, name, *paths],
        folder=folder,
        total_bytes=total_bytes,
        title=f"{name} by TensorFlow Datasets",
        environment={"CUDA_VISIBLE_DEVICES": "-1", "TMPDIR": str(folder)},
        start_seconds=START_SECONDS,
        at_work=at_work,
    )
    return results


def keep(name: str, results: Path, data_dir: Path) -> Path:
    """Move a prepared dataset into TensorFlow Datasets' data folder.

    Args:
        name: The dataset's name, for a notice on stderr where it can't be kept.
        results: What `fetch` returned.
        data_dir: TensorFlow Datasets' data folder.

    Returns:
        The folder where it is now: below `data_dir`, or else where it was.
    """
    (info,) = results.rglob("dataset_info.json")
    fresh = info.parent
    kept = data_dir / fresh.relative_to(results)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.put(fresh, kept)
    except OSError as error:
        # Another process may have put the same data there in the meantime.
        if not (kept / info.name).exists():
            notice(f"{name} could not be kept in {kept}: {error}")
            return fresh
    return kept


def probe(url: str, *, any_status: bool = False) -> None:
    """Ask for a file's header, to find out within PROBE_SECONDS whether its host is there.

    Args:
        url: The file's address.
        any_status: Whether every answer will do, as of hosts that give files but no headers.

    Raises:
        SourceError: no answer in time, or an error instead of the file.
    """
    import requests

    outcome = []

    def ask():
        try:
            answer = requests.head(url, timeout=PROBE_SECONDS, allow_redirects=True)
            there = answer.ok or any_status
            outcome.append(None if there else f"HTTP status {answer.status_code}")
        except requests.RequestException as error:
            outcome.append(f"{type(error).__name__}: {_innermost(error)}")

    # The time-out of a request does not cover the look-up of the host's name; the thread's does.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    reason = outcome[0] if outcome else f"no answer within {PROBE_SECONDS:g} s"
    if reason:
        raise SourceError(f"{url}: {reason}")


def _innermost(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return str(error)


def _require_tfds() -> None:
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise SourceError("the Python package tensorflow-datasets is not installed")


def _read(folder: Path) -> list[np.ndarray]:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    arrays = []
    for split in ("train", "test"):
        dataset = builder.as_dataset(split=split, batch_size=1000, read_config=in_order)
        batches = list(dataset.as_numpy_iterator())
        stored_order = _stored_order(split, sum(len(batch["label"]) for batch in batches))
        for key in ("image", "label"):
            stored = np.concatenate([batch[key] for batch in batches])
            array = np.empty_like(stored)
            array[stored_order] = stored
            arrays.append(array)
    return arrays


def _stored_order(split: str, count: int) -> list[int]:
    """Position in the original file of each stored record.

    TensorFlow Datasets stores the records of a split by the MD5 of the split's name and the
    record's key, and the key of these datasets is the position; in CIFAR-10's training part, that
    in all five files together.
    """
    return sorted(range(count), key=lambda index: hashlib.md5(f"{split}{index}".encode()).digest())
