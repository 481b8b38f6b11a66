"""Encoders and decoders of one's own, as K networks and as a bank that is one layer."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from recycled import recycled, take_back

import mvae_tf
from mvae_tf import networks, training
from mvae_tf.datasets.splits import Split

K, D, SHAPE = 3, 2, (6, 5, 1)
IMAGES = np.random.default_rng(0).uniform(size=[20, *SHAPE]).astype("float32")


def encoder():
    """A network as users write it, which builds itself on its first call."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("gelu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(networks.num_outputs(D)),
        ]
    )


def decoder():
    """A functional model."""
    code = keras.Input([D])
    hidden = keras.layers.Dense(8, "tanh")(code)
    return keras.Model(code, keras.layers.Reshape(SHAPE)(keras.layers.Dense(30)(hidden)))


@keras.saving.register_keras_serializable(package="tests")
class LinearEncoders(keras.layers.Layer):
    """A whole bank as one layer, which knows nothing of `networks`."""

    def __init__(self, num_components, latent_dim, **kwargs):
        super().__init__(**kwargs)
        self.num_components, self.latent_dim = num_components, latent_dim

    def build(self, input_shape):
        outputs = self.num_components, 2 * self.latent_dim + 1
        self.kernel = self.add_weight(shape=(np.prod(input_shape[1:]), *outputs))

    def call(self, images):
        flat = tf.reshape(images, [tf.shape(images)[0], -1])
        outputs = tf.einsum("np,pko->nko", flat, tf.convert_to_tensor(self.kernel))
        loc, scale = outputs[..., : self.latent_dim], outputs[..., self.latent_dim : -1]
        return loc, tf.exp(scale), tf.exp(outputs[..., -1])

    def get_config(self):
        own = {"num_components": self.num_components, "latent_dim": self.latent_dim}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="tests")
class LinearDecoders(keras.layers.Layer):
    """Its counterpart."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(*input_shape[1:], *SHAPE))

    def call(self, codes):
        return tf.einsum("nkd,kdhwc->nkhwc", codes, tf.convert_to_tensor(self.kernel))


BANKS = {
    "networks": lambda: {
        "encoder": networks.EncoderBank([encoder() for _ in range(K)]),
        "decoder": networks.DecoderBank([decoder() for _ in range(K)]),
    },
    "a layer": lambda: {"encoder": LinearEncoders(K, D), "decoder": LinearDecoders()},
    "an encoder alone": lambda: {"encoder": LinearEncoders(K, D), "hidden_units": (8,)},
}


def make(banks="networks", **kwargs):
    model = mvae_tf.MixtureVAE(SHAPE, K, D, seed=0, **{**BANKS[banks](), **kwargs})
    model.compile(optimizer="adam")
    return model


lent = recycled(make)


def test_a_bank_of_networks_gives_what_each_gives():
    encoders, decoders = [encoder() for _ in range(K)], [decoder() for _ in range(K)]
    model = make(encoder=networks.EncoderBank(encoders), decoder=networks.DecoderBank(decoders))
    outputs = np.stack([network(IMAGES) for network in encoders], axis=1)
    posterior = model.encode(IMAGES)
    np.testing.assert_allclose(posterior.z.mean(), outputs[..., :D], atol=1e-6)
    softplus = np.logaddexp(outputs[..., D:], 0)
    np.testing.assert_allclose(posterior.z.stddev(), softplus[..., :D], atol=1e-5)
    np.testing.assert_allclose(posterior.w.concentration, softplus[..., D], atol=1e-5)
    images = model.component_reconstructions(IMAGES)
    for k, network in enumerate(decoders):
        expected = 1 / (1 + np.exp(-network(outputs[:, k, :D]).numpy()))
        np.testing.assert_allclose(images[:, k], expected, atol=1e-5)


@pytest.mark.parametrize("banks", BANKS)
def test_own_banks_learn_and_come_back_from_a_file(banks, tmp_path):
    model = lent(banks)
    first, *_, last = model.fit(IMAGES, epochs=30, verbose=0).history["loss"]
    assert last < first
    model.save(tmp_path / "own.keras")
    copy = keras.models.load_model(tmp_path / "own.keras")  # in safe mode
    assert json.dumps(copy.get_config()) == json.dumps(model.get_config())
    for theirs, ours in zip(copy.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(theirs, ours)
    np.testing.assert_array_equal(copy.reconstruct(IMAGES), model.reconstruct(IMAGES))
    history = copy.fit(IMAGES, verbose=0).history
    assert history["loss"][0] < first


@pytest.mark.parametrize("banks", ["networks", "a layer"])
def test_own_banks_are_served(banks, tmp_path):
    model = make(banks)
    path = mvae_tf.export_saved_model(model, tmp_path / "own")
    served = tf.saved_model.load(path).signatures["serving_default"](images=IMAGES)
    (images,) = served.values()
    np.testing.assert_allclose(images, model.reconstruct(IMAGES), atol=1e-6)


def test_own_banks_resume_from_a_checkpoint(tmp_path):
    """Dropout's random state and batch normalisation's averages are part of it."""
    split = Split((IMAGES * 255).astype(np.uint8), None, is_train=True)

    def train(model, epochs, directory=None):
        training.train(
            model, split, epochs=epochs, batch_size=8, directory=directory, progress=False
        )
        return model

    straight = train(lent("networks"), 2).get_weights()
    take_back()
    train(lent("networks"), 1, tmp_path)  # the same model, set back to its start
    resumed = train(make(), 2, tmp_path)
    for a, b in zip(straight, resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_reaches_the_networks():
    model = make()
    model.encoder.trainable = False
    quiet = model.encoder(IMAGES).loc
    np.testing.assert_array_equal(quiet, model.encoder(IMAGES).loc)
    assert np.any(model.encoder(IMAGES, training=True).loc != quiet)  # dropout


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_networks_in_mixed_precision_end_in_float32(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = make()
    finally:
        keras.config.set_dtype_policy(before)
    assert model.encode(IMAGES).z.dtype == model.reconstruct(IMAGES).dtype == tf.float32
    assert np.all(np.isfinite(model.fit(IMAGES, verbose=0).history["loss"]))


class Answers(keras.layers.Layer):
    """A layer with a given answer, whatever it is asked."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def call(self, inputs):
        return self.answer() if callable(self.answer) else self.answer


