"""Measure what a trained model is worth on images.

  mvae-tf evaluate --model=runs/photos                      # the run's own test images
  mvae-tf evaluate --model=m.keras --data=mnist --json > mnist.json
  mvae-tf evaluate --model=runs/photos --num_samples=0      # without the log-likelihood

Squared errors are sums over an image's pixels, which are in [0, 1], and means over images. The
elbo is the evidence lower bound at one draw, which the metric melbo, eq. 8, is not in general; the
log-likelihood is importance-weighted: in expectation a lower bound, with bernoulli likelihoods only
for black and white images. KNN: 5 nearest neighbours among the training images' codes, where the
data has labels.
"""

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from absl import flags
from tqdm import tqdm

from mvae_tf.commands.support import arguments, sources
from mvae_tf.datasets import Split

_AT_A_TIME = 500  # codes given to KNN


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    given = arguments.parse(__doc__, _define, argv)
    path = sources.find_model(given)
    data = sources.data_of(given, path)
    model = sources.load_model(path)
    sources.require_fit(model, data)
    measured = _measure(model, data, given)
    result = {
        "model": str(path),
        "data": {
            "name": data.name,
            "source": data.source,
            "digest": data.digest,
            "part": data.test_part if given.part == "test" else "training images",
            "images": len(getattr(data, given.part)),
        },
        **measured,
    }
    print(json.dumps(result, indent=1) if given.json else _table(result))


def _define(values):
    arguments.define_model(values)
    arguments.define_data(values, " Default: the run's own.")
    arguments.define_part(values)
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


def _measure(model, data, given):
    from mvae_tf import evaluation

    split = getattr(data, given.part)
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
        "knn_accuracy": _knn_accuracy(model, data, codes.means, given),
    }


def _mean(mean, error):
    # JSON has no NaN.
    return {"mean": mean, "standard_error": None if math.isnan(error) else error}


def _knn_accuracy(model, data, codes, given):
    """Return the accuracy in % on the test images; None where there is none."""
    if data.train.labels is None or given.part != "test":
        return None
    from mvae_tf import evaluation
    from mvae_tf.evaluation import classifiers

    with _shown(data.train, "training codes") as counted:
        known = evaluation.encode_split(model, counted, batch_size=given.batch_size).means
    try:
        classifier = classifiers.fit("KNN", known.reshape(len(known), -1), data.train.labels)
    except ValueError as error:
        print(f"No KNN accuracy. {error}", file=sys.stderr)
        return None
    codes = codes.reshape(len(codes), -1)
    predicted = [
        classifier.predict(codes[start : start + _AT_A_TIME])
        for start in _bar(range(0, len(codes), _AT_A_TIME), "KNN")
    ]
    return 100.0 * float(np.mean(np.concatenate(predicted) == data.test.labels))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _CountedSplit(Split):
    """A split that tells a bar how many of its images have been asked for."""

    bar: tqdm

    def float_images(self, start=0, stop=None):
        images = super().float_images(start, stop)
        self.bar.update(len(images))
        return images


@contextlib.contextmanager
def _shown(split: Split, title: str) -> Iterator[Split]:
    """Give a split whose use is shown on stderr, if it takes long."""
    with _bar(None, title, total=len(split), unit="image") as bar:
        yield _CountedSplit(split.images, split.labels, split.is_train, bar)


def _bar(iterable, title, **options):
    # In a log, a line every half minute at most.
    interval = 0.1 if sys.stderr.isatty() else 30
    return tqdm(iterable, title, delay=2, leave=False, mininterval=interval, **options)


def _table(result):
    data = result["data"]
    lines = [
        f"{result['model']} on {data['images']:,} {data['part']} of {data['name']}",
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
    return "\n".join(lines).rstrip()
