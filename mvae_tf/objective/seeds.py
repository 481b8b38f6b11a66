"""Seeds of draws that training doesn't make."""

import tensorflow as tf

# Training's seeds end in its count of steps or the number of a replica, which are never negative.
_EVALUATION = -1


def apart(seed) -> tf.Tensor:
    """Return a seed, int32 [2], of a seed of that shape, that training never has."""
    return tf.random.fold_in(tf.cast(seed, tf.int32), _EVALUATION)
