"""Sets some rows of a data set aside, by a seed and, for classes, in proportion.

The random numbers are Philox's raw output, which NumPy guarantees: a seed gives the same split for
ever, on every machine.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .data import Data

_OPTIONS = {"test": "--test-fraction", "validation": "--validation"}

# Initial weights and shuffling draw from the same seed at other places of the counter.
_COUNTERS = {"test": 3 << 192, "validation": (3 << 192) + (1 << 128)}


def split(
    data: Data, fraction: float, seed: int, *, by_class: bool, purpose: str
) -> tuple[Data, Data]:
    """The rest and the part set aside, each with its rows in the order of the file.

    Parameters
    ----------
    fraction : float
        The part set aside, in (0, 1): that many rows, rounded, at least one, and not all.
    by_class : bool
        Each class (the 1 of a one-hot row) gives that fraction of its rows, and keeps one at least.
    purpose : str
        ``test`` or ``validation``.
    """
    assert data.Y is not None
    keys = np.random.Philox(key=seed, counter=_COUNTERS[purpose]).random_raw(len(data))
    order = np.argsort(keys, kind="stable")
    if by_class:  # one class after the other, each shuffled
        order = order[np.argsort(data.Y.argmax(axis=1)[order], kind="stable")]
        counts = data.Y.sum(axis=0).astype(int)
    else:
        counts = np.array([len(data)])
    aside = np.zeros(len(data), dtype=bool)
    start = wanted = 0
    for count in counts:
        end = start + count
        # Rounded over all classes so far, so that the whole is right; one row stays with the rest.
        n = min(round(end * fraction) - wanted, count - 1) if count else 0
        aside[order[start : start + max(n, 0)]] = True
        start, wanted = end, wanted + max(n, 0)
    if not aside.any():
        if len(data) < 2 or (by_class and counts.max() < 2):
            raise InputError(
                f"{data.source}: too few rows ({len(data)}) to set some aside for the {purpose}; "
                f"{_OPTIONS[purpose]} 0 sets none aside"
            )
        largest = int(counts.argmax())
        aside[order[counts[:largest].sum()]] = True
    return data.rows(np.flatnonzero(~aside)), data.rows(np.flatnonzero(aside))
