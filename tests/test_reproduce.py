"""The run store and what results are made of, on few images of MNIST's size."""

import json
import types
from pathlib import Path

import numpy as np
import pytest

import mvae_tf
from mvae_tf import training
from mvae_tf.training import loop, run_folder, version
from support import environments, runs, summaries, texts

ROOT = Path(__file__).parent.parent
TABLE1 = ROOT / "reproduce" / "table1.py"
SMALL = (("hidden_units", (16,)), ("num_components", 2))
SETTINGS = runs.Settings("paper_mnist", SMALL, epochs=2)


@pytest.fixture(scope="module")
def data(small_mnist):
    return mvae_tf.datasets.load(small_mnist)


@pytest.fixture
def counted(monkeypatch):
    """Counts the calls of `training.train`."""
    calls, train = [], training.train
    monkeypatch.setattr(
        training, "train", lambda *args, **kwargs: calls.append(kwargs) or train(*args, **kwargs)
    )
    return calls


# The run store ------------------------------------------------------------------------------------


def test_a_run_is_trained_once_and_shared(data, tmp_path, counted):
    first = runs.trained(SETTINGS, data, tmp_path)
    second = runs.trained(SETTINGS, data, tmp_path)
    assert len(counted) == 1
    assert len(first.history) == 2 and second.history == first.history
    assert first.seconds > 0 and first.peak_memory > 100
    images = data.test.float_images()
    np.testing.assert_array_equal(first.model.reconstruct(images), second.model.reconstruct(images))
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "environments.json",
        "lock",
        "model.keras",
        "record.json",
    ]


def test_a_stored_run_is_read_by_a_new_process(small_mnist, data, tmp_path, nursery):
    trained = runs.trained(SETTINGS, data, tmp_path)
    script = tmp_path / "script.py"
    script.write_text(f"""
import mvae_tf
from pathlib import Path
from support import runs
data = mvae_tf.datasets.load({str(small_mnist)!r})
run = runs.trained(runs.Settings("paper_mnist", {SMALL!r}, epochs=2), data, Path({str(tmp_path)!r}))
print(float(run.model.features(data.test.float_images(0, 1)).numpy().sum()))
""")
    finished = nursery.run(script)
    assert finished.status == 0, finished.err
    expected = trained.model.features(data.test.float_images(0, 1)).numpy().sum()
    assert float(finished.out) == float(expected)


@pytest.mark.parametrize(
    "other",
    [
        runs.Settings("paper_mnist", SMALL, 2, seed=1),
        runs.Settings("paper_mnist", (("hidden_units", (17,)), ("num_components", 2)), 2),
        runs.Settings("paper_mnist", SMALL, 3),
        runs.Settings("authors_mnist", SMALL, 2),
        runs.Settings("paper_mnist", SMALL, 2, precision="mixed_bfloat16"),
        runs.Settings("paper_mnist", SMALL, 2, jit="on"),
        runs.Settings("paper_mnist", SMALL, 2, protocol=(("decay", "cosine"),)),
    ],
)
def test_other_settings_are_other_runs(other, data):
    assert runs._name(other.resolved(), data) != runs._name(SETTINGS.resolved(), data)


def test_other_data_or_another_version_is_another_run(data, monkeypatch):
    name = runs._name(SETTINGS.resolved(), data)
    other = mvae_tf.datasets.load(255 - data.train.images)
    assert runs._name(SETTINGS.resolved(), other) != name
    monkeypatch.setattr(version, "TRAINING_VERSION", version.TRAINING_VERSION + 1)
    assert runs._name(SETTINGS.resolved(), data) != name


def test_runs_stored_by_version_1_are_found():
    """A new setting whose usual value is what was done before must not change a run's key."""
    if version.TRAINING_VERSION != 1:
        pytest.skip("other runs are stored now")
    data = types.SimpleNamespace(name="mnist", digest="d")
    names = {
        "mnist-K4-d20-epochs100-seed0-ddcd3055eba9": runs.Settings("paper_mnist"),
        "mnist-K4-d256-epochs3-seed1-fd6e2eb5fc67": runs.Settings(
            "paper_cifar10", epochs=3, seed=1, precision="mixed_bfloat16"
        ),
    }
    for name, settings in names.items():
        assert runs._name(settings.resolved(), data) == name


