"""The scorecard's verdicts, and the script that runs everything."""

import functools
import importlib
import json
import operator
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import test_explain_print

from mvae_tf.training.version import TRAINING_VERSION
from support import claims

ALL = Path(__file__).parent.parent / "reproduce" / "all.py"


def of(*values):
    return {"mean": sum(values) / len(values), "std": None, "per_seed": list(values)}


def seeds(value):
    """Three seeds' values, close together."""
    return of(value, value + 0.02, value - 0.01)


def table1(errors, of=seeds):
    rows = [{"num_components": k, "mse": of(mse), "paper": 9.0} for k, mse in errors.items()]
    rows = [row | {"model": "VAE" if row["num_components"] == 1 else "M-VAE"} for row in rows]
    # The paper's claim is not about settings of our own.
    rows = [*rows, {"num_components": 10, "mse": of(99.0), "paper": None}]
    return {"rows": rows, "settings": {"seeds": list(range(len(of(0.0)["per_seed"])))}}


def fig2(mixture, *components):
    each = {f"Component {k}": mse for k, mse in enumerate(components)}
    return {"mse": each | {"Mixture": mixture}}


def table2(mixture, component, vae):
    ours = {"Mixture": mixture, "C1": component, "VAE": vae}
    row = {**ours, "Mixture, `best_mnist`": of(99.0), "VAE, same search": of(99.0)}  # one seed
    certain = {"Mixture": seeds(99), "C1": seeds(1), "VAE": seeds(1)}
    return {"accuracy": {"MLP": certain, "KNN": row}}


def errors(mixture, vae, vae_sampled=None):
    ours = {"mse": mixture, "mse_sampled": mixture}
    return {
        "errors": {
            "M-VAE": ours,
            "VAE": {"mse": vae, "mse_sampled": vae_sampled or vae},
            "Mixture, `best_mnist`": {"mse": of(1.0), "mse_sampled": of(1.0)},
        }
    }


def fig4(*accuracy, of=seeds):
    return {"accuracy": {str(k): of(value) for k, value in enumerate(accuracy, start=4)}}


def dhsic(off, on):
    row, last = {"cka": of(0.5)}, {"dhsic": of(0)}
    return {
        "rows": {b: row | {"dhsic": v} for b, v in [("0", off), ("1", on)]} | {"1000": row | last}
    }


def table3(rmse, score, choice="inception", images="cifar10", test="test images", vae=5.0):
    """A result of Table III; rmse None: the mixture's row has not been run."""
    row = {"num_components": 4, "kl_weight": 0.05, "paper": None}
    of_as_many = of if rmse and len(rmse["per_seed"]) == 1 else seeds
    row["rmse"] = of_as_many(1)
    row["seeds"] = list(range(len(of_as_many(vae)["per_seed"])))
    scores = {"score_reconstructions": of_as_many(vae), "score_samples": of_as_many(4.9)}
    single = {**row, **scores, "model": "VAE", "num_components": 1}
    flips = {**row, "model": "M-VAE, flips too"}  # by other images than the paper's
    ours = {**row, "model": "M-VAE"}
    if rmse is not None:
        ours |= {"rmse": rmse, "score_reconstructions": score, "score_samples": of_as_many(5.0)}
    return {
        "rows": [single, flips, *([] if rmse is None else [ours])],
        "settings": {"seeds": [0]},
        "dataset": {"name": images, "test": test},
        "classifier": {"choice": choice, "name": "own", "description": "one of accuracy 70 %"},
    }


def of_other_seeds(result, index):
    """A result, one of whose rows is of another seed alone, which no other row has."""
    row = result["rows"][index]
    row["seeds"] = [9]
    for name, value in row.items():
        if isinstance(value, dict):
            row[name] = of(value["mean"])
    return result


ROWS, IMAGES = "undecided (rows not run)", "undecided (images that the paper doesn't have)"
ONE = "undecided (one seed)"
COMMON = "undecided (no seed in common)"
OTHER = "undecided (a classifier whose scores can't be compared with print)"
HELDOUT = "held-out training batch 5"


