"""A model's presets, and what it refuses."""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_model import IMAGES, make

import mvae_tf


def test_presets_say_what_the_paper_and_the_authors_code_do():
    paper = mvae_tf.MixtureVAE.from_preset("paper_mnist", num_components=7)
    assert (paper.num_components, paper.latent_dim, paper.hidden_units) == (7, 20, (500, 500))
    assert (paper.likelihood, paper.mixing) == ("gaussian", "likelihood")
    authors = mvae_tf.MixtureVAE.from_preset("authors_mnist", num_components=5)
    assert authors.prior_concentration == pytest.approx(1 / 5)
    assert (authors.likelihood, authors.mixing, authors.concentration) == (
        *("bernoulli", "image", "normalized"),
    )
    assert authors.latent_dim == 20 and authors.dhsic_root
    for bank, expected in ((authors.encoder, ("elu", "tanh")), (authors.decoder, ("tanh", "elu"))):
        assert tuple(layer.activation.__name__ for layer in bank.stack[:2]) == expected
        assert bank.dropout == pytest.approx(1 - 0.9)  # of the script's keep probability
    assert np.std(authors.encoder.stack[0].kernel) == pytest.approx(np.sqrt(2 / 784), rel=0.01)
    colour = mvae_tf.presets.get("paper_cifar10").model
    assert (colour["network"], colour["latent_dim"], len(colour["hidden_units"])) == (
        "convolutional",
        256,
        5,
    )
    assert colour["kl_weight"] == mvae_tf.presets.get("authors_cifar10").model["kl_weight"] == 0.05
    assert mvae_tf.presets.get("authors_cifar10").model["mixing"] == "image"
    with pytest.raises(ValueError, match="authors_mnist.*paper_mnist.*Received: 'mnist'"):
        mvae_tf.MixtureVAE.from_preset("mnist")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("image_shape", ()),
        ("image_shape", (4, 0, 1)),
        ("image_shape", "4"),
        ("image_shape", 16),
        ("num_components", 0),
        ("num_components", 2.0),
        ("num_components", True),
        ("latent_dim", -1),
        ("hidden_units", (8, 0)),
        ("likelihood", "poisson"),
        ("mixing", "both"),
        ("concentration", "fixed"),
        ("prior_concentration", 0.0),
        ("prior_concentration", float("nan")),
        ("kl_weight", -1.0),
        ("dhsic_weight", "1"),
        ("bandwidths", "silverman"),
        ("bandwidths", [1.0]),
        ("seed", 0.5),
        ("activation", "no such"),
        ("activation", ("elu",) * 3),
        ("activation", ()),
        ("activation", ("elu", "no such")),
        ("activation", keras.layers.ReLU),
        ("activation", keras.layers.PReLU()),
        ("activation", keras.layers.Dropout(0.5)),
        ("activation", {"elu": 1}),
        ("activation", b"relu"),
        ("activation", 3),
        ("activation", "glu"),  # half as many numbers
        ("activation", "threshold"),  # of more arguments
        ("activation", np.tanh),  # of no graph
        ("activation", math.tanh),
        ("activation", lambda values: values[..., 0]),
        ("activation", keras.layers.Flatten()),
        ("activation", keras.layers.Reshape([4, 2])),
        ("activation", functools.partial(keras.activations.leaky_relu, negative_slope=0.3)),
        ("decoder_activation", ("elu",) * 3),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", True),
        ("dropout", "0.1"),
        ("initializer", "he"),
    ],
)
def test_constructor_refuses(argument, value):
    with pytest.raises(ValueError, match=f"Expected .*{argument}.*Received: "):
        make(**{argument: value})


def doubled_sine(values):
    return 2 * tf.sin(values)


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
@keras.saving.register_keras_serializable(package="tests")
def registered(values):
    return values - values**3 / 2


@keras.saving.register_keras_serializable(package="tests")
class Sloped:
    """What can be called and has a config, but is not made from it."""

    def __call__(self, values):
        return 0.5 * values

    def get_config(self):
        return {}


