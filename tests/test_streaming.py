"""Folders that are streamed: the same images as in memory, whatever is wrong with a file."""

import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from test_datasets import save_images, some_images

from mvae_tf import datasets
from mvae_tf.datasets.formats import image_folder, pixels
from mvae_tf.datasets.formats.names import Names

COUNT = 40  # more than are looked at to know what to expect
ODD = 17  # not among those


def save(folder, count=COUNT, seed=0, channels=1):
    save_images(folder, some_images(count, channels=channels, seed=seed))
    return folder


def flat(folder):
    save(folder)


def classes_and_parts(folder):
    save(folder / "Train" / "bats", 9, seed=1)
    save(folder / "Train" / "cats", 24, seed=2)
    save(folder / "val" / "bats", 5, seed=3)
    save(folder / "val" / "cats", 4, seed=4)


def one_in_colour(folder):
    save(folder)
    Image.fromarray(some_images(1)[0]).save(folder / f"{ODD:03d}.png")


def one_is_deep(folder):
    one_in_colour(folder)
    deep = np.arange(20, dtype=np.uint16).reshape(5, 4) * 3000
    Image.fromarray(deep).save(folder / f"{ODD + 4:03d}.png")


def one_has_floats(folder):
    one_is_deep(folder)
    (folder / "039.png").unlink()
    Image.fromarray(np.linspace(0, 1, 20, dtype=np.float32).reshape(5, 4)).save(folder / "039.tif")


@pytest.fixture
def photos(tmp_path):
    return save(tmp_path / "photos")


@pytest.fixture(params=["files", "cache"])
def streamed(request, tmp_path):
    """Load a folder that is streamed, from its files or from a cache."""

    def load(folder, **options):
        if request.param == "cache":
            options["cache"] = tmp_path / "cache"
        return datasets.load(folder, stream=True, **options)

    return load


def require_same(ours, theirs):
    assert ours.digest == theirs.digest and ours.name == theirs.name
    assert ours.class_names == theirs.class_names and ours.test_part == theirs.test_part
    for part in ("train", "test"):
        streamed, read = getattr(ours, part), getattr(theirs, part)
        assert streamed.images.shape == read.images.shape
        assert streamed.images.nbytes == read.images.nbytes
        np.testing.assert_array_equal(streamed.images[:], read.images, strict=True)
        np.testing.assert_array_equal(streamed.float_images(1, 3), read.float_images(1, 3))
        if read.labels is None:
            assert streamed.labels is None
        else:
            np.testing.assert_array_equal(streamed.labels, read.labels, strict=True)


# The same images ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arrange", [flat, classes_and_parts, one_in_colour, one_is_deep, one_has_floats]
)
def test_a_streamed_folder_is_the_same_as_in_memory(tmp_path, streamed, arrange):
    arrange(tmp_path / "photos")
    options = {"test_fraction": 0.2, "seed": 3, "image_size": (6, 5)}
    read = datasets.load(tmp_path / "photos", stream=False, **options)
    require_same(streamed(tmp_path / "photos", **options), read)
    require_same(streamed(tmp_path / "photos", **options), read)  # a cache is there now


def test_batches_are_the_same_in_the_same_order(tmp_path, streamed):
    classes_and_parts(tmp_path / "photos")
    read = datasets.load(tmp_path / "photos")
    batches = streamed(tmp_path / "photos").train.dataset(8, labels=True, seed=5)
    expected = read.train.dataset(8, labels=True, seed=5)
    for _ in range(2):  # each epoch has an order of its own
        pairs = zip(batches.as_numpy_iterator(), expected.as_numpy_iterator(), strict=True)
        for ours, theirs in pairs:
            np.testing.assert_array_equal(ours[0], theirs[0], strict=True)
            np.testing.assert_array_equal(ours[1], theirs[1])


def test_parts_of_a_streamed_set_are_those_of_the_set_in_memory(photos, streamed):
    ours, theirs = streamed(photos), datasets.load(photos)
    require_same(ours.with_train(7), theirs.with_train(7))
    require_same(ours.with_validation(7), theirs.with_validation(7))
    with pytest.raises(ValueError, match=r"in memory.*stream=False"):
        ours.with_flips()


def test_streamed_images_are_indexed_as_an_array(photos, streamed):
    ours, theirs = streamed(photos).train.images, datasets.load(photos).train.images
    for which in (slice(3, 20, 2), [7, 1, 7], np.array([-1, 0]), np.arange(36) % 5 == 0, slice(0)):
        np.testing.assert_array_equal(ours[which], theirs[which], strict=True)
        np.testing.assert_array_equal(ours.part(which)[::-1], theirs[which][::-1], strict=True)
    np.testing.assert_array_equal(ours[-2], theirs[-2], strict=True)
    assert len(ours) == len(theirs) and ours.dtype == theirs.dtype and ours.ndim == theirs.ndim
    assert len(list(ours.part([1, 2]))) == 2
    with pytest.raises(ValueError, match=r"first axis alone.*images\[:100\]"):
        ours[..., 0]
    with pytest.raises(IndexError):
        ours[36]
    with pytest.raises(ValueError, match=r"images\[:100\].*stream=False"):
        np.asarray(ours)


