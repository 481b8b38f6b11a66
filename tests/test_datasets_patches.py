import numpy as np
import pytest
import sklearn.datasets

from mvae_tf import datasets


def test_patches_are_as_described_and_repeatable():
    data = datasets.load("patches")
    assert (data.name, data.test_part) == ("patches", "test images")
    for split, count in ((data.train, 3360), (data.test, 500)):
        assert split.images.shape == (count, 32, 32, 3)
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        # Balanced in every beginning, too.
        np.testing.assert_array_equal(split.labels, [0, 1] * (count // 2))
        assert len(np.unique(split.images.reshape(count, -1), axis=0)) == count
    assert datasets.load("patches").digest == data.digest


def test_patches_are_cut_from_the_photographs():
    data = datasets.load("patches")
    for label, name in enumerate(["china.jpg", "flower.jpg"]):
        photo = sklearn.datasets.load_sample_image(name)
        rows = {photo[row : row + 32, 408:440].tobytes() for row in range(0, 427 - 31, 10)}
        of_photo = data.train.images[data.train.labels == label]
        assert rows <= {image.tobytes() for image in of_photo}


@pytest.fixture
def photos_of_places(monkeypatch):
    """Photographs whose every pixel says where it lies."""

    def load(name):
        rows, columns = np.mgrid[:427, :640]
        of_flower = (name == "flower.jpg") * 16
        high = rows // 256 + 4 * (columns // 256) + of_flower
        return np.stack([rows % 256, columns % 256, high], axis=-1).astype(np.uint8)

    monkeypatch.setattr(sklearn.datasets, "load_sample_image", load)


def places(split):
    """Photograph, row and column of every pixel, each [n, 32, 32]."""
    low_row, low_column, high = np.moveaxis(split.images.astype(int), -1, 0)
    return high // 16, low_row + 256 * (high % 4), low_column + 256 * (high // 4 % 4)


def test_no_test_pixel_is_in_a_training_patch(photos_of_places):
    data = datasets.load("patches")
    seen = []
    for split in (data.train, data.test):
        photos, rows, columns = places(split)
        # Each is one square of one photograph, and the label says of which.
        assert (photos == split.labels[:, np.newaxis, np.newaxis]).all()
        steps = np.arange(32)
        np.testing.assert_array_equal(rows, rows[:, :1, :1] + steps[:, np.newaxis] + 0 * steps)
        np.testing.assert_array_equal(columns, columns[:, :1, :1] + steps + 0 * rows)
        seen.append(set(zip(photos.flat, rows.flat, columns.flat, strict=True)))
    train, test = seen
    assert not train & test
    assert {photo for photo, _, _ in train} == {photo for photo, _, _ in test} == {0, 1}
    # Little of the photographs goes to waste.
    assert len(train | test) > 0.95 * 2 * 427 * 640


def test_other_photographs_are_refused(monkeypatch):
    monkeypatch.setattr(
        sklearn.datasets, "load_sample_image", lambda name: np.zeros((4, 5, 3), np.uint8)
    )
    with pytest.raises(ValueError, match=r"photographs as uint8 \[427.*Received: uint8 \[4, 5, 3"):
        datasets.load("patches")
