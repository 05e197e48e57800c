"""Splits data into rows for training, validation and test.

Rows are selected by number; none is copied.  The choice is a function of the seed, the fractions
and, for classes, the targets.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks, losses
from ..errors import InputError
from .request import FitRequest

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["classes_of", "rows_of", "split", "training_rows"]


def training_rows(
    trainer: "Trainer", request: FitRequest
) -> tuple[np.ndarray | None, list[np.ndarray | None]]:
    """The rows to train on (None: all), and those of validation and test (None: not from X)."""
    Y = request.Y
    parts = [
        rows_of("validation_data", request.validation_data, len(Y)),
        rows_of("test_data", request.test_data, len(Y)),
    ]
    if parts[0] is None and parts[1] is None:
        return None, [None, None]
    return split(parts, len(Y), trainer.seed, _stratified_by(trainer, Y))


def _stratified_by(trainer: "Trainer", Y: np.ndarray) -> np.ndarray | None:
    """A class for each row if the targets are classes, else None."""
    spec = losses.spec_of(trainer.loss)
    if spec is None or not spec.class_distribution or not np.isfinite(Y).all():
        return None
    distribution = spec.class_distribution[trainer.network.activations[-1]]
    if distribution == "Bernoulli" and Y.shape[1] > 1:
        return None  # several independent yes/no outputs
    return classes_of(Y)


def rows_of(name: str, value: Any, n_rows: int) -> np.ndarray | float | None:
    """Checked row numbers, a fraction, or None if ``value`` is separate data."""
    if value is None or isinstance(value, tuple):
        return None
    if isinstance(value, (float, np.floating)):
        if not 0 < value < 1:
            raise InputError(f"{name} is {value}; expected a fraction above 0 and below 1")
        return float(value)
    expected = "a pair (X, Y), a fraction such as 0.2, or the numbers of some rows"
    return checks.row_numbers(name, value, n_rows, expected=expected)


def classes_of(Y: np.ndarray) -> np.ndarray:
    """A class number for each row: its largest output, or the index of a column's value."""
    if Y.shape[1] == 1:
        return np.unique(Y[:, 0], return_inverse=True)[1].reshape(-1)
    return np.asarray(Y.argmax(axis=1))


def split(
    parts: list[np.ndarray | float | None],
    n_rows: int,
    seed: int,
    classes: np.ndarray | None,
    *,
    names: tuple[str, str] = ("validation_data", "test_data"),
) -> tuple[np.ndarray | None, list[np.ndarray | None]]:
    """The rows to train on (None: all), and the rows of each part.

    Parameters
    ----------
    parts : list
        For validation and test: row numbers, a fraction of all rows, or None for neither.
    classes : ndarray (N,), optional
        A class for each row: fractions are stratified by class, with at least one row of each class
        that has a row for every part.
    names : tuple of str
        The argument names of the two parts, for messages.
    """
    taken = np.zeros(n_rows, bool)
    chosen: list[np.ndarray | None] = []
    for part in parts:
        if isinstance(part, np.ndarray):
            if taken[part].any():
                raise InputError(f"{' and '.join(names)} share a row; expected none")
            taken[part] = True
    # Sort the raw output of NumPy's Philox, whose stream NumPy keeps stable.
    raw = np.random.Philox(key=np.array([seed, 2**64 - 1], dtype=np.uint64)).random_raw(n_rows)
    order = np.argsort(raw, kind="stable")
    for name, part in zip(names, parts, strict=True):
        if part is None or isinstance(part, np.ndarray):
            chosen.append(part)
            continue
        free = order[~taken[order]]
        count = max(1, round(part * n_rows))
        if count >= free.size:
            raise InputError(
                f"{name} takes {part:g} of {n_rows} rows, which leaves none to train on; expected "
                "a smaller fraction, or more rows"
            )
        if classes is None:
            rows = free[:count]
        else:
            rows = _of_each_class(free, classes[free], count)
            if not rows.size:
                raise InputError(
                    f"{name} takes {part:g} of the rows of each class, and each has one row left; "
                    "expected more rows of a class"
                )
        chosen.append(np.sort(rows))
        taken[rows] = True
    if not taken.any():
        return None, chosen
    rest = np.flatnonzero(~taken)
    if not rest.size:
        raise InputError(f"{' and '.join(names)} take every row; expected some to train on")
    return rest, chosen


def _of_each_class(free: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """About ``count`` of the rows in ``free``, each class in proportion.

    From a class with two rows or more, at least one row is taken and one left.
    """
    labels, sizes = np.unique(classes, return_counts=True)
    wanted = count * sizes / free.size
    quota = np.floor(wanted).astype(np.int64)
    most_cut = np.argsort(quota - wanted, kind="stable")
    quota[most_cut[: count - quota.sum()]] += 1
    quota = np.minimum(np.maximum(quota, 1), sizes - 1)
    return np.concatenate(
        [free[classes == label][:n] for label, n in zip(labels, quota, strict=True)]
    )
