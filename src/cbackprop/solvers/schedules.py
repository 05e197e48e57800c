"""Learning rates that change with the epoch: one small frozen dataclass a schedule.

    StepDecay          rate factor^(epoch // every)
    ExponentialDecay   rate factor^epoch
    CosineDecay        minimum + (rate - minimum) (1 + cos(pi epoch / epochs)) / 2
    InverseScaling     rate / (epoch + 1)^power
    WarmUp             a linear rise, then another schedule
    ReduceOnPlateau    rate factor^k after k epochs without enough progress

Epochs count from 0, and all steps of an epoch have one rate.  A constant rate is a plain number.  A
schedule holds no state: its rate is a function of the epoch's number alone, so that a resumed
training is bitwise identical.  ReduceOnPlateau only defines a plateau; the trainer counts epochs.
"""

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from .. import checks
from ..errors import InputError, InputTypeError

__all__ = [
    "CosineDecay",
    "ExponentialDecay",
    "InverseScaling",
    "ReduceOnPlateau",
    "StepDecay",
    "WarmUp",
]


class _Schedule:
    """The base class of the schedules."""

    # Whether the trainer also changes the rate, depending on the loss.
    adaptive: ClassVar[bool] = False

    def _at(self, epoch: int) -> float:
        raise NotImplementedError

    def rates(self, epochs: Any) -> np.ndarray:
        """The learning rates of some epochs.

        Parameters
        ----------
        epochs : array-like of int
            Their numbers, counted from 0.

        Returns
        -------
        ndarray, float64, of the same shape

        Raises
        ------
        InputError, InputTypeError
            If `epochs` are not integers of at least 0.
        """
        numbers = checks.whole_numbers("epochs", epochs)
        # One by one: NumPy's power of an array element may differ from that of the scalar.
        rates = map(self._at, numbers.ravel().tolist())
        return np.fromiter(rates, np.float64, numbers.size).reshape(numbers.shape)

    def _keep(self, **checked: Any) -> None:
        """Set checked values, although the dataclass is frozen."""
        for name, value in checked.items():
            object.__setattr__(self, name, value)


def _factor(value: Any) -> float:
    return checks.positive_float("factor", value, below=1)


