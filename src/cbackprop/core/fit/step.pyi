from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbackprop.core.fit.early_stopping import StoppingSettings
from cbackprop.core.fit.state import State
from cbackprop.core.gradient.plan import Plan
from cbackprop.core.gradient.update_rules import RuleSettings

_Array = NDArray[np.floating[Any]]

class StepCall:
    def __new__(
        cls,
        plan: Plan,
        state: State,
        parameters: _Array,
        gradient: _Array,
        settings: RuleSettings,
    ) -> StepCall: ...

def is_finite(plan: Plan, gradient: _Array) -> bool: ...
def run_step(
    plan: Plan,
    state: State,
    parameters: _Array,
    gradient: _Array,
    settings: RuleSettings,
    rate: float,
    loss: float,
    stopping: StoppingSettings | None,
    columns: dict[str, array[float]],
    records: dict[str, array[float]],
) -> float | None: ...
