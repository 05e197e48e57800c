from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.gradient.objective import Objective
from cbackprop.core.gradient.plan import Plan

_Array = NDArray[np.floating[Any]]
_Real = TypeVar("_Real", np.float32, np.float64)

def read(
    array: _Array,
    out: NDArray[_Real],
    scaling: tuple[_Array, _Array] | None = None,
    check: bool = True,
) -> bool: ...
def affine(
    A: NDArray[_Real],
    W: NDArray[_Real],
    b: NDArray[_Real] | None,
    H: NDArray[_Real],
    block_rows: int,
) -> None: ...
def activate(
    activation: int, H: NDArray[_Real], Z: NDArray[_Real], sigma_prime: NDArray[_Real]
) -> None: ...
def output_delta(
    plan: Plan,
    objective: Objective,
    Y: NDArray[_Real],
    kept: NDArray[_Real],
    row_weight: NDArray[_Real] | None,
    weight: NDArray[_Real],
    delta_O: NDArray[_Real],
) -> float: ...
