from . import (
    classifiers as classifiers,
    codes as codes,
    errors as errors,
    image_classifiers as image_classifiers,
    image_scores as image_scores,
    resnet as resnet,
    ways as ways,
)
from .codes import Codes as Codes, encode_split as encode_split, linear_cka as linear_cka
from .errors import (
    LogLikelihood as LogLikelihood,
    ReconstructionErrors as ReconstructionErrors,
    component_errors as component_errors,
    log_likelihoods as log_likelihoods,
    mean_elbo as mean_elbo,
    mean_log_likelihood as mean_log_likelihood,
    reconstruction_errors as reconstruction_errors,
)
from .ways import (
    BatchErrors as BatchErrors,
    batch_errors as batch_errors,
    codes_by_way as codes_by_way,
)
