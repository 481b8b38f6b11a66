"""Sums over all pairs of n samples in memory that grows with n, not with n^2.

The pairs are cut into square blocks, of which those below the diagonal repeat those above it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

# Samples to a block's side. Smaller blocks cost more in calls, larger ones leave the cache.
BLOCK = 512
# Blocks at work at once: the operations of one are too small to keep several cores busy.
_PARALLEL = 4


class Blocks(NamedTuple):
    """K variables' samples in blocks of b; without the first axis, one of the blocks.

    Attributes:
        points: One tensor [blocks, K, b, d], or [blocks, 1, b, d_k] for each variable.
        halves: |x|^2 / 2, [blocks, K, b]; infinite where the last block is filled up.
        diagonal: That of `exponents`, [blocks, K, b]: 0, or minus infinity where filled up.
        scales: What differences are divided by, [blocks, K or 1, 1, 1] for each of `points`; none
            where there are no differences to be taken.
    """

    points: tuple[tf.Tensor, ...]
    halves: tf.Tensor
    diagonal: tf.Tensor
    scales: tuple[tf.Tensor, ...] = ()


def split(
    points: Sequence[tf.Tensor], scales: Sequence[tf.Tensor] = (), *, whole: bool = False
) -> Blocks:
    """Cut variables, one tensor [K, n, d] or several [1, n, d_k], into blocks of about a size.

    All pairs are one block where `whole` asks for it: XLA compiles no loop over blocks. With
    scales, [K or 1, 1, 1] for each tensor, the blocks are for `exponents_by_differences`: the
    halves are 0, and infinite where the last block is filled up.
    """
    count = tf.shape(points[0])[1]
    points = tuple(cut(each, whole=whole) for each in points)
    halves = tf.concat([tf.reduce_sum(each**2, axis=3) / 2 for each in points], axis=1)
    halves = tf.zeros_like(halves) if scales else halves
    diagonal = tf.zeros_like(halves)
    scales = tuple(each[None] for each in scales)
    if points[0].shape[0] == 1:
        return Blocks(points, halves, diagonal, scales)
    shape = tf.shape(halves)
    scales = tuple(tf.tile(each, [shape[0], 1, 1, 1]) for each in scales)
    index = tf.reshape(tf.range(shape[0] * shape[2]), [shape[0], 1, shape[2]])
    added = tf.where(index < count, tf.zeros([], halves.dtype), halves.dtype.as_numpy_dtype("inf"))
    return Blocks(points, halves + added, diagonal - added, scales)


def cut(array: tf.Tensor, *, whole: bool = False) -> tf.Tensor:
    """Return [K, n, ...] as [blocks, K, b, ...], the last block filled up with 0; see `split`."""
    if whole or (array.shape[1] is not None and array.shape[1] <= BLOCK):
        return array[None]
    shape = tf.shape(array)
    blocks = -(-shape[1] // BLOCK)
    size = -(-shape[1] // blocks)
    rest = array.shape.rank - 2
    array = tf.pad(array, [[0, 0], [0, blocks * size - shape[1]], *[[0, 0]] * rest])
    array = tf.reshape(array, tf.concat([shape[:1], [blocks, size], shape[2:]], axis=0))
    return tf.transpose(array, [1, 0, 2, *range(3, 3 + rest)])


def single(points: Sequence[tf.Tensor], scales: Sequence[tf.Tensor] = ()) -> Blocks:
    """Return variables, as for `split`, as the one block of all n^2 pairs."""
    return _take(split(points, scales, whole=True), 0)


def paste(array: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Return [blocks, K, b, ...] as [K, n, ...]: the inverse of `split`."""
    if array.shape[0] == 1:
        return array[0]
    shape = tf.shape(array)
    array = tf.transpose(array, [1, 0, 2, *range(3, array.shape.rank)])
    array = tf.reshape(array, tf.concat([shape[1:2], [-1], shape[3:]], axis=0))
    return array[:, :count]


def exponents(left: Blocks, right: Blocks, same: bool) -> tf.Tensor:
    """Return -|x - y|^2 / 2, [K, b, b], of two blocks' samples, or of one block's (`same`)."""
    pairs = zip(left.points, right.points, strict=True)
    products = _join([tf.matmul(x, y, transpose_b=True) for x, y in pairs])
    values = products - left.halves[:, :, None] - right.halves[:, None, :]
    values = tf.minimum(values, 0)
    return tf.linalg.set_diag(values, left.diagonal) if same else values


def exponents_by_differences(
    left: Blocks, right: Blocks, same: bool, *, compiled: bool = False
) -> tf.Tensor:
    """Return what `exponents` does of points in scales, exact in every digit for points anywhere.

    Of points far from the others, `exponents` keeps no more than |x|^2's digits, and points that
    are divided first no more than the quotient's. In memory as it is, and slower: one coordinate
    after another, or, `compiled`, all of them in one loop of XLA's.
    """
    del same  # the distance of a point to itself is 0 as it is

    def squared(x, y, scale):
        if compiled:
            return tf.reduce_sum(((x[:, :, None] - y[:, None]) / scale[..., None]) ** 2, axis=3)
        total = tf.zeros_like(_apart(x[:, :, 0], y[:, :, 0], scale))
        columns = (tf.transpose(x, [2, 0, 1]), tf.transpose(y, [2, 0, 1]))
        return tf.foldl(lambda sum_, xy: sum_ + _apart(*xy, scale) ** 2, columns, total)

    each = zip(left.points, right.points, left.scales, strict=True)
    values = _join([-squared(*parts) / 2 for parts in each])
    return values - left.halves[:, :, None] - right.halves[:, None, :]


