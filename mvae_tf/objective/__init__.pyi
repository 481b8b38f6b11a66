from . import (
    compiled_gamma as compiled_gamma,
    dirichlet as dirichlet,
    importance as importance,
    melbo as melbo,
    posterior as posterior,
    seeds as seeds,
    step as step,
)
from .dirichlet import Dirichlet as Dirichlet
from .posterior import Posterior as Posterior
