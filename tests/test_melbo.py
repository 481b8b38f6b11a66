import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from mvae_tf.objective import Posterior, dirichlet, importance, melbo

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


# A case whose log p(x) is known: images linear in the codes, x = 1/2 + sum_k w_k c_k z_k + noise of
# variance 1/2, c_1 and c_2 in pixels of their own, so that the exact posterior of z is a product.
PIXELS, DRAWS = 400, 4000
DIRECTIONS = np.zeros([2, PIXELS])
DIRECTIONS[0, :200] = DIRECTIONS[1, 200:] = 0.08
SHIFTED = (0.5 + 0.15 * np.repeat([1.0, -1.0], 200))[None]


def linear_logits(codes, directions):
    return scipy.special.logit(np.clip(0.5 + codes * directions, 1e-9, 1 - 1e-9))


def exact_posterior(image, directions):
    """Mean and variance of one code that makes 1/2 + directions * z, and log p(image)."""
    precision = 1 + 2 * directions @ directions
    mean = 2 * directions @ (image - 0.5) / precision
    covariance = np.eye(PIXELS) / 2 + np.outer(directions, directions)
    log_p = scipy.stats.multivariate_normal(np.full(PIXELS, 0.5), covariance).logpdf(image)
    return mean, 1 / precision, log_p


def terms_of(loc, variance, concentration, prior, mixing, directions=DIRECTIONS):
    """Return the means over draws of eq. 8 and of elbo, with the Gaussian's constant."""
    shape = [DRAWS, 2, 1]
    z = tfd.Normal(tf.broadcast_to(loc, shape), tf.broadcast_to(variance, shape) ** 0.5)
    w = dirichlet.Dirichlet(tf.broadcast_to(tf.constant(concentration, tf.float64), [DRAWS, 2]))
    posterior = Posterior(tfd.Independent(z, 1), w)
    prior = dirichlet.Dirichlet(tf.constant([prior] * 2, tf.float64))
    logits = linear_logits(posterior.z.sample(seed=[1, 2]).numpy(), directions)
    weights = posterior.w.sample(seed=[3, 4])
    given = (tf.constant(SHIFTED), tf.constant(logits), weights)
    options = {"likelihood": "gaussian", "mixing": mixing}
    first = melbo.reconstruction(*given, **options)
    eq_8 = first - melbo.kl_z(posterior.z) - melbo.kl_w(posterior.w, prior)
    elbo = melbo.elbo(*given, posterior, prior, **options).numpy()
    constant = melbo.gaussian_constant([PIXELS])
    error = elbo.std() / np.sqrt(DRAWS)
    return np.mean(eq_8) + constant, elbo.mean() + constant, error


def divergence(mean, variance):
    return (variance + mean**2 - 1 - np.log(variance)) / 2


def test_elbo_of_mixed_images_is_the_evidence_at_the_exact_posterior_and_eq_8_exceeds_it():
    # Weights that are surely 1/2, a priori too.
    halves = [exact_posterior(SHIFTED[0], direction / 2)[:2] for direction in DIRECTIONS]
    loc, variance = (np.array(each)[:, None] for each in zip(*halves, strict=True))
    covariance = np.eye(PIXELS) / 2 + DIRECTIONS.T @ DIRECTIONS / 4
    normal = scipy.stats.multivariate_normal(np.full(PIXELS, 0.5), covariance)
    evidence = normal.logpdf(SHIFTED[0])
    eq_8, elbo, error = terms_of(loc, variance, [1e9, 1e9], 1e9, "image")
    assert elbo == pytest.approx(evidence, abs=5 * error + 0.01)
    excess = divergence(loc, variance).sum() / 2  # (1 - 1/K) of the divergences' sum
    assert excess > 1 and eq_8 == pytest.approx(evidence + excess, abs=5 * error + 0.01)
    _, worse, error = terms_of(0 * loc, variance, [1e9, 1e9], 1e9, "image")
    assert worse < evidence - 5 * error


@pytest.mark.parametrize("concentration", [[1.0, 1.0], [5.0, 1.0], [0.3, 0.4], [1.0, 8.0]])
def test_elbo_of_mixed_likelihoods_is_a_bound_of_the_evidence(concentration):
    directions = DIRECTIONS * [[1.0], [0.1]]
    each = [exact_posterior(SHIFTED[0], direction) for direction in directions]
    loc, variance, log_p = (np.array(part) for part in zip(*each, strict=True))
    evidence = scipy.special.logsumexp(log_p) - np.log(2)
    expected = np.array(concentration) / np.sum(concentration)
    posterior, prior = (
        dirichlet.Dirichlet(tf.constant(a, tf.float64)) for a in (concentration, [1.0] * 2)
    )
    eq_8, elbo, error = terms_of(
        loc[:, None], variance[:, None], concentration, 1.0, "likelihood", directions
    )
    kl_w = float(melbo.kl_w(posterior, prior))
    assert elbo == pytest.approx(expected @ log_p - kl_w, abs=5 * error + 0.01)
    assert elbo < evidence + 5 * error
    difference = (expected - 0.5) @ divergence(loc, variance)
    assert eq_8 == pytest.approx(elbo + difference, abs=0.5)


def test_bernoulli_keeps_its_digits_where_the_mixture_image_rounds_to_1():
    logits = tf.fill([1, 2, 3], 20.0)
    value = melbo.mixture_log_likelihood(
        tf.zeros([1, 3]), logits, tf.constant([[0.5, 0.5]]), likelihood="bernoulli"
    )
    np.testing.assert_allclose(value, [3 * scipy.special.log_expit(-20.0)], rtol=1e-5)


def test_importance_weights_have_the_ratio_of_the_mixing_weights_densities():
    """Of one pixel that is w_1, p(x) is an integral over the prior's Beta.

    The ratio has a finite variance; without it the value would be lower by 0.17.
    """
    standard = tfd.Independent(tfd.Normal(tf.zeros([1, 2, 1]), tf.ones([1, 2, 1])), 1)
    value = tf.function(importance.log_mean_weight)(
        tf.zeros([1, 1]),
        Posterior(standard, dirichlet.Dirichlet(tf.constant([[3.0, 3.0]]))),
        lambda codes: tf.repeat([[[30.0], [-30.0]]], tf.shape(codes)[0], axis=0),
        dirichlet.Dirichlet(tf.constant([2.0, 5.0])),
        tf.constant(20_000),
        tf.constant(0),
        likelihood="gaussian",
        mixing="image",
    )
    prior = scipy.stats.beta(2, 5)
    expected = scipy.integrate.quad(lambda w: prior.pdf(w) * np.exp(-(w**2)), 0, 1)[0]
    assert float(value[0]) == pytest.approx(np.log(expected), abs=0.08)
