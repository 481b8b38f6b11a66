"""Errors and codes by each way of measuring: at means or at draws, with dropout off or on.

The paper says of none of its numbers how it was measured. Its published code draws codes and
weights, and leaves dropout on where it computes codes for classifiers; a later script of its first
author takes the error on a single batch of 128 test images. Names of ways:

  means        posterior means and expected weights
  z_sampled    codes drawn, expected weights (errors alone)
  sampled      codes and weights drawn

and, of a model with dropout, the same with `_dropout` at the end: with dropout on, one draw of what
is dropped for each image.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mvae_tf import checks, traced
from mvae_tf.evaluation.batches import batches_of
from mvae_tf.objective import melbo, seeds

_DEVIATIONS = "means_and_deviations"


class BatchErrors(NamedTuple):
    """Squared errors of the mixture image, pixels in [0, 1], summed over an image's pixels.

    Attributes:
        mse: Their mean over all images.
        batches: Their mean over each whole batch, in order, float64 [b].
    """

    mse: float
    batches: np.ndarray


def batch_errors(model, source, *, batch_size: int = 128, seed: int = 0) -> dict[str, BatchErrors]:
    """Measure how well a model reconstructs images, by each way, in one pass.

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see `batches`.
        batch_size: Images of a batch, and at a time.
        seed: Of the draws.

    Returns:
        `BatchErrors` by the names of ways, summed in float64.

    Raises:
        ValueError: As for `errors.reconstruction_errors`.

    Example:
        >>> errors = batch_errors(model, mnist.test)["sampled"]
        >>> errors.mse, errors.batches.std(ddof=1)     # of 78 batches of 128 test images
    """
    squared_errors = traced.of_model(model, _squared_errors)
    count, total, batches = 0, {}, {}
    for images in batches_of(model.image_shape, source, batch_size):
        errors = squared_errors(images, tf.constant([checks.seed(seed), count]))
        for name, error in errors.items():
            summed = np.sum(error, dtype=np.float64)
            total[name] = total.get(name, 0.0) + summed
            if len(images) == batch_size:
                batches.setdefault(name, []).append(summed / batch_size)
        count += len(images)
    return {
        name: BatchErrors(float(summed / count), np.array(batches.get(name, []), np.float64))
        for name, summed in total.items()
    }


def codes_by_way(
    model, source, *, batch_size: int = 1000, seed: int = 0, deviations: bool = False
) -> dict[str, np.ndarray]:
    """Encode all images of a source by each way, in one pass.

    Args:
        model: A `MixtureVAE`.
        source: Of the images, see `batches`.
        batch_size: Images at a time.
        seed: Of the draws.
        deviations: Whether to take as a way, too, what the published code takes for codes: means
            and standard deviations of the posterior, one after the other.

    Returns:
        Codes, float32 [n, K, d], in the order of the images, by the names of ways: "means",
        "sampled", and with dropout "means_dropout" and "sampled_dropout"; with `deviations`
        "means_and_deviations" (and that with "_dropout"), [n, K, 2 d].

    Raises:
        ValueError: As for `errors.reconstruction_errors`.
    """
    encoded, count, parts = traced.of_model(model, _codes), 0, {}
    for images in batches_of(model.image_shape, source, batch_size):
        for name, codes in encoded(images, tf.constant([checks.seed(seed), count])).items():
            if deviations or not name.startswith(_DEVIATIONS):
                parts.setdefault(name, []).append(codes.numpy())
        count += len(images)
    return {name: np.concatenate(parts.pop(name)) for name in list(parts)}


def _squared_errors(model, images, seed):
    """Return by way the squared errors, [n]."""
    found = {}
    seed_z, seed_w = tf.unstack(tf.random.split(seeds.apart(seed), 2))
    for end, dropout_seed in _dropouts(model, seed):
        posterior = model.encode(images, dropout_seed)
        expected, drawn = posterior.w.mean(), posterior.w.sample(seed=seed_w)
        means = model.decode(posterior.z.mean(), dropout_seed)
        draws = model.decode(posterior.z.sample(seed=seed_z), dropout_seed)
        for name, weights, components in (
            ("means", expected, means),
            ("z_sampled", expected, draws),
            ("sampled", drawn, draws),
        ):
            squared = tf.math.squared_difference(images, melbo.mix(weights, components))
            found[name + end] = tf.reduce_sum(squared, axis=range(1, images.shape.rank))
    return found


def _codes(model, images, seed):
    """Return by way the codes, [n, K, d]."""
    found = {}
    seed_z, _ = tf.unstack(tf.random.split(seeds.apart(seed), 2))
    for end, dropout_seed in _dropouts(model, seed):
        z = model.encode(images, dropout_seed).z
        found |= {f"means{end}": z.mean(), f"sampled{end}": z.sample(seed=seed_z)}
        found[f"{_DEVIATIONS}{end}"] = tf.concat([z.mean(), z.stddev()], axis=-1)
    return found


def _dropouts(model, seed):
    """Return pairs: how names of ways end, and the seed of what is dropped, None where it's off."""
    if not model.dropout:
        return [("", None)]
    return [("", None), ("_dropout", tf.random.fold_in(seeds.apart(seed), 0)[0])]
