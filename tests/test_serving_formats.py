"""ONNX and TensorFlow Lite, run by their own runtimes, against the model itself."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

import mvae_tf
from mvae_tf import serving
from mvae_tf.commands import program
from mvae_tf.serving import onnx, portable, tflite

SHAPE, K, D = (9, 8, 2), 3, 2
IMAGES = np.random.default_rng(0).uniform(size=[5, *SHAPE]).astype(np.float32)
CODES = np.random.default_rng(1).normal(size=[5, K, D]).astype(np.float32)
FED = {name: {"images": IMAGES} for name in portable.NAMES} | {"decode": {"codes": CODES}}
SETTINGS = {
    "dense": {"hidden_units": (8,)},
    "mixed": {"network": "convolutional", "hidden_units": (3,), "dtype": "mixed_bfloat16"},
}


def made(kind):
    """A model whose every weight is as if it had been trained."""
    model = mvae_tf.MixtureVAE(SHAPE, K, D, **SETTINGS[kind], seed=0)
    rng = np.random.default_rng(2)
    for weight in model.weights:
        weight.assign(weight + rng.uniform(0.05, 0.15, weight.shape))
    return model


@pytest.fixture(scope="module")
def models():
    return {kind: made(kind) for kind in SETTINGS}


def answer(model, name, count):
    if name == "encode":
        z, w = model.encode(IMAGES[:count])
        return {"loc": z.mean(), "scale": z.stddev(), "weights": w.mean()}
    if name == "features":
        return {"features": model.features(IMAGES[:count])}
    if name == "decode":
        return {"images": model.decode(CODES[:count])}
    return {"reconstructions": getattr(model, name)(IMAGES[:count])}


def require_same(received, model, name, count, tolerance):
    expected = answer(model, name, count)
    assert received.keys() == expected.keys()
    for each, values in expected.items():
        assert received[each].shape == values.shape
        np.testing.assert_allclose(received[each], values, rtol=0, atol=tolerance, err_msg=each)


# ONNX ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def onnx_folders(models, tmp_path_factory):
    pytest.importorskip("tf2onnx", reason="needs the extra onnx")
    parent = tmp_path_factory.mktemp("onnx")
    return {kind: serving.export_onnx(model, parent / kind) for kind, model in models.items()}


@pytest.mark.parametrize("name", portable.NAMES)
@pytest.mark.parametrize(("kind", "tolerance"), [("dense", 1e-5), ("mixed", 2e-2)])
def test_onnx_runtime_answers_as_the_model(kind, name, tolerance, models, onnx_folders):
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    session = runtime.InferenceSession(onnx_folders[kind] / f"{name}.onnx")
    outputs = [each.name for each in session.get_outputs()]
    assert {each.shape[0] for each in (*session.get_inputs(), *session.get_outputs())} == {"n"}
    for count in (1, 2, 5):
        fed = {key: values[:count] for key, values in FED[name].items()}
        received = dict(zip(outputs, session.run(None, fed), strict=True))
        require_same(received, models[kind], name, count, tolerance)


def test_onnx_files_state_their_opset_and_use_its_operations_alone(onnx_folders):
    library = pytest.importorskip("onnx", reason="needs the extra onnx")
    for folder in onnx_folders.values():
        assert {path.stem for path in folder.iterdir()} == set(portable.NAMES)
        for path in folder.iterdir():
            model = library.load(path)
            library.checker.check_model(model, full_check=True)
            assert {each.domain: each.version for each in model.opset_import}[""] == onnx.OPSET
            assert {node.domain for node in model.graph.node} <= {""}


def test_a_saved_model_converts_as_it_is(models, tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx", reason="needs the extra onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    from tf2onnx import convert, tf_loader

    folder = mvae_tf.export_saved_model(models["dense"], tmp_path, score_samples=1)
    loaded = tf.saved_model.load(folder)
    monkeypatch.setattr(tf.saved_model, "load", lambda *_, **__: loaded)  # once is enough
    for name in portable.NAMES:
        # What its program does with --saved-model and --signature_def.
        graph, inputs, outputs, names = tf_loader.from_saved_model(
            str(folder), None, None, signatures=[name], return_tensors_to_rename=True
        )
        proto, _ = convert._convert_common(
            graph,
            opset=onnx.OPSET,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=names,
        )
        session = runtime.InferenceSession(proto.SerializeToString())
        keys = [each.name for each in session.get_outputs()]
        received = dict(zip(keys, session.run(None, FED[name]), strict=True))
        require_same(received, models["dense"], name, 5, 1e-5)


def test_without_its_packages_onnx_is_refused(models, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"Expected the package tf2onnx.*mvae_tf\[onnx\]"):
        serving.export_onnx(models["dense"], tmp_path)
    assert not list(tmp_path.iterdir())


# TensorFlow Lite ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contents(models):
    """Files by kind and precision, made when first asked for."""
    made_already = {}

    def content(kind, precision, folder):
        if (kind, precision) not in made_already:
            version = serving.export_tflite(models[kind], folder, precision=precision)
            assert [path.name for path in version.iterdir()] == [tflite.FILE]
            made_already[kind, precision] = (version / tflite.FILE).read_bytes()
        return made_already[kind, precision]

    return content


def litert(**arguments):
    """Return the interpreter of LiteRT, which needs no TensorFlow."""
    package = pytest.importorskip("ai_edge_litert.interpreter", reason="needs the extra test")
    return package.Interpreter(**arguments)


@pytest.mark.parametrize("interpreted", [tf.lite.Interpreter, litert])
@pytest.mark.parametrize(
    ("kind", "precision", "tolerance"),
    [("dense", "float32", 1e-5), ("dense", "float16", 5e-3), ("mixed", "float32", 2e-2)],
)
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
def test_an_interpreter_answers_as_the_model(
    kind, precision, tolerance, interpreted, models, contents, tmp_path
):
    interpreter = interpreted(model_content=contents(kind, precision, tmp_path))
    assert set(interpreter.get_signature_list()) == set(portable.NAMES)
    for name in portable.NAMES:
        runner = interpreter.get_signature_runner(name)
        for count in (1, 5):
            fed = {key: values[:count] for key, values in FED[name].items()}
            require_same(runner(**fed), models[kind], name, count, tolerance)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
def test_weights_are_stored_once_and_as_small_as_asked_for(tmp_path):
    model = mvae_tf.MixtureVAE((32, 32, 1), 2, 4, (100,), seed=0)
    sizes = {}
    for precision in tflite.PRECISIONS:
        version = serving.export_tflite(model, tmp_path, precision=precision)
        sizes[precision] = (version / tflite.FILE).stat().st_size / model.count_params()
    assert sizes["float32"] == pytest.approx(4, rel=0.05)
    assert sizes["float16"] == pytest.approx(2, rel=0.1)
    assert sizes["int8"] == pytest.approx(1, rel=0.15)
    images = np.random.default_rng(0).uniform(size=[4, 32, 32, 1]).astype(np.float32)
    interpreter = tf.lite.Interpreter(str(version / tflite.FILE))
    received = interpreter.get_signature_runner("reconstruct")(images=images)["reconstructions"]
    off = np.abs(received - model.reconstruct(images))
    assert 0 < off.max() < 0.02


def test_another_precision_is_refused(models, tmp_path):
    with pytest.raises(ValueError, match=r"precision to be one of .*int8.*Received: 'int4'"):
        serving.export_tflite(models["dense"], tmp_path, precision="int4")


# The command --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_the_command_writes_them(form, models, tmp_path, capsys):
    if form == "onnx":
        pytest.importorskip("tf2onnx", reason="needs the extra onnx")
    models["dense"].save(tmp_path / "m.keras")
    argv = [f"--model={tmp_path / 'm.keras'}", f"--output={tmp_path / 'out'}", f"--format={form}"]
    assert program.main(["export", *argv]) == 0
    version, *files = capsys.readouterr().out.splitlines()
    assert version == str(tmp_path / "out" / "1")
    names = [f"{name}.onnx" for name in sorted(portable.NAMES)]
    expected = names if form == "onnx" else [tflite.FILE]
    assert [line.split(":")[0].strip() for line in files] == expected
