"""A fetch whose process is killed leaves no child running, and no folder for ever."""

import os
import signal
import subprocess
import sys
import time

import filelock
import pytest

from mvae_tf.datasets.sources import fetching

# A child that downloads, and has a child of its own.
_DOWNLOAD = """
import os, subprocess, sys, time
inner = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
open("pids", "w").write(f"{os.getpid()} {inner.pid}")
time.sleep(60)
"""
_FETCH = f"""
import sys
from pathlib import Path
from mvae_tf.datasets.sources import fetching
with fetching.temporary_folder(Path(sys.argv[1])) as folder:
    fetching.run_watched(
        [sys.executable, "-c", {_DOWNLOAD!r}],
        folder=folder, total_bytes=100, title="test", environment={{}}, start_seconds=60,
    )
"""


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def is_alive(process_id):
    answer = subprocess.run(["ps", "-o", "stat=", "-p", process_id], capture_output=True)
    return answer.stdout.strip()[:1] not in (b"", b"Z")


@pytest.mark.skipif(sys.platform == "win32", reason="ps")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_fetch_takes_its_children_with_it(tmp_path, end):
    fetch = subprocess.Popen([sys.executable, "-c", _FETCH, tmp_path])
    try:
        assert wait_for(lambda: any(each.read_text() for each in tmp_path.glob("*/pids")))
        (told,) = tmp_path.glob(".mvae_tf-*/pids")
        process_ids = told.read_text().split()
        assert len(process_ids) == 2 and all(map(is_alive, process_ids))
        # While it runs, another fetch leaves its folder alone.
        with fetching.temporary_folder(tmp_path):
            assert told.exists()
    finally:
        fetch.send_signal(end)
        fetch.wait()
    assert wait_for(lambda: not any(map(is_alive, process_ids)))
    assert told.exists()
    with fetching.temporary_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_folders_of_earlier_versions_are_removed_when_they_are_old(tmp_path):
    for name, hours in ((".mvae_tf-old", 25), (".mvae_tf-new", 23), ("old", 25)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - 3600 * hours,) * 2)
    with fetching.temporary_folder(tmp_path):
        pass
    assert {each.name for each in tmp_path.iterdir()} == {".mvae_tf-new", "old"}


def test_a_folder_that_is_taken_for_left_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    made = []

    class Late(filelock.FileLock):
        def acquire(self, *args, **settings):
            made.append(self.lock_file)
            if len(made) == 1:
                super().acquire()
                fetching.shutil.rmtree(os.path.dirname(self.lock_file))
                return None
            return super().acquire(*args, **settings)

    monkeypatch.setattr(filelock, "FileLock", Late)
    with fetching.temporary_folder(tmp_path) as folder:
        assert len(made) == 2 and os.path.dirname(made[1]) == str(folder)
        assert folder.is_dir()


def test_a_command_on_the_leash_answers_as_itself(tmp_path):
    for status in (0, 3):
        program = f"import sys; print('said'); sys.exit({status})"
        command = [sys.executable, "-I", "-S", fetching._LEASH, sys.executable, "-c", program]
        settings = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
        with subprocess.Popen(command, **settings) as leash:
            assert (leash.wait(20), leash.stdout.read().strip()) == (status, b"said")
