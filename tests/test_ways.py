"""Errors and codes by each way of measuring."""

import numpy as np
import pytest
import tensorflow as tf

import mvae_tf
from mvae_tf import evaluation


@pytest.fixture(scope="module")
def dropping():
    """Without an activation the codes' mean over what is dropped is the one without dropout."""
    return mvae_tf.MixtureVAE((8, 8, 1), 2, 3, (16,), "linear", dropout=0.25, seed=0)


def repeated(digits, count):
    image = digits.test.float_images(0, 1)
    return tf.data.Dataset.from_tensor_slices(np.repeat(image, count, axis=0)).batch(100)


def test_means_are_over_all_images_and_over_each_whole_batch(digits, small_model):
    errors = evaluation.batch_errors(small_model, digits.test, batch_size=50)
    images = digits.test.float_images().astype(np.float64)
    assert len(images) % 50  # the last batch is no whole one
    reconstructed = small_model.reconstruct(digits.test.float_images()).numpy()
    squared = ((reconstructed - images) ** 2).sum(axis=(1, 2, 3))
    assert errors.keys() == {"means", "z_sampled", "sampled"}
    assert errors["means"].mse == pytest.approx(squared.mean(), rel=1e-5)
    whole = len(images) // 50
    expected = squared[: whole * 50].reshape(whole, 50).mean(axis=1)
    np.testing.assert_allclose(errors["means"].batches, expected, rtol=1e-5)
    sampled = evaluation.reconstruction_errors(small_model, digits.test, batch_size=50).mse_sampled
    assert errors["sampled"].mse == pytest.approx(sampled, rel=1e-6)
    assert len({each.mse for each in errors.values()}) == 3


def test_fewer_images_than_a_batch_have_no_batches(digits, small_model):
    errors = evaluation.batch_errors(small_model, digits.test, batch_size=1000)
    assert all(each.batches.shape == (0,) and each.mse > 0 for each in errors.values())


def test_of_one_component_no_weights_are_drawn(digits):
    model = mvae_tf.MixtureVAE((8, 8, 1), 1, 2, (16,), seed=0)
    errors = evaluation.batch_errors(model, digits.test)
    assert errors["z_sampled"].mse == pytest.approx(errors["sampled"].mse, rel=1e-6)
    assert errors["sampled"].mse != errors["means"].mse


def test_errors_with_dropout_on_are_of_encoders_and_decoders(digits, dropping):
    errors = evaluation.batch_errors(dropping, digits.test, batch_size=50, seed=3)
    assert len(errors) == 6
    assert len({each.mse for each in errors.values()}) == 6
    same = evaluation.batch_errors(dropping, digits.test, batch_size=50, seed=3)
    other = evaluation.batch_errors(dropping, digits.test, batch_size=50, seed=4)
    assert same["means_dropout"].mse == errors["means_dropout"].mse != other["means_dropout"].mse
    assert same["means"].mse == other["means"].mse
    # Against NumPy's draws of what is dropped in both, of one image many times.
    rng, count = np.random.default_rng(0), 4000
    image = digits.test.float_images(0, 1).reshape(1, -1).astype(np.float64)
    components, alphas = [], []
    for k in range(2):
        first, last = (
            [each.numpy()[k] for each in layer.weights] for layer in dropping.encoder.stack
        )
        hidden = (image @ first[0] + first[1]) * (rng.random([count, 16]) >= 0.25) / 0.75
        outputs = hidden @ last[0] + last[1]
        alphas.append(np.logaddexp(outputs[:, 6], 0))
        first, last = (
            [each.numpy()[k] for each in layer.weights] for layer in dropping.decoder.stack
        )
        hidden = (outputs[:, :3] @ first[0] + first[1]) * (rng.random([count, 16]) >= 0.25) / 0.75
        components.append(1 / (1 + np.exp(-(hidden @ last[0] + last[1]))))
    alphas = np.array(alphas)
    mixture = np.einsum("kn,knp->np", alphas / alphas.sum(axis=0), np.array(components))
    expected = ((mixture - image) ** 2).sum(axis=1)
    measured = evaluation.batch_errors(dropping, repeated(digits, count), batch_size=1000)
    noise = expected.std() / np.sqrt(count)
    assert measured["means_dropout"].mse == pytest.approx(expected.mean(), abs=6 * noise)
    assert abs(measured["means"].mse - expected.mean()) > 12 * noise


def test_codes_are_those_of_the_posterior(digits, small_model, dropping):
    assert evaluation.codes_by_way(small_model, digits.test).keys() == {"means", "sampled"}
    codes = evaluation.codes_by_way(dropping, digits.test, batch_size=100)
    posterior = dropping.encode(digits.test.float_images()).z.distribution
    assert posterior.scale.numpy().min() > 1e-3  # far above rounding
    np.testing.assert_allclose(codes["means"], posterior.loc, rtol=1e-4, atol=1e-5)
    standard = (codes["sampled"] - posterior.loc.numpy()) / posterior.scale.numpy()
    assert np.mean(standard) == pytest.approx(0, abs=4 / np.sqrt(standard.size))
    assert np.std(standard) == pytest.approx(1, abs=4 / np.sqrt(2 * standard.size))
    assert codes["sampled"].dtype == np.float32
    joined = evaluation.codes_by_way(dropping, digits.test, batch_size=100, deviations=True)
    assert joined.keys() - codes.keys() == {
        "means_and_deviations",
        "means_and_deviations_dropout",
    }
    off, on = joined["means_and_deviations"], joined["means_and_deviations_dropout"]
    expected = np.concatenate([posterior.loc, posterior.scale], axis=-1)
    np.testing.assert_allclose(off, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(on[..., : on.shape[-1] // 2], codes["means_dropout"])
    # Each batch has draws of its own.
    standard = standard[:200].reshape(2, -1)
    assert abs(np.corrcoef(standard)[0, 1]) < 0.2


def test_codes_with_dropout_on_spread_about_those_without(digits, dropping):
    codes = evaluation.codes_by_way(dropping, repeated(digits, 4000), batch_size=500)
    assert codes.keys() == {"means", "sampled", "means_dropout", "sampled_dropout"}
    spread = codes["means_dropout"].std(axis=0)
    assert np.ptp(codes["means"], axis=0).max() < 1e-5 < 1e-2 < spread.min()
    off = np.abs(codes["means_dropout"].mean(axis=0) - codes["means"][0])
    assert np.all(off < 5 * spread / np.sqrt(4000))
    variance = codes["sampled"].var(axis=0) + spread**2
    assert np.all(codes["sampled_dropout"].var(axis=0) > 0.5 * variance)


@pytest.mark.parametrize("measure", [evaluation.batch_errors, evaluation.codes_by_way])
def test_sources_without_images_and_wrong_seeds_are_refused(measure, digits, small_model):
    with pytest.raises(ValueError, match="at least one image"):
        measure(small_model, digits.test.dataset(10).take(0))
    with pytest.raises(ValueError, match="seed"):
        measure(small_model, digits.test, seed=0.5)
