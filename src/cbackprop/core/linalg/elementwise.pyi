from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

def sigmoid(x: NDArray[_Real], out: NDArray[_Real]) -> None: ...
def delta_output(Y: NDArray[_Real], Y_hat: NDArray[_Real], out: NDArray[_Real]) -> None: ...
