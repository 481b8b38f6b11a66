import json
import logging
import math
import shutil
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from recycled import recycled
from tensorboard.backend.event_processing import data_provider, event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.projector import projector_plugin
from werkzeug.test import Client

import mvae_tf
from mvae_tf.datasets.splits import Split
from mvae_tf.tensorboard import TensorBoard

TERMS = ["loss", "melbo", "reconstruction", "kl_z", "kl_w", "dhsic", "mse"]
STEPS, EPOCHS, EVERY, IMAGES, CODES = 5, 4, 2, 3, 60
RNG = np.random.default_rng(0)


@recycled
def make(image_shape=(8, 8, 1), num_components=2, epochs=EPOCHS):
    model = mvae_tf.MixtureVAE(image_shape, num_components, 3, (8,), seed=0)
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, STEPS * epochs)
    model.compile(optimizer=keras.optimizers.Adam(schedule))
    return model


def fit(model, digits, callbacks, first=0, last=EPOCHS, **kwargs):
    images = digits.train.float_images(0, 50 * STEPS)
    keras.utils.set_random_seed(0)  # Keras shuffles the images
    return model.fit(
        images, batch_size=50, initial_epoch=first, epochs=last, verbose=0, callbacks=callbacks,
        **kwargs,
    )  # fmt: skip


def read(folder):
    """What TensorBoard finds: by run and tag the (step, value) of scalars or images."""
    runs = event_multiplexer.EventMultiplexer(size_guidance={"tensors": 0})
    runs.AddRunsFromDirectory(str(folder)).Reload()
    return {
        run: {
            tag: [
                (event.step, tf.make_ndarray(event.tensor_proto))
                for event in runs.Tensors(run, tag)
            ]
            for tag in runs.GetAccumulator(run).Tags()["tensors"]
        }
        for run in runs.Runs()
    }


def steps(events):
    return [step for step, _ in events]


def values(events):
    return np.array([value for _, value in events])


class Served:
    """The answers of TensorBoard's projector to its page."""

    def __init__(self, folder):
        runs = event_multiplexer.EventMultiplexer()
        runs.AddRunsFromDirectory(str(folder)).Reload()
        provider = data_provider.MultiplexerDataProvider(runs, str(folder))
        context = base_plugin.TBContext(logdir=str(folder), data_provider=provider)
        self._apps = projector_plugin.ProjectorPlugin(context).get_plugin_apps()

    def get(self, route, **query):
        response = Client(self._apps[route]).get(query_string={"run": "train", **query})
        assert response.status_code == 200, response.text
        return response

    @property
    def embeddings(self):
        found = json.loads(self.get("/info").text)["embeddings"]
        return {embedding["tensorName"]: embedding for embedding in found}

    def codes(self, name="codes"):
        codes = np.frombuffer(self.get("/tensor", name=name).data, np.float32)
        return codes.reshape(self.embeddings[name]["tensorShape"])

    def labels(self, name="codes"):
        return [int(line) for line in self.get("/metadata", name=name).text.splitlines()]

    def thumbnails(self, tmp_path, name="codes"):
        """The tiles [n, h, w(, 3)] in the order in which the page gives them to the codes."""
        path = tmp_path / "sprite.png"
        path.write_bytes(self.get("/sprite_image", name=name).data)
        with Image.open(path) as image:
            assert max(image.size) <= 8192
            sheet = np.asarray(image)
        width, height = self.embeddings[name]["sprite"]["singleImageDim"]
        rows, columns = sheet.shape[0] // height, sheet.shape[1] // width
        tiles = sheet.reshape(rows, height, columns, width, -1).swapaxes(1, 2)
        return tiles.reshape(rows * columns, height, width, -1)


