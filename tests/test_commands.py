"""`mvae-tf`, the program: flags, errors, and how it ends."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import types
import zipfile

import keras
import pytest

import mvae_tf
from mvae_tf.commands import program
from mvae_tf.commands.program import COMMANDS
from mvae_tf.commands.support import settings


@pytest.fixture(scope="module")
def run(two_epochs):
    return two_epochs


def test_help_version_and_info_start_no_tensorflow(run):
    code = f"""
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from mvae_tf.commands import program
for argv in ([], ["--help"], ["--version"], *([name, "--help"] for name in program.COMMANDS)):
    assert program.main(argv) == 0, argv
assert program.main(["info", {f"--model={run}"!r}]) == 0
assert program.main(["train", "--batch_size=0"]) == 2
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for expected in (*program.COMMANDS, mvae_tf.__version__, "--num_samples", "2 of 2 epochs"):
        assert expected in done.stdout
    assert len(done.stderr.splitlines()) == 2 and "--batch_size=0" in done.stderr


def test_an_unknown_command_is_guessed(call):
    status, out, err = call("trian")
    assert status == 2 and out == "" and "Did you mean train?" in err
    assert "Did you mean" not in call("zzzzz")[2]


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["train"], "--data"),
        (["train", "--data=digits", "--num_components=0"], "--num_components=0"),
        (["train", "--data=digits", "--epochs=ten"], "--epochs=ten"),
        (["train", "--data=digits", "--epoch=3"], "epochs"),
        (["train", "--data=digits", "--hidden_units=32,,4"], "--hidden_units=32,,4"),
        (["train", "--data=digits", "--hidden_units=-1"], "--hidden_units=-1"),
        (["train", "--data=digits", "--image_size=8"], "--image_size=8"),
        (["train", "--data=digits", "--preset=paper"], "--preset=paper"),
        (["train", "--data=digits", "--seed=4294967296"], "--seed=4294967296"),
        (["train", "--data=digits", "--precision=bfloat16"], "--precision=bfloat16"),
        (["train", "--data=digits", "--mixed_precision"], "mixed_precision"),
        (["train", "--data=digits", "3"], "Received: 3"),
        (["train", "--data"], "--data"),
        (["train", "--resume", "--output_dir=nowhere"], "nowhere"),
        (["evaluate"], "--model"),
        (["evaluate", "--model=x", "--part=some"], "--part=some"),
        (["sample", "--model=x", "--output=y", "--count=0"], "--count=0"),
        (["sample", "--model=x"], "--output"),
        (["export", "--model=x"], "--output"),
        (["export", "--model=x", "--output=y", "--precision=int8"], "--format=tflite"),
        (["export", "--model=x", "--output=y", "--format=onnx", "--score_samples=9"], "score"),
        (["serve"], "--model"),
        (["serve", "--model=x", "--port=65536"], "--port=65536"),
        (["serve", "--model=x", "--max_batch=0"], "--max_batch=0"),
        (["info"], "--model"),
    ],
)
def test_wrong_flags_are_named(call, argv, named):
    status, out, err = call(*argv)
    assert status == 2 and out == ""
    assert err.startswith(f"mvae-tf {argv[0]}: ") and named in err
    assert err.endswith(f"\nSee mvae-tf {argv[0]} --help.\n")


def test_the_program_is_called_by_one_name(call):
    """In every help text; how else it can be started is said once."""
    texts = [call(*argv)[1] for argv in (["--help"], *([each, "--help"] for each in COMMANDS))]
    for text in texts:
        assert "mvae-tf " in text and "mvae_tf " not in text.replace("python -m mvae_tf is", "")
    assert sum(text.count("python -m") for text in texts) == 1
    assert call("--version") == (0, f"mvae-tf {mvae_tf.__version__}\n", "")
    assert call("trian")[2].endswith("Did you mean train? See mvae-tf --help.\n")


def test_a_command_to_copy_starts_this_installation(tmp_path, monkeypatch):
    """By its script's name only where a shell would find that script, and not another's."""
    ours, others = tmp_path / "ours", tmp_path / "others"
    for folder in (ours, others):
        folder.mkdir()
        (folder / "mvae-tf").write_text("#!/bin/sh\n")
        (folder / "mvae-tf").chmod(0o755)
    monkeypatch.setattr(settings.sysconfig, "get_path", lambda name: str(ours))
    in_full = f"{shlex.quote(sys.executable)} -m mvae_tf info '--model=a run'"
    for path, line in (
        ([ours, others], "mvae-tf info '--model=a run'"),
        ([others, ours], in_full),
        ([tmp_path], in_full),
    ):
        monkeypatch.setenv("PATH", os.pathsep.join(map(str, path)))
        assert settings.command_line("info", "--model=a run") == line
    (ours / "mvae-tf").unlink()  # not installed, but in the Python path
    monkeypatch.setenv("PATH", str(others))
    assert settings.command_line("info", "--model=a run") == in_full


def test_flags_of_one_call_are_gone_in_the_next(call, run):
    assert json.loads(call("info", f"--model={run}", "--json")[1])["run"] == str(run)
    assert not call("info", f"--model={run}")[1].startswith("{")


@pytest.mark.parametrize(
    "command", ["info", "evaluate", "reconstruct", "sample", "export", "serve"]
)
def test_a_model_that_is_not_there_is_named(call, tmp_path, command):
    output = (
        [f"--output={tmp_path / 'out'}"] if command not in ("info", "evaluate", "serve") else []
    )
    for path in (tmp_path / "no such", tmp_path):
        status, out, err = call(command, f"--model={path}", *output)
        assert status == 1 and out == "" and str(path) in err and len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def flip(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "[]")


