"""The web page of a model, in a browser: its pixels are the model's."""

import importlib.util
import json
import os
import shutil
import subprocess

import browser
import numpy as np
import pytest

import mvae_tf
from mvae_tf import serving
from mvae_tf.commands import program
from mvae_tf.serving import web

HAS_WEBSOCKETS = importlib.util.find_spec("websockets") is not None
needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("tf2onnx") is None, reason="needs the extra onnx"
)


def test_another_runtime_is_refused(tmp_path):
    pytest.importorskip("tf2onnx", reason="needs the extra onnx")
    package = tmp_path / "onnxruntime-web-1.30.0.tgz"
    package.write_bytes(b"something else")
    model = mvae_tf.MixtureVAE((8, 8, 1), 2, 3, (4,))
    with pytest.raises(ValueError, match=r"Expected the package file of onnxruntime-web@1\.30\.0"):
        serving.export_web(model, tmp_path / "web", runtime=package)
    assert not (tmp_path / "web").exists()


def test_without_npm_it_is_said_how(tmp_path, monkeypatch):
    monkeypatch.setattr(web.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="Expected npm, .* --runtime takes"):
        web._fetched(tmp_path)


def test_what_npm_says_is_handed_on(tmp_path, monkeypatch):
    fake = tmp_path / "npm"
    fake.write_text("#!/bin/sh\necho 'code E404' >&2\necho 'no such package' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(web.shutil, "which", lambda name: str(fake))
    with pytest.raises(OSError, match=r"Expected npm to fetch .* status 1 \(no such package\)"):
        web._fetched(tmp_path)


# In a browser -------------------------------------------------------------------------------------

PIXELS = """
(() => {
  const read = (canvas) => [...canvas.getContext("2d").getImageData(
    0, 0, canvas.width, canvas.height).data];
  return {
    components: [...document.querySelectorAll("#components canvas")].map(read),
    mixture: read(document.querySelector("#mixture canvas")),
    weights: document.querySelector("#told").textContent.split(", ").map(Number),
  };
})()
"""
BOX = "document.querySelector('%s').getBoundingClientRect().toJSON()"
DRAWN = "document.body.dataset.state === 'drawn'"
SET = """
(() => {
  const sliders = [...document.querySelectorAll("#components input")];
  const codes = %s;
  sliders.forEach((slider, i) => {
    slider.value = codes[i];
    slider.dispatchEvent(new Event("input"));
  });
  return sliders.length;
})()
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The runtime's package, from MVAE_TF_ORT_WEB or npm's registry."""
    given = os.environ.get("MVAE_TF_ORT_WEB")
    if given:
        return given
    folder = tmp_path_factory.mktemp("npm")
    if shutil.which("npm") is None:
        pytest.skip("needs npm, or ONNX Runtime Web's package in MVAE_TF_ORT_WEB")
    try:
        return web._fetched(folder)
    except OSError as error:
        pytest.skip(f"npm's registry can't be had: {error}")


@pytest.fixture(scope="module")
def page():
    with browser.Browser() as page:
        yield page


def model_of(shape, num_components):
    model = mvae_tf.MixtureVAE(shape, num_components, 3, (6,), seed=0)
    rng = np.random.default_rng(2)
    for weight in model.weights:
        weight.assign(weight + rng.normal(0, 0.8, weight.shape))
    return model


def rgba(image):
    """What a canvas holds of an image [h, w, c] in [0, 1]."""
    red_green_blue = np.broadcast_to(np.asarray(image), (*image.shape[:2], 3)) * 255
    alpha = np.full((*image.shape[:2], 1), 255)
    return np.concatenate([red_green_blue, alpha], axis=-1).ravel()


def require_the_models(page, model, codes):
    page.wait(DRAWN)
    shown = page.run(PIXELS)
    expected = model.decode(np.float32(codes)[None])[0].numpy()
    assert len(shown["components"]) == len(expected)
    for received, image in zip(shown["components"], expected, strict=True):
        np.testing.assert_allclose(received, rgba(image), atol=0.51)
    weights = np.array(shown["weights"])
    assert weights.sum() == pytest.approx(1, abs=0.02)
    mixture = np.tensordot(weights, expected, 1)
    np.testing.assert_allclose(shown["mixture"], rgba(mixture), atol=0.51 + 255 * 0.005 * 3)
    return weights


@pytest.mark.slow
@needs_onnx
@pytest.mark.skipif(browser.program() is None, reason="needs Chromium")
@pytest.mark.skipif(not HAS_WEBSOCKETS, reason="needs websockets, to tell Chromium what to do")
@pytest.mark.parametrize(
    ("shape", "num_components"), [((9, 8, 1), 3), ((6, 7, 3), 5), ((8, 8, 1), 2)]
)
def test_its_pixels_are_the_models(tmp_path, page, runtime, shape, num_components):
    model = model_of(shape, num_components)
    folder = serving.export_web(model, tmp_path, runtime=runtime)
    with browser.Files(folder) as files:
        page.command("Page.navigate", url=files.url)
        page.wait(f"location.href === {files.url!r} && document.readyState === 'complete'")
        weights = require_the_models(page, model, np.zeros([num_components, 3]))
        np.testing.assert_allclose(weights, 1 / num_components, atol=0.006)
        codes = np.random.default_rng(0).uniform(-2, 2, [num_components, 3]).round(2)
        assert page.run(SET % codes.ravel().tolist()) == codes.size
        require_the_models(page, model, codes)
        # Beyond a corner, where its number stands, and somewhere inside.
        box = page.run(BOX % "#weights text")
        page.press(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        weights = require_the_models(page, model, codes)
        np.testing.assert_allclose(weights, np.eye(num_components)[0], atol=0.02)
        box = page.run(BOX % "#weights")
        page.press(box["x"] + 0.6 * box["width"], box["y"] + 0.45 * box["height"])
        weights = require_the_models(page, model, codes)
        assert np.all(weights > 0) and np.ptp(weights) > 0.05


@needs_onnx
def test_the_command_writes_it(tmp_path, capsys, runtime):
    model = model_of((8, 8, 1), 2)
    model.save(tmp_path / "m.keras")
    argv = [f"--model={tmp_path / 'm.keras'}", "--format=web", f"--runtime={runtime}"]
    assert program.main(["export", *argv, f"--output={tmp_path / 'web'}"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{tmp_path / 'web' / '1'}\n")
    assert "decode.onnx" in out and "runtime/ort-wasm-simd-threaded.wasm" in out


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_weights_of_a_place(tmp_path):
    """In a triangle they are the barycentric ones; everywhere of sum 1, and 1 at corners."""
    code = """
import { corners, inside, weightsAt } from "MODULE";
const tried = [];
for (const count of [1, 2, 3, 4, 7]) {
  for (const place of [[0, 0], [0.2, -0.3], [2, 1], [-3, 0.1], ...corners(count)]) {
    const near = inside(place, count);
    tried.push([count, near, weightsAt(near, count), corners(count)]);
  }
}
console.log(JSON.stringify(tried));
"""
    path = tmp_path / "try.mjs"
    path.write_text(code.replace("MODULE", (web._PAGE / "mixture.mjs").as_uri()))
    done = subprocess.run(["node", path], capture_output=True, text=True, check=True)
    for count, place, weights, corners in json.loads(done.stdout):
        assert min(weights) >= 0 and sum(weights) == pytest.approx(1)
        if count > 1:  # of these coordinates, the place is the corners' mean by the weights
            np.testing.assert_allclose(np.array(weights) @ corners, place, atol=1e-6)
