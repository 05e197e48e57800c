"""One update of a trainer's solver from a gradient computed elsewhere: `Trainer.step`.

Arguments are checked and the history updated here; the core makes the step (core/fit/step.pyx).
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..core.fit.step import is_finite, run_step
from ..errors import InputError
from ..solvers import SOLVERS
from .early_stopping import Monitor
from .evaluation import NO_EVALUATIONS
from .failures import divergence
from .fit_run import core_rate
from .recorder import columns_of

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["make_step"]


def make_step(trainer: "Trainer", gradient: Any, loss: Any) -> None:
    """The work of `Trainer.step`, after the settings have been checked."""
    network = trainer.network
    plateau = getattr(trainer.solver, "learning_rate", None)
    if not getattr(plateau, "adaptive", False):
        plateau = None
    _check_solver(trainer)
    gradient = _checked_gradient(trainer, gradient)
    loss = _checked_loss(trainer, loss, plateau)
    monitor = None if plateau is None else Monitor(None, None, plateau, None, 0)
    columns = columns_of(trainer, NO_EVALUATIONS, gradient_norm=False, in_units=False)
    rate, claim, diverged_at = core_rate(trainer.solver), object(), None
    if callable(rate):
        rate = float(rate([trainer.epoch])[0])
    try:
        network._begin_fit("make a step", claim)
        state, plateau_before = trainer._state, trainer._plateau
        before = state.before_a_call(monitor is not None)
        try:
            diverged_at = run_step(
                network._plan,
                trainer._state_for(monitor),
                network.parameters,
                gradient,
                trainer._rule,
                rate,
                loss,
                None if monitor is None else monitor.settings,
                trainer.history._columns_with(columns),
                trainer.history._columns,
            )
        finally:
            if state.take_back(before):  # it was not made
                trainer._plateau = plateau_before
    finally:
        network._end_fit(claim)
    if diverged_at is not None:
        raise divergence(trainer, trainer.epoch, 0, diverged_at)
    trainer.history.stop_reason = trainer.history.best_epoch = None


def _check_solver(trainer: "Trainer") -> None:
    if not trainer.solver.steps_from_a_gradient:
        able = [cls.__name__ for cls in SOLVERS if cls.steps_from_a_gradient]
        raise InputError(
            f"the solver is {type(trainer.solver).__name__}, for which one gradient is not enough: "
            f"it evaluates the loss at parameters of its own choice. Expected {', '.join(able)}; "
            "or use fit(X, Y, epochs=1)"
        )


def _checked_gradient(trainer: "Trainer", gradient: Any) -> np.ndarray:
    """The gradient in the network's dtype, contiguous and finite."""
    network = trainer.network
    given = checks.as_numbers("gradient", gradient, network.dtype)
    expected = f"expected ({network.n_parameters},), as Network.gradient returns it"
    if given.shape != network.parameters.shape:
        raise InputError(f"gradient has shape {given.shape}; {expected}")
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(given, network.dtype)
    if not is_finite(network._plan, cast):
        place = int(np.flatnonzero(~np.isfinite(cast))[0])
        if np.isfinite(given[place]):
            raise InputError(
                f"gradient[{place}] is {given[place]}, which float32 cannot hold; expected a "
                "smaller one, or a network with dtype='float64'"
            )
        raise InputError(
            f"gradient[{place}] is {given[place]}; expected finite numbers. Where the parameters "
            "have become too large, a smaller learning_rate helps, or inputs and targets of about "
            "[-1, 1]"
        )
    return cast


def _checked_loss(trainer: "Trainer", loss: Any, plateau: Any) -> float:
    """The loss, or NaN if it is not given; an error if the step depends on it."""
    if loss is not None:
        return checks.number("loss", loss)
    if trainer.solver.looks_at_the_loss or plateau is not None:
        who = type(trainer.solver if plateau is None else plateau).__name__
        raise InputError(
            f"loss is None, and {who} looks at whether it falls; expected the mean loss that the "
            "gradient is of: loss, gradient = net.gradient(X, Y), then "
            "trainer.step(gradient, loss)"
        )
    return math.nan
