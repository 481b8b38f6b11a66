import itertools
import math

import numpy as np
import pytest
import scipy.stats

from mvae_tf import hsic
from mvae_tf.hsic import dhsic, independence
from mvae_tf.hsic.independence import dhsic_test

METHODS = ["permutation", "gamma"]


def independent(rng, count, dimensions):
    return [rng.normal(size=[count, dimension]) for dimension in dimensions]


def exclusive_or(rng, count):
    """Pairwise independent, jointly dependent."""
    first, second = rng.choice([-1.0, 1.0], size=[2, count, 1])
    return [first, second, first * second]


def noisy_copy(rng, count):
    first, third = rng.normal(size=[2, count, 2])
    return [first, first**2 + 0.3 * rng.normal(size=[count, 2]), third]


def p_values(make, runs, bandwidths="median", **settings):
    rng = np.random.default_rng(0)
    return np.array(
        [dhsic_test(make(rng), bandwidths, seed=run, **settings).p_value for run in range(runs)]
    )


@pytest.mark.parametrize("dimensions", [[1, 2], [2, 1, 3]])
def test_permutation_p_values_are_uniform_under_independence(dimensions):
    sigmas = [1.5] * len(dimensions)
    p = p_values(lambda rng: independent(rng, 40, dimensions), 200, sigmas, num_permutations=99)
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.05


@pytest.mark.parametrize(
    ("count", "dimensions"),
    [
        (50, [2, 3]),
        (50, [1, 1, 1]),
        (60, [2] * 10),
        (100, [3] * 5),
        (200, [20] * 4),
    ],
)
def test_gamma_rejects_independence_about_as_often_as_said(count, dimensions):
    sigmas = [hsic.dimension_bandwidth(dimension) for dimension in dimensions]
    p = p_values(lambda rng: independent(rng, count, dimensions), 300, sigmas, method="gamma")
    low, high = scipy.stats.binom(300, 0.05).interval(0.999)
    assert low <= np.sum(p < 0.05) <= high


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [exclusive_or, noisy_copy])
def test_rejects_dependence(method, make):
    p = p_values(lambda rng: make(rng, 60), 10, method=method, num_permutations=199)
    assert np.all(p < 0.02)


def test_pairs_of_the_exclusive_or_pass():
    variables = exclusive_or(np.random.default_rng(0), 60)
    for pair in itertools.combinations(variables, 2):
        assert dhsic_test(pair, num_permutations=199).p_value > 0.05


@pytest.mark.parametrize("total", [2, 3])
def test_permutation_p_value_agrees_with_all_permutations(total):
    variables = independent(np.random.default_rng(2), 4, [2] * total)
    first, *others = variables
    sigmas = [1.0, 2.0, 1.5][:total]
    observed = float(dhsic(variables, sigmas))
    orders = [list(order) for order in itertools.permutations(range(4))]
    permuted = [
        float(dhsic([first, *(v[o] for v, o in zip(others, each, strict=True))], sigmas))
        for each in itertools.product(orders, repeat=total - 1)
    ]
    exact = np.mean(np.array(permuted) >= observed - 1e-12)
    assert 0.05 < exact < 0.95
    result = dhsic_test(variables, sigmas, num_permutations=4000)
    assert result.statistic == pytest.approx(observed, rel=1e-12)
    assert result.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4000))


def test_equal_statistics_count_as_ties():
    # Each pair of values once: dHSIC is 0, and no permutation has less, rounding apart.
    first, second = np.meshgrid(np.arange(3.0), np.arange(4.0))
    assert dhsic_test([first.reshape(-1, 1), second.reshape(-1, 1)]).p_value == 1

    # A third of the permutations of two halves change nothing; none has more.
    halves = [np.array([[0.0], [0.0], [1.0], [1.0]])] * 2
    assert dhsic_test(halves, num_permutations=4000).p_value == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.parametrize("dependence", [0.0, 0.4])
