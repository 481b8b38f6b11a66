"""A trained model for programs that serve it: files that need none of this package to run.

`saved_model`, `onnx`, `tflite` and `web` each write a format. `graphs` builds the signatures,
`portable` those that formats other than TensorFlow's can hold; `inputs` refuses what a signature
doesn't take, `encoded` (with `exif`) decodes JPEG and PNG, `versions` has the folders; `page` is
what a browser loads. Nothing in the model knows of this folder.
"""

from mvae_tf.serving.graphs import MAX_COUNT, max_count
from mvae_tf.serving.onnx import export_onnx
from mvae_tf.serving.saved_model import export_saved_model
from mvae_tf.serving.tflite import export_tflite
from mvae_tf.serving.versions import require_new
from mvae_tf.serving.web import export_web

__all__ = [
    "MAX_COUNT",
    "export_onnx",
    "export_saved_model",
    "export_tflite",
    "export_web",
    "max_count",
    "require_new",
]
