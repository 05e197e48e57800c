from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.floating[Any]]

def run_sgd(level: str, lr: float, g: _Array, W: _Array) -> None: ...
def run_momentum(
    level: str, lr: float, mu: float, g: _Array, v: _Array, W: _Array, nesterov: bool = False
) -> None: ...
