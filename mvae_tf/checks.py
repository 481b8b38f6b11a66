"""What users hand in, checked at the door: every refusal says what was expected and received."""

import math
import numbers
from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def size(name: str, value) -> int:
    """Return value if it is an integer of at least 1."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"Expected {name} to be an integer of at least 1. Received: {value!r}.")
    return int(value)


def sizes(name: str, values) -> tuple[int, ...]:
    """Return values as a tuple if they are one or more integers of at least 1."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"Expected {name} to be a sequence of integers. Received: {values!r}.")
    return tuple(size(f"each of {name}", value) for value in values)


def seed(value) -> int:
    """Return value if it can seed a draw: an integer of 32 bits."""
    if not isinstance(value, numbers.Integral) or not -(2**31) <= value < 2**31:
        raise ValueError(f"Expected seed to be a 32-bit integer. Received: {value!r}.")
    return int(value)


def choice(name: str, value, choices: Sequence[str]) -> str:
    """Return value if it is one of the choices."""
    if value not in choices:
        raise ValueError(f"Expected {name} to be one of {tuple(choices)}. Received: {value!r}.")
    return value


def positive(name: str, value) -> float:
    """Return value if it is a finite number above 0."""
    if not _is_finite(value) or value <= 0:
        raise ValueError(f"Expected {name} to be a finite number above 0. Received: {value!r}.")
    return float(value)


def not_negative(name: str, value) -> float:
    """Return value if it is a finite number of at least 0."""
    if not _is_finite(value) or value < 0:
        raise ValueError(
            f"Expected {name} to be a finite number of at least 0. Received: {value!r}."
        )
    return float(value)


def _is_finite(value):
    return isinstance(value, numbers.Real) and math.isfinite(value)


def bandwidths(values, count: int) -> str | list[float]:
    """Return values if they are a rule of `dhsic`'s or `count` positive numbers."""
    if isinstance(values, str):
        return choice("bandwidths", values, ("dimension", "median"))
    if not isinstance(values, Sequence) or len(values) != count:
        raise ValueError(
            f'Expected bandwidths to be "dimension", "median" or {count} positive numbers. '
            f"Received: {values!r}."
        )
    return [positive("each of bandwidths", value) for value in values]


def array(name: str, values, shape: tuple[int, ...]) -> tf.Tensor:
    """Return values as float32 if they are finite floats of shape [n, *shape], n >= 1.

    Inside a graph only what is known there, rank and sizes, is checked.
    """
    if not tf.is_tensor(values):
        values = np.asarray(values)
    spec(name, values, shape)
    if not tf.is_symbolic_tensor(values) and not np.isfinite(np.sum(values, dtype=np.float64)):
        raise ValueError(f"Expected {name} to be finite. Received: NaN or infinity among them.")
    return tf.ensure_shape(tf.cast(values, tf.float32), [None, *shape])


def images(values, shape: tuple[int, ...]) -> tf.Tensor:
    """Return images as float32 if they are floats in [0, 1] of shape [n, *shape], n >= 1."""
    checked = array("images", values, shape)
    if not tf.is_symbolic_tensor(values):
        low, high = np.min(values), np.max(values)
        if low < 0 or high > 1:
            raise ValueError(f"Expected images in [0, 1]. Received: values from {low} to {high}.")
    return checked


def mixing_weights(values, num_components: int) -> tf.Tensor:
    """Return weights [K] or [n, K] as float32 if each row is non-negative with sum 1 (eq. 6)."""
    values = np.asarray(values, np.float64)
    if (
        values.ndim not in (1, 2)
        or values.shape[-1] != num_components
        or not np.all(values >= 0)
        or not np.allclose(values.sum(-1), 1, atol=1e-3)
    ):
        raise ValueError(
            f"Expected weights of shape [{num_components}] or [n, {num_components}], non-negative "
            f"with sum 1. Received: {values!r}."
        )
    return tf.constant(values, tf.float32)


def fit_source(source, part: str, shape: tuple[int, ...]):
    """Return the images of any source that fit and evaluate take.

    Args:
        source: Float images, a tf.data.Dataset of them, or a loaded dataset or one of its parts.
        part: Which part of a loaded dataset: "train" or "test".
        shape: Of one image.

    Returns:
        An array, uint8 or float32 [n, *image], or what is no array as it came: a dataset, of which
        the shape is checked, or a generator, to be checked batch by batch.
    """
    source = getattr(source, part, source)
    if hasattr(source, "float_images"):  # checked when it was loaded, but for the shape
        spec("images", source.float_images(0, 1), shape)
        return source.images
    if isinstance(source, tf.data.Dataset):
        spec("images", first(source.element_spec), shape)
        return source
    return images(source, shape).numpy() if hasattr(source, "__array__") else source


def image_dataset(dataset: tf.data.Dataset, shape: tuple[int, ...], *, endless: bool):
    """Return a dataset's images, still in batches of its own, for one pass through them.

    Args:
        dataset: of batches of images, or of tuples (images, ...).
        shape: of one image.
        endless: whether it may repeat without end.
    """
    images_spec = first(dataset.element_spec)
    if not isinstance(images_spec, tf.TensorSpec):
        raise ValueError(
            "Expected a dataset of images or of tuples (images, ...). "
            f"Received: one of {dataset.element_spec}."
        )
    spec("images", images_spec, shape)
    if not endless and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "Expected a dataset that comes to an end, such as dataset.take(100). "
            "Received: one that repeats without end."
        )
    return dataset.map(lambda *data: first(data))


def spec(name, values, shape):
    """Refuse a dtype other than floats and a shape other than [n, *shape], n >= 1 where known."""
    expected = f"Expected {name} to be floats of shape [n, {', '.join(map(str, shape))}]"
    dtype = tf.as_dtype(values.dtype)
    if not dtype.is_floating:
        hint = " Divide bytes by 255." if dtype == tf.uint8 else ""
        raise ValueError(f"{expected}. Received: dtype {dtype.name}.{hint}")
    received = tf.TensorShape(values.shape)
    if not tf.TensorShape([None, *shape]).is_compatible_with(received):
        raise ValueError(f"{expected}. Received: shape {received}.")
    if received.rank and received[0] == 0:
        raise ValueError(f"{expected}, n at least 1. Received: none.")


def first(structure):
    """Return the images of (images, targets, ...): targets are ignored."""
    while isinstance(structure, tuple | list):
        structure = structure[0]
    return structure