@pytest.mark.parametrize(
    ("index", "result", "verdict"),
    [
        (0, table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), "supported"),
        # A step up does not decide against a fall over all K.
        (0, table1({7: 11.5, 8: 11.6, 10: 9.2, 1: 13.4}), "supported"),
        (0, table1({7: 9.2, 8: 10.2, 10: 11.5, 1: 13.4}), "contradicted"),
        (0, table1({7: 11.5, 8: 10.2, 10: 9.2}), "supported"),
        (0, table1({7: 11.5, 8: 10.2, 10: 9.2}, of), ONE),
        (0, table1({10: 9.2, 1: 13.4}), ROWS),
        (1, table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), "supported"),
        (1, table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 11.0}), "contradicted"),
        (1, table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}, of), ONE),
        (1, table1({7: 11.5, 8: 10.2, 10: 9.2}), ROWS),
        (0, of_other_seeds(table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), 1), COMMON),
        (0, of_other_seeds(table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), 3), "supported"),
        (1, of_other_seeds(table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), 3), COMMON),
        (9, of_other_seeds(table3(seeds(3.1), seeds(6.0)), 0), COMMON),
        (2, errors(seeds(9.0), seeds(10.0)), "supported"),
        (2, errors(seeds(10.0), seeds(9.0)), "contradicted"),
        (2, errors(of(9.0, 9.9, 9.1), of(9.2, 9.3, 9.8)), "undecided"),
        # At means and at draws: the error has to be lower at both.
        (2, errors(seeds(9.0), seeds(10.0), seeds(-5.0)), "contradicted"),
        (2, errors(of(9.0), of(10.0)), ONE),
        (2, {"errors": {"M-VAE": {}}}, ROWS),
        (3, fig2(seeds(9.0), seeds(10.0), seeds(9.5)), "supported"),
        (3, fig2(seeds(9.0), seeds(10.0), seeds(8.9)), "contradicted"),
        (3, fig2(seeds(9.0), seeds(10.0), of(8.9, 9.1, 9.05)), "undecided"),
        (3, fig2(of(9, 9.02, 9.03), of(8, 9.9, 9.9), of(9.9, 8, 8.1)), "contradicted"),
        (3, fig2(of(9.0), of(10.0), of(9.5)), ONE),
        (4, table2(seeds(97.0), seeds(96.0), seeds(96.5)), "supported"),
        (4, table2(of(97, 97.1, 97.2), seeds(97.5), seeds(96.5)), "contradicted"),
        (4, table2(of(97, 97.1, 97.2), seeds(96.0), seeds(97.5)), "contradicted"),
        (4, table2(of(97, 97.9, 97.2), seeds(96.0), seeds(97.0)), "undecided"),
        (4, table2(of(97), of(96.0), of(96.5)), ONE),
        (5, fig4(96.0, 96.5, 97.0), "supported"),
        (5, fig4(97.0, 96.5, 96.0), "contradicted"),
        (5, {"accuracy": {"4": of(96, 97, 96.5), "7": of(97, 96, 96.4)}}, "undecided"),
        (5, fig4(96.0, 96.5, 97.0, of=of), ONE),
        (6, dhsic(of(0.01, 0.0102, 0.0101), of(0.002, 0.0021, 0.0019)), "supported"),
        # A fall by less than a tenth makes nothing differ.
        (6, dhsic(of(0.01, 0.0102, 0.0101), of(0.0098, 0.0099, 0.0099)), "contradicted"),
        (6, dhsic(of(0.01), of(0.002)), ONE),
        (6, None, "not run"),
        (7, None, "not run"),
        (7, table3(seeds(3.1), seeds(6.0)), "supported"),
        (7, table3(of(3.174, 3.1741, 3.1742), seeds(6.0)), "supported"),
        (7, table3(seeds(3.3), seeds(6.0), test=HELDOUT), "contradicted"),
        (7, table3(of(3.3), seeds(6.0)), ONE),
        (7, table3(seeds(3.1), seeds(6.0), images="patches"), IMAGES),
        (7, table3(None, None), ROWS),
        (8, table3(seeds(3.1), seeds(6.0)), "supported"),
        (8, table3(seeds(3.1), of(5.956, 5.957, 5.9565)), "supported"),
        (8, table3(seeds(3.1), seeds(5.8)), "contradicted"),
        (8, table3(seeds(3.1), seeds(6.0), "cifar10"), OTHER),
        (8, table3(seeds(3.1), seeds(6.0), test=HELDOUT), IMAGES),
        (8, table3(None, None), ROWS),
        (9, table3(seeds(3.1), seeds(6.0)), "supported"),
        (9, table3(seeds(3.1), of(4.9, 5.2, 5.0)), "undecided"),
        (9, table3(of(3.1), of(6.0)), ONE),
        (9, table3(seeds(3.1), seeds(6.0), vae=7.0), "contradicted"),
        (9, table3(of(3.1), of(6.0), images="patches"), IMAGES),
        (9, table3(None, None), ROWS),
    ],
)
def test_verdicts(index, result, verdict):
    measured, judged = claims.judged(claims.CLAIMS[index], result)
    assert judged == verdict and measured


