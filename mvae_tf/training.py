"""Training to the end: progress, checkpoints and exact resume.

A run's folder holds one folder a checkpoint, `epoch-00007`, with the state of the model, the
optimizer and the random draws, and the run's history so far. A checkpoint is written aside and
renamed, so what bears that name is whole, whenever the process is killed. The order of the images
depends on seed and epoch alone: a run that goes on from a checkpoint takes the same steps as one
that was never stopped, bit for bit on the same machine.

A model made in the scope of a strategy of `strategies` trains on all its devices, by the same
batches. Of several workers, each reads the checkpoints and the chief writes them.
"""

import contextlib
import json
import logging
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf
from tqdm import tqdm

from mvae_tf import checks, distribution, strategies

_KEPT = 2  # checkpoints: should the last one be damaged, there is one before it
_MOST_STEPS = 16  # in one execution: more gain nothing, and the bar would stand still


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read; says what remains and how to go on."""


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
        LostWorkerError: if another worker has stopped; see `mvae_tf.strategies`.
    """
    checks.size("epochs", epochs)
    checks.size("batch_size", batch_size)
    strategy = model.distribute_strategy
    with strategy.scope():
        model.optimizer.build(model.trainable_variables)
    checkpoints = None if directory is None else _Checkpoints(model, Path(directory))
    history = [] if checkpoints is None else checkpoints.restore()
    done = len(history)
    if strategies.is_multi_worker(strategy):
        _require_agreement(distribution.numbers(strategy, done), directory)
    if done >= epochs:
        return history[:epochs]
    steps = -(-len(split) // batch_size)
    with contextlib.ExitStack() as shown:
        callbacks = [*callbacks, _History(history, checkpoints)]
        if progress and strategies.is_chief_of(strategy):
            bar = _Bar if sys.stderr.isatty() else _Lines
            callbacks.append(shown.enter_context(bar(history, epochs, steps)))
        shown.enter_context(distribution.clear_errors(strategy))
        if strategy.num_replicas_in_sync > 1:
            # Keras doesn't know beforehand how many of their batches there are to validate.
            shown.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        model.fit(
            _batches(split, batch_size, seed, done, epochs, strategy),
            initial_epoch=done,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=validation and _validation(validation, batch_size, strategy),
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


def _batches(split, batch_size, seed, first_epoch, last_epoch, strategy):
    """Return the batches of all epochs from first to last, in an order that each epoch fixes."""

    def order(epoch):
        indices = tf.random.experimental.stateless_shuffle(
            tf.range(len(split), dtype=tf.int64), seed=[seed, epoch]
        )
        return tf.data.Dataset.from_tensor_slices(indices).batch(batch_size)

    epochs = tf.data.Dataset.range(first_epoch, last_epoch)
    return distribution.batches(strategy, epochs.flat_map(order), split.gather)


def _validation(split, batch_size, strategy):
    indices = tf.data.Dataset.range(len(split)).batch(batch_size)
    return distribution.batches(strategy, indices, split.gather)


def _require_agreement(done, directory):
    if len(set(done)) > 1:
        raise CheckpointError(
            f"Expected all workers to read the same checkpoint in {directory}, a folder that they "
            f"share. Received: epochs {done}."
        )


class _Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, model, directory):
        # All there is to a step: weights, moments and the state of the random draws.
        variables = [*model.variables, *model.optimizer.variables]
        self._state = tf.train.Checkpoint(variables=[variable.value for variable in variables])
        self._directory = directory
        self._is_chief = strategies.is_chief_of(model.distribute_strategy)

    def restore(self):
        """Restore the newest readable checkpoint and return its history; [] if there is none."""
        found = self._list()
        for path in reversed(found):
            try:
                history = json.loads((path / "history.json").read_text())
                self._state.read(str(path / "state")).assert_consumed()
                return history
            # Damage shows in many ways, and any of them only means: the one before.
            except Exception as error:
                reason = str(error).splitlines()[0]
                logging.warning("Checkpoint %s can't be read (%s).", path, reason)
        if found:
            raise CheckpointError(
                f"None of the checkpoints in {self._directory} can be read. They are left as they "
                "are; to train from the beginning, delete the folder."
            )
        return []

    def save(self, history):
        """Write a checkpoint and drop all but the newest; a failure loses none of those there."""
        if not self._is_chief:
            # TensorFlow adds up over the workers what each has its own of, so that all take part.
            with tempfile.TemporaryDirectory() as unused:
                self._state.write(f"{unused}/state")
            return
        path = self._directory / f"epoch-{len(history):05d}"
        aside = self._directory / "writing"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            (aside / "history.json").write_text(json.dumps(history, indent=1))
            self._state.write(str(aside / "state"))
            shutil.rmtree(path, ignore_errors=True)  # an unreadable one of that epoch
            aside.rename(path)
        except (OSError, tf.errors.OpError) as error:
            with contextlib.suppress(OSError):
                shutil.rmtree(aside)
            kept = [before.name for before in self._list()]
            raise CheckpointError(
                f"The checkpoint {path} could not be written: {str(error).splitlines()[0]}. Kept: "
                f"{', '.join(kept) or 'none'}. Make room, or the folder writable, and train again: "
                "it goes on from the newest."
            ) from error
        for old in self._list()[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def _list(self):
        return sorted(self._directory.glob("epoch-?????"))


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


class _Progress(keras.callbacks.Callback, contextlib.AbstractContextManager):
    def __init__(self, history, epochs, steps):
        super().__init__()
        self._done, self._epochs, self._steps = len(history), epochs, steps

    def __exit__(self, *failure):
        pass


class _Bar(_Progress):
    """One bar over all epochs, with the terms beside it."""

    def __enter__(self):
        self._bar = tqdm(
            total=self._epochs * self._steps, initial=self._done * self._steps, unit="step"
        )
        return self

    def __exit__(self, *failure):
        self._bar.close()  # also where training was stopped: what is printed next has its own line

    def on_epoch_begin(self, epoch, logs=None):
        self._before = epoch * self._steps
        self._bar.set_description(f"epoch {epoch + 1}/{self._epochs}", refresh=False)

    def on_train_batch_end(self, batch, logs=None):
        steps = self._before + batch + 1 - self._bar.n  # of one execution; batch is the last's
        if self._bar.update(steps):  # only when it is drawn: reading the terms takes time
            self._bar.set_postfix_str(_format(logs), refresh=False)


class _Lines(_Progress):
    """One line an epoch, for logs."""

    def on_train_begin(self, logs=None):
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        each = (time.monotonic() - self._began) / (epoch + 1 - self._done)
        left = tqdm.format_interval(each * (self._epochs - epoch - 1))
        print(
            f"epoch {epoch + 1}/{self._epochs}: {_format(logs)}, {left} left",
            file=sys.stderr,
            flush=True,
        )


def _format(logs):
    shown = {name: value for name, value in logs.items() if not name.startswith("val_")}
    return ", ".join(f"{name} {float(value):.4g}" for name, value in shown.items())
