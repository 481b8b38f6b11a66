"""The rule of the verdicts, against SciPy's and NumPy's own."""

import math

import numpy as np
import pytest
import scipy.stats

from support import summaries, verdicts
from support.verdicts import Interval

RNG = np.random.default_rng(0)
SEEDS = [RNG.normal(size=(2, count)) for count in (2, 3, 4, 5, 9, 10, 40)]


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 6, 7, 8, 29, 30, 101])
def test_quantile(freedom):
    expected = scipy.stats.t.ppf(0.975, freedom)
    assert verdicts.t_quantile(freedom) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("pair", SEEDS, ids=lambda pair: str(pair.shape[1]))
def test_interval_is_that_of_the_paired_t_test(pair):
    found = verdicts.interval(verdicts.minus(*pair.tolist()))
    expected = scipy.stats.ttest_rel(*pair).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(pair[0] - pair[1]))
    assert found.mean - found.half == pytest.approx(expected.low)
    assert found.mean + found.half == pytest.approx(expected.high)


def test_a_slope_over_two_settings_is_welch_s_difference():
    first, second = [1.0, 1.4, 1.1], [2.0, 2.9, 2.2, 2.5]
    found = verdicts.slope([4, 6], [first, second])
    expected = scipy.stats.ttest_ind(second, first, equal_var=False).confidence_interval()
    assert found.mean - found.half == pytest.approx(expected.low / 2)
    assert found.mean + found.half == pytest.approx(expected.high / 2)
    assert math.isinf(verdicts.slope([4, 6], [first, [2.0]]).half)
    assert math.isnan(verdicts.slope([4, 6], [first, [2.0, math.inf]]).mean)


def test_a_slope_s_interval_covers_as_often():
    settings, deviations = np.array([7, 8, 10]), np.array([[1.0], [0.2], [3.0]])
    drawn = 9 + 0.5 * settings[:, None] + deviations * RNG.normal(size=(4000, 3, 4))
    slopes = [verdicts.slope(settings.tolist(), each.tolist()) for each in drawn]
    assert np.mean([abs(s.mean - 0.5) < s.half for s in slopes]) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("count", "overlap"), [(3, 0.5), (4, 0.2), (10, 0.8)])
def test_interval_of_seeds_that_overlap_covers_as_often(count, overlap):
    """Of values correlated by as much, the interval covers the mean in 95 of 100 cases."""
    trials = 4000
    own, shared = RNG.normal(size=(trials, count)), RNG.normal(size=(trials, 1))
    values = 7 + math.sqrt(1 - overlap) * own + math.sqrt(overlap) * shared
    intervals = [verdicts.interval(row, overlap) for row in values.tolist()]
    covered = np.mean([abs(each.mean - 7) < each.half for each in intervals])
    assert covered == pytest.approx(0.95, abs=0.015)
    narrow = [verdicts.interval(row) for row in values.tolist()]
    assert np.mean([abs(each.mean - 7) < each.half for each in narrow]) < 0.92


@pytest.mark.parametrize("counts", [(3, 3), (2, 5), (10, 4)])
def test_interval_of_what_is_not_paired_is_welch_s(counts):
    one, other = (
        RNG.normal(size=count) * scale for count, scale in zip(counts, (1, 5), strict=True)
    )
    found = verdicts.unpaired(one.tolist(), other.tolist())
    expected = scipy.stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert found.mean - found.half == pytest.approx(expected.low)
    assert found.mean + found.half == pytest.approx(expected.high)
    assert found.count == min(counts)


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_interval_of_what_is_not_paired_covers_as_often_where_one_side_overlaps(scale):
    rng, overlap = np.random.default_rng(1), 0.47
    own, shared = rng.normal(size=(4000, 3)), rng.normal(size=(4000, 1))
    values = scale * (math.sqrt(1 - overlap) * own + math.sqrt(overlap) * shared)
    others = 7 + rng.normal(size=(4000, 3))
    pairs = list(zip(others.tolist(), values.tolist(), strict=True))
    intervals = [verdicts.unpaired(*pair, overlap) for pair in pairs]
    covered = np.mean([abs(each.mean - 7) < each.half for each in intervals])
    assert 0.945 < covered < 0.99  # with few seeds Welch's covers somewhat more than 95 %
    plain = [verdicts.unpaired(*pair) for pair in pairs[:200]]
    assert all(one.half > other.half for one, other in zip(intervals, plain, strict=False))
    if scale == 5.0:
        narrow = [verdicts.unpaired(*pair) for pair in pairs]
        assert np.mean([abs(each.mean - 7) < each.half for each in narrow]) < 0.9


