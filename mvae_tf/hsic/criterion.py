"""dHSIC, the d-variable Hilbert-Schmidt independence criterion (Section IV, eq. 13).

The biased V-statistic, with eq. 13's normalisers read as averages (Pfister et al., Kernel-based
tests for joint independence, JRSS-B 80(1), 2018). With G_k the n x n kernel matrix of variable k:

    dHSIC = mean_ij prod_k G_k[i, j] + prod_k mean_ij G_k[i, j] - 2 mean_i prod_k mean_j G_k[i, j]
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from mvae_tf import checks
from mvae_tf.hsic.blocks import cut, exponents, paste, single, split, sum_pairs
from mvae_tf.hsic.median import median_squared_distance, sorted_median_squared_distance


def dhsic(
    variables: Sequence[tf.Tensor],
    bandwidths: str | Sequence[float] = "dimension",
    *,
    compiled: bool = False,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Estimate how far K variables are from joint independence; 0 in the limit means independent.

    Gaussian kernels exp(-r^2 / (2 sigma_k^2)). Differentiable, once, in every variable. Exact;
    time grows as K n^2, memory as K n, as value and gradient are summed block by block of pairs.
    The kernels are computed in the variables' precision, the sums in float64.

    Args:
        variables: K >= 1 float arrays, variable k of shape [n, d_k], whose rows are joint samples.
        bandwidths: how sigma_k is chosen. "dimension": the mean distance between two standard
            normal draws in d_k dimensions (`dimension_bandwidth`); "median": the median distance
            between the samples (`median_bandwidth`), without a gradient of its own; or K positive
            numbers.
        compiled: whether by operations that XLA compiles, for use under `jit_compile=True`: all
            pairs at once, so that memory grows as K n^2.
        weights: [n], at least 0, of the samples: a sample of weight 2 counts as two. All 0 give 0.
            None: 1 each.

    Returns:
        A scalar, at least 0 up to rounding, float64 if any variable is and float32 otherwise. A
        constant variable is independent of the others; n = 1 or K = 1 give 0.

    Raises:
        ValueError: if a variable is not of rank 2, is empty, or differs in n; if the bandwidths are
            not a known rule nor K positive numbers; or if weights are not [n], or meet "median",
            which knows of none.
        NotImplementedError: if a second derivative is asked for.

    Example:
        >>> x = tf.random.normal([100, 3])
        >>> dhsic([x, tf.random.normal([100, 5])])   # near 0
        >>> dhsic([x, x[:, :2] ** 2])                # clearly larger
    """
    variables = as_matrices(variables)
    sigmas = _sigmas(variables, bandwidths, compiled)
    shares = _shares(weights, variables[0], bandwidths)
    if len({variable.shape[1] for variable in variables}) == 1:  # All in one batched operation.
        sigmas = tf.convert_to_tensor(sigmas, variables[0].dtype)[:, None, None]
        return _statistic([_centred(tf.stack(variables)) / sigmas], shares, compiled)
    points = [
        _centred(variable)[None] / sigma for variable, sigma in zip(variables, sigmas, strict=True)
    ]
    return _statistic(points, shares, compiled)


def gaussian_kernel(variable: tf.Tensor, bandwidth: float | tf.Tensor) -> tf.Tensor:
    """Return the matrix exp(-|x_i - x_j|^2 / (2 bandwidth^2)), [n, n], of a variable [n, d]."""
    block = single([_centred(variable)[None] / bandwidth])
    return tf.exp(exponents(block, block, same=True))[0]


def dimension_bandwidth(dimension: int) -> float:
    """Return 2 Gamma((d + 1) / 2) / Gamma(d / 2): the mean distance of two N(0, I_d) draws."""
    return 2.0 * math.exp(math.lgamma((dimension + 1) / 2) - math.lgamma(dimension / 2))


def median_bandwidth(variable: tf.Tensor, *, compiled: bool = False) -> tf.Tensor:
    """Return the median positive distance between the rows of [n, d]; 1 if there is none.

    The exact median of all n (n - 1) / 2 distances, in memory that grows with n; where it is to be
    `compiled` by XLA, with n^2.
    """
    blocks = split([_centred(tf.stop_gradient(variable))[None]], whole=compiled)
    if compiled:
        return tf.sqrt(sorted_median_squared_distance(blocks))
    return tf.sqrt(median_squared_distance(blocks, tf.shape(variable)[0]))


def kernels(variables: Sequence[tf.Tensor], bandwidths: str | Sequence[float]) -> list[tf.Tensor]:
    """Return the Gaussian kernel matrix [n, n] of each variable; see `dhsic`."""
    sigmas = _sigmas(variables, bandwidths)
    return [gaussian_kernel(*each) for each in zip(variables, sigmas, strict=True)]


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


def _sigmas(variables, bandwidths, compiled=False):
    bandwidths = checks.bandwidths(bandwidths, len(variables))
    if bandwidths == "dimension":
        return [dimension_bandwidth(variable.shape[1]) for variable in variables]
    if bandwidths == "median":
        return [median_bandwidth(variable, compiled=compiled) for variable in variables]
    return bandwidths


