"""The record of training: named columns with one number per epoch.

It stores and exports numbers, as arrays, JSON or a data frame; it promises to decide nothing.
"""

import importlib
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import checks
from ..errors import InputError, InputTypeError, MissingExtraError

__all__ = ["History"]

FORMAT = "cbackprop history"
FORMAT_VERSION = 1

_KEYS = ("format", "format_version", "first_epoch", "stop_reason", "best_epoch", "columns")
_ALWAYS = ("loss", "learning_rate", "seconds")
_EMPTY = array("d")
_NAN = array("d", [math.nan])

# JSON's numbers are finite; these strings represent the others.
_WORDS = {None: math.nan, "inf": math.inf, "-inf": -math.inf}


class History(Mapping[str, np.ndarray]):
    """The record of training, a mapping from a column's name to a 1-D float64 array.

    All columns have the length `n_epochs`.  A column without a number for an epoch (for example the
    validation loss of an epoch without validation data) holds NaN there.

    Columns
    -------
    "loss"
        The mean of the loss over the rows of the epoch, each evaluated before the step it belongs
        to, accumulated in float64; without the penalty.
    "learning_rate"
        The learning rate of the epoch; NaN for solvers without one.
    "seconds"
        How long the epoch took.
    "penalty"
        (l2/2) |W|^2 + l1 |W|_1, or alpha / (2 beta N) |W|^2 with `BayesianRegularization`; present
        if there is a penalty.
    "gradient_norm"
        The norm of the full gradient, present if it was computed; with Levenberg-Marquardt, at the
        point where the epoch began.
    "mu", "rejected"
        Levenberg-Marquardt's damping after the epoch, and the number of rejected trial steps.
    "alpha", "beta", "effective_parameters"
        With `BayesianRegularization`: the precisions in the epoch's objective, and the gamma from
        which they are computed.
    "validation_loss", "validation_metric", "test_loss", "test_metric"
        Computed after the epoch; present if there were such data or a metric.
    "loss_in_units", "validation_loss_in_units", "test_loss_in_units"
        The losses in the unscaled targets' units, present if the targets are scaled.

    Attributes
    ----------
    first_epoch : int
        The number of the first epoch recorded here, counted from 0 since the trainer was made or
        reset: row k is epoch ``first_epoch + k``.
    stop_reason : str or None
        Why training ended: "epochs", "seconds", "target_loss", "early_stopping", "callback",
        "converged", "no_descent", "gradient_tolerance", "step_tolerance", "mu_max", and, for a
        restart, "diverged"; None if training has not ended yet.
    best_epoch : int or None
        The number, counted as `first_epoch` is, of the epoch with the best monitored value; None if
        nothing was monitored.
    restarts : list of History, or None
        For a fit with `restarts`: the history of each, including diverged ones.  Not in JSON.
    best_restart : int or None
        The index of this history's restart among them.

    Notes
    -----
    Two histories are equal if bitwise identical, including NaN.
    """

    # Class attributes, since setting them on each instance would add to a fit's fixed cost.
    restarts: "list[History] | None" = None
    best_restart: int | None = None

    def __init__(self, first_epoch: int = 0, *, columns: Iterable[str] = _ALWAYS) -> None:
        # A slice takes a third of the time of array("d"); each column is a new array.
        self._columns: dict[str, array[float]] = {name: _EMPTY[:] for name in columns}  # noqa: C420
        self.first_epoch = first_epoch
        self.stop_reason: str | None = None
        self.best_epoch: int | None = None

    @property
    def n_epochs(self) -> int:
        """The number of epochs recorded."""
        return len(self._columns["loss"])

    @property
    def epochs(self) -> np.ndarray:
        """The numbers of the epochs, int64, shape (n_epochs,)."""
        return np.arange(self.first_epoch, self.first_epoch + self.n_epochs, dtype=np.int64)

    def _extend(
        self,
        loss: Sequence[float],
        learning_rate: Sequence[float] = (),
        seconds: Sequence[float] = (),
        **others: Sequence[float],
    ) -> None:
        """Append as many epochs as there are losses; missing columns are filled with NaN.

        A new column is added with its first number.
        """
        columns = self._columns
        n_before = len(columns["loss"])
        columns["loss"].extend(loss)
        columns["learning_rate"].extend(learning_rate)
        columns["seconds"].extend(seconds)
        # Most calls end here; they are part of a fit's fixed cost.
        if others or len(columns) > 3 or not len(loss) == len(learning_rate) == len(seconds):
            self._extend_others(n_before, others)

    def _extend_others(self, n_before: int, others: Mapping[str, Sequence[float]]) -> None:
        columns = self._columns
        for name, numbers in others.items():
            if name not in columns and len(numbers):
                columns[name] = _NAN * n_before
            if name in columns:
                columns[name].extend(numbers)
        for column in columns.values():
            column.extend(_NAN * (self.n_epochs - len(column)))

    def _columns_with(self, names: Iterable[str]) -> "dict[str, array[float]]":
        """The columns and new ones with other names, which are NaN for the epochs so far."""
        new = {name: _NAN * self.n_epochs for name in names if name not in self._columns}
        return {**self._columns, **new}

    # --- a mapping ---------------------------------------------------------------------------

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

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __eq__(self, other: object) -> bool:
        # Mapping's own __eq__ compares arrays, whose truth value is ambiguous.
        if not isinstance(other, History):
            return NotImplemented
        return self._bits() == other._bits()

    def _bits(self) -> tuple[Any, ...]:
        columns = {name: column.tobytes() for name, column in self._columns.items()}
        return columns, self.first_epoch, self.stop_reason, self.best_epoch

    def __repr__(self) -> str:
        shown = [f"{name} {column[-1]:.6g}" for name, column in self._columns.items() if column]
        if self.best_epoch is not None:
            shown.append(f"best epoch {self.best_epoch}")
        if self.stop_reason is not None:
            shown.append(f"stopped by {self.stop_reason}")
        return f"<{', '.join([f'History of {self.n_epochs} epochs', *shown])}>"

    # --- in other forms ----------------------------------------------------------------------

    def to_json(self) -> str:
        """The history as strict JSON (RFC 8259), which `from_json` reads back exactly.

        NaN becomes null, and infinities the strings "inf" and "-inf".
        """
        return json.dumps(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "first_epoch": self.first_epoch,
                "stop_reason": self.stop_reason,
                "best_epoch": self.best_epoch,
                "columns": {
                    name: [number if math.isfinite(number) else _word(number) for number in column]
                    for name, column in self._columns.items()
                },
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str) -> "History":
        """Read a history that `to_json` wrote.

        Raises
        ------
        InputError, InputTypeError
            If `text` is anything else: not JSON, of another format or version, with a key missing,
            unknown or twice, columns of different lengths, or a number that float64 cannot hold.
        """
        if not isinstance(text, str):
            raise InputTypeError(
                f"text is {checks.describe(text)}; expected the str that History.to_json() "
                "returned, e.g. path.read_text()"
            )
        try:
            found = json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"text is not JSON ({error}); expected what History.to_json() returned"
            ) from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise InputError(
                f'text is JSON without "format": "{FORMAT}"; expected what History.to_json() '
                "returned"
            )
        version = found.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise InputError(
                f"format_version is {checks.describe(version)}; this cbackprop reads version "
                f"{FORMAT_VERSION}"
            )
        if found.keys() != set(_KEYS):
            raise InputError(f"the keys are {_listed(found)}; expected {_listed(_KEYS)}")
        reason = found["stop_reason"]
        if not (reason is None or isinstance(reason, str)):
            raise InputError(f"stop_reason is {checks.describe(reason)}; expected a string or null")
        history = cls(_epoch_number("first_epoch", found["first_epoch"]))
        history.stop_reason = reason
        if found["best_epoch"] is not None:
            history.best_epoch = _epoch_number("best_epoch", found["best_epoch"])
        history._columns = _columns(found["columns"])
        return history

    def to_frame(self, library: str | None = None) -> Any:
        """The history as a data frame: an integer column "epoch", then the history's columns.

        Parameters
        ----------
        library : "pandas", "polars" or None
            None is pandas, or polars if pandas is not installed.

        Raises
        ------
        MissingExtraError
            If the library is not installed.
        """
        if library is not None:
            checks.choice("library", library, ("pandas", "polars"))
        for name in ("pandas", "polars") if library is None else (library,):
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue
            return module.DataFrame({"epoch": self.epochs, **self})
        raise MissingExtraError(
            f"to_frame needs {library or 'pandas or polars'}, which is not installed: "
            f'pip install "cbackprop[{library or "pandas"}]"'
        )


