"""The callbacks of each epoch: printing, max_fun, scikit-learn's tasks, and the user's own.

Each is a callback for ``Trainer.fit``.  scikit-learn has had callbacks since 1.9; with older
versions only `set_callbacks` is missing.
"""

import copy
from collections.abc import Callable
from typing import Any

from ..network.network import Network

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks

    CallbackSupport: Any = CallbackSupportMixin
except ImportError:

    class _NoCallbacks:
        """scikit-learn before 1.9 has no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method unchanged."""
        return method

    CallbackSupport = _NoCallbacks


__all__ = ["CallbackSupport", "Evaluations", "Printer", "Tasks", "with_callbacks"]


class Printer:
    """Prints what scikit-learn's ``verbose`` prints, and the number of the restart if several."""

    def __init__(self, first_epoch: int, restart: int | None = None) -> None:
        self._first = first_epoch
        self._begin = "Iteration" if restart is None else f"Restart {restart}: iteration"

    def on_epoch_end(self, trainer: Any, record: dict[str, float]) -> None:
        """Print one line, and one for the validation."""
        loss = record["loss"] + record.get("penalty", 0.0)
        text = f"{self._begin} {record['epoch'] - self._first + 1:d}, loss = {loss:.8f}\n"
        if "validation_metric" in record:
            text += f"Validation score: {record['validation_metric']:f}\n"
        print(text, end="")  # in one call: other restarts print too


class Evaluations:
    """Ends L-BFGS after a number of evaluations of loss and gradient."""

    def __init__(self, most: int) -> None:
        self._left = most

    def on_epoch_end(self, trainer: Any, record: dict[str, float]) -> bool:
        """Count the iteration's evaluations."""
        self._left -= trainer.evaluations
        return self._left <= 0


class Tasks:
    """scikit-learn's callbacks: an epoch is a task of the fit.

    A task begins when the previous one ends; `close` ends the last, empty one.
    """

    def __init__(self, estimator: Any, network: Network, X: Any, y: Any) -> None:
        self._network = network
        self._of_fit = {"estimator": estimator, "X": X, "y": y}
        self._context = estimator._callback_fit_ctx
        self._begin()

    def _attributes(self) -> dict[str, Any]:
        """The attributes with which a copy of the estimator is fitted as of now."""
        network = copy.deepcopy(self._network)
        return {
            "_network": network,
            "coefs_": list(network.weights),
            "intercepts_": list(network.biases),
        }

    def _begin(self) -> None:
        self._task = self._context.subcontext(task_name="epoch")
        self._task.call_on_fit_task_begin(
            **self._of_fit, reconstruction_attributes=self._attributes
        )

    def on_epoch_end(self, trainer: Any, record: dict[str, float]) -> bool:
        """End the epoch's task and begin the next one's; a callback may stop the fit."""
        stop = self._task.call_on_fit_task_end(
            **self._of_fit, reconstruction_attributes=self._attributes
        )
        self._begin()
        return bool(stop)

    def close(self) -> None:
        """End the task of the epoch that was not run."""
        self._task.call_on_fit_task_end(estimator=self._of_fit["estimator"])
