"""The terms of the paper's mixture evidence lower bound (MELBO, eq. 8), and a true bound.

Eq. 8 takes the mean over components of KL(q(z_k | x) || p(z_k)). Of log p(x) it is no bound in
general. Where all components make one image (mixing "image"), each code's divergence counts whole,
so that eq. 8 may exceed log p(x) by (1 - 1/K) of their sum; where one component makes the image
(mixing "likelihood"), each counts with its weight, as its likelihood does. `elbo` is the bound.

Every function returns one value per image, in nats: sums run over pixels and latent dimensions.
Decoders give logits; a component's image is their sigmoid. Both readings of the first term are here
(see `reconstruction`), since the paper's eq. 8 and its text differ.
"""

import math
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

LIKELIHOODS = ("gaussian", "bernoulli")
MIXINGS = ("likelihood", "image")


class Terms(NamedTuple):
    """The terms of eq. 8, each [n], in nats: MELBO = reconstruction - (kl_z + kl_w)."""

    reconstruction: tf.Tensor
    kl_z: tf.Tensor
    kl_w: tf.Tensor


def reconstruction(images, logits, weights, *, likelihood: str, mixing: str) -> tf.Tensor:
    """Return eq. 8's first term at one draw of the latent codes and mixing weights.

    Args:
        images: [n, *image], in [0, 1].
        logits: [n, K, *image], the decoders' outputs.
        weights: [n, K], the mixing weights.
        likelihood: see `log_likelihood`.
        mixing: "likelihood": sum_k w_k log p(x | z_k), eq. 8 as printed. "image": log p(x | x') of
            the mixture image x' = sum_k w_k x'_k of eq. 5, the text of Section III.

    Returns:
        [n], without the Gaussian's constant.
    """
    if mixing == "likelihood":
        each = log_likelihood(images[:, None], logits, likelihood=likelihood)
        return tf.reduce_sum(weights * each, axis=1)
    return mixture_log_likelihood(images, logits, weights, likelihood=likelihood)


def log_likelihood(images, logits, *, likelihood: str) -> tf.Tensor:
    """Return log p(x | z_k) of each component alone.

    Args:
        images: [n, 1, *image], in [0, 1].
        logits: [n, K, *image].
        likelihood: "gaussian": variance 1/2 in each pixel, so that this is minus the summed squared
            error, plus `gaussian_constant`, which is left out. "bernoulli": minus the
            cross-entropy.

    Returns:
        [n, K].
    """
    if likelihood == "gaussian":
        each = -tf.math.squared_difference(images, tf.sigmoid(logits))
    else:
        each = -tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.broadcast_to(images, tf.shape(logits)), logits=logits
        )
    return tf.reduce_sum(each, axis=tuple(range(2, logits.shape.rank)))


def mixture_log_likelihood(images, logits, weights, *, likelihood: str) -> tf.Tensor:
    """Return log p(x | x') of the mixture image x' = sum_k w_k sigmoid(logits_k), [n]."""
    mean = mix(weights, tf.sigmoid(logits))
    if likelihood == "gaussian":
        each = -tf.math.squared_difference(images, mean)
    else:
        # 1 - mean, added up from its own parts, keeps its digits where the mean rounds to 1.
        complement = mix(weights, tf.sigmoid(-logits))
        tiny = mean.dtype.as_numpy_dtype(1e-37)
        each = images * tf.math.log(tf.maximum(mean, tiny)) + (1.0 - images) * tf.math.log(
            tf.maximum(complement, tiny)
        )
    return tf.reduce_sum(each, axis=tuple(range(1, images.shape.rank)))


def mix(weights, component_images) -> tf.Tensor:
    """Return the mixture image sum_k w_k x'_k (eq. 5): [n, K], [n, K, *image] -> [n, *image]."""
    shape = tf.concat([tf.shape(weights), [1] * (component_images.shape.rank - 2)], axis=0)
    return tf.reduce_sum(tf.reshape(weights, shape) * component_images, axis=1)


def elbo(images, logits, weights, posterior, prior_w, *, likelihood: str, mixing: str) -> tf.Tensor:
    """Return a lower bound of log p(x), in expectation over the draws, whatever the posterior.

    Under mixing "image", all of z and w make x:

        E_q log p(x | z, w) - sum_k KL(q(z_k | x) || p(z_k)) - KL(q(w | x) || p(w)).

    Under "likelihood", a component k ~ w does, and q(k | w) = p(k | w) = w_k, the other codes being
    drawn from their prior:

        sum_k E_q[w_k] (E_q log p(x | z_k) - KL(q(z_k | x) || p(z_k))) - KL(q(w | x) || p(w)).

    Args:
        images: [n, *image], in [0, 1].
        logits: [n, K, *image], the decoders' outputs at a draw of the codes.
        weights: [n, K], a draw of the mixing weights, for "image" alone.
        posterior: q(z, w | x), a `Posterior` of the images.
        prior_w: The Dirichlet prior, event [K].
        likelihood: see `log_likelihood`.
        mixing: see `reconstruction`.

    Returns:
        [n], nats, without the Gaussian's constant.
    """
    divergences = tfd.kl_divergence(posterior.z, standard_normal(posterior.z))
    if mixing == "likelihood":
        each = log_likelihood(images[:, None], logits, likelihood=likelihood)
        bound = tf.reduce_sum(posterior.w.mean() * (each - divergences), axis=1)
    else:
        bound = mixture_log_likelihood(images, logits, weights, likelihood=likelihood)
        bound -= tf.reduce_sum(divergences, axis=1)
    return bound - kl_w(posterior.w, prior_w)


def gaussian_constant(image_shape) -> float:
    """Return -(D / 2) log pi, nats: minus the summed squared error plus this is a log-density."""
    return -0.5 * math.prod(image_shape) * math.log(math.pi)


def kl_z(posterior) -> tf.Tensor:
    """Return (1/K) sum_k KL(q(z_k | x) || N(0, I)), [n], of a Normal, batch [n, K], event [d]."""
    return tf.reduce_mean(tfd.kl_divergence(posterior, standard_normal(posterior)), axis=1)


def kl_w(posterior, prior) -> tf.Tensor:
    """Return KL(Dirichlet(a(x)) || Dirichlet(prior)), [n]."""
    return tfd.kl_divergence(posterior, prior)


def standard_normal(posterior):
    """Return the prior N(0, I) of one latent code, in the posterior's dimension and dtype."""
    zeros = tf.zeros(posterior.event_shape, posterior.dtype)
    return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), 1)
