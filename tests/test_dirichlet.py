import functools
import types

import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from mvae_tf.objective import compiled_gamma, dirichlet

CONCENTRATIONS = [1e-6, 1e-3, 0.05, 0.3, 1.0, 7.0, 100.0, 1e4]


@pytest.fixture(params=["plain", "compiled"])
def draws(request):
    """Either way to draw: TensorFlow's, and that which XLA compiles."""
    if request.param == "plain":
        return types.SimpleNamespace(
            log_gamma=dirichlet._sample_log_gamma,
            log_weights=dirichlet.sample_log_weights,
            Dirichlet=dirichlet.Dirichlet,
        )
    return types.SimpleNamespace(
        log_gamma=compiled_gamma.sample_log_gamma,
        log_weights=functools.partial(dirichlet.sample_log_weights, compiled=True),
        Dirichlet=dirichlet.CompiledDirichlet,
    )


def log_gamma_and_derivative(draws, concentration, count, seed=0):
    concentration = tf.fill([count], tf.constant(concentration, tf.float64))
    with tf.GradientTape() as tape:
        tape.watch(concentration)
        log_gamma = draws.log_gamma(concentration, [seed, 3])
    return log_gamma.numpy(), tape.gradient(log_gamma, concentration).numpy()


@pytest.mark.parametrize("concentration", CONCENTRATIONS)
def test_derivative_is_that_of_the_inverse_cdf(concentration, draws):
    """d log g/da at a fixed quantile, from the CDF to 40 digits."""
    values, derivatives = log_gamma_and_derivative(draws, concentration, count=12)
    with mpmath.workdps(40):
        a = mpmath.mpf(concentration)
        step = a * mpmath.mpf(10) ** -12

        def log_cdf(a, g):
            return mpmath.log(mpmath.gammainc(a, 0, g, regularized=True))

        for draw, derivative in zip(values, derivatives, strict=True):
            g = mpmath.exp(mpmath.mpf(draw))
            by_a = (log_cdf(a + step, g) - log_cdf(a - step, g)) / (2 * step)
            by_log_g = mpmath.exp(a * mpmath.mpf(draw) - g - mpmath.loggamma(a) - log_cdf(a, g))
            assert derivative == pytest.approx(float(-by_a / by_log_g), rel=1e-5)


@pytest.mark.parametrize("concentration", [0.05, 0.3, 1.0, 7.0, 100.0, 1e4])
def test_derivative_agrees_with_differences_of_scipys_quantiles(concentration, draws):
    values, derivatives = log_gamma_and_derivative(draws, concentration, count=200)
    quantile = scipy.special.gammainc(concentration, np.exp(values))
    # Where a quantile lies within rounding of 0 or 1, SciPy can't invert it.
    inner = (quantile > 1e-3) & (quantile < 1 - 1e-3)
    step = 1e-4 * concentration
    above, below = (
        np.log(scipy.special.gammaincinv(concentration + side * step, quantile[inner]))
        for side in (1, -1)
    )
    np.testing.assert_allclose(derivatives[inner], (above - below) / (2 * step), rtol=2e-4)


@pytest.mark.parametrize(
    "concentration",
    [[1e-6, 1e-6, 1e-6], [1e-6, 1.0, 1e4], [0.05, 0.5, 2.0], [100.0, 100.0, 90.0], [1e4] * 3],
)
def test_mean_gradient_of_log_weights_is_the_analytic_one(concentration, draws):
    """E log w_i = digamma(a_i) - digamma(A), for every concentration."""
    concentration = np.array(concentration)
    wide = tf.constant(np.tile(concentration, [100_000, 1]))
    with tf.GradientTape() as tape:
        tape.watch(wide)
        first = draws.log_weights(wide, [1, 2])[:, 0]
    gradients = tape.gradient(first, wide).numpy()
    expected = -scipy.special.polygamma(1, concentration.sum()) * np.ones(3)
    expected[0] += scipy.special.polygamma(1, concentration[0])
    error = gradients.std(axis=0) / np.sqrt(len(gradients))
    assert np.all(np.abs(gradients.mean(axis=0) - expected) < 5 * error + 1e-12)


