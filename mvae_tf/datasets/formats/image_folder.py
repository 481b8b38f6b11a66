"""Folders of image files, and what other images of many sizes share with them."""

import collections
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mvae_tf.datasets.formats import forms, part_names, pixels
from mvae_tf.datasets.formats.names import Names
from mvae_tf.datasets.sources.fetching import notice
from mvae_tf.datasets.splits import TEST_IMAGES
from mvae_tf.files import shown

# What other programs leave among images.
_NO_FOLDERS = ("__MACOSX", "@eaDir")
_LARGEST = 65_535  # a side, as in JPEG


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The files of one part, in the sorted order of their names, class by class.

    Attributes:
        files: Of images.
        labels: int64 [n], or None.
    """

    files: Names
    labels: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class Listing:
    """What a folder of images holds, by names alone.

    Attributes:
        splits: "train", and perhaps "test".
        class_names: Of the labels 0, 1, ...; None without labels.
        passed_over: How many files are of no format that is read, by their names' endings.
        test_part: What the images of "test" are, in words.
        left_out: A folder of validation images that neither train nor test, as a test part is
            there too; None where there is none.
    """

    splits: Mapping[str, Part]
    class_names: tuple[str, ...] | None
    passed_over: Mapping[str, int]
    test_part: str
    left_out: Path | None

    @property
    def num_train(self) -> int:
        """How many files are in "train"."""
        return len(self.splits["train"].files)

    def files(self) -> Names:
        """Return all files, those of "train" first."""
        train, *test = (part.files for part in self.splits.values())
        return train + test[0] if test else train

    def labels(self) -> np.ndarray | None:
        """Return the labels of all files, int64 [n], or None."""
        if self.class_names is None:
            return None
        return np.concatenate([part.labels for part in self.splits.values()])

    def notes(self) -> list[str]:
        """Say what is not read."""
        notes = []
        if self.passed_over:
            counts = (f"{count:,} {suffix}" for suffix, count in sorted(self.passed_over.items()))
            notes.append(f"files of other formats are passed over: {', '.join(counts)}")
        if self.left_out is not None:
            notes.append(f"{shown(self.left_out)} is left out, since the images of test are there")
        return notes


def listing(path: Path) -> Listing:
    """List the images of a folder, without reading any.

    Hidden files, folders of runs and what is no image are passed over.

    Args:
        path: A folder of images; or of one subfolder of images for each class; or of parts, each
            of which is such a folder: `train` (or `training`), and perhaps `test` (`testing`) or
            `validation` (`val`, `valid`, `dev`), in any case. Where there is no `test`,
            `validation` takes its place.

    Returns:
        The `Listing`.

    Raises:
        ValueError: the folder is arranged otherwise.
    """
    passed_over = collections.Counter()
    top = _Entries(path, passed_over)
    roles = part_names.roles(path, top.subfolders, top.files)
    if not roles:
        passed_over.clear()
        part, classes = _list_part(path, path, passed_over)
        return Listing({"train": part}, classes, passed_over, TEST_IMAGES, None)
    part, classes = _list_part(path, roles["train"], passed_over)
    test = roles.get("test", roles.get("validation"))
    if test is None:
        return Listing({"train": part}, classes, passed_over, TEST_IMAGES, None)
    test_part, test_classes = _list_part(path, test, passed_over)
    if classes != test_classes:
        raise ValueError(
            f"Expected the same classes in {shown(roles['train'])} and {shown(test.name)}. "
            f"Received: {part_names.listed(classes)} and {part_names.listed(test_classes)}."
        )
    return Listing(
        {"train": part, "test": test_part},
        classes,
        passed_over,
        TEST_IMAGES if "test" in roles else "validation images",
        roles.get("validation") if "test" in roles else None,
    )


def read_folder(
    path: Path,
    listed: Listing,
    image_size: tuple[int, int] | None,
    skip_unreadable: bool = False,
) -> tuple[np.ndarray | None, ...]:
    """Read a folder of images, in the order of its `listing`.

    Images that are grey in every pixel make one channel, if all are; otherwise there are three.
    All get the depth of the deepest, see `pixels`.

    Args:
        path: The folder.
        listed: Its `Listing`.
        image_size: (height, width) to resize to, or None.
        skip_unreadable: Whether files that can't be read are passed over.

    Returns:
        Train images ([n, h, w, 1 or 3]), train labels (int64 [n], or None), and the same of the
        test part, or None and None.

    Raises:
        ValueError: a file cannot be read, or sizes differ.
    """
    # Read as one, so that both have the same size, depth and number of channels.
    images, kept = _read_images(path, listed.files(), image_size, skip_unreadable)
    labels = listed.labels()
    labels = None if labels is None else labels[kept]
    if "test" not in listed.splits:
        return images, labels, None, None
    count = np.searchsorted(kept, listed.num_train)
    if labels is None:
        return images[:count], None, images[count:], None
    return images[:count], labels[:count], images[count:], labels[count:]


def check_image_size(image_size: tuple[int, int] | None) -> None:
    """Refuse an image_size that is neither None nor (height, width)."""
    if image_size is None:
        return
    is_pair = isinstance(image_size, Sequence) and len(image_size) == 2
    if not is_pair or not all(map(_is_side, image_size)):
        raise ValueError(
            f"Expected image_size as (height, width), integers from 1 to {_LARGEST:,}. "
            f"Received: {image_size!r}."
        )


def _is_side(number):
    is_integer = isinstance(number, int | np.integer) and not isinstance(number, bool)
    return is_integer and 1 <= number <= _LARGEST


def require_one_size(first: np.ndarray, first_name: str, image: np.ndarray, name: str) -> None:
    """Refuse an image that has not the height and width of the first one."""
    if image.shape[:2] != first.shape[:2]:
        raise ValueError(
            "Expected images of one size, or image_size=(height, width) to resize them. "
            f"Received: {shown(first_name)} of {_size(first)} and {shown(name)} of {_size(image)}."
        )


class _Entries:
    """A folder's subfolders, and its image files by name, both sorted; others are counted."""

    def __init__(self, folder: Path, passed_over: collections.Counter):
        subfolders, self.files = [], []
        suffixes = pixels.suffixes()
        for entry in _visible(folder):
            suffix = os.path.splitext(entry.name)[1].lower()
            if _is_folder(entry):
                if entry.name not in _NO_FOLDERS and not _is_of_runs(folder / entry.name):
                    subfolders.append(entry.name)
            elif suffix in suffixes and (entry.is_symlink() or entry.is_file()):
                # A link that leads to no file is told of as a file that can't be read.
                self.files.append(entry.name)
            else:
                passed_over[shown(suffix) or "without an ending"] += 1
        self.files.sort(key=os.path.normcase)
        self.subfolders = [folder / name for name in sorted(subfolders, key=os.path.normcase)]


