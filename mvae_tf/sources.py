"""What `fit`, `evaluate` and `predict` are given: images, and what each of them counts.

Data sets and generators give batches: images, or tuples (images, targets, sample_weight) of which
the targets are ignored and the rest may be missing. All that can't be meant is refused here, before
Keras sees it; what goes to Keras as it is, a generator, is checked batch by batch in the steps.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mvae_tf import checks
from mvae_tf.devices import feeds

_KINDS = "an array of images, a tf.data.Dataset of batches, a generator or a loaded dataset"
_EMPTY = "Expected data with at least one batch. Received: none."
_ENDLESS = (
    "Expected a dataset that comes to an end, or how many steps of it to take. Received: one that "
    "repeats without end."
)
_BATCH = "Expected a batch to be images or a tuple (images, targets, sample_weight)"


class Source(NamedTuple):
    """Images, and the weights of those of an array.

    Attributes:
        images: An array, uint8, uint16 or float32 [n, *image], such images streamed, or what goes
            to Keras as it is.
        weights: float32 [n], or None for 1 each and where the batches have their own.
    """

    images: Any
    weights: np.ndarray | None = None

    @property
    def is_array(self) -> bool:
        """Whether the images are an array, or streamed like one."""
        return isinstance(self.images, np.ndarray) or feeds.is_streamed(self.images)

    def __len__(self) -> int:
        return len(self.images)

    def part(self, start: int | None, stop: int | None) -> "Source":
        """Return the images from start to stop."""
        weights = None if self.weights is None else self.weights[start:stop]
        which, streamed = slice(start, stop), feeds.is_streamed(self.images)
        return Source(self.images.part(which) if streamed else self.images[which], weights)


def source(
    given, sample_weight, part: str, shape: tuple[int, ...], steps: int | None = None
) -> Source:
    """Return the images of any source that fit, evaluate and predict take.

    Args:
        given: Images, a tf.data.Dataset of batches, a generator or what Keras takes like one, or a
            loaded dataset or one of its parts.
        sample_weight: [n], of an array's images. None: 1 each.
        part: Which part of a loaded dataset: "train" or "test".
        shape: Of one image.
        steps: How many batches are taken. None: all, which has to come to an end.
    """
    given = getattr(given, part, given)
    if isinstance(given, list):
        given = _as_array(given)
    if hasattr(given, "float_images"):  # checked when it was loaded, but for the shape
        checks.image_spec(given.float_images(0, 1), shape)
        return _weighted(given.images, sample_weight)
    if feeds.is_streamed(given):
        checks.image_spec(np.empty((1, *given.shape[1:]), np.float32), shape)
        return _weighted(given, sample_weight)
    if hasattr(given, "__array__"):
        given = checks.image_array(given, shape)
        if given.dtype == np.uint8:  # without a copy of all of them as floats
            checks.image_spec(given, shape)
            return _weighted(given, sample_weight)
        return _weighted(checks.images(given, shape).numpy(), sample_weight)
    if not _goes_to_keras(given):
        raise ValueError(f"Expected {_KINDS}. Received: {checks.described(given)}.")
    if sample_weight is not None:
        raise ValueError(
            "Expected sample_weight beside an array, and of batches in their tuples (images, "
            f"targets, sample_weight). Received: sample_weight beside a {type(given).__name__}."
        )
    if isinstance(given, tf.data.Dataset):
        images, weights = unpacked(given.element_spec)
        checks.image_spec(images, shape)
        if weights is not None:
            checks.weight_spec(weights)
        cardinality = given.cardinality()
        if cardinality == 0:
            raise ValueError(_EMPTY)
        if steps is None and cardinality == tf.data.INFINITE_CARDINALITY:
            raise ValueError(_ENDLESS)
    elif isinstance(given, keras.utils.PyDataset):
        if given.num_batches == 0:
            raise ValueError(_EMPTY)
        if steps is None and given.num_batches is None:
            raise ValueError(_ENDLESS)
    elif isinstance(given, Iterator):
        given = _generated(given, shape)
    elif not isinstance(given, feeds.BlockFeed | tf.distribute.DistributedDataset):
        given = _gone_through_anew(given, shape)
    return Source(given)


def validation(given, shape: tuple[int, ...], steps: int | None = None) -> Source:
    """Return the images to validate on: any source, or a tuple (x, y, sample_weight)."""
    if isinstance(given, tuple) and not hasattr(given, "float_images"):
        if not 1 <= len(given) <= 3:
            raise ValueError(
                "Expected validation_data to be a tuple (x, y) or (x, y, sample_weight). "
                f"Received: {len(given)} entries."
            )
        return source(given[0], given[2] if len(given) == 3 else None, "test", shape, steps)
    return source(given, None, "test", shape, steps)


def split(given: Source, share: float) -> tuple[Source, Source | None]:
    """Return an array's images without the share that are its last, and those, or None."""
    if not share:
        return given, None
    if not given.is_array:
        raise ValueError(
            "Expected validation_split with an array or a loaded dataset alone. Received: "
            f"{type(given.images).__name__}."
        )
    kept = int(np.floor(len(given) * (1.0 - share)))
    if not 0 < kept < len(given):
        raise ValueError(
            "Expected validation_split to leave at least one image on either side. Received: "
            f"{share} of {len(given)}."
        )
    return given.part(None, kept), given.part(kept, None)


