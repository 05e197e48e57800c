"""Warnings as scikit-learn's MLP gives them, and messages in its terms.

Warnings are attributed to scikit-learn, because users silence those with ``module="sklearn"``, as
its own examples do; and they point at the line that called into either package.
"""

import sys
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning

__all__ = ["by_parameters", "warn", "without_a_column"]

_MODULE = "sklearn.neural_network._multilayer_perceptron"
_WITHIN = ("cbackprop", "sklearn")

# From a trainer's wording to the names of the estimators' parameters.
_NAMES = {
    "BayesianRegularization(keep_posterior=True)": "solver='br'",
    "BayesianRegularization": "solver='br'",
    "LevenbergMarquardt": "solver='lm'",
    "cbackprop.LBFGS()": "solver='lbfgs'",
    "with learning_rate=": "with a learning rate of ",
    "a smaller learning_rate,": "a smaller learning_rate_init,",
    "a weight_decay": "an alpha",
    "weight_decay": "alpha",
    "Y lies": "y lies",
    "a sigmoid output": "a logistic output",
}


def by_parameters(message: object) -> str:
    """A trainer's message with the names of the estimators' parameters."""
    text = str(message)
    for theirs, ours in _NAMES.items():
        text = text.replace(theirs, ours)
    return text


def warn(message: str, category: type[Warning]) -> None:
    """Give a warning at the line outside of both packages."""
    frame = caller = sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] in _WITHIN and frame.f_back:
        frame = frame.f_back
    if frame.f_globals.get("__name__", "").partition(".")[0] not in _WITHIN:
        caller = frame
    warnings.warn_explicit(
        message,
        category,
        caller.f_code.co_filename,
        caller.f_lineno,
        module=_MODULE,
        registry=caller.f_globals.setdefault("__warningregistry__", {}),
    )


def without_a_column(y: np.ndarray) -> Any:
    """Targets of one column as a vector, with a warning; other targets unchanged."""
    if y.ndim != 2 or y.shape[1] != 1:
        return y
    warn(
        "A column-vector y was passed when a 1d array was expected. Please change the shape of y "
        "to (n_samples, ), for example using ravel().",
        DataConversionWarning,
    )
    return y[:, 0]
