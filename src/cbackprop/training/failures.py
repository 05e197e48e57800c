"""The errors of a training that the core has ended: what was found, and what may help."""

import math
from typing import TYPE_CHECKING, Any, NoReturn

from .. import checks
from ..errors import DivergenceError
from .evaluation import Evaluations
from .request import FitRequest

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["divergence", "raise_failure"]


def raise_failure(
    trainer: "Trainer", request: FitRequest, evaluations: Evaluations, failure: tuple[Any, ...]
) -> NoReturn:
    """Raise the error for a failure that `run_fit` (core/fit/fit.pyx) has returned."""
    if failure[0] == "diverged":
        raise divergence(trainer, *failure[1:])
    if failure[0] == "rows":
        dtype = trainer.network.dtype
        checks.raise_non_finite(request.X, request.Y, dtype, missing=request.missing == "ignore")
    evaluations.raise_non_finite(failure[0].split()[0])


def divergence(trainer: "Trainer", epoch: int, step: int, rate: float) -> DivergenceError:
    """The error about a loss or a parameter that is not finite; both numbers count from 0."""
    with_rate, advice = f"learning_rate={rate:g}", "Use a smaller learning_rate, or s"
    if math.isnan(rate):
        with_rate, advice = type(trainer.solver).__name__, "S"
    return DivergenceError(
        f"training diverged: the loss or a parameter was not finite after step {step} of epoch "
        f"{epoch} (both from 0) with {with_rate}; the network is as it was at the start of the "
        f"epoch or shortly before. {advice}cale the inputs and targets to about [-1, 1]",
        epoch,
        step,
        rate,
    )
