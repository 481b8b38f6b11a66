"""Write images beside what a model makes of them: the mixture image, and each component's.

  mvae-tf reconstruct --model=runs/photos --output=reconstructions.png
  mvae-tf reconstruct --model=m.keras --data=mnist --count=100 --output=mnist.npz
  mvae-tf reconstruct --model=runs/photos --output=pictures/

An .npz holds images, mixture [n, h, w, c], components [n, K, h, w, c], weights [n, K] (the expected
mixing weights) and codes [n, K, d] (posterior means), and labels [n] where there are some.
"""

from collections.abc import Sequence

import numpy as np

from mvae_tf.commands.support import arguments, outputs, sources


def main(argv: Sequence[str]) -> None:
    """Reconstruct the first images of a part of the data."""
    given = arguments.parse(__doc__, _define, argv)
    path = sources.find_model(given)
    output = outputs.checked(given)
    data = sources.data_of(given, path)
    model = sources.load_model(path)
    sources.require_fit(model, data)
    outputs.require_drawable(output, model.image_shape)
    split = getattr(data, given.part)
    images = split.float_images(0, given.count)
    posterior = model.encode(images)
    codes, weights = posterior.z.mean().numpy(), posterior.w.mean().numpy()
    components = model.decode(codes).numpy()
    mixture = model.reconstruct(images).numpy()
    arrays = {
        "images": images,
        "mixture": mixture,
        "components": components,
        "weights": weights,
        "codes": codes,
    }
    if split.labels is not None:
        arrays["labels"] = split.labels[: given.count]
    each = dict(enumerate(np.moveaxis(components, 1, 0), start=1))
    pictures = {
        "_image": images,
        "_mixture": mixture,
        **{f"_component_{number}": component for number, component in each.items()},
    }
    outputs.write(output, lambda: _figure(images, mixture, each), arrays, pictures)
    print(f"{output}: {len(images)} images of {data.name}, reconstructed")


def _define(values):
    arguments.define_model(values)
    arguments.define_data(values, " Default: the run's own.")
    arguments.define_part(values)
    arguments.define_integer(values, "count", 10, "How many images, the first ones.")
    outputs.define(values)


def _figure(images, mixture, components):
    from mvae_tf import plots

    rows = {
        "image": images,
        "mixture": mixture,
        **{f"component {number}": component for number, component in components.items()},
    }
    errors = [np.sum((row - images) ** 2) / len(images) for row in rows.values()]
    notes = ["", *(f"MSE {error:.2f}" for error in errors[1:])]
    return plots.image_rows(list(rows.values()), list(rows), notes)
