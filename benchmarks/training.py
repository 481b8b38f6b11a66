"""How fast M-VAE trains: beside its peers and beside the machine's matrix products.

    python benchmarks/training.py [--num_components=4,10] [--batch_sizes=128] [--precisions=float32]
    python benchmarks/training.py --device=gpu --batch_sizes=128,1024

Every contender trains the networks of the preset paper_mnist (2 x 500, d = 20) on the same images
with everything a step needs: shuffled batches, draws, KL terms, dHSIC, Adam.

- mvae_tf: `MixtureVAE` as `python -m mvae_tf train` builds, feeds and fits it, once it has begun;
  on a GPU compiled (`--jit`), and beside it step by step.
- Keras loop: the same model of K pairs of `keras.Sequential`, with Keras's Adam.
- PyTorch loop: K pairs of `nn.Sequential`, Adam in its fused form.
- PyTorch compiled: batched products under `torch.compile`, Adam in its fused form; on a GPU also
  replayed as CUDA graphs.
- JAX scan: batched products, blocks of steps in one program under `jit`.
- limit: large matrix products of as many operations as the networks' products have.
- limit and Adam: these and, once a step, the fused Adam on as many parameters, which memory bounds.

Each runs in a process of its own; they take turns, round by round, with the others asleep, so that
what else the machine does meets all of them, in both precisions. Prints the median round's samples
a second, its ratio to ours and the fraction of the limit, of the same precision; then ours over the
best peer of either precision. On a GPU float32 products are in TF32, everybody's.

Precisions: float32, and mixed_bfloat16 if `mvae_tf.training.precision` takes it here or it is
asked for.
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
flags.DEFINE_enum("device", "cpu", ["cpu", "gpu"], "Where all of them train.")
flags.DEFINE_list("num_components", ["4", "10"], "K.")
flags.DEFINE_list("batch_sizes", ["128"], "Images a step.")
flags.DEFINE_list("precisions", None, "Dtype policies. Default: what is said above.")
flags.DEFINE_multi_string("contenders", None, "Only these, one each time. Default: all.")
flags.DEFINE_integer("rounds", 5, "Turns of each contender.")
flags.DEFINE_integer("steps", 120, "Of a turn, at K = 4 and 128 images; fewer of larger ones.")
flags.DEFINE_integer(
    "start_seconds", 300, "What a contender may take to begin; one that does not is left out."
)

IMAGES, PIXELS, LATENT_DIM, HIDDEN_UNITS = 60_000, 784, 20, (500, 500)


def main(_):
    """Print a table, and the ratios across precisions."""
    from mvae_tf.training import precision

    policies = FLAGS.precisions or ["float32"]
    if FLAGS.precisions is None and precision.resolve().policy != "float32":
        policies.append(precision.resolve().policy)
    print(f"auto: {precision.resolve()}; {os.cpu_count()} cores; {_device_name()}\n")
    print("| K | batch | precision | contender | samples/s | ours / its | of the limit |")
    print("| -: | ----: | :-------- | :-------- | --------: | ---------: | -----------: |")
    ratios = []
    for count, batch in itertools.product(FLAGS.num_components, FLAGS.batch_sizes):
        rates = _rates(policies, int(count), int(batch))
        for policy in policies:
            _print_rows(rates[policy], count, batch, policy)
        ratios += [f"K = {count}, batch {batch}, {each}" for each in _across(rates)]
    print("\n" + "\n".join(ratios))


def _rates(policies, num_components, batch_size):
    """Return the median samples a second of each contender, by precision."""
    names = FLAGS.contenders or (ON_GPU if FLAGS.device == "gpu" else ON_CPU)
    contenders = {
        (policy, name): _Contender(name, FLAGS.device, policy, num_components, batch_size)
        for policy in policies
        for name in dict.fromkeys(["limit", *names])
    }
    rates = {key: [] for key in contenders}
    for key, each in list(contenders.items()):
        if not each.wait():
            print(f"left out, since it did not start: {key}", flush=True)
            del contenders[key], rates[key]
    steps = max(10, FLAGS.steps * 4 * 128 // (num_components * batch_size))
    for _ in range(FLAGS.rounds):
        for key, each in contenders.items():
            rates[key].append(each.run(steps))
    for each in contenders.values():
        each.stop()
    medians = {policy: {} for policy in policies}
    for (policy, name), values in rates.items():
        medians[policy][name] = statistics.median(values)
    return medians


def _print_rows(rates, num_components, batch_size, policy):
    for name, rate in rates.items():
        ratio = f"{rates[OURS] / rate:.2f}" if OURS in rates else "-"
        of_limit = f"{rate / rates['limit']:.2f}" if "limit" in rates else "-"
        cells = (num_components, batch_size, policy, name, f"{rate:,.0f}", ratio)
        print(f"| {' | '.join(map(str, cells))} | {of_limit} |", flush=True)


def _across(rates):
    """Say how we compare with the best peer, in each pair of precisions."""
    best = {
        policy: max(rate for name, rate in each.items() if name.startswith(PEERS))
        for policy, each in rates.items()
        if OURS in each and any(name.startswith(PEERS) for name in each)
    }
    return [
        f"{ours} over the best peer in {theirs}: {rates[ours][OURS] / best[theirs]:.2f}"
        for ours, theirs in itertools.product(best, best)
    ]


def _parameters():
    """Return the weights of one component's layers; biases are few."""
    encoder = (PIXELS, *HIDDEN_UNITS, 2 * LATENT_DIM + 1)
    decoder = (LATENT_DIM, *reversed(HIDDEN_UNITS), PIXELS)
    return sum(i * o for sizes in (encoder, decoder) for i, o in itertools.pairwise(sizes))