# --- reading JSON -------------------------------------------------------------------------------


def _word(number: float) -> str | None:
    return None if math.isnan(number) else "inf" if number > 0 else "-inf"


def _columns(found: Any) -> "dict[str, array[float]]":
    """The columns in a JSON document, checked."""
    if not isinstance(found, dict) or not found.keys() >= set(_ALWAYS):
        came = _listed(found) if isinstance(found, dict) else checks.describe(found)
        raise InputError(f"columns is {came}; expected an object with at least {_listed(_ALWAYS)}")
    for name, values in found.items():
        if not isinstance(values, list):
            raise InputError(f"columns[{name!r}] is {checks.describe(values)}; expected an array")
    columns = {}
    for name, values in found.items():
        if len(values) != len(found["loss"]):
            raise InputError(
                f"columns[{name!r}] has {len(values)} numbers and columns['loss'] has "
                f"{len(found['loss'])}; expected one number an epoch in each"
            )
        columns[name] = column = array("d")
        try:
            for value in values:
                column.append(_number(value))
        except (KeyError, OverflowError, TypeError):
            raise InputError(
                f"columns[{name!r}][{len(column)}] is {checks.describe(value)}; expected a number "
                'that float64 can hold, null, "inf" or "-inf"'
            ) from None
    return columns


def _number(value: Any) -> float:
    """A JSON value as a float; KeyError, TypeError or OverflowError if it is not a number."""
    if type(value) is float and math.isfinite(value):  # 1e999 is read as an infinity
        return value
    return float(value) if type(value) is int else _WORDS[value]


def _epoch_number(name: str, value: Any) -> int:
    # Not every JSON reader represents larger integers exactly.
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise InputError(f"{name} is {checks.describe(value)}; expected an integer of 0..2**53 - 1")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")


def _listed(names: Iterable[str]) -> str:
    text = ", ".join(repr(name) for name in names) or "empty"
    return text if len(text) <= 200 else text[:197] + "..."
