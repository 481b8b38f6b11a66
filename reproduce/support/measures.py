"""What several scripts measure in the same way on a trained model."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

import mvae_tf
from support import paper

DHSIC_IMAGES = 2000  # test images whose codes dHSIC is measured on; it grows with their square
SCORE_SPLITS = 10  # of an Inception score
# The first author's later script measures a table's error on one batch of test images, the eighth.
ERROR_BATCH, PUBLISHED_BATCH = 128, 8
_SCORED_AT_ONCE = 200


def encoded(model, data) -> tuple:
    """Return the codes of the train and the test images: means [n, K, d] and weights [n, K]."""
    return tuple(mvae_tf.evaluation.encode_split(model, split) for split in (data.train, data.test))


def knn_accuracy(train: np.ndarray, test: np.ndarray, data) -> float:
    """Return KNN's test accuracy in % on codes of any shape [n, ...], joined to one row each."""
    train, test = (each.reshape(len(each), -1) for each in (train, test))
    return mvae_tf.evaluation.classifiers.accuracy(
        "KNN", train, data.train.labels, test, data.test.labels
    )


def component_accuracies(train: np.ndarray, test: np.ndarray, data) -> list[float]:
    """Return KNN's test accuracy in % on each component's own codes."""
    return [knn_accuracy(train[:, k], test[:, k], data) for k in range(train.shape[1])]


def knn_distance(mixture: float, components: Sequence[float], vae: float) -> float:
    """Return how far KNN's accuracies lie from Table II's, in points: their root mean square.

    Components have no order: the lowest is compared with the lowest printed, and so on.
    """
    printed_mixture, *printed, printed_vae = paper.TABLE2["KNN"]
    deviations = np.subtract(
        [mixture, *sorted(components), vae], [printed_mixture, *sorted(printed), printed_vae]
    )
    return float(np.sqrt(np.mean(np.square(deviations))))


def dhsic(test: np.ndarray) -> float:
    """Return the dHSIC of the components' posterior means, in the bandwidths of training."""
    first = test[:DHSIC_IMAGES].astype(np.float64)
    return float(mvae_tf.dhsic([first[:, k] for k in range(first.shape[1])]))


def mean_cka(test: np.ndarray) -> float:
    """Return the linear CKA of two components' codes, averaged over all pairs."""
    pairs = itertools.combinations(range(test.shape[1]), 2)
    return float(np.mean([mvae_tf.evaluation.linear_cka(test[:, i], test[:, j]) for i, j in pairs]))


def spread(mse: float, batches: np.ndarray) -> dict:
    """Return what an error is on all images, and on single batches of them.

    Args:
        mse: On all images.
        batches: On each whole batch, [b].

    Returns:
        "mse"; "mean", "std" (of a sample; None of fewer than two), "least" and "greatest" over
        batches; "published": that of the eighth batch, None where there are fewer.
    """
    values = [float(value) for value in batches]
    return {
        "mse": mse,
        "mean": float(np.mean(values)) if values else None,
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "least": min(values, default=None),
        "greatest": max(values, default=None),
        "published": values[PUBLISHED_BATCH - 1] if len(values) >= PUBLISHED_BATCH else None,
    }


def knn_by_way(model, data) -> dict:
    """Return KNN's test accuracy in %, by each way: of the joined codes and of each component's."""
    train, test = (
        mvae_tf.evaluation.codes_by_way(model, split) for split in (data.train, data.test)
    )
    return {
        way: {
            "joined": knn_accuracy(train[way], test[way], data),
            "components": component_accuracies(train[way], test[way], data),
        }
        for way in train
    }


def root_errors(model, split) -> dict:
    """Return the errors of a model's reconstructions as `root_error` does.

    "sampled": the RMSE at draws of the latent codes and the weights.
    """
    # Fewer images at a time than usual: between convolutions each is many times its size.
    errors = mvae_tf.evaluation.reconstruction_errors(model, split, batch_size=200)
    pixels = math.prod(split.images.shape[1:])
    return root_error(errors.mse, pixels) | {"sampled": math.sqrt(errors.mse_sampled)}


def root_error(mse: float, pixels: int) -> dict:
    """Return a mean over images of the summed squared error as other people state it.

    Args:
        mse: That mean, pixels in [0, 1].
        pixels: Of an image, channels counted.

    Returns:
        "rmse": its root. "per_pixel": the root of the mean over pixels too. "psnr": of the mean
        error, not the mean of each image's, in dB; None of no error.
    """
    psnr = -10 * math.log10(mse / pixels) if mse > 0 else None
    return {"rmse": math.sqrt(mse), "per_pixel": math.sqrt(mse / pixels), "psnr": psnr}


def reconstruction_score(model, split, classifier):
    """Return the `InceptionScore` of the reconstructions of a split's images."""
    batches = (model.reconstruct(images).numpy() for images in _batches(split))
    return _score(batches, classifier, len(split))


def sample_score(model, count: int, classifier):
    """Return the `InceptionScore` of draws from the prior."""
    sizes = [min(_SCORED_AT_ONCE, count - start) for start in range(0, count, _SCORED_AT_ONCE)]
    batches = (model.sample(size, seed=index).numpy() for index, size in enumerate(sizes))
    return _score(batches, classifier, count)


def real_score(split, classifier):
    """Return the `InceptionScore` of a split's images themselves."""
    return _score(_batches(split), classifier, len(split))


def _batches(split):
    return mvae_tf.evaluation.image_scores.in_batches(split, _SCORED_AT_ONCE)


def _score(batches, classifier, count):
    scored = mvae_tf.evaluation.image_scores.inception_score
    return scored(batches, classifier, count=count, splits=SCORE_SPLITS)


def entropy(weights: np.ndarray) -> float:
    """Return the entropy (nats) of the mean over images of expected weights [n, K]."""
    mean = weights.mean(axis=0)
    mean = mean[mean > 0]
    return float(-(mean * np.log(mean)).sum())
