"""A trained model as ONNX files, one a signature, for ONNX Runtime and whatever else reads them."""

import importlib.util
import logging
import os
import pathlib
from collections.abc import Callable

from mvae_tf.model import MixtureVAE
from mvae_tf.serving import graphs, portable, versions

OPSET = 18


def require_packages() -> None:
    """Refuse to go on without what writes the files.

    Raises:
        ImportError: the extra `onnx` is not installed.
    """
    if importlib.util.find_spec("tf2onnx") is None:
        raise ImportError(
            "Expected the package tf2onnx, which writes ONNX. Received: none. "
            "pip install 'mvae_tf[onnx]' brings it."
        )


def export_onnx(model: MixtureVAE, path: str | os.PathLike) -> pathlib.Path:
    """Write a model as one version of ONNX files, in opset 18.

    `encode.onnx`, `features.onnx`, `reconstruct.onnx`, `component_reconstructions.onnx` and
    `decode.onnx`: inputs and outputs are those of the signatures of `export_saved_model`, with any
    number of images. ONNX has no operations for `sample` and `score` (draws by seed), for the
    decoding of files, and for refusing an input's values.

    Args:
        model: trained or not.
        path: as for `export_saved_model`.

    Returns:
        The version's folder.

    Raises:
        ImportError: the extra `onnx` is not installed.
        ValueError, FileExistsError, OSError: as `export_saved_model` says.

    Example:
        >>> folder = export_onnx(model, "serving/onnx")                 # serving/onnx/1
        >>> session = onnxruntime.InferenceSession(folder / "encode.onnx")
        >>> loc, scale, weights = session.run(None, {"images": images})
    """
    require_packages()
    graphs.require_model(model)
    versions.require_new(path)  # now rather than after the conversion
    files = {
        f"{name}.onnx": converted(function) for name, function in portable.functions(model).items()
    }

    def fill(folder):
        for name, content in files.items():
            (folder / name).write_bytes(content)

    return versions.write(path, fill)


def converted(function: Callable) -> bytes:
    """Return one of `portable.functions` as the bytes of an ONNX file."""
    import tf2onnx

    # Of its steps it tells at the level of warnings.
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        proto, _ = tf2onnx.convert.from_function(
            function, input_signature=function.input_signature, opset=OPSET
        )
    finally:
        logger.setLevel(level)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    return proto.SerializeToString()
