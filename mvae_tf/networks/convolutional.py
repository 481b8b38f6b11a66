"""Convolutional encoder and decoder banks (Section V.C), under the contract of `contract`.

Each component is a stack of its own: one grouped convolution for all K of them is no faster, and
TensorFlow has its gradient on some processors only.
"""

import itertools
import math
from typing import NamedTuple

import keras

from mvae_tf.networks import contract

_SHORTEST = 8
# The convolutions halve the image until no side is longer than this: of 32 pixels 16 remain. A
# further halving reconstructs worse after the same time of training.
_COARSEST = 16
# Whatever Keras's settings say.
_LAST = "channels_last"
# Keras's 0.99 lags behind the weights of the first epochs.
_MOMENTUM = 0.9
_INITIALIZERS = {
    "glorot_uniform": keras.initializers.GlorotUniform,
    "he_normal": keras.initializers.HeNormal,
}


def encoder_bank(architecture: contract.Architecture, name: str = "encoder"):
    """Make K encoders: 3x3 convolutions, each with batch normalisation, then a linear layer.

    In training, batch normalisation takes the batch's statistics and updates its moving averages;
    otherwise it takes those. Under mixed precision all but the last layer compute in the policy's
    dtype.

    Args:
        architecture: See `contract.Architecture`; images (h, w, c), h and w at least 8.
        name: Of the bank.

    Returns:
        A `contract.EncoderBank`.

    Raises:
        ValueError: for images that are smaller, or not (h, w, c); for dropout, which these networks
            have none of.
    """
    return contract.EncoderBank(
        _components(_encoder, architecture, architecture.encoder_activations()),
        dtype=architecture.dtype,
        name=name,
    )


def decoder_bank(architecture: contract.Architecture, name: str = "decoder"):
    """Make K decoders, mirror images of those of `encoder_bank`, with the same arguments."""
    return contract.DecoderBank(
        _components(_decoder, architecture, architecture.decoder_activations()),
        dtype=architecture.dtype,
        name=name,
    )


def _components(make, architecture, activations):
    if architecture.dropout:
        raise ValueError(
            "Expected dropout=0 for convolutional networks, which have batch normalisation in its "
            f"place. Received: {architecture.dropout}."
        )
    shapes = _shapes(architecture.image_shape, architecture.hidden_units)
    layers = _Layers(activations, architecture.initializer, architecture.seed, architecture.dtype)
    return [
        make(shapes, architecture.latent_dim, layers) for _ in range(architecture.num_components)
    ]


def _encoder(shapes, latent_dim, layers):
    stack = [keras.Input(shapes[0], dtype="float32")]
    sides = itertools.pairwise(shapes)
    for (fine, coarse), activation in zip(sides, layers.activations, strict=True):
        stack.append(
            layers.convolution(keras.layers.Conv2D, coarse[2], fine, coarse, use_bias=False)
        )
        stack += layers.normalized(activation)
    stack.append(keras.layers.Flatten(data_format=_LAST, dtype=layers.dtype))
    stack.append(
        layers.initialized(keras.layers.Dense, contract.num_outputs(latent_dim), dtype="float32")
    )
    return keras.Sequential(stack)


def _decoder(shapes, latent_dim, layers):
    linear = layers.initialized(keras.layers.Dense, math.prod(shapes[-1]), use_bias=False)
    stack = [
        keras.Input([latent_dim], dtype="float32"),
        linear,
        keras.layers.Reshape(shapes[-1], dtype=layers.dtype),
    ]
    *activations, last = layers.activations
    sides = itertools.pairwise(shapes[:0:-1])
    for (coarse, fine), activation in zip(sides, activations, strict=True):
        stack += layers.normalized(activation)
        stack += layers.refined(fine, coarse, use_bias=False)
    stack += layers.normalized(last)
    stack += layers.refined(shapes[0], shapes[1], dtype="float32")
    return keras.Sequential(stack)


class _Layers(NamedTuple):
    """The layers of one bank."""

    activations: list
    initializer: str
    seed: object
    dtype: object

    def initialized(self, kind, units, **kwargs):
        initializer = _INITIALIZERS[self.initializer](seed=self.seed)
        return kind(units, kernel_initializer=initializer, **{"dtype": self.dtype, **kwargs})

    def convolution(self, kind, units, fine, coarse, **kwargs):
        """Return a convolution between images of shape `fine` and `coarse`, either way."""
        strides = [2 if fine[axis] > coarse[axis] else 1 for axis in (0, 1)]
        kwargs = {"padding": "same", "data_format": _LAST, **kwargs}
        return self.initialized(kind, units, kernel_size=3, strides=strides, **kwargs)

    def refined(self, fine, coarse, **kwargs):
        transposed = self.convolution(keras.layers.Conv2DTranspose, fine[2], fine, coarse, **kwargs)
        # It doubles a side that was halved, one too many where that was odd.
        surplus = [(0, coarse[axis] * transposed.strides[axis] - fine[axis]) for axis in (0, 1)]
        return [transposed, keras.layers.Cropping2D(surplus, _LAST, dtype=transposed.dtype_policy)]

    def normalized(self, activation):
        return [
            keras.layers.BatchNormalization(momentum=_MOMENTUM, dtype=self.dtype),
            keras.layers.Activation(activation, dtype=self.dtype),
        ]


def _shapes(image_shape, hidden_units):
    """Return the shape (h, w, c) of the image and of what each of the encoder's layers gives."""
    if len(image_shape) != 3 or min(image_shape[:2]) < _SHORTEST:
        raise ValueError(
            f"Expected image_shape (h, w, c), h and w at least {_SHORTEST}, for convolutional "
            f"networks. Received: {tuple(image_shape)}."
        )
    shapes = [tuple(image_shape)]
    for channels in hidden_units:
        height, width, _ = shapes[-1]
        if max(height, width) > _COARSEST:
            height, width = -(-height // 2), -(-width // 2)
        shapes.append((height, width, channels))
    return shapes
