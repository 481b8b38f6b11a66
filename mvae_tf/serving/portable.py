"""The signatures that other formats can hold: in float32, without checks and without draws.

Other formats have no operation that stops with an error, and none of TensorFlow's draws by seed:
`sample` and `score` stay with the SavedModel, and so does the decoding of files.
"""

from collections.abc import Callable

import tensorflow as tf

from mvae_tf.model import MixtureVAE
from mvae_tf.serving import graphs

NAMES = ("encode", "features", "reconstruct", "component_reconstructions", "decode")


def functions(model: MixtureVAE) -> dict[str, Callable]:
    """Return `tf.function`s by signature, each with one input of any number of rows."""
    model = _in_float32(model)
    answers = graphs.answers(model, score_samples=1)
    answers["decode"] = lambda codes: {"images": model.decode(codes)}
    images = tf.TensorSpec([None, *model.image_shape], name="images")
    specs = dict.fromkeys(NAMES, images) | {"decode": graphs.codes_spec(model)}
    return {
        name: tf.function(answers[name], input_signature=[specs[name]], autograph=False)
        for name in NAMES
    }


def _in_float32(model):
    """Return a model of the same weights; not every format has the products of mixed precision."""
    if model.dtype_policy.name == "float32":
        return model
    twin = MixtureVAE.from_config({**model.get_config(), "dtype": "float32"})
    twin.set_weights(model.get_weights())
    return twin
