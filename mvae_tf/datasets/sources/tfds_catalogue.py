"""Any image dataset of TensorFlow Datasets, as `load("tfds:NAME")` reads it."""

import difflib
import re
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mvae_tf.datasets import memory, user_images
from mvae_tf.datasets.formats import image_folder, pixels
from mvae_tf.datasets.sources import tfds_prepared
from mvae_tf.datasets.sources.fetching import (
    DataUnavailableError,
    SourceError,
    notice,
    temporary_folder,
)
from mvae_tf.datasets.splits import TEST_IMAGES, Dataset

PREFIX = "tfds:"
# TensorFlow Datasets' way of writing names, less namespaces, whose datasets it asks a network for.
_NAME = re.compile(
    r"(?P<name>[a-zA-Z]\w*)(/(?P<config>[\w+.-]+))?(:(?P<version>(\d+|\*)(\.(\d+|\*)){2}))?"
)


def load(
    source: str,
    data_dir: Path,
    *,
    image_size: tuple[int, int] | None,
    test_fraction: float,
    seed: int,
) -> Dataset:
    """Load an image dataset of TensorFlow Datasets; see `mvae_tf.datasets.load`."""
    image_folder.check_image_size(image_size)
    parts = _NAME.fullmatch(source.removeprefix(PREFIX))
    if parts is None:
        raise ValueError(
            f"Expected {PREFIX}NAME, {PREFIX}NAME/CONFIG or {PREFIX}NAME:VERSION. "
            f"Received: {source!r}."
        )
    builder = _builder(source, parts, data_dir)
    options = {"image_size": image_size, "test_fraction": test_fraction, "seed": seed}
    if builder.is_prepared():
        return _read(builder, **options)
    reference = _reference(builder)
    manual = _manual(builder, data_dir)
    try:
        if manual is None:
            _probe(builder)
        with temporary_folder(data_dir) as folder:
            results = tfds_prepared.fetch(
                reference, folder, total_bytes=_download_size(builder), manual=manual
            )
            # Kept before it is read: the download is good, whatever the images turn out to be.
            return _read(
                _prepared_builder(tfds_prepared.keep(reference, results, data_dir)), **options
            )
    except SourceError as failure:
        raise DataUnavailableError(
            f"Expected {source} prepared in {data_dir}, or a download of it by TensorFlow "
            f"Datasets. Received: nothing in {builder.data_dir}; {failure}\n"
            f"To supply it by hand, {_advice(builder, data_dir)}"
        ) from failure


def _builder(source: str, parts: re.Match, data_dir: Path):
    """TensorFlow Datasets' builder: of what is prepared, else of the code that can prepare it."""
    import tensorflow_datasets as tfds

    # With a version, even any, it looks for prepared files first, and needs no code for them.
    config = f"/{parts['config']}" if parts["config"] else ""
    name = f"{parts['name']}{config}:{parts['version'] or '*.*.*'}"
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        known = [
            *tfds.list_builders(with_community_datasets=False),
            *(_name_of(folder, data_dir) for folder in _prepared_folders(data_dir)),
        ]
        asked = source.removeprefix(PREFIX)
        close = [name for name in known if name.startswith(f"{parts['name']}/")]
        close = close or difflib.get_close_matches(asked, known)
        raise FileNotFoundError(
            f"Expected {PREFIX} and the name of a dataset of TensorFlow Datasets, or of one "
            f"prepared in {data_dir}. Received: {source!r}"
            + (f"; close to it: {', '.join(PREFIX + name for name in close)}." if close else ".")
        ) from None
    # Its own errors are of every kind, and so are those of the code or the files of a dataset.
    except Exception as error:
        raise ValueError(
            f"Expected a config and a version that TensorFlow Datasets has, and intact files in "
            f"{data_dir / parts['name']}. Received: {source!r}, {_in_one_line(error)}"
        ) from error


def _prepared_folders(data_dir: Path) -> list[Path]:
    found = (data_dir.glob(f"{levels}/features.json") for levels in ("*/*", "*/*/*"))
    return sorted(info.parent for infos in found for info in infos)


def _name_of(folder: Path, data_dir: Path) -> str:
    *name, version = folder.relative_to(data_dir).parts
    return f"{'/'.join(name)}:{version}"


def _prepared_builder(folder: Path):
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(folder)


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"


def _full_name(builder) -> str:
    config = builder.builder_config
    return f"{builder.name}/{config.name}" if config else builder.name


def _reference(builder) -> str:
    return f"{_full_name(builder)}:{builder.version}"


# Download


def _manual(builder, data_dir: Path) -> Path | None:
    """Find the folder of files put there by hand, if any of the dataset's were or must be."""
    shared = data_dir / "downloads" / "manual"
    infos = (builder.url_infos or {}).values()
    for folder in (shared / builder.name, shared):
        sizes = {folder / info.filename: info.size for info in infos if info.filename}
        there = [path for path in sizes if path.is_file()]
        # Other datasets may have files of the same names, as MNIST and Fashion-MNIST do.
        if there and all(path.stat().st_size == sizes[path] for path in there):
            return folder
    return shared if builder.MANUAL_DOWNLOAD_INSTRUCTIONS else None


def _download_size(builder) -> int | None:
    # What is known of a dataset's files is not which of them a config needs.
    if builder.builder_config or not builder.url_infos:
        return None
    return sum(info.size for info in builder.url_infos.values())


def _probe(builder) -> None:
    """Refuse a dataset of whose hosts none answers; a watched child finds out about the others."""
    urls = [url for url in builder.url_infos or () if url.startswith("http")]
    if not urls:
        return
    hosts = {urllib.parse.urlsplit(url).netloc: url for url in urls}

    def reason(url):
        try:
            tfds_prepared.probe(url, any_status=True)
        except SourceError as failure:
            return str(failure)

    # A dataset may have files on hundreds of hosts; some of them say enough.
    with ThreadPoolExecutor() as threads:
        reasons = list(threads.map(reason, list(hosts.values())[:8]))
    if all(reasons):
        raise SourceError("; ".join(reasons))


