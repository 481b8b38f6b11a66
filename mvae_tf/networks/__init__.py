"""Encoder and decoder banks: the networks of all K components in one call.

`contract` says what a bank takes and gives, and has the banks of K networks of one's own; `dense`
and `convolutional` are the paper's. Nothing here knows of the objective or of the model.
"""

import lazy_loader

# What is here, and where, is in the stub beside this file.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
