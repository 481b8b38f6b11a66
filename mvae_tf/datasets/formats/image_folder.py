"""Folders of image files, and what other images of many sizes share with them."""

from pathlib import Path

import numpy as np

_SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)


def read_folder(
    path: Path, image_size: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Read a folder of images, in the sorted order of their names.

    Images that are grey in every pixel make one channel, if all are; otherwise there are three.
    Transparent images are laid on white; 16-bit grey keeps its upper 8 bits; a photograph is
    turned as its EXIF data says. Hidden files and files that are no images are passed over.

    Args:
        path: A folder of images; or of one subfolder of images for each class; or of `train` and
            perhaps `test`, each of which is such a folder.
        image_size: (height, width) to resize to, or None.

    Returns:
        Train images (uint8 [n, h, w, 1 or 3]), train labels (int64 [n], or None), and the same of
        `test`, or None and None.

    Raises:
        ValueError: a file cannot be read, sizes differ, or the folder is arranged otherwise.
    """
    check_image_size(image_size)
    subfolders, files = _entries(path)
    parts = [folder for folder in subfolders if folder.name in ("train", "test")]
    if not parts:
        listed, labels, _ = _list_part(path)
        return _read_images(listed, image_size), labels, None, None
    beside = [entry for entry in (*subfolders, *files) if entry not in parts]
    if beside or path / "train" not in parts:
        raise ValueError(
            f"Expected {path} to hold the folders train and test, or only train. "
            f"Received: {', '.join(sorted(entry.name for entry in (*parts, *beside)))}."
        )
    listed, labels, classes = _list_part(path / "train")
    if len(parts) == 1:
        return _read_images(listed, image_size), labels, None, None
    test_listed, test_labels, test_classes = _list_part(path / "test")
    if classes != test_classes:
        raise ValueError(
            f"Expected the same classes in train and test of {path}. "
            f"Received: {classes} and {test_classes}."
        )
    # Read as one, so that both have the same size and number of channels.
    images = _read_images(listed + test_listed, image_size)
    return images[: len(listed)], labels, images[len(listed) :], test_labels


def check_image_size(image_size: tuple[int, int] | None) -> None:
    """Refuse an image_size that is neither None nor (height, width), each at least 1."""
    if image_size is not None and not (len(image_size) == 2 and min(image_size) >= 1):
        raise ValueError(f"Expected image_size as (height, width). Received: {image_size}.")


def resized(pixels: np.ndarray, image_size: tuple[int, int] | None) -> np.ndarray:
    """Resize an image, each channel for itself.

    Args:
        pixels: uint8 [h, w, c].
        image_size: (height, width) to resize to, or None to leave the image as it is.

    Returns:
        uint8 [height, width, c].
    """
    from PIL import Image

    if image_size is None:
        return pixels
    size = (image_size[1], image_size[0])
    channels = (Image.fromarray(channel) for channel in np.moveaxis(pixels, -1, 0))
    return np.stack(
        [np.asarray(channel.resize(size, Image.Resampling.LANCZOS)) for channel in channels], -1
    )


def require_one_size(first: np.ndarray, first_name: str, image: np.ndarray, name: str) -> None:
    """Refuse an image that has not the height and width of the first one."""
    if image.shape[:2] != first.shape[:2]:
        raise ValueError(
            "Expected images of one size, or image_size=(height, width) to resize them. "
            f"Received: {first_name} of {_size(first)} and {name} of {_size(image)}."
        )


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    visible = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    subfolders = [entry for entry in visible if entry.is_dir()]
    files = [entry for entry in visible if entry.suffix.lower() in _SUFFIXES and entry.is_file()]
    return subfolders, files


def _list_part(folder: Path) -> tuple[list[Path], np.ndarray | None, list[str]]:
    """List the image files of one part, their labels, and the names of the classes."""
    classes, files = _entries(folder)
    if bool(classes) == bool(files):
        raise ValueError(
            f"Expected images, or one folder of images for each class, in {folder}. "
            f"Received: {'both' if files else 'neither'}."
        )
    labels = []
    for label, class_folder in enumerate(classes):
        deeper, class_files = _entries(class_folder)
        if deeper or not class_files:
            raise ValueError(
                f"Expected images, and no folders, in {class_folder}. "
                f"Received: {len(class_files)} images and {len(deeper)} folders."
            )
        files += class_files
        labels += [label] * len(class_files)
    names = [class_folder.name for class_folder in classes]
    return files, np.array(labels, np.int64) if classes else None, names


def _read_images(files: list[Path], image_size: tuple[int, int] | None) -> np.ndarray:
    from tqdm import tqdm

    images = []
    for file in tqdm(files, desc="images", unit="", delay=1, leave=False):
        image = _read_image(file, image_size)
        images.append(image)
        require_one_size(images[0], str(files[0]), image, str(file))
    if all(image.ndim == 2 for image in images):
        return np.stack(images)[..., np.newaxis]
    colours = (image if image.ndim == 3 else np.stack([image] * 3, axis=-1) for image in images)
    return np.stack(list(colours))


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]} x {image.shape[1]} (height x width)"


def _read_image(file: Path, image_size: tuple[int, int] | None) -> np.ndarray:
    """uint8 [h, w] where every pixel is grey, else [h, w, 3]."""
    from PIL import Image, ImageOps

    # Decoders raise nearly everything on damaged files; the answer names the file.
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB")
    except Exception as error:
        raise ValueError(
            f"Expected a readable image. Received: {file} ({type(error).__name__}: {error})."
        ) from error
    pixels = resized(np.asarray(image), image_size)
    return pixels[..., 0].copy() if (pixels == pixels[..., :1]).all() else pixels
