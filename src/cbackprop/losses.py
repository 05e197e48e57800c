"""The losses, each specified once.

``LOSSES`` holds the specification of every loss; all code that depends on the loss reads it: the
checks, the core's objective, the solvers, the estimators, checkpoints and the command line.
docs/mathematics.md has the formulas.

A new loss needs its specification here, its code in core/simd/simd.h, its loop in core/simd/loss.h,
its formula in reference/losses.py and, if it has one, its curvature in
core/gauss_newton/factors.pyx.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from . import checks
from .activations import ACTIVATIONS
from .core.gradient.objective import Objective
from .errors import InputError, InputTypeError

__all__ = [
    "LOSSES",
    "SETTINGS",
    "Domain",
    "Huber",
    "LossSpec",
    "Quantile",
    "check_loss",
    "check_targets",
    "moderate_weights",
    "name_of",
    "objective_for",
    "spec_of",
    "unit_factors",
]


# --- losses with a number of their own ------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Huber:
    """Huber's loss (Annals of Mathematical Statistics 35, 1964).

    d^2 / 2 where |d| <= threshold, else threshold (|d| - threshold / 2), with d = y_hat - y.

    Parameters
    ----------
    threshold : float
        Above 0, in the units of the targets inside the network (scaled targets, if they are
        scaled).
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


# --- the specification of a loss ------------------------------------------------------------------


@dataclass(frozen=True)
class Domain:
    """The targets for which a loss is defined.

    Parameters
    ----------
    words : str
        The wording in an error: "expected targets <words>".
    outside : callable
        Maps an array of targets to whether each is outside; NaN, a missing target, never is.
    open : bool
        Whether it lacks a limit of its own, to which rounding to float32 can take a target.
    """

    words: str
    outside: Callable[[np.ndarray], np.ndarray]
    open: bool = False


UNIT_INTERVAL = Domain("in [0, 1]", lambda Y: (Y < 0) | (Y > 1))
NOT_NEGATIVE = Domain("at least 0", lambda Y: Y < 0)
POSITIVE = Domain("above 0", lambda Y: Y <= 0, open=True)

# The tolerance with which a row of class probabilities must sum to 1.
SUM_TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class LossSpec:
    """The specification of one loss.

    Parameters
    ----------
    name : str
        Its public name.
    code : int
        Its number in the core, ``CBP_...`` in core/simd/simd.h.
    summary : str
        A description in a few words for a list of losses.
    outputs : tuple of str
        The output activations that it supports; the first is the default if "identity" is not among
        them.
    reason : str
        Why it supports no others.
    from_O : bool
        Whether it is computed from O, before the output activation, instead of from y_hat.
    domain : Domain, optional
        The targets for which it is defined; None is all numbers.
    settings : class, optional
        The dataclass of its one parameter, with the default; an instance of it is a loss too.
    curvature : str, optional
        The formula of its second derivative, d2l/dO2 with ``from_O`` and else d2l/dy_hat2, from
        which Levenberg-Marquardt builds its matrix; ``factors.curvature`` computes it, and it is
        never negative.  None: that solver does not support the loss.
    only_grows : bool
        Whether no l as computed by the core is below 0, even by rounding, so that a sum over some
        rows never exceeds that over all.
    unit_power : int, optional
        p, if multiplying targets and outputs by c multiplies the loss by c^p, so that changing the
        targets' units does not change the objective (Huber's threshold is scaled too).  Else None.
    formulas : mapping
        As `Network.trace` shows them: L, delta_O, and the meaning of their symbols.  A key is an
        output activation, or "" for all others; "{w}" is the place of weights, "{parameter}" that
        of the parameter.
    class_distribution : mapping
        If the targets are classes: for each output activation the distribution of a row's targets,
        "Bernoulli" (each output is an independent probability) or "categorical" (the probabilities
        of mutually exclusive classes).
    """

    name: str
    code: int
    summary: str
    outputs: tuple[str, ...]
    reason: str = ""
    from_O: bool = False
    domain: Domain | None = None
    settings: type[Any] | None = None
    curvature: str | None = None
    only_grows: bool = False
    unit_power: int | None = None
    formulas: Mapping[str, tuple[str, str, str]]
    class_distribution: Mapping[str, str] = field(default_factory=dict)

    def parameter_of(self, loss: Any) -> float:
        """The loss's parameter, for a name the default; 0 if it has none."""
        if self.settings is None:
            return 0.0
        settings = self.settings() if isinstance(loss, str) else loss
        return float(getattr(settings, fields(self.settings)[0].name))

    def formulas_for(self, output_activation: str) -> tuple[str, str, str]:
        """The formulas for this output activation."""
        return self.formulas.get(output_activation) or self.formulas[""]

    def output_for(self, given: str | None = None) -> str:
        """The output activation: the given one, or the default."""
        return given or ("identity" if "identity" in self.outputs else self.outputs[0])


