"""What a training step's time is made of, and what XLA would do to it.

    python benchmarks/operations.py [--num_components=4] [--precisions=float32,mixed_bfloat16]

Times the parts of a step of the preset paper_mnist one by one at a batch of 128, each as a graph of
its own and, where it compiles, under XLA; then the step itself, whose parts partly overlap. Prints
the best of several rounds, in which all take turns.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as our programs do

import itertools
import time

import tensorflow as tf
from absl import app, flags

import mvae_tf
from mvae_tf import checks
from mvae_tf.objective import melbo
from mvae_tf.training.optimizers import FusedAdam

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_components", 4, "K.")
flags.DEFINE_list("precisions", ["float32", "mixed_bfloat16"], "Dtype policies.")
flags.DEFINE_integer("rounds", 15, "Turns of each part.")
flags.DEFINE_integer("calls", 10, "Of a part, in one turn.")

BATCH = 128


def main(_):
    """Print a table for each precision."""
    for policy in FLAGS.precisions:
        print(f"{policy}\n\n| part | ms | under XLA (ms) |\n| :--- | -: | -------------: |")
        parts = _parts(policy)
        plain = {name: tf.function(part) for name, part in parts.items()}
        compiled = {
            name: tf.function(part, jit_compile=True)
            for name, part in parts.items()
            if name not in ("Adam", "step")  # the fused update and Dirichlet's KL don't compile
        }
        compiled["Adam"] = tf.function(_unfused_adam(), jit_compile=True)
        both = _best([*plain.values(), *compiled.values()])
        times, under_xla = both[: len(plain)], dict(zip(compiled, both[len(plain) :], strict=True))
        for name, each in zip(plain, times, strict=True):
            other = f"{under_xla[name]:.2f}" if name in under_xla else "-"
            print(f"| {name} | {each:.2f} | {other} |")
        print()


def _parts(policy):
    """Return the parts by name, functions that return tensors."""
    model = mvae_tf.MixtureVAE.from_preset(
        "paper_mnist", num_components=FLAGS.num_components, dtype=policy
    )
    model.compile(optimizer=FusedAdam())
    variables = [variable.value for variable in model.trainable_variables]
    model.optimizer.build(model.trainable_variables)
    dtype = tf.as_dtype(model.compute_dtype)
    images = tf.random.uniform([BATCH, *model.image_shape])
    gradients = [tf.random.normal(variable.shape) for variable in variables]
    layers = [*model.encoder.stack, *model.decoder.stack]
    arrays = [_arrays(layer, dtype) for layer in layers]

    def products():
        forward = [tf.matmul(x, kernel) for x, kernel, _ in arrays]
        kernels = [tf.matmul(x, y, transpose_a=True) for x, _, y in arrays]
        inputs = [tf.matmul(y, kernel, transpose_b=True) for _, kernel, y in arrays[1:]]
        return [*forward, *kernels, *inputs]

    def casts():
        weights = [tf.cast(layer.kernel.value, dtype) for layer in layers]
        return [*weights, *(tf.cast(kernel, tf.float32) for _, kernel, _ in arrays)]

    def reconstruction():
        return _reconstruction(images, logits, weights)

    def check():
        return [checks.is_finite(gradients)]

    def adam():
        model.optimizer.apply(gradients, model.trainable_variables)
        return [tf.constant(0)]

    logits = tf.random.normal([BATCH, FLAGS.num_components, *model.image_shape])
    weights = tf.nn.softmax(tf.random.normal([BATCH, FLAGS.num_components]))
    parts = {"all products": products, "casts of weights and gradients": casts}
    if dtype == tf.float32:
        del parts["casts of weights and gradients"]
    parts |= {"reconstruction and its gradient": reconstruction, "check of gradients": check}
    return parts | {"Adam": adam, "step": lambda: list(model.train_step(images).values())}


def _arrays(layer, dtype):
    """Return a layer's input, weights and output's gradient, of random numbers."""
    count, inputs, units = layer.kernel.shape
    shapes = [(count, BATCH, inputs), (count, inputs, units), (count, BATCH, units)]
    return [tf.cast(tf.random.normal(shape), dtype) for shape in shapes]


def _reconstruction(images, logits, weights):
    with tf.GradientTape() as tape:
        tape.watch([logits, weights])
        how = {"likelihood": "gaussian", "mixing": "likelihood"}
        value = melbo.reconstruction(images, logits, weights, **how)
    squared = tf.math.squared_difference(images, melbo.mix(weights, tf.sigmoid(logits)))
    return [*tape.gradient(value, [logits, weights]), tf.reduce_sum(squared, axis=[1, 2, 3])]


def _unfused_adam():
    """Return Adam's update as plain operations, which XLA fuses, on as many numbers."""
    model = mvae_tf.MixtureVAE.from_preset("paper_mnist", num_components=FLAGS.num_components)
    variables = [variable.value for variable in model.trainable_variables]
    moments = [[tf.Variable(tf.zeros(each.shape)) for each in variables] for _ in range(2)]
    gradients = [tf.random.normal(variable.shape) for variable in variables]

    def update():
        for variable, first, second, gradient in zip(variables, *moments, gradients, strict=True):
            first.assign_add(0.1 * (gradient - first))
            second.assign_add(0.001 * (gradient**2 - second))
            variable.assign_sub(1e-3 * first / (tf.sqrt(second) + 1e-7))
        return [tf.constant(0)]

    return update


def _best(functions):
    """Return the least milliseconds of a call of each."""
    best = [float("inf")] * len(functions)
    for function in functions:
        function()  # compiled
    for _, (index, function) in itertools.product(range(FLAGS.rounds), enumerate(functions)):
        began = time.perf_counter()
        for _ in range(FLAGS.calls):
            results = function()
        results[0].numpy()
        best[index] = min(best[index], 1e3 * (time.perf_counter() - began) / FLAGS.calls)
    return best


if __name__ == "__main__":
    app.run(main)
