import numpy as np
from numpy.typing import NDArray

def epoch_order(seed: int, epoch: int, order: NDArray[np.int64]) -> None: ...