@dataclass(frozen=True)
class StepDecay(_Schedule):
    """rate factor^(epoch // every): multiplied by ``factor`` after every ``every`` epochs.

    Parameters
    ----------
    rate : float
        Of the first epochs, above 0.
    every : int
        Epochs between two changes, at least 1.
    factor : float
        Above 0 and below 1.
    """

    rate: float
    _: KW_ONLY
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._keep(
            rate=checks.positive_float("rate", self.rate),
            every=checks.positive_int("every", self.every),
            factor=_factor(self.factor),
        )

    def _at(self, epoch: int) -> float:
        return self.rate * self.factor ** (epoch // self.every)


@dataclass(frozen=True)
class ExponentialDecay(_Schedule):
    """rate factor^epoch: multiplied by ``factor`` after each epoch.

    Parameters
    ----------
    rate : float
        Of the first epoch, above 0.
    factor : float
        Above 0 and below 1.
    """

    rate: float
    _: KW_ONLY
    factor: float

    def __post_init__(self) -> None:
        self._keep(rate=checks.positive_float("rate", self.rate), factor=_factor(self.factor))

    def _at(self, epoch: int) -> float:
        return self.rate * self.factor**epoch


@dataclass(frozen=True)
class CosineDecay(_Schedule):
    """minimum + (rate - minimum) (1 + cos(pi epoch / epochs)) / 2, and `minimum` from then on.

    Half a wave of Loshchilov and Hutter (ICLR 2017), equation 5, without restarts.

    Parameters
    ----------
    rate : float
        Of the first epoch, above 0.
    epochs : int
        The length of the descent, at least 1.  Epoch number ``epochs`` is the first at `minimum`.
    minimum : float
        At least 0 and below `rate`.
    """

    rate: float
    _: KW_ONLY
    epochs: int
    minimum: float = 0.0

    def __post_init__(self) -> None:
        rate = checks.positive_float("rate", self.rate)
        self._keep(
            rate=rate,
            epochs=checks.positive_int("epochs", self.epochs),
            minimum=checks.positive_float("minimum", self.minimum, zero=True, below=rate),
        )

    def _at(self, epoch: int) -> float:
        wave = math.cos(math.pi * min(epoch / self.epochs, 1.0))
        # In this form both ends are exact.
        return self.rate * (1 + wave) / 2 + self.minimum * (1 - wave) / 2


@dataclass(frozen=True)
class InverseScaling(_Schedule):
    """rate / (epoch + 1)^power.

    scikit-learn's ``"invscaling"``, but counting epochs instead of rows.

    Parameters
    ----------
    rate : float
        Of the first epoch, above 0.
    power : float
        Above 0.  Robbins and Monro (1951) ask for more than 1/2 and at most 1.
    """

    rate: float
    _: KW_ONLY
    power: float = 0.5

    def __post_init__(self) -> None:
        self._keep(
            rate=checks.positive_float("rate", self.rate),
            power=checks.positive_float("power", self.power),
        )

    def _at(self, epoch: int) -> float:
        return float(self.rate * (epoch + 1.0) ** -self.power)


@dataclass(frozen=True)
class ReduceOnPlateau(_Schedule):
    """The rate is multiplied by ``factor`` whenever the training loss stops falling.

    An epoch makes progress if its training loss (the history's "loss") is below the lowest so far
    by more than ``min_delta``.  After ``patience`` epochs in a row without progress the rate is
    multiplied by ``factor``, never below ``minimum``, and the count restarts.  The defaults are
    those of scikit-learn's ``learning_rate="adaptive"``.

    Parameters
    ----------
    rate : float
        The initial rate, above 0.
    factor : float
        Above 0 and below 1.
    patience : int
        At least 1.
    min_delta : float
        At least 0.
    minimum : float
        At least 0 and below `rate`.

    Notes
    -----
    How often the rate was reduced is the trainer's state; `rates` gives the ``rate`` before any
    reduction.
    """

    adaptive: ClassVar[bool] = True

    rate: float
    _: KW_ONLY
    factor: float = 0.2
    patience: int = 2
    min_delta: float = 1e-4
    minimum: float = 1e-6

    def __post_init__(self) -> None:
        rate = checks.positive_float("rate", self.rate)
        self._keep(
            rate=rate,
            factor=_factor(self.factor),
            patience=checks.positive_int("patience", self.patience),
            min_delta=checks.positive_float("min_delta", self.min_delta, zero=True),
            minimum=checks.positive_float("minimum", self.minimum, zero=True, below=rate),
        )

    def _at(self, epoch: int) -> float:
        return self.rate


# The schedules that can follow a warm-up.
_FOLLOWERS = (StepDecay, ExponentialDecay, CosineDecay, InverseScaling)


@dataclass(frozen=True)
class WarmUp(_Schedule):
    """A linear rise over some epochs, then a constant rate or another schedule from its epoch 0.

    Epoch e < n has the rate (e + 1) / (n + 1) of what follows, where n is ``epochs``: the rise is
    complete in the first epoch after it.  After Goyal et al. (2017, arXiv:1706.02677), section 2.2.

    Parameters
    ----------
    then : float or schedule
        What follows: a number above 0, or any schedule but `WarmUp` and `ReduceOnPlateau` (whose
        reductions would begin during the rise).
    epochs : int
        n, at least 1.
    """

    then: "float | StepDecay | ExponentialDecay | CosineDecay | InverseScaling"
    _: KW_ONLY
    epochs: int

    def __post_init__(self) -> None:
        self._keep(epochs=checks.positive_int("epochs", self.epochs))
        if isinstance(self.then, (WarmUp, ReduceOnPlateau)):
            names = ", ".join(follower.__name__ for follower in _FOLLOWERS)
            raise InputError(
                f"then is a {type(self.then).__name__}; expected a number above 0 or one of {names}"
            )
        self._keep(then=number_or_schedule("then", self.then))

    @property
    def rate(self) -> float:
        """The rate at the end of the rise."""
        return self._following(0)

    def _at(self, epoch: int) -> float:
        if epoch >= self.epochs:
            return self._following(epoch - self.epochs)
        return self._following(0) * (epoch + 1) / (self.epochs + 1)

    def _following(self, epoch: int) -> float:
        return self.then if isinstance(self.then, float) else self.then._at(epoch)


Schedule: TypeAlias = (
    StepDecay | ExponentialDecay | CosineDecay | InverseScaling | WarmUp | ReduceOnPlateau
)
SCHEDULES = (*_FOLLOWERS, WarmUp, ReduceOnPlateau)


def number_or_schedule(name: str, value: Any) -> "float | Schedule":
    """A learning rate, checked: a float above 0, or a schedule."""
    if isinstance(value, SCHEDULES):
        return value
    try:
        return checks.positive_float(name, value)
    except InputTypeError as error:
        raise InputTypeError(f"{error}, or a schedule of cbackprop.schedules") from None
