"""The exceptions of cbackprop.

Each derives from `CBackpropError` and from the built-in that a caller expects, so both
``except cbackprop.CBackpropError`` and ``except ValueError`` work.  A message names the argument
and the value given, what was expected and how to fix it.  This file contains no logic and imports
nothing.
"""

__all__ = [
    "BusyError",
    "CBackpropError",
    "DivergenceError",
    "InputError",
    "InputMemoryError",
    "InputTypeError",
    "MissingExtraError",
    "ModelFormatError",
]


class CBackpropError(Exception):
    """The base of all errors raised on purpose by cbackprop."""


class InputError(CBackpropError, ValueError):
    """An argument has the right type but a value that cannot be used."""


class InputTypeError(CBackpropError, TypeError):
    """An argument has a type that cannot be used."""


class InputMemoryError(CBackpropError, MemoryError):
    """The arguments ask for more memory than there is; nothing was changed."""


class DivergenceError(CBackpropError, ValueError):
    """The loss or a parameter became infinite or NaN; the network was rolled back.

    Attributes
    ----------
    epoch, step : int
        Where it happened: the epoch, and the step within it, both counted from 0.
    learning_rate : float
        The learning rate of that step.
    """

    def __init__(self, message: str, epoch: int, step: int, learning_rate: float) -> None:
        # All four are in `args`, so that the error survives pickling (worker processes).
        super().__init__(message, epoch, step, learning_rate)
        self.epoch = epoch
        self.step = step
        self.learning_rate = learning_rate

    def __str__(self) -> str:
        return str(self.args[0])


class ModelFormatError(CBackpropError, ValueError):
    """A file is of another kind, damaged, inconsistent, or of a newer version."""


class BusyError(CBackpropError, RuntimeError):
    """The network is being trained, and the call would change it."""


class MissingExtraError(CBackpropError, ImportError):
    """An optional dependency is not installed; the message names the extra that includes it."""
