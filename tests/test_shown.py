"""Which images are shown of many: in `reconstruct`, and in TensorBoard's pictures and projector."""

import collections

import numpy as np
import pytest
from PIL import Image
from recycled import recycled

import mvae_tf
from mvae_tf import plots
from mvae_tf.datasets import shown
from mvae_tf.datasets.splits import Split
from mvae_tf.tensorboard import TensorBoard


def split_of(labels):
    """Images whose every pixel is their index."""
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    return Split(images, np.asarray(labels), is_train=False)


def by_class(*counts):
    return np.repeat(np.arange(len(counts)), counts)


@pytest.mark.parametrize(
    ("labels", "count", "expected"),
    [
        (by_class(50, 50, 50), 6, {0: 2, 1: 2, 2: 2}),
        (by_class(50, 50, 50), 8, {0: 3, 1: 3, 2: 2}),
        (by_class(100, 2, 50), 12, {0: 5, 1: 2, 2: 5}),  # a rare one is not missed
        (by_class(*[3] * 20), 4, {0: 1, 5: 1, 10: 1, 15: 1}),
        (np.tile(by_class(40, 40), 2), 4, {0: 2, 1: 2}),  # two folders, one behind the other
        (by_class(60)[::-1] + 7, 3, {7: 3}),
    ],
)
def test_of_class_after_class_all_are_chosen(labels, count, expected):
    chosen = shown.some(split_of(labels), count)
    assert collections.Counter(labels[chosen].tolist()) == expected
    assert np.all(np.diff(chosen) > 0)
    np.testing.assert_array_equal(chosen, shown.some(split_of(labels), count))


def test_of_mixed_classes_the_first_are_chosen(digits):
    for labels in (
        np.random.default_rng(0).integers(10, size=200),
        np.arange(200) % 10,
        digits.test.labels[:200],
        np.repeat([0, 1], [195, 5])[np.random.default_rng(0).permutation(200)],
    ):
        np.testing.assert_array_equal(shown.some(split_of(labels), 9), np.arange(9))


def test_without_labels_they_are_evenly_spaced():
    split = Split(np.zeros((100, 8, 8, 1), np.uint8), None, is_train=False)
    np.testing.assert_array_equal(shown.some(split, 5), [0, 20, 40, 60, 80])
    for count in (100, 1000):
        np.testing.assert_array_equal(shown.some(split, count), np.arange(100))


def test_images_are_those_of_the_indices():
    split = split_of(by_class(100, 100))
    for chosen in ([3, 50, 199], [7, 8, 9], [4]):
        images = shown.float_images(split, np.array(chosen))
        np.testing.assert_array_equal(images[:, 0, 0, 0], np.float32(chosen) / np.float32(255))


@recycled
def make():
    model = mvae_tf.MixtureVAE((8, 8, 1), 2, 3, (8,), seed=0)
    model.compile(optimizer="sgd")
    return model


def one_epoch(board):
    board.set_model(make())
    board.on_train_begin()
    board.on_epoch_begin(0)
    board.on_epoch_end(0, {"loss": 1.5})
    board.on_train_end()


def thumbnails(folder, count):
    """The thumbnails as TensorBoard's page finds them: the row is index // rows of the sheet."""
    config = (folder / "train" / "projector_config.pbtxt").read_text()
    assert "single_image_dim: 8" in config
    sheet = np.asarray(Image.open(folder / "train" / "projector" / "images.png"))
    rows, columns = sheet.shape[0] // 8, sheet.shape[1] // 8
    corners = [(8 * (index // rows), 8 * (index % columns)) for index in range(count)]
    return [sheet[top : top + 8, left : left + 8] for top, left in corners]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 150])  # of 150, a sheet of 13 x 12 was wrong
def test_the_page_finds_each_codes_thumbnail(count, tmp_path):
    one_epoch(TensorBoard(tmp_path, split_of(np.zeros(count, int)), images=1, codes=count))
    for index, thumbnail in enumerate(thumbnails(tmp_path, count)):
        np.testing.assert_array_equal(thumbnail, np.full((8, 8), index))


def test_tensorboard_shows_all_classes_by_name(tmp_path, monkeypatch):
    drawn = []
    draw = plots.image_rows
    monkeypatch.setattr(plots, "image_rows", lambda *args: drawn.append(args) or draw(*args))
    names = ["cats", "dogs\tand \n wolves", b"b\xe9".decode(errors="surrogateescape")]
    split = split_of(by_class(40, 40, 40))
    one_epoch(TensorBoard(tmp_path, split, images=3, codes=6, class_names=names))
    expected = [0, 20, 40, 60, 80, 100]
    found = [int(thumbnail[0, 0]) for thumbnail in thumbnails(tmp_path, 6)]
    assert found == expected
    labels = (tmp_path / "train" / "projector" / "labels.tsv").read_text("utf-8").splitlines()
    assert labels == ["cats"] * 2 + ["dogs and wolves"] * 2 + ["b?"] * 2
    (rows, _, notes), *_ = drawn
    np.testing.assert_array_equal(rows[0][:, 0, 0, 0], np.float32([0, 40, 80]) / np.float32(255))
    assert notes[0] == "MSE\nof these"
    error = np.sum((rows[1] - rows[0]) ** 2) / 3
    assert notes[1] == f"{error:.1f}"


def test_labels_without_a_name_are_their_numbers(tmp_path):
    board = TensorBoard(tmp_path, split_of([5, -1, 0]), class_names=["zero", "one"])
    one_epoch(board)
    labels = (tmp_path / "train" / "projector" / "labels.tsv").read_text().split()
    assert labels == ["5", "-1", "zero"]
