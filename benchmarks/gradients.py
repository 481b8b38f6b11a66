"""Whether this processor's convolutions, and their gradients, are right.

    python benchmarks/gradients.py [--one_dnn=1|0]

Compares 2,835 small float32 convolutions and both gradients with float64, over sizes, strides and
numbers of channels; prints those that are off by more than a thousandth of their largest number,
and the largest error among the others. Without AVX-512 oneDNN's gradient of the weights is wrong
where size is 1 and stride is 2, the inputs have few channels (up to 5 here) and even sides; which
of these, and how wrong, differs from run to run.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import itertools

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_enum("one_dnn", "1", ["0", "1"], "TF_ENABLE_ONEDNN_OPTS; our programs have 1.")

SIZES, STRIDES, SIDES = (1, 2, 3, 4, 5), (1, 2, 3), (7, 8, 13)
INPUTS, OUTPUTS = (1, 2, 3, 4, 5, 7, 8, 16, 32), (1, 2, 3, 5, 8, 16, 32)


def main(_):
    """Print each wrong convolution, and a summary."""
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = FLAGS.one_dnn
    import tensorflow as tf

    def answers(images, weights, stride):
        with tf.GradientTape() as tape:
            tape.watch([images, weights])
            result = tf.nn.conv2d(images, weights, stride, "SAME")
            total = tf.reduce_sum(tf.sin(result))
        return [result, *tape.gradient(total, [images, weights])]

    rng = np.random.default_rng(0)
    wrong, largest = 0, 0.0
    cases = list(itertools.product(SIZES, STRIDES, INPUTS, OUTPUTS, SIDES))
    for size, stride, inputs, outputs, side in cases:
        images = tf.constant(rng.normal(size=[4, side, side, inputs]))
        weights = tf.constant(rng.normal(size=[size, size, inputs, outputs]))
        exact = answers(images, weights, stride)
        found = answers(tf.cast(images, tf.float32), tf.cast(weights, tf.float32), stride)
        errors = [
            np.max(np.abs(one.numpy() - other.numpy())) / np.max(np.abs(other))
            for one, other in zip(found, exact, strict=True)
        ]
        if max(errors) < 1e-3:
            largest = max(largest, *errors)
            continue
        wrong += 1
        print(
            f"size {size}, stride {stride}, {inputs} to {outputs} channels, {side} x {side}: "
            + ", ".join(f"{each:.1e}" for each in errors)
        )
    print(f"{wrong} of {len(cases)} wrong (result, images', weights'); the others to {largest:.1e}")


if __name__ == "__main__":
    app.run(main)
