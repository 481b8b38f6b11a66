"""The contract of encoder and decoder banks, and the banks of K networks of one's own.

A bank is a `keras.Layer`: an encoder bank maps images [n, *image] to `PosteriorParameters`, a
decoder bank maps latent codes [n, K, d] to the components' images as logits [n, K, *image], both in
float32. Batch comes first in every public shape; inside, the layout is the bank's own. A bank whose
answer differs in training takes the argument `training`.
"""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

# Keras's usual `epsilon`; its setting would change what a trained model answers.
_LEAST_SCALE = 1e-7

# Of weights: Glorot & Bengio (2010), and He et al. (2015), cut off at two deviations.
INITIALIZERS = ("glorot_uniform", "he_normal")


class PosteriorParameters(NamedTuple):
    """What an encoder bank gives (eq. 2 and 3), in float32."""

    loc: tf.Tensor  # [n, K, d]
    scale: tf.Tensor  # [n, K, d], positive
    concentration: tf.Tensor  # [n, K], positive


class Architecture(NamedTuple):
    """What the paper's banks are made of.

    Attributes:
        image_shape: Shape of one image.
        num_components: K.
        latent_dim: d.
        hidden_units: Sizes of the hidden layers, the same in encoders and decoders; channels in
            convolutions, and reversed in the decoders.
        activation: Of the hidden layers: one, or one for each of the encoders'.
        seed: int or `keras.random.SeedGenerator` of the initial weights.
        dtype: Dtype policy.
        decoder_activation: Of the decoders' hidden layers, from the code on, likewise. None: the
            encoders' in reverse.
        dropout: Share of each hidden layer's outputs that is dropped where a draw is asked for.
        initializer: Of the weights, one of `INITIALIZERS`.
    """

    image_shape: Sequence[int]
    num_components: int
    latent_dim: int
    hidden_units: Sequence[int]
    activation: object = "relu"
    seed: object = None
    dtype: object = None
    decoder_activation: object = None
    dropout: float = 0.0
    initializer: str = "glorot_uniform"

    def encoder_activations(self) -> list:
        """Return the activation of each of the encoders' hidden layers, from the image on."""
        return self._each(self.activation)

    def decoder_activations(self) -> list:
        """Return the activation of each of the decoders' hidden layers, from the code on."""
        if self.decoder_activation is None:
            return self.encoder_activations()[::-1]
        return self._each(self.decoder_activation)

    def _each(self, activation):
        if isinstance(activation, tuple | list):
            return list(activation)
        return [activation] * len(self.hidden_units)


def num_outputs(latent_dim: int) -> int:
    """Return how many numbers an encoder gives for one image: loc, scale, concentration."""
    return 2 * latent_dim + 1


def posterior_parameters(outputs, latent_dim: int) -> PosteriorParameters:
    """Return the posterior's parameters (eq. 2 and 3) from the encoders' outputs [n, K, 2 d + 1].

    Scale and concentration are positive by softplus.
    """
    loc, scale, concentration = tf.split(outputs, [latent_dim, latent_dim, 1], -1)
    return PosteriorParameters(
        loc=loc,
        # softplus underflows to 0 far below; a standard deviation must not.
        scale=tf.nn.softplus(scale) + _LEAST_SCALE,
        concentration=tf.nn.softplus(concentration[..., 0]),
    )


class _Bank(keras.layers.Layer):
    """K networks side by side.

    Args:
        components: K different layers or models, one a component, of which no two share weights.

    Raises:
        ValueError: for anything else.
    """

    def __init__(self, components: Sequence[keras.layers.Layer], **kwargs):
        super().__init__(**kwargs)
        components = list(components)
        if not components or not all(isinstance(each, keras.layers.Layer) for each in components):
            raise ValueError(
                f"Expected components to be one or more Keras layers. Received: {components}."
            )
        if len({id(each) for each in components}) < len(components):
            raise ValueError(
                "Expected components to be different layers. Received: one of them twice, which "
                "would share its weights."
            )
        self.components = components
        self.built = True  # each component builds itself

    def get_config(self):
        components = [keras.saving.serialize_keras_object(each) for each in self.components]
        return {**super().get_config(), "components": components}

    @classmethod
    def from_config(cls, config):
        components = [keras.saving.deserialize_keras_object(each) for each in config["components"]]
        return cls(**{**config, "components": components})


