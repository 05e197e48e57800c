from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.floating[Any]]

def lanes(level: str, wide: bool) -> int: ...
def run_activate(level: str, activation: int, h: _Array, z: _Array) -> None: ...
def run_activate_keeping(
    level: str, activation: int, h: _Array, z: _Array, slope: _Array
) -> None: ...
def run_delta_output(
    level: str, activation: int, Y: _Array, Y_hat: _Array, delta: _Array
) -> float: ...
def run_delta_output_weighted(
    level: str, activation: int, weight: _Array, Y: _Array, Y_hat: _Array, delta: _Array, cols: int
) -> float: ...
def run_squared_error(level: str, Y: _Array, Y_hat: _Array) -> float: ...
def run_squared_error_weighted(
    level: str, weight: _Array, Y: _Array, Y_hat: _Array, cols: int
) -> float: ...
def run_times_derivative(level: str, activation: int, Z: _Array, delta: _Array) -> None: ...
def run_delta_hidden(
    level: str,
    activation: int,
    delta: _Array,
    ld: int,
    rows: int,
    n_out: int,
    W_T: _Array,
    Z: _Array,
    out: _Array,
) -> None: ...
def run_output(level: str, activation: int, raw: _Array, Y_hat: _Array, rows: int) -> None: ...
def run_loss(
    level: str,
    loss: int,
    activation: int,
    parameter: float,
    Y: _Array,
    P: _Array,
    rows: int,
    weight: _Array | None = None,
    delta: _Array | None = None,
) -> float: ...
def run_element_weights(
    level: str,
    missing: bool,
    weight: _Array,
    Y: _Array,
    rows: int,
    row_weight: _Array | None = None,
    column_weight: _Array | None = None,
) -> None: ...
def run_column_sums(
    level: str, alpha: float, delta: _Array, rows: int, beta: float, out: _Array
) -> None: ...
def run_fill_rows(level: str, b: _Array, rows: int, H: _Array) -> None: ...
def run_transpose(level: str, W: _Array, rows: int, cols: int, W_T: _Array) -> None: ...
def run_add(level: str, x: _Array, y: _Array) -> None: ...
def run_all_finite(level: str, x: _Array) -> bool: ...
def run_gather(
    level: str,
    source: NDArray[np.uint8],
    offset: int,
    row_stride: int,
    wide: bool,
    index: NDArray[np.int64] | None,
    out: _Array,
    rows: int,
) -> None: ...
def run_affine_rows(level: str, shift: _Array, scale: _Array, X: _Array, rows: int) -> None: ...
def run_outer_sums(
    level: str,
    A: _Array,
    D: _Array,
    lower: bool,
    first: int,
    count: int,
    out: _Array,
    step: int,
) -> None: ...
def run_product(
    level: str,
    m: int,
    n: int,
    k: int,
    alpha: float,
    A: _Array,
    rsa: int,
    csa: int,
    B: _Array,
    ldb: int,
    beta: float,
    C: _Array,
    ldc: int,
    bias: _Array | None = None,
) -> None: ...
def run_steps(
    level: str,
    n_in: int,
    n_hidden: int,
    n_out: int,
    hidden_activation: int,
    output_activation: int,
    bias: bool,
    X: _Array,
    Y: _Array,
    order: NDArray[np.int64] | None,
    rows: int,
    alpha: float,
    parameters: _Array,
    scratch: _Array,
    each: NDArray[np.float64] | None = None,
) -> tuple[int, float]: ...
def steps_scratch(level: str, wide: bool, n_hidden: int, n_out: int, rows: int) -> int: ...
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
def run_nadam(
    level: str,
    a_g: float,
    a_m: float,
    c: float,
    epsilon: float,
    beta_1: float,
    beta_2: float,
    g: _Array,
    m: _Array,
    v: _Array,
    W: _Array,
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
