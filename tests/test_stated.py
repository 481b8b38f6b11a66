"""What the scripts' texts judge, they judge by the rule: stored results with other numbers."""

import copy
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from support import ensembles, verdicts
from support.summaries import summary

FIGURES = Path(__file__).parent.parent / "figures"
NOISE = np.array([0.0, 0.03, -0.02])  # of three seeds


def stored(name):
    return json.loads((FIGURES / f"{name}.json").read_text())


def around(value, noise=NOISE):
    return summary([value + each for each in noise])


def by_t_test(differences):
    """The rule by SciPy's own t test."""
    low, high = scipy.stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    return "supported" if low > 0 else "contradicted" if high < 0 else "undecided"


@pytest.mark.parametrize("vae", [9.0, 11.0, 10.02])
def test_table1s_mixture_with_the_largest_error(vae):
    result = stored("table1")
    largest = 10 + NOISE[::-1]
    for row in result["rows"]:
        if row["num_components"] == 1 and row["paper"]:
            row["mse"] = around(vae)
        elif row["paper"]:
            row["mse"] = around(5.0)
        else:
            row["mse"] = around(99.0)  # settings of our own are not judged
        row["seeds"] = list(range(len(NOISE)))
        row |= {name: around(1.0) for name in ("mse_sampled", "mse_per_pixel", "seconds")}
    result["rows"][1]["mse"] = summary(largest)
    expected = by_t_test(vae + NOISE - largest)
    text = importlib.import_module("table1").text(result)
    claim = "That every mixture has a lower error than the single VAE"
    assert f"{claim}: {expected}, in this reading (`paper_mnist`)." in text
    assert f"ahead by {np.mean(vae + NOISE - largest):.2f} (" in text


@pytest.mark.parametrize("mixture", [9.0, 11.0, 9.98])
def test_figure_2s_mixture_against_the_best_component_of_each_seed(mixture):
    result = stored("fig2_components")
    best = np.array([9.9, 10.0, 10.1])
    result["mse"] = {
        "Component 1": summary([9.9, 12, 12]),
        "Component 2": summary([12, 10.0, 12]),
        "Component 3": summary([12, 12, 10.1]),
        "Component 4": summary([12, 12, 12]),
        "Mixture": around(mixture),
    }
    expected = by_t_test(best - mixture - NOISE)
    text = importlib.import_module("fig2_components").text(result)
    assert f"than every component alone: {expected}, in this reading" in text
    assert "each seed's best has 10.00 ± 0.10,\nits worst 12.00 ± 0.00." in text
    assert "weight" not in text.split("A component alone")[0]  # the result is of before
    shares = {f"Component {k + 1}": summary(np.roll([0.7, 0.1, 0.1], k)) for k in range(3)}
    result["mean_weights"] = shares | {"Component 4": summary([0.1, 0.1, 0.1])}
    text = importlib.import_module("fig2_components").text(result)
    assert "each seed's best has 10.00 ± 0.10 (mean weight 0.700 ± 0.000),\n" in text
    assert "| Component 4 | 12.00 ± 0.00 | 0.100 ± 0.000 |\n" in text


@pytest.mark.parametrize("share", [0.5, 0.95, 0.9])
def test_beta_acts_where_it_lowers_dhsic_by_more_than_a_tenth(share):
    result = stored("ablation_dhsic")
    off = np.array([0.0100, 0.0110, 0.0105])
    on = share * off + [0, 1e-5, -1e-5]
    ablation = importlib.import_module("ablation_dhsic")
    result["rows"] = [
        {"setting": name, "seeds": [0, 1, 2]} | {each: around(1.0) for each in ablation.MEASURES}
        for name in ablation.ROWS
    ]
    rows = ablation.by_name(result)
    rows["0"]["dhsic"], rows["1"]["dhsic"] = summary(off), summary(on)
    rows["1000"]["mse"] = summary(2 + NOISE)
    rows["1000"]["knn"] = summary(0 - NOISE)
    text = ablation.text(result)
    assert f"by more than a tenth against beta = 0: {by_t_test(0.9 * off - on)}, in this" in text
    (line,) = (line for line in text.split("By how much")[1].splitlines() if "| 1000" in line)
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[2] == "1.00 (1.00 to 1.00), higher"
    low, high = scipy.stats.ttest_1samp(-2 * NOISE - 1, 0).confidence_interval(0.95)
    assert cells[3] == f"{np.mean(-2 * NOISE - 1):.2f} ({low:.2f} to {high:.2f}), lower"


