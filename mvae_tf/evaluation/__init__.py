"""What a trained model is worth on images it has not seen.

`errors` and `codes` measure reconstructions, likelihoods and codes, `ways` both at means or draws,
with dropout off or on; `classifiers` classify codes;
`image_scores` judge images by an `image_classifiers`' opinion.
"""

import lazy_loader

# What is here, and where, is in the stub beside this file.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
