"""Folders as people have them: what they are called, what else is in them, and in which order."""

import os
import sys

import numpy as np
import pytest
from PIL import Image
from test_datasets import save_images, some_images

from mvae_tf import datasets
from mvae_tf.datasets import splits
from mvae_tf.datasets.formats import image_folder


def arrange(folder, *parts):
    """Fill folders with three images each, all different; return the images of all, in order."""
    images = [some_images(3, seed=seed) for seed, _ in enumerate(parts)]
    for part, content in zip(parts, images, strict=True):
        save_images(folder / part, content)
    return images


# Files


def test_every_ending_of_a_format_counts(tmp_path, capfd):
    images = some_images(6)
    for image, name in zip(images, ("a.jpg", "b.JFIF", "c.jpe", "d.Png", "e.tga"), strict=False):
        encoded = "JPEG" if name[2:].lower() in ("jpg", "jfif", "jpe") else None
        Image.fromarray(image).save(tmp_path / name, format=encoded)
    data = datasets.load(tmp_path)
    assert len(data.train) + len(data.test) == 5
    assert capfd.readouterr().err == ""


def test_what_is_passed_over_is_counted_by_ending(tmp_path, capfd):
    arrange(tmp_path, "cat", "dog")
    for name in ("cat/a.heic", "dog/b.HEIC", "dog/notes.txt", "dog/noending", "top.csv"):
        (tmp_path / name).write_bytes(b"")
    listed = image_folder.listing(tmp_path)
    expected = {".heic": 2, ".txt": 1, ".csv": 1, "without an ending": 1}
    assert listed.passed_over == expected
    datasets.load(tmp_path)
    err = capfd.readouterr().err
    assert "passed over: 1 .csv, 2 .heic, 1 .txt, 1 without an ending" in err


def test_a_folder_without_images_says_what_there_is(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"")
    with pytest.raises(ValueError, match="neither; files of other formats: 1 .heic"):
        datasets.load(tmp_path)


def test_listing_reads_no_pixel(tmp_path):
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(b"no image")
    listed = image_folder.listing(tmp_path)
    assert [file.name for file in listed.splits["train"].files] == ["a.png", "b.png"]
    assert listed.splits["train"].labels is None and listed.class_names is None


# Parts


@pytest.mark.parametrize(
    ("train", "test", "test_part"),
    [
        ("Train", "Test", "test images"),
        ("TRAINING", "testing", "test images"),
        ("train", "val", "validation images"),
        ("train", "Validation", "validation images"),
        ("training", "valid", "validation images"),
        ("train", "dev", "validation images"),
    ],
)
@pytest.mark.parametrize("in_classes", [False, True])
def test_parts_have_many_names(tmp_path, train, test, test_part, in_classes):
    inside = "/cat" if in_classes else ""
    first, second = arrange(tmp_path, f"{train}{inside}", f"{test}{inside}")
    data = datasets.load(tmp_path)
    np.testing.assert_array_equal(data.train.images, first)
    np.testing.assert_array_equal(data.test.images, second)
    assert data.test_part == test_part
    assert data.class_names == (("cat",) if in_classes else None)


def test_validation_images_beside_test_images_are_left_out_aloud(tmp_path, capfd):
    first, _, third = arrange(tmp_path, "train", "val", "test")
    data = datasets.load(tmp_path)
    np.testing.assert_array_equal(data.train.images, first)
    np.testing.assert_array_equal(data.test.images, third)
    assert "val is left out" in capfd.readouterr().err


@pytest.mark.parametrize(
    "names",
    [
        ("train2017", "val2017"),
        ("trainA", "trainB"),
        ("train_images", "test_images"),
        ("testset", "trainset"),
        ("my-train", "cats"),
    ],
)
def test_what_looks_like_a_part_is_no_class(tmp_path, names):
    arrange(tmp_path, *names)
    with pytest.raises(ValueError, match=f"named train.*Received: .*{names[0]}.*folder named"):
        datasets.load(tmp_path)
    # The way out that it names.
    (tmp_path / "all" / "train").mkdir(parents=True)
    for name in names:
        (tmp_path / name).rename(tmp_path / "all" / "train" / name)
    assert datasets.load(tmp_path / "all").class_names == tuple(sorted(names))


@pytest.mark.parametrize("names", [("trainers", "valley"), ("contest", "latest"), ("deviation",)])
def test_words_that_only_contain_a_parts_name_are_classes(tmp_path, names):
    arrange(tmp_path, *names)
    assert datasets.load(tmp_path).class_names == tuple(sorted(names))


@pytest.mark.parametrize("names", [("Train", "training"), ("train", "val", "valid"), ("val",)])
def test_parts_that_are_not_clear_are_refused(tmp_path, names):
    arrange(tmp_path, *names)
    with pytest.raises(ValueError, match="the folders train and test"):
        datasets.load(tmp_path)


# What is no data


