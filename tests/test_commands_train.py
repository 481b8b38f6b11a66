"""`mvae-tf train`: from a first start to the end of a run, whatever comes between."""

import errno
import json
import os
import re
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import SMALL, weights

from mvae_tf import presets
from mvae_tf.commands import program, train
from mvae_tf.commands.support import arguments, settings, train_flags
from mvae_tf.training import precision, run_folder

pytestmark = pytest.mark.usefixtures("recycled_runs")


# A new run ----------------------------------------------------------------------------------------


def test_a_run_keeps_what_it_takes_to_go_on(run_train, tmp_path, digits):
    folder = tmp_path / "new" / "run"
    status, out, err = run_train("--data=digits", "--epochs=1", f"--output_dir={folder}", *SMALL)
    assert status == 0
    assert len(out.splitlines()) == 1 and out.startswith(f"{folder / 'model.keras'}: 1 epoch in ")
    assert "epoch 1/1: " in err and f"evaluate --model={folder}" in err
    assert "paper_mnist" in err  # which it chose
    record = run_folder.read_record(folder)
    stored = settings.read(folder)
    assert record["settings"] == json.loads(json.dumps(stored.resolved()))
    assert stored.preset == "paper_mnist" and stored.data["digest"] == digits.digest
    assert stored.model["image_shape"] == [8, 8, 1] and stored.model["hidden_units"] == [16]
    assert stored.training["epochs"] == 1 and stored.training["learning_rate"] == 1e-3
    choice = precision.resolve()  # what it is on this machine, never "auto"
    assert stored.training["precision"] == choice.policy
    assert err.splitlines().count(f"precision: {choice}") == 1


def test_own_images_in_folders_of_different_sizes(run_train, tmp_path, digits):
    photos = tmp_path / "my photos"
    for number in range(30):
        folder = photos / f"class {digits.train.labels[number]}"
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(digits.train.images[number, ..., 0])
        image.resize((8 + number % 3, 9)).save(folder / f"image {number}.png")
    common = [f"--data={photos}", f"--output_dir={tmp_path / 'run'}", "--epochs=1", *SMALL]
    status, _, err = run_train(*common)
    assert status == 1 and "image_size" in err
    assert not (tmp_path / "run").exists()
    status, _, err = run_train(*common, "--image_size=9x8", "--test_fraction=0.2")
    assert status == 0 and "24 training and 6 test images" in err
    stored = settings.read(tmp_path / "run")
    assert stored.model["image_shape"] == [9, 8, 1] and stored.data["image_size"] == [9, 8]
    # The run's own images, resized again.
    model = f"--model={tmp_path / 'run'}"
    assert program.main(["reconstruct", model, f"--output={tmp_path / 'r.npz'}"]) == 0
    assert np.load(tmp_path / "r.npz")["images"].shape == (6, 9, 8, 1)


def test_tensorboard_and_a_precision_of_ones_own(run_train, tmp_path):
    folder = tmp_path / "run"
    flags = ["--epochs=1", "--tensorboard", "--precision=mixed_bfloat16", "--learning_rate=0.01"]
    assert run_train("--data=digits", f"--output_dir={folder}", *flags, *SMALL)[0] == 0
    assert list((folder / "tensorboard").rglob("events.out.tfevents.*"))
    stored = settings.read(folder)
    assert stored.tensorboard_every == 1 and stored.training["precision"] == "mixed_bfloat16"
    assert stored.training["learning_rate"] == 0.01
    assert run_folder.load(folder).model.dtype_policy.name == "mixed_bfloat16"
    go_on = [f"--output_dir={folder}", "--resume", "--epochs=2"]
    status, _, err = run_train(*go_on, "--precision=float32")
    assert status == 2 and "--precision=float32, which is mixed_bfloat16 in the run" in err
    status, _, err = run_train(*go_on, "--precision=auto")  # leaves it to the run
    assert status == 0 and "precision: mixed_bfloat16 (the run's own)" in err
    assert settings.read(folder).training["precision"] == "mixed_bfloat16"


