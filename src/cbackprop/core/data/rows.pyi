from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.floating[Any]]

class SparseRows:
    data: _Array
    columns: NDArray[np.int64]
    starts: NDArray[np.int64]
    shape: tuple[int, int]
    def __new__(
        cls,
        data: _Array,
        columns: NDArray[np.int64],
        starts: NDArray[np.int64],
        n_columns: int,
    ) -> SparseRows: ...
    def __len__(self) -> int: ...

class RowSource:
    def __init__(
        self,
        array: _Array | SparseRows,
        itemsize: int,
        shift: _Array | None = None,
        scale: _Array | None = None,
    ) -> None: ...

def ready(array: Any, n_columns: int | None) -> bool: ...
def extent(array: _Array) -> tuple[float, float]: ...
