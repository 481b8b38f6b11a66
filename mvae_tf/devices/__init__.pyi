from . import (
    compiled as compiled,
    distribution as distribution,
    feeds as feeds,
    guards as guards,
    running as running,
    strategies as strategies,
)
from .strategies import LostWorkerError as LostWorkerError
