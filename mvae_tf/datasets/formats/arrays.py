"""Arrays as users have them: in tuples and .npz files, with labels of any kind."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mvae_tf.datasets import memory
from mvae_tf.datasets.formats import pixels
from mvae_tf.datasets.splits import TEST_IMAGES
from mvae_tf.files import shown

# The words of which names of arrays are made, such as x_train and test_labels.
_KINDS = {"x": "x", "image": "x", "images": "x", "y": "y", "label": "y", "labels": "y"}
_PARTS = {"train": "train", "test": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "dev"), "validation"
)
_TUPLES = "(images, labels) or ((x_train, y_train), (x_test, y_test))"
_NAMED = 12  # arrays, where a file holds others than are taken
# How files begin that hold arrays.
_NPY, _ZIP = b"\x93NUMPY", b"PK"
# From here on a side is a picture's; below it may be that of a small test.
_SIDE = 8


class Given(NamedTuple):
    """Arrays, by what they are for.

    Attributes:
        arrays: Train images, train labels, test images and test labels; all but the first may be
            None.
        test_part: What the test images are, in words.
        left_out: How many validation images neither train nor test, as there are test images.
    """

    arrays: tuple[np.ndarray | None, ...]
    test_part: str = TEST_IMAGES
    left_out: int = 0


def of_tuple(given: tuple) -> Given:
    """Take (images, labels), or two of them, as `load_data()` of Keras gives them.

    Raises:
        ValueError: it is another tuple.
    """
    # Labels may be a list; images are an array.
    pairs = given if isinstance((*given, None)[0], tuple | list) else [given]
    if len(pairs) not in (1, 2) or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"Expected {_TUPLES}. Received: a tuple of {_described(given)}.")
    arrays = []
    for images, labels in pairs:
        for each in (images, labels):
            _require_unmasked(each)
        arrays += [np.asarray(images), None if labels is None else _as_labels(labels)]
        if arrays[-1] is not None and arrays[-1].ndim > 2:
            raise ValueError(
                f"Expected {_TUPLES}. Received: {_described((arrays[-2], arrays[-1]))}, where "
                "labels should be."
            )
    return Given((*arrays, None, None)[:4])


def _require_unmasked(array):
    if np.ma.is_masked(array):
        raise ValueError(
            f"Expected arrays without masked values. Received: {np.ma.count_masked(array):,} of "
            f"{array.size:,} are masked; array.filled(0) says what they are."
        )


def _as_labels(labels):
    try:
        return np.asarray(labels)
    except ValueError:  # lists of several lengths
        raise ValueError(f"Expected {_TUPLES}. Received: labels of several lengths.") from None


def read_file(path: Path) -> Given:
    """Read an .npz or .npy file; see `mvae_tf.datasets.load`.

    Raises:
        ValueError: the file is damaged, or holds other arrays.
        MemoryError: its arrays would not fit into memory.
    """
    # Whatever is wrong with a user's file, the answer names the file.
    try:
        # Opened here, since NumPy leaves a file open in which it finds no archive.
        with path.open("rb") as file:
            _require_arrays(path, file)
            _require_memory(path, file)
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                stored = {"arr_0": loaded}
            else:
                stored = {key: loaded[key] for key in loaded.files}
    except (_OtherFileError, MemoryError) as error:
        if str(error).startswith("Expected "):
            raise
        raise ValueError(
            f"Expected {shown(path)} to be whole. Received: more memory asked for by the sizes in "
            "it than there is, and than its own size tells of."
        ) from error
    except Exception as error:
        raise ValueError(
            f"Expected {shown(path)} to be an .npz file of plain arrays. "
            f"Received: {type(error).__name__}: {error}"
        ) from error
    given = {("train", "x"): stored["arr_0"]} if set(stored) == {"arr_0"} else _by_part(stored)
    if given is None:
        raise ValueError(
            f"Expected {shown(path)} to hold x_train (and y_train, x_test, y_test, or x_val, "
            "y_val), or train_images (and so on), or images (and labels), or one unnamed array. "
            f"Received: {_some(sorted(stored))}."
        )
    train = given["train", "x"], given.get(("train", "y"))
    for part in ("test", "validation"):
        if (part, "x") in given:
            rest = given.get(("validation", "x"), ()) if part == "test" else ()
            test_part = TEST_IMAGES if part == "test" else "validation images"
            return Given((*train, given[part, "x"], given.get((part, "y"))), test_part, len(rest))
    return Given((*train, None, None))


def checked_images(images: np.ndarray, what: str) -> np.ndarray:
    """Return images as uint8, uint16 or float32 in [0, 1], [n, h, w, c].

    Raises:
        ValueError: they are others, or probably of another layout.
    """
    _require_layout(images, what)
    if images.dtype == bool:
        images = images.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(images.dtype, np.floating):
        with np.errstate(over="ignore"):
            images = images.astype(np.float32, copy=False)
        low, high = images.min(), images.max()
        # Written so that NaN, which is neither above nor below anything, fails too.
        if not (low >= 0 and high <= 1):
            hint = " (images / 255?)" if low >= 0 and 1 < high <= 255 else ""
            raise ValueError(
                f"Expected {what} as finite floats in [0, 1] or as uint8. "
                f"Received: floats from {low} to {high}{hint}."
            )
    elif images.dtype.kind == "u" and images.dtype.itemsize <= 2:
        images = images.astype(images.dtype.newbyteorder("="), copy=False)
    else:
        raise ValueError(
            f"Expected {what} as uint8 or uint16, or as floats in [0, 1]. "
            f"Received: dtype {images.dtype}{_range(images)}."
        )
    return images.reshape(*images.shape[:3], -1)


def checked_labels(labels: np.ndarray, count: int, what: str) -> np.ndarray:
    """Return labels, of integers, strings, or one-hot, as int64 [n] or strings [n].

    Args:
        labels: [n], or, as Keras stores some, [n, 1]; or one-hot, [n, classes].
        count: n.
        what: What has those labels, in words.

    Raises:
        ValueError: they are others.
    """
    kind = labels.dtype.kind
    if labels.shape in ((count,), (count, 1)):
        labels = labels.reshape(-1)
        if kind == "S":
            return np.char.decode(labels, "utf-8", "backslashreplace")
        if kind == "O" and all(isinstance(each, str) for each in labels):
            return labels.astype(str)
        if kind in "ub" and labels.max() > np.iinfo(np.int64).max:
            raise ValueError(
                f"Expected integer labels of at most {np.iinfo(np.int64).max}, one for each of "
                f"{what}. Received: {labels.max()}. np.unique(labels, return_inverse=True) numbers "
                "them."
            )
        if kind in "iubU":
            return labels if kind == "U" else labels.astype(np.int64)
    if labels.ndim == 2 and len(labels) == count and _is_one_hot(labels):
        return labels.argmax(axis=1)
    whole = kind == "f" and labels.shape[:1] == (count,) and (labels == np.rint(labels)).all()
    hint = " (labels.astype(int)?)" if whole and labels.ndim == 1 else ""
    raise ValueError(
        f"Expected integer labels [{count}], strings, or one-hot labels [{count}, classes], one "
        f"for each of {what}. Received: {labels.dtype} {list(labels.shape)}{hint}."
    )


def numbered(parts: list[np.ndarray | None]) -> tuple[list, tuple[str, ...] | None]:
    """Give numbers to labels that are strings, in sorted order, and return their names.

    Args:
        parts: What `checked_labels` gives of each part, or None.

    Returns:
        int64 [n] of each part, or None; the names of 0, 1, ..., or None where labels are numbers.

    Raises:
        ValueError: one part has numbers and the other strings.
    """
    kinds = {part.dtype.kind for part in parts if part is not None}
    if "U" not in kinds:
        return parts, None
    if len(kinds) > 1:
        raise ValueError("Expected labels of one kind. Received: strings and numbers.")
    names = np.unique(np.concatenate([part for part in parts if part is not None]))
    numbers = [None if part is None else np.searchsorted(names, part) for part in parts]
    return numbers, tuple(map(str, names))


def _by_part(stored: Mapping[str, np.ndarray]):
    """Return the arrays by part, and "x" for images or "y" for labels; None if that is not all."""
    given = {}
    for key, array in stored.items():
        words = key.lower().split("_")
        kinds = [_KINDS[word] for word in words if word in _KINDS]
        parts = [_PARTS[word] for word in words if word in _PARTS]
        place = (*parts, "train")[0], (*kinds, None)[0]
        if len(kinds) != 1 or len(parts) != len(words) - 1 or len(words) > 2 or place in given:
            return None
        given[place] = array
    unpaired = any(kind == "y" and (part, "x") not in given for part, kind in given)
    return None if unpaired or ("train", "x") not in given else given


def _is_one_hot(labels):
    if labels.dtype.kind not in "iubf":
        return False
    return ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()


class _OtherFileError(ValueError):
    """A file of another kind than those that hold arrays."""


def _require_arrays(path, file):
    head = file.read(len(_NPY))
    if head == _NPY or head.startswith(_ZIP):
        return
    if path.suffix.lower() in pixels.suffixes():
        raise _OtherFileError(
            "Expected a folder of images, or an .npz or .npy file of arrays. Received: "
            f"{shown(path)}, one image; a folder of images is given by the folder's name."
        )
    raise _OtherFileError(
        f"Expected {shown(path)} to be an .npz file of plain arrays. Received: "
        f"{'a file of another kind' if head else 'an empty file'}."
    )


def _require_memory(path, file):
    needed = path.stat().st_size
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            needed = sum(member.file_size for member in archive.infolist())
    memory.require(
        needed, f"the arrays of {shown(path)}", "Fewer images, or uint8 ones, need less."
    )


def _require_layout(images, what):
    shape = images.shape
    if images.ndim not in (3, 4) or images.size == 0:
        side = round(shape[1] ** 0.5) if images.ndim == 2 else 0
        hint = f", probably flat: images.reshape(-1, {side}, {side}) makes it right"
        raise ValueError(
            f"Expected {what} as a non-empty array [n, h, w] or [n, h, w, c]. "
            f"Received: shape {list(shape)}{hint if side >= _SIDE and side**2 == shape[1] else ''}."
        )
    mend = _mend(shape)
    if mend:
        raise ValueError(
            f"Expected {what} as [n, h, w] or [n, h, w, c]. Received: shape {list(shape)}, "
            f"probably {mend}."
        )


def _mend(shape):
    """Return what a shape probably is, and what makes it right; None if it may well be right."""
    few = (1, 3, 4)
    if len(shape) == 4:
        if shape[1] in few and min(shape[2:]) >= _SIDE:
            return "channels first: images.transpose(0, 2, 3, 1) makes it right"
        if shape[2] in few and min(shape[:2]) >= _SIDE and shape[3] > max(few):
            return "the images last: images.transpose(3, 0, 1, 2) makes it right"
        return None
    grey = f"; {shape[0]} grey images of {shape[1]} x {shape[2]} are images[..., np.newaxis]"
    if shape[2] in few and min(shape[:2]) >= _SIDE:
        return f"one image: images[np.newaxis] makes it right{grey}"
    if shape[0] == shape[1] != shape[2] and shape[0] >= _SIDE:
        return f"the images last: images.transpose(2, 0, 1) makes it right{grey}"
    if shape[0] == 3 and min(shape[1:]) >= _SIDE:
        return f"one image: images.transpose(1, 2, 0)[np.newaxis] makes it right{grey}"
    return None


def _range(images):
    if images.dtype.kind not in "iu":
        return ""
    low, high = images.min(), images.max()
    fits = low >= 0 and high <= 255
    return f" from {low} to {high}" + (' (images.astype("uint8")?)' if fits else "")


def _some(names):
    named = ", ".join(map(shown, names[:_NAMED]))
    more = len(names) - _NAMED
    return (f"{named} and {more:,} more" if more > 0 else named) or "nothing"


def _described(entries):
    return ", ".join(
        f"{each.dtype} {list(each.shape)}" if hasattr(each, "shape") else type(each).__name__
        for each in entries
    )
