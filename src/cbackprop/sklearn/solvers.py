"""From a solver's name to its settings: one table, a line for each solver.

A new solver is its import and its line.  What the estimators do differently for one solver and
another, they read here.
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
    """What an estimator knows of a solver.

    Parameters
    ----------
    make : callable
        From an estimator's parameters to the solver's settings.
    mini_batches : bool
        Steps take batches, and `partial_fit` makes sense.
    patient : bool
        The fit ends by `tol` and `n_iter_no_change`; others converge by their own rules.
    goes_on : bool
        A warm start goes on with what the solver remembers; scikit-learn's begin afresh.
    validates : bool
        `early_stopping` sets rows aside.
    penalised : bool
        `alpha` is a penalty's; else the solver finds that itself, or `make` has taken `alpha`.
    spread : bool
        The weights are drawn as Nguyen and Widrow do, not as scikit-learn does.
    deviations : bool
        ``Network.predict(X, return_std=True)`` knows the outputs' standard deviations after it.
    losses : tuple of str, optional
        The losses that it takes, where these are not all.
    reason : str
        Why no others.
    """

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
    """What Adam and its kin take of the estimator."""
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


# What the solvers of scikit-learn's kind have in common.
_IN_BATCHES: dict[str, Any] = {
    "mini_batches": True,
    "patient": True,
    "goes_on": False,
    "validates": True,
}


SOLVERS: dict[str, SolverKind] = {
    "sgd": SolverKind(_sgd, **_IN_BATCHES),
    "adam": SolverKind(_adam, **_IN_BATCHES),
    "adamw": SolverKind(_adamw, **_IN_BATCHES, penalised=False),
    "nadam": SolverKind(_nadam, **_IN_BATCHES),
    "lbfgs": SolverKind(lambda estimator: LBFGS(gradient_tolerance=float(estimator.tol))),
    "rprop": SolverKind(lambda estimator: RProp(), patient=True, validates=True),
    "lm": SolverKind(
        lambda estimator: LevenbergMarquardt(),
        validates=True,
        spread=True,
        losses=tuple(name for name, spec in LOSSES.items() if spec.curvature),
        reason="its matrix is made of curvatures",
    ),
    "br": SolverKind(
        lambda estimator: BayesianRegularization(keep_posterior=True),
        validates=True,
        penalised=False,
        spread=True,
        deviations=True,
        losses=("squared_error",),
        reason="its noise is Gaussian",
    ),
}
