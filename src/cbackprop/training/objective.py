"""What a fit minimises: loss, output weights, missing targets, units."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks, losses
from ..core.gradient.objective import Objective
from ..errors import InputError
from .request import FitRequest

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["objective_of", "python_loss"]


def objective_of(trainer: "Trainer", request: FitRequest) -> tuple[Objective, float]:
    """The objective, and the single factor to the targets' units (0: none, or one per output)."""
    network = trainer.network
    output_weight = checks.as_weights(
        "output_weight", request.output_weight, network.sizes[-1], what="an output"
    )
    units: np.ndarray | None = None
    unit = 0.0
    if network.output_scaling is not None:
        factors = losses.unit_factors(trainer.loss, network.output_scaling.scale)
        if factors is not None and (factors == factors[0]).all():
            unit = float(factors[0])
        else:
            units = factors
    objective = losses.objective_for(
        trainer.loss,
        network.dtype,
        output_weight=output_weight,
        missing=request.missing == "ignore",
        units=units,
    )
    return objective, unit


def python_loss(trainer: "Trainer", request: FitRequest, *, weighted: bool) -> Any:
    """The trainer's loss, if it is a function, wrapped for the core.

    weighted : whether the rows have weights
    """
    if weighted or request.output_weight is not None or request.missing == "ignore":
        raise InputError(
            "loss is a function and weights or missing targets are given; expected none of "
            "them: a custom loss must apply weights and skip missing targets itself"
        )
    return losses.checked_call(trainer.loss, trainer.network.dtype)
