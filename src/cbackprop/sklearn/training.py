"""A trainer with the row orders, rates, stopping and penalty of scikit-learn's MLP.

The differences are passed to the core as settings; the loop over epochs is the same.
"""

from collections.abc import Iterable
from functools import partial
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
from ..core.fit.setup import COLUMNS, NUMBERS
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

    An epoch counts unless it improves the best value by `tol`; after more than `n_iter_no_change`
    such epochs in a row the fit ends or divides its learning rate.

    Parameters
    ----------
    monitor : str
        The column of the history: "loss", "validation_metric" or "validation_loss".
    tol, n_iter_no_change : float
        If `n_iter_no_change` is infinite, it never ends a fit.
    adaptive : bool
        Divide the learning rate by 5 instead, until it is at most 1e-6.
    known : tuple (value, waited), optional
        The best value of an earlier fit, and the number of epochs since.
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
            # The core reports it after the epoch with which the count exceeds the limit.
            patience=n_iter_no_change + 1,
            min_delta=tol,
            keep_best=self.keeps_best,
            from_best=True,
            divisor=_DIVISOR if adaptive else 0.0,
            least_rate=_LEAST_RATE,
        )

    def adopt(self, state: Any, parameters: np.ndarray, same_plateau: bool) -> None:
        """Give the trainer's state the memory that this monitor needs."""
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
    """A Trainer whose data are already checked and whose rules are scikit-learn's.

    Parameters
    ----------
    network, solver, loss, batch_size
        As in Trainer.
    l2 : float
        The penalty's strength.
    l2_shared : bool
        Whether it is divided by each batch's rows (scikit-learn's convention).
    weight_mean : float
        The mean row weight; scikit-learn treats weights as numbers of rows.

    Attributes
    ----------
    conventions : Conventions
        Its rules.  Before a fit an estimator sets ``order`` (None: rows in their own order),
        ``rates`` (None: the solver's own) and ``monitor`` (None, or a `Patience`).
    settings : object
        The settings from which the estimator made the trainer.
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
            check_data=partial(_checked_already, network.dtype),
            warn=_warn_by_parameters,
        )
        self._follow(self.conventions)

    @property
    def best(self) -> tuple[int, float] | None:
        """(epoch, value) of the best monitored value so far."""
        return None if self._state.stopping is None else best_of(self._state.stopping)

    @property
    def waited(self) -> float:
        """The number of epochs that patience has waited."""
        return 0.0 if self._state.stopping is None else waited(self._state.stopping)

    @property
    def evaluations(self) -> int:
        """Evaluations of loss and gradient in the last iteration of L-BFGS."""
        numbers = self._state.numbers
        return 0 if numbers is None else evaluations_of(numbers)

    @property
    def divided_by(self) -> float:
        """The factor by which "adaptive" has divided the learning rate so far."""
        return 1.0 if self._state.stopping is None else plateau_scale(self._state.stopping)

    def warn_once(self, Y: np.ndarray, others: Iterable["PeerTrainer"]) -> None:
        """Warn now about targets outside the output range; let the other trainers never warn."""
        self._warn_about_range(Y)
        for trainer in others:
            trainer._warned = True


def _checked_already(
    dtype: np.dtype[Any], loss: Any, X_name: str, X: Any, Y_name: str, Y: np.ndarray
) -> tuple[Any, np.ndarray]:
    """Check only the domain of the targets; the estimators have checked the rest."""
    spec = losses.spec_of(loss)
    if spec is not None and not spec.class_distribution:  # class indicators are always valid
        losses.check_targets(loss, spec.outputs[0], Y_name.replace("Y", "y"), Y, dtype)
    return X, Y


def _warn_by_parameters(message: str) -> None:
    warn(by_parameters(message), UserWarning)
