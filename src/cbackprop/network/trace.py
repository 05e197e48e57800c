"""Every array of the formulas, by name: Network.trace, for learning and debugging.

    H = X W1 + b1     Z = sigma(H)     O = Z W2 + b2     Y_hat = sigma(O)

    delta_O = -(Y - Y_hat) * sigma'(O)
    grad W2 = 1/N  Z^T delta_O                  (1)
    delta_H = (delta_O W2^T) * sigma'(H)
    grad W1 = 1/N  X^T delta_H                  (2)

The forward pass and delta_O are computed by the functions of the compiled step, so they are bitwise
identical to it; the products of the backward pass are written here as on the page, in NumPy, and
equal the step's to rounding.  trace_shown.py formats the result.  This file promises to stay slow
and plain: nothing is optimised or fused, and training never calls it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks, losses
from ..activations import ACTIVATIONS
from ..core.gradient import trace as core
from ..core.gradient.objective import Objective
from ..core.gradient.plan import Plan
from ..machine import blas_threads
from ..machine.memory import check_memory

if TYPE_CHECKING:
    from .network import Network

__all__ = ["LayerTrace", "Trace", "trace"]


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """One layer's arrays, all read-only.

    Attributes
    ----------
    activation : str
    A : ndarray, (N, n_in)
        The layer's input: X, or Z of the previous layer.
    W, b : ndarray, (n_in, n_out) and (n_out,)
        The parameters; b is None without biases.
    H, Z : ndarray, (N, n_out)
        The values before and after the activation; O and Y_hat in the output layer.
    sigma_prime : ndarray, (N, n_out), or None
        sigma'(H); None for softmax, whose outputs depend on each other.
    delta : ndarray, (N, n_out)
        N times the derivative of L by H.
    grad_W, grad_b : ndarray, (n_in, n_out) and (n_out,)
        The derivatives of L; grad_b is None without biases.
    """

    activation: str
    A: np.ndarray
    W: np.ndarray
    b: np.ndarray | None
    H: np.ndarray
    Z: np.ndarray
    sigma_prime: np.ndarray | None
    delta: np.ndarray
    grad_W: np.ndarray
    grad_b: np.ndarray | None

    def __repr__(self) -> str:
        n_in, n_out = self.W.shape
        return f"LayerTrace({n_in} to {n_out}, {self.activation}, {len(self.A)} rows)"


class Trace:
    """All arrays of a network's loss and gradient, as returned by `Network.trace`.

    With one hidden layer they are attributes named as in docs/mathematics.md: ``X``, ``W1``,
    ``b1``, ``H``, ``Z``, ``W2``, ``b2``, ``O``, ``Y_hat``, ``Y``, ``delta_O``, ``grad_W2``,
    ``grad_b2``, ``delta_H``, ``grad_W1``, ``grad_b1``, ``sigma_prime_O``, ``sigma_prime_H``.  With
    more, hidden layer i has ``H1``, ``Z1``, ``delta_H1``, ``sigma_prime_H1``, ...  ``print(trace)``
    shows them beside their formulas; a notebook does too.

    Attributes
    ----------
    layers : tuple of LayerTrace
        The same arrays layer by layer, the output layer last.
    X, Y : ndarray, (N, n_in) and (N, n_out)
        As the network uses them: in its dtype, scaled if it has a scaling.
    loss : float
        L.
    N : float
        What the sums over rows are divided by: the number of rows, or the sum of `sample_weight`,
        which is first multiplied by a power of 2 if it is very large or small.
    weight : ndarray, (N, n_out), or None
        The weight of each target; None if all weights are 1.
    gradient : ndarray, (n_parameters,)
        grad_W1, grad_b1, grad_W2, ... in one flat array, in the order of `Network.parameters`.
    network : str
        What was traced: its sizes and dtype.

    Notes
    -----
    All arrays are copies and read-only.
    """

    X: np.ndarray
    Y: np.ndarray
    layers: tuple[LayerTrace, ...]
    gradient: np.ndarray
    weight: np.ndarray | None
    loss: float
    N: float
    network: str

    def __init__(
        self,
        network: "Network",
        X: np.ndarray,
        Y: np.ndarray,
        weight: np.ndarray | None,
        layers: tuple[LayerTrace, ...],
        gradient: np.ndarray,
        loss: float,
        N: float,
        kind: Any,
    ) -> None:
        self.X, self.Y, self.weight, self.layers = X, Y, weight, layers
        self.gradient, self.loss, self.N = gradient, loss, N
        self.network = f"network {'-'.join(map(str, network.sizes))}, {network.dtype}"
        self._kind = kind
        self._input_scaled = network.input_scaling is not None
        self._output_scaled = network.output_scaling is not None
        for i, ((H, Z), layer) in enumerate(zip(self._symbols(), layers, strict=True), 1):
            named = {
                f"W{i}": layer.W,
                f"b{i}": layer.b,
                H: layer.H,
                Z: layer.Z,
                f"sigma_prime_{H}": layer.sigma_prime,
                f"delta_{H}": layer.delta,
                f"grad_W{i}": layer.grad_W,
                f"grad_b{i}": layer.grad_b,
            }
            self.__dict__.update(named)

    def _symbols(self) -> Iterator[tuple[str, str]]:
        """Each layer's names before and after its activation."""
        n_hidden = len(self.layers) - 1
        for i in range(1, n_hidden + 1):
            number = "" if n_hidden == 1 else str(i)
            yield f"H{number}", f"Z{number}"
        yield "O", "Y_hat"

    def __getattr__(self, name: str) -> Any:
        # Called for missing attributes only; mypy concludes that any name may exist.
        known = [key for key in self.__dict__ if key[0] != "_"]
        if name[:1] == "_" or not known:
            raise AttributeError(name)
        raise AttributeError(
            f"this trace has no {name!r}; it has {', '.join(known)} (trace.layers[i] goes with "
            "networks of any depth)"
        )

    def __repr__(self) -> str:
        return f"Trace of {self.network} on {len(self.X)} rows: L = {self.loss:.6g}"

    def __str__(self) -> str:
        from . import trace_shown

        return trace_shown.as_text(self)

    def _repr_html_(self) -> str:
        from . import trace_shown

        return trace_shown.as_html(self)