@pytest.mark.parametrize("inside", ["cat", ""])
@pytest.mark.parametrize("place", ["runs/photos", "out"])
def test_a_run_inside_the_data_is_no_data(tmp_path, inside, place, capfd):
    (images,) = arrange(tmp_path, inside)
    before = datasets.load(tmp_path).digest
    run = tmp_path / place
    (run / "checkpoints").mkdir(parents=True)
    (run / "settings.json").write_text("{}")
    Image.fromarray(images[0]).save(run / "reconstructions.png")
    assert datasets.load(tmp_path).digest == before
    # A folder that is none is not passed over.
    (run / "settings.json").unlink()
    with pytest.raises(ValueError, match="Received"):
        datasets.load(tmp_path)


def test_folders_of_other_programs_are_no_data(tmp_path):
    arrange(tmp_path, "")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._000.png").write_bytes(b"")
    assert len(datasets.load(tmp_path).train) == 2


# Names


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are not UTF-8")
def test_names_that_are_not_utf_8_are_shown_and_read(tmp_path):
    root = os.fsencode(tmp_path) + b"/caf\xe9"
    for index in range(3):
        for label in (b"na\xefve", b"plain"):
            os.makedirs(root + b"/" + label, exist_ok=True)
            folder = os.fsdecode(root + b"/" + label)
            Image.fromarray(some_images(1, seed=index)[0]).save(f"{folder}/{index}\udce9.png")
    data = datasets.load(os.fsdecode(root))
    assert data.class_names == (r"na\xefve", "plain")
    assert data.name == r"caf\xe9"
    for text in (data.name, data.source, *data.class_names):
        text.encode()


def test_class_names_stay_with_the_data(tmp_path):
    arrange(tmp_path, "cat", "bat", "ähre")
    data = datasets.load(tmp_path)
    names = ("bat", "cat", "ähre")
    assert data.class_names == names
    for part in (data.with_train(3), data.with_flips(), data.with_validation(3)):
        assert part.class_names == names
    assert datasets.load("digits").class_names is None


# Order


def labelled(tmp_path, counts):
    """Save images class by class; each tells its number by its first pixel."""
    number = 0
    for label, count in enumerate(counts):
        images = some_images(count, seed=label)
        images[:, 0, 0] = np.arange(number, number + count)[:, np.newaxis]
        number += count
        for part in ("train", "test"):
            save_images(tmp_path / part / str(label), images)
    return datasets.load(tmp_path)


@pytest.mark.parametrize("counts", [(20, 20), (40, 4, 2), (5, 30)])
def test_few_images_are_of_all_classes(tmp_path, counts):
    data = labelled(tmp_path, counts)
    for count in range(len(counts), sum(counts) + 1):
        few = np.bincount(data.with_train(count).train.labels, minlength=len(counts))
        assert few.sum() == count and few.min() >= 1
        # In proportion: no class has one image more while another of a lesser share lacks it.
        assert ((few - 1) / counts).max() <= (few / counts).min()
    few = data.with_train(10)
    numbers = few.train.images[:, 0, 0, 0]
    for label in range(len(counts)):
        own = numbers[few.train.labels == label]
        start = sum(counts[:label])
        assert own.tolist() == list(range(start, start + len(own)))
    assert few.with_train(4).digest == data.with_train(4).digest
    assert data.with_train(sum(counts)).digest == data.digest


def test_validation_images_are_of_all_classes(tmp_path):
    data = labelled(tmp_path, (40, 8, 1))
    held = data.with_validation(6)
    assert held.test_part == "6 training images of all classes"
    assert np.bincount(held.test.labels, minlength=3).tolist() == [5, 1, 0]
    # The last ones of each class are held out, the others stay in their order.
    assert held.test.images[:, 0, 0, 0].tolist() == [35, 36, 37, 38, 39, 47]
    expected = [*range(35), *range(40, 47), 48]
    assert held.train.images[:, 0, 0, 0].tolist() == expected
    assert held.train.labels.tolist() == [0] * 35 + [1] * 7 + [2]
    nearly_all = data.with_validation(48)
    assert nearly_all.train.labels.tolist() == [2]


@pytest.mark.parametrize(
    "beginning",
    [
        (5, 0, 4, 1, 9, 2, 1, 3, 1, 4),  # MNIST
        (9, 0, 0, 3, 0, 2, 7, 2, 5, 5),  # Fashion-MNIST
        (6, 9, 9, 4, 1, 1, 2, 7, 8, 3, 4),  # CIFAR-10
        "digits",
    ],
)
def test_no_part_of_published_sets_comes_class_by_class(beginning):
    """Their order is part of stored results: what `with_train` gives has to stay."""
    if beginning == "digits":
        beginning = datasets.load("digits").train.labels
    labels = np.array(beginning)
    assert not any(splits.by_class(labels[:count]) for count in range(1, len(labels) + 1))
