"""Mixtures of variational autoencoders (Ye & Bors, 2020) in TensorFlow and Keras 3.

Public names are loaded when first used: `import mvae_tf` itself takes no time, and reading stored
results or cached data never starts TensorFlow.
"""

import lazy_loader

__version__ = "0.2.0"

# What is here, and where, is in the stub beside this file.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
