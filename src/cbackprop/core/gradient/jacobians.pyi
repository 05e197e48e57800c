from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.gradient.plan import Plan

_Array = NDArray[np.floating[Any]]
_Real = TypeVar("_Real", np.float32, np.float64)
_Scaling = tuple[_Array, _Array]

class Call:
    def __new__(
        cls,
        plan: Plan,
        X: _Array,
        G: _Array | None,
        by_parameters: bool,
        out: _Array,
        scaling: _Scaling | None,
        factor: _Array | None,
    ) -> Call: ...

def jacobian(
    plan: Plan,
    parameters: _Array,
    X: _Array,
    out: _Array,
    n_threads: int,
    scaling: _Scaling | None = None,
    factor: _Array | None = None,
) -> bool: ...
def input_gradient(
    plan: Plan,
    parameters: _Array,
    X: _Array,
    G: _Array,
    out: _Array,
    n_threads: int,
    scaling: _Scaling | None = None,
    factor: _Array | None = None,
) -> bool: ...
def parameter_jacobian(
    plan: Plan,
    parameters: _Array,
    X: _Array,
    out: _Array,
    n_threads: int,
    scaling: _Scaling | None = None,
    factor: _Array | None = None,
) -> bool: ...
def output_derivative(activation: int, Y_hat: NDArray[_Real], out: NDArray[_Real]) -> None: ...
