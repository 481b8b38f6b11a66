"""Mixtures of variational autoencoders (Ye & Bors, 2020) in TensorFlow and Keras 3.

Public names are loaded when first used: `import mvae_tf` itself takes no time, and reading stored
results or cached data never starts TensorFlow.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "MixtureVAE": "model",
    "Posterior": "model",
    "dhsic": "hsic",
    "dhsic_test": "independence",
    "export_saved_model": "serving",
}
_MODULES = (
    "classifiers",
    "convolutional",
    "datasets",
    "dense",
    "dirichlet",
    "evaluation",
    "hsic",
    "image_classifiers",
    "image_scores",
    "importance",
    "independence",
    "melbo",
    "networks",
    "optimizers",
    "plots",
    "precision",
    "presets",
    "resnet",
    "run_folder",
    "serving",
    "strategies",
    "tensorboard",
    "training",
)

__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(f"mvae_tf.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"mvae_tf.{name}")
    raise AttributeError(f"module 'mvae_tf' has no attribute {name!r}")


def __dir__():
    return __all__
