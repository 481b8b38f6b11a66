"""A run's folder, and TensorFlow's quiet start."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

import mvae_tf
from mvae_tf import startup
from mvae_tf.training import run_folder
from mvae_tf.training.version import TRAINING_VERSION, NewerRunError

MODEL = {"image_shape": (8, 8, 1), "num_components": 2, "latent_dim": 2, "hidden_units": (8,)}
TRAINING = {
    "epochs": 2,
    "batch_size": 500,
    "optimizer": "Adam",
    "learning_rate": 1e-3,
    "decay": "none",
    "seed": 3,
    "precision": "float32",
}

pytestmark = pytest.mark.usefixtures("recycled_runs")


def settings(**training):
    return {"model": MODEL | {"seed": 5}, "training": TRAINING | training}


def train(digits, folder, *, keep_checkpoints=False, notes=None, **training):
    folder.mkdir(exist_ok=True)
    chosen = settings(**training)
    model = run_folder.build(chosen, len(digits.train))
    record = run_folder.train(
        model, chosen, digits, folder, notes=notes, keep_checkpoints=keep_checkpoints
    )
    return model, record


@pytest.fixture(scope="module")
def finished(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, *train(digits, folder, notes={"code": "x"})


def test_a_run_takes_several_steps_in_one_execution(digits):
    assert run_folder.build(settings(batch_size=64), len(digits.train)).steps_per_execution == 12


def test_a_finished_run_has_a_model_and_a_record_of_it(digits, finished):
    folder, model, record = finished
    assert sorted(path.name for path in folder.iterdir()) == ["model.keras", "record.json"]
    assert run_folder.is_finished(folder) and run_folder.last_checkpoint(folder) is None
    assert json.loads((folder / "record.json").read_text()) == json.loads(json.dumps(record))
    assert run_folder.read_record(folder)["code"] == "x"
    assert record["dataset"] == {"name": "digits", "digest": digits.digest}
    run = run_folder.load(folder)
    assert [epoch["epoch"] for epoch in run.history] == [1, 2]
    assert run.seconds == pytest.approx(sum(epoch["seconds"] for epoch in run.history), abs=0.01)
    for one, other in zip(model.get_weights(), run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_made_longer_is_the_long_run(digits, tmp_path):
    train(digits, tmp_path, keep_checkpoints=True)
    longer, record = train(digits, tmp_path, epochs=3, keep_checkpoints=True)
    whole, _ = train(digits, tmp_path / "whole", epochs=3)
    assert len(record["history"]) == 3
    assert run_folder.last_checkpoint(tmp_path).name == "epoch-00003"
    for one, other in zip(whole.get_weights(), longer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_older_record_never_vouches_for_a_newer_model(digits, tmp_path, monkeypatch):
    """Killed between the new model and its record, the run is an unfinished one, not damaged."""
    train(digits, tmp_path, keep_checkpoints=True)

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_folder, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        train(digits, tmp_path, epochs=3, keep_checkpoints=True)
    assert not run_folder.is_finished(tmp_path)
    monkeypatch.undo()
    train(digits, tmp_path, epochs=3)
    assert len(run_folder.load(tmp_path).history) == 3


def test_the_learning_rate_falls_along_a_cosine(digits):
    model = run_folder.build(settings(decay="cosine", epochs=4), len(digits.train))
    rate = model.optimizer.learning_rate
    assert float(rate) == pytest.approx(1e-3)
    model.optimizer.iterations.assign(6)  # of 4 epochs of 3 steps
    assert float(model.optimizer.learning_rate) == pytest.approx(5e-4)
    model.optimizer.iterations.assign(12)
    assert float(model.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("rate", [0.0, float("nan"), float("inf")])
def test_refuses_a_learning_rate_that_is_none(digits, rate):
    with pytest.raises(ValueError, match="learning_rate"):
        run_folder.build(settings(learning_rate=rate), len(digits.train))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\x00", b'{"model_sha256": "0"}'])
def test_a_damaged_record_is_named(tmp_path, finished, content):
    (tmp_path / "model.keras").write_bytes((finished[0] / "model.keras").read_bytes())
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(run_folder.DamagedRunError, match="is damaged .*Move that folder away"):
        run_folder.load(tmp_path)


def test_a_run_of_a_newer_version_is_left_alone(tmp_path, finished):
    for path in finished[0].iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    record = json.loads((tmp_path / "record.json").read_text())
    for number, refused in ((TRAINING_VERSION, False), (TRAINING_VERSION + 1, True)):
        newer = {**record, "training_version": number}
        (tmp_path / "record.json").write_text(json.dumps(newer))
        expected = pytest.raises(NewerRunError, match=f"Received: {number}, of a newer mvae_tf")
        with expected if refused else contextlib.nullcontext():
            run_folder.load(tmp_path)


def test_the_history_is_that_of_the_newest_readable_checkpoint(digits, tmp_path):
    assert run_folder.read_history(tmp_path) == []
    _, record = train(digits, tmp_path, keep_checkpoints=True)
    assert run_folder.read_history(tmp_path) == record["history"]
    (tmp_path / "checkpoints" / "epoch-00002" / "history.json").write_text("[{")
    assert run_folder.read_history(tmp_path) == record["history"][:1]


def test_callbacks_come_before_the_checkpoint(digits, tmp_path):
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, logs["mse"], run_folder.last_checkpoint(tmp_path)))

    model = run_folder.build(settings(), len(digits.train))
    record = run_folder.train(model, settings(), digits, tmp_path, callbacks=[Look()])
    assert seen[0][2] is None and seen[1][2].name == "epoch-00001"
    assert [mse for _, mse, _ in seen] == [epoch["mse"] for epoch in record["history"]]


HOLD = """
import sys
from pathlib import Path
from mvae_tf.training import run_folder
with run_folder.locked(Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold(folder):
    command = [sys.executable, "-c", HOLD, folder]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_processes_do_not_train_the_same_run_at_once(tmp_path, capsys):
    folder = tmp_path / "a run"
    assert not run_folder.is_busy(folder)
    with hold(folder) as other:
        assert other.stdout.readline() == "held\n"
        assert run_folder.is_busy(folder)
        with (
            pytest.raises(run_folder.BusyRunError, match="a run.*one that trains"),
            run_folder.locked(folder, wait=False),
        ):
            pass
        # Once the other is told to go on, so that the message comes while it still is at work.
        threading.Timer(1.0, lambda: (other.stdin.write("\n"), other.stdin.flush())).start()
        with run_folder.locked(folder, wait=True):
            assert other.wait(timeout=5) == 0
    assert "Waiting for another process that trains a run." in capsys.readouterr().err
    assert not run_folder.is_busy(folder)


def test_a_killed_process_holds_no_lock(tmp_path):
    with hold(tmp_path) as other:
        assert other.stdout.readline() == "held\n" and run_folder.is_busy(tmp_path)
        other.kill()
        other.wait()
        assert not run_folder.is_busy(tmp_path)
        with run_folder.locked(tmp_path, wait=False):
            assert run_folder.is_busy(tmp_path)


def test_a_look_at_a_run_stops_nobody(tmp_path):
    """Some look at a folder all the time; none of them, and no training, finds it busy."""
    with run_folder.locked(tmp_path, wait=False):
        pass
    with ThreadPoolExecutor(4) as looking:
        looks = [looking.submit(run_folder.is_busy, tmp_path) for _ in range(200)]
        for _ in range(20):
            with run_folder.locked(tmp_path, wait=False):
                pass
            time.sleep(0.005)
    # Each was under 0.1 s at work, and so looked free to whoever waited for it.
    assert not any(look.result() for look in looks)


def test_a_folder_that_cannot_be_written_can_be_looked_at(tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    with hold(tmp_path) as other:
        assert other.stdout.readline() == "held\n"
        monkeypatch.setattr(run_folder.filelock.FileLock, "acquire", refused)
        assert run_folder.is_busy(tmp_path)
        other.kill()
        other.wait()
        assert not run_folder.is_busy(tmp_path)


def test_write_text_never_shows_a_part(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        run_folder.write_text(path, "new \ud800")
    assert path.read_text() == "old"
    run_folder.write_text(path, "new")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["new"]


def test_a_failing_start_still_shows_its_messages(capfd):
    with pytest.raises(ImportError), startup._stderr_set_aside():
        os.write(2, b"the native reason\n")
        raise ImportError
    assert "the native reason" in capfd.readouterr().err
    with startup._stderr_set_aside():
        os.write(2, b"chatter\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_mixed_precision_is_a_setting(digits):
    model = run_folder.build(settings(precision="mixed_bfloat16"), len(digits.train))
    assert model.dtype_policy.name == "mixed_bfloat16"
    assert mvae_tf.MixtureVAE(**MODEL).dtype_policy.name == "float32"
