"""The README's Python, run as it stands, and its tables, beside the results'."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SECTION = re.compile(r"^## ([^\n]+)\n((?:(?!^## ).)*)", re.DOTALL | re.MULTILINE)
SECTIONS = dict(SECTION.findall(README))
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
BLOCKS = {title: PYTHON.findall(text) for title, text in SECTIONS.items()}
TABLE = re.compile(r"^\|.*\n(?:\|.*\n)+", re.MULTILINE)


def run(title, index=0, **names):
    exec(compile(BLOCKS[title][index], f"README, {title}", "exec"), names)
    return names


def rows(markdown):
    """Each row of a text's tables, as pairs of heading and cell."""
    for table in TABLE.findall(markdown):
        heads, _, *body = (
            [cell.strip() for cell in line.split("|")] for line in table.splitlines()
        )
        yield from (set(zip(heads, cells, strict=True)) for cells in body)


def test_numbers_are_those_of_the_results():
    """What the front page shows of a table, to the digit, is what a script wrote."""
    results = [path.read_text() for path in sorted((ROOT / "figures").rglob("*.md"))]
    written = [row for text in results for row in rows(text)]
    shown = [row for row in rows(SECTIONS["Results"]) if "command" not in dict(row)]
    assert len(shown) > 10
    for row in shown:
        assert any(row <= other for other in written), row


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
