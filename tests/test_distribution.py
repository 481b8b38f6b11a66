"""Several devices and workers: the gradients of one device, one's files, and a stop of all."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import distributed_digits
import numpy as np
import pytest

from mvae_tf.commands import program
from mvae_tf.devices import strategies
from mvae_tf.training import run_folder

ROOT = Path(__file__).parent.parent
# Of the largest number compared: sums over two parts round differently from one over all, and Adam,
# which divides by their size, makes more of it where a gradient is small.
ROUNDING, ADAMS_ROUNDING = 1e-5, 1e-4


class Child(subprocess.Popen):
    """A process of distributed_digits.py; its output goes to files, so that it never waits."""

    def __init__(self, arguments, tf_config):
        self.files = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'reproduce'}",
            "TF_CONFIG": json.dumps(tf_config),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_NUM_INTRAOP_THREADS": "1",  # several processes share the cores
        }
        command = [sys.executable, distributed_digits.__file__, *map(str, arguments)]
        super().__init__(command, env=environment, stdout=self.files[0], stderr=self.files[1])

    def finished(self):
        """Return what it printed to stdout and stderr, once it has ended."""
        self.wait(timeout=280)
        printed = []
        for file in self.files:
            file.seek(0)
            printed.append(file.read())
        return printed


@contextlib.contextmanager
def started(*commands):
    """Start a child by each (arguments, TF_CONFIG); in the end none is left."""
    children = []
    try:
        for arguments, tf_config in commands:
            children.append(Child(arguments, tf_config))
        yield children
    finally:
        for child in children:
            child.kill()
            child.wait()
            for file in child.files:
                file.close()


def free_addresses(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def run_workers(folder, kills=(-1, -1)):
    """Return the workers' statuses, and what they printed to stdout and stderr."""
    cluster = {"worker": free_addresses(len(kills))}
    commands = [
        (["worker", folder, kill], {"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index, kill in enumerate(kills)
    ]
    with started(*commands) as children:
        printed = [child.finished() for child in children]
        return [child.returncode for child in children], printed


def weights(folder):
    return np.concatenate([np.ravel(each) for each in run_folder.load(folder).model.get_weights()])


# Two workers --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    (folder / "script").mkdir()
    statuses, printed = run_workers(folder)
    assert statuses == [0, 0], printed
    return folder, printed


def test_the_chief_alone_prints_and_writes(workers):
    folder, ((out, err), (other_out, other_err)) = workers
    names = {path.name for path in (folder / "run").iterdir()}
    assert names == {"checkpoints", "lock", "model.keras", "record.json", "settings.json"}
    checkpoints = [path.name for path in (folder / "run" / "checkpoints").iterdir()]
    assert sorted(checkpoints) == ["epoch-00002", "epoch-00003", "settings.json"]
    told = "multi_worker (2 devices of 2 workers)"
    assert run_folder.read_record(folder / "run")["strategy"] == told
    assert f"strategy: {told}" in err and "epoch 3/3: " in err and "model.keras: 3 epochs" in out
    assert other_out == "" and "epoch" not in other_err and "strategy" not in other_err


def test_all_workers_stop_before_the_step_that_one_refuses(workers):
    for index in (0, 1):
        results = json.loads((workers[0] / f"worker-{index}.json").read_text())
        broken, unchanged = results["not_finite"]
        assert results["replicas"] == 2 and unchanged
        assert "finite gradients" in broken and "of reconstruction, dhsic, at step 1." in broken


def test_a_script_by_two_workers(workers):
    folder, ((out, _), _) = workers
    names = {path.name for path in (folder / "script").iterdir()}
    assert names == {"table0.json", "table0.md", ".table0.lock"}
    result = json.loads((folder / "script" / "table0.json").read_text())
    assert f"the loss is {result['loss']}" in out and "--strategy=multi_worker" in result["command"]
    assert result["environment"]["strategy"] == "multi_worker"
    assert "strategy" not in json.dumps(result["settings"])
    (run,) = (folder / "runs").iterdir()
    names = {path.name for path in run.iterdir()}
    assert names == {"environments.json", "lock", "model.keras", "record.json"}


def test_a_killed_worker_stops_the_others_and_all_go_on_bit_identical(workers, tmp_path):
    statuses, ((_, err), _) = run_workers(tmp_path, kills=(-1, 4))  # the second epoch's second step
    assert statuses == [program.FAILED, -signal.SIGKILL], err
    assert "Expected all workers to take part" in err and "Traceback" not in err
    assert f"--output_dir={tmp_path / 'run'} --resume --strategy=multi_worker" in err
    checkpoints = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert sorted(checkpoints) == ["epoch-00001", "settings.json"]
    statuses, printed = run_workers(tmp_path)
    assert statuses == [0, 0], printed
    np.testing.assert_array_equal(weights(tmp_path / "run"), weights(workers[0] / "run"))


# Two devices --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirrored")
    with started((["mirrored", folder], {})) as (child,):
        _, err = child.finished()
        assert child.returncode == 0, err
    return folder, json.loads((folder / "results.json").read_text()), err


@pytest.fixture(scope="module")
def arrays(mirrored):
    return np.load(mirrored[0] / "arrays.npz")


def assert_close(one, other, rounding):
    assert np.max(np.abs(one - other)) <= rounding * np.max(np.abs(other))


@pytest.mark.parametrize("count", distributed_digits.COUNTS)
def test_the_replicas_gradients_add_up_to_that_of_one_device(arrays, count):
    one, two = arrays[f"none-gradient-{count}"], arrays[f"mirrored-gradient-{count}"]
    assert np.linalg.norm(one) > 1e-3
    assert_close(two, one, ROUNDING)


def test_a_training_by_two_devices_is_that_by_one(mirrored, arrays):
    _, results, _ = mirrored
    assert results["replicas"] == 2
    assert_close(arrays["mirrored-weights"], arrays["none-weights"], ADAMS_ROUNDING)
    for one, two in zip(*results["histories"].values(), strict=True):
        assert {"dhsic", "mse", "val_dhsic", "val_mse"} < set(one)
        for name in set(one) - {"seconds"}:
            assert two[name] == pytest.approx(one[name], rel=1e-4), name


def test_each_device_draws_its_own(mirrored):
    # Of two equal codes all kernels are 1 everywhere, and dHSIC is 0.
    assert mirrored[1]["dhsic_of_twins"] > 1e-4


def test_each_device_drops_its_own_and_the_same_again(mirrored):
    without, once, again = mirrored[1]["dropping"]
    assert without[0] == pytest.approx(0, abs=1e-9) and once[0] > 1e-4
    assert once == again and once[1] != without[1]


def test_moving_averages_are_the_same_on_all_devices(arrays):
    first, second = arrays["averages"]
    np.testing.assert_array_equal(first, second)
    assert np.all(np.isfinite(first)) and np.ptp(first) > 0.01


def test_all_devices_stop_before_the_step_that_one_refuses(mirrored):
    bright, bright_unchanged = mirrored[1]["too_bright"]
    assert bright == "ValueError: Expected images in [0, 1]. Received: values from 0 to 3."
    broken, broken_unchanged = mirrored[1]["not_finite"]
    assert "FloatingPointError: Expected finite gradients" in broken
    assert "of reconstruction, dhsic, at step 16." in broken
    assert bright_unchanged and broken_unchanged


def test_train_by_two_devices(mirrored):
    folder, results, err = mirrored
    assert results["status"] == 0 and "\nstrategy: mirrored (2 devices)\n" in err
    record = run_folder.read_record(folder / "run")
    assert record["strategy"] == "mirrored (2 devices)" and "strategy" not in record["settings"]


# What is refused ----------------------------------------------------------------------------------

CLUSTER = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    "tf_config",
    [
        None,
        "worker 0",
        "[]",
        {"cluster": CLUSTER},
        {"cluster": CLUSTER, "task": {"type": "worker", "index": 2}},
        {"cluster": CLUSTER, "task": {"type": "worker", "index": "0"}},
        {"cluster": CLUSTER, "task": {"type": "chief", "index": 0}},
        {"cluster": {"worker": ["a", "b"]}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"ps": ["a:1"], **CLUSTER}, "task": {"type": "worker", "index": 0}},
    ],
)
def test_a_wrong_tf_config_is_wrong_usage(monkeypatch, capsys, tmp_path, tf_config):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if tf_config is not None:
        text = tf_config if isinstance(tf_config, str) else json.dumps(tf_config)
        monkeypatch.setenv("TF_CONFIG", text)
    flags = ["--data=digits", "--strategy=multi_worker", f"--output_dir={tmp_path / 'run'}"]
    assert program.main(["train", *flags]) == program.USAGE
    err = capsys.readouterr().err
    assert 'Expected TF_CONFIG to be like {"cluster": ' in err and "Received: " in err
    assert not (tmp_path / "run").exists()


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="Expected strategy to be one of .* Received: 'tpu'"):
        strategies.get("tpu")


@pytest.mark.parametrize(
    ("cluster", "job", "index", "expected"),
    [
        (CLUSTER, "worker", 0, True),
        (CLUSTER, "worker", 1, False),
        ({"chief": ["c:1"], **CLUSTER}, "worker", 0, False),
        ({"chief": ["c:1"], **CLUSTER}, "chief", 0, True),
    ],
)
def test_the_chief_by_tf_config(monkeypatch, cluster, job, index, expected):
    config = {"cluster": cluster, "task": {"type": job, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert strategies.is_chief("multi_worker") is expected
    assert strategies.is_chief("mirrored") and strategies.is_chief("none")
