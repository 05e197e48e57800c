"""Rules of training with which a front end may replace a trainer's own.

The estimators train by scikit-learn's rules; restarts check between slices whether to continue.  A
trainer reads these settings at the points where its rules differ; no method is overridden.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Conventions"]

# (loss, X_name, X, Y_name, Y) -> X and Y as the core reads them.
DataCheck = Callable[[Any, str, Any, str, Any], tuple[Any, np.ndarray]]


def _warn_the_caller(message: str) -> None:
    """Warn at the line that called `Trainer.fit`, two stack frames up."""
    warnings.warn(message, UserWarning, stacklevel=4)


@dataclass
class Conventions:
    """The rules in which a trainer may be changed; the defaults are its own.

    Parameters
    ----------
    l2_shared : bool
        Divide l2 by the rows of each batch (scikit-learn's convention).  The penalty is then part
        of each batch's loss and not a column of the history.  Read when the trainer's settings are
        checked, as is `weight_mean`.
    weight_mean : float, optional
        The mean of the row weights, if a solver by J'J is to treat weights as numbers of rows.
    check_data : callable, optional
        ``check_data(loss, X_name, X, Y_name, Y)`` returns X and Y as the core reads them.
    warn : callable
        ``warn(message)`` warns the user.
    order : callable, optional
        ``order(epoch)`` returns a permutation of the rows, int64, which is not checked.
    rates : callable, optional
        Returns the learning rates for an array of epochs.
    monitor : object, optional
        Replaces `early_stopping.Monitor`, with the same interface.
    between_slices : callable, optional
        Called with the number of epochs done, also within a long step; an exception from it ends
        the fit at a complete step.
    """

    l2_shared: bool = False
    weight_mean: float | None = None
    check_data: DataCheck | None = None
    warn: Callable[[str], None] = _warn_the_caller
    order: Callable[[int], np.ndarray] | None = None
    rates: Callable[[np.ndarray], np.ndarray] | None = None
    monitor: Any = None
    between_slices: Callable[[int], None] | None = None
