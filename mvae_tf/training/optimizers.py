"""Adam with one fused pass over memory.

Keras updates a variable in about ten operations, each of which reads and writes all of it. At ten
components of 1.3 million parameters this takes as long as the gradient itself; TensorFlow's fused
kernel does the same arithmetic in one pass.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="mvae_tf")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, same arguments and same update up to rounding, but `amsgrad`.

    Args:
        learning_rate: As in `keras.optimizers.Adam`, and so are the other arguments.
    """

    def __init__(self, learning_rate=0.001, **kwargs):
        super().__init__(learning_rate, **kwargs)
        if self.amsgrad:
            raise ValueError("Expected amsgrad=False. Received: True; use keras.optimizers.Adam.")

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable and its two moments in place."""
        step = tf.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=gradient,
        )
