"""A folder of images as a dataset that is streamed."""

import contextlib
import functools
import itertools
import re
from pathlib import Path

import numpy as np
import psutil

from mvae_tf.datasets.formats import image_folder, pixels
from mvae_tf.datasets.sources.fetching import notice
from mvae_tf.datasets.splits import Dataset, Split, held_out
from mvae_tf.datasets.streaming import caches
from mvae_tf.datasets.streaming.files import FileReader, Files
from mvae_tf.datasets.streaming.images import StreamedImages
from mvae_tf.datasets.streaming.survey import survey
from mvae_tf.files import shown

# Of the memory that is free, what images may take that are read into it.
_SHARE = 0.5
# They are there twice, for a moment, and may be in colour.
_COPIES, _CHANNELS = 2, 3
# Files of which the first that can be read tells how large images are.
_A_FEW = 16
# Of a folder's name, in the name of its cache: names may be no longer than 255 bytes.
_LETTERS = 40


def is_large(listed: image_folder.Listing, image_size: tuple[int, int] | None) -> bool:
    """Return whether a folder's images would take more memory than there is to spare; say so."""
    files, nbytes = listed.files(), 0
    if image_size is not None:
        nbytes = _CHANNELS * int(np.prod(image_size))
    for file in itertools.islice(files, _A_FEW):
        if nbytes:
            break
        with contextlib.suppress(ValueError):  # told of when all are read
            nbytes = pixels.read(file).nbytes
    needed, free = len(files) * nbytes, psutil.virtual_memory().available
    if _COPIES * needed <= _SHARE * free:
        return False
    notice(
        f"{len(files):,} images, which could take {needed / 2**30:.1f} GiB of memory, are read "
        "when they are needed"
    )
    return True


def stream(
    path: Path,
    listed: image_folder.Listing,
    *,
    image_size: tuple[int, int] | None,
    test_fraction: float,
    seed: int,
    cache: Path | None,
    skip_unreadable: bool,
) -> Dataset:
    """Make a `Dataset` of a folder whose images are read when they are needed.

    It is the same, by digest too, as the one that is read into memory.

    Args:
        path: The folder.
        listed: Its `Listing`.
        image_size: (height, width) to resize to, or None.
        test_fraction: The part of the images to hold out where there are none to test on.
        seed: Seed of their choice.
        cache: The folder where they are kept once they are decoded, or None.
        skip_unreadable: Whether files that can't be read are passed over.

    Raises:
        ValueError: a file can't be read, or images differ in size.
        WriteError: the cache can't be written.
    """
    if cache is not None and cache.resolve().is_relative_to(path.resolve()):
        raise ValueError(
            f"Expected cache to be a folder outside of {shown(path)}, whose images it keeps. "
            f"Received: {shown(cache)}."
        )
    names, labels, num_train = listed.files(), listed.labels(), listed.num_train

    def parts_of(kept):
        if "test" not in listed.splits:
            in_test = held_out(len(kept), test_fraction, seed)
        else:
            in_test = kept >= num_train
            if in_test.all() or not in_test.any():
                raise ValueError(
                    f"Expected readable images to train and to test on in {shown(path)}. "
                    f"Received: {np.sum(~in_test):,} and {np.sum(in_test):,}."
                )
        return kept[~in_test], kept[in_test]

    files = Files(names, image_size)
    look = functools.partial(survey, files, labels, parts_of, skip_unreadable=skip_unreadable)
    if cache is None:
        found = look()
        reader = FileReader(files, found.form)
    else:
        options = (image_size, test_fraction, seed, skip_unreadable)
        key = caches.key_of(names, num_train, *options)
        plain = re.sub(r"[^\w.-]+", "-", shown(path.resolve().name))[:_LETTERS]
        found, reader = caches.kept(cache / f"{plain}-{key}.npy", len(names), look)
    for note in found.notes:
        notice(f"{shown(path)}: {note}")
    parts = parts_of(np.setdiff1d(np.arange(len(names)), found.unreadable))
    splits, before = [], 0
    for positions, is_train in zip(parts, (True, False), strict=True):
        # A cache holds the train images, then the test images.
        in_cache = np.arange(before, before := before + len(positions))
        in_reader = positions if cache is None else in_cache
        images = StreamedImages(reader, in_reader, names, positions)
        splits.append(Split(images, None if labels is None else labels[positions], is_train))
    return Dataset(
        name=shown(path.resolve().name),
        train=splits[0],
        test=splits[1],
        source=shown(path),
        digest=found.digest,
        test_part=listed.test_part,
        class_names=listed.class_names,
    )
