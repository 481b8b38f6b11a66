"""Training to the end: the epochs, the order of the images, and exact resume.

The order of the images depends on seed and epoch alone: a run that goes on from a checkpoint takes
the same steps as one that was never stopped, bit for bit on the same machine.

A model made in the scope of a strategy of `devices.strategies` trains on all its devices, by the
same batches.
"""

import contextlib
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from mvae_tf import checks
from mvae_tf.devices import distribution, feeds, strategies
from mvae_tf.fitting import ImageTrainer
from mvae_tf.training.checkpoints import CheckpointError, Checkpoints
from mvae_tf.training.progress import Bar, Lines

_MOST_STEPS = 16  # in one execution: more gain nothing, and the bar would stand still


def train(
    model,
    split,
    *,
    validation=None,
    epochs: int,
    batch_size: int = 128,
    seed: int = 0,
    directory=None,
    progress: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> list[dict]:
    """Train a compiled model, from its last checkpoint if the directory holds one.

    Args:
        model: A compiled `MixtureVAE`.
        split: The images, what `datasets.load` gives as `.train`.
        validation: Other images, such as `.test`, on which the terms are measured after each epoch;
            training is the same with them.
        epochs: Passes over the images, those before a resume counted.
        batch_size: Images a step, on all devices together; the last batch of an epoch may be
            smaller.
        seed: Of the images' order in each epoch.
        directory: Where checkpoints are kept, one written at the end of each epoch. None: nowhere.
        progress: Whether to show a bar with the terms and the time left on stderr, or a line an
            epoch where stderr is no terminal.
        callbacks: Of Keras. What they do at the end of an epoch comes before its checkpoint.

    Returns:
        The history, one dict an epoch: "epoch" (from 1), "seconds" (those of validation and the
        callbacks included), the metrics' means and, named "val_...", those of validation.

    Raises:
        CheckpointError: if a checkpoint can't be written, or none of those there can be read.
        FloatingPointError: if a gradient is not finite; see `MixtureVAE.fit`.
        LostWorkerError: if another worker has stopped; see `mvae_tf.devices.strategies`.
    """
    checks.size("epochs", epochs)
    checks.size("batch_size", batch_size)
    strategy = model.distribute_strategy
    with strategy.scope():
        model.optimizer.build(model.trainable_variables)
    steps = -(-len(split) // batch_size)
    checkpoints = None if directory is None else Checkpoints(model, Path(directory), steps)
    if checkpoints is not None:
        checkpoints.require_writable()
    history = [] if checkpoints is None else checkpoints.restore()
    done = len(history)
    if strategies.is_multi_worker(strategy):
        _require_agreement(distribution.numbers(strategy, done), directory)
    if done >= epochs:
        return history[:epochs]
    with contextlib.ExitStack() as shown:
        callbacks = [*callbacks, _History(history, checkpoints)]
        if progress and strategies.is_chief_of(strategy):
            bar = Bar if sys.stderr.isatty() else Lines
            callbacks.append(shown.enter_context(bar(history, epochs, steps)))
        shown.enter_context(distribution.clear_errors(strategy))
        if strategy.num_replicas_in_sync > 1:
            # Keras doesn't know beforehand how many of their batches there are to validate.
            shown.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        orders = _orders(len(split), seed, done, epochs)
        if isinstance(model, ImageTrainer) and model.jit_compile:
            images = feeds.BlockFeed(split.images, orders, batch_size)
        else:
            images = distribution.batches(strategy, feeds.batches(orders, batch_size), split.gather)
            validation = validation and _validation(validation, batch_size, strategy)
        model.fit(
            images,
            initial_epoch=done,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=validation,
            validation_batch_size=batch_size,
            shuffle=False,  # they come in order; Keras warns that it can't shuffle them
            verbose=0,
            callbacks=callbacks,
        )
    return history


def steps_per_execution(num_images: int, batch_size: int) -> int:
    """Return how many steps to take in one call of the graph, for `MixtureVAE.compile`.

    Between two calls Python has its turn, which costs about 2 ms. The steps are the same.

    Args:
        num_images: To train on.
        batch_size: Images a step.

    Returns:
        The largest number up to 16 that divides the steps of an epoch; beyond its end Keras would
        take a part of the next.
    """
    steps = -(-num_images // batch_size)
    return next(count for count in range(_MOST_STEPS, 0, -1) if steps % count == 0)


def _orders(num_images, seed, first_epoch, last_epoch):
    """Return the order of the images in all epochs from first to last, which each epoch fixes."""

    def order(epoch):
        return tf.random.experimental.stateless_shuffle(
            tf.range(num_images, dtype=tf.int64), seed=[seed, epoch]
        )

    return tf.data.Dataset.range(first_epoch, last_epoch).map(order)


def _validation(split, batch_size, strategy):
    # Not `feeds.batches`: Keras is to know how many there are.
    indices = tf.data.Dataset.range(len(split)).batch(batch_size)
    return distribution.batches(strategy, indices, split.gather)


def _require_agreement(done, directory):
    if len(set(done)) > 1:
        raise CheckpointError(
            f"Expected all workers to read the same checkpoint in {directory}, a folder that they "
            f"share. Received: epochs {done}."
        )


class _History(keras.callbacks.Callback):
    """Adds each epoch to the history and writes a checkpoint."""

    def __init__(self, history, checkpoints):
        super().__init__()
        self._history = history
        self._checkpoints = checkpoints

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        seconds = round(time.monotonic() - self._began, 3)
        terms = {name: float(value) for name, value in logs.items()}
        self._history.append({"epoch": epoch + 1, "seconds": seconds, **terms})
        if self._checkpoints is not None:
            self._checkpoints.save(self._history)
