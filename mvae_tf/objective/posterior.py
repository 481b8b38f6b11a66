"""The posterior q(z, w | x) and the prior of the mixing weights, from what the encoders give."""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from mvae_tf.objective.dirichlet import MIN_CONCENTRATION, CompiledDirichlet, Dirichlet

tfd = tfp.distributions


class Posterior(NamedTuple):
    """q(z, w | x), the encoders' answer.

    Attributes:
        z: a Normal, batch [n, K], event [d].
        w: a Dirichlet, batch [n], event [K].
    """

    z: tfd.Distribution
    w: tfd.Distribution


def posterior(loc, scale, concentration, *, normalized: bool, compiled: bool = False) -> Posterior:
    """Return the posterior of the encoders' answer (eq. 2 and 3).

    Args:
        loc: [n, K, d].
        scale: [n, K, d], positive.
        concentration: [n, K], positive.
        normalized: Whether the concentrations are divided by their sum.
        compiled: Whether its draws are to be such as XLA compiles.
    """
    if normalized:
        concentration /= tf.reduce_sum(concentration, axis=-1, keepdims=True)
    concentration = tf.maximum(concentration, MIN_CONCENTRATION)
    dirichlet = CompiledDirichlet if compiled else Dirichlet
    return Posterior(tfd.Independent(tfd.Normal(loc, scale), 1), dirichlet(concentration))


def symmetric_prior(num_components: int, concentration: float) -> Dirichlet:
    """Return the prior of the mixing weights, Dirichlet(concentration, ..., concentration)."""
    return Dirichlet(tf.fill([num_components], concentration))
