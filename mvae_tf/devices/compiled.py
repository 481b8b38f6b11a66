"""Many steps in one XLA program, which keeps a GPU busy where a step is hundreds of small kernels.

A program can't stop amid its steps. So each step says whether it went well; from the first that did
not, nothing is changed any more, and the program returns which one that was. The variables are then
those before that step. The host looks at what came of a block while the device works on the next:
what that one would change is held back in the same way.

The steps of a program work on batches of one size, a block. One size of blocks is one program.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mvae_tf.devices.feeds import as_floats, taken


class Verdict(NamedTuple):
    """Whether a step's images and gradients are such as to be used.

    Attributes:
        least, greatest: float32 scalars, the extremes of the batch's images.
        finite: Whether all gradients are finite.
    """

    least: tf.Tensor
    greatest: tf.Tensor
    finite: tf.Tensor

    @classmethod
    def of(cls, images: tf.Tensor, finite: tf.Tensor) -> "Verdict":
        """Return the verdict on a batch of images, float32."""
        # XLA's extremes may pass over a NaN.
        spoilt = tf.where(tf.reduce_any(tf.math.is_nan(images)), np.float32(np.nan), 0.0)
        return cls(tf.reduce_min(images) + spoilt, tf.reduce_max(images) + spoilt, finite)

    def in_range(self) -> tf.Tensor:
        """Return whether the images are in [0, 1]."""
        # Not `least < 0 or greatest > 1`: a NaN compares false with everything.
        return (self.least >= 0) & (self.greatest <= 1)


class Steps:
    """Steps that are taken a block at a time.

    Args:
        step: Takes one step on float images [b, *image], and on their weights [b] where they have
            some: changes variables and returns a `Verdict`.
        logs: Returns by name what the variables then say.
        variables: Returns all variables that a step may change; called when all are built.
        refuse: Given the `Verdict` and the float images (and weights) of a step that failed, raises
            what there is to say of it. The variables are those before that step.
    """

    def __init__(
        self,
        step: Callable[..., Verdict],
        logs: Callable[[], dict[str, tf.Tensor]],
        variables: Callable[[], Sequence[tf.Variable]],
        refuse: Callable[..., None],
    ):
        self._step, self._logs, self._variables, self._refuse = step, logs, variables, refuse
        self._halted = tf.Variable(False, trainable=False, name="halted")
        self._pending, self._programs = [], {}

    def __call__(self, source, batches, size: int):
        """Take the steps of a block, and look at what came of the block before.

        Args:
            source: The images, uint8 or float [n, *image], of which `batches` are the indices, or
                a pair of images and their weights [n]; None where they are in `batches`.
            batches: [s, b], or [s, b, *image] and likewise.
            size: How many of the s batches count; the others fill the block up.

        Returns:
            The logs, by name.
        """
        given = [batches] if source is None else [source, batches]
        failed, verdict, logs = self._program(given)(*given, tf.constant(size))
        self._pending.append((failed, verdict, source, batches))
        self._look(keep=1)
        return logs

    def finish(self) -> None:
        """Wait for all steps, and look at what came of them."""
        self._look(keep=0)

    def forget(self) -> None:
        """Begin anew, whatever came of the steps so far."""
        self._pending.clear()
        self._halted.assign(False)

    def _program(self, given):
        """Return the program for tensors of such shapes, compiled when it is first called."""
        specs = tf.nest.map_structure(
            lambda each: tf.TensorSpec(each.shape, each.dtype), tuple(given)
        )
        if specs not in self._programs:
            run = tf.function(self._run, jit_compile=True)
            size = tf.TensorSpec([], tf.int32)
            self._programs[specs] = run.get_concrete_function(*specs, size)
        return self._programs[specs]

    def _look(self, keep):
        while len(self._pending) > keep:
            failed, verdict, source, batches = self._pending.pop(0)
            failed = int(failed)
            if failed >= 0:
                self.forget()
                self._refuse(verdict, *_take(source, batches, failed))

    def _run(self, *given):
        *source, batches, size = given
        source = source[0] if source else None
        changing = self._variables()

        def one(index, failed, verdict):
            before = [tf.identity(variable) for variable in changing]
            new = self._step(*_take(source, batches, index))
            counts = (failed < 0) & (index < size)
            good = new.in_range() & new.finite
            for variable, old in zip(changing, before, strict=True):
                variable.assign(tf.where(counts & good, variable, old))
            verdict = [tf.where(counts, *each) for each in zip(new, verdict, strict=True)]
            return index + 1, tf.where(counts & ~good, index, failed), Verdict(*verdict)

        unknown = Verdict(tf.constant(0.0), tf.constant(0.0), tf.constant(True))
        state = 0, tf.where(self._halted, 0, -1), unknown
        count = tf.nest.flatten(batches)[0].shape[0]
        if count == 1:
            state = one(*state)
        else:
            # A number of turns that is known beforehand: no waiting for a condition.
            state = tf.while_loop(lambda index, *_: index < count, one, state)
        _, failed, verdict = state
        self._halted.assign(failed >= 0)
        return failed, verdict, self._logs()


def _take(source, batches, index):
    """Return a batch's float images and, where they have some, their weights."""
    one = tf.nest.map_structure(lambda each: each[index], batches)
    return [
        as_floats(each) for each in tf.nest.flatten(one if source is None else taken(source, one))
    ]
