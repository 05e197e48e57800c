from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.gradient.plan import Plan

_Array = NDArray[np.floating[Any]]

class State:
    epoch: int
    position: int
    loss_sum: float
    unit_sum: float
    n_rows: int
    batch_rows: int
    kind: str
    vectors: _Array | None
    numbers: NDArray[np.float64] | None
    stopping: NDArray[np.float64] | None
    best_parameters: _Array | None
    def __new__(cls) -> State: ...
    def as_dict(self) -> dict[str, Any]: ...
    @property
    def in_use(self) -> bool: ...
    def before_a_call(self, monitored: bool) -> tuple[Any, ...]: ...
    def take_back(self, before: tuple[Any, ...]) -> bool: ...
    def has_memory(self, plan: Plan, n_vectors: int, n_numbers: int) -> bool: ...

def restore_state(values: dict[str, Any]) -> State: ...