def chosen(*argv, preset, shape, count=10_000):
    given = arguments.parse("", train_flags.define, argv)
    images = np.broadcast_to(np.uint8(0), (count, *shape))
    return settings.from_flags(given, preset, images, "float32", "off")


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_are_taken_for_images_of_any_shape(name):
    preset = presets.get(name)
    plain = chosen(preset=name, shape=(40, 30, 3))
    assert plain["model"]["image_shape"] == (40, 30, 3)
    for argument, value in preset.model.items():
        assert argument == "image_shape" or plain["model"][argument] == value
    assert plain["training"]["epochs"] == preset.epochs
    assert plain["training"]["decay"] == preset.decay
    changed = chosen(
        "--mixing=image", "--kl_weight=0.5", "--seed=7", "--epochs=3", preset=name, shape=(8, 8, 1)
    )
    different = {"mixing": "image", "kl_weight": 0.5, "seed": 7, "image_shape": (8, 8, 1)}
    assert changed["model"] == {**plain["model"], **different}
    assert changed["training"] == {**plain["training"], "epochs": 3, "seed": 7}


def test_activations_dropout_and_initial_weights_by_flags():
    flags = ["--activation=elu,tanh", "--decoder_activation=elu", "--dropout=0.2"]
    flags += ["--initializer=he_normal"]
    model = chosen(*flags, preset="paper_mnist", shape=(28, 28, 1))["model"]
    assert model["activation"] == ["elu", "tanh"] and model["decoder_activation"] == "elu"
    assert model["dropout"] == 0.2 and model["initializer"] == "he_normal"
    # Nothing of it is in the settings of a run that is not given it, as in all earlier ones.
    plain = chosen(preset="paper_mnist", shape=(28, 28, 1))["model"]
    assert plain["activation"] == "relu"
    assert not {"decoder_activation", "dropout", "initializer"} & plain.keys()


def test_another_network_has_its_own_hidden_units():
    name, shape = "paper_mnist", (28, 28, 1)
    model = chosen("--network=convolutional", preset=name, shape=shape)["model"]
    assert model["hidden_units"] is None
    flags = ["--network=convolutional", "--hidden_units=8,4"]
    assert chosen(*flags, preset=name, shape=shape)["model"]["hidden_units"] == [8, 4]


@pytest.mark.parametrize(
    ("shape", "network"),
    [
        ((8, 8, 1), "dense"),
        ((28, 28, 1), "dense"),
        ((7, 300, 3), "dense"),
        ((32, 32, 3), "convolutional"),
        ((64, 48, 1), "convolutional"),
    ],
)
def test_without_a_preset_the_images_decide(shape, network):
    preset = settings.usual_preset(shape)
    assert chosen(preset=preset, shape=shape)["model"]["network"] == network


def test_few_images_come_in_small_batches():
    def batch_size(count, *flags):
        shape, preset = (28, 28, 1), "paper_mnist"
        return chosen(*flags, preset=preset, shape=shape, count=count)["training"]["batch_size"]

    assert [batch_size(count) for count in (1, 100, 270, 1500, 2048, 60_000)] == [
        8, 8, 16, 64, 128, 128
    ]  # fmt: skip
    assert batch_size(270, "--preset=paper_mnist") == 128
    assert batch_size(270, "--batch_size=50") == 50


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--preset=paper_cifar10"], "--preset=paper_cifar10"),
        (["--network=convolutional"], "at least 8"),
        (["--kl_weight=nan"], "kl_weight"),
        (["--learning_rate=nan"], "learning_rate"),
        (["--learning_rate=0"], "learning_rate"),
    ],
)
def test_settings_that_do_not_go_with_the_images(run_train, tmp_path, flags, named):
    np.save(tmp_path / "x.npy", np.zeros((10, 6, 6), np.uint8))
    status, out, err = run_train(
        f"--data={tmp_path / 'x.npy'}", f"--output_dir={tmp_path / 'r'}", *flags
    )
    assert status == 2 and out == "" and named in err
    assert not (tmp_path / "r").exists()


# What goes wrong ----------------------------------------------------------------------------------


def test_data_that_is_not_there(run_train, tmp_path):
    for source in ("minst", tmp_path / "no folder"):
        status, out, err = run_train(f"--data={source}", f"--output_dir={tmp_path / 'run'}")
        assert status == 1 and out == "" and str(source) in err
        assert err.startswith("mvae-tf train: Expected ")
    (tmp_path / "bad.npz").write_text("no arrays")
    status, _, err = run_train(f"--data={tmp_path / 'bad.npz'}", f"--output_dir={tmp_path / 'run'}")
    assert status == 1 and "bad.npz" in err
    assert not (tmp_path / "run").exists()


