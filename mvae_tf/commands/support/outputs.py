"""What a command leaves behind: one picture, a file of arrays, or a folder of pictures."""

import csv
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from absl import flags

from mvae_tf import files
from mvae_tf.commands.support import arguments
from mvae_tf.commands.support.arguments import CommandError, UsageError


def define(values: flags.FlagValues) -> None:
    """Define --output, for pictures or arrays, and --overwrite."""
    flags.DEFINE_string(
        "output",
        None,
        "A .png for one picture, an .npz for arrays, or a folder for one PNG an image.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_bool(
        "overwrite",
        False,
        "Write into a folder that isn't empty; files of other names stay. (A .png or an .npz is "
        "replaced in any case.)",
        flag_values=values,
    )


def define_file(values: flags.FlagValues, text: str, *, required: bool) -> None:
    """Define --output, of a file."""
    flags.DEFINE_string("output", None, text, required=required, flag_values=values)


def checked_file(given: flags.FlagValues, suffixes: tuple[str, ...]) -> Path:
    """Return --output as the path of a file that can be written, which ends in one of `suffixes`.

    Raises:
        UsageError: it is of another kind.
        OSError: it can't be written.
    """
    path = arguments.path("output", given.output)
    if path.suffix not in suffixes or path.is_dir():
        raise UsageError(
            f"Expected --output to be a file that ends in {' or '.join(suffixes)}. "
            f"Received: {given.output!r}."
        )
    files.require_writable(path.parent, path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def checked(given: flags.FlagValues) -> Path:
    """Return --output as a path that can be written; the folders above it are made.

    Raises:
        UsageError: it is of another kind, or a folder that isn't empty.
        OSError: it can't be written.
    """
    path = arguments.path("output", given.output)
    is_folder = path.is_dir() or given.output.endswith(("/", os.sep))
    if not is_folder and path.suffix not in (".png", ".npz", ""):
        raise UsageError(
            "Expected --output to end in .png or .npz, or to be a folder's name. "
            f"Received: {given.output!r}."
        )
    if path.is_dir() and not given.overwrite and any(path.iterdir()):
        raise UsageError(
            f"Expected --output to be a new or an empty folder. Received: {given.output!r}, which "
            "holds files. --overwrite writes beside them."
        )
    folder, name = (path, "") if is_folder or not path.suffix else (path.parent, path.name)
    files.require_writable(folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    return path


def write(
    path: Path,
    draw: Callable,
    arrays: Mapping[str, np.ndarray],
    pictures: Mapping[str, np.ndarray],
) -> None:
    """Write what the path's ending asks for; a file is replaced all at once.

    Args:
        path: What `checked` gave.
        draw: Returns the matplotlib figure.
        arrays: By name, for .npz.
        pictures: Images [n, h, w, c], floats in [0, 1], by what their files' names are to add to
            the number.
    """
    if path.is_dir():
        write_pictures(path, pictures)
    elif path.suffix == ".npz":
        write_arrays(path, arrays)
    else:
        from mvae_tf import plots

        plots.save(draw(), path)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an .npz, all at once."""
    _replace(path, lambda file: np.savez_compressed(file, **arrays))


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a .csv, all at once; see `print_table`."""

    def write_to(file):
        # A name that is not UTF-8 keeps its bytes, by which its file is found.
        options = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
        text = io.TextIOWrapper(file, **options)
        print_table(text, header, rows)
        text.detach()

    _replace(path, write_to)


def print_table(file: TextIO, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Print rows as comma-separated values (RFC 4180), a line feed after each."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def write_pictures(folder: Path, pictures: Mapping[str, np.ndarray], first: int = 0) -> None:
    """Write a PNG an image.

    Args:
        folder: Where.
        pictures: As for `write`.
        first: Number of the first image.
    """
    from PIL import Image

    for name, images in pictures.items():
        pixels = np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)
        if pixels.shape[-1] == 1:
            pixels = pixels[..., 0]
        for number, image in enumerate(pixels, start=first):
            _replace(
                folder / f"{number:05d}{name}.png",
                lambda file, image=image: Image.fromarray(image).save(file, format="png"),
            )


def require_drawable(output: Path, shape: tuple[int, int, int]) -> None:
    """Refuse a picture, what all but an .npz asks for, of images of many channels."""
    if shape[-1] not in (1, 3) and (output.is_dir() or output.suffix != ".npz"):
        raise CommandError(
            "Expected images of 1 or 3 channels for a picture. "
            f"Received: {shape[-1]} channels; an .npz takes them."
        )


def _replace(path, write_to):
    with files.aside(path) as aside, files.writing(path):
        with aside.open("wb") as file:
            write_to(file)
        files.put(aside, path)