def test_blocks_hold_the_images_that_indices_stand_for(photos, streamed):
    import tensorflow as tf

    from mvae_tf.devices import feeds

    images = datasets.load(photos).train.images
    weights = np.linspace(0, 1, len(images), dtype=np.float32)
    orders = tf.data.Dataset.from_tensors(np.random.RandomState(0).permutation(len(images)))
    expected = feeds.BlockFeed(images, orders, 5, most_steps=4, weights=weights)
    ours = feeds.BlockFeed(streamed(photos).train.images, orders, 5, 4, weights)
    assert expected.source is not None and ours.source is None
    assert ours.steps_per_block == expected.steps_per_block
    for block, indices in zip(ours.blocks, expected.blocks, strict=True):
        assert block.size == indices.size
        for read, index in ((block.batches, indices.batches), (block.rest, indices.rest)):
            taken, weight = read
            np.testing.assert_array_equal(taken, images[index.numpy()])
            np.testing.assert_array_equal(weight, weights[index.numpy()])


def test_blocks_of_large_images_are_of_few_steps(photos, monkeypatch):
    import tensorflow as tf

    from mvae_tf.devices import feeds

    images = datasets.load(photos, stream=True).train.images
    orders = tf.data.Dataset.from_tensors(np.arange(len(images)))
    assert feeds.BlockFeed(images, orders, 2).steps_per_block == 18
    monkeypatch.setattr(feeds, "_MOST_BYTES", 6 * 2 * 5 * 4)
    assert feeds.BlockFeed(images, orders, 2).steps_per_block == 6


# Memory -------------------------------------------------------------------------------------------


def test_no_more_than_a_few_batches_are_read_ahead(photos, monkeypatch):
    data, decoded = datasets.load(photos, stream=True), []
    read = pixels.read
    monkeypatch.setattr(pixels, "read", lambda *args: decoded.append(args) or read(*args))
    batches = iter(data.train.dataset(2))
    for taken in (1, 2, 3):
        next(batches)
        assert 2 * taken <= len(decoded) <= 2 * (taken + 6) < len(data.train)


def test_names_take_little_more_than_their_letters(tmp_path):
    folder = tmp_path / "class"
    tracemalloc.start()
    names = Names(tmp_path)
    names.add(folder, (f"image-{number:07d}.png" for number in range(3_000)))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 31 * len(names) <= taken < 40 * len(names)  # 23 letters and a number, and room to grow
    assert names[0] == folder / "image-0000000.png" == names[-3_000]
    assert names[2_999] == folder / "image-0002999.png" == names[-1]
    with pytest.raises(IndexError):
        names[3_000]
    more = Names(tmp_path)
    more.add(tmp_path, ["a.png", "b.png"])
    assert list(more + names)[1:3] == [tmp_path / "b.png", folder / "image-0000000.png"]
    assert len(names + more) == 3_002 and (names + more)[-1] == tmp_path / "b.png"


def test_a_listing_takes_little_memory_for_a_file(tmp_path):
    count = 2_000
    for number in range(count):
        (tmp_path / f"image-{number:07d}.png").touch()
    image_folder.listing(tmp_path)  # what it imports is there
    tracemalloc.start()
    listed = image_folder.listing(tmp_path)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(listed.files()) == count
    assert kept < 45 * count and peak < 200 * count  # a Path takes some 500 bytes


def test_names_need_not_be_text(tmp_path):
    folder = tmp_path / os.fsdecode(b"f\xff")
    try:
        save(folder, 20)
        (folder / "000.png").rename(folder / os.fsdecode(b"\xfe.png"))
    except OSError:
        pytest.skip("names are text here")
    read = datasets.load(folder)
    require_same(datasets.load(folder, cache=tmp_path / "cache"), read)


def test_a_name_as_long_as_names_may_be_has_a_cache(tmp_path):
    folder = save(tmp_path / ("\N{SNOWMAN}" * 85))
    require_same(datasets.load(folder, cache=tmp_path / "cache"), datasets.load(folder))


def test_a_folder_too_large_for_memory_is_streamed_by_itself(photos, monkeypatch, capsys):
    def available(nbytes):
        memory = type("Memory", (), {"available": nbytes})
        monkeypatch.setattr("psutil.virtual_memory", lambda: memory)

    needed = 2 * COUNT * 5 * 4 * 2  # twice, within half of what is free
    available(needed)
    assert isinstance(datasets.load(photos).train.images, np.ndarray)
    assert "when they are needed" not in capsys.readouterr().err
    available(needed - 1)
    data = datasets.load(photos)
    assert not isinstance(data.train.images, np.ndarray)
    assert f"{COUNT} images, which could take" in capsys.readouterr().err
    assert isinstance(datasets.load(photos, stream=False).train.images, np.ndarray)
