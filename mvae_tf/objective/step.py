"""The mathematics of one step: from images, a seed and their posterior to eq. 14 and its terms."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from mvae_tf.hsic import criterion
from mvae_tf.objective import melbo

TERMS = (*melbo.Terms._fields, "dhsic")

# The root's slope is infinite at 0, and rounding can make dHSIC negative: below, the root is flat.
_MIN_ROOTED_DHSIC = 1e-8


class Objective(NamedTuple):
    """What of eq. 8 and 14 is a choice; see the arguments of `MixtureVAE`."""

    likelihood: str
    mixing: str
    kl_weight: float
    dhsic_weight: float
    dhsic_root: bool
    bandwidths: str | Sequence[float]


def loss_and_terms(
    images: tf.Tensor,
    seed: tf.Tensor,
    posterior,
    prior_w,
    decode: Callable[[tf.Tensor], tf.Tensor],
    objective: Objective,
    *,
    at_means: bool = False,
    compiled: bool = False,
    gather: Callable[..., Sequence[tf.Tensor]] = lambda *tensors: tensors,
    weights: tf.Tensor | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Return eq. 14 and what it is made of, every term at one draw of codes and weights.

    Args:
        images: [n, *image], in [0, 1].
        seed: int32 [2], of the draws.
        posterior: q(z, w | x) of the images: `.z`, a Normal, batch [n, K], event [d], and `.w`, a
            Dirichlet, batch [n], event [K].
        prior_w: The Dirichlet prior, event [K].
        decode: The decoders, latent codes [n, K, d] -> logits [n, K, *image].
        objective: The choices.
        at_means: Whether mse is that of posterior means and expected weights, not of the draw.
        compiled: Whether by operations that XLA compiles.
        gather: Given tensors of a part of a batch, [n, ...], returns those of the whole batch, over
            which dHSIC and the means are taken.
        weights: [n], of the images, at least 0: one of weight 2 counts as two, in dHSIC, too. None:
            1 each.

    Returns:
        The loss, a scalar, and by name: reconstruction, kl_z, kl_w, melbo (nats) and mse (summed
        over pixels), each [n] of the whole batch, and dhsic, a scalar; where images are weighted
        also weight, [n] of the whole batch.
    """
    image_weights = {} if weights is None else {"weight": weights}
    seed_z, seed_w = tf.unstack(tf.random.split(seed, 2))
    codes = posterior.z.sample(seed=seed_z)  # eq. 3
    weights = posterior.w.sample(seed=seed_w)  # eq. 2
    logits = decode(codes)  # eq. 4
    terms = melbo.Terms(  # eq. 8
        reconstruction=melbo.reconstruction(
            images, logits, weights, likelihood=objective.likelihood, mixing=objective.mixing
        ),
        kl_z=melbo.kl_z(posterior.z),
        kl_w=melbo.kl_w(posterior.w, prior_w),
    )._asdict()
    if at_means:
        weights, logits = posterior.w.mean(), decode(posterior.z.mean())
    squared = tf.math.squared_difference(images, melbo.mix(weights, tf.sigmoid(logits)))
    terms["mse"] = tf.reduce_sum(squared, axis=list(range(1, squared.shape.rank)))
    terms |= image_weights
    codes, *values = gather(codes, *terms.values())
    terms = dict(zip(terms, values, strict=True))
    codes, image_weights = tf.unstack(codes, axis=1), terms.get("weight")
    terms["dhsic"] = criterion.penalty(  # eq. 13
        codes, objective.bandwidths, compiled=compiled, weights=image_weights
    )
    kl = terms["kl_z"] + terms["kl_w"]
    terms["melbo"] = terms["reconstruction"] - objective.kl_weight * kl
    penalty = terms["dhsic"]
    if objective.dhsic_root:
        penalty = tf.sqrt(tf.maximum(penalty, _MIN_ROOTED_DHSIC))
    bound = _mean(terms["melbo"], image_weights)
    return objective.dhsic_weight * penalty - bound, terms  # eq. 14


def _mean(values, weights):
    if weights is None:
        return tf.reduce_mean(values)
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values), tf.reduce_sum(weights))