class Seen(keras.callbacks.Callback):
    """What the model itself says at the end of each epoch."""

    def __init__(self, split):
        super().__init__()
        self.images, self.shown = split.float_images(0, CODES), split.float_images(0, IMAGES)
        self.weights, self.rows, self.features = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.encode(self.images).w.mean().numpy().mean(axis=0))
        self.features.append(self.model.features(self.images).numpy())
        components = self.model.component_reconstructions(self.shown).numpy().swapaxes(0, 1)
        self.rows.append([self.shown, self.model.reconstruct(self.shown).numpy(), *components])

    def on_train_end(self, logs=None):
        self.draws = self.model.sample(IMAGES).numpy()
        self.variables = [variable.numpy() for variable in self.model.variables]


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A training with the callback: folder, model, history, what was seen, seconds."""
    folder = tmp_path_factory.mktemp("logs") / "digits"
    model, seen = make.new(), Seen(digits.test)
    board = TensorBoard(folder, digits.test, every=EVERY, images=IMAGES, codes=CODES)
    began = time.monotonic()
    history = fit(model, digits, [board, seen], validation_data=digits.test.float_images(0, 40))
    return folder, model, history.history, seen, time.monotonic() - began


def test_scalars_are_those_of_fit_and_of_the_model(trained):
    folder, _, history, seen, seconds = trained
    runs = read(folder)
    assert set(runs) == {"train", "validation"}
    assert set(runs["validation"]) == {f"terms/{name}" for name in TERMS}
    for run, prefix in [("train", ""), ("validation", "val_")]:
        for name in TERMS:
            events = runs[run][f"terms/{name}"]
            assert steps(events) == list(range(EPOCHS))
            np.testing.assert_allclose(values(events), history[prefix + name], rtol=1e-6)
    done = np.arange(1, EPOCHS + 1) / EPOCHS
    rates = runs["train"]["training/learning_rate"]
    assert steps(rates) == list(range(EPOCHS))
    np.testing.assert_allclose(values(rates), 5e-3 * (1 + np.cos(math.pi * done)), atol=1e-8)
    weights = [values(runs["train"][f"mixing_weights/component_{k}"]) for k in (1, 2)]
    np.testing.assert_allclose(np.transpose(weights), seen.weights, rtol=1e-5)
    assert np.std(weights) > 0
    speeds = values(runs["train"]["training/steps_per_second"])
    assert len(speeds) == EPOCHS
    assert STEPS * np.sum(1 / speeds) < seconds


def tile_corners(picture, tile, scale):
    """Where in a picture [h, w] a tile stands, each of its pixels that many dots wide."""
    room = np.subtract(picture.shape, scale * (np.array(tile.shape) - 1))
    corners = np.stack(np.meshgrid(*map(np.arange, room), indexing="ij"), axis=-1).reshape(-1, 2)
    for pixel in np.argwhere(tile + 1)[np.argsort(-tile, axis=None)]:  # the rare ones first
        dots = picture[tuple((corners + scale * pixel).T)]
        corners = corners[np.abs(dots - np.round(255 * tile[tuple(pixel)])) <= 1]
    return corners


def test_images_are_rows_of_originals_mixture_and_each_component(trained):
    folder, _, _, seen, _ = trained
    events = read(folder)["train"]
    for tag in ("images/reconstructions", "images/prior"):
        assert steps(events[tag]) == [0, 2, 3]  # each other one, and the last
    for step, (width, height, encoded) in events["images/reconstructions"]:
        picture = tf.io.decode_png(encoded, channels=1).numpy()[..., 0].astype(int)
        assert picture.shape == (int(height), int(width))
        scale = 15
        tops = []
        for row in seen.rows[step]:
            corners = np.array(
                [tile_corners(picture, tile[..., 0], scale).min(axis=0) for tile in row]
            )
            assert len(set(corners[:, 0])) == 1
            assert list(np.diff(corners[:, 1])) == [8 * scale + 3] * (IMAGES - 1)
            tops.append(corners[0, 0])
        assert tops == sorted(set(tops))
    picture = tf.io.decode_png(events["images/prior"][-1][1][2], channels=1).numpy()[..., 0]
    draws = seen.draws[..., 0]
    scale = next(s for s in range(60, 5, -1) if len(tile_corners(picture.astype(int), draws[0], s)))
    assert all(len(tile_corners(picture.astype(int), draw, scale)) for draw in draws)


def test_the_projector_serves_the_last_codes_with_labels_and_thumbnails(trained, digits, tmp_path):
    folder, _, _, seen, _ = trained
    served = Served(folder)
    assert list(served.embeddings) == ["codes", "component_1", "component_2"]
    features = seen.features[-1]
    assert features.shape == (CODES, 6)
    np.testing.assert_allclose(served.codes(), features, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(served.codes("component_1"), features[:, :3], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(served.codes("component_2"), features[:, 3:], rtol=1e-4, atol=1e-6)
    for name in served.embeddings:
        assert served.labels(name) == digits.test.labels[:CODES].tolist()
        thumbnails = served.thumbnails(tmp_path, name)
        expected = np.round(255 * digits.test.float_images(0, CODES))
        np.testing.assert_array_equal(thumbnails[:CODES], expected)
        assert len(thumbnails) == 64


def test_training_is_bit_for_bit_that_without_it(trained, digits):
    model = make()
    fit(model, digits, [], validation_data=digits.test.float_images(0, 40))
    for own, other in zip(model.variables, trained[3].variables, strict=True):
        np.testing.assert_array_equal(own, other, err_msg=own.path)


@pytest.mark.parametrize("killed", [False, True])
def test_a_fit_that_goes_on_continues_the_curves(killed, digits, trained, tmp_path):
    shutil.copytree(trained[0], tmp_path, dirs_exist_ok=True)
    expected = list(range(EPOCHS + 2))
    if killed:  # amid the writing of its last event, the value of a scalar
        (path,) = (tmp_path / "validation").iterdir()
        path.write_bytes(path.read_bytes()[:-7])
        expected.remove(EPOCHS - 1)
    board = TensorBoard(tmp_path, digits.test, every=EVERY, images=1, codes=20)
    model = trained[1]
    history = fit(
        model, digits, [board], EPOCHS, EPOCHS + 2, validation_data=digits.test.float_images(0, 40)
    ).history
    runs = read(tmp_path)
    last = list(history)[-1]
    assert steps(runs["validation"]["terms/" + last.removeprefix("val_")]) == expected
    for name in TERMS:
        events = runs["train"][f"terms/{name}"]
        assert steps(events) == list(range(EPOCHS + 2))
        np.testing.assert_allclose(values(events[EPOCHS:]), history[name], rtol=1e-6)
    assert steps(runs["train"]["images/prior"]) == [0, 2, 3, 4, 5]
    served = Served(tmp_path)  # of fewer images than before
    features = model.features(digits.test.float_images(0, 20)).numpy()
    np.testing.assert_allclose(served.codes(), features, rtol=1e-4, atol=1e-6)
    assert served.labels() == digits.test.labels[:20].tolist()


def one_epoch(model, board):
    """Keras's calls for an epoch, without the time that a training takes."""
    board.set_model(model)
    board.on_train_begin()
    board.on_epoch_begin(0)
    board.on_epoch_end(0, {"loss": 1.5})
    board.on_train_end()


