"""Rules of training that a front end may set in place of a trainer's own.

The estimators train by scikit-learn's rules, the restarts ask between slices whether to go on.  A
trainer reads these settings where it would follow its own rule; nothing of it is overridden.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Conventions"]

# From (loss, X_name, X, Y_name, Y) to X and Y as the core reads them.
DataCheck = Callable[[Any, str, Any, str, Any], tuple[Any, np.ndarray]]


def _warn_the_caller(message: str) -> None:
    """A warning at the line that called `Trainer.fit`, two functions above."""
    warnings.warn(message, UserWarning, stacklevel=4)


@dataclass
class Conventions:
    """How a trainer trains where that is not its own way; by default everything is.

    Parameters
    ----------
    l2_shared : bool
        Divide l2 by the rows of each batch (scikit-learn's meaning).  The penalty is then a part of
        each batch's loss and no column of the history.  Read when the trainer's settings are
        checked, as is `weight_mean`.
    weight_mean : float, optional
        The mean of the rows' weights, where they are numbers of rows and a solver by J'J is to
        count them as such.
    check_data : callable, optional
        ``check_data(loss, X_name, X, Y_name, Y)`` returns X and Y as the core reads them.
    warn : callable
        ``warn(message)`` tells the user.
    order : callable, optional
        ``order(epoch)`` returns a permutation of the rows, int64, which is not looked at again.
    rates : callable, optional
        The learning rates of an array of epochs.
    monitor : object, optional
        What `early_stopping.Monitor` is: when to stop, and what is remembered for it.
    between_slices : callable, optional
        Called with the epochs done, also within a long step; what it raises ends the fit at a whole
        step.
    """

    l2_shared: bool = False
    weight_mean: float | None = None
    check_data: DataCheck | None = None
    warn: Callable[[str], None] = _warn_the_caller
    order: Callable[[int], np.ndarray] | None = None
    rates: Callable[[np.ndarray], np.ndarray] | None = None
    monitor: Any = None
    between_slices: Callable[[int], None] | None = None
