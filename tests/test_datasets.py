import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mvae_tf import datasets
from mvae_tf.datasets.splits import array_digest


def some_images(count=20, height=5, width=4, channels=3, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def save_images(folder, images, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(folder / f"{index:03d}{suffix}")


def batches_of(dataset):
    return list(dataset.as_numpy_iterator())


# Splits


def test_dataset_yields_float_images_in_order_and_keeps_the_rest():
    data = datasets.load(some_images(25), test_fraction=0.4)
    batches = batches_of(data.test.dataset(4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert batches[0].dtype == np.float32
    np.testing.assert_array_equal(np.concatenate(batches), data.test.float_images())
    expected = (data.test.images[2:5] / 255.0).astype(np.float32)
    np.testing.assert_array_equal(data.test.float_images(2, 5), expected)
    assert [len(batch) for batch in batches_of(data.test.dataset(4, drop_remainder=True))] == [4, 4]


def test_batches_are_not_tuned():
    """The tuner would keep `fit` from returning until it next wakes, up to a minute later."""
    data = datasets.load(some_images(25))
    indices = tf.data.Dataset.range(8).batch(4)
    for batches in (data.train.dataset(4), data.train.gather(indices)):
        assert batches.take(1).options().autotune.enabled is False


def test_train_split_shuffles_anew_each_epoch_and_repeatably():
    data = datasets.load(some_images(40))
    dataset = data.train.dataset(7, seed=3)
    epochs = [np.concatenate(batches_of(dataset)) for _ in range(2)]
    again = data.train.dataset(7, seed=3)
    repeated = [np.concatenate(batches_of(again)) for _ in range(2)]
    ordered = data.train.float_images()
    for epoch, repeat in zip(epochs, repeated, strict=True):
        np.testing.assert_array_equal(epoch, repeat)
        assert not np.array_equal(epoch, ordered)
        np.testing.assert_array_equal(np.sort(epoch.ravel()), np.sort(ordered.ravel()))
    assert not np.array_equal(*epochs)
    other_seed = np.concatenate(batches_of(data.train.dataset(7, seed=4)))
    assert not np.array_equal(other_seed, epochs[0])
    unshuffled = np.concatenate(batches_of(data.train.dataset(7, shuffle=False)))
    np.testing.assert_array_equal(unshuffled, ordered)


def test_labels_stay_with_their_images(tmp_path):
    labels = np.arange(30)
    images = np.zeros((30, 2, 2), np.uint8) + labels[:, np.newaxis, np.newaxis].astype(np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    data = datasets.load(tmp_path / "own.npz", test_fraction=0.3)
    assert (len(data.train), len(data.test)) == (21, 9)
    for split in (data.train, data.test):
        for batch, batch_labels in batches_of(split.dataset(4, labels=True)):
            np.testing.assert_array_equal(np.rint(batch[:, 0, 0, 0] * 255), batch_labels)
    together = np.concatenate([data.train.labels, data.test.labels])
    np.testing.assert_array_equal(np.sort(together), labels)


def test_dataset_refuses_what_it_cannot_do():
    split = datasets.load(some_images(10)).train
    with pytest.raises(ValueError, match="at least 1. Received: 0"):
        split.dataset(0)
    with pytest.raises(ValueError, match="with labels"):
        split.dataset(2, labels=True)
    with pytest.raises(ValueError, match="at most 9.*Received: 10"):
        split.dataset(10, drop_remainder=True)


def test_with_train_keeps_the_first_training_images():
    data = datasets.load(some_images(20), test_fraction=0.25)
    assert data.test_part == "test images"
    few = data.with_train(4)
    np.testing.assert_array_equal(few.train.images, data.train.images[:4])
    assert (few.train.labels, few.train.is_train) == (None, True)
    assert few.test is data.test
    assert (few.name, few.source, few.test_part) == (data.name, data.source, data.test_part)
    assert few.digest == array_digest([data.train.images[:4], None, data.test.images, None])
    assert data.with_train(15).digest == data.digest == data.with_train(np.int64(15)).digest
    assert few.with_train(3).digest == data.with_train(3).digest
    for count in (0, -1, 16):
        with pytest.raises(ValueError, match=f"from 1 to 15, .*Received: {count}"):
            data.with_train(count)


def test_with_train_keeps_labels_beside_their_images(tmp_path):
    labels = {"y_train": np.arange(6), "y_test": np.arange(4)}
    images = some_images(10)
    np.savez(tmp_path / "own.npz", x_train=images[:6], x_test=images[6:], **labels)
    data = datasets.load(tmp_path / "own.npz").with_train(2)
    np.testing.assert_array_equal(data.train.labels, [0, 1])
    assert data.digest == array_digest([images[:2], np.arange(2), images[6:], np.arange(4)])


def test_with_flips_adds_each_training_images_mirror_image(tmp_path):
    images = np.arange(5 * 2 * 3 * 3, dtype=np.uint8).reshape(5, 2, 3, 3)
    labels = {"y_train": np.arange(3), "y_test": np.arange(2)}
    np.savez(tmp_path / "own.npz", x_train=images[:3], x_test=images[3:], **labels)
    whole = datasets.load(tmp_path / "own.npz")
    data = whole.with_flips()
    assert len(data.train) == 6 and data.train.is_train
    for index, row, column in np.ndindex(3, 2, 3):
        pixel = whole.train.images[index, row, column]
        np.testing.assert_array_equal(data.train.images[index, row, column], pixel)
        np.testing.assert_array_equal(data.train.images[3 + index, row, 2 - column], pixel)
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.test is whole.test
    assert (data.name, data.source, data.test_part) == (whole.name, whole.source, whole.test_part)
    arrays = [data.train.images, data.train.labels, whole.test.images, whole.test.labels]
    assert data.digest == array_digest(arrays) != whole.digest
    unlabelled = datasets.load(some_images(6), test_fraction=0.5).with_flips()
    assert len(unlabelled.train) == 6 and unlabelled.train.labels is None


def test_with_validation_holds_out_the_last_training_images(tmp_path):
    labels = {"y_train": np.arange(6), "y_test": np.arange(4)}
    images = some_images(10)
    np.savez(tmp_path / "own.npz", x_train=images[:6], x_test=images[6:], **labels)
    whole = datasets.load(tmp_path / "own.npz")
    data = whole.with_validation(2)
    np.testing.assert_array_equal(data.train.images, whole.train.images[:4])
    np.testing.assert_array_equal(data.test.images, whole.train.images[4:])
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1, 2, 3], [4, 5])
    assert (data.train.is_train, data.test.is_train) == (True, False)
    assert (data.name, data.source) == (whole.name, whole.source)
    assert data.test_part == "the last 2 training images"
    # The digest is that of the arrays as they are now: another result's images are others.
    parts = [data.train.images, np.arange(4), data.test.images, np.arange(4, 6)]
    assert data.digest == array_digest(parts) != whole.digest
    for count in (0, -1, 6):
        with pytest.raises(ValueError, match=f"from 1 to 5, .*Received: {count}"):
            whole.with_validation(count)
    unlabelled = datasets.load(images, test_fraction=0.2).with_validation(3)
    assert len(unlabelled.train) == 5 and unlabelled.test.labels is None


def test_digest_depends_on_content_shape_type_and_place_only():
    array = np.arange(6, dtype=np.uint8)
    same = np.arange(12, dtype=np.uint8).reshape(2, 6)[0]
    assert array_digest([array]) == array_digest([same])
    assert array_digest([array.astype("<i8")]) == array_digest([array.astype(">i8")])
    others = [
        [array[::-1]],
        [array.reshape(2, 3)],
        [array.astype(np.int64)],
        [array, None],
        [None, array],
    ]
    assert len({array_digest(arrays) for arrays in [[array], *others]}) == 6


# scikit-learn's digits


def test_digits_are_scikit_learns_split_evenly():
    bundled = pytest.importorskip("sklearn.datasets").load_digits()
    data = datasets.load("digits")
    assert data.train.images.shape == (1500, 8, 8, 1)
    assert data.test.images.shape == (297, 8, 8, 1)
    images = np.concatenate([data.train.images, data.test.images])[..., 0] / (255 / 16)
    labels = np.concatenate([data.train.labels, data.test.labels])

    def rows(images, labels):
        return sorted(map(tuple, np.c_[images.reshape(-1, 64), labels].astype(int)))

    assert rows(np.rint(images), labels) == rows(bundled.images, bundled.target)
    shares = np.bincount(data.test.labels) / np.bincount(bundled.target)
    np.testing.assert_allclose(shares, 297 / 1797, atol=1 / 170)


# Arrays and files of arrays


def test_float_arrays_keep_their_values():
    images = np.random.default_rng(0).random((10, 3, 4))
    data = datasets.load(images, test_fraction=0.2)
    assert data.train.images.dtype == np.float32
    assert data.train.images.shape == (8, 3, 4, 1)
    (batch,) = batches_of(data.test.dataset(9))
    np.testing.assert_array_equal(batch, data.test.images)
    together = np.concatenate([data.train.images, data.test.images]).ravel()
    np.testing.assert_array_equal(np.sort(together), np.sort(images.astype(np.float32).ravel()))


def test_hold_out_depends_on_the_seed_alone():
    images = some_images(50)
    assert datasets.load(images).digest == datasets.load(images.copy()).digest
    assert datasets.load(images, seed=1).digest != datasets.load(images).digest


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 4, 4), np.uint8), r"non-empty.*Received: shape \[0, 4, 4\]"),
        (np.zeros((4, 4), np.uint8), r"\[n, h, w\].*Received: shape \[4, 4\]"),
        (np.zeros((2, 4, 4, 1, 1), np.uint8), "Received: shape"),
        (np.full((3, 2, 2), np.nan), "finite.*Received: floats from nan"),
        (np.full((3, 2, 2), 255.0), r"\[0, 1\].*Received: floats from 255"),
        (np.full((3, 2, 2), -0.1), "Received: floats from -0.1"),
        (np.full((3, 2, 2), 1e300), "Received: floats from inf"),
        (np.zeros((3, 2, 2), np.int64), "uint8.*Received: dtype int64"),
        (np.full((3, 2, 2), None), "Received: dtype object"),
        (np.zeros((1, 2, 2), np.uint8), "at least 2 images"),
    ],
)
def test_unfit_arrays_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        datasets.load(images)


