"""Importance-weighted estimates of log p(x).

Burda et al., Importance weighted autoencoders, ICLR 2016.
"""

from collections.abc import Callable

import tensorflow as tf

from mvae_tf import melbo
from mvae_tf.dirichlet import log_prob, sample_log_weights


def log_mean_weight(
    images: tf.Tensor,
    posterior,
    decoder: Callable,
    prior_w,
    num_samples: tf.Tensor,
    seed: tf.Tensor,
    *,
    likelihood: str,
    mixing: str,
) -> tf.Tensor:
    """Return log mean_s p(x, z_s, w_s) / q(z_s, w_s | x), draws (z_s, w_s) from the posterior.

    Args:
        images: [n, *image].
        posterior: q(z, w | x), a `Posterior` of those images.
        decoder: latent codes [n, K, d] -> logits [n, K, *image].
        prior_w: the Dirichlet prior, event [K].
        num_samples: scalar; memory does not grow with it.
        seed: scalar, of the draws.
        likelihood: as in `MixtureVAE`.
        mixing: as in `MixtureVAE`.

    Returns:
        Nats without the Gaussian's constant: [n] under mixing "image"; under "likelihood" each
        component's own, [n, K].
    """

    def log_weight(draw):
        seed_z, seed_w = tf.unstack(tf.random.split([seed, draw], 2))
        codes = posterior.z.sample(seed=seed_z)
        logits = decoder(codes)
        prior_z = melbo.standard_normal(posterior.z)
        ratio_z = prior_z.log_prob(codes) - posterior.z.log_prob(codes)
        if mixing == "likelihood":
            return ratio_z + melbo.log_likelihood(images[:, None], logits, likelihood=likelihood)
        concentration = posterior.w.concentration
        log_w = sample_log_weights(concentration, seed_w)
        ratio_w = log_prob(prior_w.concentration, log_w) - log_prob(concentration, log_w)
        mixture = melbo.mixture_log_likelihood(images, logits, tf.exp(log_w), likelihood=likelihood)
        return mixture + tf.reduce_sum(ratio_z, axis=1) + ratio_w

    total = log_weight(0)
    for draw in tf.range(1, num_samples):  # one draw at a time: memory stays that of one
        total = tf.reduce_logsumexp([total, log_weight(draw)], axis=0)
    return total - tf.math.log(tf.cast(num_samples, total.dtype))
