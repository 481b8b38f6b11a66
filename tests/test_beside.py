"""Controls beside the mixtures of Tables I and II: where they are of the same, and nowhere else."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

import controls
import table1
import table2
from support.summaries import summary

SCRIPTS = Path(table1.__file__).parent
FIGURES = SCRIPTS.parent / "figures"
NAMES = [controls.ENSEMBLE, *controls.others("paper_mnist", 10)]
SHOWN = [name for name in NAMES if name != controls.VAE]


def result_of(name):
    return json.loads((FIGURES / f"{name}.json").read_text())


def controls_of(result, *rows):
    """Controls of the same data and length; each measure is a number of its own."""

    def measured(start, index):
        names = ("mse", "mse_sampled", "KNN", "MLP")
        return {each: summary([start + index, start + index + 0.5]) for each in names}

    models = lambda start: {  # noqa: E731
        name: measured(start, index)
        for index, name in enumerate([controls.MIXTURE, controls.COMPONENTS, *NAMES])
    }
    return {
        "preset": "paper",
        "rows": [
            {"reading": reading, "num_components": count, "models": models(start)}
            for reading, count, start in rows
        ],
        "dataset": result["dataset"],
        "training_version": result.get("training_version", 1),
        "settings": {"seeds": [0, 1], "training": {"epochs": 100, "precision": "float32"}},
    }


def lines_of(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]


def test_table1_has_them_below_their_mixture():
    result = result_of("table1")
    found = controls_of(result, ("paper_mnist", 10, 100), ("best_mnist", 10, 200))
    lines = lines_of(table1.text(result, found))
    without = lines_of(table1.text(result))
    # The lines of the table as they were, but for the widths of columns.
    table = [line for line in lines if len(line) == 9 and line[0].strip("*") not in SHOWN]
    assert table[2:] == [line for line in without if len(line) == 9][2:]
    for model, start in (("M-VAE", 100), ("M-VAE, `best_mnist`", 200)):
        (at,) = (i for i, line in enumerate(lines) if line[:2] == [model, "10"])
        assert [line[0] for line in lines[at + 1 : at + 1 + len(SHOWN)]] == [
            f"*{name}*" for name in SHOWN
        ]
        first = lines[at + 1]
        assert first[1:5] == ["10", "-", f"{start + 2.25:.2f} ± 0.35", f"{start + 2.25:.2f} ± 0.35"]
        assert first[5:] == [f"{(start + 2.25) / 784:.5f}", "2", "100", "-"]
    assert len([line for line in lines if line and line[0].startswith("*")]) == 2 * len(SHOWN)
    assert "seeds 0 and 1, float32; " in table1.text(result, found)


def test_table2_has_them_as_columns_and_among_the_errors():
    result = result_of("table2")
    found = controls_of(result, ("paper_mnist", 4, 50), ("paper_mnist", 10, 70))
    lines = lines_of(table2.text(result, found))
    header, _, *rows = (line for line in lines if len(line) == 8 + len(SHOWN))
    assert header[8:] == [f"*{name}*" for name in SHOWN]
    cells = {row[0]: row[8:] for row in rows}
    # The usual VAE, which has a column already, is the second of the controls.
    expected = [f"{50.25 + index:.2f} ± 0.35" for index in (2, 4, 5, 6, 7)]
    assert cells["KNN"] == cells["MLP"] == expected
    assert cells["Linear SVM"] == ["-"] * len(SHOWN)  # not measured
    errors = {line[0]: line for line in lines if len(line) == 6}
    assert errors[f"*{controls.ENSEMBLE}*"][1:] == ["52.25 ± 0.35"] * 2 + ["-"] * 3
    assert [name for name in errors if name.startswith("*")] == [f"*{name}*" for name in SHOWN]


def differing():
    def change(*path_and_value):
        *path, last, value = path_and_value

        def changed(found):
            inner = found
            for name in path:
                inner = inner[name]
            inner[last] = value

        return changed

    return {
        "epochs": change("settings", "training", "epochs", 10),
        "data": change("dataset", "digest", "0" * 64),
        "images": change("dataset", "train_images", 20_000),
        "test": change("dataset", "test", "the last 50 training images"),
        "version": change("training_version", 2),
        "reading": change("rows", 0, "reading", "authors_mnist"),
        "K": change("rows", 0, "num_components", 5),
        "no rows": change("rows", None),
        "no length": change("settings", {}),
    }


@pytest.mark.parametrize("differs", differing())
@pytest.mark.parametrize(("script", "count"), [(table1, 10), (table2, 4)])
def test_others_are_not_shown(script, count, differs):
    result = result_of(script.__name__)
    found = copy.deepcopy(controls_of(result, ("paper_mnist", count, 100)))
    assert f"*{controls.ENSEMBLE}*" in script.text(result, found)
    differing()[differs](found)
    assert script.text(result, found) == script.text(result)


def test_two_results_that_tell_no_digest_are_not_known_to_be_of_the_same_data():
    result = result_of("table1")
    del result["dataset"]["digest"]
    found = controls_of(result, ("paper_mnist", 10, 100))
    assert table1.text(result, found) == table1.text(result)


@pytest.mark.parametrize("content", [None, "{", '{"settings": {}}', '{"rows": []}'])
def test_without_such_a_result_there_is_the_table_alone(content, tmp_path):
    (tmp_path / "table2.json").write_bytes((FIGURES / "table2.json").read_bytes())
    if content is not None:
        (tmp_path / "controls.json").write_text(content)
    assert printed("table2", tmp_path) == table2.text(result_of("table2")) + "\n"


@pytest.mark.parametrize(("name", "count"), [("table1", 10), ("table2", 4)])
def test_scripts_find_them_in_the_folder_of_their_result(name, count, tmp_path):
    result, found = result_of(name), result_of("controls")
    found["rows"][0]["num_components"] = count
    (tmp_path / f"{name}.json").write_text(json.dumps(result))
    (tmp_path / "controls.json").write_text(json.dumps(found))
    text = {"table1": table1, "table2": table2}[name].text(result, found)
    assert printed(name, tmp_path) == text + "\n"
    assert f"*{controls.ENSEMBLE}*" in text


@pytest.mark.parametrize("name", ["table1", "table2"])
@pytest.mark.parametrize("lacking", ["reading", "parameters", "models"])
def test_damaged_ones_are_not_shown(name, lacking, tmp_path):
    found = result_of("controls")
    del found["rows"][0][lacking]
    (tmp_path / f"{name}.json").write_text(json.dumps(result_of(name)))
    (tmp_path / "controls.json").write_text(json.dumps(found))
    text = {"table1": table1, "table2": table2}[name].text(result_of(name))
    assert printed(name, tmp_path) == text + "\n"


def printed(name, folder):
    finished = subprocess.run(
        [sys.executable, SCRIPTS / f"{name}.py", "--only_print", f"--output_dir={folder}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_report_has_them_too(tmp_path):
    import all as everything

    result = result_of("table1")
    found = controls_of(result, ("paper_mnist", 10, 100))
    section = everything._section("table1", {"table1": result, "controls": found})
    assert section == table1.text(result, found).replace("# ", "## ", 1)