def order(given, images, shuffle: bool):
    """Return the function of `feeds` that orders the images of what was given."""
    if hasattr(given, "train") or hasattr(given, "is_train"):
        is_train = images is getattr(getattr(given, "train", given), "images", None)
        shuffle = is_train and getattr(given, "is_train", True)
        return functools.partial(feeds.shuffled, seed=0) if shuffle else feeds.in_order
    return functools.partial(feeds.shuffled, seed=None) if shuffle else feeds.in_order


def unpacked(batch):
    """Return the images of a batch and their weights, None for none; targets are ignored."""
    parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"{_BATCH}. Received: a tuple of {len(parts)}.")
    images, weights = parts[0], parts[2] if len(parts) == 3 else None
    if not hasattr(images, "dtype"):
        raise ValueError(f"{_BATCH}. Received: {checks.described(images)}.")
    if weights is None or isinstance(weights, tf.NoneTensorSpec):
        return images, None
    if not hasattr(weights, "dtype"):
        raise ValueError(f"{_BATCH}. Received: {checks.described(weights)} for sample_weight.")
    return images, weights


def checked_batches(given, shape: tuple[int, ...]):
    """Return a source of batches as one of images alone, whose values are checked on the way.

    For `predict`, whose step XLA may compile, which knows no stop.
    """

    def images(*batch):
        return checks.images(unpacked(batch)[0], shape)

    if isinstance(given, tf.data.Dataset):
        return given.map(images)
    if isinstance(given, Iterator):
        return ((images(*(each if isinstance(each, tuple) else (each,))),) for each in given)
    return given


def _generated(batches, shape):
    """Return a generator of tuples, as Keras wants them, if the first batch is one of images."""
    first = next(batches, None)
    if first is None:
        raise ValueError(_EMPTY)
    checks.unchecked_images(unpacked(first)[0], shape)

    def tuples():
        for batch in itertools.chain([first], batches):
            images, weights = unpacked(batch)
            yield (images,) if weights is None else (images, weights, weights)

    return tuples()


def _gone_through_anew(batches, shape):
    """Return as a data set what gives batches whenever it is asked, such as a PyTorch DataLoader.

    Of its batches Keras would refuse those that are images alone.
    """
    first = next(iter(batches), None)
    if first is None:
        raise ValueError(_EMPTY)
    images, weights = unpacked(first)
    checks.unchecked_images(images, shape)
    signature = [
        tf.TensorSpec([None, *shape], checks.image_array(images, shape).dtype),
        *([] if weights is None else [tf.TensorSpec([None], tf.float32)]),
    ]

    def pairs():
        for images, weights in map(unpacked, batches):
            weighted = [] if weights is None else [checks.sample_weight(weights)]
            yield (checks.image_array(images, shape), *weighted)

    dataset = tf.data.Dataset.from_generator(pairs, output_signature=tuple(signature))
    return dataset if weights is None else dataset.map(lambda *pair: (pair[0], (), pair[1]))


def _weighted(images, weights):
    if weights is None:
        return Source(images)
    weights = checks.sample_weight(weights, len(images)).numpy()
    return Source(images, None if np.all(weights == 1) else weights)


def _as_array(values):
    try:
        return np.asarray(values)
    except ValueError:
        return values  # of several shapes


def _goes_to_keras(given):
    if isinstance(given, tf.data.Dataset | keras.utils.PyDataset | feeds.BlockFeed):
        return True
    collections = str | bytes | dict | set | frozenset | list | tuple
    return hasattr(given, "__iter__") and not isinstance(given, collections)
