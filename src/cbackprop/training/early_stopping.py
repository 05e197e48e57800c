"""When a fit stops before its last epoch: the settings, and their translation for the core."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import checks
from ..core.fit.early_stopping import (
    StoppingSettings,
    best_of,
    fresh_best,
    fresh_plateau,
    nothing_remembered,
    wait_anew,
    waited,
)
from ..core.fit.setup import NUMBERS
from ..errors import InputError, InputTypeError

__all__ = ["EarlyStopping", "Monitor", "monitor_for"]

# Part of a monitor's key, which checkpoints hold: no monitored column has a higher number.
MOST_COLUMNS = 12

MONITORED = ("validation_loss", "validation_metric", "loss")


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop when a monitored value has not improved for some epochs.

    Parameters
    ----------
    monitor : "validation_loss", "validation_metric" or "loss"
        Which column of the history to monitor.
    patience : int
        Training stops after this many epochs in a row without an improvement by more than
        `min_delta` over the last improved value.
    min_delta : float
        At least 0.
    mode : "auto", "min" or "max"
        Whether small or large is good; "auto" knows it for losses, accuracy and R2.
    restore_best : bool
        Give the network the parameters of its best epoch when the fit ends, for whatever reason.
        The best epoch has the best value seen; `min_delta` does not matter for it.
    start_epoch : int
        Epochs before this number (from 0) are ignored.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    monitor: str = "validation_loss"
    patience: int = 10
    min_delta: float = 0.0
    mode: str = "auto"
    restore_best: bool = True
    start_epoch: int = 0

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        checks.choice("monitor", self.monitor, MONITORED)
        set_(self, "patience", checks.positive_int("patience", self.patience))
        set_(self, "min_delta", checks.positive_float("min_delta", self.min_delta, zero=True))
        checks.choice("mode", self.mode, ("auto", "min", "max"))
        set_(self, "restore_best", checks.boolean("restore_best", self.restore_best))
        start = checks.positive_int("start_epoch", self.start_epoch, at_least=0)
        set_(self, "start_epoch", start)

    @property
    def maximises(self) -> bool:
        """Whether large values are good."""
        if self.mode == "auto":
            return self.monitor == "validation_metric"
        return self.mode == "max"


def monitor_for(solver: Any, request: Any, n_validation: int) -> "Monitor | None":
    """The monitor of a fit, or None if nothing is monitored; checks the request."""
    early_stopping, target_loss = request.early_stopping, request.target_loss
    plateau = getattr(solver, "learning_rate", None)
    if not getattr(plateau, "adaptive", False):
        plateau = None
    if early_stopping is None and target_loss is None and plateau is None:
        return None
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        raise InputTypeError(
            f"early_stopping is {checks.describe(early_stopping)}; expected "
            "cbackprop.EarlyStopping(...) or None"
        )
    if target_loss is not None:
        target_loss = checks.number("target_loss", target_loss)
    return Monitor(early_stopping, target_loss, plateau, request.metric, n_validation)


class Monitor:
    """What one fit monitors; its numbers are kept in the trainer's state.

    Parameters
    ----------
    early_stopping : EarlyStopping, optional
    target_loss : float, optional
        Stop when the training loss is at most this.
    plateau : schedule, optional
        A learning rate that is reduced on a plateau (`schedules.ReduceOnPlateau`).
    metric : None, str or callable
        The metric of the validation rows.
    n_validation : int
        The number of validation rows; 0 without validation.
    """

    def __init__(
        self,
        early_stopping: EarlyStopping | None,
        target_loss: float | None,
        plateau: Any,
        metric: Any,
        n_validation: int,
    ) -> None:
        settings: dict[str, Any] = {}
        self.monitors = early_stopping is not None
        self.plateau = plateau
        self._patience = np.inf
        if early_stopping is not None:
            self._check(early_stopping, metric, n_validation)
            settings = {
                "monitored": NUMBERS[early_stopping.monitor],
                "maximise": early_stopping.maximises,
                "patience": early_stopping.patience,
                "min_delta": early_stopping.min_delta,
                "start_epoch": early_stopping.start_epoch,
                "keep_best": early_stopping.restore_best,
            }
            self._patience = early_stopping.patience
            self._key = 1.0 + settings["monitored"] + MOST_COLUMNS * n_validation
        self.keeps_best = bool(settings.get("keep_best"))
        if target_loss is not None:
            settings["target_loss"] = target_loss
        if plateau is not None:
            settings |= {
                "plateau_factor": plateau.factor,
                "plateau_patience": plateau.patience,
                "plateau_delta": plateau.min_delta,
                "plateau_minimum": plateau.minimum,
            }
        self.settings = StoppingSettings(**settings)

    @staticmethod
    def _check(early_stopping: EarlyStopping, metric: Any, n_validation: int) -> None:
        monitor = early_stopping.monitor
        if monitor != "loss" and not n_validation:
            raise InputError(
                f"early_stopping monitors {monitor!r} and there is no validation_data; expected "
                "some, e.g. validation_data=0.2 for a fifth of the rows"
            )
        if monitor == "validation_metric":
            if metric is None:
                raise InputError(
                    "early_stopping monitors 'validation_metric' and metric is None; expected "
                    "'accuracy', 'r2' or a function"
                )
            if callable(metric) and early_stopping.mode == "auto":
                raise InputError(
                    "early_stopping monitors a metric that is a function, and mode is 'auto'; "
                    "expected 'max' or 'min': whether large or small values of it are good"
                )

    def adopt(self, state: Any, parameters: np.ndarray, same_plateau: bool) -> None:
        """Give the state the memory that this monitor needs, and keep what is still valid.

        The best value is kept if the same quantity is monitored on as many validation rows.
        Patience that an earlier fit used up starts again.
        """
        if state.stopping is None:
            state.stopping = nothing_remembered()
        if not same_plateau:
            fresh_plateau(state.stopping)
        if self.monitors and (
            state.stopping[-1] != self._key or (self.keeps_best and state.best_parameters is None)
        ):
            fresh_best(state.stopping, self._key)
        if waited(state.stopping) >= self._patience:
            wait_anew(state.stopping)
        if self.keeps_best and state.best_parameters is None:
            state.best_parameters = np.array(parameters)


def best_epoch(state: Any) -> int | None:
    """The number of the best epoch, or None if nothing was monitored."""
    best = None if state.stopping is None else best_of(state.stopping)
    return None if best is None else best[0]
