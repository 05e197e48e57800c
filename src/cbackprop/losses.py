"""The losses by name: their settings, the outputs they go with, the targets they take.

The formulas stand in docs/mathematics.md and core/simd/loss.h; here is what a user may ask for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import checks
from .activations import ACTIVATIONS
from .core.gradient.objective import Objective
from .errors import InputError, InputTypeError

__all__ = ["LOSSES", "Huber", "Quantile", "check_loss", "check_targets", "name_of", "objective_for"]

ELEMENTWISE = tuple(spec.name for spec in ACTIVATIONS.values() if spec.elementwise)

# The output activations of each loss, and why there are no others.
LOSSES = {
    "squared_error": ((*ELEMENTWISE, "softmax"), ""),
    "cross_entropy": (
        ("sigmoid", "softmax"),
        "it is the logarithm of a probability, and taken from the logits",
    ),
    "poisson": (("exp",), "it is the deviance of a positive rate, and taken from its logarithm"),
    "absolute_error": (ELEMENTWISE, "the outputs of a softmax are one probability distribution"),
    "huber": (ELEMENTWISE, "the outputs of a softmax are one probability distribution"),
    "quantile": (ELEMENTWISE, "the outputs of a softmax are one probability distribution"),
}


@dataclass(frozen=True, kw_only=True)
class Huber:
    """The loss of Huber (Annals of Mathematical Statistics 35, 1964).

    d^2 / 2 where |d| <= threshold, else threshold (|d| - threshold / 2), with d = y_hat - y.

    Parameters
    ----------
    threshold : float
        Above 0, in the units of the targets as the network sees them (scaled, if they are).
    """

    threshold: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", checks.positive_float("threshold", self.threshold))


@dataclass(frozen=True, kw_only=True)
class Quantile:
    """The pinball loss (Koenker and Bassett, Econometrica 46, 1978): its minimum is a quantile.

    q (y - y_hat) where y_hat < y, else (1 - q) (y_hat - y).

    Parameters
    ----------
    quantile : float
        q, above 0 and below 1; 0.5 is half the absolute error.
    """

    quantile: float = 0.5

    def __post_init__(self) -> None:
        q = checks.positive_float("quantile", self.quantile, below=1)
        object.__setattr__(self, "quantile", q)


def name_of(loss: Any) -> str:
    """The loss's name; "given" for a function of Python."""
    if isinstance(loss, Huber):
        return "huber"
    if isinstance(loss, Quantile):
        return "quantile"
    return loss if isinstance(loss, str) else "given"


def check_loss(loss: Any, output_activation: str, *, callables: bool) -> None:
    """The loss is known and goes with the output activation.

    Parameters
    ----------
    callables : bool
        Whether a function ``(Y, Y_hat) -> (loss, dloss_dY_hat)`` is taken too.
    """
    if callables and callable(loss) and not isinstance(loss, type):
        return
    if not isinstance(loss, (str, Huber, Quantile)):
        raise InputTypeError(
            f"loss is {checks.describe(loss)}; expected one of "
            f"{', '.join(map(repr, LOSSES))}, Huber(...), Quantile(...)"
            + (" or a function (Y, Y_hat) -> (loss, dloss_dY_hat)" if callables else "")
        )
    if isinstance(loss, str):
        checks.choice("loss", loss, LOSSES)
    outputs, reason = LOSSES[name_of(loss)]
    if output_activation not in outputs:
        raise InputError(
            f"loss is {loss!r} and the output activation {output_activation!r}; expected "
            f"{' or '.join(map(repr, outputs))} with this loss: {reason}"
        )


def objective_for(
    loss: Any,
    dtype: np.dtype[Any],
    *,
    output_weight: np.ndarray | None = None,
    missing: bool = False,
    units: np.ndarray | None = None,
) -> Objective:
    """The core's objective for a checked loss."""
    if isinstance(loss, Huber):
        parameter = loss.threshold
    elif isinstance(loss, Quantile):
        parameter = loss.quantile
    else:
        parameter = {"huber": 1.0, "quantile": 0.5}.get(loss, 0.0) if isinstance(loss, str) else 0.0
    return Objective(
        name_of(loss),
        parameter=parameter,
        column_weight=None if output_weight is None else output_weight.astype(dtype),
        units=None if units is None else units.astype(dtype),
        missing=missing,
    )


def unit_factors(loss: Any, scale: np.ndarray) -> np.ndarray:
    """What turns each column's loss for targets y * scale into that for y.

    Huber's threshold is taken along: it stands in scaled units.
    """
    if name_of(loss) in ("squared_error", "huber"):
        return np.asarray(1.0 / scale**2)
    return np.asarray(1.0 / np.abs(scale))


def check_targets(loss: Any, output_activation: str, name: str, Y: np.ndarray) -> None:
    """The targets are such as the loss is defined for: [0, 1], sums of 1, or at least 0."""
    kind = name_of(loss)
    if kind not in ("cross_entropy", "poisson"):
        return
    with np.errstate(invalid="ignore"):
        if kind == "poisson":
            bad, expected = Y < 0, "at least 0"
        else:
            bad, expected = (Y < 0) | (Y > 1), "in [0, 1]"
        if bad.any():
            row, column = divmod(int(bad.argmax()), Y.shape[1])
            raise InputError(
                f"{name}[{row}, {column}] is {Y[row, column]:g}; expected targets {expected} with "
                f"loss {kind!r}"
            )
        if kind == "cross_entropy" and output_activation == "softmax":
            sums = Y.sum(axis=1)
            bad = np.abs(sums - 1) > 1e-4
            if bad.any():
                row = int(bad.argmax())
                raise InputError(
                    f"row {row} of {name} sums to {sums[row]:g}; expected 1: with a softmax output "
                    "the targets are probabilities of the classes. np.eye(n_classes)[labels] makes "
                    "such rows"
                )


CustomLoss = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]


def checked_call(loss: CustomLoss, dtype: np.dtype[Any]) -> CustomLoss:
    """The user's loss, with what it returns checked."""

    def call(Y: np.ndarray, Y_hat: np.ndarray) -> tuple[float, np.ndarray]:
        shape = Y_hat.shape
        returned = loss(Y, Y_hat)
        try:
            value, derivative = returned
            value = float(value)
            derivative = np.ascontiguousarray(derivative, dtype=dtype)
        except (TypeError, ValueError):
            derivative = None
        if derivative is None or derivative.shape != shape:
            raise InputError(
                f"the loss returned {checks.describe(returned)}; expected (loss, dloss_dY_hat): a "
                f"number and an array of shape {shape}"
            )
        return value, derivative

    return call