def _shares(weights, variable, bandwidths):
    """Return each sample's share of the weights, [n], in a variable's dtype; None for none."""
    if weights is None:
        return None
    if isinstance(bandwidths, str) and bandwidths == "median":
        raise ValueError(
            'Expected bandwidths "dimension" or numbers where samples are weighted. Received: '
            '"median".'
        )
    weights = tf.cast(weights, variable.dtype)
    if not variable.shape[:1].is_compatible_with(weights.shape):
        raise ValueError(
            f"Expected weights of shape [{variable.shape[0]}]. Received: {weights.shape}."
        )
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights))


def _centred(variable):
    # The distances don't depend on the origin, nor does it have a gradient; around the mean, the
    # fewest digits are lost.
    return variable - tf.stop_gradient(tf.reduce_mean(variable, axis=-2, keepdims=True))


def _statistic(points, shares, compiled):
    """Return dHSIC of x_k / sigma_k: one tensor [K, n, d], or several [1, n, d_k].

    Every mean over samples is weighted by their shares [n], or plain where they are None.
    """

    @tf.custom_gradient
    def statistic(*points):
        # A tape shall not keep the blocks.
        blocks = split([tf.stop_gradient(each) for each in points], whole=compiled)
        dtype, count = points[0].dtype, tf.shape(points[0])[1]
        n = tf.cast(count, tf.float64) if shares is None else tf.constant(1.0, tf.float64)
        blocks = blocks, () if shares is None else (cut(shares[None], whole=compiled),)
        sums = sum_pairs(_row_sums, blocks)
        row_means, joint = sums[:, :-1] / n, sums[:, -1] / n
        means = tf.reduce_sum(_weighted(row_means, blocks[1]), axis=[0, 2]) / n
        cross = tf.reduce_prod(row_means, axis=1)
        excess = _weighted((joint - 2.0 * cross)[:, None], blocks[1])
        value = tf.reduce_sum(excess) / n + tf.reduce_prod(means)

        @tf.custom_gradient
        def gradient(*_):
            # With v_k[i] = prod_{l != k} mean_j G_l[i, j] - prod_{l != k} mean_ij G_l / 2, and n^2
            # standing for 1 / (p_i p_j) where samples have shares p,
            # n^2 G_k dD/dG_k = prod_l G_l - G_k (v_k[i] + v_k[j]), and dG_k = G_k (x_j - x_i) dx_i.
            excess = _products_of_others(row_means, 1) - _products_of_others(means, 0)[:, None] / 2
            sums = sum_pairs(_pulls, (*blocks, tf.cast(excess, dtype)))
            pulls = [tf.cast(paste(each, count) * 2 / n**2, dtype) for each in sums]
            if shares is not None:
                pulls = [each * shares[:, None] for each in pulls]
            return pulls, _no_second_derivative

        return tf.cast(value, dtype), lambda upstream: [
            upstream * each for each in gradient(*points)
        ]

    return statistic(*points)


def _row_sums(left, right, same):
    """Return the sums of a block of the K kernels and of their product, over columns and rows."""
    (left, left_shares), (right, right_shares) = left, right
    kernels = tf.exp(exponents(left, right, same))
    joint = tf.reduce_prod(kernels, axis=0, keepdims=True)

    def sums(axis, shares):
        shares = [tf.expand_dims(each, 3 - axis) for each in shares]
        both = [tf.reduce_sum(_weighted(each, shares), axis) for each in (kernels, joint)]
        return tf.concat(both, axis=0)

    return sums(2, right_shares), sums(1, left_shares)


def _pulls(left, right, same):
    """Return sum_j A_k[i, j] (x_j - x_i), and the same from j's side, for A_k = n^2 G_k dD/dG_k."""
    (left, left_shares, left_excess), (right, right_shares, right_excess) = left, right
    kernels = tf.exp(exponents(left, right, same))
    joint = tf.reduce_prod(kernels, axis=0, keepdims=True)
    forces = joint - kernels * (left_excess[:, :, None] + right_excess[:, None, :])
    forces = tf.split(forces, len(left.points))

    def pulls(here, there, shares, transposed):
        shares = [tf.expand_dims(each, 2 if transposed else 1) for each in shares]
        weighted = [_weighted(force, shares) for force in forces]
        return [
            tf.matmul(force, y, transpose_a=transposed)
            - tf.reduce_sum(force, axis=1 if transposed else 2)[:, :, None] * x
            for force, x, y in zip(weighted, here.points, there.points, strict=True)
        ]

    here = pulls(left, right, right_shares, False)
    return here, None if same else pulls(right, left, left_shares, True)


def _weighted(values, shares):
    """Return values times shares, of which there are one or none."""
    return values * tf.cast(shares[0], values.dtype) if shares else values


def _products_of_others(array, axis):
    before = tf.math.cumprod(array, axis, exclusive=True)
    return before * tf.math.cumprod(array, axis, exclusive=True, reverse=True)


def _no_second_derivative(*_):
    raise NotImplementedError("Expected dhsic to be differentiated once. Received: twice.")
