"""Write a trained model as a SavedModel, which needs TensorFlow alone to run, or in another format.

  mvae-tf export --model=runs/photos --output=serving/photos      # the next version
  mvae-tf export --model=runs/photos --output=serving/photos/1    # this version
  mvae-tf export --model=runs/photos --output=lite/photos --format=tflite --precision=int8
  mvae-tf export --model=runs/photos --output=web/photos --format=web

Prints the version's folder and, of a SavedModel, its signatures, with the shapes of what they take
and give (-1: any number of images), or else its files. Images are floats in [0, 1]; or uint8, or
JPEG or PNG files, where the signature's name says so (_uint8, _bytes).
"""

from collections.abc import Sequence

from absl import flags

from mvae_tf.commands.support import arguments, sources
from mvae_tf.commands.support.arguments import CommandError, UsageError
from mvae_tf.startup import import_tensorflow

# Flags that one format alone has.
_OF_FORMAT = {"precision": "tflite", "runtime": "web", "score_samples": "saved_model"}


def main(argv: Sequence[str]) -> None:
    """Export a model."""
    given = arguments.parse(__doc__, _define, argv)
    _require_its_flags(given)
    path = sources.find_model(given)
    output = arguments.path("output", given.output)
    import_tensorflow()
    from mvae_tf import serving
    from mvae_tf.serving import onnx

    serving.require_new(output)  # now rather than after the model is loaded
    if given.format in ("onnx", "web"):
        try:
            onnx.require_packages()
        except ImportError as error:
            raise CommandError(str(error)) from error
    model = sources.load_model(path)
    if given.format == "onnx":
        version = serving.export_onnx(model, output)
    elif given.format == "web":
        runtime = given.runtime and arguments.path("runtime", given.runtime)
        version = serving.export_web(model, output, runtime=runtime)
    elif given.format == "tflite":
        version = serving.export_tflite(model, output, precision=given.precision)
    else:
        version = serving.export_saved_model(model, output, score_samples=given.score_samples)
    print(version)
    for line in _signatures(version) if given.format == "saved_model" else _files(version):
        print(f"  {line}")


def _define(values):
    arguments.define_model(values)
    flags.DEFINE_string(
        "output",
        None,
        "A folder that ends in a version number, or the folder of all versions.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "format",
        "saved_model",
        ("saved_model", "onnx", "tflite", "web"),
        "What to write: TensorFlow's SavedModel; ONNX (opset 18; needs mvae_tf[onnx]), a file a "
        "signature; TensorFlow Lite, one file; or a static page that decodes and mixes in a "
        "browser (needs mvae_tf[onnx] and npm).",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        ("float32", "float16", "int8"),
        "Of the weights in TensorFlow Lite.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "runtime",
        None,
        "For a page: the .tgz that `npm pack onnxruntime-web@1.30.0` writes (default: npm does).",
        flag_values=values,
    )
    arguments.define_integer(
        values, "score_samples", 64, "Draws for each image in the signature `score`."
    )


def _require_its_flags(given):
    """Refuse flags that are of another format, which would else have no effect."""
    for name, itself in _OF_FORMAT.items():
        if given[name].present and given.format != itself:
            raise UsageError(
                f"Expected --{name} only with --format={itself}. Received: --format={given.format}."
            )


def _files(folder):
    """Yield a line for each file of a folder."""
    for path in sorted(folder.rglob("*.*")):
        yield f"{path.relative_to(folder)}: {path.stat().st_size:,} bytes"


def _signatures(folder):
    """Yield a line for each signature of a SavedModel."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    for name in sorted(signatures):
        if not name.startswith("__"):  # TensorFlow's own
            signature = signatures[name]
            yield f"{name}: {_tensors(signature.inputs)} -> {_tensors(signature.outputs)}"


def _tensors(tensors):
    return ", ".join(
        f"{name} {[size.size for size in tensors[name].tensor_shape.dim]}"
        for name in sorted(tensors)
    )
