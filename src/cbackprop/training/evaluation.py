"""The validation and test rows of one fit, checked and prepared for the core."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .. import checks, losses
from ..core.fit.evaluation import Evaluation
from ..core.gradient.objective import Objective
from ..errors import InputError, InputTypeError
from .callbacks import Hook

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["NO_EVALUATIONS", "Evaluations"]

METRICS = ("accuracy", "r2")


class Evaluations:
    """The validation and test rows of one fit."""

    def __init__(self, trainer: "Trainer", objective: Objective, metric: Any, missing: str) -> None:
        if not (metric is None or callable(metric)):
            checks.choice("metric", metric, METRICS)
        self._trainer, self._objective, self._missing = trainer, objective, missing
        self.metric = metric
        self.names: list[str] = []
        self.in_python = False  # whether a Python loss or metric is to be called
        self.n_rows = [0, 0]
        self.data: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]] = {}
        # Validation and test, as the core expects them.
        self.in_core: tuple[Evaluation | None, Evaluation | None] = (None, None)
        self._held_out: list[tuple[str, np.ndarray, np.ndarray]] = []

    def add(
        self,
        name: str,
        given: Any,
        rows: np.ndarray | None,
        X: np.ndarray,
        Y: np.ndarray,
        weight: np.ndarray | None,
    ) -> None:
        """Add one set of rows: of the fit's own data, or ``given`` as a tuple."""
        if given is None:
            return
        trainer, network = self._trainer, self._trainer.network
        if rows is None:
            X, Y, weight = self._pair(f"{name}_data", given)
        elif weight is not None and not weight[rows].any():
            raise InputError(
                f"the rows of {name}_data have no sample_weight; expected some above 0"
            )
        n_rows = len(X) if rows is None else len(rows)
        outputs = None
        kind = self.metric if isinstance(self.metric, str) else None
        if self.metric is not None or callable(trainer.loss):
            outputs = np.empty((n_rows, network.sizes[-1]), network.dtype)
            kind = kind or "outputs"
        self.names.append(name)
        self.in_python = callable(self.metric) or callable(trainer.loss)
        self.data[name] = X, Y, rows
        self.n_rows[name == "test"] = n_rows
        evaluation = Evaluation(
            network._plan,
            self._objective,
            X,
            Y,
            weight=losses.moderate_weights(weight, network.dtype, rows),
            rows=rows,
            metric=kind,
            outputs=outputs,
            scaling=network._scaling,
            target_scaling=network._target_scaling,
        )
        validation, test = self.in_core
        self.in_core = (validation, evaluation) if name == "test" else (evaluation, test)
        if self.in_python and outputs is not None:
            targets = (Y if rows is None else Y[rows]).astype(network.dtype)
            if network._target_scaling is not None:
                shift, scale = network._target_scaling
                targets = (targets - shift) * scale
            self._held_out.append((name, targets, outputs))

    def _pair(self, name: str, given: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        if not isinstance(given, tuple) or len(given) not in (2, 3):
            raise InputTypeError(
                f"{name} is {checks.describe(given)}; expected a tuple (X, Y) or "
                "(X, Y, sample_weight), a fraction such as 0.2, or the numbers of some rows"
            )
        X, Y = self._trainer._data(f"{name}[0]", given[0], f"{name}[1]", given[1])
        weight = checks.as_weights(f"{name}[2]", given[2], len(X)) if len(given) == 3 else None
        return X, Y, weight

    def raise_non_finite(self, name: str) -> NoReturn:
        """Raise the error about a NaN or an infinity that the core has found in these rows."""
        X, Y, rows = self.data[name]
        names = (f"{name}_data[0]", f"{name}_data[1]") if rows is None else ("X", "Y")
        dtype = self._trainer.network.dtype
        checks.raise_non_finite(X, Y, dtype, names=names, missing=self._missing == "ignore")

    def hook(self, tell: Callable[[int], bool]) -> Hook:
        """The Python code to run after each epoch."""
        trainer = self._trainer
        scaling = trainer.network._target_scaling

        def to_units(Y: np.ndarray) -> np.ndarray:
            return Y.copy() if scaling is None else Y / scaling[1] + scaling[0]

        loss = None
        if callable(trainer.loss):
            loss = losses.checked_call(trainer.loss, trainer.network.dtype)
        metric = self.metric if callable(self.metric) else None
        return Hook(self._held_out, loss, metric, to_units, tell)


# Shared by all fits without evaluations, to keep their fixed cost low.  Nothing is added to it.
NO_EVALUATIONS = Evaluations(None, None, None, "error")  # type: ignore[arg-type]
