"""What the fetching sources share: failures, notices, temporary folders, watched children."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

STALL_SECONDS = 15.0
FINISH_SECONDS = 600.0
_POLL_SECONDS = 0.1
_LEASH = Path(__file__).with_name("leash.py")
_LOCK = ".lock"
# After which a folder without a lock, of an earlier version, is nobody's.
_OLD_SECONDS = 24 * 3600


class DataUnavailableError(OSError):
    """No source has the dataset; the message says why, source by source."""


class SourceError(Exception):
    """One source cannot give the dataset; the next one is tried."""


class SourceAbsentError(SourceError):
    """A source that simply is not there, which is no news to anybody."""


def notice(text: str) -> None:
    """Print one line to stderr."""
    print(f"mvae_tf: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def temporary_folder(data_dir: Path) -> Iterator[Path]:
    """Give a private folder, removed at the end whatever happens.

    It lies in `data_dir`, so that finished files can be renamed into place, or among the system's
    temporary files where `data_dir` cannot be written. Those that killed processes left there are
    removed first.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        folder, lock = _locked_folder(data_dir, ".mvae_tf-")
    except OSError:
        folder, lock = _locked_folder(Path(tempfile.gettempdir()), "mvae_tf-")
    try:
        yield folder
    finally:
        lock.release()  # Windows removes no file that is open
        shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(parent, prefix):
    """Make a folder that others know to be used for as long as the lock in it is held."""
    import filelock

    for left in parent.glob(f"{prefix}*"):
        _remove_if_left(left)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = filelock.FileLock(folder / _LOCK)
        # Some shared file systems have no locks; then nobody finds this one free, either.
        with contextlib.suppress(OSError, NotImplementedError):
            lock.acquire()
        # Between these two lines another process may have found it free, and removed it.
        if (folder / _LOCK).exists() or not lock.is_locked:
            return folder, lock
        lock.release()


def _remove_if_left(folder):
    """Remove a temporary folder whose process is gone."""
    import filelock

    with contextlib.suppress(OSError, NotImplementedError):
        if not (folder / _LOCK).exists():
            if time.time() - folder.stat().st_mtime > _OLD_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
            return
        with filelock.FileLock(folder / _LOCK, timeout=0):  # its Timeout is an OSError
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)  # on Windows


def run_watched(
    command: Sequence[str],
    *,
    folder: Path,
    total_bytes: int | None,
    title: str,
    environment: Mapping[str, str],
    start_seconds: float | None = None,
    at_work: Callable[[], bool] | None = None,
) -> None:
    """Run a downloading child for as long as bytes keep arriving in a folder.

    It ends with this process, however that ends.

    Args:
        command: The child's command line.
        folder: The child's working folder; what it writes there is its download.
        total_bytes: Size of the download; None, with `at_work`, where nobody knows.
        title: What the progress bar says.
        environment: Variables to set for the child, besides this process's own.
        start_seconds: How long the first byte may take. Default: STALL_SECONDS, as for every other.
        at_work: Says whether the child has something else to do than to download. Then every
            FINISH_SECONDS must bring news, which may be something printed. Default: once all
            of `total_bytes` are there.

    Raises:
        SourceError: no byte arrived in time, or the child failed.
    """
    from tqdm import tqdm

    with (
        tempfile.TemporaryFile() as log,
        tqdm(total=total_bytes, desc=title, unit="B", unit_scale=True, leave=False) as bar,
    ):
        # A session of its own where there are any, so that its own children are ended with it.
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LEASH), *command],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            seen, since = None, time.monotonic()
            while child.poll() is None:
                size = _folder_size(folder)
                working = at_work() if at_work else size >= total_bytes
                # While it downloads, what it prints may be no more than news of failed attempts.
                news = size, os.fstat(log.fileno()).st_size if working else 0
                if news != seen:
                    bar.update(max(0, min(size, total_bytes or size) - bar.n))
                    seen, since = news, time.monotonic()
                if working:
                    limit = FINISH_SECONDS
                else:
                    limit = STALL_SECONDS if size else start_seconds or STALL_SECONDS
                if time.monotonic() - since > limit:
                    of_total = f" of {total_bytes}" if total_bytes else ""
                    raise SourceError(f"no news for {limit:g} s, after {size}{of_total} bytes")
                time.sleep(_POLL_SECONDS)
        finally:
            if child.poll() is None:
                _end(child.pid)
            child.stdin.close()
            child.wait()
        if child.returncode != 0:
            log.seek(0)
            raise SourceError(_last_words(log.read()) or f"exit status {child.returncode}")


def _end(pid: int) -> None:
    """End a process that leads a session, and all that it started, at once."""
    if sys.platform == "win32":
        _end_tree(pid)
        return
    # It may end by itself just now; macOS then denies permission.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _end_tree(pid: int) -> None:
    """End a process and its descendants, as far as they are still known to be that."""
    import psutil

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.Error):
                each.kill()


def _folder_size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            # A file may be renamed or removed between listing and asking.
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def _last_words(log: bytes) -> str:
    lines = [line.strip() for line in log.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower()]
    return (errors or lines or [""])[-1][:400]
