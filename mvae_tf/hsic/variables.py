"""What `dhsic` is handed: the variables in one precision, and the weights of their samples."""

from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from mvae_tf import checks

_EXPECTED = "Expected variables that are arrays of real numbers, [n, d]"


def as_matrices(variables: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return checked variables [n, d_k] in one dtype; see `criterion.dhsic`."""
    if isinstance(variables, str | Mapping) or not isinstance(variables, Iterable):
        raise ValueError(f"{_EXPECTED}, in a list. Received: {checks.described(variables)}.")
    variables = [_as_real(_EXPECTED, variable) for variable in variables]
    if not variables:
        raise ValueError("Expected at least one variable. Received: none.")
    dtype = tf.float64 if any(_is_wide(each.dtype) for each in variables) else tf.float32
    variables = [tf.cast(variable, dtype) for variable in variables]
    shapes = [tuple(variable.shape) for variable in variables]
    if any(len(shape) != 2 or 0 in shape for shape in shapes):
        raise ValueError(f"Expected variables of shape [n, d], n and d >= 1. Received: {shapes}.")
    if len({shape[0] for shape in shapes if shape[0] is not None}) > 1:
        raise ValueError(f"Expected the same number of samples in all. Received: {shapes}.")
    return variables


def as_weights(weights, count: int | None) -> tf.Tensor:
    """Return checked weights [n] of samples as float64, at most 1; inside a graph NaN if wrong."""
    expected = f"Expected weights of shape [{'n' if count is None else count}]"
    weights = tf.cast(_as_real(f"{expected}, real numbers", weights), tf.float64)
    if not tf.TensorShape([count]).is_compatible_with(weights.shape):
        raise ValueError(f"{expected}. Received: {weights.shape}.")
    # Of NaN neither holds, and infinity is above the largest number.
    are_right = tf.reduce_all((weights >= 0) & (weights <= weights.dtype.max))
    if tf.executing_eagerly() and not are_right:
        raise ValueError("Expected weights that are finite and at least 0. Received: others.")
    # Of the size of 1: the sum of large ones would be infinite, and small ones 0 in float32.
    weights = tf.math.divide_no_nan(weights, tf.reduce_max(weights))
    return tf.where(are_right, weights, tf.constant(float("nan"), weights.dtype))


def _as_real(expected, values):
    """Return a tensor of real numbers; those of a list are float64."""
    if isinstance(values, list | tuple):
        holds_tensors = any(map(_is_tensor, tf.nest.flatten(values)))
        values = tf.convert_to_tensor(values) if holds_tensors else values
    elif _is_tensor(values) and not tf.is_tensor(values):  # Keras's variables
        values = tf.convert_to_tensor(values)
    values = checks.as_array(expected, values)
    try:
        dtype = tf.as_dtype(values.dtype)
    except TypeError:  # dates, for one
        raise ValueError(f"{expected}. Received: dtype {values.dtype}.") from None
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise ValueError(f"{expected}. Received: dtype {dtype.name}.")
    return tf.convert_to_tensor(values)


def _is_tensor(values):
    return tf.is_tensor(values) or hasattr(values, "__tf_tensor__")


def _is_wide(dtype):
    """Return whether float32 is too little: it has the integers up to 2^24 alone."""
    return dtype == tf.float64 or (dtype.is_integer and dtype.size > 2)
