from . import (
    checkpoints as checkpoints,
    jit as jit,
    loop as loop,
    optimizers as optimizers,
    precision as precision,
    progress as progress,
    run_folder as run_folder,
    stored as stored,
    version as version,
)
from .checkpoints import CheckpointError as CheckpointError
from .loop import steps_per_execution as steps_per_execution, train as train
from .optimizers import FusedAdam as FusedAdam
