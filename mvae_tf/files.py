"""Files that are whole whenever they are there: written aside, on the disk, then renamed.

A rename may reach the disk before what it renames: after a loss of power the name would vouch for a
file that is empty. So `put` writes through to the disk first, and the folder's entry afterwards.
"""

import contextlib
import errno
import hashlib
import itertools
import os
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EFBIG, *([errno.EDQUOT] if hasattr(errno, "EDQUOT") else []))
# What an operating system may answer that can't bring a folder's entries to the disk.
_NO_SYNC = (errno.EINVAL, errno.EACCES, errno.EBADF, errno.ENOTSUP, errno.EPERM, errno.EISDIR)

_SHOWN = 200  # letters of a path, where it may be of any length

_numbers = itertools.count()
_asides: set[Path] = set()


class WriteError(OSError):
    """Something could not be written; says what, why and what to do."""


@contextlib.contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Give a name beside a path, for what is to be renamed to it; whatever is left is removed."""
    # Short, so that a name that is as long as names may be has one, too.
    name = f".{path.name[:32]}.{os.getpid()}.{next(_numbers)}"
    written = path.with_name(name.encode(errors="surrogateescape")[:200].decode(errors="ignore"))
    _asides.add(written)
    try:
        yield written
    finally:
        remove(written)
        _asides.discard(written)


def remove_asides() -> None:
    """Remove what this process is writing aside, because it ends."""
    for written in list(_asides):
        remove(written)


def remove(path: Path) -> None:
    """Remove a file or a folder if it is there and can be removed."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def put(written: Path, path: Path) -> None:
    """Rename a file, or a folder and all in it, once it is on the disk; a file is replaced."""
    sync(written)
    os.replace(written, path)
    sync_entries(path.parent)


def sync(path: Path) -> None:
    """Bring a file, or a folder and all in it, to the disk."""
    if not path.is_dir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        return
    for inside in path.iterdir():
        sync(inside)
    sync_entries(path)


def sync_entries(folder: Path) -> None:
    """Bring a folder's entries to the disk, where the operating system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # Windows opens no folders
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a file aside and rename it: a reader sees the old content or the new, never a part."""
    with aside(path) as written, writing(path):
        written.write_text(text, encoding="utf-8")
        put(written, path)


def sha256(path: Path) -> str:
    """Return a file's SHA-256 (hex)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def writing(path: Path, *also: type[Exception]) -> Iterator[None]:
    """Tell of a failure to write with the path and with what to do.

    Args:
        path: What is written, as users know it.
        *also: Errors besides OSError that stand for such a failure.

    Raises:
        WriteError: in place of the error.
    """
    try:
        yield
    except (WriteError, FileExistsError):
        raise
    except (OSError, *also) as error:
        number = getattr(error, "errno", None) or (errno.ENOSPC if is_full(error) else None)
        reason = reason_of(error)
        what = "Make room there" if number in _FULL else "Make it writable"
        told = WriteError(
            f"Expected {path} to be written. Received: {reason}. {what}, or choose another place."
        )
        told.errno = number
        raise told from error


def reason_of(error: BaseException) -> str:
    """Return in a few words why something failed; TensorFlow says much else."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if is_full(error):
        return os.strerror(errno.ENOSPC)
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def is_full(error: BaseException) -> bool:
    """Return whether an error, also one of TensorFlow's, stands for a full disk."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return any(os.strerror(number) in str(error) for number in _FULL)


def shown(name: str | os.PathLike) -> str:
    """Return a file's name as text of one line that can be written, also where it is not UTF-8."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(map(_written, text))


def _written(letter):
    # Line breaks and what else steers a terminal.
    is_plain = unicodedata.category(letter) not in ("Cc", "Zl", "Zp")
    return letter if is_plain else letter.encode("unicode_escape").decode()


def require_readable(path: Path) -> None:
    """Refuse what is there, and is named, but can't be opened; nothing need be there.

    Raises:
        ValueError: it can't.
    """
    try:
        if path.is_dir():
            with os.scandir(path):
                pass
        else:
            path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass
    except OSError as error:
        name = shown(path)
        raise ValueError(
            f"Expected a path that can be read. Received: "
            f"{name if len(name) <= _SHOWN else name[:_SHOWN] + ' ...'}: {reason_of(error)}. Name "
            "another one, or give yourself the right to read it."
        ) from error


def require_writable(folder: Path, name: str = "") -> None:
    """Find out now, and not after the work, whether a file can be written; nothing is left there.

    Args:
        folder: Where, perhaps still to be made.
        name: Of the file.

    Raises:
        WriteError: it can't.
    """
    try:
        str(folder / name).encode()
    except UnicodeEncodeError:
        raise WriteError(
            "Expected an output's path in UTF-8, without which TensorFlow writes nothing. "
            f"Received: {shown(folder / name)}. Choose another place."
        ) from None
    missing = []
    try:
        with contextlib.suppress(FileNotFoundError):
            (folder / name).lstat()  # a name may be too long
        for each in (folder, *folder.parents):
            if each.is_dir():
                break
            missing.append(each)
        folder.mkdir(parents=True, exist_ok=True)
        with aside(folder / "writable") as written:
            written.touch()
    except OSError as error:
        reason = "a file is in the way" if isinstance(error, FileExistsError) else error.strerror
        raise WriteError(
            f"Expected {folder / name} to be a place that can be written. Received: {reason}. "
            "Choose another place."
        ) from error
    finally:
        for each in missing:
            with contextlib.suppress(OSError):
                each.rmdir()
