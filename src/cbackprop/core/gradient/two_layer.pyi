from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

def delta_hidden(
    delta_O: NDArray[_Real], W2: NDArray[_Real], Z: NDArray[_Real], out: NDArray[_Real]
) -> None: ...
def gradients(
    X: NDArray[_Real],
    Y: NDArray[_Real],
    W1: NDArray[_Real],
    W2: NDArray[_Real],
    grad_W1: NDArray[_Real],
    grad_W2: NDArray[_Real],
    Z: NDArray[_Real],
    Y_hat: NDArray[_Real],
    delta_H: NDArray[_Real],
) -> float: ...
