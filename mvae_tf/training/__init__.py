"""Training to the end: how a model is trained, stopped and gone on with.

`loop` runs the epochs, with `checkpoints` and `progress`; `optimizers` and `precision` are what it
trains with; `run_folder` is what a run leaves. Nothing in the model knows of this folder.
"""

import lazy_loader

# What is here, and where, is in the stub beside this file.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