@pytest.mark.parametrize(
    ("activation", "how"),
    [
        (doubled_sine, {"custom_objects": {"doubled_sine": doubled_sine}}),
        (lambda values: values - values**3, {"safe_mode": False}),
        (keras.layers.LeakyReLU(0.1), {}),
        (keras.layers.Lambda(registered), {}),
        (keras.layers.Lambda(lambda values: values / 2), {"safe_mode": False}),
    ],
)
@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
def test_activations_of_ones_own_load_as_keras_loads_them(activation, how, tmp_path):
    model = make(activation=activation)
    model.save(tmp_path / "model.keras")
    if how:  # the refusal says how
        with pytest.raises(ValueError, match=f"which load_model takes with {next(iter(how))}"):
            keras.models.load_model(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", **how)
    np.testing.assert_array_equal(loaded.reconstruct(IMAGES), model.reconstruct(IMAGES))


@pytest.mark.parametrize(
    ("activation", "reason"),
    [
        ("glu", "'glu', which doesn't give a graph as many numbers"),
        (keras.layers.Reshape([4, 2]), "which doesn't give a graph"),
        (keras.layers.PReLU(), "which has weights or draws"),
        (keras.layers.ReLU, "a class"),
        (b"relu", "b'relu'"),
        (functools.partial(tf.nn.leaky_relu, alpha=0.3), "which a file can't keep"),
        (tf.function(tf.nn.relu), "which a file can't keep"),
        (keras.layers.ReLU().call, "which a file can't keep"),
        (Sloped(), "which a file can't keep"),
        (("elu", "no such"), "Received: 'elu'; 'no such', which is none"),
        ((), "Received: none"),
    ],
)
def test_a_refused_activation_is_told_why(activation, reason):
    with pytest.raises(ValueError, match=reason):
        make(activation=activation)


def test_a_layer_is_built_by_the_networks_not_by_the_check():
    """One that takes the size of what it first meets."""
    activation = keras.Sequential([keras.layers.ReLU()])
    model = make(activation=activation)
    model.compile(optimizer="adam")
    assert np.isfinite(model.fit(IMAGES, verbose=0).history["loss"][0])
    np.testing.assert_array_equal(
        make(activation="relu", seed=3).reconstruct(IMAGES),
        make(activation=keras.Sequential([keras.layers.ReLU()]), seed=3).reconstruct(IMAGES),
    )


def test_a_shape_may_be_that_of_a_tensor_or_an_array():
    for shape in (tf.zeros([9, 4, 4, 1]).shape[1:], np.array([4, 4, 1])):
        model = make(image_shape=shape, hidden_units=np.array([5, 6]))
        assert model.image_shape == (4, 4, 1) and model.hidden_units == (5, 6)
        assert all(type(size) is int for size in model.image_shape + model.hidden_units)
    with pytest.raises(ValueError, match="Expected each of image_shape to be .*Received: None"):
        make(image_shape=tf.TensorShape([None, 4, 1]))


def test_banks_stay_as_they_are():
    model, other = make(), make()
    for name in ("encoder", "decoder"):
        with pytest.raises(AttributeError, match=f"Expected {name} to stay as it is.*Received"):
            setattr(model, name, getattr(other, name))


def test_settings_stay_as_they_are():
    """What is traced would go on with the old ones."""
    model = make()
    before = model.evaluate(IMAGES, verbose=0, return_dict=True)
    for name, value in {"kl_weight": 0.0, "mixing": "image", "dropout": 0.5, "seed": 1}.items():
        with pytest.raises(AttributeError, match=f"Expected {name} to stay as it is.*Received"):
            setattr(model, name, value)
    assert model.evaluate(IMAGES, verbose=0, return_dict=True) == before
    other = type(model).from_config(model.get_config() | {"kl_weight": 0.0})
    other.set_weights(model.get_weights())
    other.compile(optimizer="adam")
    after = other.evaluate(IMAGES, verbose=0, return_dict=True)
    assert after["mse"] == before["mse"] and after["loss"] < before["loss"]


BAD_IMAGES = {
    "rank": (IMAGES[..., 0], r"\[n, 4, 4, 1\].*Received: shape \(24, 4, 4\)"),
    "size": (IMAGES[:, :3], r"Received: shape \(24, 3, 4, 1\)"),
    "empty": (IMAGES[:0], "n at least 1. Received: none"),
    "integers": ((IMAGES * 255).astype(np.int32), "floats or uint8 of .* Received: dtype int32"),
    "text": (IMAGES.astype(str), "Received: dtype string"),
    "nan": (np.where(IMAGES > 0.5, np.nan, IMAGES), "finite. Received: NaN"),
    "infinite": (np.where(IMAGES > 0.5, np.inf, IMAGES), "finite. Received: NaN or inf"),
    "negative": (IMAGES - 1, r"\[0, 1\]. Received: values from -"),
    "above": (IMAGES * 255, r"\[0, 1\]. Received: values from .* to 25\d"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_methods_refuse_bad_images(kind):
    images, message = BAD_IMAGES[kind]
    model = make()
    for method in ("encode", "reconstruct", "features", "log_likelihood", "fit", "evaluate"):
        with pytest.raises(ValueError, match=message):
            getattr(model, method)(images)


@pytest.mark.parametrize(
    "kind", ["rank", "size", "integers", "nan", "infinite", "negative", "above"]
)
@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_bad_batches_of_a_tf_dataset_stop_before_they_do_harm(kind, method):
    images, _ = BAD_IMAGES[kind]
    model = make()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"Expected images.*Received: "):
        getattr(model, method)(tf.data.Dataset.from_tensor_slices(images).batch(8), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "weights", [[1.0, 0.0], [0.5, 0.6, 0.1], [-1.0, 1.0, 1.0], [[[1.0, 0, 0]]], [np.nan, 1, 0]]
)
def test_forced_weights_are_checked(weights):
    with pytest.raises(ValueError, match=r"Expected weights of shape \[3\] or \[n, 3\]"):
        make().reconstruct(IMAGES, weights=weights)


def test_codes_are_checked():
    with pytest.raises(ValueError, match=r"codes to be floats of shape \[n, 3, 2\]"):
        make().decode(np.zeros([5, 2, 3], "float32"))
