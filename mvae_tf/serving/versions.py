"""Folders of versions, as TensorFlow Serving reads them: each is there complete, or not at all."""

import errno
import os
import pathlib
import re
import textwrap
import uuid
from collections.abc import Callable

import tensorflow as tf

from mvae_tf import files

_MODELS = ("saved_model.pb*", "*.onnx", "*.tflite")  # of which a version has one
_LARGEST_VERSION = 2**63 - 1  # TensorFlow Serving reads versions as int64


def require_new(path: str | os.PathLike) -> tuple[pathlib.Path, int | None]:
    """Find out whether a model can be exported to a path, before any work.

    Args:
        path: as for `export_saved_model`.

    Returns:
        The folder of all versions, and the version: None for the next free one.

    Raises:
        ValueError, FileExistsError, OSError: it can't, as `export_saved_model` says.
    """
    versions, version = _destination(path)
    if version:
        _refuse_existing(versions / str(version))
    else:
        _refuse_others(versions)
    files.require_writable(versions, str(version or ""))
    return versions, version


def write(path: str | os.PathLike, fill: Callable[[pathlib.Path], object]) -> pathlib.Path:
    """Write a version, which appears in one step.

    Args:
        path: as for `export_saved_model`.
        fill: writes the version's files into a folder, which is renamed when all is on the disk.

    Returns:
        The version's folder.

    Raises:
        ValueError, FileExistsError, OSError: as `export_saved_model` says.
    """
    versions, version = require_new(path)
    place = versions / f"export-{uuid.uuid4().hex}"
    with files.aside(place) as aside, files.writing(versions, tf.errors.OpError):
        versions.mkdir(parents=True, exist_ok=True)
        aside.mkdir()
        fill(aside)
        files.sync(aside)
        return _publish(aside, versions, version)


def _destination(path) -> tuple[pathlib.Path, int | None]:
    """Return the folder of all versions, and the version: None for the next free one."""
    if "://" in os.fspath(path):
        raise ValueError(f"Expected path to be a local folder. Received: {path!r}.")
    path = pathlib.Path(path)
    # What TensorFlow Serving, too, might read as a number: with signs, zeros or blanks around it.
    if not re.fullmatch(r"\s*[+-]?\d+\s*", path.name):
        return path, None
    if not re.fullmatch("[1-9][0-9]*", path.name) or int(path.name) > _LARGEST_VERSION:
        raise ValueError(
            "Expected the last part of path to be a name or a version: an integer from 1 to "
            f"2**63 - 1 without leading zeros. Received: {path.name!r}."
        )
    return path.parent, int(path.name)


def _publish(aside, versions, version):
    """Move the finished export to its version, in one step that no server can see half done."""
    while True:
        target = versions / str(version or _next_version(versions))
        if version:
            _refuse_existing(target)
        try:
            aside.rename(target)
            files.sync_entries(versions)
            return target
        except OSError as error:
            # Another exporter was faster.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise


def _next_version(versions):
    taken = [int(name) for name in os.listdir(versions) if re.fullmatch(r"\d+", name)]
    return max(taken, default=0) + 1


def _refuse_others(folder):
    """Refuse a folder with things in it of which none is a version: it is another's.

    Classes and years are numbers, too; numbers without anything in them may be places of versions.
    """
    things = sorted(folder.glob("[!.]*"))
    numbers = [path for path in things if path.name.isdecimal()]
    has_version = any(any(path.glob(kind)) for path in numbers for kind in _MODELS)
    has_content = any(path.is_dir() and any(path.iterdir()) for path in numbers)
    if things and not has_version and (has_content or not numbers):
        names = [path.name for path in things]
        raise FileExistsError(
            f"Expected a folder of versions, an empty one or a new one. Received: {folder}, which "
            f"holds {textwrap.shorten(', '.join(names), 100)}."
        )


def _refuse_existing(target):
    if os.path.lexists(target):  # an empty folder, too, which the renaming would replace
        raise FileExistsError(
            f"Expected a new version. Received: {target}, which exists and is left as it is. "
            f"Take another number, or {target.parent} for the next free one."
        )
