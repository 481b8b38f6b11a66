"""A tiny stand-in for CIFAR-10: six batches of few images, and the archive of them."""

import dataclasses
import hashlib
import io
import tarfile

import numpy as np

from mvae_tf.datasets.published import cifar10, identity

NAMES = [batch.name for batch in cifar10.CIFAR10.batches]
BATCH_IMAGES = 20


def tiny_arrays():
    """Images [6, n, 32, 32, 3] and labels [6, n] of the batches."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (len(NAMES), BATCH_IMAGES, 32, 32, 3), dtype=np.uint8)
    labels = random.integers(0, 10, (len(NAMES), BATCH_IMAGES))
    # So that no stand-in begins as a web page might, whatever the random numbers.
    labels[:, 0] = 6
    return images, labels


def record(image, label):
    """An image's bytes, value by value as the dataset's page describes them."""
    content = bytearray([label])
    for channel in range(3):
        for row in range(32):
            for column in range(32):
                content.append(image[row, column, channel])
    return bytes(content)


def tiny_cifar10():
    """The stand-in's pins, its arrays, and the bytes of its batches by name."""
    images, labels = tiny_arrays()
    files = {
        name: b"".join(record(image, label) for image, label in zip(*part, strict=True))
        for name, *part in zip(NAMES, images, labels, strict=True)
    }
    packed = pack(files)
    original = dataclasses.replace(
        cifar10.CIFAR10,
        archives=(
            identity.Archive(
                "cifar-10-binary.tar.gz", len(packed), hashlib.sha256(packed).hexdigest()
            ),
        ),
        batches=tuple(
            cifar10.Batch(name, hashlib.md5(content).hexdigest()) for name, content in files.items()
        ),
        batch_images=BATCH_IMAGES,
    )
    return original, (images, labels), files, packed


def pack(files):
    """The archive, with its files in another order than their numbers', as the published one."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in [("batches.meta.txt", b"airplane\n"), *reversed(files.items())]:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def put_files(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
