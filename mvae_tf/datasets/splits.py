"""What `load` returns: a train and a test split of images in memory."""

from __future__ import annotations

import dataclasses
import hashlib
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


# What the test images of a dataset are, unless something else stands in for them.
TEST_IMAGES = "test images"
# Of streamed images, for their digest.
_READ_AT_ONCE = 256


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a dataset.

    Attributes:
        images: uint8, uint16, or float32 in [0, 1], [n, h, w, c]: an array, or `StreamedImages`,
            which give arrays where they are indexed.
        labels: int64 [n], or None.
        is_train: Whether `dataset` shuffles unless told otherwise.
    """

    images: np.ndarray
    labels: np.ndarray | None
    is_train: bool

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        labels = "no labels" if self.labels is None else "labels"
        return f"Split(images {self.images.dtype} {list(self.images.shape)}, {labels})"

    def float_images(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the images of a range as the model takes them.

        Args:
            start: Index of the first image, as in a slice.
            stop: Index after the last image, as in a slice. Default: to the end.

        Returns:
            float32 in [0, 1], [stop - start, h, w, c]; equal to what `dataset` yields.
        """
        images = self.images[start:stop]
        if images.dtype.kind == "u":
            return images.astype(np.float32) / np.float32(np.iinfo(images.dtype).max)
        return images.copy()

    def dataset(
        self,
        batch_size: int,
        *,
        shuffle: bool | None = None,
        seed: int = 0,
        labels: bool = False,
        drop_remainder: bool = False,
    ) -> tf.data.Dataset:
        """Batches for training or evaluation.

        Args:
            batch_size: Images per batch, at least 1.
            shuffle: Whether to draw a new order in each epoch. Default: only the train split does.
            seed: Seed of those orders. With the same seed (and the same `tf.random.set_seed`, if
                any) epoch e has the same order in every run.
            labels: Whether to yield (images, labels) instead of images.
            drop_remainder: Whether to leave out a last batch that is not full.

        Returns:
            A tf.data.Dataset of float32 images in [0, 1], [b, h, w, c], or of pairs of those and
            int64 labels [b].

        Raises:
            ValueError: there are no labels; or `batch_size` is below 1, or leaves no full batch.
        """
        import tensorflow as tf

        if batch_size < 1:
            raise ValueError(f"Expected batch_size of at least 1. Received: {batch_size}.")
        if drop_remainder and batch_size > len(self):
            raise ValueError(
                f"Expected batch_size of at most {len(self)}, the number of images, with "
                f"drop_remainder. Received: {batch_size}."
            )
        if labels and self.labels is None:
            raise ValueError("Expected a split with labels. Received: images without labels.")

        indices = tf.data.Dataset.range(len(self))
        if self.is_train if shuffle is None else shuffle:
            indices = indices.shuffle(len(self), seed=seed, reshuffle_each_iteration=True)
        return self.gather(indices.batch(batch_size, drop_remainder=drop_remainder), labels=labels)

    def gather(self, indices: tf.data.Dataset, *, labels: bool = False) -> tf.data.Dataset:
        """Batches of given images, for an order of your own.

        Args:
            indices: Batches of indices, int64 [b].
            labels: As in `dataset`.

        Returns:
            As `dataset`, batch by batch.
        """
        from mvae_tf.devices import feeds

        return feeds.gather(self.images, indices, self.labels if labels else None)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A train and a test split, and where they came from.

    Attributes:
        name: The dataset's name; of your own data, the file's, the folder's, or "array".
        train: The train `Split`.
        test: The test `Split`.
        source: Where the arrays came from, in words; of a published dataset without paths, so that
            results can state it.
        digest: SHA-256 (hex) of the four arrays, as `array_digest` defines it.
        test_part: What the test images are, in words, for every result to state: "test images",
            or what stands in for them.
        class_names: What the labels 0, 1, ... stand for: of your own images, the names of the
            folders or the labels' own; None where that is not known.
    """

    name: str
    train: Split
    test: Split
    source: str
    digest: str
    test_part: str = TEST_IMAGES
    class_names: tuple[str, ...] | None = None

    def with_train(self, count: int) -> Dataset:
        """Return the dataset with only the first training images.

        Of images that come class by class, as those of folders do, it is as many of each class, in
        proportion, and the first of each in any case: see `spread`.

        Args:
            count: How many of them to keep.

        Returns:
            A `Dataset` of the same test images, name, source and test part. The digest is that of
            the arrays left, whatever they were once a part of.

        Raises:
            ValueError: `count` is not from 1 to the number of training images.
        """
        if not 1 <= count <= len(self.train):
            raise ValueError(
                f"Expected count from 1 to {len(self.train)}, the number of training images. "
                f"Received: {count}."
            )
        images, labels = self.train.images, self.train.labels
        chosen = slice(count)
        if by_class(labels) and count < len(labels):
            chosen = spread(labels)[:count]
        images, labels = part(images, chosen), None if labels is None else labels[chosen]
        return dataclasses.replace(
            self,
            train=dataclasses.replace(self.train, images=images, labels=labels),
            digest=array_digest([images, labels, self.test.images, self.test.labels]),
        )

    def with_flips(self) -> Dataset:
        """Return the dataset with the mirror image, left to right, of each training image too.

        For pictures of things that are as often seen from one side as from the other: twice the
        training images. Digits are not of that kind.

        Returns:
            A `Dataset` of twice the training images, first those given, then their mirror images
            in the same order; test images, name, source and test part are the same. The digest is
            that of the arrays as they are.
        """
        images, labels = self.train.images, self.train.labels
        if is_streamed(images):
            raise ValueError(
                "Expected images in memory, to mirror them. Received: a folder that is streamed. "
                "(load(..., stream=False) reads it into memory.)"
            )
        images = np.concatenate([images, images[:, :, ::-1]])
        labels = None if labels is None else np.concatenate([labels, labels])
        return dataclasses.replace(
            self,
            train=dataclasses.replace(self.train, images=images, labels=labels),
            digest=array_digest([images, labels, self.test.images, self.test.labels]),
        )

    def with_validation(self, count: int) -> Dataset:
        """Return the training images alone, the last of them held out in place of the test images.

        Of images that come class by class they are of all classes, in proportion; the only one of
        a class is held out last of all.

        For choosing settings: what is chosen on the images held out has not seen the test images.

        Args:
            count: How many to hold out.

        Returns:
            A `Dataset` of the same name and source, whose test part says what it is.

        Raises:
            ValueError: `count` does not leave at least one image on either side.
        """
        if not 1 <= count < len(self.train):
            raise ValueError(
                f"Expected count from 1 to {len(self.train) - 1}, below the number of training "
                f"images. Received: {count}."
            )
        images, labels = self.train.images, self.train.labels
        kept, held_out = slice(-count), slice(len(images) - count, None)
        test_part = f"the last {count:,} training images"
        if by_class(labels):
            chosen = np.isin(np.arange(len(images)), _spread_ends(labels)[:count])
            kept, held_out = ~chosen, chosen
            test_part = f"{count:,} training images of all classes"
        parts = (
            part(images, kept),
            None if labels is None else labels[kept],
            part(images, held_out),
            None if labels is None else labels[held_out],
        )
        return make_dataset(
            self.name, parts, self.source, test_part=test_part, class_names=self.class_names
        )


def by_class(labels: np.ndarray | None) -> bool:
    """Return whether images come class by class, all those of one class after each other.

    Fewer than two images a class say nothing about the order that they are in.
    """
    if labels is None:
        return False
    classes = len(np.unique(labels))
    runs = 1 + np.count_nonzero(np.diff(labels))
    return classes > 1 and runs == classes and len(labels) >= 2 * classes


def spread(labels: np.ndarray) -> np.ndarray:
    """Return an order of images, int64 [n], of which any beginning has as much of each class.

    The first of every class come first; of a class, images stay in their order.

    Args:
        labels: int64 [n].
    """
    return np.lexsort((np.arange(len(labels)), _shares(labels)))


def _shares(labels):
    """Return, for each image, the share of its class that comes before it."""
    shares = np.empty(len(labels))
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        shares[places] = np.arange(len(places)) / len(places)
    return shares


def _spread_ends(labels):
    """Return as `spread` an order from the ends of the classes; the only one of a class is last."""
    shares = _shares(labels[::-1])[::-1]
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shares = np.where(counts[inverse] == 1, 1.0, shares)
    return np.lexsort((-np.arange(len(labels)), shares))


def make_dataset(
    name: str,
    arrays: Sequence[np.ndarray | None],
    source: str,
    digest: str | None = None,
    test_part: str = TEST_IMAGES,
    class_names: tuple[str, ...] | None = None,
) -> Dataset:
    """Wrap train images, train labels, test images and test labels as a `Dataset`."""
    train_images, train_labels, test_images, test_labels = arrays
    return Dataset(
        name=name,
        train=Split(train_images, train_labels, is_train=True),
        test=Split(test_images, test_labels, is_train=False),
        source=source,
        digest=digest or array_digest(arrays),
        test_part=test_part,
        class_names=class_names,
    )


def held_out(count: int, test_fraction: float, seed: int) -> np.ndarray:
    """Return which of so many images are held out to test on, as booleans [count]."""
    if not (isinstance(test_fraction, numbers.Real) and 0 < test_fraction < 1):
        raise ValueError(f"Expected test_fraction in (0, 1). Received: {test_fraction!r}.")
    if not (isinstance(seed, numbers.Integral) and 0 <= seed < 2**32):
        raise ValueError(
            f"Expected seed as an integer from 0 to 4,294,967,295. Received: {seed!r}."
        )
    if count < 2:
        raise ValueError("Expected at least 2 images, to train and to test on. Received: 1.")
    chosen = min(max(1, round(test_fraction * count)), count - 1)
    # RandomState, unlike default_rng, promises the same numbers for ever.
    order = np.random.RandomState(seed).permutation(count)
    return np.isin(np.arange(count), order[:chosen])


def array_digest(arrays: Sequence[np.ndarray | None]) -> str:
    """SHA-256 (hex) over the dtype, shape and little-endian bytes of each array; None counts."""
    total = hashlib.sha256()
    for array in arrays:
        add_to_digest(total, array)
    return total.hexdigest()


def is_streamed(images) -> bool:
    """Return whether images are read when they are asked for, and no array."""
    return getattr(images, "is_streamed", False)


def part(images, which):
    """Return some images: of an array an array, of streamed ones streamed ones."""
    return images.part(which) if is_streamed(images) else images[which]


def add_to_digest(total, array: np.ndarray | None) -> None:
    """Add an array, or None, to the hash of `array_digest`."""
    if array is None:
        total.update(b"none;")
        return
    if is_streamed(array):
        add_head_to_digest(total, array.dtype, array.shape)
        for start in range(0, len(array), _READ_AT_ONCE):
            total.update(array[start : start + _READ_AT_ONCE])
        return
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    add_head_to_digest(total, array.dtype, array.shape)
    total.update(array.reshape(-1).view(np.uint8))


def add_head_to_digest(total, dtype: np.dtype, shape: Sequence[int]) -> None:
    """Add what of an array comes before its bytes, little-endian, to the hash of `array_digest`."""
    total.update(f"{dtype.newbyteorder('<').str}{tuple(shape)};".encode())
