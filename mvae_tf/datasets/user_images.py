"""A user's own images: checks, and the choice of a test part."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mvae_tf.datasets.formats import image_folder
from mvae_tf.datasets.splits import TEST_IMAGES, Dataset, make_dataset

_TRAIN_TEST_KEYS = ("x_train", "y_train", "x_test", "y_test")


def from_array(images: np.ndarray, *, test_fraction: float, seed: int) -> Dataset:
    """Make a `Dataset` of an array of images; see `mvae_tf.datasets.load`."""
    return from_parts("array", (images, None, None, None), "an array", test_fraction, seed)


def from_file(path: Path, *, test_fraction: float, seed: int) -> Dataset:
    """Make a `Dataset` of an .npz or .npy file; see `mvae_tf.datasets.load`."""
    return from_parts(path.stem, _read_file(path), str(path), test_fraction, seed)


def from_folder(
    path: Path, *, image_size: tuple[int, int] | None, test_fraction: float, seed: int
) -> Dataset:
    """Make a `Dataset` of a folder of images; see `mvae_tf.datasets.load`."""
    listed, arrays = image_folder.read_folder(path, image_size)
    return from_parts(
        image_folder.shown(path.resolve().name),
        arrays,
        image_folder.shown(str(path)),
        test_fraction,
        seed,
        listed.test_part,
        listed.class_names,
    )


def unsplit(path: Path) -> tuple[list[np.ndarray], np.ndarray | None, tuple[str, ...] | None]:
    """Read an .npz or .npy file of which nothing is to be held out.

    Returns:
        The train images and, if the file has them, the test images, as `Dataset` has them; the
        labels of both, int64 [n], or None; and the names of the classes, or None.
    """
    train, labels, test, test_labels = _read_file(path)
    parts = [_checked(train, labels, f"the images of {path}")]
    if test is not None:
        parts.append(_checked(test, test_labels, f"the test images of {path}"))
    images, labels = zip(*parts, strict=True)
    known = all(each is not None for each in labels)
    return list(images), np.concatenate(labels) if known else None, None


def held_out(
    count: int, labels: np.ndarray | None, test_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the training and the test images that `from_parts` would make."""
    train, _, test, _ = _hold_out(np.arange(count), labels, test_fraction, seed)
    return train, test


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
    if test is None:
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
    arrays = (train, train_labels, test, test_labels)
    return make_dataset(name, arrays, source, test_part=test_part, class_names=class_names)


def _checked(images: np.ndarray, labels: np.ndarray | None, what: str):
    """Images as uint8 or float32 [n, h, w, c], labels as int64 [n]."""
    if images.ndim not in (3, 4) or images.size == 0:
        raise ValueError(
            f"Expected {what} as a non-empty array [n, h, w] or [n, h, w, c]. "
            f"Received: shape {list(images.shape)}."
        )
    if np.issubdtype(images.dtype, np.floating):
        with np.errstate(over="ignore"):
            images = images.astype(np.float32, copy=False)
        low, high = images.min(), images.max()
        # Written so that NaN, which is neither above nor below anything, fails too.
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"Expected {what} as finite floats in [0, 1] or as uint8. "
                f"Received: floats from {low} to {high}."
            )
    elif images.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"Expected {what} as uint8 or uint16, or as floats in [0, 1]. "
            f"Received: dtype {images.dtype}."
        )
    images = images.reshape(*images.shape[:3], -1)
    if labels is None:
        return images, None
    # Keras stores the labels of some datasets as a column.
    if labels.shape not in ((len(images),), (len(images), 1)) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"Expected integer labels [{len(images)}], one for each of {what}. "
            f"Received: {labels.dtype} {list(labels.shape)}."
        )
    return images, labels.reshape(-1).astype(np.int64)


def _hold_out(images, labels, test_fraction, seed):
    if not 0 < test_fraction < 1:
        raise ValueError(f"Expected test_fraction in (0, 1). Received: {test_fraction}.")
    if len(images) < 2:
        raise ValueError("Expected at least 2 images, to train and to test on. Received: 1.")
    count = min(max(1, round(test_fraction * len(images))), len(images) - 1)
    # RandomState, unlike default_rng, promises the same numbers for ever.
    chosen = np.random.RandomState(seed).permutation(len(images))[:count]
    in_test = np.isin(np.arange(len(images)), chosen)
    if labels is None:
        return images[~in_test], None, images[in_test], None
    return images[~in_test], labels[~in_test], images[in_test], labels[in_test]


def _read_file(path: Path) -> tuple[np.ndarray | None, ...]:
    # Whatever is wrong with a user's file, the answer names the file.
    try:
        # Opened here, since NumPy leaves a file open in which it finds no archive.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                stored = {"arr_0": loaded}
            else:
                stored = {key: loaded[key] for key in loaded.files}
    except Exception as error:
        raise ValueError(
            f"Expected {path} to be an .npz file of plain arrays. "
            f"Received: {type(error).__name__}: {error}"
        ) from error
    keys = set(stored)
    unpaired = "y_test" in keys and "x_test" not in keys
    if "x_train" in keys and keys <= set(_TRAIN_TEST_KEYS) and not unpaired:
        return tuple(stored.get(key) for key in _TRAIN_TEST_KEYS)
    if "images" in keys and keys <= {"images", "labels"}:
        return stored["images"], stored.get("labels"), None, None
    if keys == {"arr_0"}:
        return stored["arr_0"], None, None, None
    raise ValueError(
        f"Expected {path} to hold x_train (and y_train, x_test, y_test), or images (and labels), "
        f"or one unnamed array. Received: {', '.join(sorted(keys)) or 'nothing'}."
    )
