"""Files of IDX arrays given as data: known by what is in them, however they are packed."""

import gzip
import shutil

import numpy as np
import psutil
import pytest
from tiny_mnist import NAMES, assert_arrays, idx_bytes, put_archives, tiny_arrays

from mvae_tf import datasets
from mvae_tf.datasets import published


def put(folder, packed, rename=lambda name: name):
    folder.mkdir(exist_ok=True)
    for name, content in packed.items():
        (folder / rename(name)).write_bytes(content)


# As Debian packs them: without the file's name in the header, and harder.
def repacked(packed):
    return {name: gzip.compress(gzip.decompress(each), 1) for name, each in packed.items()}


def unpacked(packed):
    return {name[:-3]: gzip.decompress(each) for name, each in packed.items()}


@pytest.mark.parametrize("form", [dict, repacked, unpacked])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_folder_or_any_of_its_files_is_the_published_set(tiny_archives, tmp_path, form, name):
    arrays, packed = tiny_archives[name]
    files = form(packed)
    put(tmp_path / "own", files)
    (tmp_path / "own" / "README").write_text("")
    for source in (tmp_path / "own", *(tmp_path / "own" / each for each in files)):
        data = datasets.load(source)
        assert data.name == name
        assert_arrays(data, arrays)
        assert data.digest == published.ORIGINALS[name].array_sha256


@pytest.mark.parametrize("form", [repacked, unpacked])
def test_copies_put_there_by_hand_are_taken(tiny_archives, tmp_path, form, capfd):
    arrays, packed = tiny_archives["fashion_mnist"]
    put_archives(tmp_path, form(packed))
    assert_arrays(datasets.load("fashion_mnist", data_dir=tmp_path), arrays)
    assert capfd.readouterr().err == ""


def test_arrays_of_another_kind_are_ones_own(tiny_archives, tmp_path):
    arrays = tiny_arrays(7)
    put(tmp_path / "letters", dict(zip(NAMES, map(idx_bytes, arrays), strict=True)))
    data = datasets.load(tmp_path / "letters")
    assert data.name == "letters"
    assert_arrays(data, arrays)


def test_sets_of_one_folder_are_told_apart_by_their_names(tmp_path):
    sets = {name: tiny_arrays(seed) for seed, name in enumerate(["emnist-letters-", "kmnist-"])}
    for name, arrays in sets.items():
        files = dict(zip(NAMES, map(idx_bytes, arrays), strict=True))
        put(tmp_path, files, lambda each, name=name: f"{name}{each}".replace("t10k", "test"))
    for name, arrays in sets.items():
        assert_arrays(datasets.load(tmp_path / f"{name}test-labels-idx1-ubyte.gz"), arrays)
    with pytest.raises(ValueError, match="one set of IDX files.*Received: 2. .*: emnist.*, kmnist"):
        datasets.load(tmp_path)


def test_a_single_file_holds_images(tmp_path):
    images, *_ = tiny_arrays(3)
    (tmp_path / "mine.gz").write_bytes(gzip.compress(idx_bytes(images)))
    data = datasets.load(tmp_path / "mine.gz")
    assert data.digest == datasets.load(images).digest and data.name == "mine"


def test_colour_has_four_sizes(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)
    (tmp_path / "mine").write_bytes(idx_bytes(images))
    assert datasets.load(tmp_path / "mine").digest == datasets.load(images).digest


def test_files_of_two_sets_are_not_mixed(tiny_archives, tmp_path):
    put(tmp_path / "own", tiny_archives["mnist"][1])
    shutil.copy(tmp_path / "own" / NAMES[0], tmp_path / "kept")
    (tmp_path / "own" / NAMES[0]).write_bytes(tiny_archives["fashion_mnist"][1][NAMES[0]])
    with pytest.raises(ValueError, match="of one dataset.*train-images.* of fashion_mnist.*mnist"):
        datasets.load(tmp_path / "own")


@pytest.mark.parametrize(
    ("damage", "nature"),
    [
        (lambda content: content[:-100], "a part of a gzip file"),
        (lambda content: b"<!DOCTYPE html>", "a web page"),
        (lambda content: b"\0\0\x0d\x03" + bytes(99), "an IDX file of other numbers than bytes"),
        (lambda content: b"\0\0\x08\x03" + bytes(5), "a part of an IDX file"),
        (lambda content: gzip.decompress(content)[:-1], "Received: 23519"),
        (lambda content: gzip.decompress(content) + b"x", "Received: 23521"),
    ],
)
def test_damaged_files_are_named(tiny_archives, tmp_path, damage, nature):
    packed = tiny_archives["mnist"][1]
    put(tmp_path / "own", packed | {NAMES[0]: damage(packed[NAMES[0]])})
    with pytest.raises(ValueError, match=f"{NAMES[0]}.*{nature}"):
        datasets.load(tmp_path / "own")


def test_a_set_without_training_images_is_refused(tiny_archives, tmp_path):
    packed = tiny_archives["mnist"][1]
    put(tmp_path / "own", {name: packed[name] for name in NAMES[2:]})
    with pytest.raises(ValueError, match="train-images among them. Received: t10k"):
        datasets.load(tmp_path / "own")


def test_no_more_is_unpacked_than_the_header_says(tmp_path, monkeypatch):
    """A few bytes that unpack to any number of others are refused after one too many."""
    header = idx_bytes(np.zeros((2, 5, 5), np.uint8))
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(header + bytes(50_000_000)))
    read = []
    original = gzip.GzipFile.read

    def counted(self, size=-1):
        content = original(self, size)
        read.append(len(content))
        return content

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    with pytest.raises(ValueError, match="Expected 50 bytes.*Received: 51"):
        datasets.load(path)
    assert 0 < sum(read) < 100


def test_what_would_not_fit_into_memory_is_not_unpacked(tmp_path, monkeypatch):
    sizes = np.array([0x0803, 100_000, 1000, 1000], ">u4").tobytes()
    (tmp_path / "mine").write_bytes(sizes + bytes(100))

    class Little:
        available = 10_000_000_000

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Little)
    with pytest.raises(MemoryError, match="mine, for which 93.1 GiB are needed"):
        datasets.load(tmp_path / "mine")


def test_fashion_mnists_pins_are_those_of_its_archives():
    """Every archive has a pin of its content, and the four arrays together have one."""
    for name in ("mnist", "fashion_mnist"):
        original = published.ORIGINALS[name]
        pins = {archive.content_sha256 for archive in original.archives}
        assert len(pins) == 4 and all(len(pin) == 64 for pin in pins)
        assert len(original.array_sha256) == 64
