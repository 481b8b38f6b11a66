"""The matrix products of a step on a CPU, one by one, in every way that TensorFlow has for them.

    python benchmarks/products.py [--num_components=4] [--dtypes=float32,bfloat16]

Each layer of the preset paper_mnist has three products at a batch of 128 (forward, for the weights'
gradient and for the input's), K of each. Prints a table of GFLOP/s for each dtype, counting what
the layer needs and not what padding adds: the best of several rounds, in which all take turns.

- batched: `tf.matmul` of [K, n, in] and [K, in, out], what `mvae_tf.networks.dense` does.
- one by one: K products of unstacked arrays, stacked again.
- last axis: weights kept as [in, K, out]; of the layer whose input all components share this is
  one flat product, elsewhere `tf.einsum` arranges it.
- padded: batched, with sizes raised to multiples of 32.
- XLA: batched, under `jit_compile`.
- PyTorch: `torch.bmm`.

TensorFlow's come with oneDNN's kernels and without, since a process has either: TensorFlow's own
default has them where the processor has AVX512-VNNI or better, `mvae_tf.startup` everywhere.
"""

import functools
import itertools
import multiprocessing
import os
import time

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_components", 4, "K.")
flags.DEFINE_list("dtypes", ["float32"], "Of the arrays.")
flags.DEFINE_integer("rounds", 12, "Turns of each product.")

BATCH, REPEATS = 128, 8  # the latter in one call, in turn, so that the call itself costs little
SIZES = ((784, 500), (500, 500), (500, 41), (20, 500), (500, 784))
PRODUCTS = ("forward", "weights", "input")
EQUATIONS = {
    "forward": "kni,iko->kno",
    "weights": "kni,kno->iko",
    "input": "kno,iko->kni",
}


def main(_):
    """Print a table for each dtype."""
    cases = [
        (size, product)
        for size, product in itertools.product(SIZES, PRODUCTS)
        if (size, product) != (SIZES[0], "input")  # of the images, which nobody needs
    ]
    for dtype in FLAGS.dtypes:
        columns = {}
        for one_dnn, suffix in (("1", "oneDNN"), ("0", "without")):
            times = _in_a_process(_tensorflow, one_dnn, dtype, cases)
            columns |= {f"{name}, {suffix}": each for name, each in times.items()}
        columns |= _in_a_process(_pytorch, "1", dtype, cases)
        print(f"\n{dtype}, K = {FLAGS.num_components}, {os.cpu_count()} cores, GFLOP/s\n")
        print(f"| layer | product | {' | '.join(columns)} |\n| :-- | :-- |{' -: |' * len(columns)}")
        for index, ((inputs, units), product) in enumerate(cases):
            work = 2e-9 * FLAGS.num_components * BATCH * inputs * units
            cells = [f"{work / each[index]:.0f}" for each in columns.values()]
            print(f"| {inputs} x {units} | {product} | {' | '.join(cells)} |")
        totals = [f"{1e3 * sum(each):.1f}" for each in columns.values()]
        print(f"| all | ms | {' | '.join(totals)} |")


def _in_a_process(measure, one_dnn, *arguments):
    os.environ |= {"TF_ENABLE_ONEDNN_OPTS": one_dnn, "TF_CPP_MIN_LOG_LEVEL": "3"}
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (FLAGS.num_components, FLAGS.rounds, *arguments))


def _tensorflow(num_components, rounds, dtype, cases):
    """Return each way's seconds, by name, in the order of the cases."""
    import tensorflow as tf

    matmul = {
        "forward": tf.matmul,
        "weights": functools.partial(tf.matmul, transpose_a=True),
        "input": functools.partial(tf.matmul, transpose_b=True),
    }

    def random(*shape):
        return tf.cast(tf.random.normal(shape), dtype)

    def one_by_one(product, left, right):
        pairs = zip(tf.unstack(left), tf.unstack(right), strict=True)
        return tf.stack([matmul[product](*pair) for pair in pairs])

    def flat(product, left, right):
        """Return the product of an input [n, in] that all components share."""
        right = tf.reshape(right, [right.shape[0], -1])
        return matmul[product](left, right)

    def ways(size, product):
        plain = _shapes(num_components, *size)
        padded = _shapes(num_components, *(-(-each // 32) * 32 for each in size))
        x, weights, y = plain
        joined = (x, (weights[1], weights[0], weights[2]), y)
        einsum = functools.partial(tf.einsum, EQUATIONS[product])
        if size == SIZES[0]:
            joined = (x[1:], joined[1], (y[1], y[0], y[2]))
            einsum = functools.partial(flat, product)
        return {
            "batched": (matmul[product], plain, {}),
            "one by one": (functools.partial(one_by_one, product), plain, {}),
            "last axis": (einsum, joined, {}),
            "padded": (matmul[product], padded, {}),
            "XLA": (matmul[product], plain, {"jit_compile": True}),
        }

    def repeated(product, way, shapes, options):
        left, right = _operands(product, shapes)
        pairs = [(random(*left), random(*right)) for _ in range(REPEATS)]

        def in_turn():
            results = []
            for pair in pairs:
                with tf.control_dependencies(results[-1:]):
                    results.append(way(*pair))
            return results

        return tf.function(in_turn, **options)

    seconds = {}
    for size, product in cases:
        functions = {name: repeated(product, *each) for name, each in ways(size, product).items()}
        for name, best in _best(functions, lambda results: results[-1].numpy(), rounds).items():
            seconds.setdefault(name, []).append(best)
    return seconds


def _pytorch(num_components, rounds, dtype, cases):
    import torch

    torch.set_num_threads(os.cpu_count())
    arrange = {
        "forward": lambda left, right: (left, right),
        "weights": lambda left, right: (left.mT, right),
        "input": lambda left, right: (left, right.mT),
    }

    def repeated(size, product):
        shapes = _operands(product, _shapes(num_components, *size))
        pairs = [
            [torch.randn(each).to(getattr(torch, dtype)) for each in shapes] for _ in range(REPEATS)
        ]
        return lambda: [torch.bmm(*arrange[product](*pair)) for pair in pairs]

    seconds = [_best({"": repeated(*case)}, lambda results: None, rounds)[""] for case in cases]
    return {"PyTorch": seconds}


def _shapes(num_components, inputs, units):
    """Return the shapes of a layer's input, weights and output."""
    return (
        (num_components, BATCH, inputs),
        (num_components, inputs, units),
        (num_components, BATCH, units),
    )


def _operands(product, shapes):
    x, weights, y = shapes
    return {"forward": (x, weights), "weights": (x, y), "input": (y, weights)}[product]


def _best(functions, wait, rounds):
    best = dict.fromkeys(functions, float("inf"))
    for function in functions.values():
        wait(function())
    for _, (name, function) in itertools.product(range(rounds), functions.items()):
        began = time.perf_counter()
        wait(function())
        best[name] = min(best[name], (time.perf_counter() - began) / REPEATS)
    return best


if __name__ == "__main__":
    app.run(main)