@pytest.mark.parametrize(
    ("pair", "half"),
    [
        (([1.0], [0.0, 0.5]), math.inf),
        (([1.0, 1.5], [0.0]), math.inf),
        (([1.0, math.nan], [0.0, 0.5]), math.inf),
        (([1.0, 1.0], [0.5, 0.5]), 0.0),
        (([1e200, 3e200], [2e200, 2e200]), pytest.approx(1.27062e201, rel=1e-5)),
        (([1e-200, 3e-200], [2e-200, 2e-200]), pytest.approx(1.27062e-199, rel=1e-5)),
    ],
)
def test_of_one_seed_or_of_no_number_there_is_no_welch_interval(pair, half):
    found = verdicts.unpaired(*pair)
    assert found.half == half
    assert math.isnan(found.mean) == any(map(math.isnan, pair[0]))


def test_there_is_no_interval_of_one_seed_or_of_seeds_that_are_the_same():
    one = verdicts.interval([0.3])
    assert one == (0.3, math.inf, 1)
    alike = verdicts.interval([0.3, 0.5], overlap=1.0)
    assert alike == (pytest.approx(0.4), math.inf, 2)
    assert verdicts.verdict([alike]) == "undecided (seeds that are all alike)"
    assert verdicts.verdict([alike, one]) == "undecided (one seed)"


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_seed_without_a_finite_number_leaves_a_claim_undecided(count, wrong):
    found = verdicts.interval([*(1 + RNG.uniform(size=count - 1)), wrong])
    assert math.isnan(found.mean) and found.half == math.inf and found.told(2) == "nan"
    assert verdicts.verdict([Interval(1, 0.5), found]) == "undecided (no finite number)"
    assert verdicts.verdict([Interval(-1, 0.5), found]) == "contradicted"


@pytest.mark.parametrize("lowest", [True, False])
def test_of_what_is_no_number_nobody_knows_whether_it_is_the_best(lowest):
    for measured in ([[math.nan, 1], [2, 3]], [[2, 1], [math.nan, 3]]):
        first, second = verdicts.best(measured, lowest)
        assert math.isnan(first) and second == (1 if lowest else 3)


def test_summaries_of_what_is_no_number_say_so():
    found = summaries.summary([1.0, math.nan, 2.0])
    assert math.isnan(found["mean"]) and math.isnan(found["std"])
    assert summaries.format_summary(found, 2) == "nan ± nan"


def test_slopes_are_those_of_least_squares_lines():
    settings, measured = [7, 8, 10], RNG.normal(size=(3, 5))
    expected = np.polyfit(settings, measured, 1)[0]
    np.testing.assert_allclose(verdicts.slopes(settings, measured.tolist()), expected)


def test_the_best_is_chosen_for_each_seed():
    measured = [[1, 5, 2], [3, 4, 2]]
    assert verdicts.best(measured) == [3, 5, 2]
    assert verdicts.best(measured, lowest=True) == [1, 4, 2]


@pytest.mark.parametrize(
    ("comparisons", "expected"),
    [
        ([Interval(1, 0.9)], "supported"),
        ([Interval(1, 1)], "undecided"),
        ([Interval(-1, 0.9)], "contradicted"),
        ([Interval(-1, 1)], "undecided"),
        ([Interval(0, 0)], "undecided"),
        ([Interval(1, 0.9), Interval(2, 1)], "supported"),
        ([Interval(1, 0.9), Interval(2, 3)], "undecided"),
        ([Interval(1, 0.9), Interval(-2, 1)], "contradicted"),
        ([Interval(9, math.inf)], "undecided (one seed)"),
        ([Interval(-9, math.inf)], "undecided (one seed)"),
    ],
)
def test_verdict(comparisons, expected):
    assert verdicts.verdict(comparisons) == expected


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (Interval(1.0, 0.5), "higher"),
        (Interval(-1.0, 0.5), "lower"),
        (Interval(1.0, 1.5), "undecided"),
        (Interval(1.0, math.inf), "undecided (one seed)"),
    ],
)
def test_word_of_a_difference(difference, expected):
    assert verdicts.word(difference, "higher", "lower") == expected


def test_a_claim_is_stated_with_its_verdict_and_reading():
    certain, open_ = Interval(1.0, 0.5), Interval(1.0, 1.5)
    told = verdicts.stated("it rains", [certain, open_], "`authors_mnist`")
    assert told == "That it rains: undecided, in this reading (`authors_mnist`)."
    assert ": supported, in this reading (`paper_mnist`)." in verdicts.stated("it rains", [certain])


def test_of_no_comparison_there_is_no_verdict():
    with pytest.raises(ValueError, match="one or more comparisons"):
        verdicts.verdict([])


def test_intervals_as_text():
    assert Interval(0.5, 0.25).told(2) == "0.50 (0.25 to 0.75)"
    assert Interval(-0.5, 0.2).told(1) == "-0.5 (-0.7 to -0.3)"
    assert Interval(0.5, math.inf).told(3) == "0.500"
