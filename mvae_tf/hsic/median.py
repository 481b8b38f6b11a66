"""The exact median of all pairs' distances, in memory that grows with n alone."""

import numpy as np
import tensorflow as tf

from mvae_tf.hsic.blocks import Blocks, exponents, fold_pairs

_BITS = 16  # That one run over all pairs tells apart,
_BINS = 2**_BITS  # in so many bins.
# Equal rows may be so many rounding errors of the largest distance apart.
_ROUNDING = 16


def median_squared_distance(blocks: Blocks, count: tf.Tensor) -> tf.Tensor:
    """Return the median of the positive |x_i - x_j|^2 of `count` samples; 1 if there is none.

    Of an even number, the mean of the middle two.
    """
    return (_median if tf.inside_function() else _median_eagerly)(blocks, count)


def sorted_median_squared_distance(blocks: Blocks) -> tf.Tensor:
    """Return the same of samples in one block, by sorting all pairs: XLA compiles it."""
    block = Blocks(tuple(each[0] for each in blocks.points), blocks.halves[0], blocks.diagonal[0])
    squared = tf.reshape(_squared(exponents(block, block, same=True)), [-1])
    least = _ROUNDING * np.finfo(squared.dtype.as_numpy_dtype).eps * tf.reduce_max(squared)
    positive = squared > least
    total = tf.reduce_sum(tf.cast(positive, tf.int32))
    ordered = tf.sort(tf.where(positive, squared, squared.dtype.as_numpy_dtype("inf")))
    middle = (ordered[tf.maximum(total - 1, 0) // 2] + ordered[total // 2]) / 2
    return tf.where(total > 0, middle, tf.ones_like(middle))


def _median(blocks, count):
    dtype = blocks.halves.dtype
    largest = fold_pairs(_largest, tf.zeros([], dtype), blocks)
    least = _ROUNDING * np.finfo(dtype.as_numpy_dtype).eps * largest
    # Positive floats are ordered as their bits are: the lower of the middle two is found from its
    # most significant digit to its least.
    bits = tf.int32 if dtype == tf.float32 else tf.int64
    found, rank = tf.zeros([], bits), None
    for shift in reversed(range(0, 8 * bits.size, _BITS)):
        counts = _histogram(blocks, least, found, shift)
        if rank is None:
            total = tf.cast(count, tf.int64) ** 2 - counts[_BINS]
            rank = (total - 1) // 2
        below = tf.cumsum(counts[:_BINS])
        digit = tf.reduce_sum(tf.cast(below <= rank, tf.int32))
        rank -= tf.reduce_sum(tf.where(tf.range(_BINS) < digit, counts[:_BINS], 0))
        found = tf.bitwise.left_shift(found, tf.cast(_BITS, bits)) + tf.cast(digit, bits)
    lower = tf.bitcast(found, dtype)
    shared = tf.logical_or(total % 2 == 1, rank + 1 < counts[tf.minimum(digit, _BINS - 1)])
    upper = tf.cond(shared, lambda: lower, lambda: _next(blocks, lower))
    return tf.where(total > 0, (lower + upper) / 2, tf.ones([], dtype))


def _squared(exponents):
    return -2.0 * exponents


def _largest(largest, exponents, _):
    squared = _squared(exponents)
    finite = tf.where(squared < squared.dtype.as_numpy_dtype("inf"), squared, 0.0)
    return tf.maximum(largest, tf.reduce_max(finite))


def _next(blocks, value):
    def step(least, exponents, _):
        squared = _squared(exponents)
        return tf.minimum(
            least, tf.reduce_min(tf.where(squared > value, squared, squared.dtype.max))
        )

    return fold_pairs(step, tf.constant(value.dtype.max), blocks)


def _histogram(blocks, least, found, shift):
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

    return fold_pairs(step, tf.zeros([_BINS + 1], tf.int64), blocks)


# Run eagerly, loops would be Python's.
_median_eagerly = tf.function(_median, autograph=False, reduce_retracing=True)
