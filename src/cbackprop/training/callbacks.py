"""The Python code that runs at an epoch's end: custom metrics and losses, callbacks.

Only if there is any does the core return to Python after each epoch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import checks
from ..errors import InputError, InputTypeError

__all__ = ["Hook", "checked_callbacks"]

Metric = Callable[[np.ndarray, np.ndarray], float]


def checked_callbacks(callbacks: Any) -> tuple[Any, ...]:
    """Objects with ``on_epoch_end``, as a tuple."""
    if hasattr(callbacks, "on_epoch_end") or not isinstance(callbacks, Sequence):
        callbacks = (callbacks,)
    for callback in callbacks:
        if not callable(getattr(callback, "on_epoch_end", None)):
            raise InputTypeError(
                f"a callback is {checks.describe(callback)}; expected an object with a method "
                "on_epoch_end(trainer, record), which returns True to stop"
            )
    return tuple(callbacks)


class Hook:
    """The Python part of a fit, called by the core after each epoch.

    Parameters
    ----------
    held_out : list of (name, Y, outputs)
        Validation and test, each with its targets and the array that holds Y_hat after an epoch,
        both scaled as in the network.
    loss, metric : callable, optional
        Functions of ``(Y, Y_hat)``; for the metric, both are in the targets' own units.
    to_units : callable
        Converts an array of targets or outputs to the targets' own units.
    tell : callable
        ``tell(epoch)`` is called after the epoch is recorded; True ends the training.
    """

    def __init__(
        self,
        held_out: list[tuple[str, np.ndarray, np.ndarray]],
        loss: Any,
        metric: Metric | None,
        to_units: Callable[[np.ndarray], np.ndarray],
        tell: Callable[[int], bool],
    ) -> None:
        self._held_out = held_out
        self._loss = loss
        self._metric = metric
        self._to_units = to_units
        self.tell = tell

    def measure(self, epoch: int, values: dict[str, float]) -> dict[str, float]:
        """The columns that Python computes."""
        found = {}
        for name, Y, outputs in self._held_out:
            if self._loss is not None:
                found[f"{name}_loss"] = self._loss(Y.copy(), outputs.copy())[0]
            if self._metric is not None:
                value = self._metric(self._to_units(Y), self._to_units(outputs))
                try:
                    found[f"{name}_metric"] = float(value)
                except (TypeError, ValueError):
                    raise InputError(
                        f"metric returned {checks.describe(value)}; expected a number"
                    ) from None
        return found
