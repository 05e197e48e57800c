"""Small feed-forward networks on a CPU: fast, and bitwise the same with any number of threads.

The public names, and nothing else.
"""

from . import errors, solvers
from . import moved as moved  # import paths of 0.1.0
from .errors import CBackpropError, DivergenceError
from .losses import Huber, Quantile
from .machine.config import get_config
from .network.network import Network
from .network.posterior import Posterior
from .network.two_layer import delta_hidden, delta_output, gradients, sigmoid
from .plotting.curve import TrainingCurveDisplay
from .solvers import schedules
from .solvers.first_order import *  # noqa: F403
from .solvers.least_squares import *  # noqa: F403
from .solvers.quasi_newton import *  # noqa: F403
from .training.checkpoint import Checkpoint
from .training.early_stopping import EarlyStopping
from .training.history import History
from .training.trainer import Trainer
from .version import __version__

__all__ = [
    "CBackpropError",
    "Checkpoint",
    "DivergenceError",
    "EarlyStopping",
    "History",
    "Huber",
    "Network",
    "Posterior",
    "Quantile",
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
__all__ += solvers.first_order.__all__
__all__ += solvers.quasi_newton.__all__
__all__ += solvers.least_squares.__all__
