"""The test of joint independence that goes with dHSIC (Pfister et al., JRSS-B 80(1), 2018)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
import tensorflow as tf

from mvae_tf import checks
from mvae_tf.hsic import deficits, permuted
from mvae_tf.hsic.criterion import bandwidths_of, dhsic
from mvae_tf.hsic.variables import as_matrices

# Statistics of permuted samples that differ by rounding alone, relative to what they are sums of,
# are equal.
_ROUNDING = 1e-12
# Fewer samples than have been found to keep the gamma test's level, see docs/dhsic.md.
_LEAST_GAMMA = 16


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
        variables: K >= 2 arrays [n, d_k] of finite numbers, n >= 2, whose rows are joint samples.
        bandwidths: As for `dhsic`. The default does not depend on the scale of the data.
        method: "permutation": p = (1 + number of permuted samples with as large a dHSIC) / (1 +
            num_permutations), valid for any n; or "gamma": p from the gamma distribution with the
            mean and variance that dHSIC has over all permutations (`permuted`), far faster but an
            approximation, and for n >= max(2 K, 16) alone: see docs/dhsic.md for its level.
        num_permutations: Independent permutations of all variables but the first.
        seed: Of the permutations.

    Returns:
        `IndependenceTest`. A constant variable among two gives p = 1.

    Raises:
        ValueError: for what `dhsic` refuses, fewer than two variables, too small an n, values that
            are not finite, an unknown method, num_permutations below 1, or bandwidths that leave
            nothing to test: all samples of a variable so many of them apart that its kernel is 0.

    Example:
        >>> x = tf.random.normal([100, 3])
        >>> dhsic_test([x, x[:, :2] ** 2], seed=1).p_value   # 1 / 1001, the least possible
    """
    checks.choice("method", method, ("permutation", "gamma"))
    checks.size("num_permutations", num_permutations)
    rng = np.random.default_rng(checks.seed(seed) % 2**32)
    variables = [tf.cast(variable, tf.float64) for variable in as_matrices(variables)]
    if len(variables) < 2:
        raise ValueError("Expected at least two variables. Received: one.")
    if not all(np.all(np.isfinite(variable)) for variable in variables):
        raise ValueError("Expected finite variables. Received: NaN or infinity among them.")
    least = max(2 * len(variables), _LEAST_GAMMA) if method == "gamma" else 2
    if len(variables[0]) < least:
        raise ValueError(
            f"Expected at least {least} samples of {len(variables)} variables for the {method} "
            f"test. Received: {len(variables[0])}."
            + (' Take method="permutation".' if method == "gamma" else "")
        )
    sigmas = [float(sigma) for sigma in bandwidths_of(variables, bandwidths)]
    statistic = float(dhsic(variables, sigmas))
    each = zip(variables, sigmas, strict=True)
    matrices = [deficits.matrix(*pair) for pair in each]
    _require_near_samples(matrices)
    if sum(np.any(matrix > 0) for matrix in matrices) < 2:
        return IndependenceTest(statistic, 1.0)  # dHSIC is 0 whatever the samples
    if method == "permutation":
        return IndependenceTest(statistic, _permutation_p_value(matrices, num_permutations, rng))
    return IndependenceTest(statistic, _gamma_p_value(statistic, *permuted.moments(matrices)))


def _require_near_samples(matrices):
    """Refuse kernels that are those of any other order of the samples, 0 but for the diagonal."""
    n = len(matrices[0])
    for number, matrix in enumerate(matrices, start=1):
        nearest = matrix[~np.eye(n, dtype=bool)].min()
        if n > 2 and 1.0 - nearest < _ROUNDING:
            raise ValueError(
                "Expected bandwidths within a few of which some samples are. Received: variable "
                f"{number} of {len(matrices)}, of which all are so far apart that the kernel is 0. "
                'Bandwidths "median" grow with the variables.'
            )


def _permutation_p_value(matrices, num_permutations, rng):
    row_means = [matrix.mean(axis=1) for matrix in matrices]

    def terms(orders):  # of dHSIC, but for that of the means, which no permutation changes
        joint = _excess(m[np.ix_(order, order)] for m, order in zip(matrices, orders, strict=True))
        cross = _excess(mean[order] for mean, order in zip(row_means, orders, strict=True))
        return joint.mean(), 2.0 * cross.mean()

    unchanged = np.arange(len(matrices[0]))
    joint, cross = terms([unchanged] * len(matrices))
    least = joint - cross - _ROUNDING * (joint + cross)
    count = 0
    for _ in range(num_permutations):
        orders = [unchanged, *(rng.permutation(unchanged) for _ in matrices[1:])]
        joint, cross = terms(orders)
        count += joint - cross >= least
    return (1 + int(count)) / (1 + num_permutations)


def _excess(deficits):
    """Return prod_k (1 - h_k) - 1 + sum_k h_k, see `deficits`."""
    deficits = iter(deficits)
    lost, excess = next(deficits), 0.0
    for each in deficits:
        excess = excess + each * lost
        lost = lost + each * (1.0 - lost)
    return excess


def _gamma_p_value(statistic, mean, variance):
    if not variance > _ROUNDING * mean**2:
        raise ValueError(
            "Expected permutations to change dHSIC for the gamma test. Received: samples of which "
            f"it has mean {mean:.3g} and variance {variance:.3g} over all permutations. Take "
            'method="permutation".'
        )
    return float(scipy.stats.gamma.sf(statistic, mean**2 / variance, scale=variance / mean))
