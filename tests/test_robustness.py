"""Claims judged otherwise than by the rule, against SciPy and NumPy."""

import numpy as np
import pytest
import scipy.stats
from test_claims import dhsic, errors, fig4, of, table1, table2
from test_report import ALL, run_all

from support import claims, robustness, verdicts

WITH_VAE = {7: 9.0, 8: 9.1, 10: 8.8, 1: 11.0}


def seeds(value):
    """Three seeds' values, whose differences from another's differ."""
    return of(value + 0.1, 1.1 * value, 0.9 * value - 0.2)


def ends(interval):
    return interval.mean - interval.half, interval.mean + interval.half


def welch(first, second):
    return scipy.stats.ttest_ind(first, second, equal_var=False).confidence_interval()


def paired(first, second):
    return scipy.stats.ttest_rel(first, second).confidence_interval()


def test_the_fall_at_means_and_at_draws_alone():
    result = table1(WITH_VAE, seeds, sampled=WITH_VAE | {7: 12.0})
    found = robustness.error_falls(result)
    assert list(found) == ["at posterior means alone", "at draws alone", "not paired by seed"]
    for how, errors_of in (("at posterior means alone", 9.0), ("at draws alone", 12.0)):
        values = [seeds(each)["per_seed"] for each in (errors_of, 9.1, 8.8)]
        falls = [-np.polyfit([7, 8, 10], each, 1)[0] for each in np.transpose(values)]
        expected = scipy.stats.ttest_1samp(falls, 0).confidence_interval()
        (interval,) = found[how]
        assert ends(interval) == pytest.approx(expected)


def test_trends_not_paired():
    """As an estimate of a contrast of means, each with a variance of its own."""
    values = np.array([[96.0, 96.3, 96.1], [96.5, 96.2, 96.6], [96.4, 97.0, 96.9]])
    for found, sign in (
        (robustness.error_falls(table1(dict(zip((7, 8, 10), values, strict=True)), row_of)), -1),
        (robustness.accuracy_grows(fig4(*values, of=row_of)), 1),
    ):
        interval = found["not paired by seed"][0]
        k = np.array([7, 8, 10] if sign < 0 else [4, 5, 6])
        weights = (k - k.mean()) / np.sum((k - k.mean()) ** 2)
        variances = weights**2 * values.var(axis=1, ddof=1) / 3
        freedom = variances.sum() ** 2 / np.sum(variances**2 / 2)
        half = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum())
        mean = sign * np.polyfit(k, values.mean(axis=1), 1)[0]
        assert ends(interval) == pytest.approx((mean - half, mean + half))


def row_of(values):
    return of(*np.broadcast_to(values, 3).tolist())


def test_mixtures_beside_the_vae_at_draws_and_not_paired():
    sampled = {7: 12.0, 8: 10.0, 10: 9.5, 1: 15.0}
    found = robustness.mixtures_beat_vae(table1(WITH_VAE, seeds, sampled))
    (drawn,), (unpaired,) = found["at draws alone"], found["not paired by seed"]
    assert ends(drawn) == pytest.approx(paired(seeds(15.0)["per_seed"], seeds(12.0)["per_seed"]))
    assert ends(unpaired) == pytest.approx(welch(seeds(11.0)["per_seed"], seeds(9.1)["per_seed"]))


def test_four_components_beside_the_vae_not_paired():
    mixture, vae, drawn = of(9.0, 9.2, 9.3), of(10.0, 10.3, 9.9), of(13.0, 12.0, 14.0)
    means, draws = robustness.mixture_beats_vae(errors(mixture, vae, drawn))["not paired by seed"]
    assert ends(means) == pytest.approx(welch(vae["per_seed"], mixture["per_seed"]))
    assert ends(draws) == pytest.approx(welch(drawn["per_seed"], mixture["per_seed"]))


def test_joined_codes_not_paired_and_by_other_neighbours():
    mixture, component, vae = of(97.0, 97.2, 97.3), of(96.0, 96.9, 96.1), of(96.5, 96.4, 96.6)
    result = table2(mixture, component, vae)
    at_one = {name: of(*(v - 1 for v in column["per_seed"])) for name, column in
              {"Mixture": component, "C1": mixture, "VAE": vae}.items()}  # fmt: skip
    result["neighbours"] = {str(count): at_one for count in (1, 3, 5, 7, 10, 15)}
    found = robustness.joined_codes(result)
    assert list(found)[:3] == [
        *("not paired by seed", "by KNN alone, 1 neighbour", "by KNN alone, 3 neighbours")
    ]
    assert len(found) == 6  # but for the table's own, 5
    best = [96.5, 96.9, 96.6]
    assert ends(found["not paired by seed"][1]) == pytest.approx(welch(mixture["per_seed"], best))
    (behind,) = found["by KNN alone, 1 neighbour"]
    assert ends(behind) == pytest.approx(paired(component["per_seed"], mixture["per_seed"]))


def test_dhsic_not_paired():
    off, on = of(0.010, 0.012, 0.011), of(0.004, 0.003, 0.005)
    (lowered,) = robustness.dhsic_separates(dhsic(off, on))["not paired by seed"]
    assert ends(lowered) == pytest.approx(welch(np.multiply(off["per_seed"], 0.9), on["per_seed"]))
    no_seed_in_common = dhsic(off, of(0.1), b1=[9])
    assert claims.judged_otherwise(claims.CLAIMS[6], no_seed_in_common) == []


def test_what_was_not_run_is_not_judged():
    without = {"K = 8": {7: 9.0, 10: 8.8, 1: 11.0}, "VAE": {7: 9.0, 8: 9.1, 10: 8.8}}
    falls, beats = claims.CLAIMS[:2]
    assert claims.judged_otherwise(falls, table1(without["K = 8"], seeds)) == []
    assert claims.judged_otherwise(beats, table1(without["K = 8"], seeds)) == []
    assert len(claims.judged_otherwise(falls, table1(without["VAE"], seeds))) == 3
    assert claims.judged_otherwise(beats, table1(without["VAE"], seeds)) == []
    for claim, ways in ((falls, 3), (beats, 2)):
        assert len(claims.judged_otherwise(claim, table1(WITH_VAE, seeds))) == ways
        # Of one seed there is nothing to judge.
        assert claims.judged_otherwise(claim, table1(WITH_VAE, of)) == []


def test_a_training_that_diverged_is_undecided_otherwise_too():
    result = table1(WITH_VAE, seeds)
    result["rows"][0]["mse_sampled"] = of(9.0, float("nan"), 9.1)
    judged = claims.judged_otherwise(claims.CLAIMS[0], result)
    means, draws, unpaired = (verdict for _, verdict, _ in judged)
    assert "finite" not in means and draws == unpaired == "undecided (no finite number)"


def test_a_part_of_one_seed_does_not_hide_the_others():
    whole = claims.Claim("", "it", lambda result: ("", ""), otherwise=lambda result: {
        "so": [verdicts.interval([1.0, 1.1]), verdicts.interval([1.0])]})  # fmt: skip
    assert claims.judged_otherwise(whole, {})[0][1] == "undecided (one seed)"


def test_the_report_has_them_below_the_scorecard(tmp_path):
    report = run_all(ALL.parent.parent / "figures", "--preset=paper", "--only_print").stdout
    judged = [line for line in report.splitlines() if "| not paired by seed " in line]
    assert len(judged) >= 4
    quick = run_all(ALL.parent.parent / "figures" / "quick", "--preset=quick", "--only_print")
    assert "not paired" not in quick.stdout  # of one seed
