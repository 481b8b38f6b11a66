"""Accuracies of Table II and Figure 4 by each way of measuring: which codes, and whose MLP."""

from collections.abc import Callable

import mvae_tf
from support import paper, published_mlp
from support.reach import sorted_components

FIRST, LAST = 4, 10  # Figure 4's ends; Table II's mixture is of the first
MLP = "MLP"
# The end of a way's name where the MLP is that of the published script, and all else is as without.
AS_PUBLISHED = "_mlp_as_published"
CODES = ("means", "sampled", "means_and_deviations")  # without dropout


def by_way(model: Callable[[int], object], data, seed: int) -> tuple[dict, dict]:
    """Measure the models of one seed.

    Args:
        model: Returns the trained model of so many components: 1, `FIRST` or `LAST`.
        data: What they are trained and tested on.
        seed: Of the classifiers.

    Returns:
        By way (`evaluation.codes_by_way`, means and deviations too, each with our own MLP and with
        the published one): the accuracies in % by classifier, a list as Table II's columns with
        components from the lowest up; and by how many points KNN's rises from `FIRST` to `LAST`.
    """
    codes = {count: _codes(model(count), data) for count in (1, FIRST, LAST)}
    accuracy, rise = {}, {}
    for way in codes[FIRST]:
        mixture, vae = codes[FIRST][way], codes[1][way]
        components = [[part[:, k] for part in mixture] for k in range(FIRST)]
        columns = [mixture, *components, vae]
        rows = {
            name: sorted_components([_accuracy(name, column, data, seed) for column in columns])
            for name in paper.TABLE2
        }
        published = [_published(column, data, seed) for column in columns]
        last = _accuracy("KNN", codes[LAST][way], data, seed)
        accuracy[way] = rows
        accuracy[way + AS_PUBLISHED] = rows | {MLP: sorted_components(published)}
        rise[way] = rise[way + AS_PUBLISHED] = last - rows["KNN"][0]
    return accuracy, rise


def other_mlp(way: str) -> str:
    """Return the name of the same way but for the MLP."""
    ours = way.removesuffix(AS_PUBLISHED)
    return ours if ours != way else way + AS_PUBLISHED


def _codes(model, data):
    """Return by way a pair: codes of the train and of the test images."""
    parts = [
        mvae_tf.evaluation.codes_by_way(model, part, deviations=True)
        for part in (data.train, data.test)
    ]
    return {way: [part[way] for part in parts] for way in parts[0]}


def _accuracy(name, codes, data, seed):
    return mvae_tf.evaluation.classifiers.accuracy(name, *_labelled(codes, data), seed=seed)


def _published(codes, data, seed):
    return published_mlp.accuracy(*_labelled(codes, data), seed=seed)


def _labelled(codes, data):
    train, test = (part.reshape(len(part), -1) for part in codes)
    return train, data.train.labels, test, data.test.labels
