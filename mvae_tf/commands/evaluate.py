"""Measure what a trained model is worth on images.

  mvae-tf evaluate --model=runs/photos                      # the run's own test images
  mvae-tf evaluate --model=m.keras --data=mnist --json > mnist.json
  mvae-tf evaluate --model=runs/photos --data=new/          # all images of a folder
  mvae-tf evaluate --model=runs/photos --num_samples=0      # without the log-likelihood

Squared errors are sums over an image's pixels, which are in [0, 1], and means over images. The
elbo is the evidence lower bound at one draw, which the metric melbo, eq. 8, is not in general; the
log-likelihood is importance-weighted: in expectation a lower bound, with bernoulli likelihoods only
for black and white images. KNN: 5 nearest neighbours among the training images' codes, where the
data has labels and its test images are measured. Labels that are not among those of the training
images, and negative ones, which stand for none, leave it without an accuracy.
"""

import contextlib
import json
import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from absl import flags
from tqdm import tqdm

from mvae_tf.commands.support import arguments, parts, sources

_AT_A_TIME = 500  # codes given to KNN
_MOST_CLASSES = 20  # in a table; JSON has all


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    given = arguments.parse(__doc__, _define, argv)
    path = sources.find_model(given)
    part = parts.find(given, path)
    model = sources.load_model(path)
    measured = _measure(model, part, given)
    result = {
        "model": str(path),
        "data": {
            "name": part.name,
            "source": part.source,
            "digest": part.digest,
            "part": part.words,
            "images": len(part.split),
            "changes": part.changes,
        },
        **measured,
    }
    print(json.dumps(result, indent=1) if given.json else _table(result))


def _define(values):
    arguments.define_model(values)
    arguments.define_images(values)
    arguments.define_integer(
        values,
        "num_samples",
        64,
        "Posterior draws for each image's log-likelihood; 0: leave it out.",
        least=0,
    )
    arguments.define_integer(values, "batch_size", 500, "Images at a time; memory grows with it.")
    arguments.define_seed(values, "Of the draws.")
    flags.DEFINE_bool("json", False, "Print one JSON object.", flag_values=values)


def _measure(model, part, given):
    from mvae_tf import evaluation

    split = part.split
    options = {"batch_size": given.batch_size}
    with _shown(split, "errors") as counted:
        errors = evaluation.reconstruction_errors(model, counted, seed=given.seed, **options)
    with _shown(split, "components") as counted:
        components = evaluation.component_errors(model, counted, **options)
    with _shown(split, "codes") as counted:
        codes = evaluation.encode_split(model, counted, **options)
    with _shown(split, "elbo") as counted:
        elbo = evaluation.mean_elbo(model, counted, seed=given.seed, **options)
    likelihood = None
    if given.num_samples:
        with _shown(split, "log-likelihood") as counted:
            mean, error = evaluation.mean_log_likelihood(
                model, counted, num_samples=given.num_samples, seed=given.seed, **options
            )
        likelihood = {**_mean(mean, error), "num_samples": given.num_samples}
    return {
        **errors._asdict(),
        "component_mse": components.tolist(),
        "mean_weights": codes.weights.mean(axis=0, dtype=np.float64).tolist(),
        "elbo": _mean(*elbo),
        "log_likelihood": likelihood,
        **_knn(model, part, codes.means, given),
    }


def _mean(mean, error):
    # JSON has no NaN.
    return {"mean": mean, "standard_error": None if math.isnan(error) else error}