def test_gradients_that_are_not_finite(run_train, tmp_path):
    flags = ["--data=digits", "--learning_rate=1e38", "--epochs=5", *SMALL]
    status, out, err = run_train(*flags, f"--output_dir={tmp_path / 'run'}")
    assert status == 1 and out == ""
    assert "Expected finite gradients" in err and "lower --learning_rate" in err


def test_a_folder_that_cannot_be_written(run_train, tmp_path):
    (tmp_path / "file").write_text("in the way")
    flags = ["--data=digits", "--epochs=1", *SMALL]
    status, out, err = run_train(*flags, f"--output_dir={tmp_path / 'file' / 'run'}")
    assert status == 1 and out == "" and "file" in err


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_and_on_when_there_is_room(run_train, run, two_epochs):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    go_on = [f"--output_dir={run}", "--resume", "--epochs=3"]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
        status, out, err = run_train(*go_on)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 1 and out == "" and "could not be written" in err and "epoch-00002" in err
    np.testing.assert_array_equal(weights(run), weights(two_epochs))  # still there
    assert run_train(*go_on)[0] == 0


def test_a_run_is_not_overwritten(run_train, run, monkeypatch):
    before = (run / "model.keras").read_bytes()
    status, _, err = run_train("--data=digits", f"--output_dir={run}")
    assert status == 2 and f"'--output_dir={run}' --resume" in err  # quoted: it has a blank
    assert run_train(f"--output_dir={run}")[0] == 2
    monkeypatch.chdir(run.parent)
    (run.parent / "runs").mkdir()
    run.rename(run.parent / "runs" / "digits")  # where --output_dir points by default
    status, _, err = run_train("--data=digits")
    assert status == 2 and "runs/digits" in err
    assert (run.parent / "runs" / "digits" / "model.keras").read_bytes() == before


def test_a_folder_in_use_is_refused(run_train, run):
    with run_folder.locked(run, wait=False):
        status, _, err = run_train(f"--output_dir={run}", "--resume", "--epochs=3")
        assert status == 1 and "one that trains there now" in err
        assert program.main(["info", f"--model={run}"]) == 0


@pytest.mark.parametrize(
    "content", ["", "[]", '{"preset": 1}', '{"model": {}, "training": {}, "data": {}}']
)
def test_damaged_settings_are_taken_from_what_is_left(run_train, run, two_epochs, content):
    """From their copy; or from the record; or from the flags, named again."""
    (run / settings.FILE).write_text(content)
    status, _, err = run_train(f"--output_dir={run}", "--resume")
    assert status == 0 and f"taken from {settings.COPY}" in err
    assert program.main(["info", f"--model={run}"]) == 0
    (run / settings.COPY).write_text(content)
    assert "taken from record.json" in run_train(f"--output_dir={run}", "--resume")[2]
    (run / "record.json").write_text(content)
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    status, out, err = run_train(f"--output_dir={run}", "--resume")
    assert status == 1 and out == "" and "left as they are" in err and "--data=..." in err
    assert "elete" not in err and len(err.splitlines()) == 1
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before
    again = ["--data=digits", "--epochs=2", *SMALL]
    assert run_train(f"--output_dir={run}", "--resume", *again)[0] == 0
    np.testing.assert_array_equal(weights(run), weights(two_epochs))
    assert settings.read(run) == settings.read(two_epochs)


@pytest.mark.parametrize("name", ["record.json", "model.keras"])
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff"])
def test_a_damaged_run_is_made_whole_from_its_checkpoint(run_train, run, two_epochs, name, content):
    (run / name).write_bytes(content)
    for command in (["info"], ["evaluate"]):
        assert program.main([*command, f"--model={run}"]) == 1
    status, _, err = run_train(f"--output_dir={run}", "--resume")
    assert status == 0 and "damaged" in err and "elete" not in err
    np.testing.assert_array_equal(weights(run), weights(two_epochs))
    history = run_folder.read_record(run)["history"]
    assert history == run_folder.read_record(two_epochs)["history"]


