from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.gradient.objective import Objective
from cbackprop.core.gradient.plan import Plan

_Array = NDArray[np.floating[Any]]
_Scaling = tuple[_Array, _Array]

class GaussNewton: ...

def memory_needed(plan: Plan, n_rows: int, dual: bool) -> int: ...
def system(
    plan: Plan,
    objective: Objective,
    parameters: _Array,
    X: _Array,
    Y: _Array,
    sample_weight: _Array | None,
    A: NDArray[np.float64],
    g: NDArray[np.float64],
    n_threads: int,
    scaling: _Scaling | None = None,
    target_scaling: _Scaling | None = None,
    rows: NDArray[np.int64] | None = None,
    dual: bool = False,
) -> tuple[float, float] | None: ...
