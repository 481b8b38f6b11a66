"""Datasets of TensorFlow Datasets, prepared here by its own tools; no test needs a network."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from mvae_tf import datasets
from mvae_tf.datasets.sources import fetching, tfds_prepared
from mvae_tf.datasets.sources.fetching import SourceError
from mvae_tf.datasets.splits import array_digest

COLOUR = {
    "image": tfds.features.Image(shape=(6, 5, 3)),
    "label": tfds.features.ClassLabel(num_classes=60),
}

NAMES = tuple(f"colour {number}" for number in range(60))


def colour_examples(start, stop, version=1):
    """Examples whose label tells where their pixels come from."""
    random = np.random.default_rng(version)
    images = random.integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
    return [{"image": images[label], "label": label} for label in range(start, stop)]


def varying_examples(count, channels=1):
    random = np.random.default_rng(0)
    shapes = [(9 + index % 3, 8, channels) for index in range(count)]
    return [{"image": random.integers(0, 256, shape, dtype=np.uint8)} for shape in shapes]


def prepare(
    data_dir, class_name, features, splits, *, version="1.0.0", configs=(), supervised=None
):
    """Prepare a dataset by code that is gone afterwards: nothing is registered."""

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        BUILDER_CONFIGS = tuple(tfds.core.BuilderConfig(name=name) for name in configs)
        name = class_name

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=supervised,
            )

        def _split_generators(self, dl_manager):
            return {split: enumerate(examples) for split, examples in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError

    for config in configs or [None]:
        Tiny(data_dir=data_dir, config=config).download_and_prepare(
            download_config=tfds.download.DownloadConfig(num_shards=3)
        )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    parts = {"train": colour_examples(0, 40), "test": colour_examples(40, 60)}
    prepare(folder, "tiny_colour", COLOUR, parts)
    newer = {"train": colour_examples(0, 5, version=2), "validation": colour_examples(5, 9, 2)}
    prepare(folder, "tiny_colour", COLOUR, newer, version="1.10.0")
    parts = {"train": colour_examples(0, 6), "validation": colour_examples(6, 9)}
    named = COLOUR | {"label": tfds.features.ClassLabel(names=NAMES)}
    prepare(folder, "tiny_configs", named, parts, configs=["first", "se-cond.2"])
    grey = {"image": tfds.features.Image(shape=(None, None, 1))}
    prepare(folder, "tiny_varying", grey, {"photos": varying_examples(12)})
    return folder


def pixels_by_label(split):
    return {label: image.tobytes() for image, label in zip(split.images, split.labels, strict=True)}


def expected_pixels(examples):
    return {example["label"]: example["image"].tobytes() for example in examples}


def test_labels_have_the_names_of_their_classes(data_dir):
    assert datasets.load("tfds:tiny_configs/first", data_dir=data_dir).class_names == NAMES
    assert datasets.load("tfds:tiny_colour", data_dir=data_dir).class_names is None


def test_prepared_images_and_labels_are_those_of_the_generator(data_dir):
    data = datasets.load("tfds:tiny_colour:1.0.0", data_dir=data_dir)
    assert data.train.images.shape == (40, 6, 5, 3)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    assert pixels_by_label(data.train) == expected_pixels(colour_examples(0, 40))
    assert pixels_by_label(data.test) == expected_pixels(colour_examples(40, 60))
    assert data.source == "TensorFlow Datasets, tiny_colour:1.0.0"
    assert (data.name, data.test_part) == ("tiny_colour", "test images")
    assert data.train.is_train and not data.test.is_train
    arrays = [data.train.images, data.train.labels, data.test.images, data.test.labels]
    assert data.digest == array_digest(arrays)
    assert data.digest == datasets.load("tfds:tiny_colour:1.0.0", data_dir=data_dir).digest


def test_the_order_is_that_of_the_record_files(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    files = sorted((data_dir / "tiny_colour" / "1.0.0").glob("*-train.tfrecord-*"))
    assert len(files) == 3
    labels = []
    for record in tf.data.TFRecordDataset([str(file) for file in files]).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        labels += features["label"].int64_list.value
    assert labels != sorted(labels)
    assert datasets.load("tfds:tiny_colour:1.0.0").train.labels.tolist() == labels


def test_newest_prepared_version_and_validation_stand_in(data_dir):
    for name in ("tiny_colour", "tiny_colour:1.*.*", "TinyColour"):
        data = datasets.load(f"tfds:{name}", data_dir=data_dir)
        assert data.source == "TensorFlow Datasets, tiny_colour:1.10.0"
        assert data.test_part == "validation images"
        assert pixels_by_label(data.train) == expected_pixels(colour_examples(0, 5, version=2))
        assert pixels_by_label(data.test) == expected_pixels(colour_examples(5, 9, version=2))


def test_configs_are_told_apart_and_the_first_is_the_default(data_dir):
    data = datasets.load("tfds:tiny_configs/se-cond.2", data_dir=data_dir)
    assert data.source == "TensorFlow Datasets, tiny_configs/se-cond.2:1.0.0"
    assert data.name == "tiny_configs-se-cond.2"
    default = datasets.load("tfds:tiny_configs", data_dir=data_dir)
    assert default.source == "TensorFlow Datasets, tiny_configs/first:1.0.0"


def test_images_of_many_sizes_are_resized_as_those_of_a_folder(data_dir, tmp_path):
    with pytest.raises(
        ValueError, match=r"image_size=\(height, width\).*: photos image 0 of .* x 8"
    ):
        datasets.load("tfds:tiny_varying", data_dir=data_dir)
    for index, example in enumerate(varying_examples(12)):
        Image.fromarray(example["image"][..., 0]).save(tmp_path / f"{index}.png")

    def sizes_and_pixels(source, **options):
        data = datasets.load(source, image_size=(4, 7), test_fraction=0.25, **options)
        assert (data.train.labels, data.test.labels) == (None, None)
        assert data.train.images.shape == (9, 4, 7, 1)
        assert data.test.images.shape == (3, 4, 7, 1)
        images = np.concatenate([data.train.images, data.test.images])
        return data, sorted(image.tobytes() for image in images)

    data, pixels = sizes_and_pixels("tfds:tiny_varying", data_dir=data_dir)
    assert pixels == sizes_and_pixels(tmp_path)[1]
    assert data.test_part == "held-out photos images"
    other, _ = sizes_and_pixels("tfds:tiny_varying", data_dir=data_dir, seed=1)
    assert other.digest != data.digest


def test_resizing_a_colour_image_is_resizing_its_channels(data_dir):
    data = datasets.load("tfds:tiny_colour:1.0.0", data_dir=data_dir, image_size=(3, 9))
    original = colour_examples(0, 60)[data.test.labels[2]]["image"]
    expected = Image.fromarray(original).resize((9, 3), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(data.test.images[2], np.asarray(expected))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            {key: tfds.features.Image(shape=(2, 2, 1)) for key in ("left", "right")},
            r"one image feature in odd:1.0.0. Received: left \(Image\), right \(Image\)",
        ),
        ({"label": tfds.features.ClassLabel(num_classes=2)}, r"Received: label \(ClassLabel\)"),
        (
            {"image": tfds.features.Image(shape=(2, 2, 1), dtype=np.uint16)},
            "uint8 images in odd:1.0.0. Received: image of dtype uint16",
        ),
    ],
)
def test_other_features_are_refused_by_name(tmp_path, features, message):
    example = {
        key: 1 if key == "label" else np.zeros((2, 2, 1), feature.np_dtype)
        for key, feature in features.items()
    }
    prepare(tmp_path, "odd", features, {"train": [example] * 3})
    with pytest.raises(ValueError, match=message):
        datasets.load("tfds:odd", data_dir=tmp_path)


def test_of_several_features_the_supervised_are_read(tmp_path, capfd):
    features = {"mask": tfds.features.Image(shape=(6, 5, 1)), **COLOUR}
    features["coarse"] = tfds.features.ClassLabel(num_classes=2)
    examples = [
        example | {"mask": np.zeros((6, 5, 1), np.uint8), "coarse": 1}
        for example in colour_examples(0, 8)
    ]
    prepare(tmp_path, "pets", features, {"train": examples}, supervised=("image", "label"))
    data = datasets.load("tfds:pets", data_dir=tmp_path)
    assert data.test_part == "held-out train images"
    together = pixels_by_label(data.train) | pixels_by_label(data.test)
    assert together == expected_pixels(examples)
    assert "labels" not in capfd.readouterr().err

    del features["mask"]
    examples = [{key: example[key] for key in features} for example in examples]
    prepare(tmp_path, "unsupervised", features, {"a": examples, "train": examples})
    data = datasets.load("tfds:unsupervised", data_dir=tmp_path)
    assert data.train.labels is None
    assert "without labels, as it has several: coarse, label" in capfd.readouterr().err

    prepare(tmp_path, "splits", COLOUR, {"a": colour_examples(0, 4), "b": colour_examples(4, 8)})
    with pytest.raises(ValueError, match="split train, or one split. Received: a, b"):
        datasets.load("tfds:splits", data_dir=tmp_path)


def flip_bit(path):
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (flip_bit, "*-train.tfrecord-00001*", "40 readable records of train in .*DataLoss"),
        (lambda path: path.write_bytes(b""), "*-train.tfrecord-00001*", "40 readable records"),
        (Path.unlink, "*-test.tfrecord-00000*", "20 readable records of test in .*NotFound"),
        (lambda path: path.write_text("{"), "features.json", "intact files in .*tiny_colour"),
        (lambda path: path.write_text("{"), "dataset_info.json", "intact files in .*tiny_colour"),
    ],
)
def test_damaged_files_are_refused(data_dir, tmp_path, damage, file, message):
    version = tmp_path / "tiny_colour" / "1.0.0"
    shutil.copytree(data_dir / "tiny_colour" / "1.0.0", version)
    (path,) = version.glob(file)
    damage(path)
    with pytest.raises(ValueError, match=message):
        datasets.load("tfds:tiny_colour", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("mnits", FileNotFoundError, "close to it: tfds:mnist"),
        ("tiny_color", FileNotFoundError, "close to it: .*tfds:tiny_colour:1.10.0"),
        (
            "tiny_configs/third",
            FileNotFoundError,
            "close to it: tfds:tiny_configs/first:1.0.0, tfds:tiny_configs/se-cond.2:1.0.0",
        ),
        ("tiny_colour:7.0.0", FileNotFoundError, "close to it: .*tfds:tiny_colour:1.0.0"),
        ("quite_unlike_all_others", FileNotFoundError, r"'tfds:quite_unlike_all_others'\.$"),
        ("cifar10_corrupted/fog", ValueError, "BuilderConfig fog not found"),
        ("mnist:0.0.1", ValueError, "only: 3.0.1"),
        ("huggingface:mnist", ValueError, "tfds:NAME/CONFIG or tfds:NAME:VERSION"),
        ("mnist/a=1", ValueError, "Received: 'tfds:mnist/a=1'"),
        ("../mnist", ValueError, "Expected tfds:NAME,"),
        ("", ValueError, "Expected tfds:NAME,"),
    ],
)
def test_unknown_names_are_answered_with_close_ones(data_dir, name, error, message):
    with pytest.raises(error, match=message):
        datasets.load(f"tfds:{name}", data_dir=data_dir)


def test_unfit_arguments_are_refused(data_dir):
    with pytest.raises(ValueError, match=r"as \(height, width\)"):
        datasets.load("tfds:tiny_varying", data_dir=data_dir, image_size=(0, 4))
    with pytest.raises(ValueError, match=r"test_fraction in \(0, 1\)"):
        datasets.load("tfds:tiny_varying", data_dir=data_dir, image_size=(4, 4), test_fraction=1)
    with pytest.raises(ValueError, match='"heldout", which only cifar10 has'):
        datasets.load("tfds:cifar10", data_dir=data_dir, split="heldout")


def test_what_does_not_fit_into_memory_is_refused(data_dir, monkeypatch):
    import psutil

    held = psutil.virtual_memory()._replace(available=60 * 6 * 5 * 3)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: held)
    datasets.load("tfds:tiny_colour:1.0.0", data_dir=data_dir)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: held._replace(available=5399))
    with pytest.raises(MemoryError, match=r"Received: 60 images \[6, 5, 3\].*image_size"):
        datasets.load("tfds:tiny_colour:1.0.0", data_dir=data_dir)


# Downloads


@pytest.fixture
def asked(monkeypatch):
    """The addresses asked for; no host answers."""
    urls = []

    def refuse(url, any_status):
        urls.append(url)
        raise SourceError(f"{url}: nobody there")

    monkeypatch.setattr(tfds_prepared, "probe", refuse)
    return urls


@pytest.fixture
def commands(monkeypatch):
    """The command lines of children, which prepare images of many sizes as MNIST."""
    started = []

    def run(command, **options):
        started.append((command, options))
        grey = {"image": tfds.features.Image(shape=(None, None, 1))}
        prepare(command[-1], "mnist", grey, {"train": varying_examples(9)}, version="3.0.1")

    monkeypatch.setattr(tfds_prepared, "run_watched", run)
    return started


def test_without_a_network_the_reasons_are_told(asked, commands, tmp_path):
    with pytest.raises(datasets.DataUnavailableError) as failure:
        datasets.load("tfds:mnist", data_dir=tmp_path)
    text = str(failure.value)
    assert f"nothing in {tmp_path / 'mnist' / '3.0.1'}" in text
    assert len(asked) == 1
    assert f"{asked[0]}: nobody there" in text
    assert "have TensorFlow Datasets prepare mnist:3.0.1" in text
    assert not commands
    assert list(tmp_path.iterdir()) == []


def test_what_was_downloaded_is_kept_even_where_it_is_refused(commands, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_prepared, "probe", lambda url, any_status: None)
    with pytest.raises(ValueError, match="image_size"):
        datasets.load("tfds:mnist", data_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist"]
    data = datasets.load("tfds:mnist", data_dir=tmp_path, image_size=(4, 4))
    assert data.source == "TensorFlow Datasets, mnist:3.0.1"
    assert len(data.train) + len(data.test) == 9
    ((command, options),) = commands
    assert command[3] == "mnist:3.0.1"
    # Of the published archives, as the progress says.
    assert options["total_bytes"] == 9912422 + 28881 + 1648877 + 4542


def test_files_put_there_by_hand_are_used_without_a_network(asked, commands, tmp_path):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    # The name is Fashion-MNIST's as well, the size is not.
    (manual / "train-labels-idx1-ubyte.gz").write_bytes(bytes(29515))
    with pytest.raises(datasets.DataUnavailableError, match="nobody there"):
        datasets.load("tfds:mnist", data_dir=tmp_path)
    (manual / "mnist").mkdir()
    (manual / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(bytes(28881))
    datasets.load("tfds:mnist", data_dir=tmp_path, image_size=(4, 4))
    ((command, _),) = commands
    assert str(manual / "mnist") in command


def test_the_way_to_supply_files_by_hand_is_told(tmp_path, monkeypatch):
    def fail(command, **options):
        raise SourceError("the child's reason")

    monkeypatch.setattr(tfds_prepared, "run_watched", fail)
    with pytest.raises(datasets.DataUnavailableError, match="child's reason") as failure:
        datasets.load("tfds:imagenet2012", data_dir=tmp_path)
    assert f"into {tmp_path / 'downloads' / 'manual'}: manual_dir should" in str(failure.value)


def test_a_child_that_cannot_prepare_is_quoted(tmp_path):
    with pytest.raises(SourceError, match="no_such_dataset"):
        tfds_prepared.fetch("no_such_dataset:1.0.0", tmp_path, total_bytes=None)


def run_printing_child(folder, at_work):
    program = (
        "import time\n"
        "for _ in range(8):\n"
        "    print('at it', flush=True)\n"
        "    time.sleep(0.25)\n"
        "open('done', 'w')"
    )
    fetching.run_watched(
        [sys.executable, "-c", program],
        folder=folder,
        total_bytes=None,
        title="test",
        environment={},
        at_work=lambda: at_work,
    )


def test_what_a_child_prints_is_news_only_while_it_is_at_work(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "FINISH_SECONDS", 1.0)
    run_printing_child(tmp_path, at_work=True)
    assert (tmp_path / "done").exists()
    (tmp_path / "done").unlink()
    monkeypatch.setattr(fetching, "STALL_SECONDS", 1.0)
    with pytest.raises(SourceError, match="no news for 1 s, after 0 bytes"):
        run_printing_child(tmp_path, at_work=False)
