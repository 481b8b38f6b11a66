"""The mathematics of training: eq. 8 (`melbo`) and eq. 14 (`step`), as pure functions.

`dirichlet` has the mixing weights' distribution and draws (eq. 2), `importance` the estimates of
log p(x). Nothing here knows of Keras, of devices or of the model.
"""

import lazy_loader

# What is here, and where, is in the stub beside this file.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
