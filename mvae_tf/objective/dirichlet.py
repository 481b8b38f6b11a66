"""Reparameterised Dirichlet draws with gradients that are always finite (eq. 2, mixing weights).

A Dirichlet draw is a normalised vector of Gamma draws. The usual route, `exp` of a log-Gamma draw
followed by a division, underflows once a concentration is small, and its gradient becomes NaN in
float32. Here everything stays in log space and in float64, which costs nothing at [n, K] numbers.

TensorFlow's Gamma draws don't compile under XLA. `compiled_gamma` has others, of the same
distribution, that do; a seed gives other draws there.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from mvae_tf import traced
from mvae_tf.objective import compiled_gamma

tfd = tfp.distributions

# Draws treat a smaller concentration as this one: a vector of them is already one-hot to far beyond
# the last digit of float64. It is a float32, so that no float32 of its size lies below it.
MIN_CONCENTRATION = float(np.float32(1e-6))

# Below this log-draw the Gamma CDF's power series is used in place of TensorFlow's derivative. Its
# first neglected term is of relative size exp(2 * -8), below float32's resolution.
_SERIES_BELOW = -8.0


def sample_log_weights(
    concentration: tf.Tensor, seed, shape=(), *, compiled: bool = False
) -> tf.Tensor:
    """Draw log w, w ~ Dirichlet(concentration), differentiable in the concentration.

    Args:
        concentration: float [..., K], positive.
        seed: int [2], a stateless seed.
        shape: leading sample shape.
        compiled: whether by operations that XLA compiles; the draws of a seed are others then.

    Returns:
        [*shape, ..., K], of the concentration's dtype. The logarithm stays finite where w itself
        would underflow to 0.
    """
    concentration = tf.convert_to_tensor(concentration)
    wide = tf.maximum(tf.cast(concentration, tf.float64), MIN_CONCENTRATION)
    wide = tf.broadcast_to(wide, tf.concat([shape, tf.shape(wide)], axis=0))
    sample = compiled_gamma.sample_log_gamma if compiled else _sample_log_gamma
    log_gamma = sample(wide, tf.convert_to_tensor(seed))
    log_weights = tf.nn.log_softmax(log_gamma, axis=-1)
    return tf.cast(log_weights, concentration.dtype)


def log_prob(concentration: tf.Tensor, log_weights: tf.Tensor) -> tf.Tensor:
    """Return the log-density of a Dirichlet at exp(log_weights), finite also where that underflows.

    Args:
        concentration: float [..., K].
        log_weights: float [..., K], as `sample_log_weights` gives them.

    Returns:
        [...], nats, with respect to Lebesgue measure on the simplex's first K - 1 coordinates.
    """
    powers = tf.reduce_sum((concentration - 1.0) * log_weights, axis=-1)
    return powers - tf.math.lbeta(concentration)


class Dirichlet(tfd.Dirichlet):
    """`tfd.Dirichlet` whose draws have finite, unbiased gradients for concentrations down to 1e-6.

    Density, moments, KL divergences and shapes are those of `tfd.Dirichlet`. A single category is
    allowed too (its weight is surely 1), so that one component is a mixture like any other.

    Example:
        >>> w = Dirichlet(tf.constant([[0.01, 2.0, 3.0]])).sample(5, seed=[1, 2])   # [5, 1, 3]
    """

    _compiled = False  # see `sample_log_weights`

    def _parameter_control_dependencies(self, is_init):
        if self.concentration.shape[-1] == 1:
            return []  # tfd.Dirichlet would refuse it
        return super()._parameter_control_dependencies(is_init)

    def _sample_n(self, n, seed=None):
        seed = tfp.random.sanitize_seed(seed)
        draws = sample_log_weights(self.concentration, seed, [n], compiled=self._compiled)
        return tf.exp(draws)


class CompiledDirichlet(Dirichlet):
    """`Dirichlet` whose draws XLA compiles; those of a seed are others."""

    _compiled = True


@traced.by_itself
def _sample_log_gamma(concentration, seed):
    """Draw log g, g ~ Gamma(concentration, 1), float64, differentiable in the concentration."""
    gamma_seed, uniform_seed = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 2))

    @tf.custom_gradient
    def draw(concentration):
        # g = h u^(1/a) with h ~ Gamma(a + 1), u ~ U(0, 1): exact, and h never underflows.
        shape = tf.shape(concentration)
        raised = tf.random.stateless_gamma(
            shape, gamma_seed, alpha=concentration + 1.0, dtype=tf.float64
        )
        uniform = tf.random.stateless_uniform(shape, uniform_seed, dtype=tf.float64)
        log_gamma = tf.math.log(raised) + tf.math.log1p(-uniform) / concentration
        return log_gamma, lambda dy: dy * _log_gamma_derivative(concentration, log_gamma)

    return draw(concentration)


def _log_gamma_derivative(concentration, log_gamma):
    """Return d(log g)/da at a fixed quantile: -(dF/da) / (dF/d log g) of the Gamma CDF F(g; a)."""
    # Near 0, log F = a log g - lgamma(a + 1) + log(1 - a g / (a + 1)) + O(g^2), F to first order.
    small = tf.exp(tf.minimum(log_gamma, _SERIES_BELOW))
    above = concentration + 1.0
    series = (tf.math.digamma(above) - log_gamma + small / above**2) / (
        concentration * (1.0 - small / above)
    )
    # The unused branch is evaluated at a harmless argument, so no NaN can leak through `where`.
    safe = tf.exp(tf.maximum(log_gamma, _SERIES_BELOW))
    implicit = tf.raw_ops.RandomGammaGrad(alpha=concentration, sample=safe) / safe
    return tf.where(log_gamma < _SERIES_BELOW, series, implicit)
