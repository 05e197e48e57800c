import numpy as np
from numpy.typing import NDArray

_Numbers = NDArray[np.float64]

class StoppingSettings:
    def __new__(
        cls,
        *,
        monitored: int = -1,
        maximise: bool = False,
        patience: float | None = None,
        min_delta: float = 0.0,
        start_epoch: int = 0,
        keep_best: bool = False,
        from_best: bool = False,
        divisor: float = 0.0,
        least_rate: float = 0.0,
        target_loss: float | None = None,
        plateau_factor: float = 1.0,
        plateau_patience: float = -1.0,
        plateau_delta: float = 0.0,
        plateau_minimum: float = 0.0,
    ) -> StoppingSettings: ...

N_REMEMBERED: int

def nothing_remembered() -> _Numbers: ...
def fresh_best(numbers: _Numbers, key: float) -> None: ...
def known_best(numbers: _Numbers, value: float, epoch: int, waited: float) -> None: ...
def wait_anew(numbers: _Numbers) -> None: ...
def fresh_plateau(numbers: _Numbers) -> None: ...
def plateau_scale(numbers: _Numbers) -> float: ...
def waited(numbers: _Numbers) -> float: ...
def best_of(numbers: _Numbers) -> tuple[int, float] | None: ...
