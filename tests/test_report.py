"""The scorecard's verdicts, and the script that runs everything."""

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mvae_tf.training.version import TRAINING_VERSION
from support import claims

ALL = Path(__file__).parent.parent / "reproduce" / "all.py"


def mean(value):
    return {"mean": value, "std": None, "per_seed": [value]}


def table1(errors):
    rows = [{"num_components": k, "mse": mean(mse), "paper": 9.0} for k, mse in errors.items()]
    # The paper's claim is not about settings of our own.
    return {"rows": [*rows, {"num_components": 10, "mse": mean(99.0), "paper": None}]}


def fig2(mixture, *components):
    each = {f"Component {k}": mean(mse) for k, mse in enumerate(components)}
    return {"mse": each | {"Mixture": mean(mixture)}}


def table2(mixture, component, vae):
    ours = {"Mixture": mean(mixture), "C1": mean(component), "VAE": mean(vae)}
    return {"accuracy": {"KNN": {**ours, "Mixture, `best_mnist`": mean(99.0)}}}


def fig4(*accuracy):
    return {"accuracy": {str(k): mean(value) for k, value in enumerate(accuracy, start=4)}}


def dhsic(off, on):
    row = {"cka": mean(0.5)}
    return {"rows": {b: row | {"dhsic": mean(v)} for b, v in [("0", off), ("1", on), ("1000", 0)]}}


def table3(rmse, score, choice="inception", images="cifar10"):
    """A result of Table III; rmse None: the mixture's row has not been run."""
    paper = {"rmse": 3.17, "score": 5.96}
    row = {"num_components": 4, "kl_weight": 0.05, "paper": None, "rmse": mean(1)}
    vae = {**row, "model": "VAE", "num_components": 1}
    flips = {**row, "model": "M-VAE, flips too"}  # by other images than the paper's
    ours = {**row, "model": "M-VAE", "rmse": mean(rmse), "paper": paper}
    ours["score_reconstructions"] = mean(score)
    return {
        "rows": [vae, flips, *([] if rmse is None else [ours])],
        "dataset": {"name": images, "test": "held-out training batch 5"},
        "classifier": {"choice": choice, "description": "a network of accuracy 70 %"},
    }


@pytest.mark.parametrize(
    ("index", "result", "verdict"),
    [
        (0, table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 13.4}), claims.HOLDS),
        (0, table1({7: 11.5, 8: 11.6, 10: 9.2, 1: 13.4}), claims.FAILS),
        (0, table1({7: 11.5, 8: 10.2, 10: 9.2, 1: 11.0}), claims.FAILS),
        (0, table1({10: 9.2, 1: 13.4}), claims.OPEN),
        (0, table1({10: 9.2, 1: 9.1}), claims.FAILS),
        (1, fig2(9.0, 10.0, 9.5), claims.HOLDS),
        (1, fig2(9.0, 10.0, 8.9), claims.FAILS),
        (2, table2(97.0, 96.0, 96.5), claims.HOLDS),
        (2, table2(97.0, 97.5, 96.5), claims.FAILS),
        (2, table2(97.0, 96.0, 97.1), claims.FAILS),
        (3, fig4(96.0, 96.5, 97.0), claims.HOLDS),
        (3, fig4(96.0, 97.5, 97.0), claims.FAILS),
        (4, dhsic(0.01, 0.002), claims.HOLDS),
        (4, dhsic(0.01, 0.0099), claims.FAILS),
        (4, None, claims.OPEN),
        (5, None, claims.OPEN),
        (5, table3(3.1, 6.0), claims.HOLDS),
        (5, table3(3.174, 5.956), claims.HOLDS),
        (5, table3(3.1, 5.8), claims.FAILS),
        (5, table3(3.2, 6.0), claims.FAILS),
        (5, table3(3.1, 6.0, "cifar10"), claims.OPEN),
        (5, table3(3.2, 6.0, "cifar10"), claims.FAILS),
        (5, table3(3.1, 6.0, images="patches"), claims.OPEN),
        (5, table3(9.0, 1.2, "cifar10", images="patches"), claims.OPEN),
        (5, table3(None, None), claims.OPEN),
    ],
)
def test_verdicts(index, result, verdict):
    measured, judged = claims.judged(claims.CLAIMS[index], result)
    assert judged == verdict and measured


def test_table3s_judgement_says_of_what_and_by_whom():
    told, _ = claims.judged(claims.CLAIMS[5], table3(3.1, 6.0, "cifar10"))
    assert "3.10 on cifar10 (held-out training batch 5)" in told
    assert "accuracy 70 %, which can't be compared with 5.96" in told


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
    assert "table1.py and table3.py alone" in finished.stderr + finished.stdout


def test_only_print_shows_what_remains_without_running_it(tmp_path):
    finished = run_all(tmp_path, "--only_print")
    assert finished.returncode == 0, finished.stderr
    assert "Not run yet: `python reproduce/table1.py --preset=quick`" in finished.stdout
    assert "not decidable here" in finished.stdout
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


@pytest.mark.parametrize("content", ["", "{", '{"rows": []}'])
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
all._stored = lambda name: None if name == "table2" else done
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
