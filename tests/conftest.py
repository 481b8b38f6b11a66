import os
import threading

# Programs of XLA are compiled in half the time; what they compute is the same.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# As in our programs, so that what a test's own process computes is what theirs do, bit for bit.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import pytest
import recycled

import mvae_tf
from mvae_tf.training import run_folder


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
def small_model():
    """A model whose posterior differs from image to image."""
    model = mvae_tf.MixtureVAE((8, 8, 1), 3, 2, (16,), seed=0)
    head = model.encoder.stack[-1]
    head.kernel.assign(20 * head.kernel)
    return model


@pytest.fixture(scope="session")
def exported_dense(tmp_path_factory):
    """The SavedModel of `test_serving.made("dense")`."""
    import test_serving

    folder = tmp_path_factory.mktemp("exported") / "dense"
    model = test_serving.made("dense")
    return model.export(folder, score_samples=test_serving.SCORE_SAMPLES)


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


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["plain", "xla"])
def jit(request):
    """Whether steps are compiled by XLA."""
    return request.param


@pytest.fixture(params=[False, True], ids=["plain", "xla"])
def either(request):
    """As `jit`, where the compiled step has code of its own."""
    return request.param
