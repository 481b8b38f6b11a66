"""Which devices train a model together, by the names of `tf.distribute`'s strategies.

Of several workers, processes on one machine or on many, one is the chief: it alone writes files and
prints. TF_CONFIG tells each of them the addresses of all, and which it is itself. TensorFlow starts
only where a strategy is made.
"""

import contextlib
import functools
import json
import os
import re
from collections.abc import Iterator

STRATEGIES = ("none", "mirrored", "multi_worker")

_EXPECTED = (
    'Expected TF_CONFIG to be like {"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, "task": '
    '{"type": "worker", "index": 0}} with every worker\'s address and this one\'s index'
)


class LostWorkerError(ConnectionError):
    """Another worker is gone, and with it the step that all of them were at."""


def check(name: str) -> None:
    """Refuse a strategy that can't be made, before TensorFlow starts.

    Raises:
        ValueError: it is none of `STRATEGIES`, or "multi_worker" without a TF_CONFIG that names a
            cluster of workers and this one's place in it.
    """
    if name not in STRATEGIES:
        raise ValueError(f"Expected strategy to be one of {STRATEGIES}. Received: {name!r}.")
    if name == "multi_worker":
        _tf_config()


def get(name: str):
    """Return a `tf.distribute.Strategy`, in whose scope a model is to be made.

    The batch size is that of all replicas together. For "multi_worker" every worker runs the same
    program with its own TF_CONFIG; the call waits until all have come, and has to come before
    TensorFlow computes anything. Files are written by the chief alone, the first worker, and read
    by all: they share the file system. A worker that is lost stops the others, and all are to be
    started again.

    Args:
        name: "none": one device; "mirrored": all GPUs of this machine, or without one its logical
            CPUs; "multi_worker": the devices of the workers that TF_CONFIG names.

    Raises:
        ValueError: see `check`.
        ConnectionError: the workers can't be reached.
        RuntimeError: "multi_worker" comes too late.

    Example:
        ```python
        with mvae_tf.devices.strategies.get("mirrored").scope():
            model = mvae_tf.MixtureVAE((28, 28, 1), num_components=4, latent_dim=20)
            model.compile(optimizer=mvae_tf.training.optimizers.FusedAdam())
        ```
    """
    check(name)
    import tensorflow as tf

    return tf.distribute.get_strategy() if name == "none" else _made(name)


def is_chief(name: str) -> bool:
    """Return whether this process prints and writes files: all do, but the other workers.

    Raises:
        ValueError: see `check`.
    """
    check(name)
    if name != "multi_worker":
        return True
    cluster, task = _tf_config()
    return task == ("chief" if "chief" in cluster else "worker", 0)


@contextlib.contextmanager
def only_chief_prints(name: str) -> Iterator[None]:
    """Drop what Python prints in the other workers; what is raised passes."""
    with contextlib.ExitStack() as stack:
        if not is_chief(name):
            nothing = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nothing))
            stack.enter_context(contextlib.redirect_stderr(nothing))
        yield


def is_multi_worker(strategy) -> bool:
    """Return whether a `tf.distribute.Strategy` has other workers than this process."""
    return _num_workers(strategy) > 1


def is_chief_of(strategy) -> bool:
    """Return whether this process is the one of a `tf.distribute.Strategy` that writes files."""
    if not is_multi_worker(strategy):
        return True
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec().jobs
    return (resolver.task_type, resolver.task_id) == ("chief" if "chief" in jobs else "worker", 0)


def described(strategy) -> str:
    """Return a `tf.distribute.Strategy` in words, such as "mirrored (2 devices)"."""
    import tensorflow as tf

    count = strategy.num_replicas_in_sync
    devices = f"{count} device{'s' * (count > 1)}"
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        workers = _num_workers(strategy)
        return f"multi_worker ({devices} of {workers} worker{'s' * (workers > 1)})"
    if isinstance(strategy, tf.distribute.MirroredStrategy):
        return f"mirrored ({devices})"
    return f"none ({devices})" if count == 1 else f"{type(strategy).__name__} ({devices})"


@functools.cache  # a process joins its cluster once
def _made(name):
    import tensorflow as tf

    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise RuntimeError(
            "Expected the strategy multi_worker before TensorFlow computes anything. Received: a "
            f"process in which it has begun ({error})."
        ) from error
    except tf.errors.OpError as error:
        raise ConnectionError(
            f"Expected to join the workers that TF_CONFIG names. Received: {error.message}."
        ) from error


def _num_workers(strategy):
    import tensorflow as tf

    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec().as_dict()
    return sum(map(len, cluster.values())) or 1


def _tf_config():
    """Return TF_CONFIG's cluster, addresses by job, and this process's job and index."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise ValueError(f"{_EXPECTED}. Received: none.")
    try:
        config = json.loads(text)
        cluster, job, index = config["cluster"], config["task"]["type"], config["task"]["index"]
        addresses = [address for job in cluster.values() for address in job]
        good = (
            set(cluster) <= {"chief", "worker"}
            and all(re.fullmatch(r".+:\d+", address) for address in addresses)
            and len(set(addresses)) == len(addresses)
            and type(index) is int
            and 0 <= index < len(cluster[job])
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{_EXPECTED}. Received: {text!r}.") from error
    if not good:
        raise ValueError(f"{_EXPECTED}. Received: {text!r}.")
    return cluster, (job, index)
