import tracemalloc
import weakref

import numpy as np
import pytest
from scipy.stats import entropy

from mvae_tf.evaluation import image_scores
from mvae_tf.evaluation.image_scores import inception_score, score_of_probabilities

SHAPE = (4, 4, 1)


def random_probabilities(count, num_classes, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(num_classes, 0.3), size=count)


def direct(rows, splits):
    """Eq. 15 in float64, image by image."""
    count = len(rows)
    scores = []
    for index in range(splits):
        part = rows[index * count // splits : (index + 1) * count // splits]
        marginal = part.mean(axis=0)
        scores.append(np.exp(np.mean([entropy(row, marginal) for row in part])))
    return scores


def cut(rows, size):
    return (rows[start : start + size] for start in range(0, len(rows), size))


@pytest.mark.parametrize("splits", [1, 3, 10])
@pytest.mark.parametrize("count", [10, 137])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_agrees_with_the_formula_however_the_images_are_batched(splits, count, batch_size):
    rows = random_probabilities(count, 6)
    score = score_of_probabilities(cut(rows, batch_size), count=count, splits=splits)
    expected = direct(rows, splits)
    np.testing.assert_allclose(score.per_split, expected, rtol=1e-12)
    assert score.mean == pytest.approx(np.mean(expected), rel=1e-12)
    assert score.deviation == pytest.approx(np.std(expected), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("row", [[0.25] * 4, [0.7, 0.1, 0.1, 0.1], [1.0, 0.0, 0.0, 0.0]])
def test_the_same_prediction_for_all_images_gives_one(row):
    score = score_of_probabilities([np.tile(row, [60, 1])], count=60, splits=6)
    assert score.mean == pytest.approx(1, rel=1e-14)
    assert score.deviation == pytest.approx(0, abs=1e-14)
    assert min(score.per_split) >= 1


@pytest.mark.parametrize("num_classes", [1, 2, 10, 1000])
def test_certain_predictions_of_balanced_classes_give_the_number_of_classes(num_classes):
    rows = np.tile(np.eye(num_classes, dtype=np.float32), [6, 1])
    score = score_of_probabilities(cut(rows, 7), count=len(rows), splits=3)
    np.testing.assert_allclose(score.per_split, num_classes, rtol=1e-13)
    assert score.deviation == pytest.approx(0, abs=1e-9)


def test_each_split_has_its_own_marginal():
    """Two splits of one class each are worth 1; the same images as one split are worth 2."""
    rows = np.repeat(np.eye(2), 5, axis=0)
    assert score_of_probabilities([rows], count=10, splits=2).per_split == (1.0, 1.0)
    assert score_of_probabilities([rows], count=10, splits=1).mean == pytest.approx(2, rel=1e-14)


def test_deviation_is_the_population_one_over_splits():
    rows = np.concatenate([np.tile([0.5, 0.5], [4, 1]), np.tile(np.eye(2), [2, 1])])
    score = score_of_probabilities([rows], count=8, splits=2)
    np.testing.assert_allclose(score.per_split, [1, 2], rtol=1e-14)
    assert (score.mean, score.deviation) == (pytest.approx(1.5), pytest.approx(0.5))


def test_the_order_inside_a_split_does_not_matter_and_that_of_classes_neither():
    rows = random_probabilities(120, 5)
    rng = np.random.default_rng(1)
    shuffled = rng.permuted(np.arange(120).reshape(4, 30), axis=1).reshape(-1)
    score = score_of_probabilities([rows], count=120, splits=4)
    for other in (rows[shuffled], rows[:, rng.permutation(5)]):
        again = score_of_probabilities([other], count=120, splits=4)
        np.testing.assert_allclose(again.per_split, score.per_split, rtol=1e-12)


def test_float32_rows_are_scaled_to_sum_one_and_summed_in_float64():
    """Sums of 200,000 float32 values kept in float32 would be wrong in the third digit."""
    row = np.array([1e-7, 0.3, 0.7], np.float32)
    rows = np.tile(np.stack([row, row[::-1]]), [100_000, 1])
    exact = rows[:2].astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    score = score_of_probabilities(cut(rows, 1000), count=200_000, splits=1)
    assert score.mean == pytest.approx(direct(exact, 1)[0], rel=1e-10)


def test_images_are_classified_batch_by_batch():
    rows = random_probabilities(50, 3)
    images = np.arange(50, dtype=np.float32)[:, None, None, None] / 50 * np.ones(SHAPE)

    def classifier(batch):
        assert len(batch) <= 8 and batch.shape[1:] == SHAPE
        return rows[np.rint(batch[:, 0, 0, 0] * 50).astype(int)]

    score = inception_score(image_scores.in_batches(images, 8), classifier, count=50, splits=5)
    np.testing.assert_allclose(score.per_split, direct(rows, 5), rtol=1e-12)


def test_splits_of_a_dataset_come_as_floats(digits):
    batches = list(image_scores.in_batches(digits.test, 100))
    assert [len(batch) for batch in batches] == [100, 100, 97]
    np.testing.assert_array_equal(np.concatenate(batches), digits.test.float_images())


def test_a_batch_is_let_go_before_the_next_is_made():
    rows = random_probabilities(10, 3)
    alive = []

    def batches():
        for _ in range(20):
            assert not any(reference() is not None for reference in alive)
            images = np.zeros([10, *SHAPE], np.float32)
            alive.append(weakref.ref(images))
            yield images
            del images

    assert inception_score(batches(), lambda _: rows, count=200).mean >= 1


def test_memory_does_not_grow_with_the_number_of_images():
    def peak(num_batches):
        rows = random_probabilities(100, 50).astype(np.float32)
        tracemalloc.start()
        score_of_probabilities((rows.copy() for _ in range(num_batches)), count=100 * num_batches)
        return tracemalloc.get_traced_memory()[1], tracemalloc.stop()

    peak(5)
    assert peak(500)[0] < 1.1 * peak(5)[0]


@pytest.mark.parametrize(
    ("count", "splits", "message"),
    [
        (9, 10, "at least 10, the number of splits. Received: 9"),
        (0, 1, "count to be an integer of at least 1"),
        (20, 0, "splits to be an integer of at least 1"),
        (20, 2, "Expected 20 images. Received: 30 or more"),
        (31, 2, "Expected 31 images. Received: 30"),
    ],
)
def test_counts_that_do_not_fit_are_refused(count, splits, message):
    rows = random_probabilities(30, 3)
    with pytest.raises(ValueError, match=message):
        score_of_probabilities(cut(rows, 10), count=count, splits=splits)


def test_too_many_images_are_refused_without_waiting_for_an_end():
    def endless():
        while True:
            yield random_probabilities(10, 3)

    with pytest.raises(ValueError, match="Expected 25 images"):
        score_of_probabilities(endless(), count=25)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0.5, np.nan]], "finite probabilities"),
        ([[np.inf, 0.5]], "finite probabilities"),
        ([[1.2, -0.2]], "values from -0.2 to 1.2"),
        ([[0.5, 0.5], [0.5, 0.52]], "Received: sum 1.02"),
        ([[0.0, 0.0]], "Received: sum 0.0"),
        ([0.5, 0.5], r"shape \[b, C\], b at least 1. Received: shape \[2\]"),
        (np.zeros([0, 2]), r"Received: shape \[0, 2\]"),
        (np.zeros([2, 0]), r"Received: shape \[2, 0\]"),
    ],
)
def test_what_are_no_probabilities_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        score_of_probabilities([rows], count=2, splits=1)


def test_another_number_of_classes_midway_is_refused():
    with pytest.raises(ValueError, match=r"shape \[b, 3\].*Received: shape \[5, 4\]"):
        score_of_probabilities(
            [random_probabilities(5, 3), random_probabilities(5, 4)], count=10, splits=1
        )


def test_a_classifier_must_answer_for_each_image():
    with pytest.raises(ValueError, match="each of 4 images. Received: 3 rows"):
        inception_score(
            [np.zeros([4, *SHAPE])], lambda _: random_probabilities(3, 2), count=4, splits=1
        )


def test_batch_size_of_in_batches_is_checked():
    with pytest.raises(ValueError, match="batch_size"):
        list(image_scores.in_batches(np.zeros([4, *SHAPE]), 0))