def trace(
    network: "Network",
    X: Any,
    Y: Any,
    *,
    loss: Any = "squared_error",
    sample_weight: Any = None,
    output_weight: Any = None,
    missing: str = "error",
) -> Trace:
    """Every array of the formulas for the loss and its gradient, for learning and debugging.

    ``print(network.trace(X, Y))`` shows the formulas with their matrices, in the order of
    docs/mathematics.md: H, Z, O, Y_hat, L, delta_O, (1), delta_H, (2).

    Parameters
    ----------
    X, Y, loss, sample_weight, output_weight, missing
        As in `gradient`.

    Returns
    -------
    Trace
        Its ``H``, ``Z``, ``delta_O``, ``grad_W1``, ... are NumPy arrays; its ``loss`` and
        ``gradient`` equal those of `gradient` to rounding.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit, or X or Y holds NaN or infinity.
    InputMemoryError
        If there is not enough memory for all arrays, some four numbers for each unit and row.
    """
    X, Y, sample_weight, objective = network._data(
        X, Y, loss, sample_weight, output_weight, missing
    )
    dtype, sizes, bias = network.dtype, network.sizes, network.bias
    n_rows, n_out = len(X), sizes[-1]
    numbers = n_rows * (sizes[0] + 4 * n_out + 4 * sum(sizes[1:])) + 3 * network.n_parameters
    check_memory(
        numbers * dtype.itemsize, f"a trace of {n_rows:,} rows", "pass fewer rows: a few show all"
    )
    # One memcpy under the GIL: consistent even during a fit.
    parameters = np.frombuffer(network.parameters.tobytes(), dtype)
    shapes = list(itertools.pairwise(sizes))

    X_read, Y_read = np.empty(X.shape, dtype), np.empty(Y.shape, dtype)
    good = core.read(X, X_read, network._scaling)
    good = core.read(Y, Y_read, network._target_scaling, check=missing == "error") and good
    if not good or np.isinf(Y_read).any():
        checks.raise_non_finite(X, Y, dtype, missing=missing == "ignore")
    X, Y = X_read, Y_read
    N = float(n_rows if sample_weight is None else sample_weight.sum())

    # An overflow is seen in the arrays, and the compiled step warns of none.
    with blas_threads.single_threaded(), np.errstate(all="ignore"):
        # Forward: H = A W + b, Z = sigma(H).
        forward = []
        A = X
        for (W, b), name in zip(_split(parameters, shapes, bias), network.activations, strict=True):
            H = np.empty((n_rows, W.shape[1]), dtype)
            core.affine(A, W, b, H, network._plan.block_rows)
            Z, sigma_prime = _sigma_and_derivative(name, H)
            forward.append((name, A, W, b, H, Z, sigma_prime))
            A = Z

        spec = losses.spec_of(loss)
        weight, delta, total = _output_delta(
            network, objective, Y, H if spec and spec.from_O else Z, sigma_prime, sample_weight
        )

        # Back: (1) and (2) of each layer, then delta of the layer below.
        gradient = np.empty_like(parameters)
        gradients = _split(gradient, shapes, bias)
        layers: list[LayerTrace] = []
        for i in reversed(range(len(shapes))):
            _, A, W, *_ = forward[i]
            grad_W, grad_b = gradients[i]
            grad_W[...] = (A.T @ delta) / N
            if grad_b is not None:
                grad_b[...] = delta.sum(axis=0) / N
            layers.insert(0, LayerTrace(*forward[i], delta, grad_W, grad_b))
            if i > 0:
                delta = (delta @ W.T) * forward[i - 1][-1]

    weighted = sample_weight is not None or output_weight is not None or missing == "ignore"
    for array in (X, Y, weight, gradient, *(v for layer in layers for v in vars(layer).values())):
        if isinstance(array, np.ndarray):
            array.setflags(write=False)
    return Trace(
        network,
        X,
        Y,
        weight if weighted else None,
        tuple(layers),
        gradient,
        total / N,
        N,
        loss,
    )


