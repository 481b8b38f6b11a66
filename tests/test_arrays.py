"""Arrays as people have them: tuples, .npz files of other makers, labels of any kind, layouts."""

import numpy as np
import psutil
import pytest
from test_datasets import some_images

from mvae_tf import datasets

IMAGES = some_images(10)
LABELS = np.arange(10) % 3


def same(data, train, test, train_labels=None, test_labels=None):
    np.testing.assert_array_equal(data.train.images, train)
    np.testing.assert_array_equal(data.test.images, test)
    for split, labels in ((data.train, train_labels), (data.test, test_labels)):
        assert (split.labels is None) == (labels is None)
        assert labels is None or split.labels.tolist() == list(labels)


# Tuples


def test_images_and_labels_stay_together(tmp_path):
    data = datasets.load((IMAGES, LABELS))
    np.savez(tmp_path / "own.npz", images=IMAGES, labels=LABELS)
    assert data.digest == datasets.load(tmp_path / "own.npz").digest
    assert datasets.load((IMAGES, None)).digest == datasets.load(IMAGES).digest


@pytest.mark.parametrize("column", [False, True])  # as Keras has MNIST's and CIFAR-10's labels
def test_what_load_data_of_keras_gives_is_taken(column):
    labels = LABELS.astype(np.uint8)
    labels = labels[:, np.newaxis] if column else labels
    data = datasets.load(((IMAGES[:6], labels[:6]), (IMAGES[6:], labels[6:])))
    same(data, IMAGES[:6], IMAGES[6:], LABELS[:6], LABELS[6:])
    assert data.name == "array"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "a tuple of"),
        ((IMAGES,), "a tuple of uint8 [10, 5, 4, 3]"),
        ((IMAGES, IMAGES), "uint8 [10, 5, 4, 3], uint8 [10, 5, 4, 3], where labels should be"),
        (((IMAGES, LABELS), IMAGES), "a tuple of tuple, uint8"),
        (((IMAGES, LABELS),) * 3, "a tuple of tuple, tuple, tuple"),
        ((IMAGES, LABELS, IMAGES), "a tuple of"),
    ],
)
def test_other_tuples_are_refused(given, told):
    with pytest.raises(ValueError, match=r"Expected \(images, labels\)") as refusal:
        datasets.load(given)
    assert told in str(refusal.value)


# Files


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),  # MedMNIST's
        ("x_train", "y_train", "x_val", "y_val"),
        ("train_x", "train_y", "valid_x", "valid_y"),
        ("images_train", "labels_train", "images_dev", "labels_dev"),
    ],
)
def test_parts_of_a_file_have_many_names(tmp_path, names):
    arrays = (IMAGES[:6], LABELS[:6, np.newaxis], IMAGES[6:], LABELS[6:, np.newaxis])
    np.savez(tmp_path / "own.npz", **dict(zip(names, arrays, strict=True)))
    data = datasets.load(tmp_path / "own.npz")
    same(data, IMAGES[:6], IMAGES[6:], LABELS[:6], LABELS[6:])
    tests = "test images" if "test" in names[2].lower() else "validation images"
    assert data.test_part == tests


def test_validation_images_beside_test_images_are_left_out_aloud(tmp_path, capfd):
    parts = {"train": IMAGES[:5], "val": IMAGES[5:7], "test": IMAGES[7:]}
    np.savez(tmp_path / "own.npz", **{f"{part}_images": each for part, each in parts.items()})
    same(datasets.load(tmp_path / "own.npz"), parts["train"], parts["test"])
    assert "2 validation images are left out" in capfd.readouterr().err


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("X", "label")])
def test_a_file_without_parts(tmp_path, names):
    np.savez(tmp_path / "own.npz", **dict(zip(names, (IMAGES, LABELS), strict=True)))
    assert datasets.load(tmp_path / "own.npz").digest == datasets.load((IMAGES, LABELS)).digest


@pytest.mark.parametrize(
    "names", [("x_train", "images"), ("y_train",), ("x_test",), ("x_train", "train_x_mean")]
)
def test_files_of_unclear_arrays_are_refused(tmp_path, names):
    np.savez(tmp_path / "own.npz", **dict.fromkeys(names, IMAGES))
    with pytest.raises(ValueError, match=f"to hold x_train.*Received: {', '.join(sorted(names))}"):
        datasets.load(tmp_path / "own.npz")


def test_what_would_not_fit_into_memory_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, images=np.zeros((1000, 32, 32), np.uint8))
    assert path.stat().st_size < 10_000

    class Little:
        available = 1_000_000

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Little)
    monkeypatch.setattr(np, "load", None)  # is not called
    with pytest.raises(MemoryError, match="bomb.npz, for which 0.0 GiB are needed"):
        datasets.load(path)


# Labels


@pytest.mark.parametrize("kind", ["U", "S", object])
def test_words_are_labels(kind):
    words = np.array(["dog", "cat", "ant"])[LABELS].astype(kind)
    data = datasets.load(((IMAGES[:6], words[:6]), (IMAGES[6:], words[6:])))
    assert data.class_names == ("ant", "cat", "dog")
    same(data, IMAGES[:6], IMAGES[6:], 2 - LABELS[:6], 2 - LABELS[6:])
    assert datasets.load((IMAGES, words)).class_names == data.class_names