def test_a_stored_run_says_its_version(data, tmp_path):
    runs.trained(SETTINGS, data, tmp_path)
    (path,) = tmp_path.glob("*/record.json")
    record = json.loads(path.read_text())
    assert version.recorded(record) == record["training_version"] == version.TRAINING_VERSION
    assert version.recorded({"code": "0123"}) == 1  # of before there was a number


def test_a_stopped_run_goes_on_from_its_checkpoint(data, tmp_path, monkeypatch):
    whole = runs.trained(SETTINGS, data, tmp_path / "whole")
    add, epochs = loop._History.on_epoch_end, []
    another = environments.environment() | {"processor": "another"}

    def stop(self, epoch, logs=None):
        add(self, epoch, logs)
        epochs.append(epoch)
        if len(epochs) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop._History, "on_epoch_end", stop)
    with monkeypatch.context() as elsewhere, pytest.raises(KeyboardInterrupt):
        elsewhere.setattr(runs, "environment", lambda: another)
        runs.trained(SETTINGS, data, tmp_path / "stopped")
    resumed = runs.trained(SETTINGS, data, tmp_path / "stopped")
    assert epochs == [0, 1]
    assert whole.environments == [environments.environment()]
    assert resumed.environments == [another, environments.environment()]
    for one, other in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_machine_is_named_with_its_gpus():
    two = {"gpus": ["G", "G"], "cores": 8, "processor": "P"}
    assert environments.machine(two) == "2 GPUs (G) with 8 cores (P)"
    assert environments.machine(two | {"gpus": ["G"]}) == "1 GPU (G) with 8 cores (P)"
    assert environments.machine(two | {"gpus": []}) == "8 cores (P)"
    assert environments.machine({"gpus": [], "cores": 1, "processor": "P"}) == "1 core (P)"


def test_machines_stand_in_a_sentence():
    assert environments.listed(["A"]) == "A"
    assert environments.listed(["A", "B"]) == "A and B"
    assert environments.listed(["A", "B", "C"]) == "A, B and C"


@pytest.mark.parametrize("damage", [None, "[{"])
def test_a_run_that_does_not_say_where_it_was_trained(data, tmp_path, damage):
    runs.trained(SETTINGS, data, tmp_path)
    (path,) = tmp_path.glob("*/environments.json")
    path.unlink() if damage is None else path.write_text(damage)
    assert runs.trained(SETTINGS, data, tmp_path).environments == [environments.environment()]


@pytest.mark.parametrize("file", ["model.keras", "record.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_run_is_named_and_left_alone(data, tmp_path, file, damage, counted):
    runs.trained(SETTINGS, data, tmp_path)
    (path,) = tmp_path.glob(f"*/{file}")
    whole = path.read_bytes()
    middle = len(whole) // 2
    if damage == "truncated":
        path.write_bytes(whole[:middle])
    elif file == "model.keras":
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    else:
        path.write_bytes(whole.replace(b'"model_sha256": "', b'"model_sha256": "0'))
    damaged = path.read_bytes()
    with pytest.raises(run_folder.DamagedRunError, match="damaged .*Move that folder away"):
        runs.trained(SETTINGS, data, tmp_path)
    assert path.read_bytes() == damaged and len(counted) == 1


# Results ------------------------------------------------------------------------------------------


def test_summary_of_one_and_of_several_seeds():
    assert summaries.summary([2.0]) == {"mean": 2.0, "std": None, "per_seed": [2.0]}
    several = summaries.summary([1.0, 2.0, 4.0])
    assert several["std"] == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert summaries.format_summary(several, 2) == "2.33 ± 1.53"
    assert summaries.format_summary(summaries.summary([2.0]), 1) == "2.0"


def test_markdown_table_is_aligned():
    assert texts.markdown_table(["a", "long"], [["first", "1"], ["b", "22"]]) == (
        "| a     | long |\n| :---- | ---: |\n| first |    1 |\n| b     |   22 |"
    )
    assert texts.markdown_table(["a", "K"], [["b", "1"]]).splitlines()[1] == "| :- | -: |"
