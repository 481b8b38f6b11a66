"""dHSIC, the d-variable Hilbert-Schmidt independence criterion (Section IV, eq. 13).

The biased V-statistic, with eq. 13's normalisers read as averages (Pfister et al., Kernel-based
tests for joint independence, JRSS-B 80(1), 2018). With G_k the n x n kernel matrix of variable k:

    dHSIC = mean_ij prod_k G_k[i, j] + prod_k mean_ij G_k[i, j] - 2 mean_i prod_k mean_j G_k[i, j]
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from mvae_tf import checks


def dhsic(
    variables: Sequence[tf.Tensor], bandwidths: str | Sequence[float] = "dimension"
) -> tf.Tensor:
    """Estimate how far K variables are from joint independence; 0 in the limit means independent.

    Gaussian kernels exp(-r^2 / (2 sigma_k^2)). Differentiable in every variable. Memory and time
    grow as K n^2.

    Args:
        variables: K >= 1 float arrays, variable k of shape [n, d_k], whose rows are joint samples.
        bandwidths: how sigma_k is chosen. "dimension": the mean distance between two standard
            normal draws in d_k dimensions (`dimension_bandwidth`); "median": the median distance
            between the samples (`median_bandwidth`), without a gradient of its own; or K positive
            numbers.

    Returns:
        A scalar, at least 0 up to rounding, float64 if any variable is and float32 otherwise. A
        constant variable is independent of the others; n = 1 or K = 1 give 0.

    Raises:
        ValueError: if a variable is not of rank 2, is empty, or differs in n; or if the bandwidths
            are not a known rule nor K positive numbers.

    Example:
        >>> x = tf.random.normal([100, 3])
        >>> dhsic([x, tf.random.normal([100, 5])])   # near 0
        >>> dhsic([x, x[:, :2] ** 2])                # clearly larger
    """
    return statistic(kernels(as_matrices(variables), bandwidths))


def gaussian_kernel(variable: tf.Tensor, bandwidth: float | tf.Tensor) -> tf.Tensor:
    """Return the matrix exp(-|x_i - x_j|^2 / (2 bandwidth^2)), [n, n], of a variable [n, d]."""
    return tf.exp(-_squared_distances(variable) / (2.0 * bandwidth**2))


def dimension_bandwidth(dimension: int) -> float:
    """Return 2 Gamma((d + 1) / 2) / Gamma(d / 2): the mean distance of two N(0, I_d) draws."""
    return 2.0 * math.exp(math.lgamma((dimension + 1) / 2) - math.lgamma(dimension / 2))


def median_bandwidth(variable: tf.Tensor) -> tf.Tensor:
    """Return the median positive distance between the rows of [n, d]; 1 if there is none."""
    squared = _squared_distances(tf.stop_gradient(variable))
    # Equal rows may be a rounding error apart.
    rounding = 16 * np.finfo(squared.dtype.as_numpy_dtype).eps
    positive = tf.boolean_mask(squared, squared > rounding * tf.reduce_max(squared))
    positive = tf.cond(tf.size(positive) > 0, lambda: positive, lambda: tf.ones([1], squared.dtype))
    return tf.sqrt(tfp.stats.percentile(positive, 50.0, interpolation="midpoint"))


def statistic(kernels: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return dHSIC from the K kernel matrices [n, n]."""
    row_means = [tf.reduce_mean(kernel, axis=1) for kernel in kernels]
    joint = tf.reduce_mean(math.prod(kernels))
    product = math.prod(tf.reduce_mean(row_mean) for row_mean in row_means)
    cross = tf.reduce_mean(math.prod(row_means))
    return joint + product - 2.0 * cross


def kernels(variables: Sequence[tf.Tensor], bandwidths: str | Sequence[float]) -> list[tf.Tensor]:
    """Return the Gaussian kernel matrix [n, n] of each variable; see `dhsic`."""
    bandwidths = checks.bandwidths(bandwidths, len(variables))
    sigmas = _sigmas(variables, bandwidths)
    return [gaussian_kernel(*each) for each in zip(variables, sigmas, strict=True)]


def _squared_distances(variable):
    # The distances don't depend on the origin; around the mean, the fewest digits are lost.
    centred = variable - tf.reduce_mean(variable, axis=0, keepdims=True)
    gram = tf.matmul(centred, centred, transpose_b=True)
    norms = tf.reduce_sum(centred**2, axis=1)
    squared = tf.maximum(norms[:, None] + norms[None, :] - 2.0 * gram, 0.0)
    return tf.linalg.set_diag(squared, tf.zeros_like(norms))


def as_matrices(variables: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return checked variables [n, d_k] in one dtype; see `dhsic`."""
    variables = [tf.convert_to_tensor(variable) for variable in variables]
    if not variables:
        raise ValueError("Expected at least one variable. Received: none.")
    wide = any(variable.dtype == tf.float64 for variable in variables)
    variables = [tf.cast(variable, tf.float64 if wide else tf.float32) for variable in variables]
    shapes = [tuple(variable.shape) for variable in variables]
    if any(len(shape) != 2 or 0 in shape for shape in shapes):
        raise ValueError(f"Expected variables of shape [n, d], n and d >= 1. Received: {shapes}.")
    if len({shape[0] for shape in shapes if shape[0] is not None}) > 1:
        raise ValueError(f"Expected the same number of samples in all. Received: {shapes}.")
    return variables


def _sigmas(variables, bandwidths):
    if bandwidths == "dimension":
        return [dimension_bandwidth(variable.shape[1]) for variable in variables]
    if bandwidths == "median":
        return [median_bandwidth(variable) for variable in variables]
    return bandwidths
