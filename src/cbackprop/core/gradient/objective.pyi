from typing import Any

import numpy as np
from numpy.typing import NDArray

LOSS_CODES: dict[str, int]

class Objective:
    def __init__(
        self,
        loss: str = "squared_error",
        *,
        parameter: float = 0.0,
        column_weight: NDArray[np.floating[Any]] | None = None,
        units: NDArray[np.floating[Any]] | None = None,
        missing: bool = False,
    ) -> None: ...
    @property
    def has_units(self) -> bool: ...
