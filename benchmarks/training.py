"""How fast M-VAE trains: beside its peers and beside the machine's matrix products.

    python benchmarks/training.py [--num_components=4,10] [--batch_sizes=128] [--precisions=float32]

Every contender trains the networks of the preset paper_mnist (2 x 500, d = 20) on the same images
with everything a step needs: shuffled batches, draws, KL terms, dHSIC, Adam.

- mvae_tf: `MixtureVAE` as a run of `python -m mvae_tf train` builds, feeds and fits it.
- Keras loop: the same model of K pairs of `keras.Sequential`, with Keras's Adam.
- PyTorch loop: K pairs of `nn.Sequential`, Adam in its fused form.
- PyTorch compiled: batched products under `torch.compile`, Adam in its fused form.

Each runs in a process of its own; they take turns, round by round, with the others asleep, so that
what else the machine does meets all of them. Prints the median round's samples a second, its ratio
to ours and the fraction of the limit: the rate of a large matrix product in the same precision,
taken in the same rounds, over the operations of the networks' products.

Precisions: float32, and mixed_bfloat16 if `mvae_tf.precision` takes it here or it is asked for.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import itertools
import multiprocessing
import statistics
import time

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_list("num_components", ["4", "10"], "K.")
flags.DEFINE_list("batch_sizes", ["128"], "Images a step.")
flags.DEFINE_list("precisions", None, "Dtype policies. Default: what is said above.")
flags.DEFINE_multi_string("contenders", None, "Only these. Default: all.")
flags.DEFINE_integer("rounds", 7, "Turns of each contender.")
flags.DEFINE_integer("steps", 60, "Of a turn, at K = 4 and 128 images; fewer if they are larger.")

IMAGES, PIXELS, LATENT_DIM, HIDDEN_UNITS = 60_000, 784, 20, (500, 500)


def main(_):
    """Print one table for each precision."""
    from mvae_tf import precision

    chosen = FLAGS.precisions or ["float32"]
    if FLAGS.precisions is None and precision.resolve().policy != "float32":
        chosen.append(precision.resolve().policy)
    print(f"auto: {precision.resolve()}; {os.cpu_count()} cores\n")
    for policy in chosen:
        print(f"{policy}\n")
        print("| K | batch | contender | samples/s | ours / its | of the limit |")
        print("| -: | ----: | :-------- | --------: | ---------: | -----------: |")
        for count, batch in itertools.product(FLAGS.num_components, FLAGS.batch_sizes):
            _compare(policy, int(count), int(batch))
        print()


def _compare(policy, num_components, batch_size):
    names = FLAGS.contenders or [name for name in CONTENDERS if name != "limit"]
    contenders = [
        _Contender(name, policy, num_components, batch_size) for name in ("limit", *names)
    ]
    steps = max(10, FLAGS.steps * 4 * 128 // (num_components * batch_size))
    rates = {each.name: [] for each in contenders}
    for _ in range(FLAGS.rounds):
        for each in contenders:
            rates[each.name].append(each.run(steps))
    for each in contenders:
        each.stop()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    limit = medians.pop("limit") / (num_components * _operations())
    for name, rate in medians.items():
        ratio = f"{medians['mvae_tf'] / rate:.2f}" if "mvae_tf" in medians else "-"
        cells = (num_components, batch_size, name, f"{rate:,.0f}", ratio, f"{rate / limit:.2f}")
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    print(f"| {num_components} | {batch_size} | limit | {limit:,.0f} | | 1 |", flush=True)


def _operations():
    """Return the operations of one component's matrix products for one sample.

    A layer has three products, forward and for both gradients; the images need no gradient.
    """
    encoder = (PIXELS, *HIDDEN_UNITS, 2 * LATENT_DIM + 1)
    decoder = (LATENT_DIM, *reversed(HIDDEN_UNITS), PIXELS)
    weights = sum(i * o for sizes in (encoder, decoder) for i, o in itertools.pairwise(sizes))
    return 2 * (3 * weights - PIXELS * HIDDEN_UNITS[0])


class _Contender:
    """A process that trains when told to."""

    def __init__(self, name, *arguments):
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, *arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.run(5)  # compiled and warm before the first turn

    def run(self, steps):
        """Return the rate of so many steps: samples, or of the limit operations, a second."""
        self._pipe.send(steps)
        return self._pipe.recv()

    def stop(self):
        self._pipe.send(None)
        self._process.join()


def _serve(pipe, name, *arguments):
    run = CONTENDERS[name](*arguments)
    while (steps := pipe.recv()) is not None:
        began = time.perf_counter()
        work = run(steps)
        pipe.send(work / (time.perf_counter() - began))


def _images():
    return np.random.default_rng(0).integers(256, size=[IMAGES, PIXELS], dtype=np.uint8)


def _ours(policy, num_components, batch_size):
    from mvae_tf import run_folder

    protocol = {"epochs": 1, "batch_size": batch_size, "learning_rate": 1e-3, "seed": 0}
    protocol |= {"decay": "none", "precision": policy}
    shape = {"image_shape": (28, 28, 1), "hidden_units": HIDDEN_UNITS}
    model = {**shape, "num_components": num_components, "latent_dim": LATENT_DIM, "seed": 0}
    settings = {"model": model, "training": protocol}
    return _fitting(run_folder.build(settings, IMAGES), batch_size)


def _keras_loop(policy, num_components, batch_size):
    from peers import keras_loop

    model = keras_loop.model(num_components=num_components, latent_dim=LATENT_DIM, precision=policy)
    return _fitting(model, batch_size)


def _fitting(model, batch_size):
    from mvae_tf import training
    from mvae_tf.datasets.splits import Split

    split = Split(_images().reshape(-1, 28, 28, 1), None, is_train=True)
    batches = training._batches(split, batch_size, 0, 0, 10**6, model.distribute_strategy)

    def run(steps):
        model.fit(batches, steps_per_epoch=steps, verbose=0)
        return steps * batch_size

    return run


def _pytorch(kind, policy, num_components, batch_size):
    from peers import pytorch

    train = pytorch.trainer(
        kind,
        _images(),
        num_components=num_components,
        latent_dim=LATENT_DIM,
        batch_size=batch_size,
        bfloat16=policy == "mixed_bfloat16",
        threads=os.cpu_count(),
    )

    def run(steps):
        train(steps)
        return steps * batch_size

    return run


def _limit(policy, *_):
    import tensorflow as tf

    size = 2048
    dtype = tf.bfloat16 if policy == "mixed_bfloat16" else tf.float32
    left, right = tf.cast(tf.random.normal([2, size, size]), dtype)

    def run(_):
        for _ in range(10):
            product = tf.matmul(left, right)
        product.numpy()
        return 10 * 2 * size**3

    return run


CONTENDERS = {
    "limit": _limit,
    "mvae_tf": _ours,
    "Keras loop": _keras_loop,
    "PyTorch loop": functools.partial(_pytorch, "loop"),
    "PyTorch compiled": functools.partial(_pytorch, "compiled"),
}


if __name__ == "__main__":
    app.run(main)
