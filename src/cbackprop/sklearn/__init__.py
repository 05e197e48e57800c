"""scikit-learn estimators: `MLPClassifier` and `MLPRegressor`, with scikit-learn's names.

A front end: nothing else in the package imports it.
"""

import re

from ..errors import MissingExtraError

try:
    from sklearn import __version__ as _version
except ImportError:
    raise MissingExtraError(
        "cbackprop.sklearn needs scikit-learn, which is not installed: "
        'pip install "cbackprop[sklearn]"'
    ) from None
if tuple(map(int, re.findall(r"\d+", _version)[:2])) < (1, 7):
    raise MissingExtraError(
        f"scikit-learn is {_version}; expected 1.7 or later for cbackprop.sklearn: "
        'pip install --upgrade "cbackprop[sklearn]"'
    )

from .classifier import MLPClassifier
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
