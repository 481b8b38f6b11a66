"""What several scripts measure in the same way on a trained model."""

import itertools

import numpy as np

import mvae_tf

DHSIC_IMAGES = 2000  # test images whose codes dHSIC is measured on; it grows with their square


def encoded(model, data) -> tuple:
    """Return the codes of the train and the test images: means [n, K, d] and weights [n, K]."""
    return tuple(mvae_tf.evaluation.encode_split(model, split) for split in (data.train, data.test))


def knn_accuracy(train: np.ndarray, test: np.ndarray, data) -> float:
    """Return KNN's test accuracy in % on codes of any shape [n, ...], joined to one row each."""
    train, test = (each.reshape(len(each), -1) for each in (train, test))
    return mvae_tf.classifiers.accuracy("KNN", train, data.train.labels, test, data.test.labels)


def component_accuracies(train: np.ndarray, test: np.ndarray, data) -> list[float]:
    """Return KNN's test accuracy in % on each component's own codes."""
    return [knn_accuracy(train[:, k], test[:, k], data) for k in range(train.shape[1])]


def dhsic(test: np.ndarray) -> float:
    """Return the dHSIC of the components' posterior means, in the bandwidths of training."""
    first = test[:DHSIC_IMAGES].astype(np.float64)
    return float(mvae_tf.dhsic([first[:, k] for k in range(first.shape[1])]))


def mean_cka(test: np.ndarray) -> float:
    """Return the linear CKA of two components' codes, averaged over all pairs."""
    pairs = itertools.combinations(range(test.shape[1]), 2)
    return float(np.mean([mvae_tf.evaluation.linear_cka(test[:, i], test[:, j]) for i, j in pairs]))


def entropy(weights: np.ndarray) -> float:
    """Return the entropy (nats) of the mean over images of expected weights [n, K]."""
    mean = weights.mean(axis=0)
    mean = mean[mean > 0]
    return float(-(mean * np.log(mean)).sum())