@pytest.mark.parametrize("test_fraction", [0, 1, -0.5, float("nan")])
def test_unfit_test_fractions_are_refused(test_fraction):
    with pytest.raises(ValueError, match=r"test_fraction in \(0, 1\)"):
        datasets.load(some_images(), test_fraction=test_fraction)


def test_keras_style_file_keeps_its_parts(tmp_path):
    train, test = some_images(6), some_images(4, seed=1)
    path = tmp_path / "own.npz"
    labels = {"y_train": np.arange(6)[:, np.newaxis], "y_test": np.arange(4)}
    np.savez(path, x_train=train, x_test=test, **labels)
    data = datasets.load(str(path))
    assert (data.name, data.source) == ("own", str(path))
    np.testing.assert_array_equal(data.train.images, train)
    np.testing.assert_array_equal(data.test.images, test)
    np.testing.assert_array_equal(data.train.labels, np.arange(6))


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_unnamed_array_of_a_file_is_as_the_array(tmp_path, suffix):
    images = some_images()
    path = tmp_path / f"own.{suffix}"
    (np.savez if suffix == "npz" else np.save)(path, images)
    assert datasets.load(path).digest == datasets.load(images).digest


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": some_images()}, "to hold x_train .*Received: pictures"),
        ({}, "Received: nothing"),
        ({"x_train": some_images(), "y_test": np.arange(20)}, "Received: x_train, y_test"),
        (
            {"x_train": some_images(), "x_test": some_images(channels=1)},
            r"one dtype and shape.*\[5, 4, 3\] and uint8 \[5, 4, 1\]",
        ),
        (
            {"x_train": some_images(), "x_test": some_images(), "y_train": np.arange(20)},
            "Received: labels of the train images only",
        ),
        (
            {"images": some_images(), "labels": np.arange(19)},
            r"labels \[20\].*Received: int64 \[19",
        ),
        ({"images": some_images(), "labels": np.zeros(20)}, "integer labels.*Received: float64"),
        ({"images": np.array([[[{}]]] * 3, object)}, "plain arrays.*allow_pickle"),
    ],
)
def test_unfit_files_are_refused(tmp_path, arrays, message):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        datasets.load(path)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_damaged_files_are_named(tmp_path, damage):
    path = tmp_path / "own.npz"
    np.savez(path, images=some_images())
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[:-40], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(ValueError, match="own.npz to be an .npz file"):
        datasets.load(path)


