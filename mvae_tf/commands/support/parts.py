"""Which images a trained model is used on, and under which names."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from mvae_tf.commands.support import settings, sources
from mvae_tf.commands.support.arguments import CommandError, UsageError
from mvae_tf.datasets import new_images, shown, views
from mvae_tf.datasets.formats import cifar10_binary, idx, image_folder
from mvae_tf.datasets.splits import Split, is_streamed
from mvae_tf.datasets.streaming import folders

_TEST_FRACTION = 0.1  # as in `datasets.load`


class Part(NamedTuple):
    """Images of the model's shape.

    Attributes:
        split: They, by `float_images`, and their `labels`.
        files: What each one is called: its file's path inside the folder, or its index.
        train: The training images beside, if these are test images; otherwise None.
        words: What they are.
        name: Of the data they are from.
        source: Where that came from.
        digest: Of that.
        class_names: Of the labels 0, 1, ...; or None.
        changes: What was done to give them the model's shape, in words.
    """

    split: views.View
    files: np.ndarray
    train: object
    words: str
    name: str
    source: str
    digest: str
    class_names: tuple[str, ...] | None
    changes: tuple[str, ...] = ()

    def class_of(self, label: int) -> str:
        """Return the name of a label's class, or its number."""
        names = self.class_names or ()
        return names[label] if 0 <= label < len(names) else str(label)


def class_header(part: Part) -> list[str]:
    """Return the name of a table's column of classes, if there are labels."""
    return [] if part.split.labels is None else ["class"]


def named(part: Part) -> Iterator[list[str]]:
    """Yield of each image what it is called and, where there are labels, its class."""
    if part.split.labels is None:
        yield from ([str(file)] for file in part.files)
    else:
        for file, label in zip(part.files, part.split.labels.tolist(), strict=True):
            yield [str(file), part.class_of(label)]


def find(given: flags.FlagValues, model_path: Path) -> Part:
    """Return what --data, --part and --count ask for; without --data, of the run's own images.

    Raises:
        UsageError: there is no --data, and nothing to take its place; or the flags contradict each
            other.
        CommandError: the run's own data has changed since, or isn't of the model's shape.
    """
    described = sources.data_flags(given)
    stored = sources.data_of_run(model_path)
    shape = sources.image_shape(model_path)
    size = described["image_size"]
    if size is not None and tuple(size) != shape[:2]:
        raise UsageError(
            f"Expected --image_size to be the model's, {shape[0]}x{shape[1]}, or to be left out. "
            f"Received: --image_size={size[0]}x{size[1]}."
        )
    if described["source"] is None:
        if stored is None:
            raise UsageError(f"Expected --data: {model_path} doesn't say which images it is for.")
        part = _of_run(given, described, stored)
    elif _is_loaded(described["source"]):
        part = _named(given, described, shape)
    else:
        part = _new(given, described, stored, shape)
    _require_shape(part, shape)
    for change in part.changes:
        print(change, file=sys.stderr)
    return _only_some(part, given.count)


def _is_loaded(source):
    """Return whether a source is a data set of its own, which is taken as it is."""
    return settings.is_data_name(source) or cifar10_binary.in_folder(Path(source))


def _of_run(given, described, stored):
    changed = {name: value for name, value in described.items() if value is not None}
    wanted = stored | changed
    if wanted.get("skip_unreadable") and wanted.get("stream") is None:
        wanted["stream"] = True  # what is read into memory doesn't say which files it is of
    data = sources.load_data(wanted)
    sources.require_digest(data, stored["digest"], "trained on")
    files = _files_of(stored["source"], data, wanted.get("test_fraction"))
    return _of_dataset(given.part or "test", data, files)


def _named(given, described, shape):
    """Return images of a published, bundled or TensorFlow dataset; only the last may be changed."""
    if not described["source"].startswith("tfds:"):
        return _of_dataset(given.part or "test", sources.load_data(described), None)
    data = sources.load_data({**described, "image_size": list(shape[:2])})
    return _converted(given.part or "test", data, None, shape)


def _streamed(given, described, stored, shape):
    """Return images of a folder that are read when they are needed."""
    data = sources.load_data({**described, "image_size": list(shape[:2])})
    path = Path(described["source"])
    tested = given.test_fraction is not None or "test" in image_folder.listing(path).splits
    tested = tested or data.digest == (stored or {}).get("digest")
    chosen = given.part or ("test" if tested else "all")
    if chosen == "all":
        data = dataclasses.replace(data, train=_whole(data))
        part = _converted("train", data, _files_streamed(data), shape)._replace(words="images")
    else:
        part = _converted(chosen, data, _files_streamed(data), shape)
    told = f"Images of another size are resized to {shape[0]}x{shape[1]}"
    return part._replace(changes=(told, *part.changes))


