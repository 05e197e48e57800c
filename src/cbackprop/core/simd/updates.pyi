from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.floating[Any]]

def run_sgd(level: str, lr: float, g: _Array, W: _Array) -> None: ...
def run_momentum(
    level: str, lr: float, mu: float, g: _Array, v: _Array, W: _Array, nesterov: bool = False
) -> None: ...
def run_adam(
    level: str,
    a: float,
    c: float,
    epsilon: float,
    beta_1: float,
    beta_2: float,
    g: _Array,
    m: _Array,
    v: _Array,
    W: _Array,
    v_max: _Array | None = None,
) -> None: ...
def run_rprop(
    level: str,
    increase: float,
    decrease: float,
    least: float,
    most: float,
    worse: bool,
    g: _Array,
    g_before: _Array,
    step: _Array,
    move: _Array,
    W: _Array,
) -> None: ...
def run_penalty(level: str, l2: float, l1: float, W: _Array, g: _Array) -> None: ...
def run_scale(level: str, factor: float, x: _Array) -> None: ...
