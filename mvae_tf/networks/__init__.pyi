from . import (
    activations as activations,
    banks as banks,
    contract as contract,
    convolutional as convolutional,
    dense as dense,
)
from .contract import (
    DecoderBank as DecoderBank,
    EncoderBank as EncoderBank,
    PosteriorParameters as PosteriorParameters,
    num_outputs as num_outputs,
    posterior_parameters as posterior_parameters,
)
