"""The uncertainty of predictions: the Laplace approximation about the network's parameters.

The posterior of the parameters is approximated by a normal distribution about those that a fit
found, with covariance A^-1, A = beta J^T J + alpha I: MacKay, Neural Computation 4, 1992, p.
448-472; Foresee and Hagan, ICNN 1997.  J is the Jacobian of the network's scaled outputs by the
parameters over all rows of the fit.  An output's prediction then has the variance j^T A^-1 j, with
j its gradient by the parameters; for a new measurement add 1 / beta.

This file promises to estimate nothing: the solver determines alpha and beta.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from .. import checks
from ..errors import InputError, InputTypeError
from ..machine import blas_threads, threads
from . import jacobians
from .scaling import Scaling, are_equal

if TYPE_CHECKING:
    from .network import Network

__all__ = ["Belief", "Posterior", "standard_deviations"]

# The size of the Jacobian of a block of rows, in float64.
BLOCK_BYTES = 1 << 25


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """The normal distribution of a network's P parameters, given the data.

    Parameters
    ----------
    factor : array-like, (P, P)
        L, the lower Cholesky factor of A = beta J^T J + alpha I = L L^T, the precision of the
        parameters.  Entries above the diagonal are ignored.
    alpha : float
        The precision of the parameters' prior; at least 0.
    beta : float
        The precision of the noise in the network's own, scaled targets; above 0.
    effective_parameters : float
        How many of the parameters the data determine: P - alpha tr(A^-1), in 0..P.
    parameters : array-like, (P,)
        The mean: the network's parameters when `factor` was computed.

    Raises
    ------
    InputError, InputTypeError
        If shapes do not fit, a number is not finite or out of range, or the diagonal of `factor` is
        not above 0.

    Notes
    -----
    The arrays are kept as read-only copies: `factor`, of P^2 doubles, takes 8 MB for 1,000
    parameters and 72 MB for 3,000, in memory as in a file.
    """

    factor: np.ndarray
    alpha: float
    beta: float
    effective_parameters: float
    parameters: np.ndarray

    def __post_init__(self) -> None:
        parameters = np.array(checks.as_numbers("parameters", self.parameters, np.float64))
        if parameters.ndim != 1 or not parameters.size:
            raise InputError(
                f"parameters has shape {parameters.shape}; expected one dimension, as "
                "network.parameters has"
            )
        factor = checks.as_numbers("factor", self.factor, np.float64)
        P = parameters.size
        if factor.shape != (P, P):
            raise InputError(
                f"factor has shape {factor.shape}; expected {(P, P)}, a row and a column for each "
                f"of the {P} parameters"
            )
        factor = np.tril(factor).astype(np.float64, order="C", copy=False)
        for name, A in (("factor", factor), ("parameters", parameters)):
            if not np.isfinite(A).all():
                index = [int(i) for i in np.argwhere(~np.isfinite(A))[0]]
                raise InputError(f"{name}{index} is {A[*index]}; expected finite numbers")
            A.setflags(write=False)
        diagonal = factor.diagonal()
        if not (diagonal > 0).all():
            i = int((diagonal > 0).argmin())
            raise InputError(
                f"factor[{i}, {i}] is {diagonal[i]:g}; expected a diagonal above 0, as a Cholesky "
                "factor has"
            )
        effective = checks.positive_float(
            "effective_parameters", self.effective_parameters, zero=True
        )
        if effective > P:
            raise InputError(
                f"effective_parameters is {effective:g}; expected at most {P}, the number of "
                "parameters"
            )
        for name, value in (
            ("factor", factor),
            ("alpha", checks.positive_float("alpha", self.alpha, zero=True)),
            ("beta", checks.positive_float("beta", self.beta)),
            ("effective_parameters", effective),
            ("parameters", parameters),
        ):
            object.__setattr__(self, name, value)

    @property
    def noise_std(self) -> float:
        """1 / sqrt(beta): the noise of one measurement, in units of the scaled targets.

        In the targets' units it is ``noise_std / abs(net.output_scaling.scale)``; subtracting its
        square from the square of a prediction's standard deviation leaves the variance of the mean.
        """
        return 1 / math.sqrt(self.beta)

    def __repr__(self) -> str:
        return (
            f"Posterior of {self.parameters.size} parameters, {self.effective_parameters:.1f} "
            f"effective; alpha {self.alpha:.3g}, beta {self.beta:.3g}"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "Posterior":
        return self  # it is immutable and large

    def __reduce__(self) -> tuple[Any, ...]:
        fields = self.factor, self.alpha, self.beta, self.effective_parameters, self.parameters
        return Posterior, fields


class Belief(NamedTuple):
    """A network's posterior, with the scalings for which it was computed."""

    posterior: Posterior
    input_scaling: Scaling | None
    output_scaling: Scaling | None

    @classmethod
    def of(cls, network: "Network", posterior: Any) -> "Belief":
        """A posterior of the network as it is; checked.

        Raises
        ------
        InputError, InputTypeError
            If it is no Posterior, or of another number of parameters or another dtype.
        """
        if not isinstance(posterior, Posterior):
            raise InputTypeError(
                f"posterior is {checks.describe(posterior)}; expected a Posterior or None"
            )
        if posterior.parameters.size != network.n_parameters:
            raise InputError(
                f"posterior is of {posterior.parameters.size} parameters; expected "
                f"{network.n_parameters}, as many as the network has"
            )
        if posterior.parameters.dtype != network.dtype:
            raise InputTypeError(
                f"posterior is of parameters of {posterior.parameters.dtype}; expected "
                f"{network.dtype}, the network's: Posterior(..., parameters=net.parameters)"
            )
        return cls(posterior, network.input_scaling, network.output_scaling)

    def is_stale(self, network: "Network") -> bool:
        """Whether the network's parameters or scalings have changed since then."""
        return not (
            np.array_equal(network.parameters, self.posterior.parameters)
            and are_equal(network.input_scaling, self.input_scaling)
            and are_equal(network.output_scaling, self.output_scaling)
        )


def standard_deviations(
    network: "Network", posterior: Posterior, X: np.ndarray, n_threads: int | None
) -> np.ndarray:
    """sqrt(1 / beta + j^T A^-1 j) for each output of each row, in the units of `predict`.

    With L L^T = A, j^T A^-1 j = |L^-1 j|^2: triangular systems for the Jacobian of a block of rows.

    Parameters
    ----------
    X : ndarray, (N, n_in)
        Checked and finite.
    n_threads : int, optional
        At most this many threads for the Jacobian; None is as many as are available.  No effect on
        the result.

    Returns
    -------
    ndarray, (N, n_out), of the network's dtype
    """
    n_out, P = network.sizes[-1], posterior.parameters.size
    rows = max(1, BLOCK_BYTES // (8 * n_out * P))
    variance = np.empty((len(X), n_out))
    blocks = jacobians.blocks_at(network, posterior.parameters, X, rows, threads.resolve(n_threads))
    for which, block in blocks:
        J = block.reshape(-1, P).astype(np.float64, copy=False)  # a block may be overwritten
        with blas_threads.single_threaded():
            V = solve_triangular(
                posterior.factor, J.T, lower=True, overwrite_b=True, check_finite=False
            )
        variance[which] = np.einsum("ij,ij->j", V, V).reshape(-1, n_out)
    noise = np.full(n_out, posterior.noise_std)
    if network.output_scaling is not None:
        noise /= np.abs(network.output_scaling.scale)
    std: np.ndarray = np.sqrt(variance + noise**2).astype(network.dtype)
    return std
