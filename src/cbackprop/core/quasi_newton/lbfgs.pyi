from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)
_Function = Callable[[NDArray[_Real]], tuple[float, NDArray[_Real]]]

OUTCOMES: tuple[str, ...]

class Callback:
    def __new__(cls, function: _Function[_Real], like: NDArray[_Real]) -> Callback: ...

def n_vectors(memory: int) -> int: ...
def n_numbers(memory: int) -> int: ...
def evaluations_of(numbers: NDArray[np.float64]) -> int: ...
def n_scratch() -> int: ...
def step(
    function: _Function[_Real],
    W: NDArray[_Real],
    vectors: NDArray[_Real],
    numbers: NDArray[np.float64],
    max_line_search: int = 20,
    max_stalled: int = 100,
    gradient_tolerance: float = 0.0,
    loss_tolerance: float = 0.0,
    step_tolerance: float = 0.0,
    loss_rounding: float = 1e-6,
    sufficient_decrease: float = 1e-4,
    curvature: float = 0.9,
) -> str: ...
def minimize(
    function: _Function[_Real],
    W: NDArray[_Real],
    memory: int = 10,
    iterations: int = 1000,
    **settings: float,
) -> tuple[NDArray[_Real], float, int, int, str]: ...
