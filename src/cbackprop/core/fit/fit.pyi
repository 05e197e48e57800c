from array import array
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.fit.setup import COLUMNS as COLUMNS
from cbackprop.core.fit.setup import NUMBERS as NUMBERS
from cbackprop.core.fit.setup import FitSetup
from cbackprop.core.fit.state import State
from cbackprop.core.gradient.plan import Plan

_Array = NDArray[np.floating[Any]]
_Order = int | Callable[[int], NDArray[np.int64]]
_Rate = float | Callable[[NDArray[np.int64]], NDArray[np.float64]]
_Scaling = tuple[_Array, _Array]

REASONS: dict[int, str]

class _Hook(Protocol):
    tell: Callable[[int], bool]
    def measure(self, epoch: int, values: dict[str, float]) -> dict[str, float]: ...

class FitCall(FitSetup): ...

def worth_a_team(plan: Plan, rows: int) -> bool: ...
def run_fit(
    plan: Plan,
    state: State,
    parameters: _Array,
    X: _Array,
    Y: _Array,
    settings: dict[str, Any],
    *,
    records: dict[str, array[float]],
    threads_now: Callable[[], int],
    hook: _Hook | None = None,
    on_slice: Callable[[int, bool], object] | None = None,
) -> tuple[Any, ...]: ...
