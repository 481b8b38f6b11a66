"""What a model answers, and its training."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from recycled import recycled

import mvae_tf
from mvae_tf.objective import melbo

SMALL = {"image_shape": (4, 4, 1), "num_components": 3, "latent_dim": 2, "hidden_units": (8,)}
IMAGES = np.random.default_rng(0).uniform(size=[24, 4, 4, 1]).astype("float32")


@recycled
def make(**overrides):
    model = mvae_tf.MixtureVAE(**{**SMALL, "seed": 0, **overrides})
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    return model


def eye(k, num_components=3):
    return np.eye(num_components)[k]


# Answers ------------------------------------------------------------------------------------------


def test_shapes_are_batch_first():
    model = make()
    posterior = model.encode(IMAGES)
    assert (posterior.z.batch_shape, posterior.z.event_shape) == ([24, 3], [2])
    assert (posterior.w.batch_shape, posterior.w.event_shape) == ([24], [3])
    assert isinstance(posterior.w, tfp.distributions.Dirichlet)
    assert model.decode(np.zeros([5, 3, 2], "float32")).shape == [5, 3, 4, 4, 1]
    assert model.reconstruct(IMAGES).shape == [24, 4, 4, 1]
    assert model.component_reconstructions(IMAGES).shape == [24, 3, 4, 4, 1]
    assert model.features(IMAGES).shape == [24, 6]
    assert model.sample(7).shape == [7, 4, 4, 1]
    assert model.log_likelihood(IMAGES, num_samples=2).shape == [24]


def test_reconstruction_is_the_weighted_sum_of_the_components():
    model = make()
    components = model.component_reconstructions(IMAGES).numpy()
    weights = model.encode(IMAGES).w.concentration.numpy()
    weights /= weights.sum(axis=1, keepdims=True)
    expected = np.einsum("nk,nkhwc->nhwc", weights, components)
    np.testing.assert_allclose(model.reconstruct(IMAGES), expected, atol=1e-6)
    np.testing.assert_allclose(model(IMAGES), expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, atol=1e-6)
    np.testing.assert_allclose(model.reconstruct(IMAGES, eye(1)), components[:, 1], atol=1e-6)
    forced = np.random.default_rng(1).dirichlet([1, 1, 1], size=24)
    np.testing.assert_allclose(
        model.reconstruct(IMAGES, weights=forced),
        np.einsum("nk,nkhwc->nhwc", forced, components),
        atol=1e-6,
    )


def test_features_are_the_means_component_after_component():
    model = make()
    means = model.encode(IMAGES).z.mean().numpy()
    np.testing.assert_array_equal(
        model.features(IMAGES), np.concatenate([means[:, k] for k in range(3)], axis=1)
    )


@pytest.mark.parametrize("concentration", ["free", "normalized"])
def test_concentration_is_free_or_sums_to_one(concentration):
    total = make(concentration=concentration).encode(IMAGES).w.concentration.numpy().sum(axis=1)
    assert np.allclose(total, 1) == (concentration == "normalized")


@pytest.mark.parametrize("mixing", melbo.MIXINGS)
def test_samples_follow_the_prior(mixing):
    model = make(num_components=2, mixing=mixing, prior_concentration=1.0)
    samples = model.sample(4000, seed=3).numpy()
    np.testing.assert_array_equal(samples, model.sample(4000, seed=3))
    assert np.any(samples != model.sample(4000, seed=4).numpy())
    rng = np.random.default_rng(0)
    components = model.decode(rng.normal(size=[4000, 2, 2]).astype("float32")).numpy()
    if mixing == "image":
        share = rng.uniform(size=[4000, 1, 1, 1])  # Dirichlet(1, 1)
    else:
        share = rng.integers(0, 2, size=[4000, 1, 1, 1])
    expected = share * components[:, 0] + (1 - share) * components[:, 1]
    for pixel in [(0, 0), (1, 2), (3, 3)]:
        test = scipy.stats.ks_2samp(samples[:, *pixel, 0], expected[:, *pixel, 0])
        assert test.pvalue > 1e-3


GRID = np.linspace(-6, 6, 121)


def with_wide_posterior(model):
    """Importance weights vary little only where the posterior's tails are the wider ones."""
    bias = model.encoder.stack[-1].bias
    bias.assign(bias + np.eye(3)[1] * 1.2)  # loc, scale, concentration
    return model


@pytest.mark.parametrize("likelihood", melbo.LIKELIHOODS)
def test_log_likelihood_of_mixed_densities_tends_to_the_integral(likelihood):
    """p(x) = (1/K) sum_k integral p(x | z_k) p(z_k) dz_k, d = 1, by quadrature."""
    model = with_wide_posterior(make(latent_dim=1, likelihood=likelihood))
    log_prior = scipy.stats.norm.logpdf(GRID) + np.log(GRID[1] - GRID[0])
    means = model.decode(np.tile(GRID[:, None, None], [1, 3, 1]).astype("float32")).numpy()
    log_p = [
        scipy.special.logsumexp(log_prior[:, None] + log_density(likelihood, image, means), axis=0)
        for image in IMAGES[:4]
    ]
    exact = scipy.special.logsumexp(log_p, axis=1) - np.log(3)
    estimates = model.log_likelihood(IMAGES[:4], num_samples=2000)
    np.testing.assert_allclose(estimates, exact, atol=0.05)