def test_words_of_both_parts_are_numbered_together():
    data = datasets.load(((IMAGES[:2], np.array(["b", "c"])), (IMAGES[2:4], np.array(["a", "b"]))))
    assert data.class_names == ("a", "b", "c")
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([1, 2], [0, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_one_hot_labels_are_numbers(dtype):
    one_hot = np.eye(3)[LABELS].astype(dtype)
    assert datasets.load((IMAGES, one_hot)).digest == datasets.load((IMAGES, LABELS)).digest


@pytest.mark.parametrize(
    "labels",
    [
        np.eye(3)[LABELS] * 2,
        np.ones((10, 3)),  # several labels an image
        np.zeros((10, 3)),
        np.full(10, 0.5),
        np.arange(9),
        np.array(["a"] * 9),
        np.array([None] * 10),
    ],
)
def test_other_labels_are_refused(labels):
    with pytest.raises(ValueError, match=r"integer labels \[10\].*one-hot") as refusal:
        datasets.load((IMAGES, labels))
    assert f"Received: {labels.dtype} {list(labels.shape)}" in str(refusal.value)


def test_numbers_and_words_are_no_labels_of_one_set():
    with pytest.raises(ValueError, match="of one kind"):
        datasets.load(((IMAGES, LABELS), (IMAGES, LABELS.astype(str))))


# Layouts


@pytest.mark.parametrize(
    ("shape", "mend", "right"),
    [
        ((20, 3, 32, 30), "images.transpose(0, 2, 3, 1)", (20, 32, 30, 3)),
        ((20, 1, 28, 28), "images.transpose(0, 2, 3, 1)", (20, 28, 28, 1)),
        ((20, 4, 32, 64), "images.transpose(0, 2, 3, 1)", (20, 32, 64, 4)),
        ((32, 30, 3, 50), "images.transpose(3, 0, 1, 2)", (50, 32, 30, 3)),
        ((28, 28, 1, 50), "images.transpose(3, 0, 1, 2)", (50, 28, 28, 1)),
        ((64, 48, 3), "images[np.newaxis]", (1, 64, 48, 3)),
        ((64, 48, 4), "images[np.newaxis]", (1, 64, 48, 4)),
        ((3, 64, 48), "images.transpose(1, 2, 0)[np.newaxis]", (1, 64, 48, 3)),
        ((20, 784), "images.reshape(-1, 28, 28)", (20, 28, 28)),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_a_layout_that_is_probably_wrong_is_refused_with_its_mend(
    tmp_path, shape, mend, right, in_file
):
    images = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(ValueError, match="Received: shape.*probably") as refusal:
        datasets.load(tmp_path / "x.npy" if in_file else images)
    assert mend in str(refusal.value)
    mended = eval(mend, {"images": images, "np": np})
    assert mended.shape == right
    if len(mended) > 1:
        data = datasets.load(mended)
        assert data.train.images.shape[1:] == (*right, 1)[1:4]


@pytest.mark.parametrize(
    "shape", [(20, 3, 4, 5), (20, 28, 28, 3), (20, 28, 28), (20, 8, 8, 1), (20, 9, 3), (4, 64, 48)]
)
def test_other_layouts_are_taken(shape):
    if shape == (20, 9, 3):
        with pytest.raises(ValueError, match="probably one image.*20 grey images of 9 x 3"):
            datasets.load(np.zeros(shape, np.uint8))
        shape = (*shape, 1)  # the way out
    images = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    data = datasets.load(images)
    assert data.train.images.shape[1:] == (*shape, 1)[1:4]


def test_many_channels_are_told(capfd):
    datasets.load(np.arange(20 * 28 * 28 * 5).reshape(20, 28, 28, 5).astype(np.uint8))
    assert "have 5 channels: [n, h, w, c] is [20, 28, 28, 5]" in capfd.readouterr().err


# Values


@pytest.mark.parametrize("order", "<>")
def test_16_bits_stay(order):
    images = np.random.default_rng(0).integers(0, 65536, (10, 4, 4)).astype(f"{order}u2")
    data = datasets.load(images)
    assert data.train.images.dtype == np.uint16
    assert data.digest == datasets.load(images.astype("<u2")).digest
    np.testing.assert_allclose(
        data.train.float_images(), data.train.images / 65535, rtol=1e-6, atol=0
    )


def test_truth_is_white():
    images = IMAGES[..., :1] > 127
    data = datasets.load(images)
    assert set(np.unique(data.train.images)) == {0, 255}
    assert datasets.load(images.astype(np.uint8) * 255).digest == data.digest


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (IMAGES.astype(np.int64), r'int64 from 0 to 255 \(images.astype\("uint8"\)'),
        (IMAGES.astype(np.int32) - 1, "int32 from -1 to 254[.]"),
        (IMAGES.astype(np.float32), "255.*images / 255"),
    ],
)
def test_other_values_are_refused_with_their_range(images, told):
    images = images.copy()
    images.flat[:2] = images.min(), images.max()
    with pytest.raises(ValueError, match=told):
        datasets.load(images)


def test_a_scale_that_is_probably_wrong_is_told(capfd):
    datasets.load(IMAGES % 2)
    assert "use 2 levels, from 0 to 1 of 255" in capfd.readouterr().err
    datasets.load(np.arange(160, dtype=np.uint16).reshape(10, 4, 4) * 25)
    assert "are dark: no value is above 3975 of 65535" in capfd.readouterr().err
    datasets.load(IMAGES)
    assert capfd.readouterr().err == ""
