"""Fully connected encoder and decoder banks (Section V.A), under the contract of `contract`.

All K components are one batched matrix product with weights [K, in, out].
"""

import math

import keras
import tensorflow as tf

from mvae_tf.networks import contract

# The deviation of a standard normal variable that is cut off at two deviations.
_CUT_OFF = 0.87962566103423978


class BatchedDense(keras.layers.Layer):
    """K dense layers side by side as one batched matrix product with weights [K, in, out].

    Only the product runs in the policy's compute dtype; bias, activation and output are float32.

    Args:
        num_components: K.
        units: size of each layer's output.
        activation: as in `keras.layers.Dense`.
        seed: int or `keras.random.SeedGenerator` of the initial weights.
        initializer: one of `contract.INITIALIZERS`.

    Shapes: [K, n, in], or [1, n, in] for an input that all components share, to [K, n, units].
    """

    def __init__(
        self,
        num_components: int,
        units: int,
        activation=None,
        seed=None,
        initializer: str = "glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_components = num_components
        self.units = units
        self.activation = keras.activations.get(activation)
        self._seed, self._initializer = seed, initializer

    def build(self, input_shape):
        inputs = input_shape[-1]
        self.kernel = self.add_weight(
            shape=(self.num_components, inputs, self.units),
            initializer=self._initial(inputs),
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

    def _initial(self, inputs):
        # Keras's own initialisers of these names would count K as a convolution's receptive field.
        if self._initializer == "he_normal":
            deviation = math.sqrt(2.0 / inputs) / _CUT_OFF
            return keras.initializers.TruncatedNormal(stddev=deviation, seed=self._seed)
        limit = math.sqrt(6.0 / (inputs + self.units))
        return keras.initializers.RandomUniform(-limit, limit, seed=self._seed)


class DenseBank(keras.layers.Layer):
    """K multilayer perceptrons: hidden layers of `hidden_units`, then a linear layer.

    A bank's `_ends()` gives the shape of what comes in, [K or 1, n, in], and the size of what goes
    out, `_activations(architecture)` one for each hidden layer.

    Called with a seed, int32 [2], it drops of each hidden layer's outputs the architecture's share,
    drawn for each image and component, and makes up for it in the others; without one, none.

    Args:
        architecture: See `contract.Architecture`.
    """

    def __init__(self, architecture: contract.Architecture, **kwargs):
        super().__init__(dtype=architecture.dtype, **kwargs)
        self._image_shape = tuple(architecture.image_shape)
        self._pixels = math.prod(architecture.image_shape)
        self._num_components = architecture.num_components
        self._latent_dim = architecture.latent_dim
        self.dropout = architecture.dropout
        input_shape, outputs = self._ends()
        hidden = zip(architecture.hidden_units, self._activations(architecture), strict=True)
        self.stack = [
            BatchedDense(
                self._num_components,
                units,
                each,
                architecture.seed,
                architecture.initializer,
                dtype=self.dtype_policy,
            )
            for units, each in [*hidden, (outputs, None)]
        ]
        self.build(input_shape)

    def build(self, input_shape):
        for layer in self.stack:
            layer.build(input_shape)
            input_shape = (*input_shape[:-1], layer.units)

    def _run(self, hidden, seed):
        *layers, last = self.stack
        for index, layer in enumerate(layers):
            hidden = layer(hidden)
            if seed is not None:
                hidden = tf.nn.experimental.stateless_dropout(
                    hidden, self.dropout, tf.random.fold_in(seed, index)
                )
        return last(hidden)


class DenseEncoderBank(DenseBank):
    """K fully connected encoders (Section V.A: two hidden layers of 500).

    Call: images [n, *image] -> `PosteriorParameters`.
    """

    def _ends(self):
        return (1, None, self._pixels), contract.num_outputs(self._latent_dim)

    def _activations(self, architecture):
        return architecture.encoder_activations()

    def call(self, images, seed=None):
        flat = tf.reshape(images, [1, -1, self._pixels])
        outputs = tf.transpose(self._run(flat, seed), [1, 0, 2])
        return contract.posterior_parameters(outputs, self._latent_dim)


class DenseDecoderBank(DenseBank):
    """K fully connected decoders, with hidden layers of the sizes of `DenseEncoderBank`'s.

    Call: latent codes [n, K, d] -> logits [n, K, *image].
    """

    def _ends(self):
        return (self._num_components, None, self._latent_dim), self._pixels

    def _activations(self, architecture):
        return architecture.decoder_activations()

    def call(self, codes, seed=None):
        logits = tf.transpose(self._run(tf.transpose(codes, [1, 0, 2]), seed), [1, 0, 2])
        return tf.reshape(logits, [-1, self._num_components, *self._image_shape])