def _operations():
    """Return the operations of one component's matrix products for one sample.

    A layer has three products, forward and for both gradients; the images need no gradient.
    """
    return 2 * (3 * _parameters() - PIXELS * HIDDEN_UNITS[0])


class _Contender:
    """A process that trains when told to; all start at once."""

    def __init__(self, name, *arguments):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, *arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.send(5)

    def wait(self):
        """Return whether it has become warm, and compiled; some can't everywhere."""
        try:
            return self._pipe.poll(FLAGS.start_seconds) and self._pipe.recv() is not None
        except EOFError:
            return False

    def run(self, steps):
        """Return the samples a second of so many steps, or a few more."""
        self._pipe.send(steps)
        return self._pipe.recv()

    def stop(self):
        self._pipe.send(None)
        self._process.join()


def _serve(pipe, name, device, *arguments):
    if device == "gpu":  # all of them live there at once
        os.environ |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "0"}
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if name.startswith((OURS, "limit")):
        from mvae_tf import startup

        startup.import_tensorflow()  # as our programs do
    run = CONTENDERS[name](*arguments)
    while (steps := pipe.recv()) is not None:
        began = time.perf_counter()
        work = run(steps)
        pipe.send(work / (time.perf_counter() - began))


def _images():
    return np.random.default_rng(0).integers(256, size=[IMAGES, PIXELS], dtype=np.uint8)


def _ours(policy, num_components, batch_size, *, jit=None):
    from mvae_tf.training import jit as choices, run_folder

    protocol = {"epochs": 1, "batch_size": batch_size, "learning_rate": 1e-3, "seed": 0}
    jit = jit or choices.resolve().jit
    protocol |= {"decay": "none", "precision": policy, "jit": jit}
    shape = {"image_shape": (28, 28, 1), "hidden_units": HIDDEN_UNITS}
    model = {**shape, "num_components": num_components, "latent_dim": LATENT_DIM, "seed": 0}
    model = run_folder.build({"model": model, "training": protocol}, IMAGES)
    return (_in_blocks if jit == "on" else _fitting)(model, batch_size)


