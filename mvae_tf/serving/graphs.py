"""The graphs of a model's signatures, and of the methods that a loaded SavedModel has.

A server hands on whatever it is sent: it compares an input's dtype with the signature, but not its
shape. Every graph therefore checks its own inputs before anything is computed from them.
"""

import itertools
import math
from collections.abc import Callable

import tensorflow as tf

from mvae_tf import checks
from mvae_tf.model import MixtureVAE
from mvae_tf.serving import encoded
from mvae_tf.serving.inputs import Input

# Of one request: a single number must not be able to exhaust a server's memory.
MAX_COUNT = 10_000
_MAX_BYTES = 2**30

# Of which an input may come to a loaded method. Each costs a graph; of others TensorFlow says that
# it has none.
_DTYPES = (
    *(tf.float32, tf.float64, tf.float16, tf.bfloat16),
    *(tf.uint8, tf.uint16, tf.int32, tf.int64),
)


def require_model(model) -> None:
    """Refuse what is no `MixtureVAE`."""
    if not isinstance(model, MixtureVAE):
        raise ValueError(f"Expected model to be a MixtureVAE. Received: {model!r}.")


def served(model: MixtureVAE, score_samples: int):
    """Return what is saved: a `tf.Module` with a method for each signature, and the signatures."""
    module = tf.Module()
    # Nothing of the optimizer, the metrics or the seeds.
    module.weights = [weight.value for weight in model.weights]
    signatures = {}
    decode_files = None
    if encoded.takes(model.image_shape):
        decode_files = encoded.decoder(model.image_shape).get_concrete_function()
    for name, answer in answers(model, score_samples).items():
        method, graphs = _of_images(answer, model.image_shape, decode_files)
        setattr(module, name, method)
        signatures |= {f"{name}{suffix}": graph for suffix, graph in graphs.items()}
    signatures["serving_default"] = signatures["reconstruct"]
    module.decode, signatures["decode"] = _decode(model)
    module.sample, signatures["sample"] = _sample(model)
    return module, signatures


def answers(model: MixtureVAE, score_samples: int) -> dict[str, Callable]:
    """Return functions of float images [n, *image], by signature.

    No answer has its input's name: converters to other formats have one for both.
    """

    def encode(images):
        posterior = model.encode(images)
        return {
            "loc": posterior.z.mean(),
            "scale": posterior.z.stddev(),
            "weights": posterior.w.mean(),
        }

    return {
        "reconstruct": lambda images: {"reconstructions": model.reconstruct(images)},
        "encode": encode,
        "component_reconstructions": lambda images: {
            "reconstructions": model.component_reconstructions(images)
        },
        "features": lambda images: {"features": model.features(images)},
        "score": lambda images: {"log_likelihood": model.log_likelihood(images, score_samples)},
    }


def codes_spec(model: MixtureVAE) -> tf.TensorSpec:
    """Return what `decode` takes, [n, K, d]."""
    return tf.TensorSpec([None, model.num_components, model.latent_dim], tf.float32, "codes")


def _of_images(answer, image_shape, decode_files):
    """Return a function of images, and its graphs by their suffix; they share `answer`."""
    shape = [None, *image_shape]
    floats = Input(
        tf.TensorSpec(shape, tf.float32, name="images"),
        "with values in [0, 1]",
        checks.within_unit,
    )
    eight_bits = Input(tf.TensorSpec(shape, tf.uint8, name="images"))
    files = Input(tf.TensorSpec([None], tf.string, name="images"), "each a JPEG or PNG file")
    inputs = {"": floats, "_uint8": eight_bits}
    if decode_files:
        inputs["_bytes"] = files
    answer = _graph(answer, floats.spec)
    answers = {
        tf.float32: lambda images: answer(floats.checked(images)),
        tf.uint8: lambda images: answer(tf.cast(eight_bits.checked(images), tf.float32) / 255.0),
    }
    if decode_files:
        answers[tf.string] = lambda images: answer(decode_files(files.checked(images)))
    shared = {dtype: _shared(each, dtype) for dtype, each in answers.items()}

    @tf.function(autograph=False)
    def method(images):
        if images is None:
            return answer(floats.missing())
        if images.dtype.is_floating:
            images = tf.cast(images, tf.float32)
        return shared.get(images.dtype, answers[tf.float32])(images)

    # The signatures' first: asked for later, they would be the more general graphs.
    graphs = {suffix: method.get_concrete_function(each.spec) for suffix, each in inputs.items()}
    _trace(method, "images", *([tf.string] if decode_files else []))
    return method, graphs


def _decode(model):
    spec = codes_spec(model)
    finite = Input(
        spec, "with finite values", lambda codes, *_: tf.reduce_all(tf.math.is_finite(codes))
    )
    answer = _graph(model.decode, spec)
    of_floats = _shared(lambda codes: {"images": answer(finite.checked(codes))}, tf.float32)

    @tf.function(autograph=False)
    def decode(codes):
        if codes is None:
            return {"images": answer(finite.missing())}
        if codes.dtype.is_floating:
            return of_floats(tf.cast(codes, tf.float32))
        return {"images": answer(finite.checked(codes))}

    graph = decode.get_concrete_function(spec)
    _trace(decode, "codes")
    return decode, graph


def _sample(model):
    most = max_count(model)
    count_input = Input(
        tf.TensorSpec([], tf.int32, name="count"),
        f"with a value from 1 to {most}",
        lambda _, low, high: (low >= 1) & (high <= most),
    )
    seed_input = Input(
        tf.TensorSpec([], tf.int32, name="seed"),
        "with a value of 32 bits",
        lambda _, low, high: (low >= tf.int32.min) & (high <= tf.int32.max),
    )
    specs = count_input.spec, seed_input.spec
    answer = _graph(model.sample, *specs)

    def checked(count, seed):
        return {"images": answer(count_input.checked(count), seed_input.checked(seed))}

    of_integers = _shared(checked, tf.int64, tf.int64)

    @tf.function(autograph=False)
    def sample(count, seed):
        if count.dtype.is_integer and seed.dtype.is_integer:
            return of_integers(tf.cast(count, tf.int64), tf.cast(seed, tf.int64))
        return checked(count, seed)

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


def _shared(function, *dtypes):
    """Return a function as one graph of tensors of any shape, which those of other dtypes call."""
    return _graph(function, *(tf.TensorSpec(None, dtype) for dtype in dtypes))


def _graph(function, *specs):
    """Return a function as a graph of its own, to be called by others.

    It is traced here, once. TensorFlow traces the methods that are saved twice, again when it saves
    them, and with them all functions that they call which are not graphs yet.
    """
    return tf.function(function, input_signature=specs, autograph=False).get_concrete_function()


def _trace(method, name, *more):
    """Let a loaded method answer or refuse None, and any shape of the dtypes that people have.

    It would else say that it has no such graph, and how many it has.
    """
    method.get_concrete_function(None)
    for dtype in (*_DTYPES, *more):
        method.get_concrete_function(tf.TensorSpec(None, dtype, name=name))
