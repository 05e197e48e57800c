"""A trainer that trains as scikit-learn's MLP does: its orders, rates, stopping and penalty.

The differences are handed to the core as settings; the loop over epochs stays the compiled one.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import losses
from ..core.fit.early_stopping import (
    StoppingSettings,
    best_of,
    fresh_best,
    known_best,
    nothing_remembered,
    plateau_scale,
    waited,
)
from ..core.fit.fit import COLUMNS, NUMBERS
from ..core.quasi_newton.lbfgs import evaluations_of
from ..network.network import Network
from ..solvers import Solver
from ..training.conventions import Conventions
from ..training.trainer import Trainer
from .notices import by_parameters, warn

__all__ = ["Patience", "PeerTrainer"]

# scikit-learn's "adaptive" divides the rate by 5, and stops at 1e-6.
_DIVISOR = 5.0
_LEAST_RATE = 1e-6


class Patience:
    """When scikit-learn's MLP stops: a Monitor for the trainer.

    An epoch counts unless it betters the best value before by `tol`; the fit ends after more than
    `n_iter_no_change` such epochs in a row, or divides its learning rate then.

    Parameters
    ----------
    monitor : str
        The column of the history: "loss", "validation_metric" or "validation_loss".
    tol, n_iter_no_change : float
        Infinite, the second never ends a fit.
    adaptive : bool
        Divide the learning rate by 5 instead, until it is at most 1e-6.
    known : tuple (value, waited), optional
        The best value of an earlier fit, and the epochs since.
    """

    plateau = None

    def __init__(
        self,
        monitor: str,
        tol: float,
        n_iter_no_change: float,
        *,
        adaptive: bool = False,
        known: tuple[float, float] | None = None,
    ) -> None:
        self.keeps_best = monitor != "loss"
        self._known = known
        self._key = 1.0 + NUMBERS[monitor] + len(COLUMNS) * self.keeps_best
        self.settings = StoppingSettings(
            monitored=NUMBERS[monitor],
            maximise=monitor == "validation_metric",
            # It is told after the epoch that makes the count exceed.
            patience=n_iter_no_change + 1,
            min_delta=tol,
            keep_best=self.keeps_best,
            from_best=True,
            divisor=_DIVISOR if adaptive else 0.0,
            least_rate=_LEAST_RATE,
        )

    def adopt(self, state: Any, parameters: np.ndarray, same_plateau: bool) -> None:
        """Give the trainer's state the memory that this watching needs."""
        if state.stopping is None:
            state.stopping = nothing_remembered()
        if state.stopping[-1] != self._key:
            fresh_best(state.stopping, self._key)
        if self._known is not None:
            known_best(state.stopping, self._known[0], state.epoch, self._known[1])
            self._known = None
        if self.keeps_best and state.best_parameters is None:
            state.best_parameters = np.array(parameters)


class PeerTrainer(Trainer):
    """A Trainer whose data are checked already and whose ways are scikit-learn's.

    Parameters
    ----------
    network, solver, loss, batch_size
        As a Trainer's.
    l2 : float
        The penalty's strength.
    l2_shared : bool
        Whether it is divided by each batch's rows (scikit-learn's meaning).
    weight_mean : float
        Of the rows' weights, which scikit-learn takes for numbers of rows.

    Attributes
    ----------
    conventions : Conventions
        Its ways.  Before a fit an estimator sets ``order`` (rows in their own order where it is
        None), ``rates`` (None: the solver's own) and ``monitor`` (None, or a `Patience`).
    settings : object
        What the estimator made the trainer from.
    """

    def __init__(
        self,
        network: Network,
        *,
        solver: Solver,
        loss: Any,
        batch_size: int | None,
        l2: float,
        l2_shared: bool,
        weight_mean: float,
    ) -> None:
        super().__init__(
            network, solver=solver, loss=loss, batch_size=batch_size, shuffle=False, l2=l2, seed=0
        )
        self.settings: Any = None
        self.conventions = Conventions(
            l2_shared=l2_shared,
            weight_mean=weight_mean if weight_mean > 0 else None,
            check_data=_checked_already,
            warn=_warn_by_parameters,
        )
        self._follow(self.conventions)

    @property
    def best(self) -> tuple[int, float] | None:
        """(epoch, value) of the best monitored value so far."""
        return None if self._state.stopping is None else best_of(self._state.stopping)

    @property
    def waited(self) -> float:
        """For how many epochs patience has been waiting."""
        return 0.0 if self._state.stopping is None else waited(self._state.stopping)

    @property
    def evaluations(self) -> int:
        """Of loss and gradient, in the last iteration of L-BFGS."""
        numbers = self._state.numbers
        return 0 if numbers is None else evaluations_of(numbers)

    @property
    def divided_by(self) -> float:
        """What "adaptive" has divided the learning rate by so far."""
        return 1.0 if self._state.stopping is None else plateau_scale(self._state.stopping)

    def warn_once(self, Y: np.ndarray, others: Iterable["PeerTrainer"]) -> None:
        """Tell of targets out of reach now, in this thread, and of those of twins never."""
        self._warn_about_range(Y)
        for trainer in others:
            trainer._warned = True


def _checked_already(
    loss: Any, X_name: str, X: Any, Y_name: str, Y: np.ndarray
) -> tuple[Any, np.ndarray]:
    """The estimators have checked everything but the domain of the targets."""
    spec = losses.spec_of(loss)
    if spec is not None and not spec.class_distribution:  # indicators of classes are right
        losses.check_targets(loss, spec.outputs[0], Y_name.replace("Y", "y"), Y)
    return X, Y


def _warn_by_parameters(message: str) -> None:
    warn(by_parameters(message), UserWarning)
