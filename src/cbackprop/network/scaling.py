"""The scaling of a network's inputs: x -> (x - shift) * scale, column by column.

It is part of the model: saved with the network and applied by predict, loss, gradient and fit to
each block of rows as it is read, never to a copy of the data.  It promises to stay affine.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import checks
from ..errors import InputError

__all__ = ["Scaling", "are_equal", "of_data"]

# The statistics are computed from this many numbers at a time.
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Scaling:
    """x -> (x - shift) * scale.

    Parameters
    ----------
    shift, scale : array-like, (n_in,)
        Finite numbers, kept as read-only float64 copies.

    Raises
    ------
    InputError, InputTypeError
        If they are not one-dimensional, of one length, and finite.
    """

    shift: np.ndarray = field()
    scale: np.ndarray = field()

    def __post_init__(self) -> None:
        for name in ("shift", "scale"):
            given = checks.as_numbers(name, getattr(self, name), np.float64)
            values = np.array(given, dtype=np.float64)
            if values.ndim != 1 or not values.size:
                raise InputError(
                    f"{name} has shape {values.shape}; expected one number for each input column"
                )
            if not np.isfinite(values).all():
                column = int(np.isfinite(values).argmin())
                raise InputError(f"{name}[{column}] is {values[column]}; expected finite numbers")
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.shift.shape != self.scale.shape:
            raise InputError(
                f"shift has {self.shift.size} entries and scale {self.scale.size}; "
                "expected one of each for each input column"
            )

    @classmethod
    def standard(cls, X: Any, *, rows: Any = None) -> "Scaling":
        """Mean 0 and standard deviation 1 (of all rows, ddof 0) in each column of X (N, n_in).

        A constant column becomes 0.  Computed in float64, a chunk of rows at a time.

        Parameters
        ----------
        X : array-like, (N, n_in)
        rows : array-like of int, optional
            The numbers of the rows to use; None is all.  X is not copied.
        """
        return cls(*_standard("X", *_checked("X", X, rows)))

    @classmethod
    def minmax(cls, X: Any, *, rows: Any = None) -> "Scaling":
        """Map each column of X (N, n_in) onto [-1, 1].  A constant column becomes 0.

        Parameters
        ----------
        X, rows
            As in `standard`.
        """
        return cls(*_minmax("X", *_checked("X", X, rows)))

    def __repr__(self) -> str:
        return f"Scaling of {self.shift.size} input columns"


def are_equal(one: Scaling | None, other: Scaling | None) -> bool:
    """Whether both shift and scale alike, or neither does anything."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one.shift, other.shift) and np.array_equal(one.scale, other.scale)


def of_data(kind: str, name: str, data: Any, rows: Any = None) -> Scaling:
    """`Scaling.standard` or `Scaling.minmax` of an argument, which messages call ``name``."""
    make = _standard if kind == "standard" else _minmax
    return Scaling(*make(name, *_checked(name, data, rows)))


def _standard(name: str, X: np.ndarray, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The shift and the scale to mean 0 and standard deviation 1."""
    n, mean, squares = 0, np.zeros(X.shape[1]), np.zeros(X.shape[1])
    low, high = np.full_like(mean, np.inf), np.full_like(mean, -np.inf)
    # Chan, Golub and LeVeque 1983: merging the sums of squares about the means of two parts.
    with np.errstate(over="ignore", invalid="ignore"):
        for chunk in _chunks(X, rows):
            m, mean_m = len(chunk), chunk.mean(axis=0)
            step = mean_m - mean
            squares += ((chunk - mean_m) ** 2).sum(axis=0) + step**2 * (n * m / (n + m))
            mean += step * (m / (n + m))
            n += m
            low, high = np.minimum(low, chunk.min(axis=0)), np.maximum(high, chunk.max(axis=0))
        deviation = np.sqrt(squares / n)
    _check_finite(name, X, rows, low, high)
    return _shift_and_scale(name, mean, deviation, low, high)


def _minmax(name: str, X: np.ndarray, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The shift and the scale to [-1, 1]."""
    low, high = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    for chunk in _chunks(X, rows):
        low, high = np.minimum(low, chunk.min(axis=0)), np.maximum(high, chunk.max(axis=0))
    _check_finite(name, X, rows, low, high)
    # Halves first: the difference of two large numbers may overflow.
    return _shift_and_scale(name, low / 2 + high / 2, high / 2 - low / 2, low, high)


def _check_finite(
    name: str, X: np.ndarray, rows: np.ndarray | None, low: np.ndarray, high: np.ndarray
) -> None:
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        checks.raise_non_finite(X, names=(name, ""), rows=rows)


def _shift_and_scale(
    name: str, middle: np.ndarray, spread: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    # With no spread, or one too small to divide by, the column carries no information.  Its
    # mean may be rounded, so the shift is the value itself and the result exactly 0.
    with np.errstate(divide="ignore", over="ignore"):
        constant = (low == high) | np.isinf(1 / spread)
    middle, spread = np.where(constant, low, middle), np.where(constant, 1.0, spread)
    usable = np.isfinite(middle) & np.isfinite(spread)
    if not usable.all():
        column = int(usable.argmin())
        raise InputError(
            f"{name} column {column} holds numbers too large to scale; divide it first"
        )
    return middle, 1 / spread


def _checked(name: str, X: Any, rows: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """`X` and `rows` as arrays."""
    X = checks.as_rows(name, X, None)
    return X, None if rows is None else checks.row_numbers("rows", rows, len(X))


def _chunks(X: np.ndarray, rows: np.ndarray | None) -> Iterator[np.ndarray]:
    """Yield chunks of the rows, or of the rows numbered in `rows`, as float64."""
    step = max(1, _CHUNK // X.shape[1])
    for start in range(0, len(X) if rows is None else len(rows), step):
        which = slice(start, start + step)
        yield X[which if rows is None else rows[which]].astype(np.float64)
