"""dHSIC, the d-variable Hilbert-Schmidt independence criterion (Section IV, eq. 13).

The biased V-statistic, with eq. 13's normalisers read as averages (Pfister et al., Kernel-based
tests for joint independence, JRSS-B 80(1), 2018). With G_k the n x n kernel matrix of variable k:

    dHSIC = mean_ij prod_k G_k[i, j] + prod_k mean_ij G_k[i, j] - 2 mean_i prod_k mean_j G_k[i, j]
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mvae_tf import checks, traced
from mvae_tf.hsic import deficits, kernels
from mvae_tf.hsic.blocks import exponents_by_differences, paste, single
from mvae_tf.hsic.median import median_distance
from mvae_tf.hsic.variables import (
    as_bandwidth,
    as_matrices,
    as_matrix,
    as_weights,
    sizes_checked,
    without_weightless,
)

# Sums over kernels have the digits they should where of each variable, around its mean and in
# bandwidths, the mean of min(|x|^2, 1) is no less than the first, and dHSIC no less than so many
# times what rounding may come to. Otherwise sums over deficits have them.
_LEAST_MEAN = {tf.float32: 1e-1, tf.float64: 1e-2}
_TIMES_ROUNDING = {tf.float32: 1e3, tf.float64: 1e9}
# Variables that vary by less, in bandwidths, and do vary: dHSIC would be below the least number.
_LEAST_SPREAD = {tf.float32: 1e-8, tf.float64: 1e-35}


def dhsic(
    variables: Sequence[tf.Tensor],
    bandwidths: str | Sequence[float] = "dimension",
    *,
    compiled: bool = False,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Estimate how far K variables are from joint independence; 0 in the limit means independent.

    Gaussian kernels exp(-r^2 / (2 sigma_k^2)). Differentiable, once, in every variable, not in
    weights. Exact; time grows as K n^2, memory as K n, as value and gradient are summed block by
    block of pairs. The kernels are computed in the variables' precision, the sums in float64. Right
    at any scale of the variables and with samples far from the others; slower by a few times where
    dHSIC is too small for the kernels' rounding: where nearly all samples of a variable are within
    a fraction of a bandwidth, or some far more than ten away.

    Args:
        variables: K >= 1 arrays of real numbers, variable k of shape [n, d_k], whose rows are joint
            samples.
        bandwidths: how sigma_k is chosen. "dimension": the mean distance between two standard
            normal draws in d_k dimensions (`dimension_bandwidth`); "median": the median distance
            between the samples (`median_bandwidth`), without a gradient of its own and not under
            `tf.vectorized_map`; or K positive numbers.
        compiled: whether by operations that XLA compiles, for use under `jit_compile=True`: all
            pairs at once, so that memory grows as K n^2.
        weights: [n], at least 0, of the samples: a sample of weight 2 counts as two, one of weight
            0 not at all, whatever it is. All 0 give 0. None: 1 each.

    Returns:
        A scalar, at least 0 up to rounding, float64 if any variable is, or is a list or of integers
        of more than 16 bits, and float32 otherwise. A constant variable is independent of the
        others; n = 1 or K = 1 give 0.

    Raises:
        ValueError: if a variable is not of real numbers or of rank 2, is empty, is masked, or
            differs in n; if the bandwidths are not a known rule nor K positive numbers of the
            variables' dtype; or if weights are not finite numbers of at least 0, [n], inside a
            graph NaN, or meet "median", which knows of none. Also, NaN inside a graph, if a
            variable varies, but by less than 1e-8 bandwidths (float64: 1e-35), too little for a
            number.
        tf.errors.InvalidArgumentError: if a graph learns of wrong sizes only as it runs.
        NotImplementedError: if a second derivative is asked for.

    Example:
        >>> x = tf.random.normal([100, 3])
        >>> dhsic([x, tf.random.normal([100, 5])])   # near 0
        >>> dhsic([x, x[:, :2] ** 2])                # clearly larger
    """
    variables = sizes_checked(as_matrices(variables))
    if weights is not None:
        weights = as_weights(weights, variables[0])
        variables = [without_weightless(variable, weights) for variable in variables]
    prepared = _prepared(variables, bandwidths, weights, compiled)
    return _statistic(*prepared, compiled=compiled, way="deficits" if compiled else "either")


