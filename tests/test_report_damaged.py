"""What the report and the scripts' states make of stored results that are damaged, or of others."""

import functools
import importlib
import json
import operator
import re
import subprocess
import sys

import pytest
from test_report import ALL, STORED, run_all

import table2
from mvae_tf.training.version import TRAINING_VERSION
from support import results
from support.summaries import summary

FIGURES = ALL.parent.parent / "figures"


def stored_result(name):
    return json.loads((FIGURES / f"{name}.json").read_text())


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


def test_a_report_of_damaged_results_is_written_but_no_success(tmp_path):
    (tmp_path / "table1.json").write_text("{")
    finished = run_all(tmp_path, "--only_report")
    assert finished.returncode == 1
    assert "Damaged, or of another version of its script: table1." in finished.stderr
    assert "## table1\n\nDamaged" in (tmp_path / "REPORT.md").read_text()


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


def _cut(*path):
    """Return what leaves of a summary the first seed alone, as if it had no others."""

    def damage(result):
        summary = functools.reduce(operator.getitem, path, result)
        first = summary["per_seed"][0]
        summary.update(mean=first, std=None, per_seed=[first])

    return damage


def _put(value, *path):
    """Return what puts another value in a place."""

    def damage(result):
        *places, last = path
        functools.reduce(operator.getitem, places, result)[last] = value

    return damage


def _of_two_seeds_but(*path):
    """Return what makes a second seed of the first, in all but one measure."""

    def doubled(value):
        if isinstance(value, dict) and "per_seed" in value:
            return summary(value["per_seed"] * 2)
        if isinstance(value, dict):
            return {name: doubled(each) for name, each in value.items()}
        return [doubled(each) for each in value] if isinstance(value, list) else value

    def damage(result):
        whole = doubled(result)
        whole["settings"]["seeds"] = [0, 1]
        results.require_usable("ablation_readings", whole, "it")
        result.update(whole)
        _cut(*path)(result)

    return damage


def _of_another_choice(result):
    result["chosen"] = {"model": {"activation": "tanh"}, "protocol": {}}


def _of_a_k_of_another_name(result):
    result["accuracy"]["1000"] = result["accuracy"].pop("10")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("table2", _of_fewer_values),
        ("table1", _with(rows=[])),
        ("table1", _with(training_version=TRAINING_VERSION + 1)),
        ("table1", _with(more=functools.reduce(lambda inner, _: [inner], range(700), 0))),
        ("table1", _with(reading="banana")),
    ],
)
def test_what_a_script_calls_damaged_is_neither_judged_nor_made_anew(tmp_path, name, damage):
    result = stored_result(name)
    damage(result)
    (tmp_path / f"{name}.json").write_text(json.dumps(result))
    finished = run_all(tmp_path, "--preset=paper", "--only_print")
    assert f"damaged  {name}\n" in finished.stdout, finished.stderr
    assert not re.search(r"\| (supported|contradicted) +\|", finished.stdout)


def _as_of(other):
    """Put another script's result in its place."""

    def damage(result):
        result.clear()
        result |= stored_result(other)

    return damage


