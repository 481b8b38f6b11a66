"""Where the images come from that a model is measured on.

A source is what `datasets.load` gives as `.train` or `.test`, or the whole of it, of which `.test`
is meant; an array of images as the model takes them, [n, *image], also one mapped into memory; or a
`tf.data.Dataset` of batches of such images, or of tuples (images, ...) of which only the images are
used. A dataset's batches may be of any sizes: they are cut anew into `batch_size` images. It is
gone through once, and has to come to an end. Images are taken in a batch at a time and let go.
"""

from collections.abc import Iterable, Iterator

import tensorflow as tf

from mvae_tf import checks


def batches_of(image_shape, source, batch_size, max_images=None) -> Iterator[tf.Tensor]:
    """Return a source's images as float32 [b, *image], at most `max_images` altogether."""
    checks.size("batch_size", batch_size)
    if max_images is not None:
        checks.size("max_images", max_images)
    source = getattr(source, "test", source)
    if isinstance(source, tf.data.Dataset):
        source = checks.image_dataset(source, image_shape, endless=max_images is not None)
        batches = source.rebatch(batch_size)
    elif hasattr(source, "float_images"):
        parts = _slices(len(source), batch_size)
        batches = (source.float_images(part.start, part.stop) for part in parts)
    elif hasattr(source, "__array__") or isinstance(source, list):
        images = checks.image_array(source, image_shape)
        checks.image_spec(images, image_shape)
        batches = (images[part] for part in _slices(len(images), batch_size))
    else:
        raise ValueError(
            "Expected source to be a loaded dataset, a split of one, an array of images or a "
            f"tf.data.Dataset. Received: {checks.described(source)}."
        )
    return _checked(batches, image_shape, max_images)


def _slices(count, batch_size):
    return (slice(start, start + batch_size) for start in range(0, count, batch_size))


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
