"""How images reach the device: as a stream of batches, or block by block for compiled steps.

The order of an epoch decides which images make up its batches, so that every way gives the same
ones. Images are an array, or streamed, such as `mvae_tf.datasets.streaming.images` has them: then
never more of them are in memory than a few batches.
"""

from typing import NamedTuple

import numpy as np
import psutil
import tensorflow as tf

# Of the device's memory that images may take; the rest is the model's.
_SHARE = 0.25
# In a block. More would gain nothing, and Ctrl-C would be heard later.
_MOST_STEPS = 64
# Of a block whose images are read for it: some such blocks are in memory at once.
_MOST_BYTES = 2**26
# Batches of streamed images that are read at once, each by several threads.
_AT_ONCE = {"num_parallel_calls": 2, "deterministic": True}


class Block(NamedTuple):
    """Some of an epoch's batches, all of one size, and what is left of the epoch.

    Where images are weighted, what is said of the images is a pair: of images and weights.

    Attributes:
        batches: int32 [s, b], indices, or [s, b, *image], the images.
        size: int32, how many of them count; the others fill the block up.
        rest: [1, r] or [1, r, *image], the epoch's last, smaller batch; r is 0 but at its end.
    """

    batches: tf.Tensor
    size: tf.Tensor
    rest: tf.Tensor


