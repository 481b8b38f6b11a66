"""CIFAR-10: its six binary batches, and which of them train and test.

A batch is a file of 10,000 records of 3,073 bytes: one byte of label, 0 to 9, and 1,024 bytes
each of red, green and blue, row by row.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from mvae_tf.datasets.published.identity import Archive, Found, Original
from mvae_tf.datasets.sources.fetching import SourceError
from mvae_tf.datasets.splits import TEST_IMAGES, array_digest

RECORD_BYTES = 1 + 3 * 32 * 32


@dataclasses.dataclass(frozen=True)
class Batch:
    """One binary batch: its file's name, and the file's MD5 (hex)."""

    name: str
    md5: str


@dataclasses.dataclass(frozen=True)
class Roles:
    """The positions of the batches that train and of the one that tests, and its name in words."""

    train: tuple[int, ...]
    test: int
    test_part: str


SPLITS = {
    "standard": Roles((0, 1, 2, 3, 4), 5, TEST_IMAGES),
    "heldout": Roles((0, 1, 2, 3), 4, "held-out training batch 5"),
}


@dataclasses.dataclass(frozen=True)
class BatchedOriginal(Original):
    """A dataset published as batches, of which some may be enough.

    Attributes:
        batches: The training batches in order, then the test batch.
        batch_images: How many images a batch has.
        split: A key of `SPLITS`.
    """

    batches: tuple[Batch, ...]
    batch_images: int
    split: str = "standard"

    @property
    def roles(self) -> Roles:
        """Which batches train and test."""
        return SPLITS[self.split]

    def found(self, arrays: Sequence[np.ndarray], where: str) -> Found:
        """Check the whole dataset's arrays batch by batch, and choose those of the split."""
        images = [*self._cut(arrays[0]), *self._cut(arrays[2])]
        labels = [*self._cut(arrays[1]), *self._cut(arrays[3])]
        shapes = {image.shape[1:] for image in images}
        if len(images) != len(self.batches) or shapes != {(32, 32, 3)}:
            raise SourceError(
                f"Expected {len(self.batches)} batches of {self.batch_images} images [32, 32, 3]. "
                f"Received: images {list(arrays[0].shape)} and {list(arrays[2].shape)}."
            )
        parts = dict(enumerate(zip(images, labels, strict=True)))
        for batch, part in zip(self.batches, parts.values(), strict=True):
            md5 = md5_of(pack(*part))
            if md5 != batch.md5:
                raise SourceError(
                    f"Expected the images of {batch.name}, md5={batch.md5}. Received: {md5=!s}."
                )
        return self.assemble(parts, where)

    def assemble(self, parts: Mapping[int, tuple[np.ndarray, np.ndarray]], where: str) -> Found:
        """Join the images and labels of the batches, by position, as the split says."""
        train = [parts[position] for position in self.roles.train if position in parts]
        test = [parts[self.roles.test]]
        arrays = [
            np.concatenate(each) for part in (train, test) for each in zip(*part, strict=True)
        ]
        return Found(arrays, array_digest(arrays), where, self.roles.test_part)

    def shortage(self, names: set[str]) -> str:
        """Say which of the files that the split needs are not among those named, if any."""
        lacking = {split: self._lacking(roles, names) for split, roles in SPLITS.items()}
        missing = lacking.pop(self.split)
        if not missing:
            return ""
        there = [batch.name for batch in self.batches if batch.name in names]
        would_do = [split for split, others in lacking.items() if not others]
        text = f"missing: {', '.join(missing)}; there: {', '.join(there) or 'none'}"
        return text + "".join(f', so split="{split}" would work' for split in would_do)

    def _lacking(self, roles: Roles, names: set[str]) -> list[str]:
        needed = (self.batches[position].name for position in (roles.train[0], roles.test))
        return [name for name in needed if name not in names]

    def _cut(self, array: np.ndarray) -> list[np.ndarray]:
        return [
            array[start : start + self.batch_images]
            for start in range(0, len(array), self.batch_images)
        ]


def unpack(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Read a batch: images uint8 [n, 32, 32, 3] and labels int64 [n]."""
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def pack(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Write a batch, the inverse of `unpack`."""
    pixels = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([labels.astype(np.uint8)[:, np.newaxis], pixels], axis=1).tobytes()


def md5_of(content: bytes) -> str:
    """MD5 (hex): it tells files apart, and guards against damage rather than against malice."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


# The archive's SHA-256 is the one TensorFlow Datasets checks. The page of the dataset gives no sums
# of the files in it; these are what programs in several languages check after unpacking it, and
# they agree (https://github.com/rai-project/dldataset, vision/cifar10.go, is one of them).
CIFAR10 = BatchedOriginal(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/",
    archives=(
        Archive(
            "cifar-10-binary.tar.gz",
            170052171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    array_sha256=None,
    on_package_index=False,
    batches=(
        Batch("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"),
        Batch("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"),
        Batch("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"),
        Batch("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"),
        Batch("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"),
        Batch("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"),
    ),
    batch_images=10_000,
)
