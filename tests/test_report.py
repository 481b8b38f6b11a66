"""The script that runs everything, and the report that it writes."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import test_explain_print

from mvae_tf.training.version import TRAINING_VERSION
from support.cifar10_models import ROWS, usual_rows

ALL = Path(__file__).parent.parent / "reproduce" / "all.py"
STORED = (ALL.parent.parent / "figures" / "quick" / "table1.json").read_text()


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
    scripts = (
        "tables 1 and 3, controls.py, explain_print.py, ablation_dhsic.py and the scripts of "
        "readings"
    )
    assert f"--rows with {scripts} alone" in finished.stderr + finished.stdout


def test_only_print_shows_what_remains_without_running_it(tmp_path):
    finished = run_all(tmp_path, "--only_print")
    assert finished.returncode == 0, finished.stderr
    assert "Not run yet: `python reproduce/table1.py --preset=quick`" in finished.stdout
    assert "| not run |" in finished.stdout
    assert "remains  table1\n" in finished.stdout and "done" not in finished.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", ["", "search_vae"])
def test_a_choice_is_made_before_the_table_that_trains_it(failing, tmp_path):
    script = f"""
import runpy, subprocess, sys
sys.argv = [{str(ALL)!r}, "--preset=quick", "--output_dir={tmp_path}"]
sys.path.insert(0, {str(ALL.parent)!r})
started = []
def run(command, check):
    started.append(command[1].rsplit("/", 1)[1].removesuffix(".py"))
    return subprocess.CompletedProcess(command, int(started[-1] == {failing!r}))
subprocess.run = run
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(*started)
"""
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    started = finished.stdout.splitlines()[-1].split()
    left_out = set(importlib.import_module("all").SCRIPTS) - set(started)
    # Without the choice Table II would lack a column, and pass for done.
    assert left_out == ({"table2"} if failing else set()), finished.stderr
    assert len(set(started)) == len(started)
    assert started[:3] == ["search_vae", "table1", "fig1_reconstructions"]  # else the paper's order
    assert ("Failed: search_vae, table2. " in finished.stderr) == bool(failing)


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
    assert all("[controls](short/controls.md)" in line for line in judged)
    assert not re.search(r" (supported|contradicted) +\|", before)


@pytest.mark.usefixtures("told_results")
@pytest.mark.parametrize(("preset", "folder"), [("paper", ""), ("quick", "quick")])
def test_stored_texts_are_what_is_printed_of_the_stored_results(preset, folder):
    """A script's words may have changed since."""
    folder = ALL.parent.parent / "figures" / folder
    finished = run_all(folder, f"--preset={preset}", "--only_print")
    assert (folder / "REPORT.md").read_text() in finished.stdout, finished.stderr
    texts = {path.name: path.read_text() for path in folder.glob("*.md")}
    del texts["REPORT.md"]
    assert len(texts) > 10
    for name, text in texts.items():
        assert text.strip().replace("# ", "## ", 1) in finished.stdout, name


@pytest.mark.parametrize("place", ["file", "folder"])
def test_where_no_report_can_be_written_it_ends_in_a_line(tmp_path, place):
    """Before anything is run."""
    output = tmp_path / "output"
    if place == "file":
        output.write_text("")
    else:
        (output / "REPORT.md").mkdir(parents=True)
    finished = run_all(output, "--only_report")
    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1 and "Traceback" not in finished.stderr


@pytest.mark.parametrize(("model", "told"), [("VAE, `best_mnist`", "done   "), ("VAE", "remains")])
def test_a_row_beside_the_usual_ones_may_be_of_other_seeds(tmp_path, model, told):
    """Made anew, the result would lose that row."""
    result = json.loads(STORED)
    *rows, vae = result["rows"]
    others = [vae] if model != "VAE" else []
    result["rows"] = [*rows, *others, vae | {"model": model, "seeds": [9]}]
    (tmp_path / "table1.json").write_text(json.dumps(result))
    finished = run_all(tmp_path, "--only_print")
    assert f"{told}  table1\n" in finished.stdout, finished.stderr


def test_scripts_that_are_done_are_not_run_again(tmp_path, monkeypatch):
    """All but one are done; that one is run, fails, and the report is written all the same."""
    script = f"""
import sys
sys.argv[0] = {str(ALL)!r}
sys.path.insert(0, {str(ALL.parent)!r})
import all, json
from absl import app
all._is_done = lambda name: name not in ("table1", "table2")
all._report = lambda stored: "the report"
all._scorecard = lambda stored: "the scorecard"
class Failed: returncode = 1
all.subprocess.run = lambda command, check: print(json.dumps(command)) or Failed
app.run(all.main)
"""
    (tmp_path / "table1.json").write_text("{")
    arguments = ["--preset=quick", f"--output_dir={tmp_path}"]
    finished = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    commands = [json.loads(line) for line in finished.stdout.splitlines() if line.startswith('["')]
    assert [Path(command[1]).name for command in commands] == ["table2.py"]
    assert commands[0][2:] == arguments
    assert finished.returncode == 1 and "Failed: table2. " in finished.stderr
    # Damaged work is not replaced.
    assert "another version of its script: table1. Put back a copy" in finished.stderr
    assert (tmp_path / "table1.json").read_text() == "{"
    assert (tmp_path / "REPORT.md").read_text() == "the report\n"


SETTINGS = {"seeds": [0], "training": {"precision": "float32"}}
COMPILED = {"seeds": [0], "training": {"precision": "float32", "jit": "on"}}


# Of Table III, what the quick preset has.
MIXTURE, *OTHERS = (
    {name: getattr(ROWS[row], name) for name in ("model", "num_components", "kl_weight")}
    for row in usual_rows("quick")
)


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
            {
                "rows": [MIXTURE | {"seeds": [0]}, *OTHERS],
                "settings": {**SETTINGS, "seeds": [0, 1]},
            },
            False,
        ),
        (
            ["--seeds=0,1"],
            {"rows": [MIXTURE, *OTHERS], "settings": {**SETTINGS, "seeds": [0, 1]}},
            True,
        ),
        ([], {"rows": OTHERS, "complete": True}, False),
        # Damaged.
        ([], {"rows": [MIXTURE | {"seeds": 0}]}, False),
        ([], {"rows": [{"seeds": [0]}]}, False),
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
    whole = {"preset": "quick", "settings": SETTINGS, "training_version": 1}
    result = whole | {"rows": [MIXTURE, *OTHERS]} | differs
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
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where these tests run behind &
sys.argv[0] = {str(ALL)!r}
sys.path.insert(0, {str(ALL.parent)!r})
import all
from support import scripts
all._is_done = lambda name: False
run = subprocess.run
sleep = [sys.executable, "-c", "import time; print('running', flush=True); time.sleep(60)"]
all.subprocess.run = lambda command, check: run(sleep, check=check)
scripts.run_app(all.main)
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
