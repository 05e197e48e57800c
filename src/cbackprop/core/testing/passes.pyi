from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.gradient.plan import Plan

_Array = NDArray[np.floating[Any]]

def passes(
    plan: Plan, parameters: _Array, X: _Array, Y: _Array, seconds: float
) -> list[tuple[str, float, float, int]]: ...