def parameters(scale=1.0, num_components=K, dtype="float32"):
    codes = tf.fill([2, num_components, D], tf.constant(1.0, dtype))
    return codes, codes * scale, codes[..., 0]


BAD_ENCODERS = {
    "a function": (lambda: encoder, "Expected encoder to be a Keras layer. Received: <function"),
    "one network": (encoder, r"Expected encoder to give \(.*\) for .* Received: float32 \(2, 5\)"),
    "too few": (lambda: networks.EncoderBank([encoder()]), r"Received: \(float32 \(2, 1, 2\)"),
    "no linear layer": (
        lambda: networks.EncoderBank([keras.layers.Flatten()]),
        r"components to give \[n, 2 d \+ 1\]. Received: \[2, 30\]",
    ),
    "float64": (lambda: Answers(lambda: parameters(dtype="float64")), "Received: .float64"),
    "a dict": (
        lambda: Answers(lambda: dict(zip("abc", parameters(), strict=True))),
        "Received: dict",
    ),
    "no softplus": (lambda: Answers(lambda: parameters(scale=-1.0)), "a concentration above 0"),
    "NaN": (lambda: Answers(lambda: parameters(scale=np.nan)), "a concentration above 0"),
}


@pytest.mark.parametrize("kind", BAD_ENCODERS)
def test_encoders_that_break_the_contract_are_refused(kind):
    bank, message = BAD_ENCODERS[kind]
    with pytest.raises(ValueError, match=message):
        make(encoder=bank())


@pytest.mark.parametrize(
    ("answer", "received"),
    [
        (tf.zeros([2, *SHAPE]), r"float32 \(2, 6, 5, 1\)"),
        (tf.zeros([2, K, 6, 5]), r"float32 \(2, 3, 6, 5\)"),
        (tf.zeros([2, K, *SHAPE], tf.float16), r"float16"),
    ],
)
def test_decoders_that_break_the_contract_are_refused(answer, received):
    message = r"Expected decoder to give float32 \(2, 3, 6, 5, 1\) for inputs of shape \[2, 3, 2\]"
    with pytest.raises(ValueError, match=f"{message}. Received: {received}"):
        make(decoder=Answers(answer))


def test_components_of_a_bank_are_different_layers():
    network = encoder()
    for components, message in (
        ([network, network], "one of them twice"),
        ([], "one or more Keras layers"),
        ([encoder], "one or more Keras layers"),
    ):
        with pytest.raises(ValueError, match=f"Expected components .*{message}"):
            networks.EncoderBank(components)
