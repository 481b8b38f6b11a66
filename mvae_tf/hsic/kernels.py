"""dHSIC by sums over its kernels: the fastest way, for samples about a bandwidth apart.

Every mean over samples is weighted by their shares [1, n], or plain where they are None.
"""

from collections.abc import Sequence

import tensorflow as tf

from mvae_tf.hsic.blocks import exponents, sum_pairs
from mvae_tf.hsic.shares import along, count, split, weighted


def value_and_rows(
    points: Sequence[tf.Tensor], shares: tf.Tensor | None = None, compiled: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return dHSIC of x_k / sigma_k and the means of the kernels' rows, float64 [blocks, K, b].

    Args:
        points: One tensor [K, n, d], or several [1, n, d_k], around their means.
        shares: Of the samples, [n], with sum 1.
        compiled: As for `dhsic`.
    """
    blocks, n = split(points, shares, compiled=compiled), count(points, shares)
    sums = sum_pairs(_row_sums, blocks)
    row_means, joint = sums[:, :-1] / n, sums[:, -1] / n
    means = tf.reduce_sum(weighted(row_means, blocks[1]), axis=[0, 2]) / n
    cross = tf.reduce_prod(row_means, axis=1)
    excess = weighted((joint - 2.0 * cross)[:, None], blocks[1])
    return tf.reduce_sum(excess) / n + tf.reduce_prod(means), row_means


def pulls(
    points: Sequence[tf.Tensor],
    row_means: tf.Tensor,
    shares: tf.Tensor | None = None,
    compiled: bool = False,
) -> list[tf.Tensor]:
    """Return n^2 / 2 times the gradient in the points, blocks [blocks, K, b, d], float64.

    With v_k[i] = prod_{l != k} mean_j G_l[i, j] - prod_{l != k} mean_ij G_l / 2,
    n^2 G_k dD/dG_k = prod_l G_l - G_k (v_k[i] + v_k[j]), and dG_k = G_k (x_j - x_i) dx_i. Where
    samples have shares p, n^2 stands for 1 / (p_i p_j), and p_i is still to be multiplied with.
    """
    blocks, n = split(points, shares, compiled=compiled), count(points, shares)
    means = tf.reduce_sum(weighted(row_means, blocks[1]), axis=[0, 2]) / n
    excess = _products_of_others(row_means, 1) - _products_of_others(means, 0)[:, None] / 2
    return sum_pairs(_pulls, (*blocks, tf.cast(excess, points[0].dtype)))


def _row_sums(left, right, same):
    """Return the sums of a block of the K kernels and of their product, over columns and rows."""
    (left, left_shares), (right, right_shares) = left, right
    kernels = tf.exp(exponents(left, right, same))
    joint = tf.reduce_prod(kernels, axis=0, keepdims=True)

    def sums(axis, shares):
        shares = along(shares, axis)
        both = [tf.reduce_sum(weighted(each, shares), axis) for each in (kernels, joint)]
        return tf.concat(both, axis=0)

    return sums(2, right_shares), sums(1, left_shares)


def _pulls(left, right, same):
    """Return sum_j A_k[i, j] (x_j - x_i), and the same from j's side, for A_k = n^2 G_k dD/dG_k."""
    (left, left_shares, left_excess), (right, right_shares, right_excess) = left, right
    kernels = tf.exp(exponents(left, right, same))
    joint = tf.reduce_prod(kernels, axis=0, keepdims=True)
    forces = joint - kernels * (left_excess[:, :, None] + right_excess[:, None, :])
    if same:  # No sample pulls at itself; where all are far apart, rounding such a pull would.
        forces = tf.linalg.set_diag(forces, tf.zeros_like(left.diagonal))
    forces = tf.split(forces, len(left.points))

    def pulls(here, there, shares, transposed):
        axis = 1 if transposed else 2
        shared = [weighted(force, along(shares, axis)) for force in forces]
        return [
            tf.matmul(force, y, transpose_a=transposed) - tf.reduce_sum(force, axis)[:, :, None] * x
            for force, x, y in zip(shared, here.points, there.points, strict=True)
        ]

    here = pulls(left, right, right_shares, False)
    return here, None if same else pulls(right, left, left_shares, True)


def _products_of_others(array, axis):
    before = tf.math.cumprod(array, axis, exclusive=True)
    return before * tf.math.cumprod(array, axis, exclusive=True, reverse=True)
