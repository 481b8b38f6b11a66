import numpy as np
import pytest

import mvae_tf
from mvae_tf import evaluation


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