def _of_a_trial(name, value):
    """Put another number in place of one from which a trial's score was computed."""
    return lambda result: result["trials"][3].update({name: summary([value])})


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("table2", _of_other_seeds),
        ("table2", _of_another_mean),
        ("table1", _of_a_row_twice),
        ("fig4_components_sweep", _cut("accuracy", "10")),
        ("fig4_components_sweep", _cut("vae")),
        ("table2", _cut("neighbours", "15", "Mixture")),
        ("table2", _cut("log_likelihood", "VAE")),
        ("table2", _without("errors", "M-VAE", "mse", "per_seed")),
        ("table2", _without("errors", table2.BEST)),
        ("table2", _without("accuracy", "KNN", table2.BEST)),
        ("table2", _without("neighbours", "5", table2.BEST)),
        ("table2", _without("neighbours", "5")),
        ("table2", _without("log_likelihood", "VAE")),
        ("table2", _put(None, "log_likelihood", "VAE")),
        ("table2", _without("classifiers", "KNN")),
        ("table3", _without("rows", 0, "score_samples")),
        ("table3", _put("many", "rows", 0, "epochs")),
        ("table3", _without("rows", -2, "linear")),
        ("table3", _without("linear", 0)),
        ("fig1_reconstructions", _with(images=[])),
        ("fig5_cifar10", _with(images=list(range(9)))),
        ("fig5_cifar10", _with(images="abc")),
        ("fig3_latents", _without("between_digits", "VAE")),
        ("fig3_latents", _without("mean_weights", "Component 1")),
        ("search_mnist", _with(trials=[])),
        ("search_mnist", _with(chosen={})),
        ("search_mnist", _without("chosen", "protocol")),
        ("search_mnist", _without("trials", 3)),
        ("search_mnist", _put("7", "trials", 1, "model")),
        ("search_mnist", _of_another_choice),
        ("search_vae", _of_another_choice),
        ("search_vae", _put(True, "num_components")),
        ("search_vae", _as_of("search_mnist")),
        ("search_mnist", _as_of("search_vae")),
        ("search_mnist", _put(4.0, "num_components")),
        ("search_mnist", _of_a_trial("knn", 10.0)),
        ("search_cifar10", _put(4.0, "searches", 0, "num_components")),
        ("fig4_components_sweep", _put(None, "classifier")),
        ("search_cifar10", _with(searches=[])),
        ("search_cifar10", _without("searches", 0, "chosen", "model")),
        ("fig4_components_sweep", _without("accuracy", "7")),
        ("fig4_components_sweep", _of_a_k_of_another_name),
        ("fig2_components", _without("mse", "Component 1")),
        ("table2", _without("accuracy", "MLP")),
        ("table2", _without("accuracy", "KNN", "C2")),
        ("ablation_dhsic", _without("rows", 1, "cka")),
        ("ablation_dhsic", _without("rows", 0, "setting")),
        ("ablation_dhsic", _put("banana", "rows", 0, "setting")),
        ("ablation_readings", _without("rows", 0, "mse_components", 2)),
        ("ablation_readings", _put([], "rows", 0, "weights")),
        ("readings_heldout", _put([], "vaes", "gaussian", "knn_components")),
        ("ablation_readings", _without("vaes", "bernoulli")),
        ("ablation_readings", _of_two_seeds_but("vaes", "gaussian", "mse_sampled")),
        ("controls", _without("rows", 0, "models", "VAE, KL weight 1/K")),
        ("controls", _without("rows", 0, "models", "its components alone", "KNN")),
        ("controls", _put({}, "rows", 0, "models", "its components alone")),
        ("controls", _without("rows", 0, "models", "VAE", "mse_sampled")),
        ("controls_sweep", _without("ensembles", "7")),
        ("controls_sweep", _cut("ensembles", "10", "KNN")),
        ("explain_print", _without("rows", 0, "errors", "means")),
        ("explain_print", _without("rows", 0, "one_batch", "means")),
        ("explain_print", _without("rows", 0, "accuracy", "means_mlp_as_published")),
        ("explain_print", _without("rows", 0, "rise", "sampled")),
        ("table1", _put([], "rows", 0, "epochs")),
        ("table1", _put(7, "dataset", "digest")),
        ("table1", _put(-5, "dataset", "test_images")),
        ("table1", _put(7, "settings", "training", "precision")),
        ("table1", _with(elapsed_seconds=-1.0)),
        ("table1", _with(machines="2 cores")),
        ("fig2_components", _with(machines=[["a"]])),
        ("table1", _with(command=["x"])),
        ("table1", _with(command="\ud800")),
        ("table1", _with(training_version="banana")),
        ("table1", _with(preset="banana")),
        ("table1", _with(reading=7)),
        ("table1", _with(choices={"banana": 1})),
        ("table1", _with(choices={"split": "banana"})),
        ("table1", _with(choices={"strategy": 7})),
        ("table1", _with(choices=None)),
        ("table1", _with(complete=None)),
    ],
)
def test_nobody_takes_a_result_of_which_a_part_is_missing_or_wrong(name, damage):
    result = stored_result(name)
    results.require_usable(name, result, name)
    damage(result)
    with pytest.raises(results.DAMAGED):
        results.require_usable(name, result, name)


@pytest.mark.parametrize("path", sorted(FIGURES.rglob("*.json")), ids=lambda path: path.stem)
def test_the_order_of_names_in_a_file_is_not_that_of_a_table(path):
    result = json.loads(path.read_text())
    text = importlib.import_module(path.stem).text
    told, expected = (
        re.sub(".*(Chosen:|K = [0-9]+:) .*", "", text(each))  # settings, each with its name
        for each in (json.loads(json.dumps(result, sort_keys=True)), result)
    )
    assert told == expected


@pytest.mark.parametrize("flag", ["--only_print", "--add"])
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("fig4_components_sweep", _cut("accuracy", "10")),
        ("table3", _without("rows", 0, "score_samples")),
    ],
)
def test_a_script_takes_no_result_that_the_report_calls_damaged(tmp_path, name, damage, flag):
    result = stored_result(name)
    damage(result)
    (tmp_path / f"{name}.json").write_text(json.dumps(result))
    finished = subprocess.run(
        [sys.executable, ALL.with_name(f"{name}.py"), f"--output_dir={tmp_path}", flag],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1 and finished.stdout == ""
    assert finished.stderr.endswith("Put back a copy of it; made anew, it would be replaced.\n")


def test_of_what_is_there_twice_in_a_file_neither_is_taken(tmp_path):
    content = (FIGURES / "fig4_components_sweep.json").read_text()
    four = json.dumps(json.loads(content)["accuracy"]["4"])
    twice = content.replace('"accuracy": {', f'"accuracy": {{"10": {four},', 1)
    (tmp_path / "fig4_components_sweep.json").write_text(twice)
    finished = run_all(tmp_path, "--preset=paper", "--only_print")
    assert "damaged  fig4_components_sweep\n" in finished.stdout, finished.stderr


def test_a_result_that_calls_itself_complete_without_a_usual_row_is_not_done(tmp_path):
    result = json.loads(STORED)
    assert result["complete"] and result["rows"].pop(0)["num_components"] == 7
    (tmp_path / "table1.json").write_text(json.dumps(result))
    assert "remains  table1\n" in run_all(tmp_path, "--only_print").stdout


def test_a_folder_that_cannot_be_entered_is_not_taken_for_an_empty_one(tmp_path):
    (tmp_path / "short").symlink_to("short")
    finished = run_all(tmp_path, "--preset=paper", "--only_print")
    assert "short/controls.json: damaged" in finished.stdout, finished.stderr


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
    result = json.loads((FIGURES / stored).read_text()) | changes
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
