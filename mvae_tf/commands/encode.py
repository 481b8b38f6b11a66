"""Write what a trained model's encoders say of images: codes and mixing weights, by file name.

  mvae-tf encode --model=runs/photos --data=new/ --output=codes.npz
  mvae-tf encode --model=runs/photos --data=photo.jpg --output=codes.csv

An .npz holds codes [n, K, d] (posterior means), weights [n, K] (expected mixing weights) and files
[n] (names inside the folder; of arrays, indices), and where there are labels, labels [n] and
class_names. A .csv holds a line an image: file, the class where there are labels, weight_1 ...
weight_K, and code_1_1 ... code_K_d, component after component.
"""

from collections.abc import Sequence

import numpy as np

from mvae_tf.commands.support import arguments, outputs, parts, sources


def main(argv: Sequence[str]) -> None:
    """Encode."""
    given = arguments.parse(__doc__, _define, argv)
    path = sources.find_model(given)
    output = outputs.checked_file(given, (".npz", ".csv"))
    part = parts.find(given, path)
    model = sources.load_model(path)
    from mvae_tf import evaluation

    codes = evaluation.encode_split(model, part.split, batch_size=given.batch_size)
    if output.suffix == ".npz":
        outputs.write_arrays(output, _arrays(part, codes))
    else:
        outputs.write_table(output, *_table(part, codes))
    count = len(part.split)
    print(f"{output}: {count:,} image{'s' * (count != 1)} of {part.name}, encoded")


def _define(values):
    arguments.define_model(values)
    arguments.define_images(values)
    arguments.define_integer(values, "batch_size", 500, "Images at a time; memory grows with it.")
    outputs.define_file(
        values, "An .npz for arrays, or a .csv for a line an image; it is replaced.", required=True
    )


def _arrays(part, codes):
    arrays = {"codes": codes.means, "weights": codes.weights, "files": part.files}
    if part.split.labels is not None:
        arrays["labels"] = part.split.labels
        if part.class_names is not None:
            arrays["class_names"] = np.array(part.class_names)
    return arrays


def _table(part, codes):
    """Return the header and the rows of the .csv."""
    _, components, size = codes.means.shape
    header = ["file", *parts.class_header(part)]
    header += [f"weight_{k}" for k in range(1, components + 1)]
    header += [f"code_{k}_{d}" for k in range(1, components + 1) for d in range(1, size + 1)]
    numbers = np.concatenate([codes.weights, codes.means.reshape(len(codes.means), -1)], axis=1)
    # Nine digits bring each float32 back.
    rows = (
        [*named, *(f"{number:.9g}" for number in row)]
        for named, row in zip(parts.named(part), numbers, strict=True)
    )
    return header, rows
