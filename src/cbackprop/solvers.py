"""The settings of each solver: one small frozen dataclass a solver, checked when it is made.

A solver holds no state; the state it needs (a velocity, say) lives in the trainer.  So one object
may serve many trainers, and replacing it in a trainer changes the learning rate from the next call
on.
"""

from dataclasses import dataclass

from . import checks
from .errors import InputError

__all__ = ["SGD"]


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent, with momentum on request.

        plain        W -= lr g
        momentum     v = mu v - lr g        W += v
        Nesterov     v = mu v - lr g        W += mu v - lr g

    g is the gradient of the mean loss of a batch: one row, a mini-batch or all rows, as the
    trainer's ``batch_size`` says.

    Parameters
    ----------
    learning_rate : float
        lr, above 0.
    momentum : float
        mu, at least 0 and below 1.
    nesterov : bool
        Look ahead (Sutskever, Martens, Dahl and Hinton, ICML 2013, in the form that evaluates the
        gradient at the point looked ahead to); needs a momentum.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        set_ = object.__setattr__  # frozen: what was checked is what is kept
        set_(self, "learning_rate", checks.positive_float("learning_rate", self.learning_rate))
        set_(self, "momentum", checks.positive_float("momentum", self.momentum, zero=True, below=1))
        set_(self, "nesterov", checks.boolean("nesterov", self.nesterov))
        if self.nesterov and self.momentum == 0:
            raise InputError(
                "nesterov is True and momentum is 0; expected a momentum above 0, e.g. 0.9"
            )

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "nesterov" if self.nesterov else "momentum" if self.momentum else "sgd"