def penalty(
    codes: Sequence[tf.Tensor],
    bandwidths: str | Sequence[float],
    *,
    compiled: bool = False,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Return `dhsic` of a training batch's codes, by its kernels whatever their scale.

    Codes drawn from posteriors vary by about a bandwidth; where they don't, the penalty and its
    gradient keep fewer digits, and a step takes no longer.
    """
    prepared = _prepared(as_matrices(codes), bandwidths, weights, compiled)
    return _statistic(*prepared, compiled=compiled, way="kernels")


def gaussian_kernel(variable: tf.Tensor, bandwidth: float | tf.Tensor) -> tf.Tensor:
    """Return the matrix exp(-|x_i - x_j|^2 / (2 bandwidth^2)), [n, n], of a variable [n, d].

    Raises:
        ValueError: for a variable that `dhsic` refuses, or a bandwidth that is no positive number,
            inside a graph NaN.
    """
    matrix, bandwidth = as_matrix(variable), as_bandwidth(bandwidth)
    # A number would be float32 before it is cast.
    scale = tf.cast(tf.convert_to_tensor(bandwidth, tf.float64), matrix.dtype)
    block = single([matrix[None]], [tf.reshape(scale, [1, 1, 1])])
    block = block._replace(halves=tf.zeros_like(block.halves))
    return tf.exp(exponents_by_differences(block, block, same=True))[0]


def dimension_bandwidth(dimension: int) -> float:
    """Return 2 Gamma((d + 1) / 2) / Gamma(d / 2): the mean distance of two N(0, I_d) draws.

    Raises:
        ValueError: for a dimension that is no integer of at least 1.
    """
    half = checks.size("dimension", dimension) / 2
    return 2.0 * math.exp(math.lgamma(half + 0.5) - math.lgamma(half))


def median_bandwidth(variable: tf.Tensor, *, compiled: bool = False) -> tf.Tensor:
    """Return the median positive distance between the rows of [n, d]; 1 if there is none.

    The exact median of all n (n - 1) / 2 distances, in memory that grows with n; where it is to be
    `compiled` by XLA, with n^2. Neither the variable's scale nor samples far from the others change
    what is right; NaN where the distances overflow.

    Raises:
        ValueError: for a variable that `dhsic` refuses.
    """
    return median_distance(tf.stop_gradient(as_matrix(variable)), compiled)


def bandwidths_of(
    variables: Sequence[tf.Tensor], bandwidths: str | Sequence[float]
) -> list[float | tf.Tensor]:
    """Return sigma_k of each variable; see `dhsic`."""
    return _sigmas(variables, bandwidths)


def _prepared(variables, bandwidths, weights, compiled):
    """Return variables, one tensor [K, n, d] or several [1, n, d_k], their sigmas, and shares.

    The sigmas are [K, 1, 1], or [1, 1, 1] for each variable.
    """
    sigmas = _sigmas(variables, bandwidths, compiled)
    shares = _shares(weights, bandwidths)
    sigmas = [_in_dtype(sigma, variables[0].dtype) for sigma in sigmas]
    sizes = {variable.shape[1] for variable in variables}
    if len(sizes) == 1 and None not in sizes:  # All in one batched operation.
        sigmas = tf.stack(sigmas)[:, None, None]
        return [tf.stack(variables)], [sigmas], shares
    sigmas = [tf.reshape(sigma, [1, 1, 1]) for sigma in sigmas]
    return [variable[None] for variable in variables], sigmas, shares


def _in_dtype(sigma, dtype):
    """Return a bandwidth in the variables' dtype, in which a number may be 0 or infinite."""
    least, most = float(np.finfo(dtype.as_numpy_dtype).tiny), float(dtype.max)
    if isinstance(sigma, float) and not least <= sigma <= most:
        raise ValueError(f"Expected bandwidths that {dtype.name} has. Received: {sigma:g}.")
    return tf.convert_to_tensor(sigma, dtype)


def _sigmas(variables, bandwidths, compiled=False):
    bandwidths = checks.bandwidths(bandwidths, len(variables))
    if bandwidths == "dimension":
        return [_dimension_bandwidth(variable) for variable in variables]
    if bandwidths == "median":
        return [median_bandwidth(variable, compiled=compiled) for variable in variables]
    return bandwidths


def _dimension_bandwidth(variable):
    """Return `dimension_bandwidth` also where a graph doesn't know the dimension."""
    if variable.shape[1] is not None:
        return dimension_bandwidth(variable.shape[1])
    half = tf.cast(tf.shape(variable)[1], tf.float64) / 2
    sigma = 2 * tf.exp(tf.math.lgamma(half + 0.5) - tf.math.lgamma(half))
    return tf.cast(sigma, variable.dtype)


def _shares(weights, bandwidths):
    """Return each sample's share of the weights, float64 [n]; None for none."""
    if weights is None:
        return None
    if isinstance(bandwidths, str) and bandwidths == "median":
        raise ValueError(
            'Expected bandwidths "dimension" or numbers where samples are weighted. Received: '
            '"median".'
        )
    weights = tf.cast(weights, tf.float64)
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights))


