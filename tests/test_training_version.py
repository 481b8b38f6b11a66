"""What training computes is what its version says; and what bears the version."""

import copy
import dataclasses
import json

import golden_trainings as golden
import pytest

from mvae_tf.commands import program
from mvae_tf.commands.support import settings
from mvae_tf.evaluation import image_classifiers, resnet
from mvae_tf.training import run_folder, version

ADVICE = """\
{what} computes something else than when version {number} of it was declared:

{differences}

If that was not meant, there is a mistake. If it was, raise {name} in mvae_tf/training/version.py,
run `python tests/golden_trainings.py --write`, and say in CHANGELOG.md what is computed otherwise:
stored runs are then trained anew, and stored results are of an earlier version. If only rounding
has changed, by another library or processor, say so and rewrite the values alone.
"""


@pytest.fixture(scope="module")
def stored():
    return json.loads(golden.STORED.read_text())


@pytest.fixture(scope="module")
def computed(nursery):
    def computed(*arguments):
        """What is computed now, by a process that sees no GPU."""
        unseen = {"CUDA_VISIBLE_DEVICES": "-1"}
        done = nursery.run(golden.__file__, "--json", *arguments, env=unseen)
        assert done.status == 0, done.err
        return json.loads(done.out)

    return computed


@pytest.fixture(scope="module")
def now(computed):
    return computed()


def advice(differences, number, what="Training", name="TRAINING_VERSION"):
    told = "\n".join(differences)
    return ADVICE.format(what=what, number=number, name=name, differences=told)


def test_training_computes_what_its_version_says(now, stored):
    told = golden.differences(now, stored)
    assert not told, advice(told, stored["training_version"])


@pytest.mark.slow
def test_compiled_training_computes_what_its_version_says(computed, stored):
    told = golden.compiled_differences(computed("--compiled"), stored)
    assert not told, advice(told, stored["training_version"])


def test_the_classifiers_training_computes_what_its_version_says(now, stored):
    told = golden.classifier_differences(now, stored)
    number = stored["classifier_version"]
    assert not told, advice(told, number, "The classifier's training", "CLASSIFIER_VERSION")


def test_the_values_are_of_the_present_versions_and_of_all_cases(stored):
    written = "After a version is raised: python tests/golden_trainings.py --write"
    assert stored["training_version"] == version.TRAINING_VERSION, written
    assert stored["classifier_version"] == version.CLASSIFIER_VERSION, written
    assert list(stored["trainings"]) == list(golden.CASES), written
    assert list(stored["compiled"]) == list(golden.COMPILED), written


def all_differences(now, stored):
    compared = (golden.differences, golden.compiled_differences, golden.classifier_differences)
    return [line for differences in compared for line in differences(now, stored)]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (("optimizer", "none", 7), "optimizer, decay none: update"),
        (("trainings", 0, "terms", 1, "kl_z"), "epoch 2, kl_z"),
        (("trainings", 0, "variables", 0, "initial", 0), "variable 0 [3, 64, 12], initial"),
        (("trainings", 0, "variables", 0, "change", 0), "variable 0 [3, 64, 12], change"),
        (("classifier", "variables", 0, "change", 0), "classifier: variable 0"),
        (("compiled", 0, "terms", 0, "mse"), "epoch 1, mse"),
    ],
)
def test_every_number_is_compared(stored, path, told):
    other = copy.deepcopy(stored)
    part = other
    for key in path[:-1]:
        part = list(part.values())[key] if isinstance(part, dict) and key == 0 else part[key]
    for broken in (part[path[-1]] * 1.02, float("nan")):
        part[path[-1]] = broken
        (line,) = all_differences(other, stored)
        assert told in line
    assert all_differences(stored, stored) == []


# What bears the version --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    flags = ["--num_components=1", "--latent_dim=2", "--hidden_units=4", "--batch_size=500"]
    flags += ["--data=digits", "--epochs=1", "--precision=float32"]
    assert program.main(["train", f"--output_dir={folder}", *flags]) == 0
    return folder


def rewritten(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def without(content):
    return {name: value for name, value in content.items() if name != "training_version"}


def info(folder, capsys):
    capsys.readouterr()
    assert program.main(["info", f"--model={folder}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert program.main(["info", f"--model={folder}"]) == 0
    line = f"version    {told['training_version']} of what training computes"
    assert line in capsys.readouterr().out.splitlines()
    return told["training_version"]


def test_a_run_says_its_version(run, capsys, monkeypatch):
    assert run_folder.read_record(run)["training_version"] == version.TRAINING_VERSION
    assert settings.read(run).training_version == version.TRAINING_VERSION
    monkeypatch.setattr(version, "TRAINING_VERSION", 99)  # the run's own is told
    assert info(run, capsys) == run_folder.read_record(run)["training_version"] != 99


def test_a_run_of_before_there_were_versions_is_of_version_1(run, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "older"
    folder.mkdir()
    for path in run.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    for name in ("settings.json", "record.json"):
        rewritten(folder / name, without)
    assert settings.read(folder).training_version == 1 and info(folder, capsys) == 1
    assert len(run_folder.load(folder).history) == 1
    (folder / "settings.json").unlink()  # a run of the scripts in reproduce/
    assert info(folder, capsys) == 1
    rewritten(folder / "record.json", lambda record: record | {"training_version": 7})
    monkeypatch.setattr(version, "TRAINING_VERSION", 9)  # a newer one than ours is refused
    assert info(folder, capsys) == 7


def test_a_run_that_goes_on_under_another_version_is_told(run, capsys):
    path = run / "settings.json"
    resume = ["train", f"--output_dir={run}", "--resume"]
    assert program.main([*resume, "--epochs=2"]) == 0
    assert "What training computes" not in capsys.readouterr().err
    rewritten(path, lambda content: content | {"training_version": 0})
    assert program.main([*resume, "--epochs=3"]) == 0
    told = f"since the run was begun, from version 0 to {version.TRAINING_VERSION}"
    assert told in capsys.readouterr().err
    assert settings.read(run).training_version == version.TRAINING_VERSION


def test_a_classifier_says_its_version_and_one_of_another_is_refused(digits, tmp_path, monkeypatch):
    few = dataclasses.replace(digits.train, images=digits.train.images[:64])
    few = dataclasses.replace(few, labels=digits.train.labels[:64])
    data = dataclasses.replace(digits, train=few, test=few)
    untrained = resnet.build_resnet((8, 8, 1), 10)
    monkeypatch.setattr(resnet, "train_classifier", lambda *_, **__: (untrained, 10.0))

    def classifier():
        return image_classifiers.trained_classifier(data, tmp_path, epochs=1, progress=False)

    assert classifier().record["classifier_version"] == version.CLASSIFIER_VERSION == 1
    rewritten(
        tmp_path / "record.json",
        lambda record: {key: record[key] for key in record if key != "classifier_version"},
    )
    assert "classifier_version" not in classifier().record  # of before there were versions: 1
    monkeypatch.setattr(image_classifiers, "CLASSIFIER_VERSION", 2)
    with pytest.raises(image_classifiers.ClassifierError, match="'classifier_version': 2.*: 1"):
        classifier()
