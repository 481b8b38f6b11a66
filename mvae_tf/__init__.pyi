from . import (
    datasets as datasets,
    devices as devices,
    evaluation as evaluation,
    hsic as hsic,
    networks as networks,
    objective as objective,
    plots as plots,
    presets as presets,
    serving as serving,
    tensorboard as tensorboard,
    training as training,
)
from .hsic import dhsic as dhsic, dhsic_test as dhsic_test
from .model import MixtureVAE as MixtureVAE
from .objective import Posterior as Posterior
from .serving import export_saved_model as export_saved_model

__version__: str