def test_agrees_with_hyppo(dependence):
    """Variables of one dimension: hyppo permutes the columns of wider ones apart."""
    hyppo = pytest.importorskip("hyppo.d_variate", reason="hyppo is in the extra 'bench'")
    variables = independent(np.random.default_rng(1), 30, [1, 1, 1])
    variables[2] += dependence * variables[0] * variables[1]
    sigma, permutations = 1.5, 500
    np.random.seed(0)
    theirs = hyppo.dHsic(gamma=1 / (2 * sigma**2)).test(*variables, reps=permutations)
    ours = dhsic_test(variables, [sigma] * 3, num_permutations=permutations)
    assert ours.statistic == pytest.approx(theirs[0], rel=1e-9)
    # Two Monte Carlo estimates of one chance.
    error = math.sqrt(2 * max(ours.p_value * (1 - ours.p_value), 0.01) / permutations)
    assert ours.p_value == pytest.approx(theirs[1], abs=4 * error)


@pytest.mark.parametrize("total", [2, 3, 4])
def test_null_moments_agree_with_all_index_tuples(total):
    """Under the product of the samples' marginals, every moment is a sum over index tuples."""
    n, rng = 4, np.random.default_rng(0)
    variables = [rng.normal(size=[n, 2]) for _ in range(total)]
    kernels = [hsic.gaussian_kernel(v, 1.2).numpy() for v in variables]
    tuples = np.array(list(itertools.product(range(n), repeat=total)))
    gram = math.prod(k[np.ix_(tuples[:, r], tuples[:, r])] for r, k in enumerate(kernels))
    # The coefficients of xi at a tuple, in the embeddings of all tuples.
    weights = np.eye(len(tuples)) + (total - 1) / len(tuples)
    for r in range(total):
        same = tuples[:, None, r] == tuples[None, :, r]
        weights -= same / n ** (total - 1)
    centred = weights @ gram @ weights.T
    mean, variance = independence._null_moments(kernels)
    assert mean == pytest.approx(np.trace(centred) / len(tuples) / n, rel=1e-9)
    assert variance == pytest.approx(2 * np.mean(centred**2) / n**2, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_variable_is_independent(method):
    rng = np.random.default_rng(0)
    variables = [rng.normal(size=[20, 2]), np.full([20, 1], 3.0)]
    assert dhsic_test(variables, method=method, num_permutations=50).p_value == 1
    # Far from the origin, and beside two variables that do depend on each other.
    assert dhsic_test([*variables, variables[0] + 1e3], method=method).p_value < 0.01


def test_same_seed_same_p_value():
    variables = independent(np.random.default_rng(0), 30, [1, 1])
    first, again, other = (
        dhsic_test(variables, num_permutations=200, seed=seed) for seed in (5, 5, -6)
    )
    assert first == again
    assert first.statistic == other.statistic
    assert first.p_value != other.p_value


def test_float32_and_integers_are_tested_in_float64():
    variables = [np.arange(12).reshape(6, 2), np.arange(6, dtype=np.float32)[:, None]]
    result = dhsic_test(variables, num_permutations=20)
    exact = float(dhsic([variable.astype(np.float64) for variable in variables], "median"))
    assert result.statistic == exact
    assert type(result.statistic) is type(result.p_value) is float


@pytest.mark.parametrize(
    ("shapes", "settings", "message"),
    [
        ([(9, 2), (9, 2)], {"method": "bootstrap"}, "Received: 'bootstrap'"),
        ([(9, 2), (9, 2)], {"num_permutations": 0}, "num_permutations.*Received: 0"),
        ([(9, 2), (9, 2)], {"num_permutations": 10.0}, "num_permutations.*Received: 10.0"),
        ([(9, 2), (9, 2)], {"seed": 2**31}, "seed"),
        ([(9, 2), (9, 2)], {"bandwidths": [1.0]}, "2 positive numbers"),
        ([(1, 2), (1, 2)], {}, "at least 2 samples.*Received: 1"),
        ([(5, 2)] * 3, {"method": "gamma"}, "at least 6 samples of 3 variables.*Received: 5"),
        ([(9, 2), (8, 2)], {}, "same number of samples"),
        ([(9, 2)], {}, "at least two variables"),
        ([], {}, "at least one variable"),
    ],
)
def test_refuses_what_it_cannot_do(shapes, settings, message):
    with pytest.raises(ValueError, match=message):
        dhsic_test([np.zeros(shape) for shape in shapes], **settings)


def test_refuses_values_that_are_not_finite():
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite variables"):
            dhsic_test([np.zeros([4, 1]), np.array([[0.0], [1.0], [2.0], [value]])])
