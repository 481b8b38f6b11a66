import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from mvae_tf.networks import dense
from mvae_tf.networks.contract import Architecture

IMAGE_SHAPE = (5, 4, 3)
BANK = {"image_shape": IMAGE_SHAPE, "num_components": 3, "latent_dim": 2, "hidden_units": (7, 6)}


ACTIVATIONS = [
    ({}, ("relu", "relu"), ("relu", "relu")),
    ({"activation": ("elu", "tanh")}, ("elu", "tanh"), ("tanh", "elu")),
    ({"decoder_activation": ["elu", "tanh"]}, ("relu", "relu"), ("elu", "tanh")),
    ({"activation": "elu", "decoder_activation": "tanh"}, ("elu", "elu"), ("tanh", "tanh")),
]


def single(bank, activations, component, inputs):
    """One component as plain Keras dense layers with that component's weights."""
    for layer, activation in zip(bank.stack, (*activations, None), strict=True):
        plain = keras.layers.Dense(layer.units, activation)
        plain.build(inputs.shape)
        plain.set_weights([layer.kernel[component].numpy(), layer.bias[component, 0].numpy()])
        inputs = plain(inputs)
    return inputs.numpy()


def with_random_biases(bank):
    for layer in bank.stack:
        layer.bias.assign(keras.random.normal(layer.bias.shape, seed=1))
    return bank


@pytest.mark.parametrize(("settings", "activations", "_"), ACTIVATIONS)
def test_encoder_bank_is_k_encoders_side_by_side(settings, activations, _):
    bank = with_random_biases(dense.DenseEncoderBank(Architecture(**BANK, seed=0, **settings)))
    images = np.random.default_rng(0).uniform(size=[4, *IMAGE_SHAPE]).astype("float32")
    loc, scale, concentration = bank(images)
    for component in range(3):
        outputs = single(bank, activations, component, images.reshape(4, -1))
        np.testing.assert_allclose(loc[:, component], outputs[:, :2], atol=1e-5)
        softplus = np.logaddexp(outputs[:, 2:], 0)
        np.testing.assert_allclose(scale[:, component], softplus[:, :2], atol=1e-5)
        np.testing.assert_allclose(concentration[:, component], softplus[:, 2], atol=1e-5)


@pytest.mark.parametrize(("settings", "_", "activations"), ACTIVATIONS)
def test_decoder_bank_is_k_decoders_side_by_side(settings, _, activations):
    bank = with_random_biases(dense.DenseDecoderBank(Architecture(**BANK, seed=0, **settings)))
    codes = np.random.default_rng(0).normal(size=[4, 3, 2]).astype("float32")
    logits = bank(codes)
    assert logits.shape == (4, 3, *IMAGE_SHAPE)
    for component in range(3):
        expected = single(bank, activations, component, codes[:, component]).reshape(
            4, *IMAGE_SHAPE
        )
        np.testing.assert_allclose(logits[:, component], expected, atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_reaches_the_products_alone(policy):
    encoder = dense.DenseEncoderBank(Architecture(**BANK, seed=0, dtype=policy))
    decoder = dense.DenseDecoderBank(Architecture(**BANK, seed=0, dtype=policy))
    graph = tf.function(lambda x: (encoder(x), decoder(encoder(x).loc))).get_concrete_function(
        tf.TensorSpec([None, *IMAGE_SHAPE])
    )
    low = {"float32": None, "mixed_bfloat16": tf.bfloat16, "mixed_float16": tf.float16}[policy]
    narrow = {
        op.type
        for op in graph.graph.get_operations()
        if low is not None and any(output.dtype == low for output in op.outputs)
    }
    assert narrow <= {"BatchMatMulV2", "Cast", "Identity", "Reshape", "Transpose"}
    assert ("BatchMatMulV2" in narrow) == (low is not None)
    parameters, logits = graph(tf.zeros([2, *IMAGE_SHAPE]))
    assert {tensor.dtype for tensor in [*parameters, logits]} == {tf.float32}
    assert {variable.dtype for variable in encoder.variables} == {"float32"}


def test_initial_weights_are_glorots_component_by_component():
    layer = dense.BatchedDense(6, 200, seed=0)
    layer.build((1, None, 300))
    kernel = layer.kernel.numpy()
    limit = np.sqrt(6 / (300 + 200))  # a uniform's deviation is its limit / sqrt(3)
    assert np.abs(kernel).max() <= limit
    np.testing.assert_allclose(kernel.std(axis=(1, 2)), limit / np.sqrt(3), rtol=0.02)
    assert np.abs(np.corrcoef(kernel.reshape(6, -1)) - np.eye(6)).max() < 0.02


def test_initial_weights_are_hes_component_by_component():
    layer = dense.BatchedDense(6, 200, seed=0, initializer="he_normal")
    layer.build((1, None, 300))
    kernel = layer.kernel.numpy()
    deviation = np.sqrt(2 / 300)
    np.testing.assert_allclose(kernel.std(axis=(1, 2)), deviation, rtol=0.02)
    # A normal variable's, cut off at two deviations; what is left has 0.88 of its deviation.
    cut = scipy.stats.truncnorm(-2, 2, scale=deviation / scipy.stats.truncnorm(-2, 2).std())
    assert np.abs(kernel).max() <= cut.support()[1] * 1.000001
    assert scipy.stats.kstest(kernel.ravel(), cut.cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(kernel.reshape(6, -1)) - np.eye(6)).max() < 0.02


def test_scale_never_reaches_zero():
    bank = dense.DenseEncoderBank(Architecture(**BANK, seed=0))
    bank.stack[-1].bias.assign(tf.fill(bank.stack[-1].bias.shape, -1e4))
    assert np.all(bank(np.zeros([1, *IMAGE_SHAPE], "float32")).scale > 0)