class BlockFeed:
    """Images in blocks, for `compiled.Steps`.

    Arrays that fit live on the device, and blocks are indices; others are gathered on the host, a
    block ahead.

    Args:
        images: uint8, uint16 or float32 [n, *image].
        orders: A dataset of int64 [n]: for each epoch, the order of its images.
        batch_size: Images a step.
        most_steps: Of a block. None: as many as are of use.
        weights: float32 [n], of the images. None: none; otherwise images and weights go in pairs.

    Attributes:
        steps_per_epoch: Batches of an epoch.
        blocks_per_epoch: Blocks of an epoch.
        steps_per_block: Of each block, but for the last ones of an epoch.
        source: The images on the device, or None.
        blocks: The dataset of `Block`s.
    """

    def __init__(
        self,
        images: np.ndarray,
        orders: tf.data.Dataset,
        batch_size: int,
        most_steps: int | None = None,
        weights: np.ndarray | None = None,
    ):
        given = images if weights is None else (images, weights)
        most_steps = most_steps or _usual_steps(images, batch_size)
        self.steps_per_epoch = -(-len(images) // batch_size)
        self.blocks_per_epoch = count = -(-self.steps_per_epoch // most_steps)
        self.steps_per_block = -(-self.steps_per_epoch // count)
        self.source = None
        blocks = orders.flat_map(self._cut(len(images), batch_size, count))
        if not is_streamed(images) and images.nbytes <= _SHARE * memory():
            with tf.device(device()):
                self.source = tf.nest.map_structure(tf.constant, given)
        else:
            take = _taking(given)
            blocks = blocks.map(
                lambda block: block._replace(batches=take(block.batches), rest=take(block.rest))
            )
        self.blocks = blocks.prefetch(2).with_options(untuned())

    def _cut(self, num_images, batch_size, count):
        """Return what cuts an epoch's order into so many blocks."""
        steps, whole = self.steps_per_block, num_images // batch_size

        def cut(order):
            order = tf.cast(order, tf.int32)
            batches, rest = order[: whole * batch_size], order[whole * batch_size :]
            batches = tf.pad(batches, [[0, (count * steps - whole) * batch_size]])
            batches = tf.reshape(batches, [count, steps, batch_size])

            def block(index):
                size = tf.clip_by_value(whole - index * steps, 0, steps)
                is_last = tf.cast(index == count - 1, tf.int32)
                return Block(batches[index], size, rest[None, : is_last * batch_size])

            return tf.data.Dataset.range(count, output_type=tf.int32).map(block)

        return cut


def shuffled(num_images: int, seed: int | None) -> tf.data.Dataset:
    """Return an epoch's order of images, int64 [n], each time a new one.

    Args:
        num_images: n.
        seed: With the same seed (and the same `tf.random.set_seed`, if any) epoch e has the same
            order in every run.
    """
    indices = tf.data.Dataset.range(num_images)
    indices = indices.shuffle(num_images, seed=seed, reshuffle_each_iteration=True)
    return indices.batch(num_images)


def in_order(num_images: int) -> tf.data.Dataset:
    """Return the order, int64 [n], of images that come as they are."""
    return tf.data.Dataset.range(num_images).batch(num_images)


def batches(orders: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Cut each epoch's order into batches of indices, int64 [b]; its last may be smaller."""
    return orders.flat_map(
        lambda order: tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
    )


def gather(
    images: np.ndarray, indices: tf.data.Dataset, labels: np.ndarray | None = None
) -> tf.data.Dataset:
    """Return batches of float32 images, or pairs with labels, of batches of indices, int64 [b]."""
    # The arrays stay as they are in host memory, and a batch is gathered by index: shuffling moves
    # integers, and no float copy of all images ever exists.
    take_images, take_labels = _taking(images), None if labels is None else _taking(labels)

    def take(indices):
        batch = as_floats(take_images(indices))
        return batch if take_labels is None else (batch, take_labels(indices))

    at_once = _AT_ONCE if is_streamed(images) else {}
    return indices.map(take, **at_once).prefetch(2).with_options(untuned())


def is_streamed(images) -> bool:
    """Return whether images are read when they are needed, and no array."""
    return getattr(images, "is_streamed", False)


def part(images, which: slice):
    """Return some images: of an array an array, of streamed ones streamed ones."""
    return images.part(which) if is_streamed(images) else images[which]


def taken(source, indices: tf.Tensor):
    """Return the rows of some indices of a tensor, or of each of several."""
    return tf.nest.map_structure(lambda each: tf.gather(each, indices), source)


def _taking(given):
    """Return the function of indices, of any shape, that gives images, or a pair of a pair."""
    with tf.device("CPU:0"):
        ways = tf.nest.map_structure(_taking_one, given)
    return lambda indices: tf.nest.map_structure(lambda take: take(indices), ways)


def _taking_one(values):
    if not is_streamed(values):
        everything = tf.constant(values)
        return lambda indices: tf.gather(everything, indices)

    def read(positions):
        # What goes through TensorFlow keeps of an exception no more than a text; `guards` knows it.
        try:
            return values.read(positions)
        except Exception as error:
            raise ValueError(f"<<OSError: {error}>>") from error

    def take(indices):
        flat = tf.reshape(indices, [-1])
        rows = tf.numpy_function(read, [flat], tf.as_dtype(values.dtype), stateful=False)
        rows = tf.reshape(rows, tf.concat([tf.shape(indices), values.shape[1:]], axis=0))
        return tf.ensure_shape(rows, [*indices.shape, *values.shape[1:]])

    return take


def as_floats(images: tf.Tensor) -> tf.Tensor:
    """Return uint8 and uint16 images as float32 in [0, 1], others as they are."""
    if images.dtype.is_floating:
        return images
    return tf.cast(images, tf.float32) / float(images.dtype.max)


def untuned() -> tf.data.Options:
    """Return options without tf.data's tuner.

    Tuning takes time from the steps, and Keras's fit would not return before the tuner next wakes,
    a minute later in a long run. There is nothing to tune: a batch is ready long before it is
    needed.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def device() -> str:
    """Return the name of the device that trains: the first GPU, or else the processor."""
    return "GPU:0" if tf.config.list_logical_devices("GPU") else "CPU:0"


def memory() -> int:
    """Return how much memory that device has, in bytes."""
    if device() == "CPU:0":
        return psutil.virtual_memory().total
    from tensorflow.python.client import device_lib  # the only place that tells

    return next(
        each.memory_limit for each in device_lib.list_local_devices() if each.device_type == "GPU"
    )


def _usual_steps(images, batch_size):
    """Return how many steps a block of such images may have."""
    if not is_streamed(images):
        return _MOST_STEPS
    batch = batch_size * images.nbytes // len(images)
    return min(_MOST_STEPS, max(2, _MOST_BYTES // batch))
