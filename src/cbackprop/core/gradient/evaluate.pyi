from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.gradient.objective import Objective
from cbackprop.core.gradient.plan import Plan

_Array = NDArray[np.floating[Any]]
_Scaling = tuple[_Array, _Array]

class Call:
    def __new__(
        cls,
        plan: Plan,
        objective: Objective | None,
        parameters: _Array,
        X: _Array,
        Y: _Array | None,
        weight: NDArray[np.float64] | None,
        n_threads: int,
        scaling: _Scaling | None,
        target_scaling: _Scaling | None,
        backward: bool,
    ) -> Call: ...

def predict(
    plan: Plan,
    parameters: _Array,
    X: _Array,
    out: _Array,
    n_threads: int,
    scaling: _Scaling | None = None,
    output_scaling: _Scaling | None = None,
) -> bool: ...
def loss(
    plan: Plan,
    objective: Objective,
    parameters: _Array,
    X: _Array,
    Y: _Array,
    sample_weight: NDArray[np.float64] | None,
    n_threads: int,
    scaling: _Scaling | None = None,
    target_scaling: _Scaling | None = None,
) -> float | None: ...
def gradient(
    plan: Plan,
    objective: Objective,
    parameters: _Array,
    X: _Array,
    Y: _Array,
    sample_weight: NDArray[np.float64] | None,
    out: _Array,
    n_threads: int,
    scaling: _Scaling | None = None,
    target_scaling: _Scaling | None = None,
    summed: bool = False,
) -> float | None: ...
def backward(
    plan: Plan,
    parameters: _Array,
    X: _Array,
    dL_dY_hat: _Array,
    out: _Array,
    n_threads: int,
    scaling: _Scaling | None = None,
) -> bool: ...