# Arguments of load


def test_unknown_names_are_answered_with_what_is_possible(tmp_path):
    names = "mnist, fashion_mnist, cifar10, digits, patches"
    with pytest.raises(FileNotFoundError, match=f"{names}.*Received: 'mnits'"):
        datasets.load("mnits")
    with pytest.raises(ValueError, match="NumPy array. Received: list"):
        datasets.load([1, 2])
    with pytest.raises(ValueError, match="local folder. Received: 'gs://"):
        datasets.load("mnist", data_dir="gs://bucket")
    with pytest.raises(ValueError, match="only for a folder"):
        datasets.load("digits", image_size=(4, 4))
    with pytest.raises(ValueError, match=r"as \(height, width\)"):
        datasets.load(tmp_path, image_size=(4, 0))
    with pytest.raises(ValueError, match="one of standard, heldout. Received: 'validation'"):
        datasets.load("digits", split="validation")


@pytest.mark.parametrize("source", ["mnist", "digits", "patches", "folder", some_images()])
def test_other_data_than_cifar10_have_no_heldout_split(tmp_path, monkeypatch, source):
    save_images(tmp_path / "folder", some_images(4))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='Expected split="standard" for .*Received: .*"heldout"'):
        datasets.load(source, data_dir=tmp_path, split="heldout")


def test_known_names_win_over_paths(tmp_path, monkeypatch):
    save_images(tmp_path / "digits", some_images(4))
    monkeypatch.chdir(tmp_path)
    assert datasets.load("digits").train.images.shape == (1500, 8, 8, 1)
    assert len(datasets.load(os.path.join(".", "digits")).train) == 3
