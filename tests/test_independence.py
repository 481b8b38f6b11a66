import itertools
import math

import numpy as np
import pytest
import scipy.stats

from mvae_tf import hsic
from mvae_tf.hsic import dhsic
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
    ("count", "dimensions", "runs"),
    [
        (50, [2, 3], 300),
        (50, [1, 1, 1], 300),
        (100, [3] * 5, 300),
        (16, [20] * 8, 40),  # enough to see what once rejected them all
        pytest.param(16, [20] * 8, 300, marks=pytest.mark.slow),
        pytest.param(32, [20] * 8, 300, marks=pytest.mark.slow),
        pytest.param(60, [2] * 10, 300, marks=pytest.mark.slow),
        pytest.param(200, [20] * 4, 300, marks=pytest.mark.slow),
    ],
)
def test_gamma_rejects_independence_about_as_often_as_said(count, dimensions, runs):
    sigmas = [hsic.dimension_bandwidth(dimension) for dimension in dimensions]
    p = p_values(lambda rng: independent(rng, count, dimensions), runs, sigmas, method="gamma")
    low, high = scipy.stats.binom(runs, 0.05).interval(0.999)
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


def test_the_least_p_value_counts_the_samples_themselves():
    x = np.random.default_rng(0).normal(size=[20, 2])
    assert dhsic_test([x, x], num_permutations=99).p_value == pytest.approx(1 / 100, rel=1e-12)


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


@pytest.mark.parametrize(("total", "count", "scale"), [(2, 6, 1.0), (3, 4, 1.0), (4, 4, 0.5)])
def test_moments_are_those_over_all_permutations(total, count, scale):
    variables = independent(np.random.default_rng(0), count, [2] * total)
    matrices = [hsic.gaussian_kernel(scale * v, 1.2).numpy() for v in variables]
    orders = [list(order) for order in itertools.permutations(range(count))]
    statistics = []
    for each in itertools.product(orders, repeat=total - 1):
        others = zip(matrices[1:], each, strict=True)
        permuted = [matrices[0], *(m[np.ix_(order, order)] for m, order in others)]
        rows = [m.mean(axis=1) for m in permuted]
        means = math.prod(row.mean() for row in rows)
        statistics.append(math.prod(permuted).mean() + means - 2 * math.prod(rows).mean())
    deficits = 1 - np.array(matrices)
    mean, variance = hsic.permuted.moments(deficits)
    assert mean == pytest.approx(np.mean(statistics), rel=1e-10)
    assert variance == pytest.approx(np.var(statistics), rel=1e-8)
    # Beside another sample, each is what it is alone.
    beside = hsic.permuted.moments(np.stack([np.sqrt(deficits), deficits], axis=1))
    np.testing.assert_allclose(beside[0][1], mean, rtol=1e-12)
    np.testing.assert_allclose(beside[1][1], variance, rtol=1e-8)
    assert beside[0][0] != pytest.approx(mean, rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e150])
def test_with_median_bandwidths_scale_changes_nothing(method, scale):
    rng = np.random.default_rng(3)
    first, second, third = rng.normal(size=[3, 20, 2])
    for variables in ([first, first], [first, second, first + 2 * third]):
        expected = dhsic_test(variables, method=method, num_permutations=200)
        result = dhsic_test([scale * v for v in variables], method=method, num_permutations=200)
        assert result.statistic == pytest.approx(expected.statistic, rel=1e-9) != 0
        assert result.p_value == pytest.approx(expected.p_value, rel=1e-6) != 1


@pytest.mark.parametrize("scale", [1e-2, 1e-3, 1e-20])
def test_sees_dependence_of_what_varies_little_beside_the_bandwidths(scale):
    x = np.random.default_rng(0).normal(size=[100, 1])
    for method in METHODS:
        assert dhsic_test([scale * x] * 2, "dimension", method=method).p_value < 0.002
    # As small, and independent: the p-value is that of the limit, which kernels don't reach.
    y = np.random.default_rng(1).normal(size=[100, 1])
    p = [
        dhsic_test([each * x, each * y], "dimension", method="gamma").p_value
        for each in (scale, 1e-4)
    ]
    assert p[0] == pytest.approx(p[1], rel=1e-2) and p[0] > 0.05


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("scale", "message"), [(1e-100, "vary by at least"), (1e160, "are so far")]
)
def test_refuses_bandwidths_that_tell_nothing(method, scale, message):
    x = scale * np.random.default_rng(0).normal(size=[20, 2])
    with pytest.raises(ValueError, match=f"Expected.*{message}"):
        dhsic_test([x, x], "dimension", method=method)


def test_gamma_names_the_other_test_where_it_does_not_hold():
    with pytest.raises(ValueError, match='at least 16 samples.*Received: 15.*"permutation"'):
        dhsic_test(independent(np.random.default_rng(0), 15, [1, 1]), method="gamma")
    once = [np.eye(20)[:1].T, np.eye(20)[:1].T]  # of two values, one of which occurs once
    assert dhsic_test(once, num_permutations=199).p_value < 0.2


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
        ([(19, 2)] * 10, {"method": "gamma"}, "at least 20 samples of 10 variables.*Received: 19"),
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
