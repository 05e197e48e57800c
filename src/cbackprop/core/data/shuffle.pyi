import numpy as np
from numpy.typing import NDArray

def epoch_order(seed: int, epoch: int, order: NDArray[np.int64]) -> None: ...
def window_order(
    seed: int, epoch: int, block_rows: int, window_blocks: int, order: NDArray[np.int64]
) -> None: ...
