from collections.abc import Callable
from typing import Literal

def search_line(
    phi: Callable[[float], tuple[float, float]],
    step: float,
    decrease: float = 1e-4,
    curvature: float = 0.9,
    rounding: float = 0.0,
    most_evaluations: int = 20,
) -> tuple[Literal["accepted", "exhausted"], float, int]: ...
