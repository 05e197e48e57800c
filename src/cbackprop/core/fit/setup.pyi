from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.fit.state import State
from cbackprop.core.gradient.plan import Plan

_Array = NDArray[np.floating[Any]]

COLUMNS: tuple[str, ...]
NUMBERS: dict[str, int]

class FitSetup:
    def __new__(
        cls,
        plan: Plan,
        state: State,
        parameters: _Array,
        X: _Array,
        Y: _Array,
        settings: dict[str, Any],
        columns: tuple[str, ...],
    ) -> FitSetup: ...

def numbers_of_marquardt() -> int: ...
