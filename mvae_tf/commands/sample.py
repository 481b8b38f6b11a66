"""Write draws from a trained model's prior.

  mvae-tf sample --model=runs/photos --output=samples.png
  mvae-tf sample --model=runs/photos --count=1000 --seed=1 --output=samples.npz
  mvae-tf sample --model=runs/photos --output=samples/

An .npz holds images [n, h, w, c], floats in [0, 1]. The same seed gives the same images.
"""

from collections.abc import Sequence

from mvae_tf.commands.support import arguments, outputs, sources


def main(argv: Sequence[str]) -> None:
    """Draw images."""
    given = arguments.parse(__doc__, _define, argv)
    path = sources.find_model(given)
    output = outputs.checked(given)
    model = sources.load_model(path)
    outputs.require_drawable(output, model.image_shape)
    images = model.sample(given.count, seed=given.seed).numpy()

    def figure():
        from mvae_tf import plots

        return plots.image_grids([images], [f"Draws from the prior, seed {given.seed}"])

    outputs.write(output, figure, {"images": images}, {"": images})
    print(f"{output}: {given.count} draws from the prior")


def _define(values):
    arguments.define_model(values)
    arguments.define_integer(
        values,
        "count",
        16,
        "How many images, at most 10,000 at a time; another seed gives others.",
        most=10_000,
    )
    arguments.define_seed(values, "Of the draws.")
    outputs.define(values)
