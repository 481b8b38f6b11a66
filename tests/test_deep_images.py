"""Images of 16 bits on their way to the model: as floats of the same values, bit for bit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mvae_tf
from mvae_tf import datasets
from mvae_tf.devices import feeds

WORDS = np.random.default_rng(0).integers(0, 65536, (40, 4, 4, 1), dtype=np.uint16)


@pytest.fixture(scope="module")
def both():
    floats = (WORDS / np.float32(65535)).astype(np.float32)
    return datasets.load(WORDS), datasets.load(floats)


def test_every_way_gives_the_same_floats(both):
    words, floats = both
    expected = floats.train.images
    assert (words.train.images.dtype, expected.dtype) == (np.uint16, np.float32)
    np.testing.assert_array_equal(words.train.float_images(), expected)
    np.testing.assert_array_equal(feeds.as_floats(tf.constant(words.train.images)), expected)
    (batch,) = words.train.dataset(99, shuffle=False).as_numpy_iterator()
    np.testing.assert_array_equal(batch, expected)


def test_training_is_the_same(both):
    results = []
    for data in both:
        model = mvae_tf.MixtureVAE((4, 4, 1), 2, 2, (8,), seed=0)
        model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
        history = model.fit(data, epochs=1, batch_size=36, validation_data=data, verbose=0)
        results.append(history.history)
    assert results[0] == results[1]
