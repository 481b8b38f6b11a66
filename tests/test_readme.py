"""The README's Python, run as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

README = (Path(__file__).parent.parent / "README.md").read_text()
SECTION = re.compile(r"^## ([^\n]+)\n((?:(?!^## ).)*)", re.DOTALL | re.MULTILINE)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
BLOCKS = {title: PYTHON.findall(text) for title, text in SECTION.findall(README)}


def run(title, index=0, **names):
    exec(compile(BLOCKS[title][index], f"README, {title}", "exec"), names)
    return names


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_own_images(empty_folder):
    run("Use it on your own images")
    assert len(list(empty_folder.glob("photos/*/*.png"))) == 1500
    names = run("Use it on your own images", 1)
    x = names["x"]
    assert x.shape == (8, 32, 32, 1)
    mean = names["data"].train.float_images().mean(axis=0)
    errors = np.sum((names["model"].reconstruct(x) - x) ** 2, axis=(1, 2, 3))
    assert errors.mean() < np.sum((mean - x) ** 2, axis=(1, 2, 3)).mean()
    assert (empty_folder / "photos.keras").exists()
    run("Use it on your own images", 2, tf=tf, **names)
    np.testing.assert_allclose(
        np.load(empty_folder / "codes" / "means.npy"),
        names["model"].encode(names["data"].train.float_images()).z.mean(),
        rtol=1e-4,
        atol=1e-5,
    )


def test_own_encoders_and_decoders():
    import mvae_tf

    model = run("Your own encoders and decoders", mvae_tf=mvae_tf)["model"]
    images = np.random.default_rng(0).uniform(size=[16, 28, 28, 1]).astype("float32")
    model.compile(optimizer="adam")
    first, *_, last = model.fit(images, epochs=5, verbose=0).history["loss"]
    assert last < first


def test_serving_and_tensorboard(empty_folder, digits):
    import mvae_tf

    model = mvae_tf.MixtureVAE((8, 8, 1), 2, 2, (8,), seed=0)
    model.compile(optimizer="adam")
    run("TensorBoard", model=model, data=digits)
    assert list(empty_folder.glob("logs/*/events*"))
    images = digits.test.images[:3]
    run("Serving", model=model, images=images, mvae_tf=mvae_tf, tf=tf)
    assert (empty_folder / "serving" / "mnist" / "1" / "saved_model.pb").exists()


def test_dhsic_alone():
    run("dHSIC alone")