def _knn(model, part, codes, given):
    """Return the accuracy in % on test images, and of each class that has a name; or why not."""
    if part.split.labels is None:
        return _no_knn("Expected labels. Received: none.")
    if part.train is None:
        return _no_knn(
            f"Expected test images (--part=test), with training images beside. Received: "
            f"{part.words}."
        )
    labels = np.asarray(part.split.labels)
    try:
        classifier = _classifier(model, part, given)
    except ValueError as error:
        return _no_knn(str(error))
    codes = codes.reshape(len(codes), -1)
    starts = _bar(range(0, len(codes), _AT_A_TIME), "KNN")
    predicted = [classifier.predict(codes[start : start + _AT_A_TIME]) for start in starts]
    right = np.concatenate(predicted) == labels
    of_class = {part.class_of(each): right[labels == each] for each in np.unique(labels).tolist()}
    return {
        "knn_accuracy": 100.0 * float(np.mean(right)),
        "knn_class_accuracy": part.class_names
        and {name: 100.0 * float(np.mean(each)) for name, each in of_class.items()},
        "no_knn_accuracy": None,
    }


def _no_knn(reason):
    print(f"No KNN accuracy. {reason}", file=sys.stderr)
    return {"knn_accuracy": None, "knn_class_accuracy": None, "no_knn_accuracy": reason}


def _classifier(model, part, given):
    """Return KNN among the training images' codes.

    Raises:
        ValueError: it could not get all of the part's labels right.
    """
    from mvae_tf import evaluation
    from mvae_tf.evaluation import classifiers

    known, labels = np.asarray(part.train.labels), np.asarray(part.split.labels)
    lowest = min(known.min(), labels.min())
    if lowest < 0:
        raise ValueError(
            f"Expected labels from 0; a negative one stands for none. Received: {lowest}."
        )
    classifiers.require_known(known, labels)
    with _shown(part.train, "training codes") as counted:
        codes = evaluation.encode_split(model, counted, batch_size=given.batch_size).means
    return classifiers.fit("KNN", codes.reshape(len(codes), -1), known)


class _Counted:
    """Images that tell a bar how many of them have been asked for."""

    def __init__(self, split, bar):
        self._split, self._bar = split, bar

    def __len__(self):
        return len(self._split)

    def float_images(self, start=0, stop=None):
        images = self._split.float_images(start, stop)
        self._bar.update(len(images))
        return images


@contextlib.contextmanager
def _shown(split, title: str) -> Iterator[_Counted]:
    """Give a split whose use is shown on stderr, if it takes long."""
    with _bar(None, title, total=len(split), unit="image") as bar:
        yield _Counted(split, bar)


def _bar(iterable, title, **options):
    # In a log, a line every half minute at most.
    interval = 0.1 if sys.stderr.isatty() else 30
    return tqdm(iterable, title, delay=2, leave=False, mininterval=interval, **options)


def _table(result):
    data = result["data"]
    what = data["part"].removesuffix("s") if data["images"] == 1 else data["part"]
    lines = [
        f"{result['model']} on {data['images']:,} {what} of {data['name']}",
        "",
        f"squared error         {result['mse']:10.4g}",
        f"  of draws            {result['mse_sampled']:10.4g}",
        f"  per pixel           {result['mse_per_pixel']:10.4g}",
        "",
        "component   squared error   mean weight",
    ]
    each = zip(result["component_mse"], result["mean_weights"], strict=True)
    for number, (error, weight) in enumerate(each, start=1):
        lines.append(f"{number:9}   {error:13.4g}   {weight:11.4f}")
    lines.append("")
    lines.append(f"elbo                  {result['elbo']['mean']:10.2f} nats")
    if result["log_likelihood"] is not None:
        mean, error, count = result["log_likelihood"].values()
        deviation = "" if error is None else f" +- {error:.2f}"
        lines.append(f"log-likelihood        {mean:10.2f}{deviation} nats, {count} draws")
    if result["knn_accuracy"] is not None:
        lines.append(f"KNN accuracy          {result['knn_accuracy']:10.2f} %")
        classes = result["knn_class_accuracy"] or {}
        if len(classes) <= _MOST_CLASSES:
            lines += [f"  {name:20}{accuracy:10.2f} %" for name, accuracy in classes.items()]
    return "\n".join(lines).rstrip()
