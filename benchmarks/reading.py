"""Folders of more images than memory: images a second, and memory, as the images grow in number.

    python benchmarks/reading.py [--sizes=1000,50000] [--rounds=3]

Prints a Markdown table, each row measured in a process of its own: made PNGs, 64 x 64 in colour,
in ten folders, resized to 32 x 32 and shuffled, in batches of 128, of which nothing is made.
"first" is what comes before the first batch can be asked for: listing the files, and of ours a look
at each of them. Images a second are those of the best of so many epochs. "before" is the process's
anonymous memory (what is not a file's) once all is imported, "peak" the most that it has from then
on. Linux alone tells of anonymous memory.

Ours resizes by Lanczos, as it does in memory; Keras by two of its ways.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from PIL import Image

from mvae_tf import datasets

FLAGS = flags.FLAGS
flags.DEFINE_list("sizes", ["1000", "50000"], "Images, in ascending order.")
flags.DEFINE_integer("rounds", 3, "Epochs.")
flags.DEFINE_string("measure", None, "name,folder: measure one case and print JSON.")

SIDE, RESIZED, BATCH, CLASSES = 64, (32, 32), 128, 10


def ours(folder, **options):
    """Return our batches of a folder."""
    data = datasets.load(folder, image_size=RESIZED, test_fraction=1e-9, **options)
    return data.train.dataset(BATCH)


def in_cache(folder):
    """Return our batches of a folder from a cache that is there."""
    return ours(folder, cache=cache_of(folder))


def of_keras(folder, **options):
    """Return Keras's batches of a folder."""
    return keras.utils.image_dataset_from_directory(
        folder, image_size=RESIZED, batch_size=BATCH, seed=0, verbose=False, **options
    )


def cache_of(folder):
    """Return the folder of the cache of a folder of images."""
    return folder.with_name(f"cache-{folder.name}")


CONTENDERS = {
    "streamed": lambda folder: ours(folder, stream=True),
    "streamed, cache made": in_cache,
    "streamed, cache there": in_cache,
    "read into memory": lambda folder: ours(folder, stream=False),
    "Keras": of_keras,
    "Keras, Lanczos": lambda folder: of_keras(folder, interpolation="lanczos3"),
}


def make(folder: Path, count: int) -> None:
    """Write so many images: colours that run into each other, each image its own."""
    rng = np.random.default_rng(0)
    for index in range(count):
        part = folder / f"class_{index % CLASSES}"
        part.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        image = small.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        image.save(part / f"{index:06d}.png", compress_level=1)


def anonymous_memory() -> int:
    """Return how many bytes this process has that are not of files."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s*(\d+)", status)[1])


def measured(name: str, folder: Path) -> dict:
    """Go through a folder's images, and return what it took."""
    tf.zeros([1]) + 1  # TensorFlow's start
    before, done, peak = anonymous_memory(), threading.Event(), 0

    def watch():
        nonlocal peak
        while not done.is_set():
            peak = max(peak, anonymous_memory())
            time.sleep(0.005)

    thread = threading.Thread(target=watch)
    thread.start()
    began = time.monotonic()
    batches = CONTENDERS[name](folder)
    first, rates = time.monotonic() - began, []
    for _ in range(FLAGS.rounds):
        began, count = time.monotonic(), 0
        for batch in batches:
            images = batch[0] if isinstance(batch, tuple) else batch
            count += len(images)
        rates.append(count / (time.monotonic() - began))
    done.set()
    thread.join()
    return {"first": first, "rate": max(rates), "before": before, "peak": peak}


def main(argv):
    """Measure one case, or all of them, each in a process of its own."""
    del argv
    if FLAGS.measure:
        name, folder = FLAGS.measure.rsplit(",", 1)
        print(json.dumps(measured(name, Path(folder))))
        return
    print("| images | contender | first (s) | images/s | before (MiB) | peak (MiB) |")
    print("| -----: | :-------- | --------: | -------: | -----------: | ---------: |")
    with tempfile.TemporaryDirectory() as folder:
        for count in map(int, FLAGS.sizes):
            images = Path(folder, str(count))
            make(images, count)
            for name in CONTENDERS:
                row = _in_a_process(name, images)
                print(
                    f"| {count:,} | {name} | {row['first']:.1f} | {row['rate']:,.0f} | "
                    f"{row['before'] / 2**20:.0f} | {row['peak'] / 2**20:.0f} |",
                    flush=True,
                )


def _in_a_process(name, images):
    command = [sys.executable, __file__, f"--measure={name},{images}", f"--rounds={FLAGS.rounds}"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(shown.splitlines()[-1])


if __name__ == "__main__":
    app.run(main)
