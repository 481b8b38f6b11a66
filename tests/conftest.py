import dataclasses
import functools
import gc
import hashlib
import os
import shutil
import subprocess
import threading
from pathlib import Path

# Programs of XLA are compiled in half the time; what they compute is the same.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# As in our programs, so that what a test's own process computes is what theirs do, bit for bit.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import pytest
import recycled
import served
import tensorflow as tf
from nursery import Nursery
from small_runs import SMALL
from tiny_mnist import tiny_original

import mvae_tf
from mvae_tf.commands import program
from mvae_tf.datasets import published
from mvae_tf.training import run_folder

# To look for garbage among what tracing keeps costs more than to let it lie until a file is done.
gc.freeze()
gc.set_threshold(100_000, 50, 100)


def improve_graphs(whether):
    """Let TensorFlow improve graphs, or not: sums are then rounded otherwise."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not whether})


# A small model is traced once and run for few steps: to improve its graph costs more than it saves.
improve_graphs(False)


@pytest.fixture
def as_in_programs():
    """Let this process compute what a program of ours does, bit for bit."""
    improve_graphs(True)
    yield
    improve_graphs(False)


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits, 8x8."""
    return mvae_tf.datasets.load("digits")


@pytest.fixture(scope="session")
def small_mnist(digits, tmp_path_factory):
    """Few images of MNIST's size: 8x8 digits blown up to 24x24 amid a margin of 2."""

    def enlarged(split, count):
        images = split.images[:count].repeat(3, axis=1).repeat(3, axis=2)
        return np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)]), split.labels[:count]

    path = tmp_path_factory.mktemp("data") / "small_mnist.npz"
    (x_train, y_train), (x_test, y_test) = enlarged(digits.train, 300), enlarged(digits.test, 100)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


@pytest.fixture(scope="module")
def patches():
    """A few of the patches, cropped."""
    data = mvae_tf.datasets.load("patches")
    parts = {
        name: dataclasses.replace(split, images=split.images[:n, :12, :12], labels=split.labels[:n])
        for name, split, n in (("train", data.train, 100), ("test", data.test, 70))
    }
    return dataclasses.replace(data, **parts, digest=hashlib.sha256(b"few patches").hexdigest())


@pytest.fixture(scope="module")
def small_model():
    """A model whose posterior differs from image to image."""
    model = mvae_tf.MixtureVAE((8, 8, 1), 3, 2, (16,), seed=0)
    head = model.encoder.stack[-1]
    head.kernel.assign(20 * head.kernel)
    return model


@pytest.fixture(scope="session")
def nursery(tmp_path_factory):
    """Runs programs that need no process of their own making."""
    nursery = Nursery(tmp_path_factory.mktemp("nursery"))
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A function from a kind of `served.MODELS` to its SavedModel, which is written once."""
    parent = tmp_path_factory.mktemp("exported")

    @functools.cache
    def export(kind):
        return served.made(kind).export(parent / kind, score_samples=served.SCORE_SAMPLES)

    return export


@pytest.fixture(scope="session")
def exported_dense(exported):
    """The SavedModel of `served.made("dense")`."""
    return exported("dense")


@pytest.fixture(scope="module")
def dense_model():
    """The model that `exported_dense` was."""
    return served.made("dense")


@pytest.fixture(scope="module")
def dense_session(exported_dense):
    """TensorFlow's C++ session on `exported_dense`."""
    return served.Server(exported_dense)


@pytest.fixture
def preset():
    """Of the results that a test is of; a test of others has a parameter of this name."""
    return "paper"


@pytest.fixture
def told_results(preset):
    """For what report and docs tell of results: it waits for the report where one is rebuilt."""
    git = ["git", "-C", Path(__file__).parent, "status", "--porcelain=v1", "-uall", "../figures"]
    try:
        changed = subprocess.run(git, capture_output=True, text=True).stdout.splitlines()
    except FileNotFoundError:
        changed = []
    quick = "figures/quick/"
    names = [line[3:] for line in changed if (quick in line) == (preset == "quick")]
    rebuilt = [name for name in names if name.endswith(".json")]
    if rebuilt and not any(name.endswith("REPORT.md") for name in names):
        pytest.skip(f"{', '.join(rebuilt)}: rebuilt here; all.py --only_report tells of it")


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left_of_a_file(request):
    """Models keep their graphs; those of all files at once would take gigabytes."""
    yield
    recycled.forget(request.module.__name__)
    gc.collect()


@pytest.fixture(scope="module")
def dense_server(exported_dense):
    """KServe's server of it, by REST and gRPC, with small bounds."""
    pytest.importorskip("kserve", reason="needs the extra serve: pip install -e '.[serve]'")
    from mvae_tf.server.answers import Answers
    from mvae_tf.server.running import Limits, Server

    limits = Limits(max_bytes=1_000_000, max_requests=8, seconds=1.0)
    server = Server("dense", Answers(exported_dense, max_batch=40), grpc_port=0, limits=limits)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(autouse=True)
def models_are_taken_back():
    """Whatever a test was lent, the next may have."""
    yield
    recycled.take_back()


@pytest.fixture
def recycled_runs(monkeypatch):
    """Let runs train the model of an earlier run of the same settings, set back to its start."""

    def key(settings, num_images, strategy="none"):
        training = dict(settings["training"])
        if training["decay"] == "none":
            training.pop("epochs")  # only a learning rate that decays asks how many come
        training.pop("seed")  # of the images' order
        return settings["model"], training, num_images, strategy

    monkeypatch.setattr(run_folder, "build", recycled.recycled(run_folder.build, key))


@pytest.fixture
def call(capsys):
    def call(*argv):
        """Run a command in this process; return its exit status, stdout and stderr."""
        status = program.main([str(argument) for argument in argv])
        shown = capsys.readouterr()
        recycled.take_back()  # of a command's model only files are left
        assert "Traceback" not in shown.err
        return status, shown.out, shown.err

    return call


@pytest.fixture
def run_train(call):
    """As `call`, of `mvae-tf train`."""
    return functools.partial(call, "train")


@pytest.fixture
def tiny_archives(monkeypatch):
    """MNIST's arrays and archives, and Fashion-MNIST's, with the pins set to match."""
    result = {}
    for seed, name in enumerate(["mnist", "fashion_mnist"]):
        stand_in, arrays, packed = tiny_original(published.ORIGINALS[name], seed)
        monkeypatch.setitem(published.ORIGINALS, name, stand_in)
        result[name] = (arrays, packed)
    return result


@pytest.fixture(scope="session")
def two_epochs(tmp_path_factory):
    """A finished run on digits, to be left as it is."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    flags = ["--data=digits", "--epochs=2", f"--output_dir={folder}"]
    assert program.main(["train", *flags, *SMALL]) == 0
    return folder


@pytest.fixture
def run(two_epochs, tmp_path):
    """A run of two epochs of one's own, which a test may go on with or damage."""
    return shutil.copytree(two_epochs, tmp_path / "my run")


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["plain", "xla"])
def jit(request):
    """Whether steps are compiled by XLA."""
    return request.param


@pytest.fixture(params=[False, True], ids=["plain", "xla"])
def either(request):
    """As `jit`, where the compiled step has code of its own."""
    return request.param
