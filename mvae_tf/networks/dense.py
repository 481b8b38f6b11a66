"""Fully connected encoder and decoder banks (Section V.A), under the contract of `contract`.

All K components are one batched matrix product with weights [K, in, out].
"""

import math

import keras
import tensorflow as tf

from mvae_tf.networks import contract


class BatchedDense(keras.layers.Layer):
    """K dense layers side by side as one batched matrix product with weights [K, in, out].

    Only the product runs in the policy's compute dtype; bias, activation and output are float32.

    Args:
        num_components: K.
        units: size of each layer's output.
        activation: as in `keras.layers.Dense`.
        seed: int or `keras.random.SeedGenerator` of the Glorot uniform initial weights.

    Shapes: [K, n, in], or [1, n, in] for an input that all components share, to [K, n, units].
    """

    def __init__(self, num_components: int, units: int, activation=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.num_components = num_components
        self.units = units
        self.activation = keras.activations.get(activation)
        self._seed = seed

    def build(self, input_shape):
        inputs = input_shape[-1]
        # Keras's Glorot initialiser would count K as a convolution's receptive field.
        limit = math.sqrt(6.0 / (inputs + self.units))
        self.kernel = self.add_weight(
            shape=(self.num_components, inputs, self.units),
            initializer=keras.initializers.RandomUniform(-limit, limit, seed=self._seed),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.num_components, 1, self.units),
            initializer="zeros",
            autocast=False,
            name="bias",
        )

    def call(self, inputs):
        product = tf.matmul(inputs, self.kernel)
        return self.activation(tf.cast(product, self.variable_dtype) + self.bias)


class _DenseBank(keras.layers.Layer):
    """K multilayer perceptrons: hidden layers of `hidden_units`, then a linear layer.

    A bank's `_ends()` gives the shape of what comes in, [K or 1, n, in], and the size of what goes
    out.

    Args:
        architecture: See `contract.Architecture`.
    """

    def __init__(self, architecture: contract.Architecture, **kwargs):
        super().__init__(dtype=architecture.dtype, **kwargs)
        self._image_shape = tuple(architecture.image_shape)
        self._pixels = math.prod(architecture.image_shape)
        self._num_components = architecture.num_components
        self._latent_dim = architecture.latent_dim
        input_shape, outputs = self._ends()
        hidden = [(units, architecture.activation) for units in architecture.hidden_units]
        self.stack = [
            BatchedDense(
                self._num_components, units, each, architecture.seed, dtype=self.dtype_policy
            )
            for units, each in [*hidden, (outputs, None)]
        ]
        self.build(input_shape)

    def build(self, input_shape):
        for layer in self.stack:
            layer.build(input_shape)
            input_shape = (*input_shape[:-1], layer.units)

    def _run(self, hidden):
        for layer in self.stack:
            hidden = layer(hidden)
        return hidden


class DenseEncoderBank(_DenseBank):
    """K fully connected encoders (Section V.A: two hidden layers of 500).

    Call: images [n, *image] -> `PosteriorParameters`.
    """

    def _ends(self):
        return (1, None, self._pixels), contract.num_outputs(self._latent_dim)

    def call(self, images):
        flat = tf.reshape(images, [1, -1, self._pixels])
        outputs = tf.transpose(self._run(flat), [1, 0, 2])
        return contract.posterior_parameters(outputs, self._latent_dim)


class DenseDecoderBank(_DenseBank):
    """K fully connected decoders, mirror images of `DenseEncoderBank`.

    Call: latent codes [n, K, d] -> logits [n, K, *image].
    """

    def _ends(self):
        return (self._num_components, None, self._latent_dim), self._pixels

    def call(self, codes):
        logits = tf.transpose(self._run(tf.transpose(codes, [1, 0, 2])), [1, 0, 2])
        return tf.reshape(logits, [-1, self._num_components, *self._image_shape])