def test_settings_of_other_seeds_are_held_against_beta_0_by_those_of_both():
    ablation = importlib.import_module("ablation_dhsic")
    result = stored("ablation_dhsic")
    result["rows"] = [
        {"setting": name, "seeds": seeds} | {each: summary(values) for each in ablation.MEASURES}
        for name, seeds, values in (
            ("0", [0, 1, 2], [10.0, 11.0, 12.5]),
            ("1", [2, 7, 0], [12.0, 99.0, 10.2]),
            ("100", [7], [3.0]),
            ("root", [1], [11.5]),
        )
    ]
    table, changes = ablation.text(result).split("By how much each measure is higher")
    lines = ([cell.strip() for cell in line.split("|")] for line in table.splitlines())
    cells = {line[1]: line for line in lines if len(line) > 1}
    measured = [12.0, 99.0, 10.2]
    assert cells["1"][2] == f"{np.mean(measured):.2f} ± {np.std(measured, ddof=1):.2f}"
    assert cells["1"][-2] == "3"
    assert cells["1000"][2:4] == ["not run", "-"] and cells["root"][-2] == "1"
    assert "10" not in cells  # neither run nor usual
    low, high = scipy.stats.ttest_1samp([-0.5, 0.2], 0).confidence_interval(0.95)
    assert f"| -0.15 ({low:.2f} to {high:.2f}), undecided |" in changes
    assert "| root" in changes and "| 100" not in changes and "| 1000" not in changes
    assert "beta = 1000 lowers the codes' dHSIC by more than a tenth against beta = 0: not" in table
    del result["rows"][0]
    assert "No row was run by the same seeds as beta = 0" in ablation.text(result)


def test_separate_vaes_are_not_paired_with_beta_0():
    ablation = importlib.import_module("ablation_dhsic")
    result = stored("ablation_dhsic")
    off, on = [10.0, 11.0, 12.5], [9.0, 9.4, 9.1]
    result["rows"] = [
        {"setting": name, "seeds": [0, 1, 2]} | {each: summary(of) for each in ablation.MEASURES}
        for name, of in (("0", off), (ablation.SEPARATE, on))
    ]
    text = ablation.text(result)
    low, high = scipy.stats.ttest_ind(on, off, equal_var=False).confidence_interval(0.95)
    assert f"| {np.mean(on) - np.mean(off):.2f} ({low:.2f} to {high:.2f}), undecided |" in text
    assert "Welch's interval" in text and "d = 20; VAEs: as many, trained separately." in text
    assert "Welch" not in ablation.text(result | {"rows": result["rows"][:1]})
    alone = ablation.text(result | {"rows": result["rows"][1:]})
    assert "No row was run by the same seeds as beta = 0" in alone
    # All seeds of both rows count; those of 0 and 4 have all VAEs in common.
    result["rows"][1]["seeds"] = [0, 4, 1]
    text = ablation.text(result)
    shared = ensembles.overlap([0, 4, 1], 4)
    assert shared == pytest.approx(1 / 3)
    expected = verdicts.unpaired([-v for v in off], [-v for v in on], shared)
    assert f"| {expected.told(2)}, undecided |" in text
    assert expected.half > (high - low) / 2


def test_a_setting_that_diverged_is_left_out_of_the_picture_alone():
    ablation = importlib.import_module("ablation_dhsic")
    result = stored("ablation_dhsic")
    ablation.by_name(result)["1"]["mse"] = summary([1.0, float("nan"), 2.0])
    (figure,) = ablation.pictures(result).values()
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert shown == [name for name in ablation.by_name(result) if name != "1"]
    assert "nan ± nan" in ablation.text(result)
    for row in result["rows"]:
        row["mse"] = summary([float("inf")])
    assert ablation.pictures(result) == {}


@pytest.mark.parametrize(("factor", "expected"), [(0.2, "supported"), (3.0, "contradicted")])
def test_a_reading_s_nearness_is_judged_by_both_tables(factor, expected):
    readings = importlib.import_module("ablation_readings")
    result = stored("ablation_readings")
    printed = {"mse": 12.49, "knn": 97.17}  # the mixture's: Table I's line at K = 4, Table II
    components = [96.39, 96.45, 96.56, 96.63]
    for vae in result["vaes"].values():
        vae["mse"], vae["knn"] = around(13.44), around(96.34)
    for row in result["rows"]:
        off = factor if readings.reading_of(row) == readings.READINGS[0] else 1.0
        row["mse"], row["knn"] = around(printed["mse"] + off), around(printed["knn"] - off)
        row["knn_components"] = [around(each - off) for each in components]
    assert f"than every other reading: {expected}, in this" in readings.text(result)
    near = copy.deepcopy(result)
    for row in near["rows"]:
        if readings.reading_of(row) == readings.READINGS[0]:
            row["mse"] = around(printed["mse"] + 0.2)
            row["knn"], row["knn_components"] = around(90.0), [around(90.0)] * 4
    # Near in one table and far in the other: contradicted.
    assert "than every other reading: contradicted, in this" in readings.text(near)