@pytest.mark.parametrize("concentration", [[0.05, 0.5, 2.0], [1.0, 1.0, 1.0], [1e3, 2e3, 1e4]])
def test_mean_gradient_of_weights_is_the_analytic_one(concentration, draws):
    """E w_i = a_i / A, with float32 inputs as in training."""
    concentration = np.array(concentration)
    wide = tf.constant(np.tile(concentration, [200_000, 1]), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(wide)
        first = draws.Dirichlet(wide).sample(seed=[4, 5])[:, 0]
    gradients = tape.gradient(first, wide).numpy().astype(np.float64)
    total = concentration.sum()
    expected = -concentration[0] / total**2 * np.ones(3)
    expected[0] += 1 / total
    error = gradients.std(axis=0) / np.sqrt(len(gradients))
    assert np.all(np.abs(gradients.mean(axis=0) - expected) < 5 * error)


def test_every_gradient_is_finite_in_float32(draws):
    rng = np.random.default_rng(0)
    concentration = tf.constant(10 ** rng.uniform(-6, 4, [50_000, 4]), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(concentration)
        weights = draws.Dirichlet(concentration).sample(seed=[1, 1])
        total = tf.reduce_sum(weights * tf.random.stateless_normal(weights.shape, [7, 7]))
    gradient = tape.gradient(total, concentration)
    assert np.all(np.isfinite(weights)) and np.all(np.isfinite(gradient))
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("smallest", [0.0, 1e-30, 1e-12])
def test_concentrations_below_the_smallest_stay_finite(smallest, draws):
    concentration = tf.constant([[smallest, smallest], [smallest, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(concentration)
        weights = tf.exp(draws.log_weights(concentration, [1, 2], shape=[1000]))
        first = weights[..., 0]
    assert np.all(np.isfinite(tape.gradient(first, concentration)))
    assert np.all(np.isfinite(weights))


@pytest.mark.parametrize("concentration", [[0.02, 0.5, 3.0], [1.0, 2.0, 3.0], [80.0, 100.0, 120.0]])
def test_marginals_are_beta(concentration, draws):
    weights = draws.Dirichlet(tf.constant(concentration, tf.float64)).sample(4000, seed=[0, 1])
    for index, own in enumerate(concentration):
        marginal = scipy.stats.beta(own, sum(concentration) - own)
        assert scipy.stats.kstest(weights[:, index], marginal.cdf).pvalue > 1e-3


def test_log_prob_agrees_with_scipy_and_survives_underflow(draws):
    concentration = np.array([0.3, 2.0, 5.0])
    weights = scipy.stats.dirichlet(concentration).rvs(20, random_state=0)
    expected = [scipy.stats.dirichlet(concentration).logpdf(row) for row in weights]
    log_prob = dirichlet.log_prob(tf.constant(concentration), tf.math.log(weights))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-10)
    small = tf.constant([1e-4, 1e-4, 1e-4])
    log_weights = draws.log_weights(small, [0, 0], shape=[100])
    assert np.min(tf.exp(log_weights)) == 0
    assert np.all(np.isfinite(dirichlet.log_prob(small, log_weights)))


def test_is_a_tfp_dirichlet(draws):
    ours = draws.Dirichlet(tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    theirs = tfp.distributions.Dirichlet(ours.concentration)
    assert ours.sample([7, 2], seed=[0, 0]).shape == [7, 2, 2, 3]
    assert ours.sample(seed=[0, 0]).shape == [2, 3]
    np.testing.assert_array_equal(ours.sample(seed=[0, 9]), ours.sample(seed=[0, 9]))
    assert np.any(ours.sample(seed=[0, 9]) != ours.sample(seed=[0, 8]))
    np.testing.assert_allclose(ours.mean(), theirs.mean())
    np.testing.assert_allclose(tfp.distributions.kl_divergence(ours, theirs), 0, atol=1e-5)


def test_one_category_has_weight_one_and_no_divergence(draws):
    one = draws.Dirichlet(tf.constant([[0.3], [40.0]]))
    np.testing.assert_array_equal(one.sample(3, seed=[0, 0]), np.ones([3, 2, 1]))
    prior = draws.Dirichlet(tf.constant([100.0]))
    np.testing.assert_allclose(tfp.distributions.kl_divergence(one, prior), 0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_least_concentration_has_its_gradient(dtype, draws):
    """E log w_1 = digamma(a_1) - digamma(A), also for the float32 that lies below 1e-6."""
    concentration = tf.constant(np.tile(np.array([1e-6, 1.0], dtype), [50_000, 1]))
    with tf.GradientTape() as tape:
        tape.watch(concentration)
        log_weights = draws.log_weights(concentration, [3, 4])[:, 0]
    each = tape.gradient(log_weights, concentration).numpy()[:, 0].astype(np.float64)
    expected = scipy.special.polygamma(1, 1e-6) - scipy.special.polygamma(1, 1 + 1e-6)
    error = each.std() / np.sqrt(len(each))
    assert each.mean() == pytest.approx(expected, abs=5 * error) and error < 0.01 * expected


def test_compiled_gamma_draws_are_of_the_gamma_distribution():
    draws = compiled_gamma._log_gamma_from_one_on(
        tf.ones([200_000], tf.float64), tf.constant([1, 2]), tf.constant([3, 4])
    )
    assert scipy.stats.kstest(np.exp(draws), scipy.stats.expon.cdf).pvalue > 1e-4
