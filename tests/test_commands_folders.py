"""The command line on folders as people have them: their names, and runs inside of them."""

import json
import os
import sys

import numpy as np
import pytest
from PIL import Image
from test_datasets import save_images, some_images

from mvae_tf import datasets
from mvae_tf.commands import info, program, train
from mvae_tf.commands.support import settings, sources

TINY = ["--epochs=1", "--num_components=1", "--latent_dim=2", "--hidden_units=4"]
# What a name is in bytes that are no UTF-8, and how it is shown.
NAIVE = (b"na\xefve", r"na\xefve") if sys.platform == "linux" else ("naïve".encode(), "naïve")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two classes in which a model was trained, without a word of where to."""
    folder = tmp_path_factory.mktemp("own") / "photos"
    for index, label in enumerate((b"cat", NAIVE[0])):
        path = os.fsdecode(os.fsencode(folder) + b"/" + label)
        os.makedirs(path)
        for number, image in enumerate(some_images(6, 8, 8, seed=index)):
            Image.fromarray(image).save(f"{path}/{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # What is written before the first epoch is all that matters here.
        patch.setattr(train, "_build", lambda *args: None)
        patch.setattr(
            train, "_train", lambda model, stored, data, place, strategy: begin(stored, place)
        )
        assert program.main(["train", "--data=.", *TINY]) == 0
    return folder


def begin(stored, folder):
    folder.mkdir(parents=True, exist_ok=True)
    stored.write(folder)


def test_a_run_inside_of_its_data_is_no_data(photos):
    stored = settings.read(photos / "runs" / "photos").data
    assert len(datasets.load(photos).train) == 11
    assert sources.load_data(stored).digest == stored["digest"]


def test_class_names_are_kept_and_shown(photos, call):
    run = photos / "runs" / "photos"
    _, out, _ = call("info", f"--model={run}")
    assert f"classes    2: cat, {NAIVE[1]}\n" in out
    out.encode()
    _, out, _ = call("info", f"--model={run}", "--json")
    assert json.loads(out)["data"]["class_names"] == ["cat", NAIVE[1]]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are not UTF-8")
def test_outputs_whose_names_are_not_utf_8_are_refused(photos, call, tmp_path):
    place = os.fsdecode(os.fsencode(tmp_path) + b"/" + NAIVE[0])
    status, _, err = call("train", f"--data={photos}", *TINY, f"--output_dir={place}")
    assert status != 0 and "path in UTF-8" in err
    assert list(tmp_path.iterdir()) == []


def test_many_classes_are_counted():
    names = [f"class {number}" for number in range(30)]
    assert info._classes(names) == f"30: {', '.join(names[:20])}, ..."


@pytest.mark.parametrize("names", [("photos.2024", "photos.2025"), ("photos.npz", "photos.2.npz")])
def test_folders_of_other_names_train_elsewhere(names, tmp_path):
    places = set()
    for name in names:
        flags = type("Flags", (), {"output_dir": None, "data": str(tmp_path / name)})
        places.add(str(train._folder(flags)))
    assert places == {os.path.join("runs", name.removesuffix(".npz")) for name in names}


def test_folders_of_one_name_are_told_apart(photos, call, tmp_path, monkeypatch):
    save_images(tmp_path / "photos", some_images(3))
    monkeypatch.chdir(photos)
    status, _, err = call("train", f"--data={tmp_path / 'photos'}", *TINY)
    assert status == 2
    assert "runs/photos, the usual one of that name, holds a run on other images" in err


def test_arrays_are_named_where_they_are_refused(tmp_path, call):
    np.save(tmp_path / "x.npy", np.zeros((20, 3, 32, 32), np.uint8))
    status, _, err = call("train", f"--data={tmp_path / 'x.npy'}", *TINY)
    assert status == 1
    assert len(err.strip().splitlines()) == 1 and "images.transpose(0, 2, 3, 1)" in err
