import tracemalloc
import warnings

import numpy as np
import pytest
import sklearn.datasets
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from mvae_tf.evaluation import classifiers


@pytest.fixture(scope="module")
def digits():
    """Codes and labels for training and for testing."""
    codes, labels = sklearn.datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(codes))
    codes, labels = (codes[order] / 4).astype(np.float32), labels[order]
    return codes[:1300], labels[:1300], codes[1300:], labels[1300:]


@pytest.fixture(scope="module")
def few(digits):
    """The same of which fewer are for training, where how well it goes doesn't matter."""
    train_codes, train_labels, *test = digits
    return train_codes[:300], train_labels[:300], *test


@pytest.fixture(scope="module")
def reference(digits):
    """The accuracy in % of linear discriminants."""
    classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.01).fit(*digits[:2])
    return 100 * classifier.score(*digits[2:])


def nearest_neighbours(train_codes, train_labels, test_codes, count=5):
    """Majority of the nearest, the smallest class where several are as frequent."""
    squared = ((test_codes[:, None] - train_codes[None]) ** 2).sum(-1)
    nearest = train_labels[np.argsort(squared, axis=1, kind="stable")[:, :count]]
    return np.array([np.bincount(row).argmax() for row in nearest])


def test_knn_agrees_with_brute_force():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=[3, 4])
    train_labels, test_labels = rng.integers(3, size=200), rng.integers(3, size=60)
    train_codes = centres[train_labels] + rng.normal(size=[200, 4])
    test_codes = centres[test_labels] + rng.normal(size=[60, 4])
    train_codes[:, 0] *= 10  # as they are: not standardised
    test_codes[:, 0] *= 10
    expected = nearest_neighbours(train_codes, train_labels, test_codes)
    classifier = classifiers.fit("KNN", train_codes, train_labels)
    np.testing.assert_array_equal(classifier.predict(test_codes.astype(np.float32)), expected)
    accuracy = classifiers.accuracy("KNN", train_codes, train_labels, test_codes, test_labels)
    assert accuracy == pytest.approx(100 * np.mean(expected == test_labels))
    assert 40 < accuracy < 100


def test_knn_makes_no_copy_of_mapped_codes(tmp_path):
    count = 40_000
    codes = np.lib.format.open_memmap(tmp_path / "codes.npy", "w+", np.float32, (count, 256))
    codes[:, 0] = np.arange(count) // 10_000
    labels = np.arange(count) // 20_000
    codes = np.load(tmp_path / "codes.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        accuracy = classifiers.accuracy("KNN", codes, labels, codes[::2000], labels[::2000])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert accuracy == 100
    assert peak < codes.nbytes / 8


def test_test_codes_are_classified_in_parts(digits, monkeypatch):
    train_codes, train_labels, test_codes, test_labels = digits
    whole = classifiers.accuracy("KNN", *digits)
    monkeypatch.setattr(classifiers, "_AT_A_TIME", 100)
    assert classifiers.accuracy("KNN", *digits) == whole
    test_codes = test_codes.copy()
    test_codes[-1, -1] = np.nan
    with pytest.raises(ValueError, match="test codes to be finite"):
        classifiers.accuracy("KNN", train_codes, train_labels, test_codes, test_labels)


@pytest.mark.parametrize("name", classifiers.CLASSIFIERS)
def test_is_as_good_as_linear_discriminants_without_a_warning(digits, reference, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accuracy = classifiers.accuracy(name, *digits)
    assert accuracy > reference - 2
    assert accuracy < 100


@pytest.mark.parametrize("name", ["MLP", "Linear SVM"])
def test_standardised_codes_may_have_any_scale(digits, name):
    train_codes, train_labels, test_codes, test_labels = digits
    scale = np.float32(2.0) ** np.arange(-8, 8).repeat(4)
    scaled = train_codes * scale, train_labels, test_codes * scale, test_labels
    plain = classifiers.accuracy(name, *digits)
    assert classifiers.accuracy(name, *scaled) == pytest.approx(plain, abs=0.5)


@pytest.mark.parametrize("name", classifiers.CLASSIFIERS)
def test_nothing_is_chosen_on_test_labels(few, name):
    """Other test labels, same predictions: accuracy falls to chance."""
    train_codes, train_labels, test_codes, test_labels = few
    predicted = classifiers.fit(name, train_codes, train_labels, seed=1).predict(test_codes)
    shuffled = np.random.default_rng(0).permutation(test_labels)
    for labels in (test_labels, shuffled):
        accuracy = classifiers.accuracy(name, train_codes, train_labels, test_codes, labels, seed=1)
        assert accuracy == 100 * np.mean(predicted == labels)
    assert accuracy == pytest.approx(10, abs=5)


@pytest.mark.parametrize("name", classifiers.CLASSIFIERS)
def test_same_seed_same_accuracy(few, name):
    accuracies = {classifiers.accuracy(name, *few, seed=seed) for seed in (-3, -3)}
    assert len(accuracies) == 1


def test_regularisation_is_chosen_on_training_codes():
    """Where classes overlap and codes are few, the smallest weights do best."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=120)
    codes = rng.normal(size=[120, 60]) + 0.3 * labels[:, None]
    chosen = classifiers.fit("Linear SVM", codes, labels).best_params_["linearsvc__C"]
    assert chosen == 0.01


def test_every_classifier_is_described():
    assert set(classifiers.DESCRIPTIONS) == set(classifiers.CLASSIFIERS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "SVM"}, "Received: 'SVM'"),
        ({"train_codes": np.zeros([40], "f4")}, r"training codes to be floats of shape \[n, d\]"),
        ({"train_codes": np.zeros([40, 2], "f4")}, "one width. Received: 2 and 3"),
        ({"train_codes": np.zeros([40, 3], int)}, "training codes to be floats"),
        ({"train_codes": np.full([40, 3], np.nan)}, "training codes to be finite"),
        ({"train_labels": np.zeros([39], int)}, "training labels to be 40 integers"),
        (
            {"train_labels": np.zeros([40], int), "test_labels": np.zeros([4], int)},
            "two or more classes.*Received: {0: 40}",
        ),
        ({"train_labels": np.arange(40) // 35}, "10 training codes each"),
        ({"train_labels": np.zeros([40])}, "training labels to be 40 integers"),
        ({"test_codes": np.zeros([0, 3])}, "test codes to be floats"),
        ({"test_codes": np.ma.masked_greater(np.eye(4, 3), 0.5)}, "test codes .* is masked"),
        ({"test_labels": np.ma.masked_greater(np.arange(4), 2)}, "test labels .* is masked"),
        ({"test_codes": np.full([4, 3], np.inf)}, "test codes to be finite"),
        ({"test_labels": np.zeros([4, 1], int)}, "test labels to be 4 integers"),
        ({"test_labels": np.array([0, 1, 7, 8])}, r"Received: \[7, 8\] in the test labels alone"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_refuses_what_it_cannot_use(changes, message):
    arguments = {
        "name": "KNN",
        "train_codes": np.zeros([40, 3], np.float32),
        "train_labels": np.arange(40) % 2,
        "test_codes": np.zeros([4, 3], np.float32),
        "test_labels": np.array([0, 1, 0, 1]),
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        classifiers.accuracy(**arguments)