@pytest.mark.parametrize("likelihood", melbo.LIKELIHOODS)
@pytest.mark.parametrize("concentration", ["free", "normalized"])
def test_log_likelihood_of_mixed_images_tends_to_the_integral(likelihood, concentration):
    """The integral over z_1, z_2 and w_1 ~ Beta(2, 2), K = 2, d = 1, by quadrature."""
    settings = {"likelihood": likelihood, "mixing": "image", "concentration": concentration}
    model = with_wide_posterior(
        make(num_components=2, latent_dim=1, prior_concentration=2.0, **settings)
    )
    z = np.linspace(-5, 5, 41)
    w = (np.arange(40) + 0.5) / 40
    means = model.decode(np.tile(z[:, None, None], [1, 2, 1]).astype("float32")).numpy()
    mixed = (
        w[:, None, None, None, None, None] * means[None, :, None, 0]
        + (1 - w)[:, None, None, None, None, None] * means[None, None, :, 1]
    )
    log_prior = (
        (scipy.stats.beta(2, 2).logpdf(w) - np.log(40))[:, None, None]
        + (scipy.stats.norm.logpdf(z) + np.log(z[1] - z[0]))[:, None]
        + (scipy.stats.norm.logpdf(z) + np.log(z[1] - z[0]))
    )
    exact = [
        scipy.special.logsumexp(log_prior + log_density(likelihood, image, mixed))
        for image in IMAGES[:3]
    ]
    estimates = model.log_likelihood(IMAGES[:3], num_samples=3000)
    np.testing.assert_allclose(estimates, exact, atol=0.06)


def log_density(likelihood, image, means):
    if likelihood == "gaussian":
        each = scipy.stats.norm(means, np.sqrt(0.5)).logpdf(image)
    else:
        each = image * np.log(means) + (1 - image) * np.log1p(-means)
    return each.sum(axis=(-3, -2, -1))


def test_log_likelihood_grows_with_the_number_of_samples():
    model = make(latent_dim=8)
    few, many = (
        model.log_likelihood(IMAGES, num_samples).numpy().mean() for num_samples in (1, 100)
    )
    assert few < many
    with pytest.raises(ValueError, match="num_samples"):
        model.log_likelihood(IMAGES, 0)


# Training -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", melbo.LIKELIHOODS)
@pytest.mark.parametrize("mixing", melbo.MIXINGS)
@pytest.mark.parametrize("root", [False, True])
def test_loss_is_the_weighted_sum_of_its_terms(likelihood, mixing, root):
    model = make(
        likelihood=likelihood, mixing=mixing, dhsic_root=root, kl_weight=0.3, dhsic_weight=50.0
    )
    logs = model.evaluate(IMAGES, batch_size=24, verbose=0, return_dict=True)
    assert set(logs) == {
        "loss", "melbo", "reconstruction", "kl_z", "kl_w", "dhsic", "mse"
    }  # fmt: skip
    assert logs["reconstruction"] < 0 < min(logs[name] for name in ("kl_z", "kl_w", "dhsic", "mse"))
    bound = logs["reconstruction"] - 0.3 * (logs["kl_z"] + logs["kl_w"])
    assert logs["melbo"] == pytest.approx(bound, rel=1e-5)
    penalty = logs["dhsic"] ** (0.5 if root else 1)
    assert logs["loss"] == pytest.approx(50 * penalty - bound, rel=1e-5)


def test_reported_mse_is_of_the_posterior_means_in_evaluation():
    model = make()
    squared = (model.reconstruct(IMAGES).numpy() - IMAGES) ** 2
    expected = squared.sum(axis=(1, 2, 3)).mean()
    # 24 images in batches of 10, 10 and 4: a short batch counts for its images only.
    logs = model.evaluate(IMAGES, batch_size=10, verbose=0, return_dict=True)
    assert logs["mse"] == pytest.approx(expected, rel=1e-5)
    assert logs == model.evaluate(IMAGES, batch_size=10, verbose=0, return_dict=True)


def test_one_component_is_a_plain_vae():
    """The loss of K = 1 against a VAE's ELBO in NumPy, at the mean over many draws."""
    model = make(num_components=1, dhsic_weight=1000.0)
    many = np.repeat(IMAGES[:2], 4000, axis=0)
    logs = model.evaluate(many, batch_size=8000, verbose=0, return_dict=True)
    assert logs["kl_w"] == pytest.approx(0, abs=1e-5)
    assert logs["dhsic"] == pytest.approx(0, abs=1e-6)
    posterior = model.encode(IMAGES[:2]).z.distribution
    loc, scale = posterior.loc.numpy(), posterior.scale.numpy()
    draws = loc + scale * np.random.default_rng(0).normal(size=[4000, 2, 1, 2])
    means = model.decode(draws.reshape(-1, 1, 2).astype("float32")).numpy()
    errors = ((means.reshape(4000, 2, 4, 4, 1) - IMAGES[:2]) ** 2).sum(axis=(2, 3, 4))
    divergence = (0.5 * (loc**2 + scale**2 - 1) - np.log(scale)).sum(axis=(1, 2))
    assert logs["loss"] == pytest.approx(errors.mean() + divergence.mean(), rel=5e-3)


