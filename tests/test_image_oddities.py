"""Images as strangers have them: odd names, links, layouts, pixels, arrays and caches."""

import os
import struct

import numpy as np
import pytest
from image_files import write_tiff
from PIL import Image

from mvae_tf import datasets, files
from mvae_tf.datasets.formats import pixels

NAMES = ("new\nline", "car\rriage", "esc\x1b[2J", "next\x85", "line\u2028", "par\u2029")


@pytest.fixture
def photos(tmp_path):
    """Four grey 8x8 PNGs."""
    folder = tmp_path / "photos"
    for index in range(4):
        save(folder / f"{index}.png", index)
    return folder


def save(path, seed=0, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(values).save(path, format="png")
    return values


def refusal(*args, error=ValueError, **options):
    """Return what `load` answers: one line, of the usual form."""
    with pytest.raises(error) as refused:
        datasets.load(*args, **options)
    text = str(refused.value)
    assert text.startswith("Expected ") and "Received: " in text
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize("name", NAMES)
def test_names_are_told_in_one_line(photos, capfd, name):
    assert len(files.shown(name).splitlines()) == 1
    assert files.shown(name).isprintable()
    for folder in (photos, photos.with_name(name)):
        save(folder / "a.png")
        save(folder / "b.png", 1)
        (folder / f"{name}.png").write_bytes(b"")
        (folder / f"x.{name}").write_bytes(b"")
        assert files.shown(name) in refusal(folder)
        assert files.shown(name) in refusal(folder, stream=True)
        datasets.load(folder, skip_unreadable=True)
        told = capfd.readouterr().err
        assert all(line.startswith("mvae_tf: ") for line in told.splitlines())
        assert files.shown(name) in told
        np.savez(folder / f"{name}.npz", **{name: np.zeros(3)})
        assert files.shown(name) in refusal(folder / f"{name}.npz")


def test_names_of_any_letters_are_told_as_they_are():
    for name in ("a b", "ü", "日本", "a\u200db", "x,y", "'q\""):
        assert files.shown(name) == name


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("target", ["loop.png", "nothing"])
def test_links_that_lead_nowhere_are_unreadable_files(photos, capfd, target, stream):
    (photos / "loop.png").symlink_to(target)
    assert "loop.png" in refusal(photos, stream=stream)
    data = datasets.load(photos, stream=stream, skip_unreadable=True)
    assert len(data.train) + len(data.test) == 4
    assert "1 of 5 files can't be read" in capfd.readouterr().err


def test_links_that_lead_in_circles_are_no_folders(photos, capfd):
    (photos / "loop").symlink_to("loop")
    assert len(datasets.load(photos).train) == 3
    assert "passed over: 1 without an ending" in capfd.readouterr().err
    (photos / "up").symlink_to(".")
    assert "both" in refusal(photos)


def test_a_folder_that_may_not_be_read_is_named(photos, monkeypatch):
    def scandir(folder):
        raise PermissionError(13, os.strerror(13), str(folder))

    monkeypatch.setattr(os, "scandir", scandir)
    assert f"{photos}: Permission denied" in refusal(photos)


@pytest.mark.parametrize(
    "names",
    [
        ("xtrain", "xtest"),
        ("traindata", "testdata"),
        ("trainingdata", "validationdata"),
        ("TrainImgs", "ValImgs"),
        ("trn", "tst"),
        ("dogstrain", "dogsvalid"),
    ],
)
def test_folders_that_differ_in_the_part_alone_are_no_classes(tmp_path, names):
    for name in names:
        save(tmp_path / name / "0.png")
    text = refusal(tmp_path)
    assert all(name in text for name in names)
    assert "a folder named train" in text


@pytest.mark.parametrize("names", [("trains", "planes"), ("contest", "latest"), ("Tr", "Te")])
def test_classes_that_only_sound_like_parts_are_classes(tmp_path, names):
    for index, name in enumerate(names):
        save(tmp_path / name / "0.png", index)
    assert datasets.load(tmp_path).class_names == tuple(sorted(names))


def test_a_class_with_the_name_of_a_part_is_told_where_to_go(tmp_path):
    save(tmp_path / "dev" / "0.png")
    save(tmp_path / "ops" / "0.png")
    assert "put all classes into a folder named train" in refusal(tmp_path)


@pytest.mark.parametrize(
    "size",
    [8, "88", (8,), (8, 8, 8), (0, 8), (8.0, 8), (True, 8), (None, 8), ("8", "8"), (2**31, 1)],
)
def test_sizes_that_are_none_are_refused(photos, size):
    assert f"Received: {size!r}" in refusal(photos, image_size=size)


@pytest.mark.parametrize("size", [(4, 5), [4, 5]])
def test_sizes_may_come_in_any_pair(photos, size):
    assert datasets.load(photos, image_size=size).train.images.shape == (3, 4, 5, 1)


def test_bytes_with_a_sign_are_refused_below_zero(tmp_path):
    values = np.arange(120, dtype=np.int8).reshape(12, 10, 1)
    write_tiff(tmp_path / "a.tif", values)
    read = pixels.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read, values / np.float32(127))
    write_tiff(tmp_path / "a.tif", values - 60)
    with pytest.raises(ValueError, match="with a sign from -60 to 59, where 0 to 127"):
        pixels.read(tmp_path / "a.tif")


