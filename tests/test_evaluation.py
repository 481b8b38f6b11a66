import dataclasses
import functools
import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry

import mvae_tf
from mvae_tf import evaluation
from mvae_tf.objective import importance


@pytest.fixture(scope="module")
def digits():
    return mvae_tf.datasets.load("digits")


@pytest.mark.parametrize("batch_size", [50, 297, 1000])
def test_mse_is_the_mean_over_images_of_the_summed_squared_error(digits, batch_size):
    model = mvae_tf.MixtureVAE((8, 8, 1), 3, 2, (16,), seed=0)
    errors = evaluation.reconstruction_errors(model, digits.test, batch_size=batch_size)
    images = digits.test.float_images().astype(np.float64)
    squared = (model.reconstruct(digits.test.float_images()).numpy() - images) ** 2
    assert errors.mse == pytest.approx(squared.sum(axis=(1, 2, 3)).mean(), rel=1e-5)
    assert errors.mse_per_pixel == pytest.approx(squared.mean(), rel=1e-5)


def test_sampled_error_draws_from_the_posterior(digits):
    """With a posterior as good as certain, draws are means; with a wide one they are worse."""
    model = mvae_tf.MixtureVAE((8, 8, 1), 2, 2, (16,), prior_concentration=1.0, seed=0)
    head = model.encoder.stack[-1]
    bias = np.zeros(head.bias.shape, "float32")
    bias[..., 2:4], bias[..., 4] = -30, 1e5  # scale near 0, weights near their mean
    head.bias.assign(bias)
    kernel = head.kernel.numpy()
    kernel[..., 2:] = 0
    head.kernel.assign(kernel)
    certain = evaluation.reconstruction_errors(model, digits.test)
    assert certain.mse_sampled == pytest.approx(certain.mse, rel=1e-2)
    bias[..., 2:4] = 10
    head.bias.assign(bias)
    wide = evaluation.reconstruction_errors(model, digits.test)
    assert wide.mse == pytest.approx(certain.mse, rel=1e-4)
    assert wide.mse_sampled > 1.2 * wide.mse
    again = evaluation.reconstruction_errors(model, digits.test, seed=1)
    assert again.mse_sampled != wide.mse_sampled
    assert again.mse_sampled == pytest.approx(wide.mse_sampled, rel=0.2)


@pytest.mark.parametrize("batch_size", [50, 297, 1000])
def test_component_errors_are_means_over_images_of_summed_squared_errors(
    digits, small_model, batch_size
):
    errors = evaluation.component_errors(small_model, digits.test, batch_size=batch_size)
    images = digits.test.float_images()
    components = small_model.component_reconstructions(images).numpy().astype(np.float64)
    expected = ((components - images[:, None]) ** 2).sum(axis=(2, 3, 4)).mean(axis=0)
    assert errors.shape == (3,)
    np.testing.assert_allclose(errors, expected, rtol=1e-6)
    assert np.ptp(expected) > 1e-3


def test_component_errors_of_one_component_are_those_of_the_mixture(digits):
    model = mvae_tf.MixtureVAE((8, 8, 1), 1, 2, (16,), seed=0)
    errors = evaluation.component_errors(model, digits.test)
    assert errors[0] == pytest.approx(evaluation.reconstruction_errors(model, digits.test).mse)


