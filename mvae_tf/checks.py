"""What users hand in, checked at the door: every refusal says what was expected and received."""

import contextlib
import math
import numbers
import textwrap
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

# Of Keras's dtype policies, those under which a model trains: weights and mathematics in float32.
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
# What images are made of.
_IMAGES = "floats or uint8"
# By its name a graph's complaint of images is told from others'.
SHAPED_IMAGES = "shaped_images"
# What a graph says of images and weights that it refuses, before their extremes.
OUT_OF_RANGE = "Expected images in [0, 1]. Received: values from"
WRONG_WEIGHTS = "Expected sample_weight to be finite numbers of at least 0. Received: values from"


def size(name: str, value) -> int:
    """Return value if it is an integer of at least 1, and of 32 bits."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"Expected {name} to be an integer of at least 1. Received: {value!r}.")
    if value >= 2**31:
        raise ValueError(f"Expected {name} to be an integer below 2**31. Received: {value!r}.")
    return int(value)


def sizes(name: str, values) -> tuple[int, ...]:
    """Return values as a tuple if they are one or more integers of at least 1."""
    if isinstance(values, tf.TensorShape | np.ndarray):  # an array's shape, for one
        values = values.as_list() if isinstance(values, tf.TensorShape) else values.tolist()
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"Expected {name} to be a sequence of integers. Received: {values!r}.")
    return tuple(size(f"each of {name}", value) for value in values)


def count(name: str, value) -> int:
    """Return value if it is an integer of at least 0."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 0:
        raise ValueError(f"Expected {name} to be an integer of at least 0. Received: {value!r}.")
    return int(value)


def size_or_sizes(name: str, value) -> int | tuple[int, ...]:
    """Return value if it is an integer of at least 1, or a sequence of such."""
    many = isinstance(value, Sequence) and not isinstance(value, str)
    return sizes(name, value) if many else size(name, value)


def size_or_none(name: str, value) -> int | None:
    """Return value if it is None or an integer of at least 1."""
    return None if value is None else size(name, value)


def share(name: str, value) -> float:
    """Return value if it is a number between 0 and 1, or 0 for none."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 <= value < 1:
        raise ValueError(f"Expected {name} to be a number between 0 and 1. Received: {value!r}.")
    return float(value)


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
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
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


def no_classes(class_weight) -> None:
    """Refuse weights of classes."""
    if class_weight is not None:
        raise ValueError(
            "Expected no class_weight: images train without classes. Received: "
            f"{class_weight!r}; sample_weight weights images."
        )


def policy(value) -> str:
    """Return the name of the dtype policy that a model's dtype stands for."""
    name = keras.config.dtype_policy().name
    if value is None:
        return name if name in POLICIES else "float32"
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        name = keras.dtype_policies.get(value).name
        if name in POLICIES:
            return name
    raise ValueError(f"Expected dtype to be one of {POLICIES}. Received: {value!r}.")


def _is_finite(value):
    return isinstance(value, numbers.Real) and math.isfinite(value)


def bandwidths(values, count: int) -> str | list[float]:
    """Return values if they are a rule of `dhsic`'s or `count` positive numbers."""
    if isinstance(values, str):
        return choice("bandwidths", values, ("dimension", "median"))
    expected = f'Expected bandwidths to be "dimension", "median" or {count} positive numbers'
    _refuse_masked(expected, values)
    if hasattr(values, "__array__") and not tf.is_symbolic_tensor(values):
        values = np.asarray(values).tolist()
    elif isinstance(values, Sequence):  # in which there may be the like
        values = [each.numpy().tolist() if hasattr(each, "numpy") else each for each in values]
    if not isinstance(values, Sequence) or len(values) != count:
        raise ValueError(f"{expected}. Received: {values!r}.")
    return [positive("each of bandwidths", value) for value in values]


def array(name: str, values, shape: tuple[int, ...]) -> tf.Tensor:
    """Return values as float32 if they are finite floats of shape [n, *shape], n >= 1.

    Inside a graph only what is known there, rank and sizes, is checked.
    """
    values = as_array(_expected(name, "floats", shape), values)
    spec(name, values, shape)
    if not tf.is_symbolic_tensor(values) and not np.isfinite(np.sum(values, dtype=np.float64)):
        raise ValueError(f"Expected {name} to be finite. Received: NaN or infinity among them.")
    return tf.ensure_shape(tf.cast(values, tf.float32), [None, *shape])


