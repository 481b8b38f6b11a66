"""The package's names, where they stand, and what its documents say of them."""

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mvae_tf

ROOT = Path(__file__).parent.parent
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
CITATION = (ROOT / "CITATION.cff").read_text()
ROOMS = [name for name in mvae_tf.__all__ if (ROOT / "mvae_tf" / name).is_dir()]


@pytest.mark.parametrize("name", mvae_tf.__all__)
def test_every_public_name_is_there(name):
    assert getattr(mvae_tf, name) is not None
    assert name in dir(mvae_tf)


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_a_room_is_there(room):
    room = importlib.import_module(f"mvae_tf.{room}")
    assert room.__all__
    for name in room.__all__:
        assert getattr(room, name) is not None and name in dir(room)


def test_every_folder_says_what_lives_there():
    for path in (ROOT / "mvae_tf").rglob("__init__.py"):
        module = importlib.import_module(".".join(path.parent.relative_to(ROOT).parts))
        assert module.__doc__, path


def test_dhsic_is_the_function_also_after_the_model_is_loaded():
    assert mvae_tf.MixtureVAE and callable(mvae_tf.dhsic)


def test_importing_the_package_starts_no_tensorflow():
    check = "import sys, mvae_tf, mvae_tf.datasets; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize("module", ["mvae_tf", "mvae_tf.training"])
def test_unknown_names_are_attribute_errors(module):
    with pytest.raises(AttributeError, match=rf"{module}\b.*nothing"):
        _ = importlib.import_module(module).nothing


def test_the_changelog_says_where_moved_modules_are():
    moved = re.findall(r"^  \| `(mvae_tf\.\w+)` \| `(mvae_tf[\w.]+)` \|$", CHANGELOG, re.MULTILINE)
    assert len(moved) == 17
    for before, now in moved:
        assert importlib.util.find_spec(before) is None, before
        assert importlib.util.find_spec(now) is not None, now


def test_the_documents_are_of_this_version():
    assert re.search(r"^## ([\d.]+)", CHANGELOG, re.MULTILINE)[1] == mvae_tf.__version__
    assert re.search(r"^version: (.*)$", CITATION, re.MULTILINE)[1] == mvae_tf.__version__


def test_the_recipes_name_files_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:mvae_tf|reproduce|tests|docs|\.ci)/[\w/.]*)", text)
    named = [path for path in named if "name" not in path]  # those are to be made
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
