"""What a served signature takes: refused inside its graph, by name, or handed on as declared."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Input(NamedTuple):
    """An input of a signature.

    Attributes:
        spec: what the signature declares; in a shape, None is the number of images.
        expected: of its values, in words.
        valid: whether all its values are, a function of them, the least and the greatest. None: any
            will do.
    """

    spec: tf.TensorSpec
    expected: str = ""
    valid: Callable | None = None

    def checked(self, values) -> tf.Tensor:
        """Return values; inside a graph, what is computed from them runs only if they are valid.

        Floats stand for floats of any precision, and integers for integers.
        """
        if not self._is_meant(values.dtype):
            report = f"Expected {self._sentence()}. Received: {values.dtype.name}, shape"
            return self._stopped([report, tf.shape(values)])
        values = _of_any_shape(values, f"received_{self.spec.name}")
        flat = tf.reshape(values, [-1])
        report = [f"Expected {self._sentence()}. Received: shape", tf.shape(values)]
        holds = self._fits(values)
        if self.valid is not None:
            low, high = tf.reduce_min(flat), tf.reduce_max(flat)
            holds &= self.valid(flat, low, high)
            report += ["and values from", low, "to", high]
        # The raw operation puts the report into words only when it fails.
        stop = tf.raw_ops.Assert(condition=holds, data=report, summarize=8)
        with tf.control_dependencies([stop]):
            # The second bolt: TensorFlow never optimises this operation away.
            return tf.cast(tf.ensure_shape(values, self.spec.shape), self.spec.dtype)

    def missing(self) -> tf.Tensor:
        """Return no values; inside a graph, stop where there should be some."""
        return self._stopped([f"Expected {self._sentence()}. Received: None."])

    def _stopped(self, report):
        with tf.control_dependencies(
            [tf.raw_ops.Assert(condition=False, data=report, summarize=8)]
        ):
            # Of no account: nothing comes after the stop.
            return tf.zeros([each or 1 for each in self.spec.shape], self.spec.dtype)

    def _is_meant(self, dtype):
        declared = self.spec.dtype
        if declared in (tf.uint8, tf.string):
            return dtype == declared  # who says how large other integers may be?
        return dtype.is_floating if declared.is_floating else dtype in (tf.int32, tf.int64)

    def _fits(self, values):
        """Return whether the shape is the declared one, whatever the rank."""
        if self.spec.shape.rank == 0:
            return tf.constant(True)  # one that is known in full is left to `ensure_shape`
        sizes = [*self.spec.shape[1:], -1]
        # A mark at the end, and filled up, so that there is always enough to compare.
        filled = tf.concat([tf.shape(values), [-1], [0] * len(sizes)], axis=0)
        same = tf.reduce_all(tf.equal(filled[1 : len(sizes) + 1], sizes))
        return same & (tf.size(values) > 0)

    def _sentence(self):
        name, dtype = self.spec.name, self.spec.dtype.name
        if self.spec.shape.rank == 0:
            sentence = f"{name} to be {dtype} of shape []"
        else:
            sizes = ", ".join(["n", *map(str, self.spec.shape[1:])])
            sentence = f"{name} to be {dtype} of shape [{sizes}], n at least 1"
        return f"{sentence}, {self.expected}" if self.expected else sentence


def _of_any_shape(values, name):
    """Return values, of whose shape TensorFlow knows nothing before they are there.

    With the shape that the signature declares, it could take the check of the shape for done and
    leave it out. A placeholder with a default, the usual way, ends conversions to ONNX.
    """
    first = tf.reshape(values, [-1])[:1]
    nothing = tf.cast(tf.reduce_all(tf.equal(first, first)), tf.int32) // 2
    return tf.reshape(values, tf.shape(values)[nothing:], name=name)