@keras.saving.register_keras_serializable(package="mvae_tf")
class EncoderBank(_Bank):
    """K encoders of any kind.

    Call: images [n, *image] -> `PosteriorParameters`.

    Args:
        components: K different layers or models, which share no weights, each [n, *image] ->
            [n, 2 d + 1], see `num_outputs`; without an activation at the end.

    Raises:
        ValueError: for anything else.

    Example:
        >>> def encoder():
        ...     size = mvae_tf.networks.num_outputs(latent_dim=20)
        ...     layers = keras.layers
        ...     return keras.Sequential([layers.Flatten(), layers.Dense(size)])
        >>> mvae_tf.networks.EncoderBank([encoder() for _ in range(4)])
    """

    def call(self, images, training=False):
        outputs = [component(images, training=training) for component in self.components]
        outputs = tf.cast(tf.stack(outputs, axis=1), tf.float32)
        if outputs.shape.rank != 3 or outputs.shape[-1] % 2 == 0:
            raise ValueError(
                "Expected each of the encoder's components to give [n, 2 d + 1]. Received: "
                f"{[outputs.shape[0], *outputs.shape[2:]]}."
            )
        return posterior_parameters(outputs, (outputs.shape[-1] - 1) // 2)


@keras.saving.register_keras_serializable(package="mvae_tf")
class DecoderBank(_Bank):
    """K decoders of any kind.

    Call: latent codes [n, K, d] -> logits [n, K, *image].

    Args:
        components: K different layers or models, which share no weights, each [n, d] -> logits
            [n, *image], without a sigmoid at the end.

    Raises:
        ValueError: for anything else.
    """

    def call(self, codes, training=False):
        pairs = zip(self.components, tf.unstack(codes, axis=1), strict=True)
        logits = [component(code, training=training) for component, code in pairs]
        return tf.cast(tf.stack(logits, axis=1), tf.float32)


def checked_encoder(bank, image_shape, num_components: int, latent_dim: int):
    """Return an encoder bank, built, if it keeps the contract on two black images."""
    codes, weights = [2, num_components, latent_dim], [2, num_components]
    _, scale, concentration = _answer("encoder", bank, image_shape, (codes, codes, weights))
    if not (tf.reduce_all(scale > 0) and tf.reduce_all(concentration > 0)):
        raise ValueError(
            "Expected encoder to give a scale and a concentration above 0. Received: numbers that "
            "are not; `mvae_tf.networks.posterior_parameters` makes them so."
        )
    return bank


def checked_decoder(bank, image_shape, num_components: int, latent_dim: int):
    """Return a decoder bank, built, if it keeps the contract on two codes."""
    _answer("decoder", bank, (num_components, latent_dim), [2, num_components, *image_shape])
    return bank


def _answer(name, bank, input_shape, output_shapes):
    """Return a bank's answer to two inputs of zeros, if it has these shapes and is in float32."""
    if not isinstance(bank, keras.layers.Layer):
        raise ValueError(f"Expected {name} to be a Keras layer. Received: {bank!r}.")
    answer = bank(tf.zeros([2, *input_shape]))
    _require_separate(name, bank)
    _require_once(name, bank)
    received = _described(answer)
    expected = _expected(output_shapes)
    if received != expected:
        raise ValueError(
            f"Expected {name} to give {expected} for inputs of shape {[2, *input_shape]}. "
            f"Received: {received}."
        )
    return answer


def _require_separate(name, bank):
    """Refuse a bank whose components have weights in common: a file would not keep that."""
    if isinstance(bank, _Bank):
        weights = [{id(each) for each in component.variables} for component in bank.components]
        if len(set().union(*weights)) < sum(map(len, weights)):
            raise ValueError(
                f"Expected {name}'s components to share no variables, such as weights or a "
                "Dropout's seed, which a file would not keep. Received: some that do; make the "
                "bank one layer, of a class of your own."
            )


def _require_once(name, bank):
    """Refuse networks of which Keras's files keep something else, or nothing.

    A layer that a Sequential holds twice is there once, silently, and a layer with weights, or a
    Dropout, that stands in two models can't be loaded, or draws otherwise.
    """
    for each in bank._flatten_layers():
        if isinstance(each, keras.Sequential) and len({*map(id, each.layers)}) < len(each.layers):
            raise ValueError(
                f"Expected {name} to hold a layer once in a Sequential, as Keras's files have it. "
                "Received: one that holds a layer twice; make it a functional model."
            )
    if _is_shared(bank) and _parts_ways(bank):
        raise ValueError(
            f"Expected {name} to hold no layer with variables, such as weights or a Dropout's "
            "seed, in two models, wrappers or layers that take one, as Keras's files don't keep "
            "that. Received: such a layer in two of them; call it, or what holds it, twice in one "
            "functional model, or write a layer of your own that makes it."
        )


def _is_shared(bank):
    """Return whether a layer with variables is held by two others, anywhere in a bank."""
    layers = {id(layer): layer for layer in bank._flatten_layers()}.values()
    held = collections.Counter(part for each in layers for part in {*map(id, each._layers)})
    return any(held[id(layer)] > 1 and layer.variables for layer in layers)


def _parts_ways(bank):
    """Return whether a bank made anew as Keras's files make it has more layers with variables.

    A layer of one's own that makes what its parts share makes it anew for all of them.
    """
    try:
        config = keras.saving.serialize_keras_object(bank)
        anew = keras.saving.deserialize_keras_object(config, safe_mode=False)
    except Exception:  # of classes of others, which say so again where they are saved or loaded
        return False
    kinds = {type(layer) for layer in bank._flatten_layers() if layer.variables}
    before, after = (
        {id(layer) for layer in each._flatten_layers() if type(layer) in kinds}
        for each in (bank, anew)
    )
    return len(after) > len(before)


def _expected(shapes):
    if isinstance(shapes, tuple):
        return f"({', '.join(_expected(shape) for shape in shapes)})"
    return f"float32 {tf.TensorShape(shapes)}"


def _described(answer):
    if isinstance(answer, tuple | list):
        return f"({', '.join(_described(each) for each in answer)})"
    if not tf.is_tensor(answer):
        return type(answer).__name__
    return f"{answer.dtype.name} {answer.shape}"
