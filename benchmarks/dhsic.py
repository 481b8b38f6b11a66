"""What dHSIC costs: beside hyppo, as n, K and d grow, and in a training step.

    python benchmarks/dhsic.py [--max_n=60000]

Prints four Markdown tables, of standard normal variables, with d = 20 but in the third:

- at n = 4,000 and K = 4, time and relative error beside hyppo's, for variables that are independent
  and for some that share a part; the error is that against float64, computed by NumPy;
- time and peak memory of a process (TensorFlow's own included) that computes one dHSIC, for n up to
  --max_n and K = 2, 4, 10; "exp" is NumPy's bare exponential on one core, of as many numbers as
  there are kernel entries for i <= j, done in pieces that stay in the cache;
- time at n = 4,000 and K = 4 as d grows;
- value and gradient inside a graph, at a training batch's n = 128.

Times are the least of several. Hyppo 0.5.2 keeps full matrices in float64: it is not asked for more
than 4,000 samples.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("max_n", 60_000, "The most samples of the growth table.")
flags.DEFINE_string("measure", None, "n,K: measure one case and print JSON.")

DIMENSION = 20
SIZES = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 60_000)
COUNTS = (2, 4, 10)
DIMENSIONS = (1, 5, 20, 100, 500)


def main(_):
    """Print the tables, or one case of the second."""
    if FLAGS.measure:
        n, count = map(int, FLAGS.measure.split(","))
        print(json.dumps(_measured(n, count)))
        return
    _beside_hyppo()
    _growth()
    _in_dimensions()
    _in_training()


def _variables(n, count, shared=0.0, dimension=DIMENSION):
    rng = np.random.default_rng(0)
    values = rng.normal(size=[count, n, dimension]) + shared * rng.normal(size=[n, 1])
    return list(values.astype(np.float32))


def _beside_hyppo():
    from hyppo.d_variate import dHsic

    from mvae_tf import dhsic
    from mvae_tf.hsic import dimension_bandwidth

    theirs = dHsic(gamma=1 / (2 * dimension_bandwidth(DIMENSION) ** 2))
    print("| variables | ours (s) | hyppo (s) | ratio | relative error | hyppo's |")
    print("| :-------- | -------: | --------: | ----: | -------------: | ------: |")
    for name, shared in (("independent", 0.0), ("sharing a part", 0.3)):
        variables = _variables(4_000, 4, shared)
        wide = [variable.astype(np.float64) for variable in variables]
        value, reference = float(dhsic(variables)), _reference(wide)
        error, hyppos = (abs(v / reference - 1) for v in (value, theirs.statistic(*wide)))
        ours, other = [], []
        for _ in range(3):  # in turns, so that what else the machine does meets both
            ours.append(_least(dhsic, 3, variables))
            other.append(_least(theirs.statistic, 1, *wide))
        ratio = min(other) / min(ours)
        print(
            f"| {name} | {min(ours):.3f} | {min(other):.2f} | {ratio:.1f} | {error:.1e} "
            f"| {hyppos:.1e} |",
            flush=True,
        )
    print()


def _reference(variables):
    """Return dHSIC in float64, kernel by kernel."""
    from mvae_tf.hsic import dimension_bandwidth

    joint, rows = 1.0, []
    for variable in variables:
        norms = (variable**2).sum(axis=1)
        squared = norms[:, None] + norms[None, :] - 2 * variable @ variable.T
        kernel = np.exp(-np.maximum(squared, 0) / (2 * dimension_bandwidth(DIMENSION) ** 2))
        joint = joint * kernel
        rows.append(kernel.mean(axis=1))
    product = np.prod([row.mean() for row in rows])
    return joint.mean() + product - 2 * np.prod(rows, axis=0).mean()


def _growth():
    print("| n | K | seconds | exp (s) | ratio | peak memory (MiB) |")
    print("| -: | -: | -----: | ------: | ----: | ----------------: |")
    for count in COUNTS:
        for n in [size for size in SIZES if size <= FLAGS.max_n]:
            command = [sys.executable, __file__, f"--measure={n},{count}"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, bare, memory = json.loads(done.stdout.splitlines()[-1])
            ratio = seconds / bare
            row = f"| {n:,} | {count} | {seconds:.3f} | {bare:.3f} | {ratio:.1f} | {memory:.0f} |"
            print(row, flush=True)
    print()


def _measured(n, count):
    from mvae_tf import dhsic

    variables = _variables(n, count)
    dhsic([variable[:1_000] for variable in variables])  # TensorFlow's start
    began = time.perf_counter()
    dhsic(variables)
    first = time.perf_counter() - began
    again = 0 if first > 2 else 5
    seconds = min([first, *(_least(dhsic, 1, variables) for _ in range(again))])
    # Not getrusage's maximum: a process starts with that of the one which started it.
    memory = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 2**10
    piece = np.full(2**16, -1.0, np.float32)
    bare = _least(np.exp, 200, piece, np.empty_like(piece)) / piece.size
    return seconds, bare * count * n * (n + 1) / 2, memory


def _in_dimensions():
    from mvae_tf import dhsic

    print("| n | K | d | seconds |")
    print("| -: | -: | -: | -----: |")
    for dimension in DIMENSIONS:
        seconds = _least(dhsic, 9, _variables(4_000, 4, dimension=dimension))
        print(f"| 4,000 | 4 | {dimension} | {seconds:.3f} |", flush=True)
    print()


def _in_training():
    import tensorflow as tf

    from mvae_tf import dhsic

    print("| n | K | value and gradient (ms) |")
    print("| -: | -: | ---------------------: |")
    for count in COUNTS:

        @tf.function(input_signature=[tf.TensorSpec([None, count, DIMENSION])])
        def gradient(codes):
            with tf.GradientTape() as tape:
                tape.watch(codes)
                value = dhsic(tf.unstack(codes, axis=1))
            return tape.gradient(value, codes)

        codes = tf.constant(np.stack(_variables(128, count), axis=1))
        milliseconds = 1e3 * _least(gradient, 300, codes)
        print(f"| 128 | {count} | {milliseconds:.2f} |", flush=True)


def _least(function, times, *arguments):
    function(*arguments)
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        function(*arguments)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


if __name__ == "__main__":
    app.run(main)
