"""What stops a step inside a graph, before it changes anything, on all replicas together.

What is checked at the door, before a graph is entered, is in `mvae_tf.checks`.
"""

import contextlib
import math
import re
import weakref
from collections.abc import Sequence

import tensorflow as tf

from mvae_tf import checks, sources
from mvae_tf.devices import distribution

# Marks our own messages inside TensorFlow's long report of a failed assertion in a graph.
_KINDS = {each.__name__: each for each in (ValueError, FloatingPointError, OSError)}
_MARKED = re.compile(rf"<<({'|'.join(_KINDS)}): (.*?)>>", re.DOTALL)
# The same of an assertion whose message TensorFlow puts together.
_IN_PARTS = re.compile(rf"({re.escape(checks.OUT_OF_RANGE)})\] \[(\S+)\] \[to\] \[(\S+)\]")
# Of images of which the shape comes to light with the batch.
_OF_SHAPE = re.compile(
    r"Shape of tensor \S+ \[([\d,]*)\] is not compatible with expected shape \[\?,([\d,]+)\]"
    rf".*{checks.SHAPED_IMAGES}",
    re.DOTALL,
)
_NOT_FINITE = (
    "Expected finite gradients. Received: a gradient that is not finite, of {}, at step {}. The "
    "weights are those before that step."
)
# What is named as the cause where each term's own gradient is finite.
_NO_TERM = "their sum"


def batch(data, shape: tuple[int, ...]) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Return a training batch's images and their weights; inside a graph, bad values stop it."""
    images, weights = sources.unpacked(data)
    images = checks.unchecked_images(images, shape)
    # Of all replicas, so that they stop together: one that went on would wait for the others.
    low, high = distribution.extremes(images)
    message = tf.strings.format(f"<<ValueError: {checks.OUT_OF_RANGE} {{}} to {{}}.>>", [low, high])
    # Not `low < 0 or high > 1`: a NaN compares false with everything.
    images = _only_if((low >= 0) & (high <= 1), message, images)
    if weights is None:
        return images, None
    weights = checks.sample_weight(weights, images.shape[0])
    low, high = distribution.extremes(tf.concat([weights, [0.0]], axis=0))
    message = tf.strings.format(
        f"<<ValueError: {checks.WRONG_WEIGHTS} {{}} to {{}}.>>", [low, high]
    )
    return images, _only_if((low >= 0) & (high < math.inf), message, weights)


def finite_gradients(
    gradients: list, terms: Sequence[str], broken_terms, inputs: list, step
) -> list:
    """Return the gradients; inside a graph, stops it before they are used if one is not finite.

    Args:
        gradients: tensors; one that is not finite stops all replicas.
        terms: names of the terms.
        broken_terms: a method, called with `inputs` only then, and outside the graph, which would
            take long to build with it: returns the names of those terms that are the cause.
        inputs: tensors.
        step: number of steps done so far.
    """
    finite = is_finite(gradients)

    # TensorFlow keeps the function for ever; it shall not keep the model.
    asked = weakref.WeakMethod(broken_terms)

    def joined(*inputs):
        return ", ".join(asked()(*inputs)) or _NO_TERM

    names = tf.cond(finite, lambda: "", lambda: tf.py_function(joined, inputs, tf.string))
    if distribution.num_replicas() > 1:
        finite, names = _of_all_replicas(finite, names, terms)
    before, between, after = f"<<FloatingPointError: {_NOT_FINITE}>>".split("{}")
    number = tf.strings.as_string(step + 1)
    message = tf.strings.join([before, names, between, number, after])
    return _only_if(finite, message, gradients)


def is_finite(gradients: list) -> tf.Tensor:
    """Return whether the gradients are finite and of a size that can be squared."""
    return tf.math.is_finite(tf.add_n([tf.nn.l2_loss(gradient) for gradient in gradients]))


def out_of_range(least, greatest) -> ValueError:
    """Return what to raise of images with such extremes."""
    return ValueError(f"{checks.OUT_OF_RANGE} {float(least)} to {float(greatest)}.")


def not_finite(terms: Sequence[str], number: int) -> FloatingPointError:
    """Return what to raise of the step of that number, in which these terms have no gradient."""
    return FloatingPointError(_NOT_FINITE.format(", ".join(terms) or _NO_TERM, number))


@contextlib.contextmanager
def clear_errors():
    """Turn our own stops inside a graph into the plain exception they mean."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        told = _told(error.message)
        if told is None:
            raise
        raise told from None


def _told(message):
    """Return the exception that a failed assertion of ours means, or None for another's."""
    if ours := _MARKED.search(message):
        return _KINDS[ours[1]](ours[2].replace("\\'", "'"))
    if ours := _IN_PARTS.search(message):
        return ValueError("{} {} to {}.".format(*ours.groups()))
    if ours := _OF_SHAPE.search(message):
        received, expected = (each.replace(",", ", ") for each in ours.groups())
        return ValueError(
            f"Expected images of shape [n, {expected}]. Received: shape [{received}]."
        )
    return None


def _of_all_replicas(finite, names, terms):
    """Return whether all gradients are finite, and the names of the terms broken anywhere."""
    found = tf.stack([tf.strings.regex_full_match(names, f".*{term}.*") for term in terms])
    failures = tf.concat([[tf.logical_not(finite)], found], axis=0)
    (failures,) = distribution.total([tf.cast(failures, tf.float32)])
    broken = tf.boolean_mask(terms, failures[1:] > 0)
    joined = tf.strings.reduce_join(broken, separator=", ")
    return failures[0] == 0, tf.where(tf.size(broken) > 0, joined, _NO_TERM)


def _only_if(condition, message, tensors):
    """Return the tensors; nothing computed from them runs unless the condition holds."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.nest.map_structure(tf.identity, tensors)
