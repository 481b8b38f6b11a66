"""What `dhsic` is handed: the variables in one precision, and the weights of their samples."""

from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from mvae_tf import checks

_EXPECTED = "Expected variables that are arrays of real numbers, [n, d]"
_SAME_NUMBER = "Expected the same number of samples in all."


def as_matrices(variables: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return checked variables [n, d_k] in one dtype; see `criterion.dhsic`."""
    if checks.is_tensor(variables):  # a Keras variable is no iterable
        variables = tf.convert_to_tensor(variables)
    is_list = isinstance(variables, Iterable) and not isinstance(variables, str | Mapping)
    # An array [K, n, d] is as good as a list; the rows of one [n, d] are no variables.
    shape = tf.TensorShape(getattr(variables, "shape", [None] * 3) if is_list else None)
    if shape.rank != 3:
        received = checks.described(variables) + (f" of shape {shape}" if is_list else "")
        raise ValueError(f"{_EXPECTED}, in a list. Received: {received}.")
    variables = [checks.real_numbers(_EXPECTED, variable) for variable in variables]
    if not variables:
        raise ValueError("Expected at least one variable. Received: none.")
    dtype = tf.float64 if any(_is_wide(each.dtype) for each in variables) else tf.float32
    variables = [tf.cast(_of_rank(2, variable), dtype) for variable in variables]
    shapes = [tuple(variable.shape) for variable in variables]
    if any(len(shape) != 2 or 0 in shape for shape in shapes):
        raise ValueError(f"Expected variables of shape [n, d], n and d >= 1. Received: {shapes}.")
    if len({shape[0] for shape in shapes if shape[0] is not None}) > 1:
        raise ValueError(f"{_SAME_NUMBER} Received: {shapes}.")
    return variables


def as_matrix(variable: tf.Tensor) -> tf.Tensor:
    """Return one variable [n, d], checked as those of `criterion.dhsic`."""
    (matrix,) = as_matrices([variable])
    return matrix


def sizes_checked(variables: list[tf.Tensor]) -> list[tf.Tensor]:
    """Return variables of `as_matrices`; a graph that doesn't know their sizes stops at wrong ones.

    But for one that XLA compiles, which knows them all when it does.
    """
    if all(variable.shape.is_fully_defined() for variable in variables):
        return variables
    sizes = tf.stack([tf.shape(variable) for variable in variables])  # [K, 2]
    checked = [
        tf.debugging.assert_positive(sizes, "Expected variables of shape [n, d], n and d >= 1."),
        tf.debugging.assert_equal(sizes[:, 0], sizes[0, 0], _SAME_NUMBER),
    ]
    with tf.control_dependencies(checked):
        return [tf.identity(variable) for variable in variables]


def as_weights(weights, variable: tf.Tensor) -> tf.Tensor:
    """Return checked weights [n] of a variable's samples as float64, at most 1.

    Inside a graph NaN if one is wrong.
    """
    count = variable.shape[0]
    expected = f"Expected weights of shape [{'n' if count is None else count}]"
    weights = checks.real_numbers(f"{expected}, real numbers", weights)
    weights = tf.cast(_of_rank(1, weights), tf.float64)
    if not tf.TensorShape([count]).is_compatible_with(weights.shape):
        raise ValueError(f"{expected}. Received: {weights.shape}.")
    if None in (count, weights.shape[0]):
        # A single weight would pass as that of all samples, in XLA as well, which asserts nothing.
        as_many = tf.debugging.assert_equal(tf.size(weights), tf.shape(variable)[0], expected)
        with tf.control_dependencies([as_many]):
            weights = tf.reshape(weights, tf.shape(variable)[:1])
    # Of NaN neither holds, and infinity is above the largest number.
    are_right = tf.reduce_all((weights >= 0) & (weights <= weights.dtype.max))
    if tf.executing_eagerly() and not are_right:
        raise ValueError("Expected weights that are finite and at least 0. Received: others.")
    # Of the size of 1: the sum of large ones would be infinite, and small ones 0 in float32.
    weights = tf.math.divide_no_nan(weights, tf.reduce_max(weights))
    return tf.where(are_right, weights, tf.constant(float("nan"), weights.dtype))


def without_weightless(variable: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return a variable whose samples of weight 0 are the mean of the others.

    So nothing of them counts, not even NaN, none has a gradient, and the mean around which digits
    are kept is the others'.
    """
    counts = weights[:, None] > 0
    others = tf.where(counts, variable, 0)
    heaviest = tf.gather(others, tf.argmax(weights))  # from which a constant variable is exactly 0
    number = tf.cast(tf.math.count_nonzero(weights), variable.dtype)
    rest = tf.reduce_sum(tf.where(counts, others - heaviest, 0), axis=0)
    mean = heaviest + tf.math.divide_no_nan(rest, number)
    return tf.where(counts, variable, tf.stop_gradient(mean))


def as_bandwidth(value) -> float | tf.Tensor:
    """Return a bandwidth if it is a positive number, or a scalar tensor of one; see `criterion`.

    Inside a graph NaN if it isn't.
    """
    if not checks.is_tensor(value):
        return checks.positive("bandwidth", value)
    value = checks.real_numbers("Expected bandwidth to be a finite number above 0", value)
    value = tf.cast(_of_rank(0, value), tf.float64)
    if value.shape.rank != 0:
        raise ValueError(f"Expected bandwidth to be one number. Received: shape {value.shape}.")
    if not tf.is_symbolic_tensor(value):
        checks.positive("bandwidth", float(value))
    is_right = (value > 0) & (value <= value.dtype.max)
    return tf.where(is_right, value, tf.constant(float("nan"), value.dtype))


def _of_rank(rank, values):
    """Return a tensor; of one of unknown rank, as some graphs have it, this one is taken."""
    return tf.ensure_shape(values, [None] * rank) if values.shape.rank is None else values


def _is_wide(dtype):
    """Return whether float32 is too little: it has the integers up to 2^24 alone."""
    return dtype == tf.float64 or (dtype.is_integer and dtype.size > 2)
