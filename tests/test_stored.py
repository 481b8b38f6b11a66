"""JSON that is read back is checked whole."""

import copy
import json

import pytest

from mvae_tf.training import run_folder, stored

RECORD = {
    "settings": {
        "model": {"image_shape": [8, 8, 1], "num_components": 2, "latent_dim": 3},
        "training": {
            "epochs": 2,
            "batch_size": 10,
            "learning_rate": 0.001,
            "decay": "none",
            "seed": 0,
            "precision": "float32",
        },
    },
    "dataset": {"name": "digits", "digest": 64 * "0"},
    "model_sha256": 64 * "a",
    "seconds": 1.5,
    "peak_memory_mib": 100,
    "history": [{"epoch": 1, "seconds": 1, "loss": 2.0}, {"epoch": 2, "seconds": 0, "loss": 1.0}],
}


def changed(*path_and_value):
    *path, last, value = path_and_value
    record = copy.deepcopy(RECORD)
    inner = record
    for name in path:
        inner = inner[name]
    inner[last] = value
    return record


def test_a_whole_record_is_taken():
    assert stored.require_record(RECORD) is RECORD


@pytest.mark.parametrize(
    "record",
    [
        [],
        {},
        changed("settings", []),
        changed("settings", "model", "num_components", 0),
        changed("settings", "model", "num_components", True),
        changed("settings", "model", "image_shape", [8, 8]),
        changed("settings", "model", "image_shape", [8, 8, "1"]),
        changed("settings", "training", "epochs", 3),  # the history is shorter
        changed("settings", "training", "learning_rate", float("inf")),
        changed("settings", "training", "decay", "step"),
        changed("dataset", "digest", "0"),
        changed("dataset", "name", None),
        changed("training_version", "1"),
        changed("training_version", -1),
        changed("model_sha256", 64 * "A"),
        changed("seconds", "1"),
        changed("seconds", float("nan")),
        changed("history", {}),
        changed("history", 0, "epoch", 2),
        changed("history", 1, "loss", "low"),
        changed("history", 1, None),
    ],
)
def test_a_record_that_is_none_is_refused(record):
    with pytest.raises(ValueError, match=r"\w"):
        stored.require_record(record)


@pytest.mark.parametrize("content", ["", "[", 2000 * "[", "\x00", "1" * 5000, '{"a": 1, "a": 2}'])
def test_what_is_no_json_is_a_value_error(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=r"\w"):
        stored.require(stored.read_json(tmp_path / "x.json"), {})


def checkpoint(directory, number, epochs=None):
    path = directory / f"epoch-{number:05d}"
    path.mkdir(parents=True)
    count = number if epochs is None else epochs
    history = [{"epoch": each + 1, "seconds": 0, "loss": 1.0} for each in range(count)]
    (path / "history.json").write_text(json.dumps(history))
    return path


def test_checkpoints_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("epoch-00002", "epoch-99999", "epoch-100000", "epoch-1000000"):
        (tmp_path / name).mkdir()
    for name in ("epoch-2", "epoch-000003", "epoch-00004.bak", "writing", "epoch--0001"):
        (tmp_path / name).mkdir()  # none of ours
    found = [stored.epochs_of(path) for path in stored.checkpoints(tmp_path)]
    assert found == [2, 99_999, 100_000, 1_000_000]
    assert stored.checkpoint_name(100_000) == "epoch-100000"


def test_the_last_checkpoint_is_one_whose_history_fits(tmp_path):
    directory = tmp_path / run_folder.CHECKPOINTS
    whole = checkpoint(directory, 3)
    checkpoint(directory, 4, epochs=2)
    checkpoint(directory, 5)
    (directory / "epoch-00005" / "history.json").write_text("[{")
    assert run_folder.last_checkpoint(tmp_path) == whole
    assert len(run_folder.read_history(tmp_path)) == 3


def test_the_advice_on_a_damaged_run_destroys_no_checkpoint(tmp_path):
    (tmp_path / run_folder.RECORD).write_text("")
    with pytest.raises(run_folder.DamagedRunError) as told:
        run_folder.read_record(tmp_path)
    assert "Move that folder away" in str(told.value)
    whole = checkpoint(tmp_path / run_folder.CHECKPOINTS, 2)
    with pytest.raises(run_folder.DamagedRunError) as told:
        run_folder.read_record(tmp_path)
    assert f"made whole from {whole}" in str(told.value) and "elete" not in str(told.value)
    assert not run_folder.is_done(tmp_path)
