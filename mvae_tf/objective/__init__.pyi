from . import dirichlet as dirichlet, importance as importance, melbo as melbo, step as step
from .dirichlet import Dirichlet as Dirichlet
from .posterior import Posterior as Posterior
