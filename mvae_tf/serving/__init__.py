"""A trained model for programs that serve it: files that need none of this package to run.

`saved_model` writes TensorFlow's format, whose signatures `graphs` builds; `inputs` refuses what a
signature doesn't take, `encoded` decodes JPEG and PNG, `versions` has the folders. Nothing in the
model knows of this folder.
"""

from mvae_tf.serving.graphs import MAX_COUNT, max_count
from mvae_tf.serving.saved_model import export_saved_model
from mvae_tf.serving.versions import require_new

__all__ = ["MAX_COUNT", "export_saved_model", "max_count", "require_new"]