DAMAGES = {
    "empty": lambda path, whole: path.write_bytes(b""),
    "text": lambda path, whole: path.write_text("no model"),
    "truncated": lambda path, whole: path.write_bytes(whole[:-300]),
    "flipped": lambda path, whole: path.write_bytes(flip(whole, len(whole) // 2)),
    "another zip": lambda path, whole: other_zip(path),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(call, run, tmp_path, damage):
    path = tmp_path / "m.keras"
    DAMAGES[damage](path, (run / "model.keras").read_bytes())
    for command in ("info", "evaluate"):
        status, out, err = call(command, f"--model={path}")
        assert status == 1 and out == ""
        assert (
            err.startswith(f"mvae-tf {command}: Expected a whole .keras file") and str(path) in err
        )


def test_classes_that_are_not_known_need_python(call, tmp_path):
    @keras.saving.register_keras_serializable(package="own")
    class Own(mvae_tf.MixtureVAE):
        pass

    path = tmp_path / "own.keras"
    Own((8, 8, 1), 1, 2, (4,)).save(path)
    keras.saving.get_custom_objects().pop("own>Own")
    status, _, err = call("evaluate", f"--model={path}", "--data=digits")
    assert status == 1 and "Only Python can load it: import that class" in err
    assert ": Own, " in call("info", f"--model={path}")[1]


def test_a_model_of_another_kind_is_refused(call, tmp_path):
    path = tmp_path / "other.keras"
    keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Flatten()]).save(path)
    status, _, err = call("evaluate", f"--model={path}", "--data=digits")
    assert status == 1 and "Expected a MixtureVAE" in err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("Expected x. Received: y."), 1),
        (OSError(28, "No space left on device"), 1),
        (FloatingPointError("not finite"), 1),
        (MemoryError(), 1),
        (BrokenPipeError(), 0),
        (KeyboardInterrupt(), 130),
        (program.Terminated(), 143),
        (ValueError("a mistake of ours"), None),
        (TypeError("another"), None),
    ],
)
def test_every_end_has_its_status(call, monkeypatch, error, status):
    def fail(argv):
        raise error

    command = types.SimpleNamespace(main=fail)
    monkeypatch.setattr(program.importlib, "import_module", lambda name: command)
    if status is None:
        with pytest.raises(type(error)):
            call("info")
    else:
        shown = call("info")
        assert shown[0] == status and len(shown[2].splitlines()) == (status != 0)


def test_stdout_closed_early_or_full_does_no_harm():
    command = [sys.executable, "-m", "mvae_tf", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as closed:
        closed.stdout.close()
        assert closed.stderr.read() == b"" and closed.wait() == 0
    if sys.platform == "linux":
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert done.returncode == 1
        assert "No space left" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a full disk")
def test_a_full_stderr_leaves_the_exit_status(unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "mvae_tf", "nosuch"]
        assert subprocess.run(command, stderr=full, check=False).returncode == program.USAGE


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ("export --model=x", "Expected --output, a folder that ends in"),
        ("train --batch_size=99999999999999999999", "Expected --batch_size to be an integer from"),
        ("train --learning_rate=inf", "Expected --learning_rate to be a finite number above 0"),
        ("train --kl_weight=1e39", "Expected --kl_weight to be a finite number of at least 0"),
        ("train --data=~nosuchuser/x", "Expected --data to be a path. Received: ~nosuchuser/x"),
        ("train --data=digits --output_dir=~nosuchuser/x", "Expected --output_dir to be a path"),
        ("info --model=~nosuchuser/x", "Expected --model to be a path"),
        ("train --precision=x", "Expected --precision to be one of auto, float32"),
        ("train --hidden_units=1,x", "Expected --hidden_units to be whole numbers"),
        ("train --resume=perhaps", "Expected --resume to be true or false"),
        ("train --epoch=1", "Received: --epoch. Did you mean --epochs?"),
        ("train --data", "Expected --data=VALUE. Received: no value"),
        (
            "sample --model=x --output=y --count=10001",
            "Expected --count to be an integer from 1 to",
        ),
    ],
)
def test_wrong_flags_are_refused_in_one_form(call, argv, told):
    status, out, err = call(*argv.split())
    line, see = err.splitlines()
    assert (status, out) == (2, "") and told in line and "Received: " in line
    assert see == f"See mvae-tf {argv.split()[0]} --help."


def test_an_output_in_the_way_is_found_before_the_model_is_loaded(call, run, tmp_path, monkeypatch):
    monkeypatch.setattr("mvae_tf.commands.support.sources.load_model", None)
    (tmp_path / "file").write_text("")
    for command in ("export", "sample", "reconstruct"):
        for output in ("file/1", "file/x.png", "file"):
            status, out, err = call(
                command, f"--model={run}", f"--output={tmp_path / output}", *DIGITS[command]
            )
            assert (status, out) == (1, "") and "Expected " in err and "file" in err
    assert (tmp_path / "file").read_text() == ""


DIGITS = {"export": [], "sample": [], "reconstruct": ["--data=digits"]}


def test_an_export_to_a_full_disk(call, run, tmp_path):
    """A SavedModel is more than 40 KiB; once there is room the same command works."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    export = ["export", f"--model={run}", f"--output={disk / 'serving'}"]
    try:
        status, out, err = call(*export)
        assert (status, out) == (1, "") and len(err.splitlines()) == 1
        assert str(disk / "serving") in err and "No space left" in err
        assert not list((disk / "serving").iterdir())
        subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
        assert call(*export)[0] == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)
