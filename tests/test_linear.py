"""The best linear models of images, beside which Table III stands."""

import math
import types

import numpy as np
import pytest
import scipy.optimize

from mvae_tf.datasets.splits import Split
from support import linear, measures


def splits(train, test):
    return types.SimpleNamespace(
        train=Split(np.float32(train), None, True), test=Split(np.float32(test), None, False)
    )


@pytest.mark.parametrize("count", [40, 300])  # fewer images than pixels, and more
def test_pca_against_singular_vectors(count):
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(60, 60)) / 60
    train, test = (np.clip(0.5 + rng.normal(size=(n, 60)) @ mixing, 0, 1) for n in (count, 50))
    data = splits(train.reshape(-1, 4, 5, 3), test.reshape(-1, 4, 5, 3))
    errors = linear.Directions(data, 20).pca_errors()
    mean = train.mean(axis=0)
    directions = np.linalg.svd(train - mean, full_matrices=False)[2][:20]
    for images, error in ((train, errors.train), (test, errors.test)):
        left = (images - mean) - (images - mean) @ directions.T @ directions
        assert error == pytest.approx(np.square(left).sum(axis=1).mean(), rel=1e-5)


def objective(parameters, variance, kl_weight):
    """Minus the MELBO of one direction, as it is computed: errors and a KL of a Normal."""
    a, m, log_s = parameters
    error = variance * (1 - a * m) ** 2 + a**2 * np.exp(2 * log_s)
    return error + kl_weight * 0.5 * (m**2 * variance + np.exp(2 * log_s) - 1 - 2 * log_s)


@pytest.mark.parametrize("kl_weight", [0.05, 1.0])
def test_best_linear_vae_against_a_minimizer(kl_weight):
    """Each direction's optimum by search; images that vary along the axes alone."""
    deviations = np.array([1.5, 0.8, 0.3, 0.1])
    variances = deviations**2
    train = np.concatenate([np.diag(deviations), -np.diag(deviations)]) * 2  # variance: squares
    data = splits(train.reshape(-1, 2, 2, 1), 0.5 * train.reshape(-1, 2, 2, 1))
    left = variances.copy()
    for k, variance in enumerate(variances[:3]):
        found = scipy.optimize.minimize(
            objective, [1.0, 1.0, -1.0], (variance, kl_weight), method="BFGS", tol=1e-10
        )
        left[k] = variance * (1 - found.x[0] * found.x[1]) ** 2
    errors = linear.Directions(data, 3).vae_errors(kl_weight)
    assert errors.train == pytest.approx(left.sum(), rel=1e-4)
    assert errors.test == pytest.approx(left.sum() / 4, rel=1e-4)


def test_linear_vaes_whose_images_are_mixed_against_a_minimizer():
    """K = 2, d = 2, weights of 1/2: eq. 8 as it stands, its KL terms counted by a K-th."""
    deviations, kl_weight = np.array([1.5, 0.8, 0.3, 0.1, 0.05]), 0.05
    train = np.concatenate([np.diag(deviations), -np.diag(deviations)]) * math.sqrt(5)
    covariance = train.T @ train / len(train)

    def loss(parameters):
        decoders, encoders, log_s = np.split(parameters, [20, 40])
        decoders, encoders = decoders.reshape(2, 5, 2), encoders.reshape(2, 2, 5)
        mixed = sum(decoders[k] @ encoders[k] for k in range(2)) / 2
        left = np.eye(5) - mixed
        variances = np.exp(2 * log_s.reshape(2, 2))
        noise = sum((decoders[k] ** 2 @ variances[k]).sum() for k in range(2)) / 4
        squares = sum(np.trace(encoders[k] @ covariance @ encoders[k].T) for k in range(2))
        kl = 0.5 * (squares + (variances - 1).sum() - 2 * log_s.sum())
        error = np.trace(left @ covariance @ left.T)
        return error + noise + kl_weight / 2 * kl, error

    start = 0.3 * np.random.default_rng(0).normal(size=44)
    found = scipy.optimize.minimize(lambda each: loss(each)[0], start, method="BFGS", tol=1e-9)
    data = splits(train.reshape(-1, 5, 1, 1), train.reshape(-1, 5, 1, 1))
    errors = linear.Directions(data, 4).vae_errors(kl_weight / 2)
    assert errors.train == pytest.approx(loss(found.x)[1], rel=1e-3)


def test_without_kl_the_best_linear_vae_is_pca(patches):
    directions = linear.Directions(patches, 30)
    assert directions.vae_errors(0.0) == directions.pca_errors()
    assert len(linear.Directions(patches, 256)) == 100


def test_root_error():
    assert measures.root_error(3.0, 300) == pytest.approx(
        {"rmse": math.sqrt(3), "per_pixel": 0.1, "psnr": 20}
    )
    assert measures.root_error(0.0, 300)["psnr"] is None
