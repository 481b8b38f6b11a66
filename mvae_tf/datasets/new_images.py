"""Images that a trained model has never seen: one, a folder, a file of arrays, read whole.

Nothing is held out. Their size and channels become the model's, and what was changed is told.

Example:
```python
new = new_images.load("photo.jpg", model.image_shape)
model.log_likelihood(new.split.float_images())
new.files, new.changes                  # ("photo.jpg",), ("1 image resized to 32x32",)
```
"""

import collections
import dataclasses
import os
from pathlib import Path

import numpy as np

from mvae_tf.datasets import memory
from mvae_tf.datasets.formats import arrays, forms, idx, image_folder, pixels
from mvae_tf.datasets.sources.fetching import notice
from mvae_tf.datasets.splits import TEST_IMAGES, Dataset, Split, array_digest, held_out

_GREY = "made grey: 0.299 red + 0.587 green + 0.114 blue"
_COLOUR = "made colour: the grey value in each channel"


@dataclasses.dataclass(frozen=True, eq=False)
class NewImages:
    """Images of a model's shape.

    Attributes:
        name: The file's or the folder's.
        split: All of them: in a folder's sorted order, those of `train` before those of `test`.
        files: Of each image the file's path inside the folder, `/` between names; of arrays,
            their index.
        class_names: Of the labels 0, 1, ...; None where nothing names them.
        num_train: How many come before the test part that the data itself has; None without one.
        test_part: What the images of a test part are, in words.
        source: Where they came from.
        changes: What was done to give them the model's shape, in words.
    """

    name: str
    split: Split
    files: tuple[str, ...]
    class_names: tuple[str, ...] | None
    num_train: int | None
    test_part: str
    source: str
    changes: tuple[str, ...]

    def parts(self, test_fraction: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the training and of the test images, as `datasets.load` has them.

        Raises:
            ValueError: there are too few images to hold some out.
        """
        if self.num_train is not None:
            return tuple(np.split(np.arange(len(self.split)), [self.num_train]))
        return _held_out(len(self.split), test_fraction, seed)

    def digest(self, *parts: np.ndarray) -> str:
        """Return the digest of a `Dataset` of these training and test images; of all without."""
        images, labels = self.split.images, self.split.labels
        if not parts:
            return array_digest([images, labels, None, None])
        arrays = (
            None if array is None else array[indices]
            for indices in parts
            for array in (images, labels)
        )
        return array_digest(list(arrays))


def load(
    source: str | os.PathLike,
    image_shape: tuple[int, int, int],
    *,
    skip_unreadable: bool = False,
) -> NewImages:
    """Load images for a trained model.

    Images of another size are resized. Where the model's images have three channels, grey ones take
    the grey value in each; where they have one, that of colour images is
    0.299 red + 0.587 green + 0.114 blue.

    Args:
        source: The path of an image, of a folder of them or of an .npz or .npy file, arranged as
            for `datasets.load`.
        image_shape: The model's.
        skip_unreadable: Whether the files of a folder that can't be read are passed over, and
            counted on stderr, rather than refused.

    Raises:
        ValueError: they are not such images, or of other numbers of channels.
        FileNotFoundError: there is nothing of that name.
    """
    path = Path(source)
    is_arrays = path.suffix.lower() in (".npz", ".npy")
    if path.exists() and (is_arrays or idx.files_of(path)):
        found = _of_arrays(path, image_shape)
    elif path.is_dir():
        found = _of_folder(path, image_shape, skip_unreadable)
    elif path.exists():
        images, _, changes = _read(path, [path], image_shape)
        found = {"split": Split(images, None, is_train=False), "changes": changes}
        found |= {"files": (path.name,), "class_names": None, "num_train": None}
        found |= {"test_part": TEST_IMAGES}
    else:
        raise FileNotFoundError(
            "Expected the path of an image, of a folder of images or of an .npz file. "
            f"Received: {image_folder.shown(str(path))}, which does not exist."
        )
    name = path.resolve().name if path.is_dir() else path.stem
    return NewImages(name=image_folder.shown(name), source=image_folder.shown(str(path)), **found)


def files_of(folder: Path, test_fraction: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the names of the training and of the test images that `datasets.load` has."""
    listed = image_folder.listing(folder)
    files = np.array(_inside(folder, listed.files()))
    if "test" in listed.splits:
        return tuple(np.split(files, [listed.num_train]))
    return tuple(files[each] for each in _held_out(len(files), test_fraction, seed))


def with_channels(data: Dataset, image_shape: tuple[int, int, int]) -> tuple[Dataset, str]:
    """Return a dataset with the channels of a model, and what was changed."""
    channels = image_shape[-1]
    splits = {
        part: dataclasses.replace(split, images=_Converted(split.images, channels))
        for part, split in (("train", data.train), ("test", data.test))
    }
    return dataclasses.replace(data, **splits), f"All images {_GREY if channels == 1 else _COLOUR}"


class _Converted:
    """Images of other channels than they had, made so when they are asked for."""

    def __init__(self, images, channels):
        self._images, self._channels = images, channels
        self.shape, self.dtype = (*images.shape[:-1], channels), images.dtype

    def __len__(self):
        return len(self._images)

    def __getitem__(self, which):
        return pixels.with_channels(self._images[which], self._channels)


def _of_folder(path, image_shape, skip_unreadable):
    listed = image_folder.listing(path)
    for note in listed.notes():
        notice(f"{image_folder.shown(path)}: {note}")
    files, labels = listed.files(), listed.labels()
    images, kept, changes = _read(path, files, image_shape, skip_unreadable)
    num_train = None
    if "test" in listed.splits:
        num_train = int(np.searchsorted(kept, listed.num_train))
    return {
        "split": Split(images, None if labels is None else labels[kept], is_train=False),
        "files": tuple(_inside(path, [files[index] for index in kept])),
        "class_names": listed.class_names,
        "num_train": num_train,
        "test_part": listed.test_part,
        "changes": changes,
    }


def _inside(folder, files):
    return [file.relative_to(folder).as_posix() for file in files]


def _read(path, files, image_shape, skip_unreadable=False):
    """Return images, [n, *image_shape], which files they are of, and what was changed.

    They have the depth of the deepest.
    """
    from tqdm import tqdm

    needed = len(files) * int(np.prod(image_shape))
    memory.require(needed, f"{len(files):,} images", "Fewer at a time need less.")
    images, kept, unreadable = None, [], []
    changed, said = _Changes(image_shape), collections.Counter()
    for index, file in enumerate(tqdm(files, desc="images", unit="", delay=1, leave=False)):
        try:
            picture = pixels.read_picture(file)
        except ValueError as error:
            if file == path:
                raise
            if not skip_unreadable:
                raise image_folder.unreadable(error) from error
            unreadable.append(image_folder.shown(file))
            continue
        said.update(picture.notes)
        image = changed.fitted(picture.pixels, image_folder.shown(file))
        if images is None:
            images = np.empty((len(files), *image_shape), image.dtype)
        dtype = np.result_type(images.dtype, image.dtype)
        images = pixels.with_dtype(images, dtype)
        images[len(kept)] = pixels.with_dtype(image, dtype)
        kept.append(index)
    if not kept:
        raise image_folder.none_readable(path, str(files[0]), len(files))
    for note in forms.notes(said, unreadable, len(files)):
        notice(f"{image_folder.shown(path)}: {note}")
    return images[: len(kept)], np.array(kept), changed.told()


def _of_arrays(path, image_shape):
    """Return the images of an .npz or .npy file or of IDX files."""
    files = idx.files_of(path)
    given = arrays.Given(idx.read_files(files)[1]) if files else arrays.read_file(path)
    source, changed = image_folder.shown(str(path)), _Changes(image_shape)
    if given.left_out:
        notice(f"{source}: {given.left_out:,} validation images are left out")
    parts, labels = [], []
    both = ("images", *given.arrays[:2]), (given.test_part, *given.arrays[2:])
    for what, images, its_labels in both:
        if images is None:
            continue
        what = f"the {what} of {source}"
        images = arrays.checked_images(images, what)
        if its_labels is not None:
            its_labels = arrays.checked_labels(its_labels, len(images), what)
        parts.append([changed.fitted(image, source) for image in images])
        labels.append(its_labels)
    images = [image for part in parts for image in part]
    deepest = max((image.dtype for image in images), key=lambda dtype: dtype.itemsize)
    labels, class_names = arrays.numbered(labels)
    known = all(each is not None for each in labels)
    return {
        "split": Split(
            np.stack([pixels.with_dtype(image, deepest) for image in images]),
            np.concatenate(labels) if known else None,
            is_train=False,
        ),
        "files": tuple(map(str, range(len(images)))),
        "class_names": class_names,
        "num_train": len(parts[0]) if len(parts) > 1 else None,
        "test_part": given.test_part,
        "changes": changed.told(),
    }


def _held_out(count, test_fraction, seed):
    """Return the indices of the training and the test images that `datasets.load` makes of all."""
    in_test = held_out(count, test_fraction, seed)
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


class _Changes:
    """Gives images a model's shape, and counts what was done."""

    def __init__(self, image_shape):
        self._size, self._channels = tuple(image_shape[:2]), image_shape[2]
        self._resized = self._grey = self._coloured = 0

    def fitted(self, image, name):
        """Return an image, [h, w, c], in the model's shape."""
        channels = image.shape[-1]
        if channels != self._channels and {channels, self._channels} != {1, 3}:
            raise ValueError(
                f"Expected images of {self._channels} channels, the model's; only grey and colour "
                f"(1 and 3) are made of one another. Received: {channels} channels in {name}."
            )
        self._grey += channels > self._channels
        self._coloured += channels < self._channels
        if image.shape[:2] != self._size:
            self._resized += 1
            image = pixels.resized(image, self._size)
        return pixels.with_channels(image, self._channels)

    def told(self):
        """Return what was done, in words."""
        height, width = self._size
        done = (
            (f"resized to {height}x{width}", self._resized),
            (_GREY, self._grey),
            (_COLOUR, self._coloured),
        )
        return tuple(f"{count:,} image{'s' * (count > 1)} {what}" for what, count in done if count)
