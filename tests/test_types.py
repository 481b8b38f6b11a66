"""What a type checker sees of the package: its names, its arguments, and what Windows lacks."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

import mvae_tf

PAGE = Path(__file__).with_name("typed_page.py")
PACKAGE = Path(mvae_tf.__file__).parent

# What is said of each name that the page asks about, in its order.
REVEALED = {
    "data": "mvae_tf.datasets.splits.Dataset",
    "data.train": "mvae_tf.datasets.splits.Split",
    "images": "numpy.ndarray[",
    "labels": "numpy.ndarray[",
    "model": "mvae_tf.model.MixtureVAE",
    "preset": "mvae_tf.model.MixtureVAE",
    "model.fit": "batch_size: int | None =, epochs: int =,",
    "history": "list[dict[",
    "posterior": "mvae_tf.objective.posterior.Posterior]",
    "model.reconstruct": "def (images: ",
    "mvae_tf.dhsic": "def (variables: typing.Sequence[",
    "test": "mvae_tf.hsic.independence.IndependenceTest]",
    "folder": "pathlib.Path",
    "plots.image_rows": "def (rows: typing.Sequence[",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The Python of one in which the package is installed, beside NumPy alone: that is quick."""
    folder = tmp_path_factory.mktemp("environment")
    builder = venv.EnvBuilder(symlinks=True)
    builder.create(folder)
    installed = next(folder.rglob("site-packages"))
    (installed / "mvae_tf").symlink_to(PACKAGE)
    (installed / "numpy").symlink_to(Path(np.__file__).parent)
    return Path(builder.ensure_directories(folder).env_exe)


def mypy(environment, *arguments):
    """Return the lines that mypy writes, run as by a user in an environment."""
    folder = environment.parent.parent
    command = [sys.executable, "-m", "mypy", f"--python-executable={environment}", "--no-pretty"]
    command += [f"--cache-dir={folder / 'cache'}", "--ignore-missing-imports", *arguments]
    paths = ("PYTHONPATH", "MYPYPATH")  # by which the package would be found without being typed
    variables = {name: value for name, value in os.environ.items() if name not in paths}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=variables
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def said(environment):
    return mypy(environment, "--strict", "--follow-imports=silent", str(PAGE))


def test_a_misspelt_keyword_is_found_and_nothing_else(said):
    (mistake,) = (line for line in said if ": error: " in line)
    where = next(
        number
        for number, line in enumerate(PAGE.read_text().splitlines(), start=1)
        if line.endswith("# the one mistake")
    )
    assert f"{PAGE.name}:{where}: " in mistake
    assert 'Unexpected keyword argument "epocs" for "fit"' in mistake


def test_the_public_names_are_not_any(said):
    asked = re.findall(r"^reveal_type\((.*)\)$", PAGE.read_text(), re.MULTILINE)
    revealed = [match[1] for line in said if (match := re.search(r'Revealed type is "(.*)"', line))]
    assert asked == list(REVEALED) and len(revealed) == len(asked)
    for name, seen in zip(asked, revealed, strict=True):
        assert REVEALED[name] in seen, f"{name}: {seen}"


def test_nothing_is_used_that_windows_lacks(environment):
    """As far as the standard library's types say what each system has."""
    options = "--platform=win32", "--check-untyped-defs", "--follow-imports=skip"
    said = mypy(environment, *options, str(PACKAGE))
    assert [line for line in said if "Module has no attribute" in line] == []
    assert "checked" in said[-1], said[-1]


def test_the_check_for_windows_finds_what_it_lacks(environment, tmp_path):
    page = tmp_path / "page.py"
    page.write_text("import fcntl, os, resource\nos.killpg, fcntl.flock, resource.getrusage\n")
    said = mypy(environment, "--platform=win32", str(page))
    assert sum("Module has no attribute" in line for line in said) == 3