_ELEMENTWISE = tuple(spec.name for spec in ACTIVATIONS.values() if spec.elementwise)
_NOT_SOFTMAX = "the outputs of a softmax are one probability distribution"

LOSSES: dict[str, LossSpec] = {
    spec.name: spec
    for spec in (
        LossSpec(
            name="squared_error",
            code=0,
            summary="half the squared error",
            formulas={
                "": ("1/(2N) sum {w}(Y - Y_hat)^2", "-{w}(Y - Y_hat) * sigma'(O)", ""),
                "softmax": (
                    "1/(2N) sum {w}(Y - Y_hat)^2",
                    "Y_hat * (G - sum_k G * Y_hat)",
                    "G = -{w}(Y - Y_hat)",
                ),
            },
            outputs=(*_ELEMENTWISE, "softmax"),
            curvature="1",
            only_grows=True,
            unit_power=2,
        ),
        LossSpec(
            name="cross_entropy",
            code=1,
            summary="the negative logarithm of the probability",
            formulas={
                "sigmoid": (
                    "-1/N sum {w}(Y log(Y_hat) + (1 - Y) log(1 - Y_hat))",
                    "{w}(Y_hat - Y)",
                    "",
                ),
                "softmax": ("-1/N sum {w}Y log(Y_hat)", "Y_hat * (sum_k {w}Y) - {w}Y", ""),
            },
            outputs=("sigmoid", "softmax"),
            reason="it is the logarithm of a probability, and taken from the logits",
            from_O=True,
            domain=UNIT_INTERVAL,
            curvature="y_hat (1 - y_hat); with softmax diag(y_hat) - y_hat y_hat', times sum y",
            only_grows=True,
            class_distribution={"sigmoid": "Bernoulli", "softmax": "categorical"},
        ),
        LossSpec(
            name="poisson",
            code=2,
            summary="half the deviance of counts and rates, with exponential outputs",
            formulas={
                "": ("1/N sum {w}(Y log(Y / Y_hat) - Y + Y_hat)", "{w}(Y_hat - Y)", ""),
            },
            outputs=("exp",),
            reason="it is the deviance of a positive rate, and taken from its logarithm",
            from_O=True,
            domain=NOT_NEGATIVE,
            curvature="y_hat",
            unit_power=1,
        ),
        LossSpec(
            name="absolute_error",
            code=3,
            summary="the absolute error",
            formulas={
                "": ("1/N sum {w}|Y_hat - Y|", "{w}sign(Y_hat - Y) * sigma'(O)", ""),
            },
            outputs=_ELEMENTWISE,
            reason=_NOT_SOFTMAX,
            unit_power=1,
        ),
        LossSpec(
            name="huber",
            code=4,
            summary="squared where the error is small, linear beyond",
            formulas={
                "": (
                    "1/N sum {w}(d^2 / 2 where |d| <= t, else t (|d| - t / 2))",
                    "{w}min(max(d, -t), t) * sigma'(O)",
                    "d = Y_hat - Y, t = {parameter:g}",
                ),
            },
            outputs=_ELEMENTWISE,
            reason=_NOT_SOFTMAX,
            settings=Huber,
            unit_power=2,
        ),
        LossSpec(
            name="quantile",
            code=5,
            summary="whose minimum is a quantile",
            formulas={
                "": (
                    "1/N sum {w}max((1 - q) d, -q d)",
                    "{w}(1 - q where d > 0, -q where d < 0) * sigma'(O)",
                    "d = Y_hat - Y, q = {parameter:g}",
                ),
            },
            outputs=_ELEMENTWISE,
            reason=_NOT_SOFTMAX,
            settings=Quantile,
            unit_power=1,
        ),
        LossSpec(
            name="log_cosh",
            code=7,
            summary="the absolute error, but smooth at 0",
            formulas={
                "": ("1/N sum {w}log(cosh(Y_hat - Y))", "{w}tanh(Y_hat - Y) * sigma'(O)", ""),
            },
            outputs=_ELEMENTWISE,
            reason=_NOT_SOFTMAX,
            curvature="1 - tanh(y_hat - y)^2",
            only_grows=True,
        ),
        LossSpec(
            name="gamma",
            code=8,
            summary="half the deviance of amounts above 0, with exponential outputs",
            formulas={
                "": ("1/N sum {w}(Y / Y_hat - log(Y / Y_hat) - 1)", "{w}(1 - Y / Y_hat)", ""),
            },
            outputs=("exp",),
            reason="it is the deviance of a positive mean, and taken from its logarithm",
            from_O=True,
            domain=POSITIVE,
            curvature="y exp(-O)",
            only_grows=True,
            unit_power=0,
        ),
    )
}

