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
    return _correlation(seeds, [1.0] * count, whole or count)


def overlap_of_slopes(seeds: Sequence[int], counts: Sequence[int], whole: int) -> float:
    """Return the correlation of two seeds' slopes over the number of members, the mean over pairs.

    Of a measure that is a mean over members, whose number grows from first to last: those that come
    first weigh less and less, so that in a slope they count against those that come last. Where
    seeds have members in common of which one comes early and one late, it is below 0.

    Args:
        seeds: To which the ensembles belong.
        counts: Of their members, over which the line is fitted.
        whole: As for `members`.
    """
    centre = statistics.fmean(counts)
    weights = [
        sum((count - centre) / count for count in counts if count > place)
        for place in range(max(counts))
    ]
    return _correlation(seeds, weights, whole)


def _correlation(seeds, weights, whole):
    """Return the mean over pairs of seeds of the correlation of so weighted sums over members."""
    count, squares = len(weights), sum(weight**2 for weight in weights)
    ensembles = [dict(zip(members(seed, count, whole), weights, strict=True)) for seed in seeds]
    pairs = [
        sum(one[each] * other[each] for each in one.keys() & other.keys()) / squares
        for one, other in itertools.combinations(ensembles, 2)
    ]
    return statistics.fmean(pairs) if pairs else 0.0


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
