"""A trained model as a SavedModel that TensorFlow Serving, or TensorFlow alone, can run.

The SavedModel holds the weights and one graph for each signature; running it needs neither this
package nor TensorFlow Probability nor Keras.

A server hands on whatever it is sent: it compares an input's dtype with the signature, but not its
shape. Every graph therefore checks its own inputs before anything is computed from them.
"""

import errno
import itertools
import math
import os
import pathlib
import re
import uuid
from collections.abc import Callable

import tensorflow as tf

from mvae_tf import checks, files
from mvae_tf.model import MixtureVAE
from mvae_tf.serving_inputs import Input

# Of one request: a single number must not be able to exhaust a server's memory.
MAX_COUNT = 10_000
_MAX_BYTES = 2**30

# Of which an input may come to a loaded method. Each costs a graph; of others, such as strings,
# TensorFlow says that it has none.
_DTYPES = (
    *(tf.float32, tf.float64, tf.float16, tf.bfloat16),
    *(tf.uint8, tf.uint16, tf.int32, tf.int64),
)

_LARGEST_VERSION = 2**63 - 1  # TensorFlow Serving reads versions as int64


def export_saved_model(
    model: MixtureVAE, path: str | os.PathLike, *, score_samples: int = 64
) -> pathlib.Path:
    """Write a model as one version in TensorFlow Serving's layout.

    Signatures; shapes with n images of shape `image`, K components and latent codes of size d, all
    dtypes float32 unless said otherwise:

    | signature                        | inputs                    | outputs                       |
    | :------------------------------- | :------------------------ | :---------------------------- |
    | `serving_default`, `reconstruct` | images [n, *image]        | images [n, *image]            |
    | `encode`                         | images [n, *image]        | loc [n, K, d],                |
    |                                  |                           | scale [n, K, d],              |
    |                                  |                           | weights [n, K], the expected  |
    | `component_reconstructions`      | images [n, *image]        | images [n, K, *image]         |
    | `features`                       | images [n, *image]        | features [n, K * d]           |
    | `score`                          | images [n, *image]        | log_likelihood [n], nats      |
    | `decode`                         | codes [n, K, d]           | images [n, K, *image]         |
    | `sample`                         | count, seed: int32 []     | images [count, *image]        |

    Images go in as floats in [0, 1]. Each signature that takes images has a twin for uint8 images
    of 0 to 255, named with the suffix `_uint8`. n is at least 1, count from 1 to 10,000, or to
    fewer where the images of all components would take more than 1 GiB (`max_count`). Any other
    input, NaN included, ends in an INVALID_ARGUMENT error that names it.

    Each answer is that of the model's method of the same name; `score` is `log_likelihood` with
    `score_samples` draws and seed 0.

    `tf.saved_model.load(folder)` has the signatures as methods as well: positional arguments, and
    images as uint8 or as floats of any precision in the same method.

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
        FileExistsError: the version exists, and is left as it is; or a file is in the way.
        OSError: the folder can't be written.

    Example:
        >>> export_saved_model(model, "serving/mnist")                  # serving/mnist/1
        >>> served = tf.saved_model.load("serving/mnist/1")
        >>> served.encode(images)["weights"]                            # [n, K]
    """
    if not isinstance(model, MixtureVAE):
        raise ValueError(f"Expected model to be a MixtureVAE. Received: {model!r}.")
    score_samples = checks.size("score_samples", score_samples)
    versions, version = require_new(path)  # now rather than after the graphs are built
    module, signatures = _served(model, score_samples)
    place = versions / f"export-{uuid.uuid4().hex}"
    with files.aside(place) as aside, files.writing(versions, tf.errors.OpError):
        versions.mkdir(parents=True, exist_ok=True)
        aside.mkdir()
        tf.saved_model.save(module, os.fspath(aside), signatures)
        files.sync(aside)
        return _publish(aside, versions, version)


def require_new(path: str | os.PathLike) -> tuple[pathlib.Path, int | None]:
    """Find out whether a model can be exported to a path, before any work.

    Args:
        path: as for `export_saved_model`.

    Returns:
        The folder of all versions, and the version: None for the next free one.

    Raises:
        ValueError, FileExistsError, OSError: it can't, as `export_saved_model` says.
    """
    versions, version = _destination(path)
    if version:
        _refuse_existing(versions / str(version))
    files.require_writable(versions, str(version or ""))
    return versions, version


# The graphs ---------------------------------------------------------------------------------------


def _served(model, score_samples):
    """Return what is saved: a module with a method for each signature, and the signatures."""
    module = tf.Module()
    # Nothing of the optimizer, the metrics or the seeds.
    module.weights = [weight.value for weight in model.weights]
    signatures = {}
    for name, answer in _answers(model, score_samples).items():
        method, signatures[name], signatures[f"{name}_uint8"] = _of_images(answer, model)
        setattr(module, name, method)
    signatures["serving_default"] = signatures["reconstruct"]
    module.decode, signatures["decode"] = _decode(model)
    module.sample, signatures["sample"] = _sample(model)
    return module, signatures


