"""What identifies a published dataset, and what its sources give."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mvae_tf.datasets.sources.fetching import SourceError
from mvae_tf.datasets.splits import TEST_IMAGES, array_digest


@dataclasses.dataclass(frozen=True)
class Archive:
    """One published file.

    Attributes:
        name: Its name.
        size: In bytes.
        sha256: Of the file (hex).
        content_sha256: Of what is packed in it (hex), which is the same however it is packed; None
            where that is not asked for.
    """

    name: str
    size: int
    sha256: str
    content_sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class Found:
    """Arrays in the order of the original files, their digest, and what they are.

    Attributes:
        arrays: Train images, train labels, test images, test labels.
        digest: `array_digest` of them.
        where: Where they were found, in words, without paths.
        test_part: What the test images are, in words.
    """

    arrays: Sequence[np.ndarray]
    digest: str
    where: str
    test_part: str = TEST_IMAGES


@dataclasses.dataclass(frozen=True)
class Original:
    """A published dataset.

    Attributes:
        name: Its name, here and in TensorFlow Datasets.
        url: The folder its archives are published in.
        archives: What TensorFlow Datasets downloads. Of MNIST and its like: train images, train
            labels, test images, test labels.
        array_sha256: `array_digest` of its arrays; None where only the archives identify it.
        on_package_index: Whether `sources.package_index` can fetch it.
    """

    name: str
    url: str
    archives: tuple[Archive, ...]
    array_sha256: str | None
    on_package_index: bool

    def found(self, arrays: Sequence[np.ndarray], where: str) -> Found:
        """Check the whole dataset's arrays.

        Args:
            arrays: Train images, train labels, test images, test labels, each whole and in the
                order of the original files.
            where: Where they were found.

        Returns:
            The `Found`.

        Raises:
            SourceError: they are not the dataset's.
        """
        digest = array_digest(arrays)
        if self.array_sha256 not in (None, digest):
            raise SourceError(
                f"Expected arrays of SHA-256 {self.array_sha256}. Received: {digest}."
            )
        return Found(arrays, digest, where)
