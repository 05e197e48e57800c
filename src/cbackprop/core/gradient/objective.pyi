from typing import Any

import numpy as np
from numpy.typing import NDArray

class Objective:
    def __init__(
        self,
        loss: int = 0,
        *,
        parameter: float = 0.0,
        linear: bool = False,
        only_grows: bool = False,
        column_weight: NDArray[np.floating[Any]] | None = None,
        units: NDArray[np.floating[Any]] | None = None,
        missing: bool = False,
    ) -> None: ...
    @property
    def has_units(self) -> bool: ...