def test_a_run_of_a_newer_version_is_left_alone(run_train, run):
    """Trained on, it would be of both versions, and say that it is of ours."""
    newer = json.loads((run / settings.FILE).read_text()) | {"training_version": 1000}
    (run / settings.FILE).write_text(json.dumps(newer))
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    status, out, err = run_train(f"--output_dir={run}", "--resume", "--epochs=3")
    assert status == 1 and out == "" and "1000, of a newer mvae_tf" in err
    assert len(err.splitlines()) == 1
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_fewer_epochs_than_there_are_are_refused(run_train, run):
    for name in (settings.FILE, settings.COPY, "record.json"):
        (run / name).write_text("")
    flags = [f"--output_dir={run}", "--resume", "--data=digits", "--epochs=1", *SMALL]
    status, _, err = run_train(*flags)
    assert status == 2 and "Expected --epochs of at least 2" in err


@pytest.mark.parametrize("error", ["ResourceExhaustedError", "MemoryError", "ValueError"])
def test_a_model_that_is_too_large(run_train, tmp_path, monkeypatch, error):
    import tensorflow as tf

    errors = {
        "ResourceExhaustedError": tf.errors.ResourceExhaustedError(None, None, "OOM when"),
        "MemoryError": MemoryError(),
        "ValueError": ValueError("array is too big"),
    }

    def build(*arguments):
        raise errors[error]

    monkeypatch.setattr(run_folder, "build", build)
    status, out, err = run_train("--data=digits", f"--output_dir={tmp_path / 'run'}")
    assert (status, out) == (1, "") and "smaller --num_components" in err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("refused", [1, 2])  # settings.json, its copy
def test_a_disk_that_is_full_from_the_start(run_train, tmp_path, monkeypatch, refused):
    replace, calls = os.replace, []

    def full(source, target):
        calls.append(target)
        if len(calls) == refused:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    begin = ["--data=digits", "--epochs=1", f"--output_dir={tmp_path / 'run'}", *SMALL]
    status, out, err = run_train(*begin)
    assert (status, out) == (1, "") and "No space left on device" in err and "settings.json" in err
    if refused == 1:
        assert "give the same command again" in err and "--resume" not in err
        assert run_train(*begin)[0] == 0
    else:
        assert "--resume" in err.splitlines()[-1]
        assert run_train(f"--output_dir={tmp_path / 'run'}", "--resume")[0] == 0


def test_a_folder_that_cannot_be_written_is_found_before_the_data(run_train, tmp_path, monkeypatch):
    monkeypatch.setattr("mvae_tf.datasets.load", None)
    (tmp_path / "file").write_text("in the way")
    for folder in ("file", "file/run"):
        status, _, err = run_train("--data=digits", f"--output_dir={tmp_path / folder}")
        assert status == 1 and "Expected " in err and "file" in err


def folder_of(source):
    return train._folder(arguments.parse("", train_flags.define, [f"--data={source}"]))


def test_the_usual_folder_is_named_after_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    named = {
        "mnist": "mnist",
        "tfds:mnist": "tfds-mnist",
        "./mnist": "own-mnist",
        "tfds:rock_paper/large:1.0.0": "rock_paper-large-1.0.0",
        "photos": "photos",
        "a/photos.2024/": "photos.2024",
        "a/photos.2025": "photos.2025",
        "a/my photos.npz": "my-photos",
        "photos/..": re.sub(r"[^\w.-]+", "-", tmp_path.name),
        "/": "images",
    }
    assert {source: folder_of(source).name for source in named} == named
    assert {folder_of(source).parent for source in named} == {Path("runs")}


def test_two_sources_of_one_name_do_not_share_a_folder(run_train, tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    for folder in "ab":
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "photos.npy", digits.train.images[:50])
    assert run_train("--data=a/photos.npy", "--epochs=1", *SMALL)[0] == 0
    status, _, err = run_train("--data=b/photos.npy", "--epochs=1", *SMALL)
    assert status == 2 and str(tmp_path / "a" / "photos.npy") in err and "--resume" not in err
    status, _, err = run_train("--data=a/photos.npy", "--epochs=1", *SMALL)
    assert status == 2 and "--resume" in err
