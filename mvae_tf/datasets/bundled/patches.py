"""Patches of the two photographs bundled with scikit-learn: colour images without a download."""

import numpy as np

from mvae_tf.datasets.splits import Dataset, make_dataset

SIZE = 32
TRAIN_STRIDE = 10
TEST_STRIDE = 16
# A stripe down the middle of the photographs: in both of them it holds some of the subject and some
# of the background, as do the parts on its sides.
TEST_COLUMNS = slice(232, 408)
_PHOTO_SHAPE = (427, 640, 3)


def load() -> Dataset:
    """Load colour patches of 32 x 32 pixels, cut from `china.jpg` and `flower.jpg`.

    Of each photograph, 427 x 640 pixels, the 176 columns in the middle are for testing and the
    others for training, so that no pixel of a test patch is in any training patch. Training
    patches are cut every 10 pixels, 1,680 from a photograph; test patches every 16, 250 from a
    photograph. Their order is a fixed random one in which the photographs take turns.

    Returns:
        The `Dataset`: 3,360 training and 500 test images, uint8 [n, 32, 32, 3], and labels, int64
        [n]: 0 for china, 1 for flower.

    Raises:
        ValueError: the installed scikit-learn has other photographs than those known here.
    """
    from sklearn.datasets import load_sample_image

    photos = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    for photo in photos:
        # No digest is pinned, unlike that of the digits: two decoders of JPEG may differ by a
        # level here and there. The digest of the result tells such arrays apart.
        if photo.shape != _PHOTO_SHAPE or photo.dtype != np.uint8:
            raise ValueError(
                f"Expected scikit-learn's photographs as uint8 {list(_PHOTO_SHAPE)}. "
                f"Received: {photo.dtype} {list(photo.shape)}."
            )
    train, test = [], []
    for photo in photos:
        sides = (photo[:, : TEST_COLUMNS.start], photo[:, TEST_COLUMNS.stop :])
        train.append(np.concatenate([_cut(side, TRAIN_STRIDE) for side in sides]))
        test.append(_cut(photo[:, TEST_COLUMNS], TEST_STRIDE))
    arrays = (*_mixed(train), *_mixed(test))
    return make_dataset("patches", arrays, "patches of scikit-learn's bundled photographs")


def _cut(region: np.ndarray, stride: int) -> np.ndarray:
    """All patches [n, SIZE, SIZE, 3] of a region, row by row."""
    windows = np.lib.stride_tricks.sliding_window_view(region, (SIZE, SIZE), axis=(0, 1))
    chosen = windows[::stride, ::stride].transpose(0, 1, 3, 4, 2)
    return chosen.reshape(-1, SIZE, SIZE, 3)


def _mixed(patches: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, so that the first few already show what there is."""
    # RandomState, unlike default_rng, promises the same numbers for ever.
    order = np.random.RandomState(0).permutation(len(patches[0]))
    images = np.stack([each[order] for each in patches], axis=1).reshape(-1, SIZE, SIZE, 3)
    return images, np.tile(np.arange(len(patches), dtype=np.int64), len(order))
