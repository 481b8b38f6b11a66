"""How near a training step on CIFAR-10 is to the time of its convolutions alone.

    python benchmarks/convolutions.py [--num_components=4] [--batch_size=64]

Prints the time of a whole training step (draws, KLs, dHSIC, gradient, Adam) of the preset
paper_cifar10, that of its convolutions and linear layers alone, forward and backward, and what K
components cost beside K single models. Times are the median over steps.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as our programs do

import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import mvae_tf
from mvae_tf.training.optimizers import FusedAdam

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_components", 4, "K.")
flags.DEFINE_integer("batch_size", 64, "Images a step.")
flags.DEFINE_integer("steps", 30, "Steps that are timed.")

TRAIN_IMAGES = 10_000


def main(_):
    """Print the table."""
    count, batch = FLAGS.num_components, FLAGS.batch_size
    model = _compiled(count)
    step = _seconds(_step(model, batch))
    single = _seconds(_step(_compiled(1), batch))
    products = _seconds(_products(model, batch))
    epoch = step * -(-TRAIN_IMAGES // batch)
    for what, value in (
        (f"training step, K = {count}", f"{1e3 * step:.1f} ms"),
        ("its convolutions and linear layers alone", f"{1e3 * products:.1f} ms"),
        ("step / products", f"{step / products:.2f}"),
        ("training step, K = 1", f"{1e3 * single:.1f} ms"),
        (f"K = {count} / {count} times K = 1", f"{step / (count * single):.2f}"),
        (f"epochs of {TRAIN_IMAGES:,} images an hour", f"{3600 / epoch:.0f}"),
    ):
        print(f"{what:<45}{value:>12}")


def _compiled(num_components):
    model = mvae_tf.MixtureVAE.from_preset("paper_cifar10", num_components=num_components, seed=0)
    model.compile(optimizer=FusedAdam(1e-3))
    model.optimizer.build(model.trainable_variables)
    return model


def _step(model, batch):
    images = np.random.default_rng(0).uniform(size=[batch, *model.image_shape])
    images = tf.constant(images, tf.float32)
    return tf.function(lambda: model.train_step(images)["loss"])


def _products(model, batch):
    """Return a function of every convolution and linear layer, each on its own random input."""
    work = [
        (layer, tf.random.normal([batch, *layer.input.shape[1:]]))
        for bank in (model.encoder, model.decoder)
        for stack in bank.components
        for layer in stack.layers
        if isinstance(
            layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose | keras.layers.Dense
        )
    ]
    # Arguments of the function: TensorFlow would compute with constants once and for all.
    inputs = [each for _, each in work]

    @tf.function
    def gradients(inputs):
        norms = []
        for (layer, _), each in zip(work, inputs, strict=True):
            sources = [each, layer.kernel.value]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                output = layer(each)
            norms += [tf.reduce_max(one) for one in tape.gradient(output, sources, output)]
        return tf.add_n(norms)

    return lambda: gradients(inputs)


def _seconds(function):
    for _ in range(3):
        function()
    times = []
    for _ in range(FLAGS.steps):
        began = time.perf_counter()
        function().numpy()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    app.run(main)
