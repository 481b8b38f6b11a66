"""A trained model as a TensorFlow Lite (LiteRT) file, for phones and small devices."""

import os
import pathlib
import tempfile

import tensorflow as tf

from mvae_tf import checks
from mvae_tf.model import MixtureVAE
from mvae_tf.serving import graphs, portable, versions

FILE = "model.tflite"
PRECISIONS = ("float32", "float16", "int8")


def export_tflite(
    model: MixtureVAE, path: str | os.PathLike, *, precision: str = "float32"
) -> pathlib.Path:
    """Write a model as one version of a TensorFlow Lite file, `model.tflite`.

    Its signatures `encode`, `features`, `reconstruct`, `component_reconstructions` and `decode` are
    those of `export_saved_model`, take any number of images and share the weights. They need the
    operations alone that every interpreter has. These are too few for `sample` and `score`: Log1p,
    Lgamma and draws by seed are missing. No input is refused for its values.

    Args:
        model: trained or not.
        path: as for `export_saved_model`.
        precision: of the stored weights: "float32"; "float16", half as large, computed in float32
            where a device has no other; "int8", a quarter as large, multiplied by inputs that are
            rounded to 8 bits within each batch's own range ("dynamic range").

    Returns:
        The version's folder.

    Raises:
        ValueError, FileExistsError, OSError: as `export_saved_model` says.

    Example:
        >>> folder = export_tflite(model, "serving/lite", precision="int8")     # serving/lite/1
        >>> interpreter = ai_edge_litert.interpreter.Interpreter(str(folder / "model.tflite"))
        >>> interpreter.get_signature_runner("encode")(images=images)["weights"]
    """
    graphs.require_model(model)
    checks.choice("precision", precision, PRECISIONS)
    versions.require_new(path)  # now rather than after the conversion
    content = _converted(model, precision)
    return versions.write(path, lambda folder: (folder / FILE).write_bytes(content))


def _converted(model, precision):
    functions = portable.functions(model)
    module = tf.Module()
    # All that the functions use, their twin's in place of the model's where there is one.
    module.weights = [
        variable
        for function in functions.values()
        for variable in function.get_concrete_function().graph.variables
    ]
    # Of functions the converter would make one signature without a name.
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()
