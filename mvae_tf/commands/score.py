"""Write how likely a trained model finds each image, the least likely first: for anomalies.

  mvae-tf score --model=runs/photos --data=new/ --output=scores.csv
  mvae-tf score --model=runs/photos --data=new/ | head      # the ten least likely

A line an image: file (its name inside the folder; of arrays, the index), the class where there are
labels, and the log-likelihood in nats, importance-weighted: in expectation a lower bound. Of
images of one size and one model they can be compared; alone they say nothing.
"""

import sys
from collections.abc import Sequence

import numpy as np

from mvae_tf.commands.support import arguments, outputs, parts, sources


def main(argv: Sequence[str]) -> None:
    """Score."""
    given = arguments.parse(__doc__, _define, argv)
    path = sources.find_model(given)
    output = None if given.output is None else outputs.checked_file(given, (".csv",))
    part = parts.find(given, path)
    model = sources.load_model(path)
    from mvae_tf import evaluation

    scores = evaluation.log_likelihoods(
        model,
        part.split,
        num_samples=given.num_samples,
        batch_size=given.batch_size,
        seed=given.seed,
    )
    named = list(parts.named(part))
    order = np.argsort(scores, kind="stable").tolist()
    table = (
        ["file", *parts.class_header(part), "log_likelihood"],
        ([*named[index], f"{scores[index]:.9g}"] for index in order),
    )
    if output is None:
        outputs.print_table(sys.stdout, *table)
        return
    outputs.write_table(output, *table)
    lowest, middle = scores[order[0]], np.median(scores)
    print(
        f"{output}: {len(scores):,} image{'s' * (len(scores) != 1)} of {part.name}, scored from "
        f"{lowest:.2f} nats; the median is {middle:.2f}"
    )


def _define(values):
    arguments.define_model(values)
    arguments.define_images(values)
    arguments.define_integer(
        values, "num_samples", 64, "Posterior draws for each image's log-likelihood."
    )
    arguments.define_integer(values, "batch_size", 500, "Images at a time; memory grows with it.")
    arguments.define_seed(values, "Of the draws.")
    outputs.define_file(values, "A .csv, which is replaced. Default: stdout.", required=False)
