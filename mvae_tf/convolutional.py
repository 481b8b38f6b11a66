"""Convolutional encoder and decoder banks (Section V.C), under the contract of `networks`.

Each component is a stack of its own: one grouped convolution for all K of them is no faster, and
TensorFlow has its gradient on some processors only.
"""

import itertools
import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from mvae_tf import networks

_SHORTEST = 8
# The convolutions halve the image until no side is longer than this: of 32 pixels 16 remain. A
# further halving reconstructs worse after the same time of training.
_COARSEST = 16
# Keras's 0.99 lags behind the weights of the first epochs.
_MOMENTUM = 0.9


class _ConvolutionalBank(keras.layers.Layer):
    """K stacks of 3x3 convolutions with batch normalisation.

    In training, batch normalisation takes the batch's statistics and updates its moving averages;
    otherwise it takes those. Under mixed precision all but each stack's last layer compute in the
    policy's dtype.

    Args:
        image_shape: Shape of one image, (h, w, c), h and w at least 8.
        num_components: K.
        latent_dim: d.
        hidden_units: Channels of the encoder's convolutions; the decoder is its mirror image.
        activation: Of the hidden layers.
        seed: int or `keras.random.SeedGenerator` of the Glorot uniform initial weights.

    Raises:
        ValueError: for images that are smaller, or not (h, w, c).
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_components: int,
        latent_dim: int,
        hidden_units: Sequence[int],
        activation="relu",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if len(image_shape) != 3 or min(image_shape[:2]) < _SHORTEST:
            raise ValueError(
                f"Expected image_shape (h, w, c), h and w at least {_SHORTEST}, for convolutional "
                f"networks. Received: {tuple(image_shape)}."
            )
        self._latent_dim = latent_dim
        self._activation = activation
        self._seed = seed
        shapes = _shapes(image_shape, hidden_units)
        self.stacks = [
            keras.Sequential(self._stack(shapes), name=f"component_{k + 1}")
            for k in range(num_components)
        ]
        self.built = True

    def _layer(self, kind, units, **kwargs):
        initializer = keras.initializers.GlorotUniform(seed=self._seed)
        kwargs = {"dtype": self.dtype_policy, **kwargs}
        return kind(units, kernel_initializer=initializer, **kwargs)

    def _convolution(self, kind, units, fine, coarse, **kwargs):
        """Return a convolution between images of shape `fine` and `coarse`, either way."""
        strides = [2 if fine[axis] > coarse[axis] else 1 for axis in (0, 1)]
        return self._layer(kind, units, kernel_size=3, strides=strides, padding="same", **kwargs)

    def _normalized(self):
        return [
            keras.layers.BatchNormalization(momentum=_MOMENTUM, dtype=self.dtype_policy),
            keras.layers.Activation(self._activation, dtype=self.dtype_policy),
        ]


class ConvolutionalEncoderBank(_ConvolutionalBank):
    """K encoders: convolutions, each with batch normalisation, then a linear layer.

    Call: images [n, h, w, c] -> `PosteriorParameters`.
    """

    def _stack(self, shapes):
        layers = [keras.Input(shapes[0])]
        for fine, coarse in itertools.pairwise(shapes):
            layers.append(
                self._convolution(keras.layers.Conv2D, coarse[2], fine, coarse, use_bias=False)
            )
            layers += self._normalized()
        outputs = networks.num_outputs(self._latent_dim)
        layers.append(keras.layers.Flatten(dtype=self.dtype_policy))
        layers.append(self._layer(keras.layers.Dense, outputs, dtype="float32"))
        return layers

    def call(self, images, training=False):
        outputs = tf.stack([stack(images, training=training) for stack in self.stacks], axis=1)
        return networks.posterior_parameters(outputs, self._latent_dim)


class ConvolutionalDecoderBank(_ConvolutionalBank):
    """K decoders: a linear layer, then convolutions, the encoders' mirror image.

    Call: latent codes [n, K, d] -> logits [n, K, h, w, c].
    """

    def _stack(self, shapes):
        layers = [
            keras.Input([self._latent_dim]),
            self._layer(keras.layers.Dense, math.prod(shapes[-1]), use_bias=False),
            keras.layers.Reshape(shapes[-1], dtype=self.dtype_policy),
        ]
        for coarse, fine in itertools.pairwise(shapes[:0:-1]):
            layers += self._normalized()
            layers += self._refined(fine, coarse, use_bias=False)
        layers += self._normalized()
        layers += self._refined(shapes[0], shapes[1], dtype="float32")
        return layers

    def _refined(self, fine, coarse, **kwargs):
        transposed = self._convolution(
            keras.layers.Conv2DTranspose, fine[2], fine, coarse, **kwargs
        )
        # It doubles a side that was halved, one too many where that was odd.
        surplus = [(0, coarse[axis] * transposed.strides[axis] - fine[axis]) for axis in (0, 1)]
        return [transposed, keras.layers.Cropping2D(surplus, dtype=transposed.dtype_policy)]

    def call(self, codes, training=False):
        stacks = zip(self.stacks, tf.unstack(codes, axis=1), strict=True)
        return tf.stack([stack(code, training=training) for stack, code in stacks], axis=1)


def _shapes(image_shape, hidden_units):
    """Return the shape (h, w, c) of the image and of what each of the encoder's layers gives."""
    shapes = [tuple(image_shape)]
    for channels in hidden_units:
        height, width, _ = shapes[-1]
        if max(height, width) > _COARSEST:
            height, width = -(-height // 2), -(-width // 2)
        shapes.append((height, width, channels))
    return shapes