def _in_blocks(model, batch_size):
    from mvae_tf.devices import feeds
    from mvae_tf.training import loop

    feed = feeds.BlockFeed(
        _images().reshape(-1, 28, 28, 1), loop._orders(IMAGES, 0, 0, 10**6), batch_size
    )
    model.optimizer.build(model.trainable_variables)
    model.make_train_function()
    model._running.feeds["train"] = feed
    source = iter(feed.blocks)

    def run(steps):
        executions = -(-steps // feed.steps_per_block)
        for _ in range(executions):
            model.train_function(source)
        model._running.steps["train"].finish()
        return executions * feed.steps_per_epoch / feed.blocks_per_epoch * batch_size

    return run


def _keras_loop(policy, num_components, batch_size):
    from peers import keras_loop

    model = keras_loop.model(num_components=num_components, latent_dim=LATENT_DIM, precision=policy)
    return _fitting(model, batch_size)


def _fitting(model, batch_size):
    from mvae_tf.datasets.splits import Split
    from mvae_tf.devices import feeds
    from mvae_tf.training import loop

    split = Split(_images().reshape(-1, 28, 28, 1), None, is_train=True)
    indices = feeds.batches(loop._orders(IMAGES, 0, 0, 10**6), batch_size)
    batches = split.gather(indices)

    at_once = model.steps_per_execution
    model.fit(batches, steps_per_epoch=at_once, verbose=0)
    source = iter(batches)

    def run(steps):
        # As fit goes on within an epoch; to begin one takes it 0.2 s, once.
        executions = -(-steps // at_once)
        for _ in range(executions):
            logs = model.train_function(source)
        float(logs["loss"])
        return executions * at_once * batch_size

    return run


def _pytorch(kind, policy, num_components, batch_size):
    import torch
    from peers import pytorch

    train = pytorch.trainer(
        kind,
        _images(),
        num_components=num_components,
        latent_dim=LATENT_DIM,
        batch_size=batch_size,
        bfloat16=policy == "mixed_bfloat16",
        threads=os.cpu_count(),
        device="cuda" if torch.cuda.is_available() else "cpu",
    )

    def run(steps):
        train(steps)
        return steps * batch_size

    return run


def _jax(policy, num_components, batch_size):
    from peers import jax_scan

    train = jax_scan.trainer(
        _images(),
        num_components=num_components,
        latent_dim=LATENT_DIM,
        batch_size=batch_size,
        bfloat16=policy == "mixed_bfloat16",
    )
    return lambda steps: train(steps) * batch_size


def _device_name():
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU") if FLAGS.device == "gpu" else []
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return ", ".join(each.get("device_name", "a GPU") for each in details) or "no GPU"


def _limit(policy, num_components, batch_size, *, adam):
    import tensorflow as tf

    from mvae_tf.training.optimizers import FusedAdam

    size = 8192 if tf.config.list_physical_devices("GPU") else 2048
    dtype = tf.bfloat16 if policy == "mixed_bfloat16" else tf.float32
    left, right = tf.cast(tf.random.normal([2, size, size]), dtype)
    # A component at a time, as ours are arrays of about this size.
    variables = [tf.Variable(tf.random.normal([_parameters()])) for _ in range(num_components)]
    gradients = [tf.random.normal([_parameters()]) for _ in variables]
    optimizer = FusedAdam()
    optimizer.build(variables)
    update = tf.function(lambda: optimizer.apply(gradients, variables))

    def run(steps):
        operations = steps * batch_size * num_components * _operations()
        products, rest = divmod(operations, 2 * size**3)
        for _ in range(products):
            tf.matmul(left, right)
        tf.matmul(left, right[:, : rest // (2 * size**2)]).numpy()
        for _ in range(steps if adam else 0):
            update()
        return steps * batch_size

    return run


OURS = "mvae_tf"
PEERS = ("PyTorch", "JAX")
CONTENDERS = {
    OURS: _ours,
    "mvae_tf, step by step": functools.partial(_ours, jit="off"),
    "mvae_tf, compiled": functools.partial(_ours, jit="on"),
    "Keras loop": _keras_loop,
    "PyTorch loop": functools.partial(_pytorch, "loop"),
    "PyTorch compiled": functools.partial(_pytorch, "compiled"),
    "PyTorch graphs": functools.partial(_pytorch, "graphs"),
    "JAX scan": _jax,
    "limit": functools.partial(_limit, adam=False),
    "limit and Adam": functools.partial(_limit, adam=True),
}
ON_CPU = (OURS, "Keras loop", "PyTorch loop", "PyTorch compiled", "limit", "limit and Adam")
ON_GPU = tuple(name for name in CONTENDERS if name not in ("Keras loop", "mvae_tf, compiled"))
flags.register_validator(
    "contenders",
    lambda names: set(names or ()) <= set(CONTENDERS),
    f"one each time, of {', '.join(map(repr, CONTENDERS))}.",
)


if __name__ == "__main__":
    app.run(main)
