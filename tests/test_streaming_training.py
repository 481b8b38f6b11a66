"""Training on folders that are streamed: the weights are those of the same images in memory."""

import shutil
import sys

import keras
import numpy as np
import pytest
import recycled
from nursery import MAIN, Nursery
from PIL import Image
from test_datasets import save_images, some_images

import mvae_tf
from mvae_tf import datasets, training
from mvae_tf.commands import program
from mvae_tf.commands.support import settings
from mvae_tf.datasets.formats import pixels
from mvae_tf.training import run_folder

COUNT = 40
# Many steps, of which a few are read ahead.
SMALL = ["--num_components=2", "--latent_dim=3", "--hidden_units=8", "--batch_size=1", "--jit=off"]

pytestmark = pytest.mark.usefixtures("recycled_runs")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "photos"
    for name, seed in (("bats", 0), ("cats", 1)):
        save_images(folder / name, some_images(COUNT // 2, channels=1, seed=seed))
    return folder


@pytest.fixture(scope="module")
def expected(original, tmp_path_factory):
    """The weights of two epochs on the images in memory."""
    run = tmp_path_factory.mktemp("runs") / "run"
    assert program.main(train(original, run)) == 0
    recycled.take_back()
    return weights(run)


@pytest.fixture
def photos(original, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(original, tmp_path / "photos")


def train(folder, run, *flags):
    return ["train", f"--data={folder}", "--epochs=2", f"--output_dir={run}", *SMALL, *flags]


def resume(run, *flags):
    return ["train", f"--output_dir={run}", "--resume", *flags]


def weights(run):
    return np.concatenate([np.ravel(each) for each in run_folder.load(run).model.get_weights()])


def at_the_end_of_the_first_epoch(monkeypatch, do):
    """Do something once a run has written its first checkpoint."""

    class Doing(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                do()

    run = training.train

    def trained(*args, callbacks=(), **options):
        return run(*args, callbacks=[*callbacks, Doing()], **options)

    monkeypatch.setattr(training, "train", trained)


@pytest.mark.parametrize("way", ["--stream", "--cache=cache"])
def test_a_run_has_the_weights_of_the_run_in_memory(
    original, expected, call, tmp_path, monkeypatch, way
):
    monkeypatch.chdir(tmp_path)
    status, _, err = call(*train(original, "run", way, "--tensorboard"))
    assert status == 0 and "36 training and 4 test images of shape (5, 4, 1)" in err
    np.testing.assert_array_equal(weights(tmp_path / "run"), expected)
    # What is said of the run's images holds for its other commands, wherever they are called.
    monkeypatch.chdir("/")
    assert settings.read(tmp_path / "run").data["cache"] == (
        str(tmp_path / "cache") if "cache" in way else None
    )
    if "cache" in way:
        monkeypatch.setattr(pixels, "read_picture", None)
    else:
        monkeypatch.setattr(np, "stack", None)  # as reading into memory ends
    assert call("evaluate", f"--model={tmp_path / 'run'}", "--num_samples=0")[0] == 0
    output = f"--output={tmp_path / 'images.npz'}"
    assert call("reconstruct", f"--model={tmp_path / 'run'}", "--count=3", output)[0] == 0
    monkeypatch.undo()
    shown = np.load(tmp_path / "images.npz")["images"]
    known = datasets.load(original).test.float_images()
    assert all((image == known).all(axis=(1, 2, 3)).any() for image in shown)


def test_fit_evaluate_and_predict_take_what_is_streamed(original, jit):
    def results(stream):
        data = datasets.load(original, stream=stream)
        model = mvae_tf.MixtureVAE((5, 4, 1), 2, 2, (8,), seed=0)
        model.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=jit)
        heavy = np.linspace(0, 2, len(data.train), dtype=np.float32)
        options = {"validation_split": 0.25, "sample_weight": heavy, "shuffle": False}
        yield model.fit(data.train.images, batch_size=9, verbose=0, **options).history
        if not jit:
            yield model.fit(data, batch_size=9, validation_data=data, verbose=0).history
            yield model.evaluate(data, verbose=0)
            yield model.predict(data, batch_size=3, verbose=0)
        yield from model.get_weights()

    for ours, theirs in zip(results(True), results(False), strict=True):
        np.testing.assert_equal(ours, theirs)


def test_a_batch_of_all_streamed_images_is_refused(original):
    model = mvae_tf.MixtureVAE((5, 4, 1), 2, 2, (8,), seed=0)
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    with pytest.raises(ValueError, match=r"images\[:100\]"):
        model.train_on_batch(datasets.load(original, stream=True))
    with pytest.raises(ValueError, match=r"shape|images to be"):
        model.fit(datasets.load(original, stream=True, image_size=(3, 3)))


def test_a_file_that_goes_while_a_run_trains_stops_it_and_it_goes_on(
    photos, expected, call, tmp_path, monkeypatch
):
    path, aside = photos / "cats" / "007.png", tmp_path / "aside"
    with monkeypatch.context() as patched:
        at_the_end_of_the_first_epoch(patched, lambda: path.parent.rename(aside))
        status, _, err = call(*train(photos, tmp_path / "run", "--stream"))
    assert status == 1
    told = err[err.index("Expected the images as they were") :].splitlines()
    assert len(told) == 3 and f"{path.parent}" in told[0] and "gone" in told[0]
    assert "checkpoints/epoch-00001" in told[1] and told[2].endswith("--resume")
    # Without those files it is another set of images.
    status, _, err = call(*resume(tmp_path / "run"))
    assert status == 1 and "Expected the images that the run was begun with" in err
    aside.rename(path.parent)
    assert call(*resume(tmp_path / "run"))[0] == 0
    np.testing.assert_array_equal(weights(tmp_path / "run"), expected)


def test_a_cache_that_goes_while_a_run_trains_is_made_anew(
    photos, expected, call, tmp_path, monkeypatch
):
    cache = tmp_path / "cache"
    with monkeypatch.context() as patched:
        at_the_end_of_the_first_epoch(patched, lambda: shutil.rmtree(cache))
        status, _, err = call(*train(photos, tmp_path / "run", f"--cache={cache}"))
    assert status == 1 and "to be read, the images' cache" in err and "--resume" in err
    assert call(*resume(tmp_path / "run"))[0] == 0
    np.testing.assert_array_equal(weights(tmp_path / "run"), expected)


def test_files_that_changed_since_the_cache_was_made_are_another_set(photos, call, tmp_path):
    common = train(photos, tmp_path / "run", f"--cache={tmp_path / 'cache'}")
    assert call(*common, "--epochs=1")[0] == 0
    Image.new("L", (4, 5), 9).save(photos / "bats" / "003.png")
    status, _, err = call(*resume(tmp_path / "run", "--epochs=2"))
    assert status == 1 and "Expected the images that the run was begun with" in err


def test_what_is_passed_over_is_counted_and_stays_so(photos, call, tmp_path):
    for number in (3, 11):
        (photos / "bats" / f"{number:03d}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    status, _, err = call(*train(photos, tmp_path / "run", "--stream"))
    assert status == 1 and "Expected a readable image. Received: " in err and "003.png" in err
    assert not (tmp_path / "run").exists()
    status, _, err = call(*train(photos, tmp_path / "run", "--skip_unreadable", "--epochs=1"))
    assert status == 0 and "2 of 40 files can't be read, and are passed over" in err
    assert "34 training and 4 test images" in err
    status, _, err = call(*resume(tmp_path / "run", "--epochs=2", "--stream"))  # one's choice
    assert status == 0 and "2 of 40 files" in err
    stored = settings.read(tmp_path / "run").data
    assert stored["skip_unreadable"] is True and stored["stream"] is True


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has neither fork nor SIGKILL")
@pytest.mark.parametrize("way", ["--stream", "--cache"])
def test_a_killed_run_goes_on_bit_for_bit(original, tmp_path, way):
    nursery = Nursery(tmp_path)
    cache = tmp_path / "cache"
    flags = ["--epochs=12", way if way == "--stream" else f"--cache={cache}"]
    try:
        ended = nursery.run(MAIN, *train(original, tmp_path / "undisturbed", *flags[:1]))
        assert ended.status == 0, ended.err
        kills, run = 0, tmp_path / "run"
        for share in (0.3, 0.5, 0.6, 0.7, 0.8):
            begun = ["--resume"] * (run / "settings.json").exists()
            ended = nursery.run(
                MAIN, *train(original, run, *flags, *begun), kill_after=share * ended.seconds
            )
            assert ended.status in (0, -9) and "Traceback" not in ended.err, ended.err
            kills += ended.status == -9
        assert kills
        begun = ["--resume"] * (run / "settings.json").exists()
        ended = nursery.run(MAIN, *train(original, run, *flags, *begun))
        assert ended.status == 0, ended.err
    finally:
        nursery.close()
    np.testing.assert_array_equal(weights(run), weights(tmp_path / "undisturbed"))
    assert not list(cache.glob("*.unfinished"))
