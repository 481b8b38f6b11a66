"""Lower bounds of log p(x) under a model, of each image; `MixtureVAE`'s methods say of which p."""

import tensorflow as tf

from mvae_tf import checks, traced
from mvae_tf.objective import importance, melbo, seeds


def log_likelihood(model, images, num_samples: int, seed: int) -> tf.Tensor:
    """Return the importance-weighted bound, see `MixtureVAE.log_likelihood`."""
    images = checks.images(images, model.image_shape)
    num_samples = checks.size("num_samples", num_samples)
    # As tensors: to TensorFlow a new Python number would be a new function.
    num_samples, seed = tf.constant(num_samples), tf.constant(checks.seed(seed))
    bound = traced.of_model(model, _log_mean_weight)(images, num_samples, seed)
    if model.mixing == "likelihood":
        bound = tf.reduce_logsumexp(bound, axis=1) - tf.math.log(float(model.num_components))
    return _normalised(model, bound)


def elbo(model, images, seed: int) -> tf.Tensor:
    """Return the evidence lower bound at one draw, see `MixtureVAE.elbo`."""
    images = checks.images(images, model.image_shape)
    bound = traced.of_model(model, _elbo)(images, tf.constant([checks.seed(seed), 0]))
    return _normalised(model, bound)


def _normalised(model, bound):
    if model.likelihood == "gaussian":
        bound += melbo.gaussian_constant(model.image_shape)
    return bound


def _elbo(model, images, seed):
    seed_z, seed_w = tf.unstack(tf.random.split(seeds.apart(seed), 2))
    posterior = model._posterior(images)
    return melbo.elbo(
        images,
        model.decoder(posterior.z.sample(seed=seed_z)),
        posterior.w.sample(seed=seed_w),
        posterior,
        model._prior_w(),
        likelihood=model.likelihood,
        mixing=model.mixing,
    )


def _log_mean_weight(model, images, num_samples, seed):
    return importance.log_mean_weight(
        images,
        model._posterior(images),
        model.decoder,
        model._prior_w(),
        num_samples,
        seed,
        likelihood=model.likelihood,
        mixing=model.mixing,
    )
