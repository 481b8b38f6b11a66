"""Where the images come from that a model is measured on.

A source is what `datasets.load` gives as `.train` or `.test`, or a `tf.data.Dataset` of batches of
float images in [0, 1], [b, *image], or of tuples (images, ...) of which only the images are used. A
dataset's batches may be of any sizes: they are cut anew into `batch_size` images. It is gone
through once, and has to come to an end. Images are taken in a batch at a time and let go.
"""

from collections.abc import Iterable, Iterator

import tensorflow as tf

from mvae_tf import checks


def batches_of(image_shape, source, batch_size, max_images=None) -> Iterator[tf.Tensor]:
    """Return a source's images as float32 [b, *image], at most `max_images` altogether."""
    checks.size("batch_size", batch_size)
    if max_images is not None:
        checks.size("max_images", max_images)
    if isinstance(source, tf.data.Dataset):
        source = checks.image_dataset(source, image_shape, endless=max_images is not None)
        batches = source.rebatch(batch_size)
    elif hasattr(source, "float_images"):
        starts = range(0, len(source), batch_size)
        batches = (source.float_images(start, start + batch_size) for start in starts)
    else:
        raise ValueError(
            "Expected source to be a split of a loaded dataset or a tf.data.Dataset. "
            f"Received: {type(source).__name__}."
        )
    return _checked(batches, image_shape, max_images)


def _checked(batches: Iterable, image_shape, max_images):
    count = 0
    for images in batches:
        if max_images is not None:
            images = images[: max_images - count]
        yield checks.images(images, image_shape)
        count += len(images)
        if count == max_images:
            return
    if not count:
        raise ValueError("Expected source to have at least one image. Received: none.")
