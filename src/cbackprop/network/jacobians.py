"""Derivatives of a network by its inputs and parameters, and a check of its gradient.

The functions are Network's methods of the same names.  They check and allocate; the compiled core
computes.  All differentiate the values that ``predict`` returns by its inputs or the parameters, so
scaling is included.  This file promises not to combine derivatives: no Fisher matrix, no solver.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..core.gradient import jacobians as core
from ..errors import InputError, InputMemoryError
from ..machine import blas_threads, threads
from ..machine.memory import available_memory

if TYPE_CHECKING:
    from .network import Network

__all__ = [
    "GradientCheck",
    "blocks_at",
    "check_gradient",
    "input_gradient",
    "jacobian",
    "parameter_jacobian",
    "parameter_jacobian_blocks",
]

# The size of a block of `parameter_jacobian_blocks` if `rows` is not given.
BLOCK_BYTES = 1 << 25

# Arrays up to this size are allocated without checking the available memory.
SMALL_BYTES = 1 << 26


def jacobian(network: "Network", X: Any, *, n_threads: int | None = None) -> np.ndarray:
    """The derivatives of Y_hat by X: each output by each input, row by row.

    Parameters
    ----------
    X : array-like, (N, n_in)
    n_threads : int, optional
        At most this many threads; None is as many as are available.  No effect on the result.

    Returns
    -------
    ndarray, (N, n_out, n_in), of the network's dtype
        Element [n, k, j] is d y_hat_nk / d x_nj, in the units of X and of `predict`.

    Raises
    ------
    InputError, InputTypeError
        If X is not two-dimensional, of the right width and of finite real numbers.
    InputMemoryError
        If there is not enough memory for the result.
    """
    X = _rows(network, X)
    out = _new((len(X), network.sizes[-1], network.sizes[0]), network.dtype, "pass fewer rows of X")
    _compute(core.jacobian, network, network.parameters, X, (out,), n_threads)
    return out


def input_gradient(
    network: "Network", X: Any, dL_dY_hat: Any = None, *, n_threads: int | None = None
) -> np.ndarray:
    """dL/dX for any L with known derivative by Y_hat: dL_dY_hat times the Jacobian, row by row.

    Parameters
    ----------
    X : array-like, (N, n_in)
    dL_dY_hat : array-like, (N, n_out), optional
        One-dimensional where n_out is 1.  None, for a network with one output only, is 1 for each
        row: the result is then the output's gradient by the inputs.
    n_threads : int, optional
        As in `jacobian`.

    Returns
    -------
    ndarray, (N, n_in), of the network's dtype
        Element [n, j] is sum_k dL_dY_hat[n, k] d y_hat_nk / d x_nj.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit or holds NaN or infinity, or dL_dY_hat is missing though there
        is more than one output.
    """
    X = _rows(network, X)
    n_out = network.sizes[-1]
    out = _new(X.shape, network.dtype, "pass fewer rows of X")
    if dL_dY_hat is not None:
        G = checks.as_rows("dL_dY_hat", dL_dY_hat, n_out, network.dtype, allow_1d=True)
        checks.same_rows("X", X, "dL_dY_hat", G)
    elif n_out == 1:
        G = np.ones((len(X), 1), network.dtype)
    else:
        raise InputError(
            f"dL_dY_hat is None and the network has {n_out} outputs; expected one derivative for "
            f"each, ({len(X)}, {n_out}). jacobian(X) has the gradient of every output"
        )
    _compute(core.input_gradient, network, network.parameters, X, (G, out), n_threads)
    return out


def parameter_jacobian(
    network: "Network", X: Any, *, n_threads: int | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """The derivatives of Y_hat by the parameters: each output by each parameter, row by row.

    Parameters
    ----------
    X : array-like, (N, n_in)
    n_threads : int, optional
        As in `jacobian`.
    out : ndarray, (N, n_out, n_parameters), optional
        Overwritten with the result; C-contiguous, of the network's dtype.

    Returns
    -------
    ndarray, (N, n_out, n_parameters), of the network's dtype
        `out` if it is given.  The last axis has the order of `parameters`.

    Raises
    ------
    InputError, InputTypeError
        If X or out does not fit, or X holds NaN or infinity.
    InputMemoryError
        If there is not enough memory for the result; `parameter_jacobian_blocks` needs less.
    """
    X = _rows(network, X)
    shape = (len(X), network.sizes[-1], network.n_parameters)
    if out is None:
        out = _new(shape, network.dtype, "use parameter_jacobian_blocks, or fewer rows of X")
    else:
        out = checks.as_output(out, shape, network.dtype)
        if np.may_share_memory(out, X):
            X = X.copy()
    _compute(core.parameter_jacobian, network, network.parameters, X, (out,), n_threads)
    return out


def parameter_jacobian_blocks(
    network: "Network", X: Any, *, rows: int | None = None, n_threads: int | None = None
) -> Iterator[tuple[slice, np.ndarray]]:
    """`parameter_jacobian` block by block, for sums over more rows than fit in memory.

    Parameters
    ----------
    X : array-like, (N, n_in)
    rows : int, optional
        Rows of a block; None is as many as 32 megabytes hold.
    n_threads : int, optional
        As in `jacobian`.

    Yields
    ------
    which : slice
        The rows of X.
    block : ndarray, (len(X[which]), n_out, n_parameters)
        Their Jacobian, a new array for each block.  All blocks use the parameters as they were when
        this was called.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit; for NaN or infinity in X, when its block is reached.
    InputMemoryError
        If there is not enough memory for a block.
    """
    X = _rows(network, X)
    if rows is None:
        row_bytes = network.sizes[-1] * network.n_parameters * network.dtype.itemsize
        rows = max(1, BLOCK_BYTES // row_bytes)
    else:
        rows = checks.positive_int("rows", rows)
    return blocks_at(network, network.parameters.copy(), X, rows, threads.resolve(n_threads))


def blocks_at(
    network: "Network", parameters: np.ndarray, X: np.ndarray, rows: int, n_threads: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """What `parameter_jacobian_blocks` yields, for these parameters; all arguments are checked."""
    for start in range(0, len(X), rows):
        which = slice(start, min(start + rows, len(X)))
        shape = (which.stop - start, network.sizes[-1], network.n_parameters)
        block = _new(shape, network.dtype, "pass fewer rows")
        _compute(core.parameter_jacobian, network, parameters, X, (block,), n_threads, which)
        yield which, block


# ----------------------------------------------------------------------------- the gradient's check


@dataclass(frozen=True)
class GradientCheck:
    """How far `Network.gradient` is from central differences of `Network.loss`.

    Attributes
    ----------
    max_error : float
        The largest difference, divided by the largest derivative checked; about 1e-10 for float64
        and 1e-7 for float32 if the gradient is right.  NaN if a loss is not finite.
    worst : str
        The parameter with the largest difference, for example "W1[3, 2]".
    n_checked : int
        How many parameters were checked.
    """

    max_error: float
    worst: str
    n_checked: int


def check_gradient(
    network: "Network",
    X: Any,
    Y: Any,
    *,
    loss: Any = "squared_error",
    sample_weight: Any = None,
    output_weight: Any = None,
    missing: str = "error",
    per_array: int = 100,
) -> GradientCheck:
    """Compare `gradient` with central differences of `loss`, one parameter p at a time.

    (L(p + h) - L(p - h)) / 2h with h = eps^(1/3) max(1, |p|), where rounding and truncation errors
    are about equal.  The differences are computed in float64 on a copy of the network, whatever the
    dtype; the network itself is only read.  Where h moves a unit across relu's kink (or the loss
    across its own), the two differ although the gradient is right.

    Parameters
    ----------
    X, Y, loss, sample_weight, output_weight, missing
        As in `gradient`.
    per_array : int
        Check at most this many evenly spread parameters of each W and each b; each costs two
        evaluations of the loss.

    Returns
    -------
    GradientCheck

    Raises
    ------
    InputError, InputTypeError
        As `gradient` does.
    """
    per_array = checks.positive_int("per_array", per_array)
    settings: dict[str, Any] = dict(
        loss=loss, sample_weight=sample_weight, output_weight=output_weight, missing=missing
    )
    _, gradient = network.gradient(X, Y, **settings)
    twin = type(network).__new__(type(network))
    twin.__setstate__({**network.__getstate__(), "dtype": "float64"})
    step = np.finfo(np.float64).eps ** (1 / 3)
    names, found, expected = [], [], []
    for name, index, i in _spread(twin.sizes, twin.bias, per_array):
        p = float(twin.parameters[i])
        h = step * max(1.0, abs(p))
        above, below = p + h, p - h
        twin.parameters[i] = above
        difference = twin.loss(X, Y, **settings)
        twin.parameters[i] = below
        difference -= twin.loss(X, Y, **settings)
        twin.parameters[i] = p
        names.append(f"{name}{index}")
        found.append(float(gradient[i]))
        expected.append(difference / (above - below))
    with np.errstate(invalid="ignore"):
        error = np.abs(np.subtract(found, expected))
    largest = max(np.abs(found).max(), np.abs(expected).max())
    worst = int(error.argmax())
    return GradientCheck(float(error[worst] / (largest or 1.0)), names[worst], len(names))


def _spread(sizes: tuple[int, ...], bias: bool, most: int) -> Iterator[tuple[str, list[int], int]]:
    """Yield (name, index, place in `parameters`) of up to `most` entries of each of W1, b1, ..."""
    start = 0
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes), 1):
        for kind, shape in (("W", (n_in, n_out)), ("b", (n_out,)))[: 1 + bias]:
            size = math.prod(shape)
            for i in np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(int)):
                index = [int(place) for place in np.unravel_index(i, shape)]
                yield f"{kind}{layer}", index, start + int(i)
            start += size


# ------------------------------------------------------------------------------------ what all have


def _rows(network: "Network", X: Any) -> np.ndarray:
    return checks.as_rows("X", X, network.sizes[0], network.dtype)


def _compute(
    kernel: Any,
    network: "Network",
    parameters: np.ndarray,
    X: np.ndarray,
    rest: tuple[np.ndarray, ...],
    n_threads: int | None,
    which: slice = slice(None),
) -> None:
    """Call the core on rows `which` of X and raise if they are not finite."""
    plan = network._plan
    # One block of rows is one task: this saves the several microseconds of counting processors.
    one_block = len(X) <= plan.block_rows and kernel is not core.parameter_jacobian
    n_threads = 1 if n_threads is None and one_block else threads.resolve(n_threads)
    factor = None
    if network.output_scaling is not None:
        factor = (1 / network.output_scaling.scale).astype(network.dtype)
    with blas_threads.single_threaded(plan.may_thread_blas):
        good = kernel(plan, parameters, X[which], *rest, n_threads, network._scaling, factor)
    if not good:
        G = rest[0] if len(rest) == 2 else None
        checks.raise_non_finite(X, G, network.dtype, names=("X", "dL_dY_hat"))


def _new(shape: tuple[int, ...], dtype: np.dtype, advice: str) -> np.ndarray:
    """A new array, or an error that says how much memory it needs."""
    n_bytes = dtype.itemsize
    for length in shape:
        n_bytes *= length
    there = available_memory() if n_bytes > SMALL_BYTES else None
    error: BaseException | None = None
    if there is None or n_bytes <= there:
        try:
            return np.empty(shape, dtype)
        except (MemoryError, ValueError) as caught:  # NumPy's error for too many bytes
            error = caught
    most = "more than there are" if there is None else f"and {there:,} are available"
    raise InputMemoryError(
        f"the result has shape {shape} and needs {n_bytes:,} bytes, {most}; {advice}"
    ) from error
