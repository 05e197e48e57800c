"""The weight of each row: sample weights, class weights, and their mean.

Row i of a batch has the weight w_i / mean(w over the fit's rows) / rows of the batch.  A batch is
never divided by the sum of its own weights: the expectation over shuffles would then be the
gradient of another objective, which would depend on the batch size.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import checks
from ..errors import InputError, InputTypeError

__all__ = ["row_weights"]


def row_weights(
    sample_weight: Any, class_weight: Any, Y: np.ndarray, rows: np.ndarray | None
) -> np.ndarray | None:
    """A weight for each row, with mean 1 over ``rows``, or None if all are equal.

    Parameters
    ----------
    sample_weight : array-like (N,) or None
    class_weight : None, "balanced" or a mapping
        A mapping gives the weight of a class (1 if missing).  The classes are the values of a
        single column of Y, else the column numbers.  "balanced": inversely proportional to the
        classes' frequencies among ``rows``.
    rows : ndarray or None
        The rows that are trained on; None is all.
    """
    weights = checks.as_weights("sample_weight", sample_weight, len(Y))
    if class_weight is not None:
        factor = _class_factors(class_weight, Y, rows)
        weights = factor if weights is None else weights * factor
    if weights is None:
        return None
    mean = float(np.mean(weights if rows is None else weights[rows]))
    if not (np.isfinite(mean) and mean > 0):
        raise InputError(
            f"the weights of the rows to train on have the mean {mean:g}; expected one above 0"
        )
    return weights / mean


def _class_factors(class_weight: Any, Y: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    labels = Y[:, 0] if Y.shape[1] == 1 else Y.argmax(axis=1)
    if isinstance(class_weight, str) and class_weight == "balanced":
        classes, counts = np.unique(labels if rows is None else labels[rows], return_counts=True)
        weights = counts.sum() / (len(classes) * counts)
    elif isinstance(class_weight, Mapping):
        classes = np.unique(labels)
        known = set(classes.tolist())
        for label, weight in class_weight.items():
            if label not in known:
                shown = ", ".join(f"{c:g}" for c in classes[:10])
                raise InputError(
                    f"class_weight has the class {label!r}, which no row is of; expected some of "
                    f"{shown}"
                )
            checks.positive_float(f"class_weight[{label!r}]", weight, zero=True)
        weights = np.array([float(class_weight.get(c, 1.0)) for c in classes.tolist()])
    else:
        raise InputTypeError(
            f"class_weight is {checks.describe(class_weight)}; expected 'balanced' or a mapping "
            "from classes to weights"
        )
    place = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    return np.where(classes[place] == labels, weights[place], 1.0)
