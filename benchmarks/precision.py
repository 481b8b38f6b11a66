"""Whether what makes training fast changes what is learnt.

    python benchmarks/precision.py [--num_components=4] [--epochs=20] [--seeds=0]

Trains the preset paper_mnist on MNIST with the same seed and batches in several ways and prints the
reconstruction error on the test images (as in Table I), how far it is from the first row's, and the
accuracy of KNN on the joined codes: Keras's own Adam in float32, the fused Adam in float32, the
fused Adam with products in bfloat16, and, where there is a GPU or `--jit` asks for it, that with
steps compiled by XLA, whose draws are others. Several seeds show what is chance. An epoch at K = 4
takes 10 to 30 seconds on 2 cores.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as our programs do

import keras
from absl import app, flags

import mvae_tf
from mvae_tf import evaluation, training
from mvae_tf.training import jit
from mvae_tf.training.optimizers import FusedAdam

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_components", 4, "K.")
flags.DEFINE_integer("epochs", 20, "Passes over the training images.")
flags.DEFINE_list("seeds", ["0"], "Seeds, separated by commas.")
flags.DEFINE_enum("jit", "auto", jit.JITS, "Whether compiled steps are among the ways.")
flags.DEFINE_string("data_dir", None, "Where data is kept (TensorFlow Datasets' folder).")

# Precision, optimizer, and whether steps are compiled.
WAYS = (
    ("float32", keras.optimizers.Adam, False),
    ("float32", FusedAdam, False),
    ("mixed_bfloat16", FusedAdam, False),
    ("mixed_bfloat16", FusedAdam, True),
)


def main(_):
    """Print the table."""
    data = mvae_tf.datasets.load("mnist", data_dir=FLAGS.data_dir)
    preset = mvae_tf.presets.get("paper_mnist")
    ways = WAYS if jit.resolve(FLAGS.jit).jit == "on" else WAYS[:-1]
    print("| seed | precision | optimizer | compiled | MSE | from the first | KNN (%) |")
    print("| ---: | :-------- | :-------- | :------- | --: | -------------: | ------: |")
    for seed in map(int, FLAGS.seeds):
        reference = None
        for policy, optimizer, is_compiled in ways:
            model = mvae_tf.MixtureVAE.from_preset(
                "paper_mnist", num_components=FLAGS.num_components, seed=seed, dtype=policy
            )
            model.compile(optimizer=optimizer(preset.learning_rate), jit_compile=is_compiled)
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
            compiled = "yes" if is_compiled else "no"
            cells = (seed, policy, optimizer.__name__, compiled, f"{mse:.3f}", difference)
            cells += (f"{_knn_accuracy(model, data):.2f}",)
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _knn_accuracy(model, data):
    train, test = (
        evaluation.encode_split(model, split).means.reshape(len(split), -1)
        for split in (data.train, data.test)
    )
    return evaluation.classifiers.accuracy("KNN", train, data.train.labels, test, data.test.labels)


if __name__ == "__main__":
    app.run(main)
