"""Results in another reading of the paper's text: how they are made, stored, told and judged."""

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
from test_controls import flags_of

import ablation_readings
import all as everything
import readings_heldout
import table1
import table2
from mvae_tf import presets
from support import additions, claims, paper, rows, study as study_module, verdicts
from support.summaries import summary

FIGURES = Path(table1.__file__).parent.parent / "figures"


def stored(name="table1"):
    return json.loads((FIGURES / f"{name}.json").read_text())


def in_other_reading(errors):
    """Table I in the other reading, of three seeds."""
    result = stored() | {"reading": "authors_mnist", "command": "it"}
    result["rows"] = [row for row in result["rows"] if row["paper"] is not None]
    result["settings"] = result["settings"] | {"seeds": [0, 1, 2]}
    for row in result["rows"]:
        row.pop("seeds", None)  # A stored row may have seeds of its own; these are the result's.
        error = errors[row["num_components"]]
        for name in ("mse", "mse_sampled", "mse_per_pixel", "seconds"):
            row[name] = summary([error, error + 0.03, error - 0.02])
    return result


FALLING = {7: 7.0, 8: 6.5, 10: 6.0, 1: 8.0}
RISING = {7: 6.0, 8: 6.5, 10: 7.0, 1: 5.0}


@pytest.mark.parametrize("reading", ["paper_mnist", "authors_mnist"])
def test_models_are_of_the_reading(reading, tmp_path, monkeypatch):
    data = types.SimpleNamespace(train=range(60_000), digest="0")
    monkeypatch.setattr(study_module.mvae_tf.datasets, "load", lambda name, data_dir: data)
    trained = []

    def record(settings, *_):
        trained.append(settings.resolved()["model"])
        raise InterruptedError

    monkeypatch.setattr(study_module.runs, "trained", record)
    study = study_module.Study("paper", [0], None, tmp_path, reading=reading)
    with pytest.raises(InterruptedError):
        table1.rebuild(study)
    (model,) = trained
    assert model == {**presets.get(reading).model, "num_components": 7, "seed": 0}


@pytest.mark.parametrize(
    ("reading", "own"), [("paper_mnist", ["best_mnist", "paper_mnist"]), ("authors_mnist", [])]
)
def test_table2_has_models_of_our_own_in_the_texts_reading_alone(
    reading, own, tmp_path, monkeypatch
):
    data = types.SimpleNamespace(train=range(60_000), digest="0")
    monkeypatch.setattr(study_module.mvae_tf.datasets, "load", lambda name, data_dir: data)
    trained = []

    def record(settings, *_):
        trained.append(settings.preset)
        return types.SimpleNamespace(model=None, seconds=0, environments=[])

    def measured(*_):
        raise InterruptedError

    monkeypatch.setattr(study_module.runs, "trained", record)
    monkeypatch.setattr(table2.measures, "encoded", measured)
    study = study_module.Study("paper", [table2.BEST_SEED], None, tmp_path, reading=reading)
    with pytest.raises(InterruptedError):
        table2.rebuild(study, {"chosen": stored("search_vae")["chosen"]})
    assert trained == [reading] * 2 + own


def test_table2_of_the_papers_models_alone_tells_of_no_other():
    result = stored("table2") | {"reading": "authors_mnist"}
    for others in (result["errors"], *result["accuracy"].values(), *result["neighbours"].values()):
        for name in table2.OF_OUR_OWN:
            others.pop(name, None)
    text = table2.text(result)
    assert "in the reading `authors_mnist`" in text and "each pixel a Bernoulli's" in text
    assert "best_mnist" not in text and "Same search" not in text
    text = table2.text(result | {"reading": "paper_mnist"})
    assert "Gaussian with variance 1/2 in each pixel; a lower" in text.replace("\n", " ")
    assert "best_mnist" in table2.text(stored("table2"))


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        ("table1", [], "figures"),
        ("table1", ["--reading=authors_mnist"], "figures/authors_mnist"),
        ("table2", ["--reading=authors_mnist", "--preset=quick"], "quick/authors_mnist"),
        # Never among the results of the usual reading.
        ("ablation_dhsic", ["--reading=authors_mnist", "--output_dir=x"], "x/authors_mnist"),
    ],
)
def test_each_reading_has_a_folder(name, flags, expected, tmp_path):
    finished = flags_of(name, tmp_path, *flags, shown="command_line.output_dir()")
    assert finished.stdout.strip().endswith(expected), finished.stderr


@pytest.mark.parametrize("name", ["controls", "table3", "all"])
def test_a_reading_that_a_script_does_not_know_is_refused(name, tmp_path):
    finished = flags_of(name, tmp_path, "--reading=authors_mnist")
    assert finished.returncode == 1
    told = finished.stdout + finished.stderr
    assert "Expected --reading among paper_mnist. Received: authors_mnist." in told


def test_the_text_says_of_which_reading_it_is():
    text = table1.text(in_other_reading(FALLING))
    assert text.startswith("# Table I: reconstruction error on MNIST's test images, in the reading")
    assert "`authors_mnist`\n" in text
    assert "single VAE: supported, in this reading (`authors_mnist`)." in text
    assert "cosine" not in text and "best_mnist" not in text and "not run" not in text
    assert "in the reading" not in table1.text(stored())


