"""Small feed-forward networks on a CPU: exact, fast, the same bits with any number of threads.

The public names, and nothing else.
"""

from . import errors, schedules
from .checkpoint import Checkpoint
from .config import get_config
from .errors import CBackpropError, DivergenceError
from .formulas import delta_hidden, delta_output, gradients, sigmoid
from .history import History
from .least_squares import BayesianRegularization, LevenbergMarquardt
from .losses import Huber, Quantile
from .network import Network
from .plotting import TrainingCurveDisplay
from .posterior import Posterior
from .solvers import LBFGS, SGD, Adam, RProp
from .stopping import EarlyStopping
from .trainer import Trainer
from .version import __version__

__all__ = [
    "LBFGS",
    "SGD",
    "Adam",
    "BayesianRegularization",
    "CBackpropError",
    "Checkpoint",
    "DivergenceError",
    "EarlyStopping",
    "History",
    "Huber",
    "LevenbergMarquardt",
    "Network",
    "Posterior",
    "Quantile",
    "RProp",
    "Trainer",
    "TrainingCurveDisplay",
    "__version__",
    "delta_hidden",
    "delta_output",
    "errors",
    "get_config",
    "gradients",
    "schedules",
    "sigmoid",
]