def _sigma_and_derivative(name: str, H: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Z = sigma(H) and sigma'(H), by the core; None for softmax, whose derivative is a matrix."""
    Z, sigma_prime = np.empty_like(H), np.empty_like(H)
    core.activate(ACTIVATIONS[name].code, H, Z, sigma_prime)
    return Z, sigma_prime if ACTIVATIONS[name].elementwise else None


def _output_delta(
    network: "Network",
    objective: Objective,
    Y: np.ndarray,
    O_or_Y_hat: np.ndarray,
    sigma_prime: np.ndarray | None,
    sample_weight: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The weight of each target, delta_O, and N times L."""
    plan = network._plan
    last = Plan(network.sizes[-2:], plan.activations[-1:], network.bias, plan.dtype)
    of_rows = None if sample_weight is None else sample_weight.astype(network.dtype)
    weight, delta_O = np.empty_like(Y), np.empty_like(Y)
    kept = np.concatenate([O_or_Y_hat, O_or_Y_hat if sigma_prime is None else sigma_prime])
    total = core.output_delta(last, objective, Y.copy(), kept, of_rows, weight, delta_O)
    return weight, delta_O, float(total)


def _split(
    flat: np.ndarray, shapes: list[tuple[int, int]], bias: bool
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """(W1, b1), (W2, b2), ...: views into a flat array; without biases b is None."""
    found, start = [], 0
    for n_in, n_out in shapes:
        W = flat[start : start + n_in * n_out].reshape(n_in, n_out)
        start += n_in * n_out
        found.append((W, flat[start : start + n_out] if bias else None))
        start += n_out if bias else 0
    return found
