"""Table I's script as it is started, on few images of MNIST's size; flags: test_script_flags."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_script_flags import script

import table1
from mvae_tf import presets
from mvae_tf.training import jit, precision, version
from support import paper

TABLE1 = Path(table1.__file__)
FIGURES = TABLE1.parent.parent / "figures"


@pytest.fixture(scope="module")
def stored(small_mnist, tmp_path_factory, nursery):
    """Table I, rebuilt by the script with few images in place of MNIST's; and again, for less."""
    folder = tmp_path_factory.mktemp("table1")
    program = folder / "program.py"
    flags = ["--preset=quick", "--seeds=0,1"]
    program.write_text(f"""
import sys
sys.argv[0] = {str(TABLE1)!r}
sys.path.insert(0, {str(TABLE1.parent)!r})
import mvae_tf, table1
from support import rows, scripts, study
load = mvae_tf.datasets.load
mvae_tf.datasets.load = lambda name, data_dir: load({str(small_mnist)!r})
study.EPOCHS["mnist"]["quick"] = 1
scripts.run_script(
    "table1", table1.rebuild, table1.text, grows=True,
    rows=rows.Rows(table1.ROWS, table1.by_name, table1.usual_rows, own_seeds=True),
)
""")

    def rebuild(*arguments, status=0):
        ended = nursery.run(program, *flags, *arguments)
        assert ended.status == status, ended.err
        return ended

    finished = subprocess.run(
        [sys.executable, program, *flags, *folders(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return folder, finished, rebuild


def folders(folder):
    return [f"--output_dir={folder / 'out'}", f"--runs_dir={folder / 'runs'}"]


def test_table1_quick_has_the_papers_rows_and_says_how_it_was_made(stored):
    folder, finished, _ = stored
    result = json.loads((folder / "out" / "table1.json").read_text())
    rows = result["rows"]
    named = [(row["model"], row["num_components"], row["paper"]) for row in rows]
    assert named == list(paper.TABLE1)
    assert result["complete"] and result["training_version"] == version.TRAINING_VERSION
    for row in rows:
        for measure in ("mse", "mse_sampled"):
            first, second = row[measure]["per_seed"]
            assert row[measure]["mean"] == pytest.approx((first + second) / 2)
            assert row[measure]["std"] == pytest.approx(abs(first - second) / 2**0.5)
        assert 0 < row["mse"]["mean"] < 784 and 0 < row["mse_sampled"]["mean"] < 784
        assert row["mse_per_pixel"]["mean"] == pytest.approx(row["mse"]["mean"] / 784)
    assert result["preset"] == "quick"
    assert result["settings"]["seeds"] == [0, 1]
    assert result["settings"]["model"]["latent_dim"] == 20
    assert result["settings"]["training"]["epochs"] == 1
    assert set(result["dataset"]) == {
        "name", "source", "digest", "test", "train_images", "test_images"
    }  # fmt: skip
    assert result["dataset"]["test_images"] == 100
    assert result["environment"]["packages"]["tensorflow"].startswith("2.21")
    assert result["elapsed_seconds"] > 0
    chosen = precision.resolve()  # what it is on this machine, never "auto"
    assert result["settings"]["training"]["precision"] == chosen.policy
    compiled = jit.resolve()
    for line in (f"precision: {chosen}", f"jit: {compiled}"):
        assert finished.stdout.splitlines().count(line) == 1
    assert result["command"] == (
        f"python reproduce/table1.py --preset=quick --seeds=0,1 --precision={chosen.policy} "
        f"--jit={compiled.jit}"
    )
    text = (folder / "out" / "table1.md").read_text()
    assert text in finished.stdout
    for row in rows:
        shown = f"{row['model']} | {row['num_components']} | {row['paper']:.2f} | "
        assert f"{shown}{row['mse']['mean']:.2f} ±" in " ".join(text.split())
    assert "Cosine" not in text and "best_mnist" not in text


def test_table1_is_quiet_about_tensorflow(stored):
    other = [line for line in stored[1].stderr.splitlines() if not line.startswith("epoch 1/1: ")]
    assert other == []


def test_only_print_needs_neither_tensorflow_nor_two_seconds(stored):
    folder, finished, _ = stored
    blocked = "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None; "
    blocked += f"sys.path.insert(0, {str(TABLE1.parent)!r}); sys.argv[0] = {str(TABLE1)!r}; "
    blocked += "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    began = time.monotonic()
    printed = subprocess.run(
        [sys.executable, "-c", blocked, "--preset=quick", "--only_print", *folders(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - began < 2
    assert printed.stdout in finished.stdout and "| M-VAE | 10 |" in printed.stdout


def test_rows_that_were_not_chosen_are_shown_as_not_run(stored):
    folder, _, rebuild = stored
    whole = json.loads((folder / "out" / "table1.json").read_text())
    other = [f"--output_dir={folder / 'part'}", f"--runs_dir={folder / 'runs'}"]
    rebuild("--rows=10,1", *other)  # of the stored runs
    result = json.loads((folder / "part" / "table1.json").read_text())
    assert result["rows"] == whole["rows"][2:4]
    assert whole["complete"] and not result["complete"]
    assert "--rows=10,1" in result["command"]
    text = (folder / "part" / "table1.md").read_text()
    assert text.count("not run") == 2 and "every mixture that was run has a lower error" in text


def test_table1_under_the_paper_preset_has_rows_of_our_own():
    usual = table1.usual_rows("paper")
    assert usual == [name for name in table1.ROWS if name != "searched:1"]
    others = {name: table1.ROWS[name] for name in usual if name not in ("7", "8", "10", "1")}
    assert [(row[0], row[1], row[2]) for row in others.values()] == [
        ("M-VAE, cosine", 10, None),
        ("M-VAE, `best_mnist`", 10, None),
        ("VAE, `best_mnist`", 1, None),
    ]


def test_a_row_of_our_own_joins_the_quick_table_where_it_is_asked_for(stored):
    folder, _, rebuild = stored
    where = [f"--output_dir={folder / 'more'}", f"--runs_dir={folder / 'runs'}"]
    rebuild(*where)
    rebuild("--rows=best:1", "--add", *where)
    result = json.loads((folder / "more" / "table1.json").read_text())
    assert list(table1.by_name(result)) == ["7", "8", "10", "1", "best:1"]
    assert result["complete"] and "--rows=7,8,10,1,best:1 " in result["command"]
    text = (folder / "more" / "table1.md").read_text()
    assert "| VAE, `best_mnist` |  1 |" in text and "`best_mnist`: our own settings" in text
    assert "osine" not in text and "not run" not in text


def test_rows_may_have_seeds_of_their_own(stored):
    folder, _, rebuild = stored
    part = [f"--output_dir={folder / 'own'}", f"--runs_dir={folder / 'runs'}"]
    rebuild("--rows=10@0,1", *part)
    first = json.loads((folder / "own" / "table1.json").read_text())
    assert [row["seeds"] for row in first["rows"]] == [[0], [0, 1]]
    assert "--seeds=0,1 --rows=10@0,1 " in first["command"]
    ended = rebuild("--rows=7@0,1@1", "--add", *part, status=1)
    assert "Received: a result of rows, and their seeds, 10 0; 1 0, 1." in ended.err
    rebuild("--rows=10@1,7@1", "--add", *part)
    grown = json.loads((folder / "own" / "table1.json").read_text())
    whole = table1.by_name(json.loads((folder / "out" / "table1.json").read_text()))
    assert [row["seeds"] for row in grown["rows"]] == [[1], [0, 1], [0, 1]]
    assert grown["rows"][1]["mse"] == whole["10"]["mse"]
    assert grown["rows"][0]["mse"]["per_seed"] == whole["7"]["mse"]["per_seed"][1:]
    assert "--rows=7@1,10,1 " in grown["command"] and grown["settings"]["seeds"] == [0, 1]
    again = [f"--output_dir={folder / 'again'}", f"--runs_dir={folder / 'runs'}"]
    rebuild("--rows=7@1,10,1", *again)
    one = json.loads((folder / "again" / "table1.json").read_text())
    assert grown.pop("elapsed_seconds") > 0 < one.pop("elapsed_seconds")
    assert json.dumps(grown) == json.dumps(one)  # seeds in the same order, too
    # Of mixtures and VAE the seed that all three have.
    worst = max(whole[name]["mse"]["per_seed"][1] for name in ("7", "10"))
    ahead = table1.ahead(grown)
    assert ahead.mean == pytest.approx(whole["1"]["mse"]["per_seed"][1] - worst)
    assert ahead.half == float("inf")
    text = (folder / "own" / "table1.md").read_text()
    assert "seeds 0, 1 (a row with @: those after it)." in text
    assert [line.split("|")[7].strip() for line in text.splitlines()[4:8]] == ["1", "-", "2", "2"]


def test_a_vae_of_the_same_search_has_the_settings_that_it_chose(stored):
    folder, _, rebuild = stored
    where = [f"--output_dir={folder / 'searched'}", f"--runs_dir={folder / 'runs'}"]
    ended = rebuild("--rows=searched:1", *where, status=1)
    assert "Expected a stored result of search_vae.py" in ended.err + ended.out
    path = folder / "searched" / "search_vae.json"
    found = json.loads((FIGURES / path.name).read_text())
    chosen = found["chosen"]
    path.write_text(json.dumps(found | {"chosen": {"model": {}, "protocol": {}}}))
    before = set((folder / "runs").iterdir())
    ended = rebuild("--rows=searched:1", *where, status=1)
    assert f"Expected a stored result in {path}. Received: one that is damaged" in ended.err
    assert set((folder / "runs").iterdir()) == before
    for other in (found, found | {"preset": "quick", "training_version": 0}):
        path.write_text(json.dumps(other))
        ended = rebuild("--rows=searched:1", *where, status=1)
        assert f"Expected {path} of preset quick, training version 1, to build on." in ended.err
    assert set((folder / "runs").iterdir()) == before
    path.write_text(json.dumps(found | {"preset": "quick"}))
    rebuild("--rows=searched:1", *where)
    result = json.loads((folder / "searched" / "table1.json").read_text())
    (row,) = result["rows"]
    assert (row["model"], row["num_components"], row["chosen"]) == ("VAE, same search", 1, chosen)
    new = set((folder / "runs").iterdir()) - before
    assert len(new) == 2  # seeds
    for path in new:
        settings = json.loads((path / "record.json").read_text())["settings"]
        usual = json.loads(json.dumps(presets.get("paper_mnist").model))
        seed = {"seed": settings["training"]["seed"]}
        assert settings["model"] == {**usual, **seed, "num_components": 1} | chosen["model"]
        training = settings["training"]
        assert chosen["protocol"].items() <= training.items() and training["batch_size"] == 64
    text = (folder / "searched" / "table1.md").read_text()
    assert "| VAE, same search |  1 |" in text and "(search_vae.py)" in text


def test_a_result_grown_by_rows_and_by_seeds_is_that_of_one_command(stored):
    folder, _, rebuild = stored

    def result(name, *steps):
        """Of several commands; the runs are the stored ones."""
        path = folder / name / "table1.json"
        for step in steps:
            rebuild(*step, f"--output_dir={path.parent}", f"--runs_dir={folder / 'runs'}")
        return json.loads(path.read_text())

    one = result("one", ["--rows=10,1"])
    first = ["--seeds=0", "--rows=1"], ["--seeds=0", "--rows=10", "--add"]
    assert [row["num_components"] for row in result("grown", *first)["rows"]] == [10, 1]
    grown = result("grown", ["--seeds=1", "--rows=10,1", "--add"])
    assert grown.pop("elapsed_seconds") > 0 < one.pop("elapsed_seconds")
    assert json.dumps(grown) == json.dumps(one)
    assert "--seeds=0,1 --rows=10,1 --precision" in grown["command"]
    table = (folder / "grown" / "table1.md").read_text()
    assert "±" in table and grown["command"] in table

    again = rebuild(
        "--seeds=1", "--rows=1", "--add", f"--output_dir={folder / 'grown'}",
        f"--runs_dir={folder / 'runs'}", status=1,
    )  # fmt: skip
    (line,) = again.err.splitlines()
    assert line.startswith("table1: Expected ") and "seeds, 10 0, 1; 1 0, 1." in line
    assert (folder / "grown" / "table1.md").read_text() == table


@pytest.mark.parametrize("flag", ["--add", "--only_print"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda result: result["rows"][-1].update(seeds=[0, 1, 2, 3]),
        lambda result: result["rows"][-1].update(seeds=None),
        lambda result: result["settings"].update(seeds="0,1"),
        lambda result: result["settings"].update(seeds=[]),
        lambda result: result["settings"].pop("model"),
        lambda result: result["rows"].append(result["rows"][0]),
        lambda result: result["rows"][1]["mse_per_pixel"]["per_seed"].__setitem__(0, None),
        lambda result: result["rows"][1]["mse"].update(mean=1.0),
        lambda result: result.update(choices=[]),
    ],
)
def test_damage_in_any_row_is_found_before_anything_is_trained(damage, flag, stored, tmp_path):
    folder, *_ = stored
    result = json.loads((folder / "out" / "table1.json").read_text())
    damage(result)
    (tmp_path / "table1.json").write_text(json.dumps(result))
    finished = script(flag, "--preset=quick", f"--output_dir={tmp_path}")
    assert finished.returncode == 1 and "Traceback" not in finished.stderr
    assert "Received: one that is damaged, or of another version" in finished.stderr


def test_rows_join_a_row_whose_training_diverged(stored):
    """NaN is not equal to itself: what is stored has not changed for that."""
    folder, _, rebuild = stored
    flags = [f"--runs_dir={folder / 'runs'}", f"--output_dir={folder / 'diverged'}"]
    rebuild("--rows=10", *flags)
    path = folder / "diverged" / "table1.json"
    result = json.loads(path.read_text())
    nan = float("nan")
    result["rows"][0]["mse"] = {"mean": nan, "std": nan, "per_seed": [nan, nan]}
    path.write_text(json.dumps(result))
    rebuild("--rows=1", "--add", *flags)
    assert list(table1.by_name(json.loads(path.read_text()))) == ["10", "1"]


def test_what_another_process_added_meanwhile_is_kept(stored):
    """It is read again after hours of training, and from then to the end none adds to it."""
    folder, _, rebuild = stored
    runs = f"--runs_dir={folder / 'runs'}"
    meanwhile, other = folder / "meanwhile", folder / "other"
    for output, *rows in ((meanwhile, "--rows=10"), (other, "--rows=10,8")):
        rebuild(*rows, runs, f"--output_dir={output}")
    program = folder / "grows_meanwhile.py"
    source = (folder / "program.py").read_text()
    head, rest = source.split("import mvae_tf, table1")
    program.write_text(f"""{head}
import filelock, shutil, mvae_tf, table1
rebuild, text, told = table1.rebuild, table1.text, []
def slow(*given):
    answer = rebuild(*given)
    shutil.copy({str(other / "table1.json")!r}, {str(meanwhile)!r})
    return answer
def locked(*given):
    told.append(0)
    if len(told) == 3:  # after what was stored before and after the training, the joined result
        try:
            filelock.FileLock({str(meanwhile / ".table1.lock")!r}, timeout=0).acquire()
        except filelock.Timeout:
            print("locked")
    return text(*given)
table1.rebuild, table1.text = slow, locked
{rest}""")
    flags = ["--preset=quick", "--seeds=0,1", "--rows=1", "--add", runs]
    finished = subprocess.run(
        [sys.executable, program, *flags, f"--output_dir={meanwhile}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "locked" in finished.stdout.splitlines()
    grown = json.loads((meanwhile / "table1.json").read_text())
    assert list(table1.by_name(grown)) == ["8", "10", "1"]