@pytest.mark.parametrize(
    ("errors", "expected"), [(FALLING, verdicts.SUPPORTED), (RISING, verdicts.CONTRADICTED)]
)
def test_the_same_claims_are_judged(errors, expected):
    judged = claims.under("authors_mnist")
    assert [claim.text for claim in judged] == [claim.text for claim in claims.CLAIMS[:7]]
    assert {claim.reading for claim in judged} == {"`authors_mnist`"}
    verdict = [
        claims.judged(claim, {"table1": in_other_reading(errors)})[1] for claim in judged[:2]
    ]
    assert verdict == [expected] * 2


def report(folder):
    subprocess.run(
        [sys.executable, everything.__file__, "--only_report", f"--output_dir={folder}"],
        check=True,
        capture_output=True,
    )
    text = (folder / "REPORT.md").read_text()
    return text.split("## The same in another reading")[1].split("\n## ")[0]


def test_the_report_has_a_scorecard_of_what_was_run_and_none_of_nothing(tmp_path):
    (tmp_path / "table1.json").write_text(json.dumps(stored()))
    nothing = report(tmp_path)
    assert "Not run: nothing is said of it." in nothing and "| " not in nothing
    assert "--reading=authors_mnist`" in nothing
    (tmp_path / "authors_mnist").mkdir()
    result = in_other_reading(RISING)
    (tmp_path / "authors_mnist" / "table1.json").write_text(json.dumps(result))
    scorecard, otherwise = report(tmp_path).split("What these verdicts depend on")
    lines = [line for line in scorecard.splitlines() if line.startswith("| ")][2:]
    verdict = [line.split("|")[2].strip() for line in lines]
    assert verdict == ["contradicted"] * 2 + ["not run"] * 5
    assert otherwise.count("| not paired by seed ") == 2
    assert all("`authors_mnist`" in line for line in lines)


def test_one_reading_is_not_added_to_another(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module.mvae_tf.datasets, "load", lambda name, data_dir: None)
    study = study_module.Study("paper", [1], None, tmp_path, reading="authors_mnist")
    old = stored()
    account = old | {"reading": study.reading, "environment": old["environment"]}
    monkeypatch.setattr(study, "account", lambda: account)
    with pytest.raises(additions.AdditionError, match="another reading, precision"):
        additions.Addition(old, {}).check(study)


def readings(*indices, closest=None):
    """The stored readings, some of them; `closest` is given the printed numbers."""
    result = stored("ablation_readings") | {"command": "it"}
    rows = list(ablation_readings.ROWS)
    joined, *components, single = paper.TABLE2["KNN"]
    for vae in result["vaes"].values():
        vae["mse"], vae["knn"] = summary([13.44]), summary([single])
    if closest is not None:
        row = ablation_readings.by_name(result)[rows[closest]]
        row["mse"], row["knn"] = summary([12.49]), summary([joined])
        row["knn_components"] = [summary([each]) for each in components]
    result["rows"] = [result["rows"][index] for index in indices]
    return result | {"complete": len(indices) == len(rows)}


@pytest.mark.parametrize(
    ("indices", "closest", "told"),
    [
        (range(12), 0, "By rank the choice stays.\n"),
        (range(12), 7, "By rank the choice does not stay.\n"),
        ((0, 3, 7), 0, "By rank the choice stays among these.\n"),
        ((0, 3, 7), 7, "By rank the choice does not stay among these.\n"),
    ],
)
def test_whether_the_choice_of_a_reading_stays(indices, closest, told):
    result = readings(*indices, closest=closest)
    (first,) = (row for row in ablation_readings.ranked(result) if row["rank"] == 1)
    assert ablation_readings.reading_of(first) == ablation_readings.READINGS[closest]
    assert (first["table1"], first["table2"]) == pytest.approx((0, 0), abs=1e-3)
    text = readings_heldout.text(result)
    assert told in text
    assert ("Not run: " in text) == (len(indices) < 12)


def test_readings_that_were_not_run_are_named():
    text = ablation_readings.text(readings(0, 3, 7))
    (line,) = (line for line in text.splitlines() if line.startswith("Not run: "))
    assert len(line.split("; ")) == 9
    assert "nearer to both printed tables than those 2 others: undecided (one seed)" in text
    without = readings_heldout.text(readings(3, 7))
    assert "nearer to both" not in without and "By rank the choice" not in without


def test_readings_added_are_ranked_with_those_that_were_there():
    old, new = readings(0, 3, closest=0), readings(1, closest=0)
    names = list(ablation_readings.ROWS)
    known = rows.Rows(names, ablation_readings.by_name)
    addition = additions.Addition(old, {}, known, names, {names[1]: [0]})
    joined = addition.joined(new) | {"command": "it"}
    whole = readings(0, 1, 3, closest=0)
    assert joined["rows"] == whole["rows"] and not joined["complete"]
    assert ablation_readings.table(joined) == ablation_readings.table(whole)


def test_what_is_added_to_is_checked_once_the_images_are_chosen(tmp_path, monkeypatch):
    data = types.SimpleNamespace(
        train=range(100), digest="0", with_validation=lambda count: f"{count} held out"
    )
    monkeypatch.setattr(study_module.mvae_tf.datasets, "load", lambda name, data_dir: data)
    study, seen = study_module.Study("paper", [0], None, tmp_path), []

    def refuse(study):
        seen.append(study.data)
        raise additions.AdditionError

    study.check_first(refuse)
    with pytest.raises(additions.AdditionError):
        readings_heldout.rebuild(study)
    assert seen == ["10000 held out"]
