"""Every preset and precision, and banks of one's own, through every form a model is stored in."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import mvae_tf
from mvae_tf import networks

SMALL = {"image_shape": (8, 8, 1), "num_components": 2, "latent_dim": 2, "hidden_units": (4, 4)}
IMAGES = np.random.default_rng(0).uniform(size=[5, 8, 8, 1]).astype("float32")
PRECISIONS = ["float32", "mixed_bfloat16", "mixed_float16"]


def own_banks(**settings):
    def component(kind, *layers):
        return kind([keras.Sequential([layer() for layer in layers]) for _ in range(2)])

    layers = keras.layers
    return mvae_tf.MixtureVAE(
        (8, 8, 1),
        2,
        2,
        encoder=component(
            networks.EncoderBank,
            layers.Flatten,
            layers.BatchNormalization,
            lambda: layers.Dense(networks.num_outputs(2)),
        ),
        decoder=component(
            networks.DecoderBank,
            lambda: layers.Dense(64, "tanh"),
            lambda: layers.Reshape((8, 8, 1)),
        ),
        **settings,
    )


MODELS = {
    **{
        preset: functools.partial(mvae_tf.MixtureVAE.from_preset, preset, **SMALL)
        for preset in mvae_tf.presets.PRESETS
    },
    "own banks": own_banks,
}


@pytest.fixture(scope="module", params=PRECISIONS)
def precision(request):
    return request.param


@pytest.fixture(scope="module", params=MODELS)
def model(request, precision):
    """A model as after training: every number of it and of its optimizer is another one."""
    model = MODELS[request.param](bandwidths=[1.0, 2.0], seed=3, dtype=precision)
    optimizer = mvae_tf.training.optimizers.FusedAdam(1e-3)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer=optimizer)
    optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(1)
    for variable in [*model.weights, *optimizer.variables]:
        if "float" in str(variable.dtype):
            draws = rng.uniform(0.01, 0.1, size=variable.shape)
            variable.assign(variable + draws.astype(variable.dtype))
        elif "iteration" in variable.path:
            variable.assign(7)
    return model


def same(copy, model, optimizer=True):
    assert json.dumps(copy.get_config()) == json.dumps(model.get_config())
    assert copy.dtype_policy == model.dtype_policy
    pairs = list(zip(copy.weights, model.weights, strict=True))
    if optimizer:
        assert type(copy.optimizer) is type(model.optimizer)
        pairs += zip(copy.optimizer.variables, model.optimizer.variables, strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other, err_msg=other.path)
    np.testing.assert_array_equal(copy.reconstruct(IMAGES), model.reconstruct(IMAGES))
    np.testing.assert_array_equal(copy.sample(3, seed=1), model.sample(3, seed=1))
    return True


def test_config(model):
    copy = mvae_tf.MixtureVAE.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    assert same(copy, model, optimizer=False)


def test_weights(model, tmp_path):
    model.save_weights(tmp_path / "model.weights.h5")
    copy = mvae_tf.MixtureVAE.from_config(model.get_config())
    copy.load_weights(tmp_path / "model.weights.h5")
    assert same(copy, model, optimizer=False)


def test_keras_file(model, tmp_path):
    model.save(tmp_path / "model.keras")
    assert same(keras.models.load_model(tmp_path / "model.keras", safe_mode=True), model)


def test_checkpoint(model, tmp_path):
    def state(of):
        return tf.train.Checkpoint(variables=[each.value for each in of])

    state([*model.variables, *model.optimizer.variables]).write(str(tmp_path / "state"))
    copy = mvae_tf.MixtureVAE.from_config(model.get_config())
    copy.compile(
        optimizer=keras.optimizers.deserialize(keras.optimizers.serialize(model.optimizer))
    )
    copy.optimizer.build(copy.trainable_variables)
    read = state([*copy.variables, *copy.optimizer.variables]).read(str(tmp_path / "state"))
    read.assert_consumed()
    assert same(copy, model)


def test_saved_model(model, tmp_path):
    served = tf.saved_model.load(mvae_tf.export_saved_model(model, tmp_path / "served"))
    (images,) = served.signatures["serving_default"](images=IMAGES).values()
    # The graph's fusions round otherwise than the model's single operations.
    tolerance = 1e-6 if model.dtype_policy.name == "float32" else 5e-3
    np.testing.assert_allclose(images, model.reconstruct(IMAGES), atol=tolerance)
