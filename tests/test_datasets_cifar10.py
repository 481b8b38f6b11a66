"""CIFAR-10's sources and splits, on a tiny stand-in; no test needs a network."""

import dataclasses
import gzip
import hashlib
import os
import pickle
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_cifar10 import BATCH_IMAGES, NAMES, put_files, tiny_cifar10

from mvae_tf import datasets
from mvae_tf.datasets import published
from mvae_tf.datasets.published import cifar10
from mvae_tf.datasets.sources import tfds_prepared
from mvae_tf.datasets.sources.fetching import SourceError
from mvae_tf.datasets.splits import array_digest

REAL_DATA_DIR = "MVAE_TF_TEST_DATA_DIR"
FOLDER = "cifar-10-batches-bin"
FIRST, FIFTH, TEST = NAMES[0], NAMES[4], NAMES[5]
real_download = tfds_prepared.download


@pytest.fixture
def tiny(monkeypatch):
    """The stand-in's images and labels by batch, its files and its archive, with the pins set."""
    original, arrays, files, packed = tiny_cifar10()
    monkeypatch.setitem(published.ORIGINALS, "cifar10", original)
    return arrays, files, packed


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise SourceError("no network in this test")

    monkeypatch.setattr(tfds_prepared, "download", refuse)


def only(files, *names):
    return {name: files[name] for name in names}


def assert_batches(data, arrays, train, test):
    """The data are these batches, by number from 0, in this order."""
    expected = []
    for numbers in (train, [test]):
        for array in arrays:
            expected.append(np.concatenate([array[number] for number in numbers]))
    received = [data.train.images, data.train.labels, data.test.images, data.test.labels]
    for array, wanted in zip(received, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)
        assert array.flags.writeable
    assert [array.dtype for array in received] == [np.uint8, np.int64] * 2
    assert data.digest == array_digest(expected)
    assert data.name == "cifar10"


# The batches


