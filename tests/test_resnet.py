"""The residual network, on scikit-learn's digits and made-up images."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import mvae_tf
from mvae_tf.evaluation import resnet


def weights(model):
    return [np.asarray(value) for value in model.get_weights()]


def build_weights(seed):
    return weights(resnet.build_resnet((8, 8, 1), 10, seed=seed))


def first(split, count):
    return dataclasses.replace(split, images=split.images[:count], labels=split.labels[:count])


@pytest.fixture
def narrow(monkeypatch):
    """A network of one narrow block, whose graph is made quickly; not of fewer than 8 channels, see
    `mvae_tf.startup`."""
    monkeypatch.setattr(resnet, "_WIDTHS", (8, 16))


def test_the_same_seed_gives_the_same_weights(digits, narrow):
    train, test = first(digits.train, 300), first(digits.test, 50)
    runs = [
        resnet.train_classifier(train, test, epochs=2, seed=3, progress=False) for _ in range(2)
    ]
    (same, again), initial = (weights(model) for model, _ in runs), build_weights(3)
    assert all(np.array_equal(a, b) for a, b in zip(same, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(same, initial, strict=True))
    assert runs[0][1] == runs[1][1]


def test_initial_weights_depend_on_the_seed_alone():
    keras.utils.set_random_seed(1)
    initial = build_weights(0)
    keras.utils.set_random_seed(2)
    assert all(np.array_equal(a, b) for a, b in zip(initial, build_weights(0), strict=True))
    drawn = [a for a in initial if a.ndim > 1]
    others = [a for a in build_weights(1) if a.ndim > 1]
    assert not any(np.array_equal(a, b) for a, b in zip(drawn, others, strict=True))


def test_negative_seeds_and_colour_and_two_classes_and_odd_sizes(narrow):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, [64, 9, 14, 3], dtype=np.uint8)
    split = mvae_tf.datasets.splits.Split(images, np.arange(64) % 2, is_train=True)
    model, accuracy = resnet.train_classifier(split, split, epochs=1, seed=-5, progress=False)
    assert model.input_shape == (None, 9, 14, 3) and model.output_shape == (None, 2)
    assert 0 <= accuracy <= 100


def test_augmentation_shifts_and_mirrors_and_keeps_labels():
    """A bright pixel moves by at most an eighth of each side, and is mirrored half the time."""
    images = np.zeros([400, 16, 24, 1], np.float32)
    images[:, 8, 4] = 1
    split = mvae_tf.datasets.splits.Split(images, np.arange(400), is_train=True)
    order = tf.data.Dataset.range(400).batch(150)

    def moved(flips, seed=0):
        batches = list(resnet._Augmented(split, flips, seed).gather(order))
        np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), np.arange(400))
        found = np.argwhere(np.concatenate([x for x, _ in batches])[..., 0] == 1)
        np.testing.assert_array_equal(found[:, 0], np.arange(400))  # one pixel an image
        return found[:, 1:]

    plain = moved(False)
    assert set(plain[:, 0]) == set(range(6, 11)) and set(plain[:, 1]) == set(range(1, 8))
    assert abs(np.corrcoef(plain.T)[0, 1]) < 0.2
    mirrored = moved(True)[:, 1] > 11
    assert 0.4 < mirrored.mean() < 0.6
    np.testing.assert_array_equal(moved(True), moved(True))
    assert not np.array_equal(moved(True), moved(True, seed=1))
    assert not np.array_equal(plain[:150], plain[150:300])  # each step has draws of its own


@pytest.mark.parametrize(
    ("shape", "num_classes", "message"),
    [
        ((7, 8, 1), 2, "h, w >= 8"),
        ((8, 8), 2, "h, w >= 8"),
        ((8, 8, 0), 2, "image_shape"),
        ((8, 8, 1), 1, "num_classes of at least 2"),
    ],
)
def test_networks_that_cannot_be_are_refused(shape, num_classes, message):
    with pytest.raises(ValueError, match=message):
        resnet.build_resnet(shape, num_classes)


def test_labels_that_do_not_fit_are_refused(digits):
    def train(train_labels, test_labels):
        resnet.train_classifier(
            dataclasses.replace(digits.train, labels=train_labels),
            dataclasses.replace(digits.test, labels=test_labels),
            epochs=1,
            progress=False,
        )

    labels, test_labels = digits.train.labels, digits.test.labels
    with pytest.raises(ValueError, match="images without labels"):
        train(None, test_labels)
    with pytest.raises(ValueError, match="two or more classes"):
        train(np.zeros_like(labels), test_labels)
    with pytest.raises(ValueError, match="from 0"):
        train(labels - 1, test_labels)
    with pytest.raises(ValueError, match=r"\[10\] in the test labels alone"):
        train(labels, test_labels + 1)
