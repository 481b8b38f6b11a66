"""Whether what makes training fast changes what is learnt.

    python benchmarks/precision.py [--num_components=4] [--epochs=20] [--seeds=0]

Trains the preset paper_mnist on MNIST with the same seed, batches and draws in several ways and
prints the reconstruction error on the test images (as in Table I) and how far it is from the first
row's: Keras's own Adam in float32, the fused Adam in float32, the fused Adam with products in
bfloat16. Several seeds show what is chance. An epoch at K = 4 takes 10 to 30 seconds on 2 cores.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from absl import app, flags

import mvae_tf
from mvae_tf import evaluation, training
from mvae_tf.training.optimizers import FusedAdam

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_components", 4, "K.")
flags.DEFINE_integer("epochs", 20, "Passes over the training images.")
flags.DEFINE_list("seeds", ["0"], "Seeds, separated by commas.")
flags.DEFINE_string("data_dir", None, "Where data is kept (TensorFlow Datasets' folder).")

WAYS = (
    ("float32", keras.optimizers.Adam),
    ("float32", FusedAdam),
    ("mixed_bfloat16", FusedAdam),
)


def main(_):
    """Print the table."""
    data = mvae_tf.datasets.load("mnist", data_dir=FLAGS.data_dir)
    preset = mvae_tf.presets.get("paper_mnist")
    print("| seed | precision | optimizer | MSE | from the first |")
    print("| ---: | :-------- | :-------- | --: | -------------: |")
    for seed in map(int, FLAGS.seeds):
        reference = None
        for policy, optimizer in WAYS:
            model = mvae_tf.MixtureVAE.from_preset(
                "paper_mnist", num_components=FLAGS.num_components, seed=seed, dtype=policy
            )
            model.compile(optimizer=optimizer(preset.learning_rate))
            training.train(
                model,
                data.train,
                epochs=FLAGS.epochs,
                batch_size=preset.batch_size,
                seed=seed,
                directory=None,
            )
            mse = evaluation.reconstruction_errors(model, data.test).mse
            reference = mse if reference is None else reference
            difference = f"{100 * (mse / reference - 1):+.2f} %"
            cells = (seed, policy, optimizer.__name__, f"{mse:.3f}", difference)
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    app.run(main)
