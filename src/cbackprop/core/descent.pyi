from array import array
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.plan import Plan

_Array = NDArray[np.floating[Any]]
_Order = int | Callable[[int], NDArray[np.int64]]
_Diverged = tuple[Literal["diverged"], int, int]

class State:
    epoch: int
    position: int
    squares: float
    n_rows: int
    batch_rows: int
    velocity: _Array | None

class Descent:
    def __new__(
        cls,
        plan: Plan,
        state: State,
        parameters: _Array,
        X: _Array,
        Y: _Array,
        validation: tuple[_Array, _Array] | None,
        kind: str,
        learning_rate: float,
        momentum: float,
        batch_rows: int,
        order: _Order | None,
        epochs: int,
        steps: int,
        most_threads: int,
        scaling: tuple[_Array, _Array] | None,
    ) -> Descent: ...

def _restore_state(
    epoch: int,
    position: int,
    squares: float,
    n_rows: int,
    batch_rows: int,
    velocity: _Array | None,
) -> State: ...
def worth_a_team(plan: Plan, rows: int) -> bool: ...
def descend(
    plan: Plan,
    state: State,
    parameters: _Array,
    X: _Array,
    Y: _Array,
    validation: tuple[_Array, _Array] | None,
    kind: str,
    learning_rate: float,
    momentum: float,
    batch_rows: int,
    order: _Order | None,
    epochs: int,
    most_threads: int,
    threads_now: Callable[[], int],
    scaling: tuple[_Array, _Array] | None,
    losses: array[float],
    validation_losses: array[float],
    on_slice: Callable[[int], object] | None,
    steps: int = -1,
) -> Literal["rows", "validation rows"] | _Diverged | None: ...
