"""Write images beside what a model makes of them: the mixture image, and each component's.

  mvae-tf reconstruct --model=runs/photos --output=reconstructions.png
  mvae-tf reconstruct --model=runs/photos --data=photo.jpg --output=photo.png
  mvae-tf reconstruct --model=m.keras --data=mnist --count=100 --output=mnist.npz
  mvae-tf reconstruct --model=runs/photos --data=new/ --output=pictures/

An .npz holds images, mixture [n, h, w, c], components [n, K, h, w, c], weights [n, K] (the expected
mixing weights), codes [n, K, d] (posterior means) and files [n] (their names), and labels [n] where
there are some. The error in a picture is that of the images in it, not of all.
"""

from collections.abc import Sequence

import numpy as np

from mvae_tf.commands.support import arguments, outputs, parts, sources

_IN_A_PICTURE = 10
_AT_A_TIME = 100


def main(argv: Sequence[str]) -> None:
    """Reconstruct images of a part of the data."""
    given = arguments.parse(__doc__, _define, argv)
    path = sources.find_model(given)
    output = outputs.checked(given)
    if given.count is None and not output.is_dir() and output.suffix != ".npz":
        given.count = _IN_A_PICTURE
    part = parts.find(given, path)
    model = sources.load_model(path)
    outputs.require_drawable(output, model.image_shape)
    if output.is_dir():
        for start, arrays in _reconstructed(model, part):
            outputs.write_pictures(output, _pictures(arrays), start)
    else:
        batches = [arrays for _, arrays in _reconstructed(model, part)]
        arrays = {name: np.concatenate([each[name] for each in batches]) for name in batches[0]}
        outputs.write(output, lambda: _figure(arrays), arrays, {})
    count = len(part.split)
    print(f"{output}: {count} image{'s' * (count != 1)} of {part.name}, reconstructed")


def _define(values):
    arguments.define_model(values)
    arguments.define_images(values, f"{_IN_A_PICTURE} in a .png, all of them otherwise")
    outputs.define(values)


def _reconstructed(model, part):
    """Yield the number of a batch's first image, and the arrays of the batch."""
    for start in range(0, len(part.split), _AT_A_TIME):
        chosen = slice(start, start + _AT_A_TIME)
        images = part.split.float_images(chosen.start, chosen.stop)
        posterior = model.encode(images)
        codes, weights = posterior.z.mean().numpy(), posterior.w.mean().numpy()
        arrays = {
            "images": images,
            "mixture": model.reconstruct(images).numpy(),
            "components": model.decode(codes).numpy(),
            "weights": weights,
            "codes": codes,
            "files": part.files[chosen],
        }
        if part.split.labels is not None:
            arrays["labels"] = part.split.labels[chosen]
        yield start, arrays


def _pictures(arrays):
    """Return the images and what became of them by what names of their files end in."""
    components = np.moveaxis(arrays["components"], 1, 0)
    return {
        "_image": arrays["images"],
        "_mixture": arrays["mixture"],
        **{f"_component_{number}": each for number, each in enumerate(components, start=1)},
    }


def _figure(arrays):
    from mvae_tf import plots

    rows = {name[1:].replace("_", " "): row for name, row in _pictures(arrays).items()}
    images = arrays["images"]
    count = len(images)
    errors = [np.sum((row - images) ** 2) / count for row in rows.values()]
    of_these = "MSE of\nthis image" if count == 1 else f"MSE of\nthese {count}"
    notes = [of_these, *(f"{error:.2f}" for error in errors[1:])]
    return plots.image_rows(list(rows.values()), list(rows), notes)
