"""From a solver's name to its settings: one table with a line for each solver.

A new solver needs an import and a line.  All differences between solvers that the estimators must
know are in this table.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..losses import LOSSES
from ..solvers import (
    LBFGS,
    SGD,
    Adam,
    AdamW,
    BayesianRegularization,
    LevenbergMarquardt,
    NAdam,
    RProp,
    Solver,
)

__all__ = ["SOLVERS", "SolverKind"]

# scikit-learn allows a momentum of 1, whose velocity never decays; this is the nearest to it.
_MOST_MOMENTUM = math.nextafter(1.0, 0.0)


@dataclass(frozen=True)
class SolverKind:
    """What an estimator needs to know about a solver.

    Parameters
    ----------
    summary : str
        What it is, for the documentation.
    make : callable
        Makes the solver from an estimator's parameters.
    mini_batches : bool
        Whether steps take batches, so that `partial_fit` is available.
    patient : bool
        Whether the fit ends by `tol` and `n_iter_no_change`; others converge by their own rules.
    goes_on : bool
        Whether a warm start continues with the solver's state; scikit-learn's solvers start afresh.
    validates : bool
        Whether `early_stopping` sets rows aside.
    penalised : bool
        Whether `alpha` is the strength of a penalty; else the solver estimates it, or `make` uses
        `alpha`.
    spread : bool
        Whether weights are drawn by Nguyen and Widrow's method instead of scikit-learn's.
    deviations : bool
        Whether ``Network.predict(X, return_std=True)`` works after it.
    losses : tuple of str, optional
        The losses that it supports; None is all.
    reason : str
        Why it supports no others.
    """

    summary: str
    make: Callable[[Any], Solver]
    mini_batches: bool = False
    patient: bool = False
    goes_on: bool = True
    validates: bool = False
    penalised: bool = True
    spread: bool = False
    deviations: bool = False
    losses: tuple[str, ...] | None = None
    reason: str = ""


def _sgd(estimator: Any) -> Solver:
    return SGD(
        learning_rate=float(estimator.learning_rate_init),
        momentum=min(float(estimator.momentum), _MOST_MOMENTUM),
        nesterov=bool(estimator.nesterovs_momentum and estimator.momentum > 0),
    )


def _moments(estimator: Any) -> dict[str, Any]:
    """The settings of Adam and its variants, from the estimator."""
    return {
        "learning_rate": float(estimator.learning_rate_init),
        "beta_1": float(estimator.beta_1),
        "beta_2": float(estimator.beta_2),
        "epsilon": float(estimator.epsilon),
    }


def _adam(estimator: Any) -> Solver:
    return Adam(**_moments(estimator), epsilon_form="folded")


def _adamw(estimator: Any) -> Solver:
    return AdamW(**_moments(estimator), weight_decay=float(estimator.alpha))


def _nadam(estimator: Any) -> Solver:
    return NAdam(**_moments(estimator))


# What scikit-learn's solvers have in common.
_IN_BATCHES: dict[str, Any] = {
    "mini_batches": True,
    "patient": True,
    "goes_on": False,
    "validates": True,
}


SOLVERS: dict[str, SolverKind] = {
    "sgd": SolverKind("gradient descent, with momentum", _sgd, **_IN_BATCHES),
    "adam": SolverKind("Adam", _adam, **_IN_BATCHES),
    "adamw": SolverKind("Adam with decoupled weight decay", _adamw, **_IN_BATCHES, penalised=False),
    "nadam": SolverKind("Adam with Nesterov's momentum", _nadam, **_IN_BATCHES),
    "lbfgs": SolverKind(
        "limited-memory BFGS", lambda estimator: LBFGS(gradient_tolerance=float(estimator.tol))
    ),
    "rprop": SolverKind("iRPROP+", lambda estimator: RProp(), patient=True, validates=True),
    "lm": SolverKind(
        "Levenberg-Marquardt",
        lambda estimator: LevenbergMarquardt(),
        validates=True,
        spread=True,
        losses=tuple(name for name, spec in LOSSES.items() if spec.curvature),
        reason="its matrix is made of curvatures",
    ),
    "br": SolverKind(
        "Levenberg-Marquardt with Bayesian regularisation, for regression",
        lambda estimator: BayesianRegularization(keep_posterior=True),
        validates=True,
        penalised=False,
        spread=True,
        deviations=True,
        losses=("squared_error",),
        reason="its noise is Gaussian",
    ),
}
