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
