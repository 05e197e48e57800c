"""What happened in each epoch: named columns of one number an epoch.

It records and hands out; it promises not to decide anything.
"""

from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["History"]


class History(Mapping[str, np.ndarray]):
    """The record of training, a mapping from a column's name to a 1-D float64 array.

    Columns
    -------
    "loss"
        The running mean of the loss over the rows of the epoch, each row taken before the step it
        belongs to, accumulated in float64.
    "validation_loss"
        The loss on the validation data after the epoch; present once there was any, NaN for epochs
        that had none.

    ``len(history["loss"])`` is the number of epochs, as is ``history.n_epochs``.
    """

    def __init__(self) -> None:
        self._columns: dict[str, array[float]] = {"loss": array("d")}

    @property
    def n_epochs(self) -> int:
        """The number of epochs recorded."""
        return len(self._columns["loss"])

    def _extend(self, **columns: "array[float]") -> None:
        """Append some epochs; a column that is new or not given is filled with NaN."""
        if len(self._columns) == 1 and not any(columns[name] for name in columns if name != "loss"):
            self._columns["loss"].extend(columns["loss"])  # most calls, and the fixed cost of one
            return
        before, n_new = self.n_epochs, len(columns["loss"])
        for name, values in columns.items():
            if values and name not in self._columns:
                self._columns[name] = array("d", [np.nan]) * before
        for name, column in self._columns.items():
            column.extend(columns.get(name) or array("d", [np.nan]) * n_new)

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return np.array(self._columns[name], dtype=np.float64)
        except KeyError:
            known = ", ".join(repr(column) for column in self._columns)
            raise KeyError(f"no column {name!r} in this history; it has {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        last: dict[str, Any] = {
            name: f"{column[-1]:.6g}" for name, column in self._columns.items() if column
        }
        shown = "".join(f", {name} {value}" for name, value in last.items())
        return f"<History of {self.n_epochs} epochs{shown}>"
