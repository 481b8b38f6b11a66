"""How near a served answer is to the time of its matrix products alone.

    python benchmarks/serving.py [--num_components=4] [--batch_sizes=1,32,256]

Exports the preset paper_mnist, loads it as a Python server would and prints, for each signature and
batch size, the median and the 99th percentile of a call's time, images a second, and beside them
the same network's bare matrix products in NumPy (float32; neither biases nor activations). `score`
is compared with the encoders' products and, for each of its draws, the decoders'. The products and
the ratio are medians of the quietest of several turns, as on a busy machine NumPy's threads wait
for one another.

The last lines say what a call costs that computes nothing, without and with checks of its input,
and what the bare products of `encode` cost in TensorFlow itself, below which no graph can be.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as our programs do

import itertools
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

import mvae_tf

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_components", 4, "K.")
flags.DEFINE_integer("latent_dim", 20, "d.")
flags.DEFINE_integer("score_samples", 64, "Draws for each image in `score`.")
flags.DEFINE_list("batch_sizes", ["1", "32", "256"], "Images a call.")
flags.DEFINE_float("seconds", 1.0, "Time given to each number.")

# What is computed for each signature, in passes through the encoders and the decoders.
WORK = {
    "reconstruct": (1, 1),
    "reconstruct_uint8": (1, 1),
    "encode": (1, 0),
    "component_reconstructions": (1, 1),
    "features": (1, 0),
    "decode": (0, 1),
    "sample": (0, 1),
    "score": (1, None),  # None: one for each draw
}
TURNS = 6


def main(_):
    """Print the table."""
    logging.set_verbosity(logging.WARNING)
    model = mvae_tf.MixtureVAE.from_preset(
        "paper_mnist", num_components=FLAGS.num_components, latent_dim=FLAGS.latent_dim, seed=0
    )
    with tempfile.TemporaryDirectory() as folder:
        exported = mvae_tf.export_saved_model(
            model, f"{folder}/mnist", score_samples=FLAGS.score_samples
        )
        served = tf.saved_model.load(exported)
        print(f"{'signature':<27}{'batch':>5}{'p50':>9}{'p99':>9}{'images/s':>11}", end="")
        print(f"{'products':>10}{'ratio':>7}   (ms)")
        for name, batch in itertools.product(WORK, map(int, FLAGS.batch_sizes)):
            inputs = _inputs(name, model, batch)
            signature = served.signatures[name]
            times, bare = _times(
                lambda signature=signature, inputs=inputs: signature(**inputs),
                _products(model, name, batch),
            )
            p50, p99 = np.percentile(np.concatenate(times), [50, 99])
            ratio = _quietest(times) / _quietest(bare)
            print(f"{name:<27}{batch:>5}{1e3 * p50:>9.2f}{1e3 * p99:>9.2f}", end="")
            print(f"{batch / p50:>11.0f}{1e3 * _quietest(bare):>10.2f}{ratio:>7.2f}", flush=True)
        for what, microseconds in _overheads(folder, model).items():
            print(f"{what:<50}{microseconds:>9.0f} µs")


def _inputs(signature, model, batch):
    rng = np.random.default_rng(0)
    if signature == "decode":
        codes = rng.normal(size=[batch, model.num_components, model.latent_dim])
        return {"codes": tf.constant(codes, tf.float32)}
    if signature == "sample":
        return {"count": tf.constant(batch), "seed": tf.constant(0)}
    images = rng.integers(0, 256, [batch, *model.image_shape])
    if signature.endswith("_uint8"):
        return {"images": tf.constant(images, tf.uint8)}
    return {"images": tf.constant(images / 255, tf.float32)}


def _products(model, signature, batch):
    """Return a function of the signature's matrix products, each on its own random input."""
    encodings, decodings = WORK[signature]
    encoder, decoder = (
        [weight.numpy() for weight in bank.weights if "kernel" in weight.name]
        for bank in (model.encoder, model.decoder)
    )
    rng = np.random.default_rng(0)

    def paired(kernels, shared=0):
        """Return products' inputs; the first `shared` have one input for all components."""
        shapes = [(1 if i < shared else len(k), batch, k.shape[1]) for i, k in enumerate(kernels)]
        inputs = [rng.uniform(size=shape).astype(np.float32) for shape in shapes]
        return list(zip(inputs, kernels, strict=True))

    work = paired(encoder, shared=1) * encodings
    work += paired(decoder) * (FLAGS.score_samples if decodings is None else decodings)
    outputs = [np.empty([len(k), batch, k.shape[2]], np.float32) for _, k in work]

    def multiply():
        for (inputs, kernel), output in zip(work, outputs, strict=True):
            np.matmul(inputs, kernel, out=output)

    return multiply


def _times(*functions):
    """Return each function's times in each of its turns.

    They take turns, so that what else the machine does meets all alike. A turn is many calls, of
    which the first is not counted: a library's idle threads spin for a while and would slow down
    the other one's.
    """
    times = [[] for _ in functions]
    latest = time.perf_counter() + 2 * len(functions) * FLAGS.seconds
    while len(times[0]) < TURNS and not (times[0] and time.perf_counter() > latest):
        for function, turns in zip(functions, times, strict=True):
            function()
            turns.append([])
            end = time.perf_counter() + FLAGS.seconds / TURNS
            while not turns[-1] or time.perf_counter() < end:
                began = time.perf_counter()
                function()
                turns[-1].append(time.perf_counter() - began)
    return times


def _quietest(turns):
    """Return the median of the turn in which the machine had least else to do."""
    return min(np.median(turn) for turn in turns)


def _overheads(folder, model):
    """Return the times, in µs, of calls around nothing, and around products alone."""
    empty = tf.Module()
    empty.call = tf.function(
        lambda images: {"images": images},
        input_signature=[tf.TensorSpec([None, 28, 28, 1], name="images")],
    )
    tf.saved_model.save(empty, f"{folder}/empty", {"call": empty.call})
    empty = tf.saved_model.load(f"{folder}/empty").signatures["call"]
    tiny = mvae_tf.MixtureVAE((28, 28, 1), num_components=1, latent_dim=1, hidden_units=(1,))
    tiny = tf.saved_model.load(mvae_tf.export_saved_model(tiny, f"{folder}/tiny"))
    features = tiny.signatures["features"]
    images = tf.zeros([1, 28, 28, 1])
    kernels = [weight for weight in model.encoder.weights if "kernel" in weight.name]

    @tf.function(input_signature=[tf.TensorSpec([1, None, kernels[0].shape[1]])])
    def products(inputs):
        for kernel in kernels:
            inputs = inputs @ kernel
        return inputs

    products, row = products.get_concrete_function(), tf.zeros([1, 1, kernels[0].shape[1]])
    calls = {
        "a signature that returns its input": lambda: empty(images=images),
        "`features` of a network of single units": lambda: features(images=images),
        "the same as a method": lambda: tiny.features(images),
        "the encoders' products of one image, in TensorFlow": lambda: products(row),
    }
    times = _times(*calls.values())
    return {what: 1e6 * _quietest(each) for what, each in zip(calls, times, strict=True)}


if __name__ == "__main__":
    app.run(main)