@pytest.mark.parametrize(
    ("shape", "count", "num_components", "thumbnail"),
    [
        ((8, 8, 1), 1, 1, (8, 8)),
        ((5, 9, 3), 7, 2, (5, 9)),
        ((6, 4, 2), 5, 2, (6, 4)),
        ((200, 100, 1), 3, 2, (64, 32)),
    ],
)
def test_images_of_any_shape_number_and_type(shape, count, num_components, thumbnail, tmp_path):
    images = RNG.random((count, *shape), dtype=np.float32)
    images[:, : shape[0] // 2] = 0.2
    model, split = make(shape, num_components), Split(images, None, is_train=False)
    one_epoch(model, TensorBoard(tmp_path, split, images=10, codes=10))
    runs = read(tmp_path)
    assert set(runs) == {"train"}
    assert values(runs["train"]["terms/loss"]) == [1.5]
    assert f"mixing_weights/component_{num_components}" in runs["train"]
    served = Served(tmp_path)
    assert len(served.embeddings) == (1 if num_components == 1 else num_components + 1)
    assert all("metadataPath" not in embedding for embedding in served.embeddings.values())
    np.testing.assert_allclose(served.codes(), model.features(images).numpy(), rtol=1e-4, atol=1e-6)
    tiles = served.thumbnails(tmp_path)
    assert tiles.shape[1:3] == thumbnail
    assert len(tiles) == math.ceil(count**0.5) ** 2
    if thumbnail == shape[:2]:
        shown = images if shape[-1] in (1, 3) else images[..., :1]
        np.testing.assert_array_equal(tiles[:count], np.round(255 * shown))
    else:
        np.testing.assert_allclose(tiles[:count, :30], 51, atol=1)
        assert np.std(tiles[:count, 34:]) > 5


@pytest.mark.parametrize("name", ["every", "images", "codes"])
@pytest.mark.parametrize("value", [0, 1.5])
def test_numbers_below_1_are_refused(name, value, digits, tmp_path):
    with pytest.raises(ValueError, match=f"Expected {name} to be an integer of at least 1"):
        TensorBoard(tmp_path, digits.test, **{name: value})


def test_other_images_are_refused_as_training_begins(digits, tmp_path):
    with pytest.raises(ValueError, match=r"such as data.test. Received: ndarray"):
        TensorBoard(tmp_path, digits.test.images)
    board = TensorBoard(tmp_path / "logs", digits.test)
    with pytest.raises(ValueError, match=r"shape \(6, 6, 1\), the model's. Received: .*8, 8, 1"):
        make((6, 6, 1)).fit(np.zeros((2, 6, 6, 1), np.float32), verbose=0, callbacks=[board])
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("log_dir", ["file", "file/logs"])
def test_a_folder_that_can_not_be_written_is_refused_as_training_begins(log_dir, digits, tmp_path):
    (tmp_path / "file").touch()
    board = TensorBoard(tmp_path / log_dir, digits.test)
    with pytest.raises(OSError, match=f"Expected log_dir .* Received: .*{log_dir}.*directory"):
        one_epoch(make(), board)


def test_training_goes_on_where_writing_fails_later(digits, trained, tmp_path, caplog):
    class Vandal(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                shutil.rmtree(tmp_path / "logs")
                (tmp_path / "logs").touch()

    board = TensorBoard(tmp_path / "logs", digits.test, images=1, codes=5)
    with caplog.at_level(logging.WARNING):
        history = fit(trained[1], digits, [board, Vandal()], last=2)
    assert len(history.history["loss"]) == 2
    assert "Epoch 1 is missing from TensorBoard's folder" in caplog.text


def test_stopped_amid_writing_it_leaves_what_the_projector_can_read(digits, tmp_path, monkeypatch):
    model, board = make(), TensorBoard(tmp_path, digits.test, images=1, codes=9)
    one_epoch(model, board)
    before = Served(tmp_path).codes()
    written = []

    def stopped(path, codes, **kwargs):
        written.append(path)
        path.write_text("0.1\t0.")
        raise KeyboardInterrupt

    board.on_train_begin()
    for variable in model.trainable_variables:
        variable.assign(variable + 1.0)
    monkeypatch.setattr(np, "savetxt", stopped)
    with pytest.raises(KeyboardInterrupt):
        board.on_epoch_end(0, {"loss": 1.0})
    np.testing.assert_array_equal(Served(tmp_path).codes(), before)
    # As training begins, files of other images may be half replaced: none is shown.
    with pytest.raises(KeyboardInterrupt):
        one_epoch(model, TensorBoard(tmp_path, digits.test, codes=3))
    assert Served(tmp_path).get("/runs").json == []
    assert len(written) == 2
    assert not any(path.exists() for path in written)