def test_table3s_judgement_says_of_what_and_by_whom():
    result = table3(of(3.1), of(6.0), "cifar10", test=HELDOUT)
    told, _ = claims.judged(claims.CLAIMS[7], result)
    assert told == "RMSE 3.10 on cifar10 (held-out training batch 5)"
    told, _ = claims.judged(claims.CLAIMS[8], result)
    assert "6.00 by one of accuracy 70 %" in told
    told, _ = claims.judged(claims.CLAIMS[9], result)
    assert told.startswith("reconstructions 6.00 against 5.00, draws 5.00 against 4.90, by own")


def test_what_is_measured_stands_with_its_interval():
    told, _ = claims.judged(claims.CLAIMS[3], fig2(of(9.0, 9.1), of(10.0, 10.3), of(9.5, 12)))
    # 0.5 and 1.2: their mean, and 12.71 times its deviation.
    assert told.endswith("ahead of the best component's by 0.85 (-3.60 to 5.30)")


def run_all(folder, *arguments):
    return subprocess.run(
        [sys.executable, ALL, "--preset=quick", f"--output_dir={folder}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_rows_are_for_single_tables(tmp_path):
    finished = run_all(tmp_path, "--rows=10")
    assert finished.returncode != 0
    scripts = "tables 1 and 3, controls.py, explain_print.py and the scripts of readings"
    assert f"--rows with {scripts} alone" in finished.stderr + finished.stdout


def test_only_print_shows_what_remains_without_running_it(tmp_path):
    finished = run_all(tmp_path, "--only_print")
    assert finished.returncode == 0, finished.stderr
    assert "Not run yet: `python reproduce/table1.py --preset=quick`" in finished.stdout
    assert "| not run |" in finished.stdout
    assert "remains  table1\n" in finished.stdout and "done" not in finished.stdout
    assert list(tmp_path.iterdir()) == []


def test_only_report_writes_what_there_is(tmp_path):
    stored = ALL.parent.parent / "figures" / "quick" / "fig2_components.json"
    result = json.loads(stored.read_text())
    (tmp_path / stored.name).write_text(json.dumps(result | {"training_version": 0}))
    finished = run_all(tmp_path, "--only_report")
    assert finished.returncode == 0, finished.stderr
    report = (tmp_path / "REPORT.md").read_text()
    assert report.count("Not run yet: ") == len(importlib.import_module("all").SCRIPTS) - 1
    assert report.count(f"Of training version 0; now it is {TRAINING_VERSION}.") == 1
    assert f"| Mixture     |    {result['mse']['Mixture']['mean']:.2f} |" in report
    assert sorted(path.name for path in tmp_path.iterdir()) == ["REPORT.md", stored.name]


@pytest.mark.parametrize("whole", [True, False])
def test_what_explains_the_print_is_reported_where_it_is_stored(tmp_path, whole):
    made = {name: value for name, value in json.loads(STORED).items() if name != "rows"}
    row = test_explain_print.exact() if whole else {"reading": "`paper_mnist`", "epochs": 1}
    result = made | {"rows": [row], "most_deviations": 3.0}
    (tmp_path / "explain_print.json").write_text(json.dumps(result))
    finished = run_all(tmp_path, "--only_print")
    assert finished.returncode == 0, finished.stderr
    assert ("## What explains the printed numbers?" in finished.stdout) == whole
    assert "  explain_print\n" not in finished.stdout  # neither done nor remains


@pytest.mark.parametrize("whole", [True, False])
def test_controls_of_few_epochs_have_a_scorecard_of_their_own(tmp_path, whole):
    name = Path("short") / "controls.json"
    content = (ALL.parent.parent / "figures" / name).read_text()
    (tmp_path / "short").mkdir()
    (tmp_path / name).write_text(content if whole else content.replace('"per_seed"', '"each"'))
    finished = run_all(tmp_path, "--only_print")
    assert finished.returncode == 0, finished.stderr
    before, _, briefly = finished.stdout.partition("The same after 10 epochs")
    judged = [line for line in briefly.splitlines() if line.startswith("| K = 4: ")]
    assert len(judged) == 6 * whole
    assert all("controls.py --preset=short" in line for line in judged)
    assert not re.search(r" (supported|contradicted) \|", before)


STORED = (ALL.parent.parent / "figures" / "quick" / "table1.json").read_text()


def without(*names):
    """Return a stored result that lacks what is there by these names."""
    result = json.loads(STORED)
    *above, last = names
    part = functools.reduce(operator.getitem, above, result)
    part.pop(last)
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
def test_a_result_that_cannot_be_read_counts_as_none(tmp_path, content):
    (tmp_path / "table1.json").write_text(content)
    finished = run_all(tmp_path, "--only_print")
    assert finished.returncode == 0, finished.stderr
    assert "Not run yet: `python reproduce/table1.py" in finished.stdout


def test_scripts_that_are_done_are_not_run_again(tmp_path, monkeypatch):
    """All but one are done; that one is run, fails, and the report is written all the same."""
    script = f"""
import sys
sys.argv[0] = {str(ALL)!r}
sys.path.insert(0, {str(ALL.parent)!r})
import all, json
from absl import app
from mvae_tf.training.version import TRAINING_VERSION
settings = {{"seeds": [0], "training": {{"precision": "float32"}}}}
done = {{"preset": "quick", "settings": settings, "training_version": TRAINING_VERSION}}
all.results.stored_beside = lambda name, under="": None if name == "table2" else done
all._report = lambda stored: "the report"
all._scorecard = lambda stored: "the scorecard"
class Failed: returncode = 1
all.subprocess.run = lambda command, check: print(json.dumps(command)) or Failed
app.run(all.main)
"""
    arguments = ["--preset=quick", f"--output_dir={tmp_path}"]
    finished = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    commands = [json.loads(line) for line in finished.stdout.splitlines() if line.startswith('["')]
    assert [Path(command[1]).name for command in commands] == ["table2.py"]
    assert commands[0][2:] == arguments
    assert finished.returncode == 1 and "Failed: table2" in finished.stderr
    assert (tmp_path / "REPORT.md").read_text() == "the report\n"


SETTINGS = {"seeds": [0], "training": {"precision": "float32"}}
COMPILED = {"seeds": [0], "training": {"precision": "float32", "jit": "on"}}


@pytest.mark.parametrize(
    ("arguments", "differs", "done"),
    [
        ([], {}, True),
        (["--split=heldout"], {}, True),  # no choice that MNIST's results depend on
        ([], {"choices": {"split": "standard", "classifier": "cifar10"}}, True),
        ([], {"choices": {"split": "heldout"}}, False),
        (["--split=heldout"], {"choices": {"split": "heldout"}}, True),
        (["--split=heldout"], {"choices": {"split": "standard"}}, False),
        (["--classifier=inception"], {"choices": {"classifier": "cifar10"}}, False),
        ([], {"complete": False}, False),
        ([], {"complete": True}, True),
        (["--seeds=1"], {}, False),
        (["--seeds=0"], {"settings": {**SETTINGS, "seeds": [0, 1, 2]}}, True),
        (["--seeds=0,1"], {}, False),
        # A row has one of its seeds alone.
        (
            ["--seeds=0,1"],
            {"rows": [{"seeds": [0]}, {}], "settings": {**SETTINGS, "seeds": [0, 1]}},
            False,
        ),
        # Damaged.
        ([], {"rows": [{"seeds": 0}]}, False),
        ([], {"settings": {**SETTINGS, "seeds": None}}, False),
        ([], {"choices": ["split"]}, False),
        ([], {"choices": {"of another version": 1}}, False),
        (["--precision=auto"], {}, True),
        (["--precision=float32"], {}, True),
        (["--precision=mixed_bfloat16"], {}, False),
        (["--jit=off"], {}, True),  # what older results, that don't say, were made with
        (["--jit=on"], {}, False),
        (["--jit=auto"], {"settings": COMPILED}, True),
        (["--jit=on"], {"settings": COMPILED}, True),
        (["--jit=off"], {"settings": COMPILED}, False),
        ([], {"training_version": 2}, False),
        ([], {"training_version": None}, True),  # of before there was a number: version 1
    ],
)
def test_a_result_is_done_if_it_is_whole_and_of_these_flags(tmp_path, arguments, differs, done):
    result = {"preset": "quick", "settings": SETTINGS, "training_version": 1, **differs}
    if result["training_version"] is None:
        del result["training_version"]
    (tmp_path / "table3.json").write_text(json.dumps(result))
    script = f"""
import sys
sys.path.insert(0, {str(ALL.parent)!r})
import all
from absl import app
all.TRAINING_VERSION = 1
app.run(lambda _: print(all._is_done("table3")))
"""
    finished = subprocess.run(
        [sys.executable, "-c", script, "--preset=quick", f"--output_dir={tmp_path}", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == f"{done}\n"


@pytest.mark.parametrize(
    "name", ["all", *sorted(path.stem for path in ALL.parent.glob("*[0-9_]*.py"))]
)
def test_scripts_start_without_the_large_libraries(name):
    """--only_print must answer at once, so nothing large is imported with a script."""
    script = f"""
import sys
sys.path.insert(0, {str(ALL.parent)!r})
import {name}
large = {{"tensorflow", "keras", "matplotlib", "sklearn", "scipy"}}
sys.exit(", ".join(large & set(sys.modules)) or 0)
"""
    finished = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal as POSIX does")
@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "Stopped."), (signal.SIGTERM, 143, "Terminated.")],
)
def test_a_signal_ends_it_in_one_line(number, status, word, tmp_path):
    """As a terminal sends Ctrl-C: the signal reaches the script and the script that it runs."""
    script = f"""
import sys, subprocess, time
sys.argv[0] = {str(ALL)!r}
sys.path.insert(0, {str(ALL.parent)!r})
import all
from support import results
all._is_done = lambda name: False
run = subprocess.run
sleep = [sys.executable, "-c", "import time; print('running', flush=True); time.sleep(60)"]
all.subprocess.run = lambda command, check: run(sleep, check=check)
results.run_app(all.main)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, "--preset=quick", f"--output_dir={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        while child.stdout.readline() != "running\n":
            pass
        os.killpg(child.pid, number)
        _, told = child.communicate(timeout=20)
    assert child.returncode == status
    assert told.rstrip().endswith(f"{word} The same command goes on from the last checkpoint.")
    assert "all.py" not in told
