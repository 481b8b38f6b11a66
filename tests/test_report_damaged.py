"""What the report and the scripts' states make of stored results that are damaged, or of others."""

import functools
import json
import operator
import re

import pytest
from test_report import ALL, STORED, run_all

from mvae_tf.training.version import TRAINING_VERSION


def _without(*path):
    """Return what takes a part away, which a judge would not miss."""

    def damage(result):
        *places, last = path
        del functools.reduce(operator.getitem, places, result)[last]

    return damage


def without(*path):
    """Return a stored result that lacks what is there by these names."""
    result = json.loads(STORED)
    _without(*path)(result)
    return json.dumps(result)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", '{"rows": []}', "[]", without("rows"), without("preset"), without("dataset")),
        *(without("rows", 0, "mse"), without("settings", "seeds"), without("environment")),
        without("settings", "training", "precision"),
    ],
    ids=range(11),
)
def test_a_result_that_cannot_be_told_is_called_damaged(tmp_path, content):
    (tmp_path / "table1.json").write_text(content)
    finished = run_all(tmp_path, "--only_print")
    assert finished.returncode == 0, finished.stderr
    assert "damaged  table1\n" in finished.stdout
    assert "## table1\n\nDamaged, or of another version of its script" in finished.stdout
    assert "Not run yet: `python reproduce/table1.py" not in finished.stdout


def _of_other_seeds(result):
    result["settings"]["seeds"] = [0]


def _of_fewer_values(result):
    result["errors"]["M-VAE"]["mse"]["per_seed"].pop()


def _of_another_mean(result):
    result["errors"]["M-VAE"]["mse"]["mean"] = 0.5


def _of_a_row_twice(result):
    result["rows"].append(result["rows"][0])


def _with(**values):
    return lambda result: result.update(values)


def _of_a_k_of_another_name(result):
    result["accuracy"]["1000"] = result["accuracy"].pop("10")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("table2", _of_other_seeds),
        ("table2", _of_fewer_values),
        ("table2", _of_another_mean),
        ("table1", _of_a_row_twice),
        ("fig4_components_sweep", _without("accuracy", "7")),
        ("fig4_components_sweep", _of_a_k_of_another_name),
        ("fig2_components", _without("mse", "Component 1")),
        ("table2", _without("accuracy", "MLP")),
        ("table2", _without("accuracy", "KNN", "C2")),
        ("ablation_dhsic", _without("rows", "root")),
        ("controls", _without("rows", 0, "models", "VAE, KL weight 1/K")),
        ("table1", _with(training_version="banana")),
        ("table1", _with(training_version=TRAINING_VERSION + 1)),
        ("table1", _with(preset="banana")),
        ("table1", _with(choices=None)),
        ("table1", _with(complete=None)),
        ("table1", _with(more=functools.reduce(lambda inner, _: [inner], range(700), 0))),
        ("table1", _with(command="\ud800")),
    ],
)
def test_what_a_script_calls_damaged_is_neither_judged_nor_made_anew(tmp_path, name, damage):
    result = json.loads((ALL.parent.parent / "figures" / f"{name}.json").read_text())
    damage(result)
    (tmp_path / f"{name}.json").write_text(json.dumps(result))
    finished = run_all(tmp_path, "--preset=paper", "--only_print")
    assert f"damaged  {name}\n" in finished.stdout, finished.stderr
    assert not re.search(r"\| (supported|contradicted) +\|", finished.stdout)


@pytest.mark.parametrize(
    ("stored", "changes", "place"),
    [
        ("table1.json", {}, "authors_mnist/table1.json"),
        ("table1.json", {"reading": "authors_mnist"}, "table1.json"),
        ("short/controls.json", {}, "controls.json"),
        ("controls.json", {}, "short/controls.json"),
        ("quick/table1.json", {}, "table1.json"),
    ],
)
def test_a_result_of_another_reading_or_preset_is_not_judged(tmp_path, stored, changes, place):
    result = json.loads((ALL.parent.parent / "figures" / stored).read_text()) | changes
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps(result))
    finished = run_all(tmp_path, "--preset=paper", "--only_print")
    assert finished.returncode == 0, finished.stderr
    assert not re.search(r"\| (supported|contradicted|undecided).* \|", finished.stdout)
    assert "damaged, or of another preset or reading" in finished.stdout


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("authors_mnist/table1.json", r"damaged, or of another preset or reading \|"),
        ("short/controls.json", r"short/controls.json: damaged, or of another preset"),
        ("explain_print.json", r"## explain_print\n\nDamaged, or of another version"),
    ],
)
def test_damage_of_results_beside_those_of_the_scripts_is_told(tmp_path, place, told):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("{")
    finished = run_all(tmp_path, "--preset=paper", "--only_print")
    assert re.search(told, finished.stdout), finished.stderr


def test_a_result_that_is_a_folder_is_damaged_too(tmp_path):
    (tmp_path / "table1.json").mkdir()
    assert "damaged  table1\n" in run_all(tmp_path, "--only_print").stdout
