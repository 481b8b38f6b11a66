"""What the other formats cost: size, error and time of one image's encoding and reconstruction.

    python benchmarks/formats.py [--num_components=4] [--batch_sizes=1,32]

Exports the preset paper_mnist with random weights as a SavedModel, as ONNX and as TensorFlow Lite
of each precision, and prints for each signature and batch size: the size of its file (of the
SavedModel, all of its folder; TensorFlow Lite has one file for all signatures), the largest error
of any number that it gives, beside the model itself, and the median time of a call, of the quietest
of several turns. ONNX needs the extra `onnx`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as our programs do

import importlib.util
import pathlib
import tempfile
import time
import warnings

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

import mvae_tf
from mvae_tf import serving
from mvae_tf.serving import tflite

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_components", 4, "K.")
flags.DEFINE_integer("latent_dim", 20, "d.")
flags.DEFINE_list("batch_sizes", ["1", "32"], "Images a call.")
flags.DEFINE_float("seconds", 1.0, "Time given to each number.")

SIGNATURES = ("encode", "reconstruct", "decode")
TURNS = 6


def main(_):
    """Print the table."""
    logging.set_verbosity(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*Interpreter is deprecated")
    model = mvae_tf.MixtureVAE.from_preset(
        "paper_mnist", num_components=FLAGS.num_components, latent_dim=FLAGS.latent_dim, seed=0
    )
    print("| format | signature | images | MB | largest error | time (ms) |")
    print("| :----- | :-------- | -----: | -: | ------------: | --------: |")
    with tempfile.TemporaryDirectory() as folder:
        for form, runner in _runners(model, pathlib.Path(folder)):
            for name in SIGNATURES:
                size, call = runner(name)
                for batch in map(int, FLAGS.batch_sizes):
                    inputs = _inputs(name, model, batch)
                    error = _error(call(inputs), _expected(model, name, inputs))
                    print(
                        f"| {form} | {name} | {batch} | {size / 1e6:.1f} | {error:.1e} "
                        f"| {1e3 * _time(call, inputs):.2f} |",
                        flush=True,
                    )


def _runners(model, folder):
    """Yield each format, and a function of a signature to its size and a function of inputs."""
    version = serving.export_saved_model(model, folder / "saved_model", score_samples=1)
    yield "SavedModel", _saved_model(version)
    if importlib.util.find_spec("tf2onnx") and importlib.util.find_spec("onnxruntime"):
        yield "ONNX", _onnx(serving.export_onnx(model, folder / "onnx"))
    for precision in tflite.PRECISIONS:
        version = serving.export_tflite(model, folder / precision, precision=precision)
        yield f"TFLite, {precision}", _tflite(version / tflite.FILE)


def _saved_model(version):
    loaded = tf.saved_model.load(version)
    size = sum(path.stat().st_size for path in version.rglob("*"))

    def runner(name):
        signature = loaded.signatures[name]
        return size, lambda inputs: signature(**{k: tf.constant(v) for k, v in inputs.items()})

    return runner


def _onnx(version):
    import onnxruntime

    def runner(name):
        path = version / f"{name}.onnx"
        session = onnxruntime.InferenceSession(path)
        names = [output.name for output in session.get_outputs()]
        return path.stat().st_size, lambda inputs: dict(
            zip(names, session.run(None, inputs), strict=True)
        )

    return runner


def _tflite(path):
    interpreter = tf.lite.Interpreter(str(path), num_threads=os.cpu_count())

    def runner(name):
        signature = interpreter.get_signature_runner(name)
        return path.stat().st_size, lambda inputs: signature(**inputs)

    return runner


def _inputs(name, model, batch):
    rng = np.random.default_rng(0)
    if name == "decode":
        codes = rng.normal(size=[batch, model.num_components, model.latent_dim])
        return {"codes": codes.astype(np.float32)}
    return {"images": rng.uniform(size=[batch, *model.image_shape]).astype(np.float32)}


def _expected(model, name, inputs):
    if name == "encode":
        z, w = model.encode(inputs["images"])
        return {"loc": z.mean(), "scale": z.stddev(), "weights": w.mean()}
    if name == "decode":
        return {"images": model.decode(inputs["codes"])}
    return {"reconstructions": model.reconstruct(inputs["images"])}


def _error(received, expected):
    return max(np.abs(received[each] - values).max() for each, values in expected.items())


def _time(call, inputs):
    """Return the median time of the turn in which the machine had least else to do."""
    medians = []
    for _ in range(TURNS):
        times, end = [], time.perf_counter() + FLAGS.seconds / TURNS
        while not times or time.perf_counter() < end:
            began = time.perf_counter()
            call(inputs)
            times.append(time.perf_counter() - began)
        medians.append(np.median(times))
    return min(medians)


if __name__ == "__main__":
    app.run(main)