def test_floats_whose_zero_is_white_are_inverted(tmp_path):
    values = np.linspace(0, 1, 120, dtype=np.float32).reshape(12, 10, 1)
    write_tiff(tmp_path / "a.tif", values, white_is_zero=True)
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.tif"), 1 - values)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_channels_in_planes_are_read_or_refused(tmp_path, dtype):
    values = np.random.default_rng(0).integers(0, 256, (12, 10, 3)).astype(dtype)
    _write_planes(tmp_path / "a.tif", values)
    if dtype == "uint8":
        np.testing.assert_array_equal(pixels.read(tmp_path / "a.tif"), values)
    else:
        with pytest.raises(ValueError, match="in planes of their own"):
            pixels.read(tmp_path / "a.tif")


def _write_planes(path, values):
    """Write a little-endian TIFF of three channels, one behind the other."""
    height, width, channels = values.shape
    planes = [values[..., each].tobytes() for each in range(channels)]
    starts = [1024 + each * len(planes[0]) for each in range(channels)]
    tags = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [8 * values.dtype.itemsize] * channels),
        259: ("H", [1]),
        262: ("H", [2]),
        273: ("I", starts),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", [len(planes[0])] * channels),
        284: ("H", [2]),
    }
    entries, beside = b"", b""
    for tag, (letter, numbers) in tags.items():
        field = struct.pack(f"<{len(numbers)}{letter}", *numbers)
        if len(field) > 4:
            field, beside = struct.pack("<I", 512 + len(beside)), beside + field
        entries += struct.pack("<HHI", tag, {"H": 3, "I": 4}[letter], len(numbers))
        entries += field.ljust(4, b"\0")
    head = b"II" + struct.pack("<HIH", 42, 8, len(tags)) + entries + bytes(4)
    content = (head.ljust(512, b"\0") + beside).ljust(1024, b"\0") + b"".join(planes)
    path.write_bytes(content)


def test_one_level_is_one_level(capfd):
    datasets.load(np.zeros((4, 8, 8), np.uint8))
    assert "use 1 level, from 0 to 0 of 255" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["source", "cache"])
def test_an_empty_path_is_not_the_current_folder(photos, monkeypatch, option):
    monkeypatch.chdir(photos)
    before = sorted(photos.iterdir())
    options = {"source": str(photos), option: ""}
    assert f"Expected {option} to be a path" in refusal(options.pop("source"), **options)
    assert sorted(photos.iterdir()) == before


def test_a_name_that_is_too_long_is_refused_shortly():
    assert len(refusal("x" * 5000)) < 400


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "x", None])
def test_seeds_that_are_none_are_refused(photos, seed):
    assert f"Received: {seed!r}" in refusal(photos, seed=seed)


@pytest.mark.parametrize("fraction", ["x", float("nan"), 0, 1, None])
def test_fractions_that_are_none_are_refused(photos, fraction):
    assert f"Received: {fraction!r}" in refusal(photos, test_fraction=fraction)


IMAGES = np.arange(20 * 9 * 10, dtype=np.uint32).astype(np.uint8).reshape(20, 9, 10)
LABELS = np.arange(20) % 4


def test_labels_beyond_64_bits_do_not_wrap():
    text = refusal((IMAGES, LABELS.astype(np.uint64) + np.uint64(2**63)))
    assert str(2**63 + 3) in text and "return_inverse" in text
    data = datasets.load((IMAGES, LABELS.astype(np.uint64) + np.uint64(2**62)))
    assert data.train.labels.min() == 2**62


def test_labels_may_be_lists_and_bytes_of_any_kind():
    data = datasets.load((IMAGES, LABELS.tolist()))
    assert set(data.train.labels) == {0, 1, 2, 3} and data.class_names is None
    names = [b"a", b"\xff", b"c", b"d"]
    data = datasets.load((IMAGES, [names[label] for label in LABELS]))
    assert data.class_names == ("\\xff", "a", "c", "d")
    assert "several lengths" in refusal((IMAGES, [[1], [1, 2]]))


def test_whole_floats_as_labels_are_told_what_makes_them_right():
    assert "(labels.astype(int)?)" in refusal((IMAGES, LABELS.astype(float)))
    assert "astype" not in refusal((IMAGES, LABELS + 0.5))


def test_masked_values_are_not_taken_for_values():
    assert "20 of 20 are masked" in refusal((IMAGES, np.ma.masked_array(LABELS, True)))
    masked = np.ma.masked_array(IMAGES, IMAGES > 250)
    for given in (masked, (masked, LABELS)):
        assert "are masked; array.filled(0)" in refusal(given)
    datasets.load(np.ma.masked_array(IMAGES))


def test_grey_images_that_come_last_are_told_what_makes_them_right():
    images = np.moveaxis(np.broadcast_to(np.arange(100, dtype=np.uint8), (28, 28, 100)), 0, 0)
    assert "images.transpose(2, 0, 1) makes it right" in refusal(images)
    assert datasets.load(images.transpose(2, 0, 1)).train.images.shape == (90, 28, 28, 1)
    assert datasets.load(images[..., np.newaxis]).train.images.shape == (25, 28, 100, 1)


@pytest.mark.parametrize("name", ["a.png", "a.pkl", "a.npy", "a.npz", "a.csv"])
def test_files_of_other_kinds_are_told_apart(tmp_path, name):
    save(tmp_path / name)
    text = refusal(tmp_path / name)
    assert "pickle" not in text
    assert ("one image" in text) == name.endswith("png")


def test_an_array_that_lies_about_its_size_is_no_want_of_memory(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 1000, 1000)}
        np.lib.format.write_array_header_1_0(file, header)
    assert "to be whole" in refusal(tmp_path / "a.npy")


def test_a_file_of_many_arrays_names_some(tmp_path):
    np.savez(tmp_path / "a.npz", **{f"picture{index:03}": LABELS for index in range(100)})
    assert "picture011 and 88 more" in refusal(tmp_path / "a.npz")
