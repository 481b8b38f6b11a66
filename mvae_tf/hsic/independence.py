"""The test of joint independence that goes with dHSIC (Pfister et al., JRSS-B 80(1), 2018)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
import tensorflow as tf

from mvae_tf import checks
from mvae_tf.hsic.criterion import as_matrices, dhsic, kernels

# Statistics of permuted samples that differ by rounding alone are equal; kernels are at most 1.
_ROUNDING = 1e-12


class IndependenceTest(NamedTuple):
    """The outcome of `dhsic_test`.

    Attributes:
        statistic: dHSIC of the samples, as `dhsic` gives it (not multiplied by n).
        p_value: Chance of a dHSIC at least as large if the variables are jointly independent.
    """

    statistic: float
    p_value: float


def dhsic_test(
    variables: Sequence[tf.Tensor],
    bandwidths: str | Sequence[float] = "median",
    *,
    method: str = "permutation",
    num_permutations: int = 1000,
    seed: int = 0,
) -> IndependenceTest:
    """Test whether K variables are jointly independent (Pfister et al. 2018, Section 3).

    In float64. Memory grows as K n^2, and the permutation test's time as num_permutations K n^2.

    Args:
        variables: K >= 2 finite float arrays [n, d_k], n >= 2, whose rows are joint samples.
        bandwidths: As for `dhsic`. The default does not depend on the scale of the data.
        method: "permutation": p = (1 + number of permuted samples with as large a dHSIC) / (1 +
            num_permutations), valid for any n; or "gamma": p from a gamma distribution with the
            mean and variance of dHSIC under independence, far faster but an approximation, and
            for n >= 2 K alone.
        num_permutations: Independent permutations of all variables but the first.
        seed: Of the permutations.

    Returns:
        `IndependenceTest`. A constant variable among two gives p = 1.

    Raises:
        ValueError: for what `dhsic` refuses, fewer than two variables, too small an n, values that
            are not finite, an unknown method, or num_permutations below 1.

    Example:
        >>> x = tf.random.normal([100, 3])
        >>> dhsic_test([x, x[:, :2] ** 2], seed=1).p_value   # 1 / 1001, the least possible
    """
    checks.choice("method", method, ("permutation", "gamma"))
    checks.size("num_permutations", num_permutations)
    rng = np.random.default_rng(checks.seed(seed) % 2**32)
    variables = as_matrices([np.asarray(variable, np.float64) for variable in variables])
    if len(variables) < 2:
        raise ValueError("Expected at least two variables. Received: one.")
    if not all(np.all(np.isfinite(variable)) for variable in variables):
        raise ValueError("Expected finite variables. Received: NaN or infinity among them.")
    least = 2 * len(variables) if method == "gamma" else 2
    if len(variables[0]) < least:
        raise ValueError(
            f"Expected at least {least} samples of {len(variables)} variables for the {method} "
            f"test. Received: {len(variables[0])}."
        )
    statistic = float(dhsic(variables, bandwidths))
    matrices = [kernel.numpy() for kernel in kernels(variables, bandwidths)]
    if method == "permutation":
        return IndependenceTest(statistic, _permutation_p_value(matrices, num_permutations, rng))
    return IndependenceTest(statistic, _gamma_p_value(statistic, *_null_moments(matrices)))


def _permutation_p_value(kernels, num_permutations, rng):
    row_means = [kernel.mean(axis=1) for kernel in kernels]

    def statistic(orders):  # less the product of the means, which no permutation changes
        joint = math.prod(
            kernel[np.ix_(order, order)] for kernel, order in zip(kernels, orders, strict=True)
        )
        cross = math.prod(mean[order] for mean, order in zip(row_means, orders, strict=True))
        return joint.mean() - 2.0 * cross.mean()

    unchanged = np.arange(len(kernels[0]))
    observed = statistic([unchanged] * len(kernels))
    count = 0
    for _ in range(num_permutations):
        orders = [unchanged, *(rng.permutation(unchanged) for _ in kernels[1:])]
        count += statistic(orders) >= observed - _ROUNDING
    return (1 + int(count)) / (1 + num_permutations)


def _null_moments(kernels):
    """Return estimates of dHSIC's mean and variance under independence.

    To leading order dHSIC is then |mean_i xi_i|^2: with phi_k a sample's embedding and mu_k its
    mean, xi is what prod_k phi_k has beyond its mean and its projections on single variables,

        xi = prod_k phi_k - sum_r phi_r prod_{k != r} mu_k + (K - 1) prod_k mu_k.

    Its covariance is A - sum_r B_r + (K - 1) M, the second moments of the three parts, so that
    mean = trace / n and variance = 2 |covariance|^2 / n^2 need only, for each variable,
    a = |mu|^2, b = E k(x, x')^2 and c = E <phi, mu>^2. Pfister et al. have the same with
    (n - 2K)!^2 / ((n - 4K + 2)! n!) in place of 1 / n^2; equal in the limit, theirs is far too
    small unless n is much larger than K^2, and then rejects independent variables too often.
    """
    n, others = len(kernels[0]), len(kernels) - 1
    a = np.array([kernel.mean() for kernel in kernels])
    b = np.array([(kernel**2).mean() for kernel in kernels])
    c = np.array([(kernel.mean(axis=1) ** 2).mean() for kernel in kernels])
    trace = 1 - a.prod() * ((1 / a).sum() - others)
    ratio_b, ratio_c = b / a**2, c / a**2
    squared = (
        b.prod()
        - 2 * c.prod() * ((b / c).sum() - others)
        + (a**2).prod() * (ratio_b.sum() - (ratio_c**2).sum() + (ratio_c.sum() - others) ** 2)
    )
    return trace / n, 2 * squared / n**2


def _gamma_p_value(statistic, mean, variance):
    # Where at most one variable varies, dHSIC is 0 whatever the samples.
    if mean <= _ROUNDING or variance <= _ROUNDING**2:
        return 1.0
    return float(scipy.stats.gamma.sf(statistic, mean**2 / variance, scale=variance / mean))
