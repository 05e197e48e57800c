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

__all__ = ["classes_of", "is_one_hot", "rows_of", "split", "training_rows"]


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
    if spec is None or not spec.class_distribution:
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


def is_one_hot(Y: np.ndarray) -> bool:
    """Whether each row of Y holds a single 1 and else zeros (two columns at least)."""
    if Y.shape[1] < 2:
        return False
    ones = Y == 1
    return bool(((Y == 0) | ones).all() and (ones.sum(axis=1) == 1).all())


def classes_of(Y: np.ndarray) -> np.ndarray | None:
    """A class number for each row if the targets are classes, else None.

    One column is of classes if each value is 0 or 1; several are if each row is one-hot.  Other
    targets, such as probabilities, are no classes, nor is a column with a missing one.
    """
    if Y.shape[1] == 1:
        ones = Y[:, 0] == 1
        return ones.astype(np.int64) if (ones | (Y[:, 0] == 0)).all() else None
    return np.asarray(Y.argmax(axis=1)) if is_one_hot(Y) else None


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
        A class for each row: fractions are stratified by class.  The number of rows is that of the
        fraction with and without classes.
    names : tuple of str
        The argument names of the two parts, for messages.

    Raises
    ------
    InputError
        If the parts share a row or leave none to train on.
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
        chosen.append(np.sort(rows))
        taken[rows] = True
    if not taken.any():
        return None, chosen
    rest = np.flatnonzero(~taken)
    if not rest.size:
        raise InputError(f"{' and '.join(names)} take every row; expected some to train on")
    return rest, chosen


def _of_each_class(free: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """``count`` of the rows in ``free``, fewer than there are, each class in proportion."""
    labels, first, sizes = np.unique(classes, return_index=True, return_counts=True)
    return np.concatenate(
        [
            free[classes == label][:n]
            for label, n in zip(labels, _quotas(sizes, count, first), strict=True)
        ]
    )


def _quotas(sizes: np.ndarray, count: int, order: np.ndarray) -> np.ndarray:
    """How many rows to take of each class: the floor or the ceiling of its share, ``count`` in all.

    From a class with two rows or more, at least one is taken and one left, and a class of one row
    is left, as far as the total allows.  Where it does not, classes that are equally far from their
    share give way by ``order``.
    """
    share = count * sizes / sizes.sum()
    floor, ceiling = np.floor(share).astype(np.int64), np.ceil(share).astype(np.int64)
    quota: np.ndarray = floor.copy()
    most_cut = np.argsort(quota - share, kind="stable")
    quota[most_cut[: count - quota.sum()]] += 1
    least, most = np.minimum(1, sizes - 1), sizes - 1
    quota = np.minimum(np.maximum(quota, least), most)
    # That may have changed the total: first within these limits, then without them.
    for low, high in ((np.maximum(floor, least), np.minimum(ceiling, most)), (floor, ceiling)):
        excess = int(quota.sum()) - count
        step = -1 if excess > 0 else 1
        may = np.flatnonzero(quota > low if excess > 0 else quota < high)
        far = np.lexsort((order[may], step * (quota - share)[may]))
        quota[may[far[: abs(excess)]]] += step
    return quota
