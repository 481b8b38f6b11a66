"""How well a trained model reconstructs images, and how likely it finds them.

The images come from a source, see `batches`. Memory grows with `batch_size` (and a dataset's own
batches), not with the number of images.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mvae_tf import checks, traced
from mvae_tf.evaluation.batches import batches_of
from mvae_tf.objective import melbo, seeds


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


class LogLikelihood(NamedTuple):
    """The mean over images of an estimate of log p(x), or of a bound of it, in nats.

    Attributes:
        mean: The mean.
        standard_error: Its standard deviation over the choice of images; NaN for one image.
    """

    mean: float
    standard_error: float


def reconstruction_errors(model, source, *, batch_size: int = 1000, seed: int = 0):
    """Measure how well a model reconstructs images.

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see `batches`.
        batch_size: Images at a time.
        seed: Of the draws.

    Returns:
        `ReconstructionErrors`, summed in float64.

    Raises:
        ValueError: The source has no end or no images, its images don't fit the model, or it is
            something else.
    """
    squared_errors = traced.of_model(model, _squared_errors)
    count, total = 0, np.zeros(2)
    for images in batches_of(model.image_shape, source, batch_size):
        errors = squared_errors(images, tf.constant([checks.seed(seed), count]))
        total += [np.sum(error, dtype=np.float64) for error in errors]
        count += len(images)
    mse, mse_sampled = (total / count).tolist()
    return ReconstructionErrors(mse, mse_sampled, mse / np.prod(model.image_shape).item())


def component_errors(model, source, *, batch_size: int = 1000) -> np.ndarray:
    """Measure how well each component alone reconstructs images (Fig. 2).

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see `batches`.
        batch_size: Images at a time.

    Returns:
        float64 [K]: squared errors of the posterior means' images, pixels in [0, 1], summed over
        pixels and averaged over images.

    Raises:
        ValueError: As for `reconstruction_errors`.
    """
    squared_errors = traced.of_model(model, _component_squared_errors)
    count, total = 0, np.zeros(model.num_components)
    for images in batches_of(model.image_shape, source, batch_size):
        total += np.sum(squared_errors(images), axis=0, dtype=np.float64)
        count += len(images)
    return total / count


def mean_log_likelihood(
    model,
    source,
    *,
    num_samples: int = 64,
    batch_size: int = 500,
    max_images: int | None = None,
    seed: int = 0,
) -> LogLikelihood:
    """Estimate the mean log-likelihood of images (`MixtureVAE.log_likelihood`).

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see `batches`.
        num_samples: Posterior draws for each image; the bound tightens as it grows.
        batch_size: Images at a time.
        max_images: Use the first so many images; a dataset then needs no end. Default: all.
        seed: Of the draws.

    Returns:
        `LogLikelihood`, in nats.

    Raises:
        ValueError: As for `reconstruction_errors`.
    """
    batches = batches_of(model.image_shape, source, batch_size, max_images)
    return _mean(_log_likelihoods(model, batches, num_samples, seed))


def log_likelihoods(
    model, source, *, num_samples: int = 64, batch_size: int = 500, seed: int = 0
) -> np.ndarray:
    """Estimate the log-likelihood of each image, to find the least likely ones.

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see `batches`.
        num_samples: Posterior draws for each image; the bound tightens as it grows.
        batch_size: Images at a time. The draws depend on it, and on the images' order.
        seed: Of the draws.

    Returns:
        float64 [n], nats, in the order of the images; `mean_log_likelihood` is their mean.

    Raises:
        ValueError: As for `reconstruction_errors`.
    """
    batches = batches_of(model.image_shape, source, batch_size)
    return np.concatenate(list(_log_likelihoods(model, batches, num_samples, seed)))


def mean_elbo(
    model, source, *, batch_size: int = 500, max_images: int | None = None, seed: int = 0
) -> LogLikelihood:
    """Estimate the mean evidence lower bound of images (`MixtureVAE.elbo`).

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see `batches`.
        batch_size: Images at a time.
        max_images: Use the first so many images; a dataset then needs no end. Default: all.
        seed: Of the draws.

    Returns:
        `LogLikelihood`, in nats, at one draw for each image.

    Raises:
        ValueError: As for `reconstruction_errors`.
    """
    batches = batches_of(model.image_shape, source, batch_size, max_images)
    return _mean(_each(batches, seed, lambda images, seed: model.elbo(images, seed=seed)))


def _log_likelihoods(model, batches, num_samples, seed):
    return _each(
        batches, seed, lambda images, seed: model.log_likelihood(images, num_samples, seed=seed)
    )


def _each(batches, seed, measure):
    """Yield measure(images, seed), float64 [b], of each batch with a seed of its own."""
    rng = np.random.default_rng(checks.seed(seed) % 2**32)
    for images in batches:
        yield np.asarray(measure(images, rng.integers(2**31)), np.float64)


def _mean(each):
    """Return the mean of all values, which come in batches."""
    count, mean, squares = 0, 0.0, 0.0
    for values in each:
        # Chan, Golub & LeVeque: moments of two parts from those of each.
        share = len(values) / (count + len(values))
        squares += np.square(values - values.mean()).sum()
        squares += count * share * (values.mean() - mean) ** 2
        mean = (1 - share) * mean + share * values.mean()
        count += len(values)
    error = np.sqrt(squares / (count - 1) / count) if count > 1 else np.nan
    return LogLikelihood(float(mean), float(error))


def _squared_errors(model, images, seed):
    """Return the summed squared errors, [n], at posterior means and at a draw."""
    seed_z, seed_w = tf.unstack(tf.random.split(seeds.apart(seed), 2))
    posterior = model.encode(images)
    sampled = posterior.z.sample(seed=seed_z), posterior.w.sample(seed=seed_w)
    return [
        tf.reduce_sum(
            tf.math.squared_difference(images, melbo.mix(weights, model.decode(codes))),
            axis=range(1, images.shape.rank),
        )
        for codes, weights in [(posterior.z.mean(), posterior.w.mean()), sampled]
    ]


def _component_squared_errors(model, images):
    squared = tf.math.squared_difference(images[:, None], model.component_reconstructions(images))
    return tf.reduce_sum(squared, axis=range(2, squared.shape.rank))
