"""The classifier of images that scores are by, and the flags of the scripts on CIFAR-10."""

import dataclasses
import subprocess
import sys

import pytest
from absl import flags
from test_table3 import TABLE3

from mvae_tf.evaluation import image_classifiers, resnet
from mvae_tf.training import version
from support import runs


def test_a_classifier_is_trained_once_and_named_when_damaged(patches, tmp_path, monkeypatch):
    monkeypatch.setattr(resnet, "_WIDTHS", (8, 16))
    calls, train = [], resnet.train_classifier
    monkeypatch.setattr(
        resnet, "train_classifier", lambda *a, **k: calls.append(a) or train(*a, **k)
    )
    first = runs.image_classifier(patches, tmp_path, 1)
    assert runs.image_classifier(patches, tmp_path, 1).record == first.record
    assert len(calls) == 1
    other = dataclasses.replace(patches, digest="0" * 64)
    runs.image_classifier(other, tmp_path, 1)
    assert len(calls) == 2 and len(list(tmp_path.iterdir())) == 2
    for path in tmp_path.glob("*/model.keras"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(image_classifiers.ClassifierError, match="Move that folder away"):
        runs.image_classifier(patches, tmp_path, 1)


def test_another_version_is_another_classifier(patches, tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr(
        image_classifiers, "trained_classifier", lambda data, folder, epochs: folders.append(folder)
    )
    for number in (1, 1, 2):
        monkeypatch.setattr(version, "CLASSIFIER_VERSION", number)
        runs.image_classifier(patches, tmp_path, 1)
    assert folders[0] == folders[1] != folders[2]


def script(*arguments):
    return subprocess.run(
        [sys.executable, TABLE3, *arguments], capture_output=True, text=True, check=False
    )


def test_missing_inception_weights_end_it_in_one_line(tmp_path):
    finished = script(
        "--preset=quick",
        "--classifier=inception",
        f"--inception_weights={tmp_path / 'nowhere.h5'}",
        f"--output_dir={tmp_path / 'out'}",
        f"--runs_dir={tmp_path / 'runs'}",
    )
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line.startswith("table3: Expected a weights file at ") and "nowhere.h5" in line


@pytest.mark.parametrize(
    "argument", ["--rows=2:0.05", "--rows=4", "--split=test", "--classifier=resnet"]
)
def test_other_values_of_flags_are_refused(argument, tmp_path):
    finished = script(argument, "--only_print", f"--output_dir={tmp_path}")
    name = argument.split("=")[0].strip("-")
    assert finished.returncode != 0 and name in finished.stderr + finished.stdout
    assert "Traceback" not in finished.stderr


def test_the_command_tells_choices_and_no_paths(monkeypatch):
    from support import command_line, rows

    given = [
        "table3.py", "--preset=paper", "--split=heldout",
        "--classifier=inception", "--inception_weights=/data/weights.h5",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [str(TABLE3)])
    flags.FLAGS(given)
    try:
        settings = {"seeds": [0, 1], "training": {"precision": "float32"}}
        result = {"settings": settings, "rows": {"4:0.05": {}, "1:1": {}}}
        named = rows.Rows(["4:0.05", "1:1", "4:1"], lambda result: result["rows"])
        assert command_line.command(result, named) == (
            "python reproduce/table3.py --preset=paper --seeds=0,1 --split=heldout "
            "--classifier=inception --rows=4:0.05,1:1 --precision=float32 --jit=off"
        )
        # Rows without scores join a result that has some, by what it says.
        flags.FLAGS.classifier = "none"
        for stored, told in (("inception", " --classifier=inception"), ("cifar10", "")):
            result["choices"] = {"classifier": stored}
            assert command_line.command(result, named) == (
                f"python reproduce/table3.py --preset=paper --seeds=0,1 --split=heldout{told} "
                "--rows=4:0.05,1:1 --precision=float32 --jit=off"
            )
    finally:
        flags.FLAGS.unparse_flags()
        for name in ("preset", "split", "classifier", "inception_weights"):
            flags.FLAGS[name].unparse()


def test_scores_are_left_out_with_additions_alone(tmp_path):
    finished = script("--classifier=none", f"--output_dir={tmp_path}")
    told = finished.stdout + finished.stderr
    assert finished.returncode != 0 and "Expected --classifier=none with --add alone." in told
