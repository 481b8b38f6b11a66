"""dHSIC by what its kernels lack of 1, with all digits at any scale of the variables.

Where variables vary little beside their bandwidths, kernels are near 1, and dHSIC, of the order of
(1 - kernel)^2, is lost among their digits. With h = 1 - G, Q = 1 - prod_k (1 - h_k), and
E = prod_k (1 - h_k) - 1 + sum_k h_k, both of which are sums of positive terms,

    dHSIC = mean_ij E(h[i, j]) + E(mean_ij h[i, j]) - 2 mean_i E(mean_j h[i, j]),

as the constants and what is linear in h cancel. Distances are those of differences, divided by the
bandwidth last, so that a sample far from the others, or all far from 0, costs no digit. Means are
weighted where samples have shares.
"""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mvae_tf.hsic import blocks as pairs
from mvae_tf.hsic.shares import along, count, split, weighted


def value_and_rows(
    points: Sequence[tf.Tensor],
    sigmas: Sequence[tf.Tensor],
    shares: tf.Tensor | None = None,
    compiled: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return dHSIC and the rows' mean deficits, float64 [blocks, K, b].

    Args:
        points: One tensor [K, n, d], or several [1, n, d_k].
        sigmas: The bandwidths of each, [K or 1, 1, 1].
        shares: Of the samples, [n], with sum 1.
        compiled: As for `dhsic`.
    """
    blocks = split(points, shares, compiled=compiled, scales=sigmas)
    n = count(points, shares)
    sums = pairs.sum_pairs(_ROW_SUMS[compiled], blocks)
    rows = sums[:, :-1] / n
    means = tf.reduce_sum(weighted(rows, blocks[1]), axis=[0, 2]) / n
    excess = sums[:, -1] / n - 2.0 * _excess(tf.unstack(rows, axis=1))
    excess = weighted(excess[:, None], blocks[1])
    return tf.reduce_sum(excess) / n + _excess(tf.unstack(means)), rows


def pulls(
    points: Sequence[tf.Tensor],
    sigmas: Sequence[tf.Tensor],
    rows: tf.Tensor,
    shares: tf.Tensor | None = None,
    compiled: bool = False,
) -> list[tf.Tensor]:
    """Return n^2 / 2 times the gradient in x / sigma, blocks [blocks, K, b, d], float64.

    n^2 dD/dG_k = Q_i + Q_j - Q - Q_ij, of the other variables' deficits: in row i, in row j, in the
    mean and in the pair. Shares count as in `kernels.pulls`.
    """
    blocks = split(points, shares, compiled=compiled, scales=sigmas)
    means = tf.reduce_sum(weighted(rows, blocks[1]), axis=[0, 2]) / count(points, shares)
    lost = tf.stack(_lost_of_others(tf.unstack(rows, axis=1)), axis=1)
    lost -= tf.stack(_lost_of_others(tf.unstack(means)))[:, None] / 2
    return pairs.sum_pairs(_PULLS[compiled], (*blocks, lost))


def matrix(variable: tf.Tensor, bandwidth: float) -> np.ndarray:
    """Return 1 - exp(-|x_i - x_j|^2 / (2 bandwidth^2)), float64 [n, n], of a variable [n, d]."""
    block = pairs.single([variable[None]], [tf.constant(bandwidth, variable.dtype, [1, 1, 1])])
    block = block._replace(halves=tf.zeros_like(block.halves))
    return -np.expm1(pairs.exponents_by_differences(block, block, same=True)[0].numpy())


def _deficits(left, right, compiled):
    """Return a block's kernels and what they lack of 1, each [K, b, b], float64."""
    exponents = pairs.exponents_by_differences(left, right, same=False, compiled=compiled)
    exponents = tf.cast(exponents, tf.float64)
    filled = tf.math.is_inf(left.halves)[:, :, None] | tf.math.is_inf(right.halves)[:, None, :]
    return tf.exp(exponents), tf.where(filled, tf.zeros_like(exponents), -tf.math.expm1(exponents))


def _row_sums(compiled, left, right, same):
    """Return the sums of a block's K deficits and of their E, over columns and rows."""
    (left, left_shares), (right, right_shares) = left, right
    _, deficits = _deficits(left, right, compiled)
    terms = tf.concat([deficits, _excess(tf.unstack(deficits))[None]], axis=0)
    here = tf.reduce_sum(weighted(terms, along(right_shares, 2)), axis=2)
    return here, None if same else tf.reduce_sum(weighted(terms, along(left_shares, 1)), axis=1)


def _pulls(compiled, left, right, same):
    (left, left_shares, left_lost), (right, right_shares, right_lost) = left, right
    kernels, deficits = _deficits(left, right, compiled)
    lost = tf.stack(_lost_of_others(tf.unstack(deficits)))
    forces = kernels * (left_lost[:, :, None] + right_lost[:, None, :] - lost)

    def pulled(parts, axis):
        shared = tf.cast(weighted(forces, along(parts, axis)), left.points[0].dtype)
        return pairs.pulls_by_differences(shared, left, right, compiled=compiled)

    here, there = pulled(right_shares, 2)
    if same:
        return here, None
    return here, pulled(left_shares, 1)[1] if left_shares else there


def _excess(deficits):
    """Return E = prod_k (1 - h_k) - 1 + sum_k h_k of a list of h_k."""
    excess = lost = tf.zeros_like(deficits[0])
    for each in deficits:
        excess, lost = excess + each * lost, lost + each * (1.0 - lost)
    return excess


def _lost_of_others(deficits):
    """Return for each k Q = 1 - prod_{l != k} (1 - h_l) of a list of h_l."""
    before, after = [tf.zeros_like(deficits[0])], [tf.zeros_like(deficits[0])]
    for first, last in zip(deficits[:-1], deficits[:0:-1], strict=True):
        before.append(before[-1] + first * (1.0 - before[-1]))
        after.append(after[-1] + last * (1.0 - after[-1]))
    return [b + a * (1.0 - b) for b, a in zip(before, reversed(after), strict=True)]


# Each made once: `sum_pairs` keeps a graph for each function that it is given.
_ROW_SUMS = {compiled: functools.partial(_row_sums, compiled) for compiled in (False, True)}
_PULLS = {compiled: functools.partial(_pulls, compiled) for compiled in (False, True)}
