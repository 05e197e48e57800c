from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.floating[Any]]

class RowSource:
    def __new__(
        cls,
        array: _Array,
        itemsize: int,
        shift: _Array | None = None,
        scale: _Array | None = None,
    ) -> RowSource: ...
