"""The exact median of all pairs' distances, in memory that grows with n alone."""

import functools

import numpy as np
import tensorflow as tf

from mvae_tf.hsic.blocks import exponents, exponents_by_differences, fold_pairs, single, split

_BITS = 16  # That one run over all pairs tells apart,
_BINS = 2**_BITS  # in so many bins.
# By products, equal rows may be so many rounding errors of the largest distance apart.
_ROUNDING = 16
# How much of a squared median its rounding error may be.
_PRECISION = 1e-4


def median_distance(variable: tf.Tensor, compiled: bool) -> tf.Tensor:
    """Return the median of the positive |x_i - x_j| of a variable [n, d]; 1 if there is none.

    Of an even number, the root of the mean of the middle two's squares.

    Args:
        variable: In float32 or float64.
        compiled: Whether by sorting all pairs: XLA compiles it.
    """
    if compiled:
        return _by_differences(variable, _sorted_median)
    median = _median if tf.inside_function() else _median_eagerly
    count = tf.shape(variable)[0]
    # The products of the samples are faster, and enough where no pair is beyond their digits.
    points = [(variable - tf.reduce_mean(variable, axis=0, keepdims=True))[None]]
    fast, _, all_digits = median(split(points), count, exponents)
    all_digits &= tf.reduce_max(tf.abs(variable)) < variable.dtype.max**0.4

    def by_differences():
        def of(points, scales):
            return median(split(points, scales), count, exponents_by_differences)[:2]

        return _by_differences(variable, of)

    return tf.cond(all_digits, lambda: tf.sqrt(fast), by_differences)


def _by_differences(variable, median):
    """Return the median distance, by a function of samples and a scale, that of all differences.

    It returns the median of the squared distances in scales, and whether there is any.
    """
    wide = tf.cast(variable, tf.float64)
    span = tf.reduce_max(tf.reduce_max(wide, axis=0) - tf.reduce_min(wide, axis=0))
    scale = tf.where(span > 0, span, tf.ones_like(span))
    squared, exists = median([wide[None]], [tf.reshape(scale, [1, 1, 1])])
    distance = tf.where(exists, scale * tf.sqrt(squared), tf.ones_like(scale))
    distance = tf.cast(distance, variable.dtype)
    is_number = tf.math.is_finite(span) & tf.math.is_finite(distance)
    return tf.where(is_number, distance, tf.constant(np.nan, variable.dtype))


def _sorted_median(points, scales):
    block = single(points, scales)
    squared = _squared(exponents_by_differences(block, block, same=True, compiled=True))
    squared = tf.reshape(squared, [-1])
    total = tf.reduce_sum(tf.cast(squared > 0, tf.int32))
    ordered = tf.sort(tf.where(squared > 0, squared, squared.dtype.as_numpy_dtype("inf")))
    middle = (ordered[tf.maximum(total - 1, 0) // 2] + ordered[total // 2]) / 2
    return middle, total > 0


def _median(blocks, count, exponents):
    """Return the median of positive squared distances, whether there is one, and all its digits."""
    dtype, fold = blocks.halves.dtype, functools.partial(fold_pairs, exponents=exponents)
    limits = np.finfo(dtype.as_numpy_dtype)
    largest = fold(_largest, tf.zeros([], dtype), blocks)
    rounding = 0.0 if exponents is exponents_by_differences else limits.eps * largest
    least = tf.cast(_ROUNDING * rounding, dtype)
    # Positive floats are ordered as their bits are: the lower of the middle two is found from its
    # most significant digit to its least.
    bits = tf.int32 if dtype == tf.float32 else tf.int64
    found, rank = tf.zeros([], bits), None
    for shift in reversed(range(0, 8 * bits.size, _BITS)):
        counts = _histogram(fold, blocks, least, found, shift)
        if rank is None:
            total = tf.cast(count, tf.int64) ** 2 - counts[_BINS]
            rank = (total - 1) // 2
        below = tf.cumsum(counts[:_BINS])
        digit = tf.reduce_sum(tf.cast(below <= rank, tf.int32))
        rank -= tf.reduce_sum(tf.where(tf.range(_BINS) < digit, counts[:_BINS], 0))
        found = tf.bitwise.left_shift(found, tf.cast(_BITS, bits)) + tf.cast(digit, bits)
    lower = tf.bitcast(found, dtype)
    shared = tf.logical_or(total % 2 == 1, rank + 1 < counts[tf.minimum(digit, _BINS - 1)])
    upper = tf.cond(shared, lambda: lower, lambda: _next(fold, blocks, lower))
    distinct = tf.equal(total, tf.cast(count, tf.int64) * tf.cast(count - 1, tf.int64))
    all_digits = distinct & (rounding <= _PRECISION * lower) & (lower > limits.tiny / limits.eps)
    return (lower + upper) / 2, total > 0, all_digits


def _squared(exponents):
    return -2.0 * exponents


def _largest(largest, exponents, _):
    squared = _squared(exponents)
    finite = tf.where(squared < squared.dtype.as_numpy_dtype("inf"), squared, 0.0)
    return tf.maximum(largest, tf.reduce_max(finite))


def _next(fold, blocks, value):
    def step(least, exponents, _):
        squared = _squared(exponents)
        return tf.minimum(
            least, tf.reduce_min(tf.where(squared > value, squared, squared.dtype.max))
        )

    return fold(step, tf.constant(value.dtype.max), blocks)


def _histogram(fold, blocks, least, found, shift):
    """Count the values above `least` whose bits begin with `found` by their digit at `shift`.

    All other values are counted in a last bin.
    """

    def step(counts, exponents, weight):
        squared = _squared(exponents)
        digits = tf.bitwise.right_shift(
            tf.bitcast(squared, found.dtype), tf.cast(shift, found.dtype)
        )
        digits -= tf.bitwise.left_shift(found, tf.cast(_BITS, found.dtype))
        counted = (squared > least) & (digits >= 0) & (digits < _BINS)
        digits = tf.cast(tf.where(counted, digits, _BINS), tf.int32)
        added = tf.math.bincount(
            tf.reshape(digits, [-1]), minlength=_BINS + 1, maxlength=_BINS + 1, dtype=tf.int64
        )
        return counts + tf.cast(weight, tf.int64) * added

    return fold(step, tf.zeros([_BINS + 1], tf.int64), blocks)


# Run eagerly, loops would be Python's.
_median_eagerly = tf.function(_median, autograph=False, reduce_retracing=True)
