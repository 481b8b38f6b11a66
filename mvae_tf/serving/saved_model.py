"""A trained model as a SavedModel that TensorFlow Serving, or TensorFlow alone, can run.

The SavedModel holds the weights and one graph for each signature; running it needs neither this
package nor TensorFlow Probability nor Keras.
"""

import os
import pathlib

import tensorflow as tf

from mvae_tf import checks
from mvae_tf.model import MixtureVAE
from mvae_tf.serving import graphs, versions


def export_saved_model(
    model: MixtureVAE, path: str | os.PathLike, *, score_samples: int = 64
) -> pathlib.Path:
    """Write a model as one version in TensorFlow Serving's layout.

    Signatures; shapes with n images of shape `image`, K components and latent codes of size d, all
    dtypes float32 unless said otherwise:

    | signature                        | inputs                    | outputs                       |
    | :------------------------------- | :------------------------ | :---------------------------- |
    | `serving_default`, `reconstruct` | images [n, *image]        | reconstructions [n, *image]   |
    | `encode`                         | images [n, *image]        | loc [n, K, d],                |
    |                                  |                           | scale [n, K, d],              |
    |                                  |                           | weights [n, K], the expected  |
    | `component_reconstructions`      | images [n, *image]        | reconstructions               |
    |                                  |                           | [n, K, *image]                |
    | `features`                       | images [n, *image]        | features [n, K * d]           |
    | `score`                          | images [n, *image]        | log_likelihood [n], nats      |
    | `decode`                         | codes [n, K, d]           | images [n, K, *image]         |
    | `sample`                         | count, seed: int32 []     | images [count, *image]        |

    Images go in as floats in [0, 1]. Each signature that takes images has a twin for uint8 images
    of 0 to 255, named with the suffix `_uint8`. Where images are [h, w, 1 or 3], there is one for
    JPEG and PNG files as well, string [n], named with the suffix `_bytes`: they are turned, resized
    and put on the model's channels as `datasets.load` reads them from a folder.

    n is at least 1, count from 1 to 10,000, or to fewer where the images of all components would
    take more than 1 GiB (`max_count`). Any other input, NaN and damaged files included, ends in an
    INVALID_ARGUMENT error that names it, and the row of a file.

    Each answer is that of the model's method of the same name; `score` is `log_likelihood` with
    `score_samples` draws and seed 0.

    `tf.saved_model.load(folder)` has the signatures as methods as well: positional arguments, and
    images as uint8, as files or as floats of any precision in the same method. TensorFlow refuses
    in words of its own what it makes no such tensor of: a ragged list, a dict, a plain number.

    Args:
        model: trained or not.
        path: of the version's folder, where its last part is a positive integer
            ("serving/mnist/1"); otherwise of the folder of all versions, in which the export takes
            the number after the largest one there ("serving/mnist"). The version appears in one
            step, complete. A leftover of a killed process, `.export-*`, is ignored by servers.
        score_samples: draws for each image in `score`.

    Returns:
        The version's folder.

    Raises:
        ValueError: for an argument outside what is said above.
        FileExistsError: the version exists, and is left as it is; a file is in the way; or the
            folder of all versions has other things in it and no version.
        OSError: the folder can't be written.

    Example:
        >>> export_saved_model(model, "serving/mnist")                  # serving/mnist/1
        >>> served = tf.saved_model.load("serving/mnist/1")
        >>> served.encode(images)["weights"]                            # [n, K]
    """
    graphs.require_model(model)
    score_samples = checks.size("score_samples", score_samples)
    versions.require_new(path)  # now rather than after the graphs are built
    module, signatures = graphs.served(model, score_samples)
    return versions.write(
        path, lambda folder: tf.saved_model.save(module, os.fspath(folder), signatures)
    )
