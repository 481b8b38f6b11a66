"""What evaluation and latent classifiers take for an image, and how much memory, as images grow.

    python benchmarks/evaluation.py [--sizes=10000,20000,60000]

Prints a Markdown table, each row measured in a process of its own: made images of MNIST's size, a
file mapped into memory, under the preset paper_mnist, untrained. "before" is the process's
anonymous memory (what is not a file's) after the same call on 1,000 images, "peak" the most that it
has during the measured call. Times are of one call, over its number of images; the building of its
graphs is included.

Classifiers are fitted on codes [n, K * d] from a file, with made classes, and tried on the first
1,000 of them. Linux alone tells of anonymous memory.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as our programs do

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from absl import app, flags

import mvae_tf
from mvae_tf import evaluation
from mvae_tf.datasets import Split
from mvae_tf.evaluation import classifiers

FLAGS = flags.FLAGS
flags.DEFINE_list("sizes", ["10000", "20000", "60000"], "Images, in ascending order.")
flags.DEFINE_integer("num_components", 4, "K.")
flags.DEFINE_integer("num_samples", 4, "Draws for each image's log-likelihood.")
flags.DEFINE_string("measure", None, "name,n,folder: measure one case and print JSON.")

WARM = 1_000
SHAPE = (28, 28, 1)

# By name, a function of the model, a source of images and a folder for codes.
FUNCTIONS = {
    "reconstruction_errors": lambda model, source, _: evaluation.reconstruction_errors(
        model, source
    ),
    "component_errors": lambda model, source, _: evaluation.component_errors(model, source),
    "mean_log_likelihood": lambda model, source, _: evaluation.mean_log_likelihood(
        model, source, num_samples=FLAGS.num_samples
    ),
    "encode_split": lambda model, source, _: evaluation.encode_split(model, source),
    "encode_split to files": lambda model, source, folder: evaluation.encode_split(
        model, source, out=folder / "codes"
    ),
}


def main(_):
    """Print the table, or measure one case of it."""
    if FLAGS.measure:
        name, n, folder = FLAGS.measure.split(",")
        print(json.dumps(_measured(name, int(n), Path(folder))))
        return
    with tempfile.TemporaryDirectory() as folder:
        _make(Path(folder), max(map(int, FLAGS.sizes)))
        print("| what | n | µs an image | before (MiB) | peak (MiB) |")
        print("| :--- | -: | ---------: | -----------: | ---------: |")
        for name in [*FUNCTIONS, *classifiers.CLASSIFIERS]:
            for n in map(int, FLAGS.sizes):
                seconds, before, peak = _in_a_process(name, n, folder)
                row = f"| {name} | {n:,} | {1e6 * seconds / n:.0f} | {before:.0f} | {peak:.0f} |"
                print(row, flush=True)


def _make(folder, count):
    """Write images and codes of the model's to files."""
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, *SHAPE))
    rng = np.random.default_rng(0)
    for start in range(0, count, WARM):
        part = images[start : start + WARM]
        part[:] = rng.integers(0, 256, part.shape, np.uint8)
    evaluation.encode_split(_model(), _split(folder, count), out=folder)


def _in_a_process(name, n, folder):
    command = [sys.executable, __file__, f"--measure={name},{n},{folder}"]
    settings = [f"--{name}={FLAGS[name].value}" for name in ("num_components", "num_samples")]
    done = subprocess.run([*command, *settings], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measured(name, n, folder):
    """Return a call's seconds, and the MiB of memory before it and at most."""
    call = _call(name, folder)
    call(WARM)
    before = peak = _anonymous_memory()
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, _anonymous_memory())

    thread = threading.Thread(target=watch)
    thread.start()
    began = time.perf_counter()
    call(n)
    seconds = time.perf_counter() - began
    done.set()
    thread.join()
    return seconds, before, peak


def _call(name, folder):
    """Return a function of the number of images."""
    if name in FUNCTIONS:
        model = _model()
        return lambda n: FUNCTIONS[name](model, _split(folder, n), folder)
    codes = np.load(folder / "means.npy", mmap_mode="r")
    codes = codes.reshape(len(codes), -1)
    labels = np.arange(len(codes)) % 10
    tested = codes[:WARM], labels[:WARM]
    return lambda n: classifiers.accuracy(name, codes[:n], labels[:n], *tested)


def _model():
    return mvae_tf.MixtureVAE.from_preset(
        "paper_mnist", num_components=FLAGS.num_components, seed=0
    )


def _split(folder, n):
    return Split(np.load(folder / "images.npy", mmap_mode="r")[:n], None, is_train=False)


def _anonymous_memory():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s*(\d+)", status)[1]) / 2**10


if __name__ == "__main__":
    app.run(main)