def _answers(model, score_samples) -> dict[str, Callable]:
    """Return functions of float images [n, *image], by signature."""

    def encode(images):
        posterior = model.encode(images)
        return {
            "loc": posterior.z.mean(),
            "scale": posterior.z.stddev(),
            "weights": posterior.w.mean(),
        }

    return {
        "reconstruct": lambda images: {"images": model.reconstruct(images)},
        "encode": encode,
        "component_reconstructions": lambda images: {
            "images": model.component_reconstructions(images)
        },
        "features": lambda images: {"features": model.features(images)},
        "score": lambda images: {"log_likelihood": model.log_likelihood(images, score_samples)},
    }


def _of_images(answer, model):
    """Return a function of images, and its graphs for float32 and uint8; they share `answer`."""
    shape = [None, *model.image_shape]
    floats = Input(
        tf.TensorSpec(shape, tf.float32, name="images"),
        "with values in [0, 1]",
        lambda values: (values >= 0) & (values <= 1),
    )
    eight_bits = Input(tf.TensorSpec(shape, tf.uint8, name="images"))
    answer = tf.function(answer, input_signature=[floats.spec], autograph=False)

    @tf.function(autograph=False)
    def method(images):
        if images.dtype == tf.uint8:
            return answer(tf.cast(eight_bits.checked(images), tf.float32) / 255.0)
        return answer(floats.checked(images))

    # The signatures' first: asked for later, they would be the more general graphs.
    graphs = [method.get_concrete_function(each.spec) for each in (floats, eight_bits)]
    _trace(method, "images")
    return method, *graphs


def _decode(model):
    spec = tf.TensorSpec([None, model.num_components, model.latent_dim], name="codes")
    finite = Input(spec, "with finite values", tf.math.is_finite)
    answer = tf.function(model.decode, input_signature=[spec], autograph=False)

    @tf.function(autograph=False)
    def decode(codes):
        return {"images": answer(finite.checked(codes))}

    graph = decode.get_concrete_function(spec)
    _trace(decode, "codes")
    return decode, graph


def _sample(model):
    most = max_count(model)
    count_input = Input(
        tf.TensorSpec([], tf.int32, name="count"),
        f"with a value from 1 to {most}",
        lambda count: (count >= 1) & (count <= most),
    )
    seed_input = Input(
        tf.TensorSpec([], tf.int32, name="seed"),
        "with a value of 32 bits",
        lambda seed: (seed >= tf.int32.min) & (seed <= tf.int32.max),
    )
    specs = count_input.spec, seed_input.spec
    answer = tf.function(model.sample, input_signature=specs, autograph=False)

    @tf.function(autograph=False)
    def sample(count, seed):
        return {"images": answer(count_input.checked(count), seed_input.checked(seed))}

    integers, floats = (tf.int32, tf.int64), (tf.float32, tf.float64)
    meant = itertools.product(integers, integers)
    for dtypes in (
        *meant,
        *itertools.product(integers, floats),
        *itertools.product(floats, integers),
    ):
        pairs = zip(("count", "seed"), dtypes, strict=True)
        sample.get_concrete_function(*(tf.TensorSpec(None, dtype, name) for name, dtype in pairs))
    return sample, sample.get_concrete_function(*specs)


def max_count(model: MixtureVAE) -> int:
    """Return how many images one call of `sample` may ask a model for.

    10,000, or fewer where they would take more than 1 GiB: all components of each are computed.
    """
    each = 4 * model.num_components * math.prod(model.image_shape)
    return max(1, min(MAX_COUNT, _MAX_BYTES // each))


def _trace(method, name):
    """Let a loaded method answer or refuse what is of any shape, of the dtypes that people have.

    It would else say that it has no such graph, and how many it has.
    """
    for dtype in _DTYPES:
        method.get_concrete_function(tf.TensorSpec(None, dtype, name=name))


# The folder ---------------------------------------------------------------------------------------


def _destination(path) -> tuple[pathlib.Path, int | None]:
    """Return the folder of all versions, and the version: None for the next free one."""
    if "://" in os.fspath(path):
        raise ValueError(f"Expected path to be a local folder. Received: {path!r}.")
    path = pathlib.Path(path)
    # What TensorFlow Serving, too, might read as a number: with signs, zeros or blanks around it.
    if not re.fullmatch(r"\s*[+-]?\d+\s*", path.name):
        return path, None
    if not re.fullmatch("[1-9][0-9]*", path.name) or int(path.name) > _LARGEST_VERSION:
        raise ValueError(
            "Expected the last part of path to be a name or a version: an integer from 1 to "
            f"2**63 - 1 without leading zeros. Received: {path.name!r}."
        )
    return path.parent, int(path.name)


def _publish(aside, versions, version):
    """Move the finished export to its version, in one step that no server can see half done."""
    while True:
        target = versions / str(version or _next_version(versions))
        if version:
            _refuse_existing(target)
        try:
            aside.rename(target)
            files.sync_entries(versions)
            return target
        except OSError as error:
            # Another exporter was faster.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise


def _next_version(versions):
    taken = [int(name) for name in os.listdir(versions) if re.fullmatch(r"\d+", name)]
    return max(taken, default=0) + 1


def _refuse_existing(target):
    if os.path.lexists(target):  # an empty folder, too, which the renaming would replace
        raise FileExistsError(
            f"Expected a new version. Received: {target}, which exists and is left as it is. "
            f"Take another number, or {target.parent} for the next free one."
        )
