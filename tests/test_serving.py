"""The exported SavedModel, against the model itself, and as servers would run it."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from served import (
    BITS,
    CODES,
    IMAGE_OUTPUTS,
    IMAGES,
    MODELS,
    SHAPE,
    SIGNATURES,
    Server,
    answer,
    fed,
    made,
    same,
)


@pytest.fixture(scope="module")
def models():
    return {kind: made(kind) for kind in MODELS}


@pytest.fixture(scope="module")
def folders(exported):
    return {kind: exported(kind) for kind in MODELS}


@pytest.fixture(scope="module")
def servers(folders):
    return {kind: Server(folder) for kind, folder in folders.items()}


@pytest.fixture(scope="module")
def served(folders):
    return tf.saved_model.load(folders["dense"])


# What is in it ------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_table(servers):
    def table(tensors):
        return {
            name: (tf.as_dtype(info.dtype).name, [dim.size for dim in info.tensor_shape.dim])
            for name, info in tensors.items()
        }

    for server in servers.values():
        definitions = server.signatures
        definitions.pop("__saved_model_init_op", None)
        received = {name: (table(d.inputs), table(d.outputs)) for name, d in definitions.items()}
        assert received == SIGNATURES


@pytest.mark.parametrize("kind", MODELS)
def test_holds_the_weights_once_and_nothing_else(kind, models, folders):
    files = sorted(path.relative_to(folders[kind]) for path in folders[kind].rglob("*.*"))
    assert [path.name for path in files] == [
        "fingerprint.pb",
        "saved_model.pb",
        "variables.data-00000-of-00001",
        "variables.index",
    ]
    stored = tf.train.list_variables(folders[kind] / "variables" / "variables")
    shapes = sorted(shape for name, shape in stored if not name.startswith("_CHECKPOINTABLE"))
    assert shapes == sorted(list(weight.shape) for weight in models[kind].weights)
    assert (folders[kind] / "saved_model.pb").stat().st_size < 2_000_000
    assert (folders[kind] / "saved_model.pb").stat().st_mode & 0o077 == (
        0o666 & ~_umask() & 0o077
    )  # a server is another user


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("kind", MODELS)
def test_a_session_answers_as_the_model(kind, signature, models, servers):
    for count in (1, None):
        same(
            servers[kind](signature, fed(signature, count)),
            answer(models[kind], signature, count),
            kind,
        )


def test_python_methods_take_floats_and_bytes_alike(models, served):
    for name in IMAGE_OUTPUTS:
        method, expected = getattr(served, name), answer(models["dense"], name)
        same(method(IMAGES), expected, "dense")
        same(method(images=tf.constant(BITS)), expected, "dense")
    same(served.decode(CODES), answer(models["dense"], "decode"), "dense")
    same(served.sample(7, -3), answer(models["dense"], "sample"), "dense")


def test_draws_follow_count_and_seed(servers):
    def sample(count, seed):
        inputs = {"count": np.int32(count), "seed": np.int32(seed)}
        return servers["dense"]("sample", inputs)["images"]

    np.testing.assert_array_equal(sample(3, 1), sample(3, 1))
    assert sample(9, 1).shape == (9, *SHAPE)
    assert np.abs(sample(3, 1) - sample(3, 2)).max() > 1e-3


# Without this package -----------------------------------------------------------------------------

RUNNER = """
import sys

ABSENT = {"mvae_tf", "tensorflow_probability", "keras", "tf_keras"}

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import numpy as np
import tensorflow as tf
# Not in the tests' process, where the program's flags would clash with those of our own scripts.
from tensorflow.python.tools import saved_model_cli

inputs, outputs, *folders = sys.argv[1:]
given, received = np.load(inputs), {}
for folder in folders:
    for name, signature in tf.saved_model.load(folder).signatures.items():
        wanted = signature.structured_input_signature[1]
        values = {each: tf.constant(given[f"{name}/{each}"]) for each in wanted}
        for each, value in signature(**values).items():
            received[f"{folder}/{name}/{each}"] = value
np.savez(f"{outputs}/out.npz", **received)
for name in {key.split("/")[0] for key in given}:
    fed = {key.split("/")[1]: given[key] for key in given if key.startswith(f"{name}/")}
    saved_model_cli.run_saved_model_with_feed_dict(
        folders[0], "serve", name, fed, f"{outputs}/{name}", True
    )
saved_model_cli._show_all(folders[0])
assert not ABSENT & set(sys.modules)
"""


@pytest.fixture(scope="module")
def run_alone(folders, tmp_path_factory):
    """A folder of what RUNNER makes of the exports, and what it prints."""
    outputs = tmp_path_factory.mktemp("alone")
    given = {f"{name}/{each}": v for name in SIGNATURES for each, v in fed(name).items()}
    np.savez(outputs / "in.npz", **given)
    paths = [outputs / "in.npz", outputs, folders["dense"], folders["convolutional"]]
    return outputs, _run([sys.executable, "-c", RUNNER, *paths], outputs)


def test_runs_where_the_package_and_its_libraries_are_absent(models, folders, run_alone):
    received = np.load(run_alone[0] / "out.npz")
    for kind, model in models.items():
        for name, (_, outputs) in SIGNATURES.items():
            answers = {each: received[f"{folders[kind]}/{name}/{each}"] for each in outputs}
            same(answers, answer(model, name), kind)


def test_saved_model_cli_shows_and_runs_it(models, folders, run_alone, tmp_path):
    np.save(tmp_path / "x.npy", BITS)
    program = pathlib.Path(sys.executable).with_name("saved_model_cli")
    command = f"run --tag_set=serve --signature_def=encode_uint8 --outdir={tmp_path}/encode"
    inputs = f"--inputs=images={tmp_path}/x.npy"
    _run([program, *command.split(), inputs, f"--dir={folders['dense']}"], tmp_path)
    received = {path.stem: np.load(path) for path in (tmp_path / "encode").iterdir()}
    same(received, answer(models["dense"], "encode"), "dense")

    outputs, shown = run_alone
    for name in SIGNATURES:
        received = {path.stem: np.load(path) for path in (outputs / name).iterdir()}
        same(received, answer(models["dense"], name), "dense")
        assert f"signature_def['{name}']" in shown


def _run(command, folder):
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
