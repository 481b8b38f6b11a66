import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from recycled import recycled

import mvae_tf
from mvae_tf import training
from mvae_tf.devices import feeds
from mvae_tf.training import checkpoints, loop

SCRIPT = Path(__file__).parent / "train_digits.py"
STEPS = 24  # an epoch: 1,500 digits in batches of 64


def run(folder, epochs=4, kill_after=-1, **kwargs):
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, SCRIPT, folder, str(epochs), str(kill_after)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **kwargs,
    )


def weights(folder):
    return np.load(folder / "weights.npy")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert run(folder).returncode == 0
    return weights(folder)


@pytest.mark.parametrize(
    "kills",
    [
        [2 * STEPS + 5],
        pytest.param([3], marks=pytest.mark.slow),
        pytest.param([STEPS - 1, STEPS - 1, 0, 2 * STEPS], marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_is_bit_identical(kills, uninterrupted, tmp_path):
    for kill_after in kills:
        assert run(tmp_path, kill_after=kill_after).returncode == -signal.SIGKILL
        assert not (tmp_path / "weights.npy").exists()
    finished = run(tmp_path)
    assert finished.returncode == 0, finished.stderr
    np.testing.assert_array_equal(weights(tmp_path), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(6))
def test_killed_at_any_moment_is_bit_identical(attempt, uninterrupted, tmp_path):
    """Killed from outside at a random time, also amid the writing of a checkpoint."""
    moment = np.random.default_rng(attempt).uniform(0.0, 1.5)
    command = [sys.executable, SCRIPT, tmp_path, "4", "-1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        while child.poll() is None and not (tmp_path / "checkpoints").exists():
            time.sleep(0.01)
        time.sleep(moment)
        child.kill()
    finished = run(tmp_path)
    assert finished.returncode == 0, finished.stderr
    np.testing.assert_array_equal(weights(tmp_path), uninterrupted)


@recycled
def make():
    model = mvae_tf.MixtureVAE((8, 8, 1), 2, 2, (8,), seed=0)
    model.compile(optimizer="adam")
    return model


def train(digits, directory, epochs=3, model=None):
    model = model or make()
    history = training.train(
        model, digits.train, epochs=epochs, directory=directory, progress=False
    )
    return model, history


def test_history_has_every_epoch_and_finished_runs_do_nothing(digits, tmp_path):
    model, history = train(digits, tmp_path)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert {"loss", "melbo", "kl_z", "kl_w", "dhsic", "mse", "seconds"} < history[0].keys()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-00002", "epoch-00003"]
    began = time.monotonic()
    again, same = train(digits, tmp_path)
    assert time.monotonic() - began < 2
    assert same == history
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    _, longer = train(digits, tmp_path, epochs=5)
    assert longer[:3] == history and len(longer) == 5


def test_order_of_images_depends_on_seed_and_epoch_alone(digits):
    def order(seed, first, last):
        orders = loop._orders(len(digits.train), seed, first, last)
        batches = digits.train.gather(feeds.batches(orders, 100))
        return np.concatenate(list(batches.as_numpy_iterator()))

    both = order(1, 0, 2)
    count = len(digits.train)
    np.testing.assert_array_equal(both[count:], order(1, 1, 2))
    assert np.any(both[:count] != both[count:]) and np.any(both[:count] != order(2, 0, 1))
    for epoch in (both[:count], both[count:]):
        np.testing.assert_allclose(
            np.sort(epoch.sum(axis=(1, 2, 3))),
            np.sort(digits.train.float_images().sum(axis=(1, 2, 3))),
            rtol=1e-5,
        )


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "flipped": lambda path: path.write_bytes(
        (whole := bytearray(path.read_bytes()))[: len(whole) // 2]
        + bytes([whole[len(whole) // 2] ^ 1])
        + whole[len(whole) // 2 + 1 :]
    ),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *(("state.data-00000-of-00001", damage) for damage in DAMAGES),
        *(("state.index", damage) for damage in DAMAGES),
        ("history.json", "truncated"),
        ("history.json", "missing"),
    ],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    digits, tmp_path, file, damage, caplog, finished
):
    shutil.copytree(finished[1], tmp_path, dirs_exist_ok=True)
    DAMAGES[damage](tmp_path / "epoch-00003" / file)
    model, history = train(digits, tmp_path)
    assert "epoch-00003" in caplog.text
    assert len(history) == 3
    np.testing.assert_array_equal(model.get_weights()[0], finished[0])


@pytest.fixture(scope="module")
def finished(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    model, _ = train(digits, folder)
    return model.get_weights()[0], folder


def test_with_every_checkpoint_damaged_nothing_is_thrown_away(digits, tmp_path, finished):
    shutil.copytree(finished[1], tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("*/state.index"):
        path.write_bytes(b"")
    with pytest.raises(training.CheckpointError, match="None of the checkpoints in .* can be read"):
        train(digits, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def doctored(path, epochs):
    file = path / "history.json"
    file.write_text(json.dumps(json.loads(file.read_text())[:epochs]))


@pytest.mark.parametrize("change", ["shorter", "another epoch's", "another name"])
def test_a_checkpoint_whose_history_does_not_fit_is_passed_over(digits, tmp_path, finished, change):
    """A good one may be of the same epoch's name, and nothing that is whole is lost."""
    shutil.copytree(finished[1], tmp_path, dirs_exist_ok=True)
    newest, before = tmp_path / "epoch-00003", tmp_path / "epoch-00002"
    if change == "shorter":
        doctored(newest, 1)
    elif change == "another epoch's":
        for file in before.glob("state.*"):
            shutil.copy(file, newest)
    else:
        newest.rename(tmp_path / "epoch-00009")
    model, history = train(digits, tmp_path)
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3]
    np.testing.assert_array_equal(model.get_weights()[0], finished[0])
    assert before.exists() and newest.exists()


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError()])
def test_a_checkpoint_that_may_not_be_read_is_not_taken_for_damaged(
    digits, tmp_path, finished, monkeypatch, error
):
    shutil.copytree(finished[1], tmp_path, dirs_exist_ok=True)

    def refused(path):
        raise error

    monkeypatch.setattr(checkpoints.stored, "read_history", refused)
    with pytest.raises(training.CheckpointError, match="epoch-00003 to be read.*left as it is"):
        train(digits, tmp_path)


def test_beyond_the_epochs_that_have_five_digits(digits, tmp_path, monkeypatch):
    """Checkpoints are found, the newest by number, and the older ones dropped."""
    train(digits, tmp_path, epochs=2)
    monkeypatch.setattr(checkpoints.stored, "checkpoint_name", lambda n: f"epoch-{n + 99998:05d}")
    monkeypatch.setattr(
        checkpoints.stored, "epochs_of", lambda path: int(path.name[len("epoch-") :]) - 99998
    )
    for path in sorted(tmp_path.iterdir(), reverse=True):
        path.rename(tmp_path / f"epoch-{int(path.name[-5:]) + 99998}")
    _, history = train(digits, tmp_path, epochs=3)
    assert len(history) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-100000", "epoch-100001"]


def test_a_checkpoint_of_another_model_is_refused(digits, tmp_path, finished):
    shutil.copytree(finished[1], tmp_path, dirs_exist_ok=True)
    other = mvae_tf.MixtureVAE((8, 8, 1), 3, 2, (8,), seed=0)
    other.compile(optimizer="adam")
    with pytest.raises(training.CheckpointError, match="can be read"):
        train(digits, tmp_path, model=other)


def test_what_a_killed_writer_left_is_ignored(digits, tmp_path):
    aside = tmp_path / "writing"
    aside.mkdir()
    (aside / "state.index").write_bytes(b"half")
    _, history = train(digits, tmp_path, epochs=1)
    assert len(history) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001"]


def test_a_folder_that_cannot_be_written_is_named(digits, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(training.CheckpointError, match="file.*could not be written.*Kept: none"):
        train(digits, tmp_path / "file" / "run", epochs=1)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_loses_nothing_that_was_complete(digits, tmp_path):
    train(digits, tmp_path, epochs=1)
    before = (tmp_path / "epoch-00001" / "state.index").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        with pytest.raises(training.CheckpointError, match="Kept: epoch-00001. Make room"):
            train(digits, tmp_path, epochs=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "epoch-00001" / "state.index").read_bytes() == before
    _, history = train(digits, tmp_path, epochs=2)
    assert len(history) == 2


def test_progress_is_a_line_an_epoch_in_a_log(digits, capsys):
    training.train(make(), digits.train, epochs=2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "kl_w" in lines[0] and lines[0].endswith("left")


def test_progress_is_a_bar_on_a_terminal(digits, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    training.train(make(), digits.train, epochs=2, batch_size=10)
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown and "300/300" in shown and "mse" in shown


@pytest.mark.parametrize(
    ("num_images", "batch_size", "expected"),
    [
        (60_000, 128, 7),  # 469 steps, 7 * 67
        (1_500, 64, 12),
        (1_501, 100, 16),
        (10_000, 64, 1),  # 157, a prime
        (5, 128, 1),
        (96, 8, 12),
    ],
)
def test_steps_of_an_execution_divide_an_epoch(num_images, batch_size, expected):
    assert training.steps_per_execution(num_images, batch_size) == expected


def test_several_steps_in_one_execution_are_the_same_steps(digits, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    def trained(steps):
        model = make.new()
        model.compile(optimizer="adam", steps_per_execution=steps)
        history = training.train(
            model, digits.train, validation=digits.test, epochs=2, batch_size=64
        )
        terms = [{name: row[name] for name in row if name != "seconds"} for row in history]
        return model.get_weights(), terms, capsys.readouterr().err

    (plain, plain_terms, _), (several, terms, shown) = trained(1), trained(12)
    assert terms == plain_terms
    for one, other in zip(plain, several, strict=True):
        np.testing.assert_array_equal(one, other)
    assert f"{2 * STEPS}/{2 * STEPS}" in shown  # the bar counts steps, not executions


@pytest.mark.parametrize("argument", ["epochs", "batch_size"])
def test_refuses_nonsense(digits, argument):
    with pytest.raises(ValueError, match=argument):
        training.train(make(), digits.train, **{"epochs": 1, argument: 0})


def test_a_checkpoints_history_is_json(finished):
    history = json.loads((finished[1] / "epoch-00003" / "history.json").read_text())
    assert len(history) == 3


def test_keeps_the_optimizers_state(digits, tmp_path):
    """Two epochs at once and one after the other: the same, with an optimizer that has a state."""
    whole, _ = train(digits, None, epochs=2)
    train(digits, tmp_path, epochs=1)
    parts, _ = train(digits, tmp_path, epochs=2)
    assert int(parts.optimizer.iterations) == int(whole.optimizer.iterations)
    for one, other in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_validation_is_measured_and_changes_nothing(digits, capsys):
    plain, _ = train(digits, None, epochs=2)
    model = make()
    history = training.train(model, digits.train, validation=digits.test, epochs=2)
    for one, other in zip(plain.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    squared = (model.reconstruct(digits.test.float_images()) - digits.test.float_images()) ** 2
    expected = np.mean(np.sum(squared, axis=(1, 2, 3)))
    assert history[-1]["val_mse"] == pytest.approx(expected, rel=1e-5)
    assert "val_" not in capsys.readouterr().err
