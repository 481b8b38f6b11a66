"""Seeds of draws that training doesn't make, and of what it drops."""

import tensorflow as tf

# Training's seeds end in its count of steps or the number of a replica, which are never negative.
_EVALUATION = -1
_DROPOUT = -2


def apart(seed) -> tf.Tensor:
    """Return a seed, int32 [2], of a seed of that shape, that training never has."""
    return tf.random.fold_in(tf.cast(seed, tf.int32), _EVALUATION)


def of_dropout(seed: tf.Tensor) -> tf.Tensor:
    """Return seeds, int32 [2, 2], of the encoders' and the decoders' dropout in a step of a seed.

    They are apart from those of the step's other draws, which stay what they are without dropout.
    """
    return tf.random.split(tf.random.fold_in(seed, _DROPOUT), 2)
