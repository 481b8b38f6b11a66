"""Tiny stand-ins for the published archives and for the package that mirrors MNIST."""

import dataclasses
import gzip
import hashlib
import pickle
import zipfile

import numpy as np

from mvae_tf.datasets import published
from mvae_tf.datasets.published import identity
from mvae_tf.datasets.splits import array_digest

NAMES = [archive.name for archive in published.ORIGINALS["mnist"].archives]


def tiny_arrays(seed):
    random = np.random.default_rng(seed)
    arrays = []
    for count in (30, 12):
        arrays.append(random.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8))
        arrays.append(random.integers(0, 10, count))
    return arrays


def idx_bytes(array):
    content = array.squeeze().astype(np.uint8)
    header = np.array([0x0800 + content.ndim, *content.shape], ">u4")
    return header.tobytes() + content.tobytes()


def tiny_original(original, seed):
    """The stand-in's pins, its arrays, and the bytes of its archives by name."""
    arrays = tiny_arrays(seed)
    packed = {
        name: gzip.compress(idx_bytes(array), mtime=0)
        for name, array in zip(NAMES, arrays, strict=True)
    }
    archives = tuple(
        identity.Archive(
            name,
            len(content),
            hashlib.sha256(content).hexdigest(),
            hashlib.sha256(gzip.decompress(content)).hexdigest(),
        )
        for name, content in packed.items()
    )
    pinned = array_digest(arrays) if original.array_sha256 else None
    original = dataclasses.replace(original, archives=archives, array_sha256=pinned)
    return original, arrays, packed


def put_archives(data_dir, packed, subfolder=""):
    folder = data_dir / "downloads" / "manual" / subfolder
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in packed.items():
        (folder / name).write_bytes(content)


def write_wheel(path, content):
    packed = gzip.compress(pickle.dumps(content, protocol=4))
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("mnist/data/mnist.pkl.gz", packed)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wheel_content(arrays):
    """The mirror's form: floats = byte / 256, and the train images in two parts."""
    images, labels, test_images, test_labels = arrays

    def floats(images):
        return (images.reshape(len(images), -1) / 256).astype(np.float32)

    return (
        (floats(images[:20]), labels[:20]),
        (floats(images[20:]), labels[20:]),
        (floats(test_images), test_labels),
    )


def assert_arrays(data, arrays):
    for split, images, labels in (
        (data.train, arrays[0], arrays[1]),
        (data.test, arrays[2], arrays[3]),
    ):
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