def _is_of_runs(folder):
    """Return whether a folder is one that a training writes, or only holds such folders."""
    if _is_run(folder):
        return True
    runs = (_is_folder(entry) and _is_run(folder / entry.name) for entry in _visible(folder))
    return next(runs, False) and all(runs)


def _visible(folder):
    """Yield the entries of a folder that are not hidden."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise ValueError(
            f"Expected {shown(folder)} to be a folder that can be read. Received: "
            f"{error.strerror}. Give yourself the right to read it, or move it elsewhere."
        ) from error


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_run(folder):
    # As mvae_tf.training.run_folder and the command line name them.
    told = any((folder / name).is_file() for name in ("settings.json", "record.json"))
    return told and ((folder / "checkpoints").is_dir() or (folder / "model.keras").is_file())


def _list_part(path: Path, folder: Path, passed_over) -> tuple[Part, tuple[str, ...] | None]:
    """List the image files of one part of a path, their labels, and the names of the classes."""
    counted = collections.Counter()
    top = _Entries(folder, counted)
    if bool(top.subfolders) == bool(top.files):
        others = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(counted.items()))
        raise ValueError(
            f"Expected images, or one folder of images for each class, in {shown(folder)}. "
            f"Received: {'both' if top.files else 'neither'}"
            + (f"; files of other formats: {others}." if others else ".")
        )
    files, counts = Names(path), []
    files.add(folder, top.files)
    for class_folder in top.subfolders:
        inside = _Entries(class_folder, counted)
        if inside.subfolders or not inside.files:
            raise ValueError(
                f"Expected images, and no folders, in {shown(class_folder)}. "
                f"Received: {len(inside.files)} images and {len(inside.subfolders)} folders."
            )
        files.add(class_folder, inside.files)
        counts.append(len(inside.files))
    passed_over.update(counted)
    if not top.subfolders:
        return Part(files, None), None
    names = tuple(shown(class_folder.name) for class_folder in top.subfolders)
    return Part(files, np.repeat(np.arange(len(counts), dtype=np.int64), counts)), names


def _read_images(path, files, image_size, skip_unreadable):
    """Return the images, [n, h, w, c], and the positions of their files, int64 [n]."""
    from tqdm import tqdm

    images, kept, said, form = [], [], collections.Counter(), None
    for position, file in enumerate(tqdm(files, desc="images", unit="", delay=1, leave=False)):
        try:
            image, notes = pixels.read_picture(file, image_size)
        except ValueError as error:
            if not skip_unreadable:
                raise unreadable(error) from error
            continue
        images.append(image)
        kept.append(position)
        said.update(notes)
        require_one_size(images[0], str(files[kept[0]]), image, str(file))
        form = forms.joined(form, image)
    others = np.setdiff1d(np.arange(len(files)), kept)
    if not images:
        raise none_readable(path, files[0], len(files))
    for note in forms.notes(said, [shown(files[each]) for each in others], len(files)):
        notice(f"{shown(path)}: {note}")
    return np.stack([form.fitted(image) for image in images]), np.array(kept, np.int64)


def unreadable(error: ValueError) -> ValueError:
    """Return what to raise of a folder's file that can't be read, from what is raised of a file."""
    return ValueError(f"{error} (skip_unreadable passes over such files, and counts them.)")


def none_readable(path: Path, first: str | Path, count: int) -> ValueError:
    """Return what to raise of a folder of files of which none can be read."""
    return ValueError(
        f"Expected readable images in {shown(path)}. Received: {count:,} files, of which none can "
        f"be read, {shown(first)} among them."
    )


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]} x {image.shape[1]} (height x width)"
