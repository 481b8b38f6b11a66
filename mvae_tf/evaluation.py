"""What a trained model is worth on images it has not seen."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mvae_tf import checks, melbo


class ReconstructionErrors(NamedTuple):
    """Mean squared errors of the mixture image (Table I); pixels in [0, 1].

    Attributes:
        mse: Summed over an image's pixels, at posterior means and expected weights.
        mse_sampled: The same, at draws of the latent codes and the mixing weights.
        mse_per_pixel: `mse` divided by the number of pixels (and channels).
    """

    mse: float
    mse_sampled: float
    mse_per_pixel: float


class Codes(NamedTuple):
    """What the encoders say of a split's images.

    Attributes:
        means: Posterior means of the latent codes, float32 [n, K, d].
        weights: Expected mixing weights, float32 [n, K].
    """

    means: np.ndarray
    weights: np.ndarray


class LogLikelihood(NamedTuple):
    """The mean over images of an estimate of log p(x), in nats.

    Attributes:
        mean: The mean.
        standard_error: Its standard deviation over the choice of images; NaN for one image.
    """

    mean: float
    standard_error: float


def reconstruction_errors(model, split, *, batch_size: int = 1000, seed: int = 0):
    """Measure how well a model reconstructs a split's images.

    Args:
        model: A `MixtureVAE`.
        split: What `datasets.load` gives as `.train` or `.test`.
        batch_size: Images at a time; memory grows with it alone.
        seed: Of the draws.

    Returns:
        `ReconstructionErrors`, summed in float64.
    """
    checks.size("batch_size", batch_size)

    @tf.function(reduce_retracing=True)
    def squared_errors(images, draw_seed):
        seed_z, seed_w = tf.unstack(tf.random.split(draw_seed, 2))
        posterior = model.encode(images)
        sampled = posterior.z.sample(seed=seed_z), posterior.w.sample(seed=seed_w)
        return [
            tf.reduce_sum(
                tf.math.squared_difference(images, melbo.mix(weights, model.decode(codes))),
                axis=range(1, images.shape.rank),
            )
            for codes, weights in [(posterior.z.mean(), posterior.w.mean()), sampled]
        ]

    total = np.zeros(2)
    for start in range(0, len(split), batch_size):
        images = tf.constant(split.float_images(start, start + batch_size))
        errors = squared_errors(images, tf.constant([checks.seed(seed), start]))
        total += [np.sum(error, dtype=np.float64) for error in errors]
    mse, mse_sampled = (total / len(split)).tolist()
    return ReconstructionErrors(mse, mse_sampled, mse / np.prod(split.images.shape[1:]).item())


def component_errors(model, split, *, batch_size: int = 1000) -> np.ndarray:
    """Measure how well each component alone reconstructs a split's images (Fig. 2).

    Args:
        model: A `MixtureVAE`.
        split: What `datasets.load` gives as `.train` or `.test`.
        batch_size: Images at a time; memory grows with it alone.

    Returns:
        float64 [K]: squared errors of the posterior means' images, pixels in [0, 1], summed over
        pixels and averaged over images.
    """

    @tf.function(reduce_retracing=True)
    def squared_errors(images):
        squared = tf.math.squared_difference(
            images[:, None], model.component_reconstructions(images)
        )
        return tf.reduce_sum(squared, axis=range(2, squared.shape.rank))

    total = np.zeros(model.num_components)
    for images in _batches(split, batch_size):
        total += np.sum(squared_errors(images), axis=0, dtype=np.float64)
    return total / len(split)


def encode_split(model, split, *, batch_size: int = 1000) -> Codes:
    """Encode all images of a split.

    Args:
        model: A `MixtureVAE`.
        split: What `datasets.load` gives as `.train` or `.test`.
        batch_size: Images at a time.

    Returns:
        `Codes`, in the order of the images.
    """

    @tf.function(reduce_retracing=True)
    def encode(images):
        posterior = model.encode(images)
        return posterior.z.mean(), posterior.w.mean()

    encoded = [encode(images) for images in _batches(split, batch_size)]
    return Codes(*(np.concatenate(parts) for parts in zip(*encoded, strict=True)))


def mean_log_likelihood(
    model,
    split,
    *,
    num_samples: int = 64,
    batch_size: int = 500,
    max_images: int | None = None,
    seed: int = 0,
) -> LogLikelihood:
    """Estimate the mean log-likelihood of a split's images (`MixtureVAE.log_likelihood`).

    Args:
        model: A `MixtureVAE`.
        split: What `datasets.load` gives as `.train` or `.test`.
        num_samples: Posterior draws for each image; the bound tightens as it grows.
        batch_size: Images at a time; memory grows with it alone.
        max_images: Use the first so many images. Default: all.
        seed: Of the draws.

    Returns:
        `LogLikelihood`, in nats.
    """
    count = len(split)
    if max_images is not None:
        count = min(count, checks.size("max_images", max_images))
    rng = np.random.default_rng(checks.seed(seed) % 2**32)
    values = [
        model.log_likelihood(images, num_samples, seed=rng.integers(2**31))
        for images in _batches(split, batch_size, count)
    ]
    values = np.concatenate(values).astype(np.float64)
    error = values.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
    return LogLikelihood(float(values.mean()), float(error))


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Measure how alike two sets of features of the same images are.

    Linear centred kernel alignment (Kornblith et al., Similarity of neural network representations
    revisited, ICML 2019). It changes under no rotation, shift or common scaling of either set.

    Args:
        first: Finite features [n, d_1].
        second: Finite features [n, d_2] of the same images in the same order.

    Returns:
        From 0 (no linear relation) to 1 (equal up to rotation, shift and scale). 0 where the
        features of either set are the same for all images.

    Raises:
        ValueError: The features are not finite, not of rank 2, empty, or differ in n.
    """
    first, second = _centred("first", first), _centred("second", second)
    if len(first) != len(second):
        raise ValueError(
            f"Expected as many rows in both. Received: {len(first)} and {len(second)}."
        )
    norms = np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    return float(np.linalg.norm(first.T @ second) ** 2 / norms) if norms > 0 else 0.0


def _batches(split, batch_size, count=None):
    checks.size("batch_size", batch_size)
    count = len(split) if count is None else count
    for start in range(0, count, batch_size):
        yield tf.constant(split.float_images(start, min(start + batch_size, count)))


def _centred(name, features):
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or features.size == 0:
        raise ValueError(
            f"Expected {name} of shape [n, d], n and d >= 1. Received: {features.shape}."
        )
    if not np.all(np.isfinite(features)):
        raise ValueError(f"Expected {name} to be finite. Received: NaN or infinity among them.")
    # Of a constant feature the mean leaves rounding errors, the difference from a row does not.
    features = features - features[0]
    features -= features.mean(axis=0)
    # Of one scale, so that no fourth power over- or underflows.
    return features / (np.abs(features).max() or 1.0)
