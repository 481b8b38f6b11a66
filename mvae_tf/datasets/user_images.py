"""A user's own images: checks, and the choice of a test part."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mvae_tf.datasets.formats import arrays as formats, forms, image_folder
from mvae_tf.datasets.formats.image_folder import shown
from mvae_tf.datasets.sources.fetching import notice
from mvae_tf.datasets.splits import TEST_IMAGES, Dataset, held_out, make_dataset
from mvae_tf.datasets.streaming import folders

_MOST_CHANNELS = 4


def from_arrays(given: np.ndarray | tuple, *, test_fraction: float, seed: int) -> Dataset:
    """Make a `Dataset` of an array or a tuple of them; see `mvae_tf.datasets.load`."""
    given = formats.of_tuple(given if isinstance(given, tuple) else (given, None))
    return from_parts("array", given.arrays, "an array", test_fraction, seed)


def from_file(path: Path, *, test_fraction: float, seed: int) -> Dataset:
    """Make a `Dataset` of an .npz or .npy file; see `mvae_tf.datasets.load`."""
    given, source = formats.read_file(path), shown(str(path))
    if given.left_out:
        notice(
            f"{source}: {given.left_out:,} validation images are left out, as it has test images"
        )
    return from_parts(shown(path.stem), given.arrays, source, test_fraction, seed, given.test_part)


def from_idx(
    path: Path, arrays: Sequence[np.ndarray | None], *, test_fraction: float, seed: int
) -> Dataset:
    """Make a `Dataset` of the arrays of IDX files, named after their folder or the file given."""
    path = path.resolve()
    name = path.name if path.is_dir() else path.name.partition(".")[0]
    return from_parts(shown(name), arrays, shown(str(path)), test_fraction, seed)


def from_folder(
    path: Path,
    *,
    image_size: tuple[int, int] | None,
    test_fraction: float,
    seed: int,
    stream: bool | None,
    cache: Path | None,
    skip_unreadable: bool,
) -> Dataset:
    """Make a `Dataset` of a folder of images; see `mvae_tf.datasets.load`."""
    image_folder.check_image_size(image_size)
    listed = image_folder.listing(path)
    for note in listed.notes():
        notice(f"{shown(path)}: {note}")
    if stream is None:
        stream = cache is not None or folders.is_large(listed, image_size)
    if stream:
        return folders.stream(
            path,
            listed,
            image_size=image_size,
            test_fraction=test_fraction,
            seed=seed,
            cache=cache,
            skip_unreadable=skip_unreadable,
        )
    arrays = image_folder.read_folder(path, listed, image_size, skip_unreadable)
    return from_parts(
        shown(path.resolve().name),
        arrays,
        shown(str(path)),
        test_fraction,
        seed,
        listed.test_part,
        listed.class_names,
    )


def from_parts(
    name: str,
    arrays: Sequence[np.ndarray | None],
    source: str,
    test_fraction: float,
    seed: int,
    test_part: str = TEST_IMAGES,
    class_names: tuple[str, ...] | None = None,
) -> Dataset:
    """Check images and labels, and hold out a test part where there is none.

    Args:
        name: The dataset's name.
        arrays: Train images, train labels, test images and test labels; all but the first may
            be None.
        source: Where they came from, in words.
        test_fraction: The part of the train images to hold out where there are no test images.
        seed: Seed of their choice.
        test_part: What the test images are, in words.
        class_names: Of the labels 0, 1, ..., where they have any.

    Returns:
        The `Dataset`: images uint8, uint16, or float32 in [0, 1], [n, h, w, c]; labels int64 [n],
        or None.

    Raises:
        ValueError: the arrays are not such images and labels, or don't go together.
    """
    train, train_labels, test, test_labels = arrays
    train, train_labels = _checked(train, train_labels, f"the images of {source}")
    _remark(train, f"the images of {source}")
    if test is None:
        (train_labels,), names = formats.numbered([train_labels])
        class_names = class_names or names
        arrays = _hold_out(train, train_labels, test_fraction, seed)
        return make_dataset(name, arrays, source, test_part=test_part, class_names=class_names)
    test, test_labels = _checked(test, test_labels, f"the test images of {source}")
    if train.dtype != test.dtype or train.shape[1:] != test.shape[1:]:
        raise ValueError(
            f"Expected train and test images of one dtype and shape in {source}. Received: "
            f"{train.dtype} {list(train.shape[1:])} and {test.dtype} {list(test.shape[1:])}."
        )
    if (train_labels is None) != (test_labels is None):
        raise ValueError(
            f"Expected labels of both the train and the test images in {source}, or of neither. "
            f"Received: labels of the {'test' if train_labels is None else 'train'} images only."
        )
    (train_labels, test_labels), names = formats.numbered([train_labels, test_labels])
    class_names = class_names or names
    arrays = (train, train_labels, test, test_labels)
    return make_dataset(name, arrays, source, test_part=test_part, class_names=class_names)


def _checked(images: np.ndarray, labels: np.ndarray | None, what: str):
    """Images as uint8, uint16 or float32 [n, h, w, c], labels as int64 or strings [n]."""
    images = formats.checked_images(images, what)
    return images, None if labels is None else formats.checked_labels(labels, len(images), what)


def _remark(images, what):
    """Say what may be a mistake about images, though it need not be one."""
    if images.shape[-1] > _MOST_CHANNELS:
        notice(f"{what} have {images.shape[-1]} channels: [n, h, w, c] is {list(images.shape)}")
    levels = forms.Levels()
    for image in images:
        levels.add(image)
        if levels.are_usual():
            return
    for note in levels.notes():
        notice(f"{what} {note}")


def _hold_out(images, labels, test_fraction, seed):
    in_test = held_out(len(images), test_fraction, seed)
    if labels is None:
        return images[~in_test], None, images[in_test], None
    return images[~in_test], labels[~in_test], images[in_test], labels[in_test]
