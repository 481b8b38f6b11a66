"""Checkpoints of a run, written so that a kill at any moment leaves whole ones.

A run's folder holds one folder a checkpoint, `epoch-00007`, with the state of the model, the
optimizer and the random draws, and the run's history so far. A checkpoint is written aside and
renamed, so what bears that name is whole, whenever the process is killed. Of several workers, each
reads the checkpoints and the chief writes them.
"""

import contextlib
import json
import logging
import shutil
import tempfile

import tensorflow as tf

from mvae_tf.devices import strategies

_KEPT = 2  # should the last one be damaged, there is one before it


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read; says what remains and how to go on."""


class Checkpoints:
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
