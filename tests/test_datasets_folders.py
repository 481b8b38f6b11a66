"""Folders of images as data sets."""

import numpy as np
import pytest
from PIL import Image
from test_datasets import save_images, some_images

from mvae_tf import datasets


def test_folder_of_colour_images_round_trips(tmp_path):
    images = some_images(12)
    save_images(tmp_path / "photos", images)
    (tmp_path / "photos" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "photos" / ".hidden.png").write_bytes(b"\0")
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    data = datasets.load(tmp_path / "photos")
    assert data.name == "photos"
    assert data.digest == datasets.load(images).digest


def test_folders_of_classes_give_labels_in_sorted_order(tmp_path):
    images = some_images(8, channels=1)
    for part, start in (("train", 0), ("test", 4)):
        save_images(tmp_path / part / "cats", images[start : start + 1])
        save_images(tmp_path / part / "bats", images[start + 1 : start + 4])
    data = datasets.load(tmp_path)
    np.testing.assert_array_equal(data.train.labels, [0, 0, 0, 1])
    np.testing.assert_array_equal(data.train.images, images[[1, 2, 3, 0]])
    np.testing.assert_array_equal(data.test.images, images[[5, 6, 7, 4]])


def test_every_mode_becomes_grey_or_colour(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    image = Image.fromarray(grey)
    opaque = Image.merge("RGBA", [image] * 3 + [Image.new("L", (4, 3), 255)])
    for name, version in {
        "a_grey": image,
        "b_palette": image.convert("P"),
        "c_rgb": image.convert("RGB"),
        "d_rgba": opaque,
        "e_16_bits": Image.fromarray(grey.astype(np.uint16) * 257),
    }.items():
        version.save(tmp_path / f"{name}.png")
    data = datasets.load(tmp_path, test_fraction=0.2)
    assert data.train.images.shape == (4, 3, 4, 1)
    for split in (data.train, data.test):
        # All have the depth of the deepest, in which 255 of 8 bits is 65535.
        expected = np.stack([grey.astype(np.uint16) * 257] * len(split))
        np.testing.assert_array_equal(split.images[..., 0], expected)

    Image.new("RGBA", (4, 3), (200, 0, 0, 0)).save(tmp_path / "f_transparent.png")
    Image.new("RGB", (4, 3), (200, 0, 0)).save(tmp_path / "g_red.bmp")
    data = datasets.load(tmp_path, test_fraction=0.01)
    images = np.concatenate([data.train.images, data.test.images])
    assert images.shape == (7, 3, 4, 3)
    corners = {tuple((image[0, 0] // 257).tolist()) for image in images}
    assert corners == {(0, 0, 0), (255, 255, 255), (200, 0, 0)}


def test_mixed_sizes_are_named_or_resized(tmp_path):
    save_images(tmp_path, [np.full((6, 4), 90, np.uint8)] * 2)
    Image.new("L", (8, 3), 90).save(tmp_path / "odd.jpg")
    with pytest.raises(ValueError, match=r"000.png of 6 x 4 .* and .*odd.jpg of 3 x 8"):
        datasets.load(tmp_path)
    data = datasets.load(tmp_path, image_size=(5, 7))
    assert data.train.images.shape == (2, 5, 7, 1)
    np.testing.assert_allclose(data.train.images, 90, atol=1)


def make_truncated(folder):
    save_images(folder, some_images(3, 40, 40))
    (folder / "001.png").write_bytes((folder / "001.png").read_bytes()[:-500])


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (lambda folder: None, "Received: neither"),
        (lambda folder: (folder / "a.png").write_bytes(b"no image"), "readable image.*a.png"),
        (make_truncated, "readable image.*001.png"),
        (lambda folder: save_images(folder / "test", some_images(3)), "train and test.*: test"),
        (
            lambda folder: [save_images(folder / part, some_images(3)) for part in ("train", "b")],
            "Received: b, train",
        ),
        (
            lambda folder: [save_images(folder / part, some_images(3)) for part in ("", "b")],
            "Received: both",
        ),
        (lambda folder: (folder / "a").mkdir(), "in .*a. Received: 0 images and 0 folders"),
        (
            lambda folder: [
                save_images(folder / part, some_images(3)) for part in ("train/a", "test/b")
            ],
            "the same classes",
        ),
    ],
)
def test_unfit_folders_are_refused(tmp_path, arrange, message):
    arrange(tmp_path)
    with pytest.raises(ValueError, match=message):
        datasets.load(tmp_path)
