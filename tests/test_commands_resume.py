"""`mvae-tf train --resume`, after an end, an interruption or a signal."""

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_runs import SMALL, weights

import mvae_tf
from mvae_tf.commands import program
from mvae_tf.commands.support import settings
from mvae_tf.commands.support.arguments import PROGRAM
from mvae_tf.training import run_folder

pytestmark = pytest.mark.usefixtures("recycled_runs")


def test_a_finished_run_says_so(run_train, run):
    status, out, err = run_train(f"--output_dir={run}", "--resume")
    assert status == 0 and out == f"{run / 'model.keras'}: done before, 2 epochs\n"
    assert "--epochs" in err
    (run / "model.keras").write_bytes(b"")
    shutil.rmtree(run / "checkpoints")
    status, out, err = run_train(f"--output_dir={run}", "--resume")
    assert status == 1 and out == "" and "damaged" in err and "no checkpoint" in err


def test_a_longer_run_is_the_same_as_one_made_so_from_the_start(run_train, run, tmp_path):
    assert run_train(f"--output_dir={run}", "--resume", "--epochs=4", "--num_components=2")[0] == 0
    whole = tmp_path / "whole"
    assert run_train("--data=digits", "--epochs=4", f"--output_dir={whole}", *SMALL)[0] == 0
    np.testing.assert_array_equal(weights(run), weights(whole))
    assert settings.read(run).training["epochs"] == 4


def test_a_run_that_was_only_begun_can_go_on(run_train, run, two_epochs, capsys):
    shutil.rmtree(run / "checkpoints")
    (run / "model.keras").unlink()
    (run / "record.json").unlink()
    assert program.main(["info", f"--model={run}"]) == 0
    assert "unfinished, 0 of 2 epochs" in capsys.readouterr().out
    assert run_train(f"--output_dir={run}", "--resume")[0] == 0
    np.testing.assert_array_equal(weights(run), weights(two_epochs))


def test_a_finished_run_without_checkpoints_cannot_grow(run_train, run):
    shutil.rmtree(run / "checkpoints")
    status, _, err = run_train(f"--output_dir={run}", "--resume", "--epochs=3")
    assert status == 1 and "Expected a checkpoint" in err


def test_flags_that_contradict_the_run_are_named(run_train, run):
    same = ["--num_components=2", "--hidden_units=16", "--seed=0", "--preset=paper_mnist"]
    # Of what came later than the settings of such a run: what it was trained with.
    same += ["--activation=relu", "--dropout=0", "--initializer=glorot_uniform"]
    different = ["--latent_dim=4", "--epochs=1", "--mixing=image", "--decoder_activation=elu,tanh"]
    status, _, err = run_train(f"--output_dir={run}", "--resume", *same, *different)
    assert status == 2
    received = err.partition("Received")[2]
    for flag in same:
        assert flag.partition("=")[0] not in received
    for flag in different:
        assert flag.partition("=")[0] in received


def test_the_images_may_move_but_not_change(run_train, tmp_path, digits):
    before, after = tmp_path / "before.npy", tmp_path / "after.npy"
    images = digits.train.images[:50]
    np.save(before, images)
    folder = f"--output_dir={tmp_path / 'run'}"
    assert run_train(f"--data={before}", folder, "--epochs=1", *SMALL)[0] == 0
    more = [folder, "--resume", "--epochs=2"]
    np.save(before, 255 - images)
    status, _, err = run_train(*more)
    assert status == 1 and "begun with" in err and "before.npy" in err
    assert program.main(["evaluate", f"--model={tmp_path / 'run'}"]) == 1
    before.unlink()
    status, _, err = run_train(*more)
    assert status == 1 and "before.npy" in err
    np.save(after, images)
    status, _, _ = run_train(*more, f"--data={after}")
    assert status == 0 and settings.read(tmp_path / "run").data["source"] == str(after)
    # Nor where nothing is left to do.
    after.rename(before)
    status, out, _ = run_train(*more, f"--data={before}")
    assert status == 0 and "done before" in out
    np.save(before, 255 - images)
    status, out, err = run_train(*more, f"--data={before}")
    assert status == 1 and "begun with" in err and "done before" not in out


SLOWER = ["--data=digits", "--epochs=3", *SMALL[:-1], "--batch_size=8"]


@pytest.fixture
def script(tmp_path):
    """The start of `mvae-tf`, as an installation makes it of what setup.cfg says."""
    declared = configparser.ConfigParser()
    declared.read(Path(__file__).parent.parent / "setup.cfg")
    (line,) = declared["options.entry_points"]["console_scripts"].strip().splitlines()
    name, module, function = re.fullmatch(r"(\S+) = (\S+):(\S+)", line).groups()
    assert name == PROGRAM
    path = tmp_path / name
    path.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    return [sys.executable, path]


def start(folder, program=(sys.executable, "-m", "mvae_tf")):
    command = [*program, "train", f"--output_dir={folder}", *SLOWER]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, env=os.environ | {"PYTHONUNBUFFERED": "1"})


def run_in_shell(*words):
    return subprocess.run(shlex.join(words), shell=True, text=True, stdout=-1, check=True).stdout


def wait_for(child, path):
    while child.poll() is None and not path.exists():
        time.sleep(0.005)


def test_ctrl_c_and_on_is_bit_identical(run_train, tmp_path, as_in_programs):
    folder = tmp_path / "my run"
    with start(folder) as child:
        wait_for(child, folder / "checkpoints" / "epoch-00001")
        time.sleep(0.05)  # amid the second epoch
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130 and out == ""
    assert "Traceback" not in err and str(folder / "checkpoints" / "epoch-0000") in err
    *program_words, command, where, resume = shlex.split(err.splitlines()[-1][len("To go on: ") :])
    assert (command, where, resume) == ("train", f"--output_dir={folder}", "--resume")
    assert run_in_shell(*program_words, "--version") == f"{PROGRAM} {mvae_tf.__version__}\n"
    others = [line for line in err.splitlines() if line and not line.startswith("epoch ")]
    # What it trains on and with, the answer to the signal, and where it stopped; not TensorFlow.
    assert len(others) == 5 + 1 + 3, err
    assert not (folder / "model.keras").exists()
    assert program.main(["info", f"--model={folder}"]) == 0
    assert program.main(["evaluate", f"--model={folder}"]) == 1
    assert run_train(f"--output_dir={folder}", "--resume")[0] == 0
    assert run_train(f"--output_dir={tmp_path / 'whole'}", *SLOWER)[0] == 0
    np.testing.assert_array_equal(weights(folder), weights(tmp_path / "whole"))


def test_sigterm_before_the_first_checkpoint(tmp_path, script):
    folder = tmp_path / "run"
    with start(folder, script) as child:
        wait_for(child, folder / settings.FILE)
        child.terminate()
        out, err = child.communicate(timeout=60)
    assert child.returncode == 143 and out == "" and "Traceback" not in err
    assert "No checkpoint yet" in err and f"--output_dir={folder} --resume" in err
    assert run_folder.last_checkpoint(folder) is None


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, program.Terminated)]
)
def test_a_signal_waits_for_the_step_and_the_second_does_not(number, raised, capsys):
    from mvae_tf.commands.support.stopping import between_steps

    before = signal.getsignal(number)
    with between_steps() as stop:
        stop.on_train_batch_begin(0)
        signal.raise_signal(number)
        assert "another signal stops at once" in capsys.readouterr().err
        with pytest.raises(raised):
            stop.on_train_batch_begin(1)
        with pytest.raises(raised):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before
