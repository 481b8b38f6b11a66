"""A run on sixty images in three folders, and twenty images that it has never seen."""

import functools

import pytest
from told import CLASSES, save

from mvae_tf.commands import program
from mvae_tf.commands.support import sources
from mvae_tf.training import run_folder

SMALL = ["--num_components=2", "--latent_dim=3", "--hidden_units=8", "--precision=float32"]


@pytest.fixture(autouse=True)
def models_are_loaded_once(monkeypatch):
    """As graphs of a model are made once, and here it is loaded by each command."""
    monkeypatch.setattr(sources, "load_model", _load_model)


@functools.cache
def _load_model(path, load=sources.load_model):
    return load(path)


@pytest.fixture(scope="session")
def photos(digits, tmp_path_factory):
    """Grey 8x8 PNGs in three folders."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    index = 0
    for name, count in CLASSES.items():
        for number in range(count):
            save(folder / name / f"{number:02d}.png", digits.train.images[index, ..., 0])
            index += 1
    return folder


@pytest.fixture(scope="session")
def run(photos, tmp_path_factory):
    """A finished run on them."""
    folder = tmp_path_factory.mktemp("runs") / "photos"
    flags = [f"--data={photos}", "--epochs=1", f"--output_dir={folder}"]
    assert program.main(["train", *flags, *SMALL]) == 0
    return folder


@pytest.fixture(scope="module")
def model(run):
    return run_folder.load(run).model


@pytest.fixture(scope="session")
def twenty(digits, tmp_path_factory):
    """A folder of twenty images that the run has never seen."""
    folder = tmp_path_factory.mktemp("new") / "twenty"
    for number, image in enumerate(digits.test.images[:20]):
        save(folder / f"{number:02d}.png", image[..., 0])
    return folder
