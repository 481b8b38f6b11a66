"""Models that were exported, what a server is asked and should answer, and a server.

TensorFlow Serving's program is not at hand. What stands in for it is TensorFlow's C++ session,
which it uses too, called without Python's checks of what is fed.
"""

import os

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

import mvae_tf

SHAPE, K, D, SCORE_SAMPLES = (9, 8, 2), 3, 2, 3
BITS = np.random.default_rng(0).integers(0, 256, [4, *SHAPE], dtype=np.uint8)
IMAGES = BITS.astype(np.float32) / np.float32(255)
CODES = np.random.default_rng(1).normal(size=[5, K, D]).astype(np.float32)

# Of each signature: its inputs and outputs, dtype and shape, -1 for any size.
IMAGE_OUTPUTS = {
    "reconstruct": {"reconstructions": ("float32", [-1, *SHAPE])},
    "encode": {
        "loc": ("float32", [-1, K, D]),
        "scale": ("float32", [-1, K, D]),
        "weights": ("float32", [-1, K]),
    },
    "component_reconstructions": {"reconstructions": ("float32", [-1, K, *SHAPE])},
    "features": {"features": ("float32", [-1, K * D])},
    "score": {"log_likelihood": ("float32", [-1])},
}
FLOATS, UINT8 = {"images": ("float32", [-1, *SHAPE])}, {"images": ("uint8", [-1, *SHAPE])}
SIGNATURES = {
    "serving_default": (FLOATS, IMAGE_OUTPUTS["reconstruct"]),
    **{name: (FLOATS, outputs) for name, outputs in IMAGE_OUTPUTS.items()},
    **{f"{name}_uint8": (UINT8, outputs) for name, outputs in IMAGE_OUTPUTS.items()},
    "decode": ({"codes": ("float32", [-1, K, D])}, {"images": ("float32", [-1, K, *SHAPE])}),
    "sample": (
        {"count": ("int32", []), "seed": ("int32", [])},
        {"images": ("float32", [-1, *SHAPE])},
    ),
}

MODELS = {
    "dense": {"network": "dense", "hidden_units": (8,), "mixing": "likelihood"},
    "convolutional": {
        "network": "convolutional",
        "hidden_units": (3,),
        "mixing": "image",
        "likelihood": "bernoulli",
        "concentration": "normalized",
        "dtype": "mixed_bfloat16",
    },
}
# Rounding to bfloat16 may fall differently once TensorFlow has fused operations.
TOLERANCE = {"dense": 1e-5, "convolutional": 2e-2}


def made(kind):
    """A model whose every weight, moving averages included, is as if it had been trained."""
    model = mvae_tf.MixtureVAE(SHAPE, K, D, **MODELS[kind], seed=0)
    model.compile(optimizer=keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(2)
    for weight in model.weights:
        weight.assign(weight + rng.uniform(0.05, 0.15, weight.shape))
    return model


def fed(signature, count=None):
    """The inputs of a signature, the first images or codes only."""
    if signature == "sample":
        return {"count": np.int32(7), "seed": np.int32(-3)}
    if signature == "decode":
        return {"codes": CODES[:count]}
    return {"images": (BITS if signature.endswith("_uint8") else IMAGES)[:count]}


def answer(model, signature, count=None):
    """What the model's own method says."""
    name = signature.removesuffix("_uint8")
    if name in ("reconstruct", "serving_default"):
        return {"reconstructions": model.reconstruct(IMAGES[:count])}
    if name == "encode":
        posterior = model.encode(IMAGES[:count])
        z = posterior.z.distribution
        return {"loc": z.loc, "scale": z.scale, "weights": posterior.w.mean()}
    if name == "score":
        return {"log_likelihood": model.log_likelihood(IMAGES[:count], SCORE_SAMPLES)}
    if name == "features":
        return {"features": model.features(IMAGES[:count])}
    if name == "component_reconstructions":
        return {"reconstructions": model.component_reconstructions(IMAGES[:count])}
    if name == "decode":
        return {"images": model.decode(CODES[:count])}
    return {"images": model.sample(7, seed=-3)}


def same(received, expected, kind):
    assert received.keys() == expected.keys()
    for name in expected:
        tolerance = TOLERANCE[kind]
        np.testing.assert_allclose(received[name], expected[name], tolerance, tolerance, name)


class Server:
    """TensorFlow's C++ session on a SavedModel, without Python's checks of what is fed."""

    def __init__(self, folder):
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], os.fspath(folder))
        self.signatures = dict(graph.signature_def)
        self._functions = {}

    def __call__(self, signature, inputs):
        definition = self.signatures[signature]
        if signature not in self._functions:
            options = config_pb2.CallableOptions(
                feed=[definition.inputs[name].name for name in sorted(definition.inputs)],
                fetch=[definition.outputs[name].name for name in sorted(definition.outputs)],
            )
            self._functions[signature] = self._session._make_callable_from_options(options)
        outputs = self._functions[signature](*(inputs[name] for name in sorted(inputs)))
        return dict(zip(sorted(definition.outputs), outputs, strict=True))
