"""Small feed-forward networks on a CPU: exact, fast, the same bits with any number of threads.

The public names, and nothing else.
"""

from . import errors
from . import moved as moved  # import paths of 0.1.0
from .errors import CBackpropError, DivergenceError
from .losses import Huber, Quantile
from .machine.config import get_config
from .network.network import Network
from .network.posterior import Posterior
from .network.two_layer import delta_hidden, delta_output, gradients, sigmoid
from .plotting.curve import TrainingCurveDisplay
from .solvers import schedules
from .solvers.first_order import LBFGS, SGD, Adam, RProp
from .solvers.least_squares import BayesianRegularization, LevenbergMarquardt
from .training.checkpoint import Checkpoint
from .training.early_stopping import EarlyStopping
from .training.history import History
from .training.trainer import Trainer
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
