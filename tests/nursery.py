"""Programs in processes that have TensorFlow loaded already: a hostile run starts hundreds.

`Nursery` starts this file as a process, which forks a child for each program that it is asked for.
The child runs the program as `python PROGRAM ARGUMENTS` would, with its output in files.
"""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MAIN = ROOT / "mvae_tf" / "__main__.py"
# A program, by the run folder and where to: the codes of all digits, in files.
ENCODE = """
import pathlib, sys, mvae_tf
from mvae_tf import evaluation
from mvae_tf.training import run_folder

model = run_folder.load(pathlib.Path(sys.argv[1])).model
data = mvae_tf.datasets.load("digits")
try:
    evaluation.encode_split(model, data.train, batch_size=2, out=sys.argv[2])
except OSError as error:
    sys.exit(str(error))
"""


class Ended(NamedTuple):
    """How a program ended: its status (minus a signal's number), output, and seconds."""

    status: int
    out: str
    err: str
    seconds: float


class Nursery:
    """Runs one program at a time; `folder` is where their output goes meanwhile."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        assert self._process.stdout.readline() == "ready\n"

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(60)

    def run(self, program: Path, *arguments, kill_after: float | None = None) -> Ended:
        """Run a program to its end, or kill it (SIGKILL) after so many seconds if it still runs."""
        paths = [str(self._folder / name) for name in ("out", "err")]
        asked = json.dumps([[str(program), *map(str, arguments)], *paths])
        self._process.stdin.write(f"{asked}\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        began = time.monotonic()
        if kill_after is not None:
            time.sleep(kill_after)
            # It isn't waited for until the nursery is told to: the number is still its own.
            os.kill(child, signal.SIGKILL)
        self._process.stdin.write("wait\n")
        self._process.stdin.flush()
        status, seconds = int(self._process.stdout.readline()), time.monotonic() - began
        return Ended(status, *(Path(path).read_text(errors="replace") for path in paths), seconds)


def _be_a_nursery():
    for name in ("scipy.stats", "sklearn.neighbors", "keras", "tensorflow_probability"):
        importlib.import_module(name)  # nothing of ours, and nothing that computes
    print("ready", flush=True)
    for line in sys.stdin:
        argv, *paths = json.loads(line)
        child = os.fork()
        if not child:
            _be(argv, *paths)
        print(child, flush=True)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _be(argv, *paths):
    """Be the program that a command line starts."""
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream, path in enumerate(paths, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = argv
        sys.path[0] = str(Path(argv[0]).parent)
        try:
            runpy.run_path(argv[0], run_name="__main__")
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    _be_a_nursery()