# The losses that are objects with settings, by their classes.
SETTINGS: dict[type[Any], LossSpec] = {
    spec.settings: spec for spec in LOSSES.values() if spec.settings is not None
}

# The specification of a loss that is a Python function: the core is given its derivative.
GIVEN = LossSpec(
    name="given",
    code=6,
    summary="of one's own",
    outputs=LOSSES["squared_error"].outputs,
    formulas={},
)


def spec_of(loss: Any) -> LossSpec | None:
    """The specification of a loss; None for a Python function and for anything else."""
    if isinstance(loss, str):
        return LOSSES.get(loss)
    for settings, spec in SETTINGS.items():
        if isinstance(loss, settings):
            return spec
    return None


def name_of(loss: Any) -> str:
    """The loss's name; "given" for a Python function."""
    return (spec_of(loss) or GIVEN).name


# --- what follows from it -------------------------------------------------------------------------


def check_loss(loss: Any, output_activation: str, *, callables: bool) -> None:
    """Check that the loss is known and supports the output activation.

    Parameters
    ----------
    callables : bool
        Whether a function ``(Y, Y_hat) -> (loss, dloss_dY_hat)`` is accepted too.
    """
    if callables and callable(loss) and not isinstance(loss, type):
        return
    if isinstance(loss, str):
        checks.choice("loss", loss, LOSSES)
    spec = spec_of(loss)
    if spec is None:
        with_settings = "".join(f", {settings.__name__}(...)" for settings in SETTINGS)
        raise InputTypeError(
            f"loss is {checks.describe(loss)}; expected one of "
            f"{', '.join(map(repr, LOSSES))}{with_settings}"
            + (" or a function (Y, Y_hat) -> (loss, dloss_dY_hat)" if callables else "")
        )
    if output_activation not in spec.outputs:
        raise InputError(
            f"loss is {loss!r} and the output activation {output_activation!r}; expected "
            f"{' or '.join(map(repr, spec.outputs))} with this loss: {spec.reason}"
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
    spec = spec_of(loss) or GIVEN
    return Objective(
        spec.code,
        parameter=spec.parameter_of(loss),
        linear=spec.from_O,
        only_grows=spec.only_grows,
        column_weight=None if output_weight is None else output_weight.astype(dtype),
        units=None if units is None else units.astype(dtype),
        missing=missing,
    )


def unit_factors(loss: Any, scale: np.ndarray) -> np.ndarray | None:
    """The factor of each column's loss from targets y * scale to y; None if there is none.

    Huber's threshold is in scaled units and is converted too.
    """
    spec = spec_of(loss)
    if spec is None or spec.unit_power is None:
        return None
    return np.asarray(1.0 / np.abs(scale) ** spec.unit_power)


def moderate_weights(
    weights: np.ndarray | None, dtype: np.dtype[Any], rows: np.ndarray | None = None
) -> np.ndarray | None:
    """Checked weights, for a mean over ``rows``: if very large or small there, times a power of 2.

    A mean does not depend on the scale of its weights, but in ``dtype`` the weights, their products
    or 1 over their sum could overflow or round to 0.  A power of 2 changes no digits, and weights
    of ordinary size are returned as they are.
    """
    if weights is None:
        return None
    exponent = math.frexp(float((weights if rows is None else weights[rows]).max()))[1]
    if abs(exponent) <= np.finfo(dtype).maxexp // 2:
        return weights
    with np.errstate(over="ignore", under="ignore"):  # over only beyond ``rows``
        return np.asarray(np.ldexp(weights, -exponent))


def check_targets(
    loss: Any, output_activation: str, name: str, Y: np.ndarray, dtype: np.dtype[Any] | None = None
) -> None:
    """Check that the loss is defined for the targets; NaN is checked elsewhere.

    dtype : the network's, to which the targets are rounded; None is theirs.
    """
    spec = spec_of(loss)
    if spec is None or spec.domain is None:
        return
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        outside = spec.domain.outside(Y)
        if outside.any():
            row, column = divmod(int(outside.argmax()), Y.shape[1])
            raise InputError(
                f"{name}[{row}, {column}] is {Y[row, column]:g}; expected targets "
                f"{spec.domain.words} with loss {spec.name!r}"
            )
        if spec.domain.open and dtype is not None and Y.dtype != dtype:
            rounded = Y.astype(dtype)
            outside = spec.domain.outside(rounded)
            if outside.any():
                row, column = divmod(int(outside.argmax()), Y.shape[1])
                raise InputError(
                    f"{name}[{row}, {column}] is {Y[row, column]:g}, which {dtype} rounds to "
                    f"{rounded[row, column]:g}; expected targets {spec.domain.words} with loss "
                    f"{spec.name!r}: use dtype='float64', or other units"
                )
        if spec.class_distribution.get(output_activation) == "categorical":
            sums = Y.sum(axis=1)
            bad = np.abs(sums - 1) > SUM_TOLERANCE
            if bad.any():
                row = int(bad.argmax())
                raise InputError(
                    f"row {row} of {name} sums to {sums[row]:g}; expected 1: with a softmax output "
                    "the targets are probabilities of the classes. np.eye(n_classes)[labels] makes "
                    "such rows"
                )


CustomLoss = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]


def checked_call(loss: CustomLoss, dtype: np.dtype[Any]) -> CustomLoss:
    """The user's loss, wrapped so that its results are checked."""

    def call(Y: np.ndarray, Y_hat: np.ndarray) -> tuple[float, np.ndarray]:
        shape = Y_hat.shape
        expected = f"expected (loss, dloss_dY_hat): a number and an array of shape {shape}"
        returned = loss(Y, Y_hat)
        try:
            value, derivative = returned
            value = float(value)
            if np.iscomplexobj(derivative):  # the cast would drop the imaginary part
                raise TypeError
            derivative = np.ascontiguousarray(derivative, dtype=dtype)
        except (TypeError, ValueError, OverflowError):
            derivative = None
        except Exception as error:  # a foreign type may raise anything
            raise InputError(
                f"the loss returned {checks.describe(returned)} that cannot be read ({error}); "
                f"{expected}"
            ) from error
        if derivative is None or derivative.shape != shape:
            raise InputError(f"the loss returned {checks.describe(returned)}; {expected}")
        return value, derivative

    return call
