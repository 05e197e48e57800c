from collections.abc import Callable
from typing import Any

from cbackprop.core.gradient.plan import Plan

class PythonLoss:
    def __new__(
        cls, plan: Plan, function: Callable[..., Any], batch_rows: int, threads: int
    ) -> PythonLoss: ...
