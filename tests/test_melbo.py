import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from mvae_tf.objective import dirichlet, melbo

tfd = tfp.distributions
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=[3, 4, 5, 1])
LOGITS = RNG.normal(size=[3, 2, 4, 5, 1])
WEIGHTS = RNG.dirichlet([1.0, 1.0], size=3)


def log_density(likelihood, images, means):
    """SciPy's log-density, summed over the last three axes."""
    if likelihood == "gaussian":
        each = scipy.stats.norm(means, np.sqrt(0.5)).logpdf(images)
    else:  # linear in the image between its values at 0 and 1
        bernoulli = scipy.stats.bernoulli(means)
        each = images * bernoulli.logpmf(1) + (1 - images) * bernoulli.logpmf(0)
    return each.sum(axis=(-3, -2, -1))


def constant(likelihood):
    return melbo.gaussian_constant((4, 5, 1)) if likelihood == "gaussian" else 0.0


@pytest.mark.parametrize("likelihood", melbo.LIKELIHOODS)
def test_log_likelihood_is_scipys(likelihood):
    ours = melbo.log_likelihood(
        tf.constant(IMAGES[:, None]), tf.constant(LOGITS), likelihood=likelihood
    )
    expected = log_density(likelihood, IMAGES[:, None], scipy.special.expit(LOGITS))
    np.testing.assert_allclose(ours + constant(likelihood), expected, rtol=1e-10)


@pytest.mark.parametrize("likelihood", melbo.LIKELIHOODS)
def test_reconstruction_mixes_likelihoods_or_images(likelihood):
    means = scipy.special.expit(LOGITS)
    each = log_density(likelihood, IMAGES[:, None], means) - constant(likelihood)
    mixture = sum(WEIGHTS[:, k, None, None, None] * means[:, k] for k in range(2))
    expected = {
        "likelihood": (WEIGHTS * each).sum(axis=1),
        "image": log_density(likelihood, IMAGES, mixture) - constant(likelihood),
    }
    for mixing in melbo.MIXINGS:
        ours = melbo.reconstruction(
            *map(tf.constant, (IMAGES, LOGITS, WEIGHTS)), likelihood=likelihood, mixing=mixing
        )
        np.testing.assert_allclose(ours, expected[mixing], rtol=1e-9)


@pytest.mark.parametrize("mixing", melbo.MIXINGS)
def test_bernoulli_is_finite_at_any_logits(mixing):
    logits = tf.Variable([[[[-200.0], [200.0]], [[90.0], [-90.0]]]])  # [1, 2, 2, 1]
    with tf.GradientTape() as tape:
        value = melbo.reconstruction(
            tf.constant([[[1.0], [0.0]]]),
            logits,
            tf.constant([[1.0, 0.0]]),
            likelihood="bernoulli",
            mixing=mixing,
        )
    assert np.all(np.isfinite(value)) and value[0] < -100
    assert np.all(np.isfinite(tape.gradient(value, logits)))


def test_kl_z_is_the_closed_form_averaged_over_components():
    loc, scale = RNG.normal(size=[6, 3, 4]), RNG.uniform(0.1, 2, size=[6, 3, 4])
    posterior = tfd.Independent(tfd.Normal(tf.constant(loc), tf.constant(scale)), 1)
    closed = 0.5 * (scale**2 + loc**2 - 1) - np.log(scale)
    np.testing.assert_allclose(melbo.kl_z(posterior), closed.sum(axis=2).mean(axis=1), rtol=1e-10)


@pytest.mark.parametrize("prior", [0.25, 1.0, 100.0])
def test_kl_w_is_the_mean_log_ratio_of_scipys_densities(prior):
    concentration = np.array([0.7, 2.0, 5.0])
    posterior = dirichlet.Dirichlet(tf.constant(concentration[None]))
    ours = melbo.kl_w(posterior, dirichlet.Dirichlet(tf.fill([3], tf.constant(prior, tf.float64))))
    draws = scipy.stats.dirichlet(concentration).rvs(20_000, random_state=0).T
    ratio = scipy.stats.dirichlet(concentration).logpdf(draws) - scipy.stats.dirichlet(
        [prior] * 3
    ).logpdf(draws)
    assert float(ours[0]) == pytest.approx(ratio.mean(), abs=5 * ratio.std() / np.sqrt(len(ratio)))


def test_kl_w_of_the_prior_is_zero():
    prior = dirichlet.Dirichlet(tf.fill([4], 100.0))
    posterior = dirichlet.Dirichlet(tf.fill([2, 4], 100.0))
    np.testing.assert_allclose(melbo.kl_w(posterior, prior), 0, atol=1e-4)
