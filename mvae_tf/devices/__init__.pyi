from . import distribution as distribution, guards as guards, strategies as strategies
from .strategies import LostWorkerError as LostWorkerError
