from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

threaded_above: int

def product(
    transpose_A: bool,
    transpose_B: bool,
    alpha: float,
    A: NDArray[_Real],
    B: NDArray[_Real],
    beta: float,
    C: NDArray[_Real],
) -> None: ...