@pytest.mark.parametrize("batch_size", [50, 297, 1000])
def test_encode_split_gives_posterior_means_and_expected_weights(digits, small_model, batch_size):
    codes = evaluation.encode_split(small_model, digits.test, batch_size=batch_size)
    posterior = small_model.encode(digits.test.float_images())
    assert codes.means.dtype == codes.weights.dtype == np.float32
    assert codes.means.shape == (len(digits.test), 3, 2)
    np.testing.assert_allclose(codes.means, posterior.z.mean(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(codes.weights, posterior.w.mean(), rtol=1e-4)
    np.testing.assert_allclose(codes.weights.sum(axis=1), 1, rtol=1e-5)
    assert codes.means.std(axis=0).min() > 0.1


@pytest.mark.parametrize("batch_size", [100, 297])
def test_mean_log_likelihood_is_the_mean_of_the_models(digits, small_model, batch_size):
    result = evaluation.mean_log_likelihood(
        small_model, digits.test, num_samples=200, batch_size=batch_size, max_images=250
    )
    images = digits.test.float_images(0, 250)
    values = small_model.log_likelihood(images, 200, seed=7).numpy().astype(np.float64)
    # Other draws: equal up to what is left of their noise.
    again = small_model.log_likelihood(images, 200, seed=8).numpy()
    noise = np.std(values - again) / np.sqrt(250)
    assert result.mean == pytest.approx(values.mean(), abs=5 * noise)
    expected = values.std() / np.sqrt(249)
    assert result.standard_error == pytest.approx(expected, rel=0.1)
    assert noise < expected / 2


def test_mean_log_likelihood_takes_the_first_images_and_a_seed(digits, small_model):
    def estimate(seed, max_images):
        return evaluation.mean_log_likelihood(
            small_model, digits.test, num_samples=2, max_images=max_images, seed=seed
        )

    assert estimate(-1, 20) == estimate(-1, 20)
    assert estimate(-1, 20) != estimate(2, 20)
    first = dataclasses.replace(
        digits.test, images=digits.test.images[:20], labels=digits.test.labels[:20]
    )
    assert estimate(2, 20) == evaluation.mean_log_likelihood(
        small_model, first, num_samples=2, seed=2
    )
    everything = estimate(0, None)
    assert everything == estimate(0, 10**6)
    assert everything.standard_error < estimate(0, 20).standard_error
    assert np.isnan(estimate(0, 1).standard_error)


@pytest.mark.parametrize("mixing", ["likelihood", "image"])
def test_log_likelihood_is_the_same_however_many_draws_are_taken_at_once(
    digits, monkeypatch, mixing
):
    images = digits.test.float_images(0, 3)
    results = []
    for draws in (1, 3, 7, 100):  # 7 draws in steps of 1, in 3 + 3 + 1, exactly at once, and more
        monkeypatch.setattr(importance, "_NUMBERS_AT_ONCE", draws * 3 * 2 * 64)
        model = mvae_tf.MixtureVAE((8, 8, 1), 2, 2, (16,), mixing=mixing, seed=0)
        results.append(model.log_likelihood(images, 7, seed=5).numpy())
        assert not np.allclose(results[-1], model.log_likelihood(images, 7, seed=6), rtol=1e-4)
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-5)


def test_standard_error_of_two_images_is_half_their_difference(digits, small_model):
    images = np.stack([np.zeros([8, 8, 1]), np.eye(8)[..., None]]).astype(np.float32)
    split = dataclasses.replace(digits.test, images=images, labels=np.arange(2))
    result = evaluation.mean_log_likelihood(small_model, split, num_samples=500)
    first, second = small_model.log_likelihood(images, 500).numpy()
    assert result.standard_error == pytest.approx(abs(first - second) / 2, rel=0.1)


@pytest.mark.parametrize(
    "measure",
    [evaluation.component_errors, evaluation.encode_split, evaluation.mean_log_likelihood],
)
def test_refuses_an_empty_batch(digits, small_model, measure):
    with pytest.raises(ValueError, match="batch_size"):
        measure(small_model, digits.test, batch_size=0)


@pytest.mark.parametrize(
    "measure",
    [
        evaluation.reconstruction_errors,
        evaluation.component_errors,
        evaluation.encode_split,
        evaluation.mean_elbo,
        functools.partial(evaluation.mean_log_likelihood, num_samples=2),
    ],
)
def test_a_call_leaves_no_graph_behind(digits, small_model, measure):
    def kept():
        gc.collect()
        graphs = sum(isinstance(each, tf.Graph) for each in gc.get_objects())
        return np.array([graphs, len(gradient_registry.list())])

    measure(small_model, digits.test)
    before = kept()
    for _ in range(3):
        measure(small_model, digits.test)
    assert np.all(kept() <= before)  # other tests' graphs may go meanwhile


def test_many_models_are_evaluated_without_a_word_of_retracing(digits, caplog):
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    images = digits.test.float_images(0, 4)
    for seed in range(6):  # TensorFlow warns from the fifth on
        model = mvae_tf.MixtureVAE((8, 8, 1), 1, 2, (2,), seed=seed)
        evaluation.component_errors(model, digits.test)
        model.elbo(images)
        model.log_likelihood(images, 2)
    logger.removeHandler(caplog.handler)
    assert "retracing" not in caplog.text


def test_graphs_follow_the_models_weights_and_go_with_the_model(digits):
    model = mvae_tf.MixtureVAE((8, 8, 1), 2, 2, (4,), seed=0)
    before = evaluation.reconstruction_errors(model, digits.test)
    model.set_weights([weight + 0.1 for weight in model.get_weights()])
    assert evaluation.reconstruction_errors(model, digits.test).mse != before.mse
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_mean_elbo_is_the_mean_of_the_models_below_the_likelihood(digits, small_model):
    result = evaluation.mean_elbo(small_model, digits.test, batch_size=100, max_images=250)
    images = digits.test.float_images(0, 250)
    values = np.mean([small_model.elbo(images, seed=seed) for seed in range(20)], axis=0)
    assert result.mean == pytest.approx(values.mean(), abs=5 * result.standard_error)
    assert result.mean == pytest.approx(values.mean(), rel=0.05)
    assert np.all(values < small_model.log_likelihood(images, 500) + 1)
    assert values.mean() < small_model.log_likelihood(images, 500).numpy().mean()


def test_linear_cka_is_normalised_hsic_of_linear_kernels():
    rng = np.random.default_rng(0)
    first = rng.normal(size=[50, 4]) + 3
    second = np.hstack([first[:, :2] ** 2, rng.normal(size=[50, 5])])
    centring = np.eye(50) - 1 / 50

    def hsic(a, b):
        return np.trace(a @ a.T @ centring @ b @ b.T @ centring)

    expected = hsic(first, second) / np.sqrt(hsic(first, first) * hsic(second, second))
    assert evaluation.linear_cka(first, second) == pytest.approx(expected, rel=1e-9)
    assert evaluation.linear_cka(second, first) == pytest.approx(expected, rel=1e-9)
    assert 0.1 < expected < 0.99


def test_linear_cka_of_the_same_features_is_one_whatever_their_rotation_and_scale():
    rng = np.random.default_rng(0)
    features = rng.normal(size=[60, 5]) * [1, 2, 3, 4, 5]
    rotation, _ = np.linalg.qr(rng.normal(size=[5, 5]))
    for scale in (1e-100, -2.0, 1e100):
        same = scale * (features @ rotation + 7)
        assert evaluation.linear_cka(features, same) == pytest.approx(1, rel=1e-9)
    other = rng.normal(size=[60, 3]) + features[:, :3]
    assert evaluation.linear_cka(features @ rotation, other - 5) == pytest.approx(
        evaluation.linear_cka(features, other), rel=1e-9
    )


def test_linear_cka_of_independent_features_is_near_zero():
    first, second = np.random.default_rng(0).normal(size=[2, 20_000, 3]).astype(np.float32)
    assert 0 <= evaluation.linear_cka(first, second) < 1e-3


def test_linear_cka_of_constant_features_is_zero():
    features = np.random.default_rng(0).normal(size=[30, 3])
    constant = np.full([30, 2], 0.1)
    assert evaluation.linear_cka(features, constant) == 0
    assert evaluation.linear_cka(constant, constant) == 0
    assert evaluation.linear_cka(features[:1], features[:1]) == 0


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros([3]), np.zeros([3, 1]), r"first of shape \[n, d\]"),
        (np.zeros([3, 1]), np.zeros([0, 1]), r"second of shape \[n, d\]"),
        (np.zeros([3, 1]), np.zeros([4, 1]), "Received: 3 and 4"),
        (np.zeros([3, 1]), np.full([3, 1], np.nan), "second to be finite"),
        (np.ma.masked_array([[1.0], [2], [3]], [[0], [0], [1]]), np.zeros([3, 1]), "is masked"),
        (np.zeros([3, 1]), np.zeros([3, 1], complex), "second to be real .* dtype complex128"),
        (np.array([["1"]]), np.zeros([1, 1]), "first to be real numbers .* Received: dtype"),
        ([[1.0], [1.0, 2.0]], np.zeros([2, 1]), "first to be real numbers .* Received: a list"),
    ],
)
def test_linear_cka_refuses_what_it_cannot_compare(first, second, message):
    with pytest.raises(ValueError, match=message):
        evaluation.linear_cka(first, second)