@pytest.mark.parametrize("preset", ["paper_mnist", "authors_mnist"])
def test_training_learns_real_digits(digits, preset):
    model = mvae_tf.MixtureVAE.from_preset(
        preset,
        image_shape=(8, 8, 1),
        num_components=2,
        latent_dim=8,
        hidden_units=(64, 64),
        kl_weight=0.2,
        seed=0,
    )
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    history = model.fit(digits, batch_size=50, epochs=12, verbose=0, validation_data=digits)
    images = digits.test.float_images()
    mean_image = digits.train.float_images().mean(axis=0)
    variance = ((images - mean_image) ** 2).sum(axis=(1, 2, 3)).mean()
    assert history.history["val_mse"][-1] < 0.6 * variance
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_fit_takes_arrays_tf_data_and_loaded_datasets_alike(digits):
    images = digits.train.float_images()
    pairs = digits.train.dataset(100, labels=True)
    model = make(image_shape=(8, 8, 1), num_components=2)
    for source in (images, digits.train.dataset(100), pairs, digits, digits.train):
        before = model.get_weights()
        history = model.fit(source, epochs=1, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        for old, new in zip(before, model.get_weights(), strict=True):
            assert np.any(old != new)
    assert model.evaluate(digits, verbose=0, return_dict=True).keys() == history.keys()


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    def trained(seed):
        model = make.new(seed=seed)
        model.fit(IMAGES, epochs=2, batch_size=8, verbose=0, shuffle=False)
        return np.concatenate([np.ravel(weight) for weight in model.get_weights()])

    np.testing.assert_array_equal(trained(5), trained(5))
    for one, other in zip(make(seed=5).get_weights(), make(seed=6).get_weights(), strict=True):
        assert not np.any(one) or np.any(one != other)  # biases begin at 0


def test_dhsic_weight_makes_codes_independent(digits):
    def measured(weight):
        model = mvae_tf.MixtureVAE(
            (8, 8, 1), 2, 2, (32,), kl_weight=0.1, dhsic_weight=weight, seed=0
        )
        model.compile(optimizer=keras.optimizers.Adam(3e-3))
        model.fit(digits, batch_size=100, epochs=10, verbose=0)
        return model.evaluate(digits, batch_size=297, verbose=0, return_dict=True)["dhsic"]

    assert measured(3000.0) < 0.5 * measured(0.0)


def test_keras_takes_xla_where_there_is_a_gpu(monkeypatch):
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [gpu])
    model = mvae_tf.MixtureVAE(image_shape=(4, 4, 1), num_components=2, latent_dim=2)
    model.compile(optimizer=keras.optimizers.Adam())
    assert model.jit_compile is True


@pytest.mark.parametrize("term", ["kl_w", "kl_z", "reconstruction"])
def test_a_gradient_that_is_not_finite_stops_training(term, monkeypatch):
    original = getattr(melbo, term)

    def broken(*args, **kwargs):
        # A finite value, 0, whose gradient is NaN wherever the term's argument matters.
        value = original(*args, **kwargs)
        return value + tf.sqrt(value * 0.0)

    monkeypatch.setattr(melbo, term, broken)
    model = make.new()
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match=f"of {term}, at step 1\\."):
        model.fit(IMAGES, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_amid_an_execution_of_several_steps_training_stops_before_the_broken_one(monkeypatch):
    original = melbo.reconstruction

    def broken_by_black(images, *args, **kwargs):
        value = original(images, *args, **kwargs)
        return value + tf.sqrt(value * 0.0 + tf.reduce_max(images))  # its slope at 0 is infinite

    monkeypatch.setattr(melbo, "reconstruction", broken_by_black)

    def fit(images, steps):
        model = make.new()
        model.compile(optimizer=keras.optimizers.Adam(1e-3), steps_per_execution=steps)
        batches = tf.data.Dataset.from_tensor_slices(images).batch(8)
        return model, lambda: model.fit(batches, verbose=0)

    two, run = fit(IMAGES[:16], 1)
    run()
    images = IMAGES.copy()
    images[16:] = 0.0
    stopped, run = fit(images, 3)
    with pytest.raises(FloatingPointError, match=r"of reconstruction, at step 3\."):
        run()
    for one, other in zip(two.get_weights(), stopped.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_keeps_probabilities_in_float32(policy):
    model = make(dtype=policy)
    losses = model.fit(IMAGES, epochs=100, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    posterior = model.encode(IMAGES)
    assert posterior.z.dtype == posterior.w.dtype == model.reconstruct(IMAGES).dtype == tf.float32
    exact = make()
    exact.set_weights(model.get_weights())
    np.testing.assert_allclose(model.reconstruct(IMAGES), exact.reconstruct(IMAGES), atol=0.02)
