"""Evaluates images in a process of its own, many more the second time, and prints the peaks of its
memory (bytes) as JSON; is then killed while it writes codes over older ones. Argument: a folder."""

import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

import mvae_tf
from mvae_tf import evaluation
from mvae_tf.datasets import Split
from mvae_tf.evaluation import classifiers

COUNTS = (5_000, 50_000)  # images
SIDE = 16
BATCH = 500


def anonymous_memory():
    """What is not backed by files: mapped codes and images don't count."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s*(\d+)", status)[1])


def peak_memory(function, *args):
    peak, done = 0, threading.Event()

    def watch():
        nonlocal peak
        while not done.is_set():
            peak = max(peak, anonymous_memory())
            time.sleep(0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        function(*args)
    finally:
        done.set()
        thread.join()
    return peak


def made_dataset(count):
    def images(start):
        return tf.random.stateless_uniform([100, SIDE, SIDE, 1], [0, start])

    return tf.data.Dataset.range(count // 100).map(images)


def mapped_split(count):
    path = Path(folder, f"{count}.npy")
    if not path.exists():
        np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIDE, SIDE, 1))[:] = 255
    return Split(np.load(path, mmap_mode="r"), None, is_train=False)


def codes_of(source):
    evaluation.encode_split(model, source, batch_size=BATCH, out=folder / "codes")


def neighbours(count):
    """What KNN makes of the codes that were written last."""
    codes = np.load(folder / "codes" / "means.npy", mmap_mode="r").reshape(count, -1)
    labels = np.arange(count) % 2
    classifiers.accuracy("KNN", codes, labels, codes[: count // 10], labels[: count // 10])


class Deadly(Split):
    def float_images(self, start=0, stop=None):
        if start == 3 * BATCH:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().float_images(start, stop)


MEASURES = {
    "reconstruction_errors": lambda source: evaluation.reconstruction_errors(
        model, source, batch_size=BATCH
    ),
    "component_errors": lambda source: evaluation.component_errors(model, source, batch_size=BATCH),
    "mean_log_likelihood": lambda source: evaluation.mean_log_likelihood(
        model, source, num_samples=1, batch_size=BATCH
    ),
    "encode_split": codes_of,
}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    # Codes as large as images.
    model = mvae_tf.MixtureVAE((SIDE, SIDE, 1), 2, SIDE * SIDE // 2, (4,), seed=0)
    peaks = {}
    for source in (mapped_split, made_dataset):
        for name, measure in MEASURES.items():
            measure(source(COUNTS[0]))  # TensorFlow's start
            key = f"{name} of {source.__name__}"
            peaks[key] = [peak_memory(measure, source(count)) for count in COUNTS]
    peaks["KNN"] = []
    for count in COUNTS:
        codes_of(mapped_split(count))
        peaks["KNN"].append(peak_memory(neighbours, count))
    print(json.dumps(peaks), flush=True)
    codes_of(Deadly(np.zeros([4 * BATCH, SIDE, SIDE, 1], np.uint8), None, is_train=False))