def _whole(data):
    """Return all streamed images in the order of their files, as they are in memory."""
    images, order = data.train.images.joined(data.test.images)
    labels = None
    if data.train.labels is not None:
        labels = np.concatenate([data.train.labels, data.test.labels])[order]
    return Split(images, labels, is_train=False)


def _files_streamed(data):
    return tuple(np.array(split.images.files()) for split in (data.train, data.test))


def _converted(chosen, data, files, shape):
    """Return a part of a dataset with as many channels as the model's images have."""
    if {data.train.images.shape[-1], shape[-1]} != {1, 3}:
        return _of_dataset(chosen, data, files)
    data, change = new_images.with_channels(data, shape)
    return _of_dataset(chosen, data, files)._replace(changes=(change,))


def _of_dataset(chosen, data, files):
    """Return a part of a loaded dataset, whose files, if they are any, are named in two lists."""
    splits = {"train": [data.train], "test": [data.test], "all": [data.train, data.test]}[chosen]
    split = views.Joined(splits)
    if files is not None and tuple(map(len, files)) == (len(data.train), len(data.test)):
        named = np.concatenate({"train": files[:1], "test": files[1:], "all": files}[chosen])
    else:  # of arrays, or of fewer files, as some could not be read
        named = np.arange(len(split)).astype(str)
    return Part(
        split=views.View(split, np.arange(len(split))),
        files=named,
        train=data.train if chosen == "test" else None,
        words={"test": data.test_part, "train": "training images", "all": "images"}[chosen],
        name=data.name,
        source=data.source,
        digest=data.digest,
        class_names=data.class_names,
    )


def _new(given, described, stored, shape):
    """Return images of a path: the run's own, if they are those, or images never seen before."""
    source = Path(described["source"])
    if source.is_dir() and not idx.files_of(source) and _is_to_be_streamed(described, shape):
        return _streamed(given, described, stored, shape)
    if described["cache"] is not None:
        raise UsageError(
            "Expected --cache only for a folder of images that is streamed. Received: --cache "
            f"{'and --nostream' if described['stream'] is False else 'for ' + str(source)}."
        )
    if described["stream"] and not source.is_dir() and source.exists():
        raise UsageError(
            f"Expected --stream only for a folder of images. Received: --stream for {source}."
        )
    new = new_images.load(source, shape, skip_unreadable=bool(described["skip_unreadable"]))
    chosen, digest, parts = given.part, None, None
    fraction = given.test_fraction
    if chosen is None and (fraction is not None or new.num_train is not None):
        chosen = "test"
    own = None if stored is None else stored["digest"]
    if chosen != "all" and (chosen is not None or (own is not None and len(new.split) > 1)):
        fraction = fraction or (stored or {}).get("test_fraction") or _TEST_FRACTION
        parts = new.parts(fraction)
        digest = new.digest(*parts)
        if chosen is None and digest == own:
            chosen = "test"
    if chosen in (None, "all"):
        indices, train, words = np.arange(len(new.split)), None, "images"
        digest = new.digest(*(() if new.num_train is None else new.parts(_TEST_FRACTION)))
    else:
        indices = parts[chosen == "test"]
        train = views.View(new.split, parts[0]) if chosen == "test" else None
        words = new.test_part if chosen == "test" else "training images"
    return Part(
        split=views.View(new.split, indices),
        files=np.array(new.files)[indices],
        train=train,
        words=words,
        name=new.name,
        source=new.source,
        digest=digest,
        class_names=new.class_names,
        changes=new.changes,
    )


def _is_to_be_streamed(described, shape):
    if described["stream"] is not None or described["cache"] is not None:
        return described["stream"] is not False
    return folders.is_large(image_folder.listing(Path(described["source"])), shape[:2])


def _files_of(source, data, fraction):
    """Return the files' names of a run's training and test images; None where there are none."""
    if is_streamed(data.train.images):
        return _files_streamed(data)
    if settings.is_data_name(source) or not Path(source).is_dir():
        return None
    if cifar10_binary.in_folder(Path(source)):
        return None
    return new_images.files_of(Path(source), fraction or _TEST_FRACTION)


def _require_shape(part, shape):
    """Refuse images of another shape than the model's; those of a path have it by now."""
    received = part.split.float_images(0, 1).shape[1:]
    if received != shape:
        raise CommandError(
            f"Expected images of shape {shape}, the model's. Received: {received} in {part.name}, "
            "a published dataset, which is taken as it is; images of your own would be made to fit."
        )


def _only_some(part, count):
    """Return as many images as --count asks for."""
    if count is None or count >= len(part.split):
        return part
    indices = shown.some(part.split, count)
    return part._replace(
        split=views.View(part.split, indices),
        files=part.files[indices],
        words=f"of the {len(part.split):,} {part.words}",
    )
