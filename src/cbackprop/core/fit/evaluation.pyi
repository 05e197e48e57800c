from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.gradient.objective import Objective
from cbackprop.core.gradient.plan import Plan

_Array = NDArray[np.floating[Any]]
_Scaling = tuple[_Array, _Array]

METRICS: dict[str | None, int]

class Evaluation:
    def __new__(
        cls,
        plan: Plan,
        objective: Objective,
        X: _Array,
        Y: _Array,
        *,
        weight: NDArray[np.float64] | None = None,
        rows: NDArray[np.int64] | None = None,
        metric: Literal["accuracy", "r2", "outputs"] | str | None = None,
        outputs: _Array | None = None,
        scaling: _Scaling | None = None,
        target_scaling: _Scaling | None = None,
    ) -> Evaluation: ...
