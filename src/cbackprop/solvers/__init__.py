"""The solvers' settings: frozen dataclasses, checked when they are made, without state."""

from .first_order import LBFGS, SGD, SOLVERS, Adam, RProp, Solver, describe, restore
from .least_squares import BayesianRegularization, LevenbergMarquardt

__all__ = [
    "LBFGS",
    "SGD",
    "SOLVERS",
    "Adam",
    "BayesianRegularization",
    "LevenbergMarquardt",
    "RProp",
    "Solver",
    "describe",
    "restore",
]
