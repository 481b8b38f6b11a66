"""Importance-weighted estimates of log p(x).

Burda et al., Importance weighted autoencoders, ICLR 2016.
"""

from collections.abc import Callable

import tensorflow as tf

from mvae_tf.objective import melbo
from mvae_tf.objective.dirichlet import log_prob, sample_log_weights
from mvae_tf.objective.seeds import apart as seeds_apart

# In the decoders' answer to a number of draws for each image. With few images, a draw at a time
# would take as long as reading all of the decoders' weights from memory.
_NUMBERS_AT_ONCE = 2**20


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
        num_samples: scalar; memory does not grow with it beyond the draws that are taken at once,
            at most 4 MB of what the decoders give, or one draw.
        seed: scalar, of the draws.
        likelihood: as in `MixtureVAE`.
        mixing: as in `MixtureVAE`.

    Returns:
        Nats without the Gaussian's constant: [n] under mixing "image"; under "likelihood" each
        component's own, [n, K].
    """
    per_image = prior_w.event_shape[0] * images.shape[1:].num_elements()
    at_once = tf.maximum(1, _NUMBERS_AT_ONCE // per_image // tf.shape(images)[0])
    prior_z = melbo.standard_normal(posterior.z)
    concentration = posterior.w.concentration

    def log_weights(draws):
        """Return the draws' log-weights, [s, n] or [s, n, K]."""
        seeds = tf.map_fn(lambda draw: tf.random.split(seeds_apart([seed, draw]), 2), draws)
        codes = _draws(lambda each: posterior.z.sample(seed=each), seeds[:, 0])  # [s, n, K, d]
        logits = decoder(tf.reshape(codes, [-1, *codes.shape[2:]]))
        repeated = tf.repeat(images[None], tf.size(draws), axis=0)
        repeated = tf.reshape(repeated, [-1, *images.shape[1:]])
        ratio_z = prior_z.log_prob(codes) - posterior.z.log_prob(codes)
        if mixing == "likelihood":
            each = melbo.log_likelihood(repeated[:, None], logits, likelihood=likelihood)
            return ratio_z + tf.reshape(each, tf.shape(ratio_z))
        log_w = _draws(lambda each: sample_log_weights(concentration, each), seeds[:, 1])
        ratio_w = log_prob(prior_w.concentration, log_w) - log_prob(concentration, log_w)
        weights = tf.exp(tf.reshape(log_w, [-1, log_w.shape[2]]))
        mixture = melbo.mixture_log_likelihood(repeated, logits, weights, likelihood=likelihood)
        return tf.reshape(mixture, tf.shape(ratio_w)) + tf.reduce_sum(ratio_z, axis=2) + ratio_w

    kept = concentration if mixing == "likelihood" else concentration[:, 0]
    total = tf.fill(tf.shape(kept), -float("inf"))
    for start in tf.range(0, num_samples, at_once):
        draws = tf.range(start, tf.minimum(start + at_once, num_samples))
        total = tf.reduce_logsumexp(tf.concat([total[None], log_weights(draws)], 0), axis=0)
    return total - tf.math.log(tf.cast(num_samples, total.dtype))


def _draws(sample, seeds):
    """Return a draw for each seed [s, 2]: the same ones, however many are made at once."""
    return tf.map_fn(sample, seeds, fn_output_signature=tf.float32)
