"""Equations (1) and (2) of the two-layer sigmoid network, and their terms, as public functions.

    H = X W1          Z = sigma(H)
    O = Z W2          Y_hat = sigma(O)
    L = 1/(2N) sum_n sum_k (y_nk - y_hat_nk)^2

    delta_O = -(Y - Y_hat) * sigma'(O)         sigma'(O) = Y_hat (1 - Y_hat)
    grad W2 = 1/N  Z^T delta_O                 (1)
    delta_H = (delta_O W2^T) * sigma'(H)       sigma'(H) = Z (1 - Z)
    grad W1 = 1/N  X^T delta_H                 (2)

float32 in, float32 out; anything else, mixtures included, is computed in float64.  This file checks
and allocates; the compiled core computes.  It promises not to gain further formulas: `Network`
handles other shapes, activations and losses.

Source: "Calculation of Gradients", sections 1 and 2.
"""

import math
from typing import Any

import numpy as np

from .. import checks
from ..core.gradient import two_layer
from ..core.linalg import elementwise
from ..errors import InputError
from ..machine import blas_threads

__all__ = ["delta_hidden", "delta_output", "gradients", "sigmoid"]


def sigmoid(x: Any, out: np.ndarray | None = None) -> Any:
    """sigma(x) = 1 / (1 + exp(-x)), element by element.

    Parameters
    ----------
    x : array-like, any shape
    out : ndarray, shape of x, optional
        Overwritten with the result; C-contiguous, of the result's dtype.  It may be x itself.

    Returns
    -------
    ndarray, shape of x, or a NumPy scalar where x is one
        `out` where it is given.  Infinity gives 0 or 1, NaN stays NaN.

    Raises
    ------
    InputError, InputTypeError
        If x does not hold real numbers, or out does not fit.
    """
    x = checks.as_numbers("x", x, np.float64)
    result = checks.as_output(out, x.shape, x.dtype)
    elementwise.sigmoid(_flat(x, out), _flat(result))
    return result if out is not None or result.ndim else result[()]


def delta_output(Y: Any, Y_hat: Any, out: np.ndarray | None = None) -> Any:
    """delta_O = -(Y - Y_hat) * Y_hat (1 - Y_hat), element by element.

    Parameters
    ----------
    Y : array-like, (N, n_out) or any other shape
        Targets.
    Y_hat : array-like, shape of Y
        The network's outputs, sigma(O).
    out : ndarray, shape of Y, optional
        Overwritten with the result; C-contiguous, of the result's dtype.  It may be Y or Y_hat.

    Returns
    -------
    ndarray, shape of Y, or a NumPy scalar where Y is one

    Raises
    ------
    InputError, InputTypeError
        If the shapes differ (there is no broadcasting), or an argument does not fit.
    """
    Y, Y_hat = _real(("Y", Y), ("Y_hat", Y_hat))
    _expect("Y_hat", Y_hat, Y.shape, f"the shape of Y, {Y.shape}")
    result = checks.as_output(out, Y.shape, Y.dtype)
    if out is not None and np.may_share_memory(Y, out):
        Y = Y.copy()  # the loop may overwrite Y_hat, not Y
    elementwise.delta_output(_flat(Y), _flat(Y_hat, out), _flat(result))
    return result if out is not None or result.ndim else result[()]


def delta_hidden(delta_O: Any, W2: Any, Z: Any, out: np.ndarray | None = None) -> np.ndarray:
    """delta_H = (delta_O W2^T) * Z (1 - Z).

    Parameters
    ----------
    delta_O : array-like, (N, n_out)
    W2 : array-like, (n_hidden, n_out)
    Z : array-like, (N, n_hidden)
        The hidden layer's outputs, sigma(H).
    out : ndarray, (N, n_hidden), optional
        Overwritten with the result; C-contiguous, of the result's dtype.  It may overlap an input.

    Returns
    -------
    ndarray, (N, n_hidden)

    Raises
    ------
    InputError, InputTypeError
        If the shapes do not fit each other, or an argument does not fit.
    """
    delta_O, W2, Z = _matrices(("delta_O", delta_O), ("W2", W2), ("Z", Z))
    (N, n_out), n_hidden = delta_O.shape, len(W2)
    _expect("W2", W2, (n_hidden, n_out), f"(n_hidden, {n_out}), since delta_O is {delta_O.shape}")
    _expect("Z", Z, (N, n_hidden), f"({N}, {n_hidden}), since W2 is {W2.shape}")
    result = checks.as_output(out, Z.shape, Z.dtype)
    overlaps = out is not None and any(np.may_share_memory(out, A) for A in (delta_O, W2, Z))
    target = np.empty_like(result) if overlaps else result
    with blas_threads.single_threaded(N * n_out * n_hidden > blas_threads.THREADED_ABOVE):
        two_layer.delta_hidden(delta_O, W2, Z, target)
    if overlaps:
        result[...] = target
    return result