def test_record_made_by_hand_becomes_an_image(tiny):
    red, green, blue = (np.zeros((32, 32), np.uint8) for _ in range(3))
    red[3, 5], green[3, 6], blue[31, 0] = 200, 100, 50
    content = bytes([7]) + red.tobytes() + green.tobytes() + blue.tobytes()
    images, labels = cifar10.unpack(content * 2)
    assert (images.shape, images.dtype) == ((2, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(labels, [7, 7])
    assert images[1, 3, 5].tolist() == [200, 0, 0]
    assert images[1, 3, 6].tolist() == [0, 100, 0]
    assert images[1, 31, 0].tolist() == [0, 0, 50]
    assert images.sum() == 2 * 350
    assert cifar10.pack(images, labels) == content * 2


@pytest.mark.parametrize("place", [f"downloads/manual/{FOLDER}", FOLDER])
def test_whole_folder_is_read_silently_and_in_order(tiny, tmp_path, capfd, place):
    arrays, files, _ = tiny
    put_files(tmp_path / place, files | {"batches.meta.txt": b"airplane\n", "readme.html": b"<p>"})
    data = datasets.load("cifar10", data_dir=tmp_path)
    assert_batches(data, arrays, range(5), 5)
    assert data.source == "original binary batches 1, 2, 3, 4, 5, test"
    assert data.test_part == "test images"
    heldout = datasets.load("cifar10", data_dir=tmp_path, split="heldout")
    assert_batches(heldout, arrays, range(4), 4)
    assert heldout.source == "original binary batches 1, 2, 3, 4, 5"
    assert heldout.test_part == "held-out training batch 5"
    assert capfd.readouterr().err == ""


def test_folder_of_batches_is_read_by_its_path(tiny, tmp_path):
    arrays, files, _ = tiny
    put_files(tmp_path / "anywhere", files)
    data = datasets.load(tmp_path / "anywhere")
    assert_batches(data, arrays, range(5), 5)
    assert str(tmp_path) not in data.source
    assert_batches(datasets.load(str(tmp_path / "anywhere"), split="heldout"), arrays, range(4), 4)
    with pytest.raises(ValueError, match="image_size only for a folder of images"):
        datasets.load(tmp_path / "anywhere", image_size=(8, 8))


def test_folder_in_part_gives_the_batches_that_are_there(tiny, tmp_path):
    arrays, files, _ = tiny
    put_files(tmp_path / "few", only(files, FIRST, NAMES[2], TEST))
    data = datasets.load(tmp_path / "few")
    assert_batches(data, arrays, [0, 2], 5)
    assert data.source == "original binary batches 1, 3, test"

    put_files(tmp_path / "two", only(files, FIRST, FIFTH))
    data = datasets.load(tmp_path / "two", split="heldout")
    assert_batches(data, arrays, [0], 4)
    assert data.source == "original binary batches 1, 5"


def test_files_of_unknown_names_do_not_count(tiny, tmp_path):
    arrays, files, _ = tiny
    unknown = {"test_batch_first1000.bin": b"x", "data_batch_6.bin": b"x", "data_batch_1": b"x"}
    put_files(tmp_path, only(files, FIRST, FIFTH) | unknown)
    assert_batches(datasets.load(tmp_path, split="heldout"), arrays, [0], 4)
    with pytest.raises(ValueError, match="missing: test_batch.bin"):
        datasets.load(tmp_path)
    put_files(tmp_path / "unknown", unknown)
    with pytest.raises(ValueError, match="Received: neither"):
        datasets.load(tmp_path / "unknown")


@pytest.mark.parametrize(
    ("there", "split", "message"),
    [
        (
            [FIRST, FIFTH],
            "standard",
            f'missing: {TEST}; there: {FIRST}, {FIFTH}, so split="heldout" would work',
        ),
        ([FIRST, TEST], "heldout", f'missing: {FIFTH}; .*, so split="standard" would work'),
        ([FIFTH, TEST], "standard", f"missing: {FIRST}; there: {FIFTH}, {TEST}[.]"),
        ([NAMES[1]], "standard", f"missing: {FIRST}, {TEST}; there: {NAMES[1]}[.]"),
        ([NAMES[1], TEST], "heldout", f"missing: {FIRST}, {FIFTH}; there: {NAMES[1]}, {TEST}[.]"),
    ],
)
def test_missing_batches_are_named(tiny, tmp_path, capfd, there, split, message):
    put_files(tmp_path / FOLDER, only(tiny[1], *there))
    with pytest.raises(ValueError, match=f"that split='{split}' needs. Received: {message}"):
        datasets.load(tmp_path / FOLDER, split=split)
    # By name, it is one source that does not have it.
    message = message.removesuffix("[.]")
    with pytest.raises(datasets.DataUnavailableError, match=message):
        datasets.load("cifar10", data_dir=tmp_path, split=split)
    assert "missing: " in capfd.readouterr().err


def test_folder_that_falls_short_gives_way_to_the_next(tiny, tmp_path):
    arrays, files, packed = tiny
    manual = tmp_path / "downloads" / "manual"
    put_files(manual / FOLDER, only(files, FIRST, FIFTH))
    put_files(tmp_path / FOLDER, only(files, FIRST, TEST))
    assert_batches(datasets.load("cifar10", data_dir=tmp_path), arrays, [0], 5)
    (tmp_path / FOLDER / TEST).unlink()
    put_files(manual, {"cifar-10-binary.tar.gz": packed})
    assert_batches(datasets.load("cifar10", data_dir=tmp_path), arrays, range(5), 5)


def flip_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


SIZE = BATCH_IMAGES * 3073


@pytest.mark.parametrize(
    ("damage", "nature"),
    [
        (lambda content: content[:-1], f"a part of a batch, {SIZE - 1} bytes"),
        (lambda content: content[:3073], "a part of a batch, 3073 bytes"),
        (lambda content: content + b"\0", f"another file, {SIZE + 1} bytes"),
        (flip_bit, f"another file, {SIZE} bytes, md5="),
        (lambda content: b"", "no batch, 0 bytes"),
        (lambda content: b"\n<!DOCTYPE html>", "a web page, 16 bytes"),
        (lambda content: pickle.dumps({b"data": content}, 2), "a Python pickle, where the binary"),
        (gzip.compress, "a packed file"),
    ],
)
def test_damaged_batches_are_refused(tiny, tmp_path, damage, nature):
    _, files, _ = tiny
    damaged = damage(files[NAMES[1]])
    put_files(tmp_path / FOLDER, files | {NAMES[1]: damaged})
    for load in (
        lambda: datasets.load(tmp_path / FOLDER),
        lambda: datasets.load("cifar10", data_dir=tmp_path, split="heldout"),
    ):
        with pytest.raises(ValueError, match=f"{NAMES[1]} .*Received: {nature}") as refusal:
            load()
        assert f"{SIZE} bytes, md5={hashlib.md5(files[NAMES[1]]).hexdigest()}" in str(refusal.value)
        assert str(tmp_path / FOLDER / NAMES[1]) in str(refusal.value)


def test_swapped_batches_are_refused(tiny, tmp_path):
    _, files, _ = tiny
    put_files(tmp_path, files | {FIRST: files[TEST]})
    with pytest.raises(ValueError, match=f"{FIRST}, .*Received: the content of {TEST}"):
        datasets.load(tmp_path)


# The archive


def test_archive_is_read_and_leaves_nothing_behind(tiny, tmp_path, capfd):
    arrays, _, packed = tiny
    manual = tmp_path / "downloads" / "manual"
    put_files(manual, {"cifar-10-binary.tar.gz": packed})
    data = datasets.load("cifar10", data_dir=tmp_path)
    assert_batches(data, arrays, range(5), 5)
    assert data.source == "original archive cifar-10-binary.tar.gz"
    assert_batches(
        datasets.load("cifar10", data_dir=tmp_path, split="heldout"), arrays, range(4), 4
    )
    assert [path.name for path in manual.iterdir()] == ["cifar-10-binary.tar.gz"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("damage", [lambda content: content[:-9], flip_bit, lambda content: b""])
def test_damaged_archive_is_refused(tiny, tmp_path, damage):
    damaged = damage(tiny[2])
    put_files(tmp_path / "downloads" / "manual", {"cifar-10-binary.tar.gz": damaged})
    with pytest.raises(ValueError, match="cifar-10-binary.tar.gz to be cifar10's") as refusal:
        datasets.load("cifar10", data_dir=tmp_path)
    assert f"Received: {len(damaged)} bytes, sha256={hashlib.sha256(damaged).hexdigest()}" in str(
        refusal.value
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda train, test: (train[:-1], test),
        lambda train, test: (train, test[:0]),
        lambda train, test: (np.concatenate([train, train[:1]]), test),
        lambda train, test: (train[:, :28], test[:, :28]),
        lambda train, test: (train[..., 0], test[..., 0]),
        lambda train, test: (train[::-1], test),
    ],
)
def test_arrays_of_something_else_are_no_source(tiny, change):
    images, labels = tiny[0]
    train, test = change(images[:5].reshape(-1, 32, 32, 3), images[5])
    labels = labels.reshape(-1)
    arrays = (train, np.resize(labels, len(train)), test, np.resize(labels, len(test)))
    with pytest.raises(SourceError, match="Expected .*Received: "):
        published.ORIGINALS["cifar10"].found(arrays, "here")


# Fewer training images


def test_first_images_of_all_are_those_of_the_first_batch(tiny, tmp_path):
    _, files, _ = tiny
    put_files(tmp_path / "whole", files)
    put_files(tmp_path / "part", only(files, FIRST, FIFTH, TEST))
    put_files(tmp_path / "first", only(files, FIRST, TEST))
    first = datasets.load(tmp_path / "first")
    for folder in ("whole", "part"):
        data = datasets.load(tmp_path / folder)
        assert data.digest != first.digest
        assert data.with_train(BATCH_IMAGES).digest == first.digest
    heldout = datasets.load(tmp_path / "whole", split="heldout").with_train(BATCH_IMAGES)
    assert heldout.test_part == "held-out training batch 5"
    assert heldout.digest == datasets.load(tmp_path / "part", split="heldout").digest


# All together


def test_every_source_is_in_the_error(tiny, tmp_path):
    with pytest.raises(datasets.DataUnavailableError, match="cifar10 from one of 3") as failure:
        datasets.load("cifar10", data_dir=tmp_path)
    text = str(failure.value)
    for part in (
        f"prepared by TensorFlow Datasets: nothing in {tmp_path / 'cifar10'}",
        f"batches put there by hand: no {tmp_path / 'downloads' / 'manual' / FOLDER} or ",
        "download by TensorFlow Datasets: no network in this test",
        "cifar-10-binary.tar.gz (",
        "from https://www.cs.toronto.edu/~kriz/ into",
        f"the .bin files of it into {tmp_path / 'downloads' / 'manual' / FOLDER}",
        'data_batch_1.bin and data_batch_5.bin alone, split="heldout" works',
    ):
        assert part in text
    assert list(tmp_path.iterdir()) == []


def test_silent_host_is_given_up_soon(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_prepared, "download", real_download)
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        moved = dataclasses.replace(published.ORIGINALS["cifar10"], url=address)
        monkeypatch.setitem(published.ORIGINALS, "cifar10", moved)
        began = time.monotonic()
        with pytest.raises(datasets.DataUnavailableError, match=f"{address}cifar-10-binary.tar"):
            datasets.load("cifar10", data_dir=tmp_path)
        assert time.monotonic() - began < 20
    assert list(tmp_path.iterdir()) == []


def prepare_with_tfds(folder, data_dir):
    """Prepare the stand-in with TensorFlow Datasets' own reader of the batches."""
    tfds = pytest.importorskip("tensorflow_datasets")
    from tensorflow_datasets.image_classification import cifar

    class Cifar10(cifar.Cifar10, skip_registration=True):
        def _split_generators(self, dl_manager):
            class Downloaded:
                def download_and_extract(self, url):
                    return str(folder)

            return super()._split_generators(Downloaded())

    Cifar10(data_dir=data_dir).download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )


@pytest.mark.slow
def test_data_prepared_by_tfds_come_in_the_original_order(tiny, tmp_path, capfd):
    arrays, files, _ = tiny
    names = "\n".join(f"class {index}" for index in range(10))
    put_files(tmp_path / FOLDER, files | {"batches.meta.txt": names.encode()})
    prepare_with_tfds(tmp_path, tmp_path / "data")
    data = datasets.load("cifar10", data_dir=tmp_path / "data")
    assert_batches(data, arrays, range(5), 5)
    assert data.source.startswith("TensorFlow Datasets, prepared cifar10/3.")
    heldout = datasets.load("cifar10", data_dir=tmp_path / "data", split="heldout")
    assert_batches(heldout, arrays, range(4), 4)
    assert heldout.test_part == "held-out training batch 5"
    assert heldout.digest == datasets.load(tmp_path / FOLDER, split="heldout").digest
    assert "mvae_tf:" not in capfd.readouterr().err

    # Other images are not taken for them.
    changed = files | {FIFTH: flip_bit(files[FIFTH]), "batches.meta.txt": names.encode()}
    put_files(tmp_path / "other" / FOLDER, changed)
    prepare_with_tfds(tmp_path / "other", tmp_path / "other")
    with pytest.raises(ValueError, match=f"{FIFTH} .*Received: another file"):
        datasets.load("cifar10", data_dir=tmp_path / "other")
    assert f"Expected the images of {FIFTH}" in capfd.readouterr().err


def real_batches():
    """The folder of real batches, or a skip."""
    if REAL_DATA_DIR not in os.environ:
        pytest.skip(f"{REAL_DATA_DIR} names no data_dir")
    folder = Path(os.environ[REAL_DATA_DIR]) / FOLDER
    if not all((folder / name).is_file() for name in (FIRST, FIFTH)):
        pytest.skip(f"{folder} does not hold {FIRST} and {FIFTH}")
    return folder


def test_real_batches_are_as_published():
    folder = real_batches()
    data = datasets.load("cifar10", data_dir=folder.parent, split="heldout").with_train(10_000)
    assert data.train.images.shape == data.test.images.shape == (10_000, 32, 32, 3)
    # A frog first, whose upper left pixels every tutorial prints.
    assert data.train.labels[:5].tolist() == [6, 9, 9, 4, 1]
    assert data.train.images[0, 0, :2].tolist() == [[59, 62, 63], [43, 46, 45]]
    counts = [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981]
    np.testing.assert_array_equal(np.bincount(data.train.labels), counts)
    assert data.test_part == "held-out training batch 5"


def test_real_test_batch_has_a_thousand_of_each_class():
    folder = real_batches()
    if not (folder / TEST).is_file():
        pytest.skip(f"{folder} does not hold {TEST}")
    data = datasets.load(folder)
    np.testing.assert_array_equal(np.bincount(data.test.labels), [1000] * 10)
    if all((folder / name).is_file() for name in NAMES):
        np.testing.assert_array_equal(np.bincount(data.train.labels), [5000] * 10)
