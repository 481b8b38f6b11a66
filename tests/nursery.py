"""Programs in processes that have TensorFlow loaded already: to load it takes ten seconds' work.

`Nursery` starts this file as a process, which forks a child for each program that it is asked for.
The child runs the program as `python PROGRAM ARGUMENTS` would, with its output in files.
"""

import gc
import importlib
import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
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


class Started(NamedTuple):
    """A program that runs, and when it began; `Nursery.finished` waits for it."""

    process_id: int
    paths: tuple[Path, Path]
    began: float


class Nursery:
    """Runs programs, several at once if need be; `folder` is where their output goes."""

    def __init__(self, folder: Path):
        self._folder, self._numbers = folder, itertools.count()
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "reproduce"))),
                "TF_ENABLE_ONEDNN_OPTS": "1",
                "TF_CPP_MIN_LOG_LEVEL": "3",
            },
        )
        assert self._process.stdout.readline() == "ready\n"

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(60)

    def start(self, program: Path, *arguments, env: Mapping[str, str] | None = None) -> Started:
        """Start a program; `env` is what it has beside this process's environment."""
        number = next(self._numbers)
        paths = tuple(self._folder / f"{name}-{number}" for name in ("out", "err"))
        argv = [str(program), *map(str, arguments)]
        child = self._asked({"argv": argv, "paths": [*map(str, paths)], "env": dict(env or {})})
        return Started(child, paths, time.monotonic())

    def finished(self, started: Started) -> Ended:
        """Wait for a program's end."""
        status, seconds = self._asked(started.process_id), time.monotonic() - started.began
        texts = [path.read_text(errors="replace") for path in started.paths]
        for path in started.paths:
            path.unlink()
        return Ended(status, *texts, seconds)

    def run(self, program: Path, *arguments, kill_after: float | None = None, **settings) -> Ended:
        """Run a program to its end, or kill it (SIGKILL) after so many seconds if it still runs."""
        started = self.start(program, *arguments, **settings)
        if kill_after is not None:
            time.sleep(kill_after)
            # It isn't waited for until the nursery is told to: the number is still its own.
            os.kill(started.process_id, signal.SIGKILL)
        return self.finished(started)

    def _asked(self, what):
        self._process.stdin.write(f"{json.dumps(what)}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _be_a_nursery():
    for name in ("scipy.stats", "sklearn.neighbors", "keras", "tensorflow_probability"):
        importlib.import_module(name)  # nothing of ours, and nothing that computes
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1])
        else:
            answer = os.fork()
            if not answer:
                _be(**asked)
        print(answer, flush=True)


def _be(argv, paths, env):
    """Be the program that a command line starts."""
    status = 1
    try:
        os.environ.update(env)
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
