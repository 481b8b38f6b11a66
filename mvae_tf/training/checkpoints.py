"""Checkpoints of a run, written so that a kill at any moment leaves whole ones.

A run's folder holds one folder a checkpoint, `epoch-00007`, with the state of the model, the
optimizer and the random draws, and the run's history so far. A checkpoint is written aside and
renamed once it is on the disk, so what bears that name is whole, whenever the process is killed or
the power fails. Of several workers, each reads the checkpoints and the chief writes them.
"""

import json
import logging
import tempfile

import tensorflow as tf

from mvae_tf import files
from mvae_tf.devices import strategies
from mvae_tf.training import stored

_KEPT = 2  # should the last one be damaged, there is one before it
_STEPS = "steps.json"  # how many the optimizer has taken

# These say nothing of a checkpoint: it may well be whole.
_NOT_DAMAGE = (
    MemoryError,
    PermissionError,
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
)


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read; says what remains and how to go on."""


class Checkpoints:
    """The checkpoints of one run.

    Args:
        model: Compiled, its optimizer built.
        directory: Where they are.
        steps: Of an epoch.
    """

    def __init__(self, model, directory, steps):
        # All there is to a step: weights, moments and the state of the random draws.
        variables = [*model.variables, *model.optimizer.variables]
        self._state = tf.train.Checkpoint(variables=[variable.value for variable in variables])
        self._iterations = model.optimizer.iterations
        self._directory = directory
        self._steps = steps
        self._is_chief = strategies.is_chief_of(model.distribute_strategy)

    def require_writable(self):
        """Find out now, and not after an epoch, whether checkpoints can be written."""
        if self._is_chief:
            try:
                files.require_writable(self._directory)
            except OSError as error:
                raise self._not_written(self._directory, error) from error

    def restore(self):
        """Restore the newest readable checkpoint and return its history; [] if there is none."""
        found = stored.checkpoints(self._directory)
        for path in reversed(found):
            try:
                history = stored.read_history(path)
                self._state.read(str(path / "state")).assert_consumed()
                self._require_steps(path, len(history))
                return history
            except _NOT_DAMAGE as error:
                raise CheckpointError(
                    f"Expected the checkpoint {path} to be read. Received: "
                    f"{files.reason_of(error)}. It is left as it is; to go on from it, give it "
                    "back its permissions, or make room in memory."
                ) from error
            # Damage shows in many ways, and any of them only means: the one before.
            except Exception as error:
                logging.warning("Checkpoint %s can't be read (%s).", path, files.reason_of(error))
        if found:
            raise CheckpointError(
                f"None of the checkpoints in {self._directory} can be read. They are left as they "
                "are; to train from the beginning, train in another folder."
            )
        return []

    def _require_steps(self, path, epochs):
        """Refuse a state that is of other steps than the history beside it."""
        taken = self._taken()
        file = path / _STEPS
        # Older checkpoints don't say; theirs are all of the run.
        expected = stored.read_json(file) if file.exists() else epochs * self._steps
        if type(expected) is not int or taken != expected:
            raise ValueError(f"its state is of {taken} steps, its history of {expected}")

    def _not_written(self, path, error):
        kept = [before.name for before in stored.checkpoints(self._directory)]
        return CheckpointError(
            f"The checkpoint {path} could not be written: {files.reason_of(error)}. Kept: "
            f"{', '.join(kept) or 'none'}. Make room, or the folder writable, and train again: "
            "it goes on from the newest."
        )

    def _taken(self):
        return int(tf.convert_to_tensor(self._iterations.value))

    def save(self, history):
        """Write a checkpoint and drop all but the newest; a failure loses none of those there."""
        if not self._is_chief:
            # TensorFlow adds up over the workers what each has its own of, so that all take part.
            with tempfile.TemporaryDirectory() as unused:
                self._state.write(f"{unused}/state")
            return
        path = self._directory / stored.checkpoint_name(len(history))
        aside = self._directory / "writing"
        try:
            files.remove(aside)
            aside.mkdir(parents=True)
            (aside / stored.HISTORY).write_text(json.dumps(history, indent=1), encoding="utf-8")
            (aside / _STEPS).write_text(str(self._taken()))
            self._state.write(str(aside / "state"))
            files.sync(aside)
            files.remove(path)  # an unreadable one of that epoch
            files.put(aside, path)
        except (OSError, tf.errors.OpError) as error:
            files.remove(aside)
            raise self._not_written(path, error) from error
        # Those of later epochs were passed over as unreadable, and are made anew in their turn.
        before = [
            each
            for each in stored.checkpoints(self._directory)
            if stored.epochs_of(each) <= len(history)
        ]
        for old in before[:-_KEPT]:
            files.remove(old)