def _around_means(variables, sigmas):
    """Return variables around their means, in bandwidths.

    The distances don't depend on the origin; around the mean, the fewest digits are lost.
    """
    means = [tf.reduce_mean(each, axis=1, keepdims=True) for each in variables]
    each = zip(variables, means, sigmas, strict=True)
    return [(variable - mean) / sigma for variable, mean, sigma in each]


@traced.by_itself
def _statistic(variables, sigmas, shares, *, compiled, way):
    """Return dHSIC of variables: one tensor [K, n, d], or several [1, n, d_k].

    By sums over "kernels", over "deficits", or over "either", whichever have the digits.
    """

    @tf.custom_gradient
    def statistic(*variables):
        # A tape shall not keep the blocks.
        constants = [tf.stop_gradient(each) for each in variables]
        dtype, count = variables[0].dtype, tf.shape(variables[0])[1]
        around_means, plain = _around_means(constants, sigmas), None
        if way != "deficits":
            by_kernels = kernels.value_and_rows(around_means, shares, compiled)
        if way == "either":
            plain = _has_digits(by_kernels[0], around_means, shares)

        def choose(of_kernels, of_deficits):
            if way == "either":
                return tf.cond(plain, of_kernels, of_deficits)
            return of_deficits() if way == "deficits" else of_kernels()

        def by_deficits():
            value, rows = deficits.value_and_rows(constants, sigmas, shares, compiled)
            return _refuse_tiny(value, constants, sigmas), rows

        summed = choose(lambda: by_kernels, by_deficits)
        # Nor shall a persistent or an outer tape differentiate the choice: TensorFlow would rewrite
        # it for all later callers of this trace, in operations that neither XLA nor
        # `vectorized_map` knows.
        value, rows = tf.nest.map_structure(tf.stop_gradient, summed)

        @tf.custom_gradient
        def gradient(*_):
            sums = choose(
                lambda: kernels.pulls(around_means, rows, shares, compiled),
                lambda: deficits.pulls(constants, sigmas, rows, shares, compiled),
            )
            n = tf.cast(count, tf.float64)
            factor = 1 / n**2 if shares is None else shares[:, None]
            pulls = [tf.cast(paste(each, count) * 2 * factor, dtype) for each in sums]
            return pulls, _no_second_derivative

        def upstream_gradient(upstream):
            return [
                upstream * pull / sigma
                for pull, sigma in zip(gradient(*variables), sigmas, strict=True)
            ]

        return tf.cast(value, dtype), upstream_gradient

    return statistic(*variables)


def _has_digits(value, points, shares):
    """Return whether dHSIC by sums over kernels of points around their means kept its digits.

    A kernel is a rounding error of 1 + |x|^2 off, its own and its exponent's, and dHSIC's gradient
    at x by those of its row: independent ones, which grow as the root of their number. That dHSIC
    is large is not enough: a few far samples alone may make it so, and the others' gradient small.
    """
    squares = tf.concat([tf.reduce_sum(each**2, axis=2) for each in points], axis=0)  # [K, n]
    dtype, count = squares.dtype, tf.shape(squares)[1]
    shares = tf.fill([count], 1 / count) if shares is None else shares
    shares = tf.cast(shares, dtype)
    apart = tf.reduce_sum(tf.minimum(squares, 1) * shares, axis=1) >= _LEAST_MEAN[dtype]
    sizes = tf.reduce_sum(1 + squares, axis=0)
    rounding = np.finfo(dtype.as_numpy_dtype).eps * tf.norm(sizes * shares)
    # Of NaN it does not hold.
    least = _TIMES_ROUNDING[dtype] * tf.cast(rounding, value.dtype)
    return tf.reduce_all(apart) & (value >= least)


def _refuse_tiny(value, points, sigmas):
    """Return value; where it would be 0 for want of small numbers, refuse, NaN inside a graph."""
    # Of each variable, how far samples are from its first: exactly 0 where it is constant.
    spreads = [
        tf.reduce_max(tf.abs((each - each[:, :1]) / sigma), axis=[1, 2])
        for each, sigma in zip(points, sigmas, strict=True)
    ]
    spreads = tf.concat(spreads, axis=0)
    least = _LEAST_SPREAD[spreads.dtype]
    tiny = tf.reduce_any((spreads > 0) & (spreads < least))
    if tf.executing_eagerly() and tiny:
        raise ValueError(
            f"Expected variables that vary by at least {least:g} bandwidths, or not at all. "
            f'Received: {spreads.numpy().tolist()}. Bandwidths "median" grow with the variables.'
        )
    return tf.where(tiny, tf.constant(math.nan, value.dtype), value)


def _no_second_derivative(*_):
    raise NotImplementedError("Expected dhsic to be differentiated once. Received: twice.")
