"""Ensembles of separately trained VAEs: which, how well their mean image does, their codes joined.

They are drawn from one pool, whose members differ in nothing but the seed.
"""

import itertools
import statistics
from collections.abc import Sequence

import numpy as np

import mvae_tf

POOL = 16  # VAEs


def members(seed: int, count: int, whole: int | None = None) -> list[int]:
    """Return the seeds of the ensemble that belongs to a seed.

    Ensembles of successive seeds take the pool's members one after another, and begin again where
    it ends: the first POOL // count have none in common.

    Args:
        seed: To which it belongs.
        count: Of its members.
        whole: That of a larger ensemble, whose first members it has.
    """
    return [(seed * (whole or count) + index) % POOL for index in range(count)]


def overlap(seeds: Sequence[int], count: int, whole: int | None = None) -> float:
    """Return the share of members that two seeds' ensembles have in common, the mean over pairs.

    Of a measure that is a mean over members this is the correlation of two ensembles.

    Args:
        seeds: To which they belong.
        count: Of each one's members.
        whole: As for `members`.
    """
    pairs = itertools.combinations([set(members(seed, count, whole)) for seed in seeds], 2)
    shares = [len(one & other) / count for one, other in pairs]
    return statistics.fmean(shares) if shares else 0.0


def errors(models: Sequence, split, *, batch_size: int = 1000, seed: int = 0) -> dict:
    """Return the squared errors of the mean of several models' images, as Table I has them.

    Args:
        models: `MixtureVAE`s.
        split: Of the images.
        batch_size: Images at a time.
        seed: Of the draws.

    Returns:
        "mse": at posterior means and expected weights. "mse_sampled": at draws of the latent codes
        and the weights, one of each model. Summed over pixels, mean over images.
    """
    totals = np.zeros(2)
    for start, images in enumerate(mvae_tf.evaluation.image_scores.in_batches(split, batch_size)):
        mean, drawn = np.zeros(images.shape), np.zeros(images.shape)
        for index, model in enumerate(models):
            mean += model.reconstruct(images).numpy() / len(models)
            drawn += _at_a_draw(model, images, (seed, start, index)) / len(models)
        totals += [np.square(images - each).sum() for each in (mean, drawn)]
    mse, sampled = (totals / len(split)).tolist()
    return {"mse": mse, "mse_sampled": sampled}


def _at_a_draw(model, images, seed):
    for_codes, for_weights = np.random.SeedSequence(seed).generate_state(4).reshape(2, 2) >> 1
    posterior = model.encode(images)
    codes = model.decode(posterior.z.sample(seed=for_codes.astype(np.int32))).numpy()
    weights = posterior.w.sample(seed=for_weights.astype(np.int32)).numpy()
    return np.einsum("nk,nk...->n...", weights, codes)


def joined_means(encoded: Sequence[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """Return several models' posterior means as one row an image, of train and test images.

    Args:
        encoded: Of each model what `measures.encoded` returns.
    """
    train, test = zip(*encoded, strict=True)
    return tuple(joined([codes.means for codes in part]) for part in (train, test))


def joined(codes: Sequence[np.ndarray]) -> np.ndarray:
    """Return several models' codes of the same images, [n, ..., d] each, as one row an image."""
    return np.concatenate([each.reshape(len(each), -1) for each in codes], axis=1)