def images(values, shape: tuple[int, ...]) -> tf.Tensor:
    """Return images [n, *shape], n >= 1, floats in [0, 1] or bytes, as float32 in [0, 1].

    Inside a graph, values outside stop it, unless it is compiled by XLA, which knows no stop.
    """
    values = image_array(values, shape)
    checked = unchecked_images(values, shape)
    if tf.as_dtype(values.dtype) == tf.uint8:
        return checked
    if tf.is_symbolic_tensor(checked):
        low, high = tf.reduce_min(checked), tf.reduce_max(checked)
        report = [OUT_OF_RANGE, low, "to", high]
        holds = within_unit(checked, low, high)
        with tf.control_dependencies([tf.raw_ops.Assert(condition=holds, data=report)]):
            return tf.identity(checked)
    if not np.isfinite(np.sum(values, dtype=np.float64)):
        raise ValueError("Expected images to be finite. Received: NaN or infinity among them.")
    low, high = np.min(values), np.max(values)
    if low < 0 or high > 1:
        raise ValueError(f"{OUT_OF_RANGE} {low} to {high}.")
    return checked


def within_unit(values: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Return whether all values are in [0, 1], from the least and the greatest of them.

    Not every processor's minimum of NaN and a number is NaN, but every one's sum is: one more pass
    through them, where to compare them value by value takes four.
    """
    return (low >= 0) & (high <= 1) & tf.math.is_finite(tf.reduce_sum(values))


def image_array(values, shape: tuple[int, ...]):
    """Return images as a tensor or an array; nothing is checked but that they are of numbers."""
    return as_array(_expected("images", _IMAGES, shape), values)


def unchecked_images(values, shape: tuple[int, ...]) -> tf.Tensor:
    """Return images as `images` does; of their values nothing is checked."""
    values = image_array(values, shape)
    image_spec(values, shape)
    is_bytes = tf.as_dtype(values.dtype) == tf.uint8
    values = tf.cast(values, tf.float32)
    values = values / 255.0 if is_bytes else values
    return tf.ensure_shape(values, [None, *shape], name=SHAPED_IMAGES)


def sample_weight(values, count: int | None = None) -> tf.Tensor:
    """Return the weights of images as float32 if they are finite numbers of at least 0, [n].

    Inside a graph only what is known there, rank and sizes, is checked.
    """
    values = as_array(_expected_weights(count), values)
    weight_spec(values, count)
    weights = tf.cast(values, tf.float32)
    if not tf.is_symbolic_tensor(weights):
        low, total = np.min(weights, initial=0), np.sum(weights, dtype=np.float64)
        if not (low >= 0 and np.isfinite(total)):
            raise ValueError(f"{WRONG_WEIGHTS} {np.min(weights)} to {np.max(weights)}.")
    return weights


def mixing_weights(values, num_components: int) -> tf.Tensor:
    """Return weights [K] or [n, K] as float32 if each row is non-negative with sum 1 (eq. 6)."""
    expected = (
        f"Expected weights of shape [{num_components}] or [n, {num_components}], non-negative with "
        "sum 1."
    )
    values = floats(expected, values)
    if values.ndim not in (1, 2) or values.shape[-1] != num_components:
        raise ValueError(f"{expected} Received: shape {list(values.shape)}.")
    sums = values.sum(-1)
    if not np.all(values >= 0) or not np.allclose(sums, 1, atol=1e-3):
        raise ValueError(
            f"{expected} Received: values from {values.min()} to {values.max()}, sums from "
            f"{sums.min()} to {sums.max()}."
        )
    return tf.constant(values, tf.float32)


def floats(expected: str, values) -> np.ndarray:
    """Return values as a float64 array; a refusal begins with what was expected."""
    try:
        return np.asarray(values, np.float64)
    except (ValueError, TypeError):
        raise ValueError(f"{expected} Received: {type(values).__name__}, no numbers.") from None


def as_array(expected: str, values):
    """Return a tensor, or else an array; a refusal begins with what was expected."""
    if isinstance(values, tf.SparseTensor | tf.RaggedTensor | tf.IndexedSlices):
        raise ValueError(f"{expected}. Received: {described(values)}.")
    if is_tensor(values):
        return tf.convert_to_tensor(values)
    _refuse_masked(expected, values)
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # of whatever library
        reason = textwrap.shorten(str(error), 100).rstrip(".")
        raise ValueError(
            f"{expected}. Received: {described(values)}, no array of numbers ({reason})."
        ) from error
    if array.dtype.hasobject or array.dtype.names:
        is_array = hasattr(values, "dtype")
        received = f"dtype {array.dtype}" if is_array else f"{described(values)}, no numbers"
        raise ValueError(f"{expected}. Received: {received}.")
    return array


def _refuse_masked(expected, values):
    if _is_masked(values):
        raise ValueError(f"{expected}. Received: an array some of which is masked.")


def _is_masked(values):
    """Return whether some of an array, or of one in a list, is masked: the list would have all."""
    if isinstance(values, list | tuple):
        return any(map(_is_masked, values))
    return np.ma.is_masked(values)


def real_numbers(expected: str, values) -> tf.Tensor:
    """Return a tensor of real numbers; those of a list are float64."""
    if isinstance(values, list | tuple) and any(map(is_tensor, tf.nest.flatten(values))):
        _refuse_masked(expected, values)
        rows = [tf.convert_to_tensor(row) if is_tensor(row) else row for row in values]
        values = tf.convert_to_tensor(rows)
    values = as_array(expected, values)
    try:
        dtype = tf.as_dtype(values.dtype)
    except TypeError:  # dates, for one
        raise ValueError(f"{expected}. Received: dtype {values.dtype}.") from None
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise ValueError(f"{expected}. Received: dtype {dtype.name}.")
    return tf.convert_to_tensor(values)


def is_tensor(values) -> bool:
    """Return whether values are a tensor or a variable, TensorFlow's or Keras's."""
    return tf.is_tensor(values) or hasattr(values, "__tf_tensor__")


def described(thing) -> str:
    """Return what a thing is, in few words."""
    if thing is None:
        return "None"
    if isinstance(thing, dict):
        return f"a dict of {', '.join(map(repr, thing))}"
    return f"a {type(thing).__name__}"


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
    image_spec(images_spec, shape)
    if not endless and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "Expected a dataset that comes to an end, such as dataset.take(100). "
            "Received: one that repeats without end."
        )
    return dataset.map(lambda *data: first(data))


def spec(name, values, shape, kinds: str = "floats"):
    """Refuse a dtype other than floats and a shape other than [n, *shape], n >= 1 where known."""
    expected = _expected(name, kinds, shape)
    dtype = tf.as_dtype(values.dtype)
    if not dtype.is_floating and not (dtype == tf.uint8 and "uint8" in kinds):
        raise ValueError(f"{expected}. Received: dtype {dtype.name}.")
    received = tf.TensorShape(values.shape)
    if not tf.TensorShape([None, *shape]).is_compatible_with(received):
        raise ValueError(f"{expected}. Received: shape {received}.")
    if received.rank and received[0] == 0:
        raise ValueError(f"{expected}, n at least 1. Received: none.")


def image_spec(values, shape):
    """Refuse what are neither floats nor bytes of shape [n, *shape], n >= 1 where known."""
    spec("images", values, shape, _IMAGES)


def weight_spec(values, count: int | None = None):
    """Refuse what are no numbers of shape [n]; n may be known."""
    dtype, received = tf.as_dtype(values.dtype), tf.TensorShape(values.shape)
    expected = _expected_weights(count)
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise ValueError(f"{expected}. Received: dtype {dtype.name}.")
    if not tf.TensorShape([count]).is_compatible_with(received):
        raise ValueError(f"{expected}, one for each image. Received: shape {received}.")


def _expected(name, kinds, shape):
    return f"Expected {name} to be {kinds} of shape [n, {', '.join(map(str, shape))}]"


def _expected_weights(count):
    return f"Expected sample_weight to be numbers of shape [{'n' if count is None else count}]"


def first(structure):
    """Return the images of (images, targets, ...): targets are ignored."""
    while isinstance(structure, tuple | list):
        structure = structure[0]
    return structure
