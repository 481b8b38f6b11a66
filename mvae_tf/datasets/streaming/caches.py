"""What a folder's files hold, kept on disk: a NumPy file that is read image by image.

`NAME-KEY.npy` has the train images, then the test images; `NAME-KEY.json`, written once the former
is whole and on the disk, says what they are. The key is made of all that decides on them: each
file's name, size and times, how they are resized and parted, and the version of what decodes them.
So files that have changed make another cache. The older one may be deleted, once no run reads it.
"""

import contextlib
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
import PIL

from mvae_tf import files
from mvae_tf.datasets.formats.forms import Form
from mvae_tf.datasets.formats.names import Names
from mvae_tf.datasets.sources.fetching import notice
from mvae_tf.datasets.streaming.survey import Survey

_VERSION = 2  # of what decides on a cache's images besides its key; raised with that
_UNFINISHED = ".unfinished"


class CacheError(OSError):
    """A cache can't be read any more; says which."""


class CacheReader:
    """A `Reader` of a cache, see there.

    Args:
        path: Of the .npy file.
        form: Of its images.
        count: Of its images.
        written: When it was, in nanoseconds, by the file system.

    Raises:
        ValueError: it is not such a file, and whole.
    """

    def __init__(self, path: Path, form: Form, count: int, written: int):
        self.shape, self.dtype = form
        self._path, self._bytes = path, form.nbytes
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0(file)
            self._start = file.tell()
            self._written = _time_of(file)
        whole = self._start + count * form.nbytes
        if header != ((count, *form.shape), False, form.dtype) or path.stat().st_size != whole:
            raise ValueError(f"{path} is not whole")
        if not _is_same(self._written, written):
            raise ValueError(f"{path} is another by now")

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Return the images at some positions, int64 [b], as [b, h, w, c].

        Raises:
            CacheError: the file has gone, has changed, or can't be read.
        """
        images = np.empty((len(positions), *self.shape), self.dtype)
        # Not mapped into memory: of a file that is gone or cut short that would end the process.
        try:
            with self._path.open("rb", buffering=0) as file:
                if not _is_same(_time_of(file), self._written):
                    raise EOFError("it is another by now")
                for image, position in zip(images, positions.tolist(), strict=True):
                    file.seek(self._start + position * self._bytes)
                    if file.readinto(image) != self._bytes:
                        raise EOFError("it was cut short")
        except (OSError, EOFError) as error:
            raise CacheError(
                f"Expected {self._path} to be read, the images' cache. Received: "
                f"{files.reason_of(error)}. It is made anew at the next start."
            ) from error
        return images


def key_of(names: Names, *decides) -> str:
    """Return a text that is another one once files have changed, or what is made of them.

    Args:
        names: Of the files.
        *decides: What else decides on the images.
    """
    total = hashlib.sha256()
    total.update(json.dumps([_VERSION, PIL.__version__, *decides]).encode())
    names.add_to(total)
    for name in names:
        try:
            found = os.stat(name)
        except OSError:
            continue  # reading it will tell
        # Unlike the time of a change of the contents, that of any change can't be set back.
        times = found.st_size, found.st_mtime_ns, found.st_ctime_ns
        total.update(b"%d %d %d;" % times)
    return total.hexdigest()[:16]


def kept(path: Path, count: int, make: Callable[..., Survey]) -> tuple[Survey, CacheReader]:
    """Return what a cache says and holds, once it is made, if need be.

    Another process that makes the same one is waited for.

    Args:
        path: Of its .npy file; the folder is made.
        count: Of the files that it is of.
        make: Goes through the files, given a `sink` that is to have what they hold.

    Raises:
        WriteError: it can't be written.
    """
    opened = _opened(path, count)
    if opened is None:
        files.require_writable(path.parent, path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.with_suffix(".lock"))
        with contextlib.ExitStack() as stack:
            with files.writing(Path(lock.lock_file)):
                stack.enter_context(lock)
            opened = _opened(path, count)
            if opened is None:
                _remove_unfinished(path)
                notice(f"all images are read once, for the cache {files.shown(path)}")
                with contextlib.closing(_Writer(path)) as writer:
                    writer.finish(make(sink=writer))
                opened = _opened(path, count)
    return opened


def _opened(path, count):
    """Return a cache's survey and reader; None where there is none that is whole."""
    try:
        told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if told.pop("check") != _check_of(told):
            return None
        form = Form(tuple(told["shape"]), np.dtype(told["dtype"]))
        unreadable = np.array(told["unreadable"], np.int64)
        found = Survey(form, told["digest"], unreadable, tuple(told["notes"]))
        return found, CacheReader(path, form, count - len(found.unreadable), told["written"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _check_of(told):
    """Return what tells whether what is told of a cache is as it was written."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _time_of(file):
    return os.fstat(file.fileno()).st_mtime_ns


def _is_same(time, other):
    """Return whether a file may be as it was written; some file systems keep even seconds."""
    return abs(time - other) < 2 * 10**9


def _remove_unfinished(path):
    """Remove what was left of caches of the same name by processes that were killed."""
    name = path.stem.rpartition("-")[0]
    for unfinished in path.parent.glob(f"{glob.escape(name)}-*{_UNFINISHED}"):
        if unfinished.stem == path.stem:
            continue  # it is about to be written anew
        lock = filelock.FileLock(unfinished.with_suffix(".lock"), blocking=False)
        with contextlib.suppress(filelock.Timeout), lock:  # another process may work on it
            files.remove(unfinished)


class _Writer:
    """A `survey.Sink` that writes a cache aside."""

    def __init__(self, path):
        self._path, self._unfinished = path, path.with_suffix(_UNFINISHED)
        self._file = None

    def begin(self, form, count):
        self.close()
        free, needed = shutil.disk_usage(self._path.parent).free, count * form.nbytes
        if needed > free:
            raise files.WriteError(
                f"Expected {needed / 2**30:,.3f} GiB of space in {files.shown(self._path.parent)}, "
                f"for the cache of {count:,} images. Received: {free / 2**30:,.3f} GiB. Choose "
                "another place, or a smaller image_size."
            )
        self._file = self._unfinished.open("wb")
        header = {"descr": form.dtype.str, "fortran_order": False, "shape": (count, *form.shape)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def add(self, image):
        with files.writing(self._path):
            self._file.write(image)

    def finish(self, found):
        """Give the cache its name."""
        with files.writing(self._path):
            self._file.close()
            files.put(self._unfinished, self._path)
        told = {
            "shape": list(found.form.shape),
            "dtype": found.form.dtype.str,
            "digest": found.digest,
            "unreadable": found.unreadable.tolist(),
            "notes": list(found.notes),
            "written": self._path.stat().st_mtime_ns,
        }
        told["check"] = _check_of(told)
        try:
            files.write_text(self._path.with_suffix(".json"), json.dumps(told, indent=1))
        except OSError:
            files.remove(self._path)  # of no use without, and perhaps what fills the disk
            raise

    def close(self):
        """Remove what has not got its name."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk is told of where it was found
                self._file.close()
            files.remove(self._unfinished)
