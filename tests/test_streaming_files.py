"""Folders that are streamed, where files can't be read or change; and their cache."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image
from test_datasets import save_images, some_images
from test_streaming import COUNT, ODD, classes_and_parts, require_same, save

from mvae_tf import datasets, files
from mvae_tf.datasets.formats import pixels
from mvae_tf.datasets.streaming import caches


@pytest.fixture
def photos(tmp_path):
    return save(tmp_path / "photos")


# Files that can't be read, or change --------------------------------------------------------------


@pytest.fixture(params=["memory", "files", "cache"])
def load(request, tmp_path):
    """Load a folder in all ways."""

    def load(folder, **options):
        if request.param == "cache":
            options["cache"] = tmp_path / "cache"
        return datasets.load(folder, stream=request.param != "memory", **options)

    return load


@pytest.mark.parametrize("number", [0, ODD])
def test_a_corrupt_file_is_named_or_passed_over(photos, load, number, capsys, tmp_path):
    name = f"{number:03d}.png"
    without = shutil.copytree(photos, tmp_path / "without" / "photos")
    (without / name).unlink()
    whole = (photos / name).read_bytes()
    (photos / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"Expected a readable image. Received: .*{name}"):
        load(photos)
    assert not list((tmp_path / "cache").glob("*.npy")) + list(tmp_path.rglob("*.unfinished"))
    expected = datasets.load(without)
    for _ in range(2):
        capsys.readouterr()
        require_same(load(photos, skip_unreadable=True), expected)
        told = [line for line in capsys.readouterr().err.splitlines() if "passed over" in line]
        assert len(told) == 1
        assert f"1 of {COUNT} files can't be read, and are passed over: " in told[0]
        assert told[0].endswith(name)


def test_labels_stay_with_their_images(tmp_path, load):
    for label, grey in enumerate((10, 200)):
        save_images(tmp_path / "photos" / f"c{label}", [np.full((5, 4), grey, np.uint8)] * 20)
    for number in (0, 3, 4):
        (tmp_path / "photos" / "c0" / f"{number:03d}.png").write_bytes(b"")
    data = load(tmp_path / "photos", skip_unreadable=True)
    assert len(data.train) + len(data.test) == 37
    for part in (data.train, data.test):
        np.testing.assert_array_equal(part.images[:][:, 0, 0, 0] == 200, part.labels == 1)


def test_nothing_readable_is_refused(photos, load):
    for path in photos.iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="of which none can be read"):
        load(photos, skip_unreadable=True)


def test_no_readable_test_image_is_refused(tmp_path, load):
    classes_and_parts(tmp_path / "photos")
    for path in (tmp_path / "photos" / "val").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"^Expected .*test"):
        load(tmp_path / "photos", skip_unreadable=True)


def test_sizes_that_differ_are_refused_also_where_unreadable_files_are_not(photos, load):
    Image.new("L", (9, 9)).save(photos / f"{ODD:03d}.png")
    with pytest.raises(ValueError, match=rf"9 x 9.*image_size|image_size.*{ODD:03d}.png of 9 x 9"):
        load(photos, skip_unreadable=True)


def removed(path):
    path.unlink()


def another(path):
    Image.new("L", (4, 5), 77).save(path)
    os.utime(path, (1, 1))


def cut_short(path):
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-20].ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [removed, another, cut_short])
def test_a_file_that_changes_after_the_start_is_named(photos, change):
    data = datasets.load(photos, stream=True, test_fraction=0.01)
    change(photos / f"{ODD:03d}.png")
    data.train.images[:ODD]  # the others are as before
    with pytest.raises(OSError, match=rf"^Expected the images as they were.*{ODD:03d}.png"):
        data.train.images[:]


# The cache ----------------------------------------------------------------------------------------


@pytest.fixture
def cached(photos, tmp_path):
    """A folder whose cache is there, and how to load both."""
    options = {"cache": tmp_path / "cache"}
    datasets.load(photos, **options)
    return photos, options


def test_a_cache_is_read_in_place_of_the_files(cached, monkeypatch):
    photos, options = cached
    expected = datasets.load(photos)

    def decode(*args):
        raise AssertionError("decoded again")

    monkeypatch.setattr(pixels, "read_picture", decode)
    data = datasets.load(photos, **options)
    shutil.rmtree(photos)
    require_same(data, expected)


def replaced(path):
    Image.new("L", (4, 5), 77).save(path)


def replaced_in_secret(path):
    """Of the same size and time of change."""
    before, content = path.stat(), path.read_bytes()
    Image.new("L", (4, 5), 77).save(path)
    path.write_bytes(path.read_bytes().ljust(len(content), b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


@pytest.mark.parametrize("change", [replaced, replaced_in_secret, removed])
def test_files_that_changed_make_another_cache(cached, change):
    photos, options = cached
    before = datasets.load(photos, **options)
    change(photos / f"{ODD:03d}.png")
    now = datasets.load(photos, **options)
    assert now.digest != before.digest
    require_same(now, datasets.load(photos))
    before.train.images[:]  # a run that reads the older one goes on


def test_each_way_to_read_a_folder_has_a_cache_of_its_own(cached):
    photos, options = cached
    for other in ({"image_size": (3, 3)}, {"seed": 1}, {"test_fraction": 0.5}):
        require_same(datasets.load(photos, **options, **other), datasets.load(photos, **other))


def of(options, suffix):
    (path,) = options["cache"].glob(f"*{suffix}")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        lambda options: os.truncate(of(options, ".npy"), 300),
        lambda options: os.truncate(of(options, ".json"), 20),
        lambda options: of(options, ".npy").unlink(),
        lambda options: of(options, ".json").write_text("[]"),
        lambda options: of(options, ".npy").write_bytes(b""),
    ],
)
def test_a_damaged_cache_is_made_anew(cached, damage):
    photos, options = cached
    damage(options)
    require_same(datasets.load(photos, **options), datasets.load(photos))


def test_a_cache_that_goes_while_it_is_read_is_named(cached):
    photos, options = cached
    data = datasets.load(photos, **options)
    path = of(options, ".npy")
    os.truncate(path, path.stat().st_size - 1)
    data.train.images[:]
    with pytest.raises(
        OSError, match=rf"{path} to be read, the images' cache.*cut short.*next start"
    ):
        data.test.images[:]
    path.unlink()
    with pytest.raises(OSError, match=rf"{path}.*No such file.*next start"):
        data.train.images[0]


def test_what_a_kill_left_is_removed(photos, tmp_path):
    left = tmp_path / "cache" / "photos-0123456789abcdef.unfinished"
    other = left.with_name("others-0123456789abcdef.unfinished")
    left.parent.mkdir()
    for path in (left, other):
        path.write_bytes(b"a part")
    datasets.load(photos, cache=left.parent)
    assert not left.exists() and other.exists()


def test_a_cache_without_room_is_refused_before_it_is_written(photos, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": COUNT * 5 * 4 - 1})
    monkeypatch.setattr(caches.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(files.WriteError, match=r"GiB of space in .*cache.*Choose another place"):
        datasets.load(photos, cache=tmp_path / "cache")
    usage.free += 1
    datasets.load(photos, cache=tmp_path / "cache")


def test_a_cache_in_a_place_that_it_must_not_have_is_refused(photos, tmp_path):
    with pytest.raises(ValueError, match="outside of"):
        datasets.load(photos, cache=photos / "cache")
    (tmp_path / "file").touch()
    with pytest.raises(files.WriteError, match="Not a directory"):
        datasets.load(photos, cache=tmp_path / "file")


@pytest.mark.parametrize("option", [{"stream": True}, {"cache": "c"}, {"skip_unreadable": True}])
def test_only_folders_of_files_are_streamed(option, tmp_path):
    np.save(tmp_path / "x.npy", some_images())
    for source in (some_images(), "digits", "tfds:mnist", tmp_path / "x.npy"):
        with pytest.raises(ValueError, match=f"{next(iter(option))} only for a folder of image"):
            datasets.load(source, **option)
    with pytest.raises(FileNotFoundError):
        datasets.load(tmp_path / "nowhere", **option)


def test_a_cache_of_what_is_not_streamed_is_refused(photos, tmp_path):
    with pytest.raises(ValueError, match="cache and stream=False"):
        datasets.load(photos, stream=False, cache=tmp_path / "cache")
