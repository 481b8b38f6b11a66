"""scikit-learn's digits: small, bundled with it, and so always at hand."""

import numpy as np

from mvae_tf.datasets.splits import Dataset, array_digest, make_dataset

_TEST_COUNT = 297
_DIGEST = "e86d9a282b953c2f240d0f4ad7364cf92886685f9fafac0278af753c94172ff8"


def load() -> Dataset:
    """Load the 1,797 digits of 8 x 8 pixels: 1,500 to train on and 297 to test.

    The parts are fixed, and each class has its share of both, within one image.

    Returns:
        The `Dataset`: images uint8 [n, 8, 8, 1] (scikit-learn's 0 to 16 scaled to 0 to 255 and
        rounded), labels int64 [n].

    Raises:
        ValueError: the installed scikit-learn has other digits than those known here.
    """
    from sklearn.datasets import load_digits

    bundled = load_digits()
    images = np.rint(bundled.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bundled.target.astype(np.int64)

    # Every sixth or so of the images sorted by class: as stratified as can be. RandomState, unlike
    # default_rng, promises the same numbers for ever.
    shuffled = np.random.RandomState(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    chosen = by_class[np.arange(_TEST_COUNT) * len(labels) // _TEST_COUNT]
    in_test = np.isin(np.arange(len(labels)), chosen)

    arrays = (images[~in_test], labels[~in_test], images[in_test], labels[in_test])
    digest = array_digest(arrays)
    if digest != _DIGEST:
        raise ValueError(
            f"Expected scikit-learn's digits to have SHA-256 {_DIGEST}. Received: {digest}."
        )
    return make_dataset("digits", arrays, "scikit-learn's bundled digits", digest)
