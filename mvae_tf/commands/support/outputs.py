"""What a command leaves behind: one picture, a file of arrays, or a folder of pictures."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from absl import flags

from mvae_tf import files
from mvae_tf.commands.support import arguments
from mvae_tf.commands.support.arguments import CommandError, UsageError


def define(values: flags.FlagValues) -> None:
    """Define --output and --overwrite."""
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
        _write_folder(path, pictures)
    elif path.suffix == ".npz":
        _replace(path, lambda file: np.savez_compressed(file, **arrays))
    else:
        from mvae_tf import plots

        plots.save(draw(), path)


def _write_folder(folder, pictures):
    from PIL import Image

    for name, images in pictures.items():
        pixels = np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)
        if pixels.shape[-1] == 1:
            pixels = pixels[..., 0]
        for number, image in enumerate(pixels):
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