def gradients(X: Any, Y: Any, W1: Any, W2: Any) -> tuple[float, np.ndarray, np.ndarray]:
    """The loss and both weight gradients of the two-layer sigmoid network without biases.

    L = 1/(2N) sum (Y - Y_hat)^2,  grad W1 = 1/N X^T delta_H (2),  grad W2 = 1/N Z^T delta_O (1).

    Parameters
    ----------
    X : array-like, (N, n_in)
    Y : array-like, (N, n_out)
        One-dimensional where n_out is 1.
    W1 : array-like, (n_in, n_hidden)
    W2 : array-like, (n_hidden, n_out)

    Returns
    -------
    loss : float
    grad_W1 : ndarray, (n_in, n_hidden)
    grad_W2 : ndarray, (n_hidden, n_out)

    Raises
    ------
    InputError, InputTypeError
        If the shapes do not fit each other, or an argument does not hold finite real numbers.
    """
    if np.ndim(Y) == 1 and np.ndim(W2) == 2 and np.shape(W2)[1] == 1:
        Y = np.reshape(Y, (-1, 1))
    X, Y, W1, W2 = _matrices(("X", X), ("Y", Y), ("W1", W1), ("W2", W2))
    (N, n_in), (n_hidden, n_out) = X.shape, W2.shape
    checks.same_rows("X", X, "Y", Y)
    _expect("W1", W1, (n_in, W1.shape[1]), f"({n_in}, n_hidden), since X is {X.shape}")
    _expect("W2", W2, (W1.shape[1], n_out), f"({W1.shape[1]}, n_out), since W1 is {W1.shape}")
    _expect("Y", Y, (N, n_out), f"({N}, {n_out}), since W2 is {W2.shape}")
    grad_W1, grad_W2 = np.empty_like(W1), np.empty_like(W2)
    Z, Y_hat, delta_H = (np.empty((N, n), X.dtype) for n in (n_hidden, n_out, n_hidden))
    largest = N * n_hidden * max(n_in, n_out)
    with blas_threads.single_threaded(largest > blas_threads.THREADED_ABOVE):
        loss = two_layer.gradients(X, Y, W1, W2, grad_W1, grad_W2, Z, Y_hat, delta_H)
    # Any NaN reaches the loss, any infinity the loss or a gradient: only then are inputs searched.
    if not (math.isfinite(loss) and np.isfinite(grad_W1).all() and np.isfinite(grad_W2).all()):
        if not (np.isfinite(X).all() and np.isfinite(Y).all()):
            checks.raise_non_finite(X, Y)
        for name, W in (("W1", W1), ("W2", W2)):
            if not np.isfinite(W).all():
                checks.raise_non_finite(W, names=(name, ""))
    return loss, grad_W1, grad_W2


def _real(*named: tuple[str, Any]) -> list[np.ndarray]:
    """Arrays of one dtype: float32 if all are, else float64."""
    arrays = [checks.as_numbers(name, value, np.float64) for name, value in named]
    if any(A.dtype != arrays[0].dtype for A in arrays):
        arrays = [A.astype(np.float64, copy=False) for A in arrays]
    return arrays


def _matrices(*named: tuple[str, Any]) -> list[np.ndarray]:
    """C-contiguous 2-D arrays of one dtype, with at least one row and column."""
    rows = [(name, checks.as_rows(name, value, None)) for name, value in named]
    return [_contiguous(A) for A in _real(*rows)]


def _contiguous(A: np.ndarray) -> np.ndarray:
    """A if it is C-contiguous and aligned, as C code expects it; else a copy."""
    return A if A.flags.c_contiguous and A.flags.aligned else A.copy()


def _expect(name: str, A: np.ndarray, shape: tuple[int, ...], expected: str) -> None:
    if A.shape != shape:
        raise InputError(f"{name} has shape {A.shape}; expected {expected}")


def _flat(A: np.ndarray, overwritten: np.ndarray | None = None) -> np.ndarray:
    """All elements in C order, one-dimensional: a view if A is contiguous, else a copy.

    Also a copy if A overlaps `overwritten` without being exactly the same elements.
    """
    flat = _contiguous(A).reshape(-1)
    if overwritten is None or not np.may_share_memory(flat, overwritten):
        return flat
    return flat if flat.ctypes.data == overwritten.ctypes.data else flat.copy()
