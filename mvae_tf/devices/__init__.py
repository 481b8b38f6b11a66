"""Which devices train a model together, and what they do for each other within a step.

`strategies` makes them by name; `distribution` brings the parts of a batch together; `guards` stops
a step on all of them; `feeds` bring images, and `compiled` takes many steps in one program. The
mathematics of a step is in `objective`.
"""

import lazy_loader

# What is here, and where, is in the stub beside this file.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