def pulls_by_differences(
    forces: tf.Tensor, left: Blocks, right: Blocks, *, compiled: bool = False
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Return sum_j f_ij (y_j - x_i), [K, b, d], and sum_i f_ij (x_i - y_j), of forces [K, b, b].

    The differences are in scales.
    """

    def pulls(force, x, y, scale):
        if compiled:
            apart = (y[:, None] - x[:, :, None]) / scale[..., None]
            each = tf.math.multiply_no_nan(apart, force[..., None])
            return tf.reduce_sum(each, axis=2), -tf.reduce_sum(each, axis=1)

        def of_column(xy):
            each = tf.math.multiply_no_nan(-_apart(*xy, scale), force)
            return tf.reduce_sum(each, axis=2), -tf.reduce_sum(each, axis=1)

        columns = (tf.transpose(x, [2, 0, 1]), tf.transpose(y, [2, 0, 1]))
        sums = tf.map_fn(of_column, columns, fn_output_signature=(x.dtype, x.dtype))
        return tuple(tf.transpose(each, [1, 2, 0]) for each in sums)

    split_forces = tf.split(forces, len(left.points))
    each = zip(split_forces, left.points, right.points, left.scales, strict=True)
    lefts, rights = zip(*(pulls(*parts) for parts in each), strict=True)
    return list(lefts), list(rights)


def _apart(x, y, scale):
    """Return x_i - y_j in scales, [K, b, b], of one coordinate [K, b]."""
    return (x[:, :, None] - y[:, None, :]) / scale


def sum_pairs(term: Callable[..., Any], blocks: Any) -> Any:
    """Return, for every sample, the sum over all samples of what `term` gives for their pairs.

    Args:
        term: A function (left, right, same) of two of the blocks. It returns the sums for the
            left samples over the right ones, in tensors [K, b, ...], and those for the right
            samples over the left ones in the same structure; if left and right are the same block,
            what it returns second is not used.
        blocks: Tensors [blocks, ...] in any structure, one being of rank 3 or more.

    Returns:
        The sums, float64 of shape [blocks, K, b, ...], in the structure of term's.
    """
    if tf.nest.flatten(blocks)[0].shape[0] == 1:
        block = _take(blocks, 0)
        sums = term(block, block, True)[0]
        return tf.nest.map_structure(lambda each: tf.cast(each, tf.float64)[None], sums)
    counts = tuple(each.shape[1] for each in tf.nest.flatten(blocks))
    return _summing(term, counts)(blocks)


def fold_pairs(
    step: Callable[..., Any], state: Any, blocks: Blocks, exponents: Callable = exponents
) -> Any:
    """Return the last state of state = step(state, exponents, weight), run over all blocks.

    The weight is how often the block's values occur among all n^2: 1 on the diagonal, 2 off it.
    """
    if blocks.halves.shape[0] == 1:
        block = _take(blocks, 0)
        return step(state, exponents(block, block, same=True), 1)
    count = tf.shape(blocks.halves)[0]

    def run(i, j, state):
        left, right = _take(blocks, i), _take(blocks, j)
        values = tf.cond(
            tf.equal(i, j),
            lambda: exponents(left, left, same=True),
            lambda: exponents(left, right, same=False),
        )
        state = step(state, values, tf.where(tf.equal(i, j), 1, 2))
        ended = tf.equal(j + 1, count)
        return tf.where(ended, i + 1, i), tf.where(ended, i + 1, j + 1), state

    return tf.while_loop(lambda i, *_: i < count, run, (0, 0, state), parallel_iterations=1)[2]


@functools.cache
def _summing(term, counts):
    """Return `_sum_pairs` of a term as one graph for samples of all sizes.

    Each number of variables, `counts`, has its own: a graph for all of them would know none.
    """
    del counts
    sums = functools.partial(_sum_pairs, term)
    return tf.function(sums, autograph=False, reduce_retracing=True)


def _sum_pairs(term, blocks):
    flat = tf.nest.flatten(blocks)
    count = tf.shape(flat[0])[0]

    def diagonal(i):
        block = _take(blocks, i)
        return term(block, block, True)[0]

    def add_row(i, totals):
        """Add the blocks right of the diagonal's i-th to the samples on both their sides."""
        block = _take(blocks, i)
        left, right = _map(
            lambda j: term(block, _take(blocks, j), False), i + 1, count, (signature, signature)
        )

        def add(total, left, right):
            left = tf.reduce_sum(tf.cast(left, tf.float64), axis=0, keepdims=True)
            before = tf.zeros_like(total[:i])
            return total + tf.concat([before, left, tf.cast(right, tf.float64)], axis=0)

        return i + 1, tf.nest.map_structure(add, totals, left, right)

    signature = tf.nest.map_structure(lambda each: each.dtype, diagonal(0))
    totals = _map(diagonal, 0, count, signature)
    totals = tf.nest.map_structure(lambda each: tf.cast(each, tf.float64), totals)
    return tf.while_loop(lambda i, _: i < count - 1, add_row, (0, totals), parallel_iterations=1)[1]


def _map(function, start, stop, signature):
    return tf.map_fn(
        function,
        tf.range(start, stop),
        fn_output_signature=signature,
        parallel_iterations=_PARALLEL,
    )


def _take(blocks, index):
    return tf.nest.map_structure(lambda each: each[index], blocks)


def _join(tensors):
    return tensors[0] if len(tensors) == 1 else tf.concat(tensors, axis=0)
