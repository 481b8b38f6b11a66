"""dHSIC, the d-variable Hilbert-Schmidt independence criterion (Section IV), for any samples.

`criterion` is eq. 13, summed over pairs in `blocks`; `median` chooses bandwidths; `independence` is
the test that goes with it. Nothing here knows of the rest of the package but `checks`.
"""

import lazy_loader

# What is here, and where, is in the stub beside this file.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
