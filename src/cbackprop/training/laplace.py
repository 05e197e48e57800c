"""The posterior after a fit by `BayesianRegularization`: Laplace's approximation.

    A = beta J'J + alpha I = L L'           gamma = P - alpha trace A^-1

with the alpha and beta of the fit's last epoch and the J of its final parameters (MacKay, Neural
Computation 4, 1992).  The core computes J'J (core/gauss_newton/assemble.pyx).
"""

from typing import Any

import numpy as np
import scipy.linalg

from ..core.gauss_newton import assemble
from ..core.gauss_newton.levenberg_marquardt import EVIDENCE
from ..core.gradient.objective import Objective
from ..errors import InputError
from ..machine import blas_threads
from ..network.posterior import Posterior
from ..solvers import Solver

__all__ = ["posterior_of_fit", "wants_posterior"]


def wants_posterior(solver: Solver, output_weight: Any) -> bool:
    """Whether a fit is to compute a posterior; raises if other settings do not allow it."""
    if not solver.keep_posterior:
        return False
    if output_weight is not None:
        raise InputError(
            "output_weight is given and the solver keeps the posterior; expected None: the "
            "outputs would have noises of different size. Scale the targets instead, by "
            "net.fit_scaling(Y=Y)"
        )
    return True


def posterior_of_fit(
    network: Any,
    numbers: np.ndarray,
    objective: Objective,
    X: np.ndarray,
    Y: np.ndarray,
    weight: np.ndarray | None,
    rows: np.ndarray | None,
    n_threads: int,
    weight_mean: float = 1.0,
) -> Posterior | None:
    """The posterior about the network's parameters; None if no epoch has set alpha and beta.

    Parameters
    ----------
    numbers : ndarray
        The solver's numbers in the trainer's state.
    weight : ndarray (N,), optional
        The row weights, in the network's dtype, with mean 1.
    rows : ndarray of int64, optional
        The rows that were trained on; None is all.
    weight_mean : float
        The mean of the original weights, if they are numbers of rows.
    """
    alpha, beta = (float(numbers[EVIDENCE[name]]) for name in ("alpha", "beta"))
    if not beta > 0:
        return None
    P = network.n_parameters
    A, g = np.zeros((P, P)), np.empty(P)
    answer = assemble.system(
        *(network._plan, objective, network.parameters, X, Y, weight, A, g, n_threads),
        *(network._scaling, network._target_scaling, rows),
    )
    assert answer is not None  # the fit has read the same rows
    A *= beta * weight_mean
    A[np.diag_indices(P)] += alpha
    with blas_threads.single_threaded():
        # With rounding, A may not be positive definite if alpha is tiny.
        floor = np.finfo(np.float64).eps * P * A.diagonal().max()
        for ridge in (0.0, floor):
            A[np.diag_indices(P)] += ridge
            try:
                factor = scipy.linalg.cholesky(A, lower=True)
                break
            except scipy.linalg.LinAlgError:
                if ridge:
                    raise
        inverse = scipy.linalg.solve_triangular(factor, np.eye(P), lower=True, overwrite_b=True)
    effective = P - alpha * float(np.einsum("ij,ij->", inverse, inverse))
    return Posterior(factor, alpha, beta, min(max(effective, 0.0), float(P)), network.parameters)
