from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

def run_sums(x: NDArray[_Real], y: NDArray[_Real]) -> tuple[float, float, float]: ...
def run_axpy(a: float, x: NDArray[_Real], y: NDArray[_Real]) -> None: ...
def run_scale(a: float, x: NDArray[_Real]) -> None: ...