def _advice(builder, data_dir: Path) -> str:
    text = (
        f"have TensorFlow Datasets prepare {_reference(builder)}, here or on another machine, so "
        f"that it lies in {builder.data_dir}"
    )
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        text += (
            f"; or, for it to be prepared here, into {_manual(builder, data_dir)}: {instructions}"
        )
    return text


# Reading


def _read(builder, *, image_size, test_fraction, seed) -> Dataset:
    name = _reference(builder)
    image_key, label_key = _keys(builder, name)
    train, test, test_part = _splits(builder, name)
    splits = [train] if test is None else [train, test]
    arrays = _Reader(builder, image_key, label_key, image_size).read(splits)
    if test is None:
        arrays += [None, None]
    return user_images.from_parts(
        _full_name(builder).replace("/", "-"),
        arrays,
        f"TensorFlow Datasets, {name}",
        test_fraction,
        seed,
        test_part,
    )


def _keys(builder, name: str) -> tuple[str, str | None]:
    """Names of the image and of the label among the features."""
    import tensorflow_datasets as tfds

    # In an order of their own: that of what was prepared changes from one reading to the next.
    features = dict(sorted(builder.info.features.items()))
    supervised = builder.info.supervised_keys or (None, None)
    images = [key for key, each in features.items() if isinstance(each, tfds.features.Image)]
    labels = [key for key, each in features.items() if isinstance(each, tfds.features.ClassLabel)]
    image = _the_one(images, supervised[0])
    if image is None:
        described = ", ".join(f"{key} ({type(each).__name__})" for key, each in features.items())
        raise ValueError(f"Expected one image feature in {name}. Received: {described}.")
    if np.dtype(features[image].np_dtype) != np.uint8:
        raise ValueError(
            f"Expected uint8 images in {name}. "
            f"Received: {image} of dtype {np.dtype(features[image].np_dtype)}."
        )
    label = _the_one(labels, supervised[1])
    if labels and label is None:
        notice(f"{name} read without labels, as it has several: {', '.join(labels)}")
    return image, label


def _the_one(keys: list[str], supervised) -> str | None:
    """Return the only key; of several, the one that is for supervised learning."""
    return keys[0] if len(keys) == 1 else next((key for key in keys if key == supervised), None)


def _splits(builder, name: str) -> tuple[str, str | None, str]:
    """Names of the splits to train and to test on, and what the test images are."""
    splits = [key for key, info in builder.info.splits.items() if info.num_examples]
    if "train" not in splits and len(splits) != 1:
        raise ValueError(
            f"Expected {name} to have a split train, or one split. "
            f"Received: {', '.join(splits) or 'no images'}."
        )
    if "train" not in splits:
        return splits[0], None, f"held-out {splits[0]} images"
    if "test" in splits:
        return "train", "test", TEST_IMAGES
    if "validation" in splits:
        return "train", "validation", "validation images"
    return "train", None, "held-out train images"


class _Reader:
    """Reads splits into arrays, in the order in which TensorFlow Datasets stores them."""

    def __init__(self, builder, image_key, label_key, image_size):
        self._builder = builder
        self._image_key = image_key
        self._label_key = label_key
        self._image_size = image_size
        # Only images of one size fill a batch.
        varying = None in builder.info.features[image_key].shape
        self._batch_size = 1 if varying else 256
        self._first = None  # image and its name, which all others are compared with

    def read(self, splits: list[str]) -> list[np.ndarray | None]:
        """Images and labels of each split, one after the other."""
        counts = [self._builder.info.splits[split].num_examples for split in splits]
        arrays = []
        for split, count in zip(splits, counts, strict=True):
            images, labels = None, None if self._label_key is None else np.empty(count, np.int64)
            for index, (image, label) in enumerate(self._examples(split, count)):
                if self._first is None:
                    # Of a single split a part is held out, which copies it.
                    _require_memory(image, sum(counts), copies=2 if len(splits) == 1 else 1)
                    self._first = image, f"{split} image {index}"
                image_folder.require_one_size(*self._first, image, f"{split} image {index}")
                if images is None:
                    images = np.empty((count, *image.shape), np.uint8)
                images[index] = image
                if labels is not None:
                    labels[index] = label
            arrays += [images, labels]
        return arrays

    def _examples(self, split: str, count: int):
        import tensorflow_datasets as tfds
        from tqdm import tqdm

        keys = [key for key in (self._image_key, self._label_key) if key is not None]
        builder = self._builder
        # The records may be damaged in many ways.
        try:
            dataset = builder.as_dataset(
                split=split,
                batch_size=self._batch_size,
                decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)),
                read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
            )
            with tqdm(desc=split, total=count, unit="", delay=1, leave=False) as bar:
                for batch in dataset.as_numpy_iterator():
                    images = batch[self._image_key]
                    labels = batch.get(self._label_key, [None] * len(images))
                    for image, label in zip(images, labels, strict=True):
                        yield pixels.resized(image, self._image_size), label
                    bar.update(len(images))
        except Exception as error:
            raise ValueError(
                f"Expected {count} readable records of {split} in {builder.data_dir}. Received: "
                f"{_in_one_line(error)} Remove the folder to have it prepared anew."
            ) from error


def _require_memory(image: np.ndarray, count: int, copies: int) -> None:
    memory.require(
        copies * count * image.nbytes,
        f"{count} images {list(image.shape)}",
        "image_size=(height, width) makes them smaller.",
    )
