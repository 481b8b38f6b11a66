"""Small mistakes in the mathematics, made one at a time: do the tests notice each?

  python tests/mutations.py                 # all of them: half an hour on 2 cores
  python tests/mutations.py --only=dhsic    # those whose place or change has it in it
  python tests/mutations.py --list

Each mutation of mutations.txt replaces one passage of a copy of the package and runs the test files
that are there for it, until the first failure. One that no test notices survives: the status is
then 1. So it is if a passage is no longer found just once, and, before all of that, if a test file
fails without any mutation. A mutant that takes ten times as long as its tests took then is noticed,
and said to hang.
"""

import argparse
import concurrent.futures
import importlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".txt")
_COPIED = ("mvae_tf", "tests", "reproduce", "setup.cfg", "pyproject.toml", "README.md")
_PATIENCE = 10  # Of a mutant, in times of what its tests took without it.
_LEAST_PATIENCE = 300.0  # In seconds: what else a machine does may slow down short tests by more.
_SAID = {"pass": "SURVIVES", "fail": "noticed ", "hang": "hangs   "}


class Mutation(NamedTuple):
    """A mistake.

    Attributes:
        path: Of the file, in the package.
        right: A passage that occurs in it once.
        wrong: What takes its place.
        tests: The test files that are to notice, without "tests/test_" and ".py".
    """

    path: str
    right: str
    wrong: str
    tests: str

    def __str__(self):
        right, wrong = (" ".join(each.split()) for each in (self.right, self.wrong))
        return f"{self.path}: {right} -> {wrong or 'nothing'}"


def read(path: Path) -> list[Mutation]:
    """Return the mutations that a file holds."""
    found = []
    for block in path.read_text().split("\n@ ")[1:]:
        place, *lines = block.splitlines()
        name, tests = place.split(": ")
        right, wrong = (
            "\n".join(x[1:] for x in lines if x[:1] == sign and x[:3] != "---") for sign in "-+"
        )
        found.append(Mutation(name, right, wrong, tests))
    return found


def source(mutation: Mutation) -> str:
    """Return the mutated file; a ValueError says that the passage isn't there just once."""
    text = (ROOT / "mvae_tf" / mutation.path).read_text()
    if text.count(mutation.right) != 1:
        raise ValueError(f"Expected once: {mutation}. Found: {text.count(mutation.right)} times.")
    return text.replace(mutation.right, mutation.wrong)


def outcome(
    tests: list[str], seconds: float = float("inf"), mutation: Mutation | None = None
) -> str:
    """Return what becomes of test files, with a mutation or without: "pass", "fail" or "hang"."""
    with tempfile.TemporaryDirectory() as folder:
        for name in _COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(folder) / name)
        if mutation is not None:
            Path(folder, "mvae_tf", mutation.path).write_text(source(mutation))
        return _run(Path(folder), tests, seconds)


def _run(folder: Path, tests: list[str], seconds: float) -> str:
    """Run a folder's tests in a process that has TensorFlow loaded."""
    child = os.fork()
    if not child:
        status = 70
        try:
            log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1), os.dup2(log, 2)
            os.chdir(folder)
            os.environ["PYTHONPATH"] = str(folder)
            sys.path[:0] = [str(folder), str(folder / "tests")]
            files = [f"tests/test_{name}.py" for name in tests]
            options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--rootdir=."]
            status = int(importlib.import_module("pytest").main([*options, *files]))
        finally:
            os._exit(status)
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(status)
            if status not in (0, 1, 2):  # 2: the mutant can't even be imported
                raise RuntimeError((folder / "log").read_text()[-2000:])
            return "fail" if status else "pass"
        time.sleep(0.2)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hang"


def _timed(test: str) -> tuple[str, float]:
    began = time.monotonic()
    return outcome([test]), time.monotonic() - began


def main() -> int:
    """Try the mutations that are asked for; return how many survive, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="part of a mutation's file or passage")
    parser.add_argument("--list", action="store_true", help="say which there are, and try none")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    arguments = parser.parse_args()
    chosen = [each for each in read(LIST) if arguments.only in str(each)]
    for mutation in chosen:
        source(mutation)
        if arguments.list:
            print(mutation)
    if arguments.list:
        print(f"{len(chosen)} mutations")
        return 0
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    for name in ("pytest", "scipy.stats", "keras", "tensorflow_probability"):
        importlib.import_module(name)  # once for all; nothing of ours is among it
    tests = sorted({name for each in chosen for name in each.tests.split()})
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        unchanged = dict(zip(tests, pool.map(_timed, tests), strict=True))
        failing = [test for test, (result, _) in unchanged.items() if result != "pass"]
        if failing:
            print(f"Expected tests that pass without a mutation. They fail: {' '.join(failing)}.")
            return 1

        def tried(mutation):
            tests = mutation.tests.split()
            seconds = _PATIENCE * sum(unchanged[test][1] for test in tests)
            return outcome(tests, max(seconds, _LEAST_PATIENCE), mutation)

        survivors = 0
        for mutation, result in zip(chosen, pool.map(tried, chosen), strict=True):
            print(f"{_SAID[result]} {mutation}", flush=True)
            survivors += result == "pass"
    print(f"{len(chosen)} mutations, {survivors} survive")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
