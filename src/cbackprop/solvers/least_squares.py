"""The solvers whose step solves a system with J'J: Levenberg-Marquardt, Bayesian regularisation.

J holds the derivative of each residual by each parameter.  In core/gauss_newton, assemble.pyx
computes J'J, damped.pyx solves the system and levenberg_marquardt.pyx makes the step.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from .. import checks
from ..core.fit.setup import numbers_of_marquardt
from ..core.gauss_newton import assemble
from ..core.gradient.plan import Plan
from ..core.gradient.update_rules import RuleSettings
from ..errors import InputError
from ..losses import LOSSES
from ..machine import memory
from .base import Solver, keep

# Every class named here is a solver, and a public name of cbackprop.
__all__ = ["LevenbergMarquardt", "BayesianRegularization"]

# Memory up to this many bytes is assumed to be available.
UNASKED = 32 * 1024 * 1024

# The losses with a second derivative by the output, which can weight J'J.
CURVED = tuple(spec.name for spec in LOSSES.values() if spec.curvature)


@dataclass(frozen=True, kw_only=True)
class _GaussNewton(Solver):
    """What both solvers share; the defaults are Levenberg-Marquardt's."""

    full_batch: ClassVar[bool] = True
    solves_a_system: ClassVar[bool] = True
    steps_from_a_gradient: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...]] = ("mu", "rejected")
    preferred_init: ClassVar[str] = "nguyen_widrow"

    # The losses that the solver supports, and the reason in messages.
    takes: ClassVar[tuple[str, ...]] = CURVED
    reason: ClassVar[str] = "its matrix is made of curvatures"

    mu: float = 1e-3
    mu_increase: float = 10.0
    mu_decrease: float = 0.1
    mu_max: float = 1e10
    damping: str = "marquardt"
    scaling: str = "identity"
    geodesic: bool = False
    gradient_tolerance: float = 1e-10
    step_tolerance: float = 1e-8

    def __post_init__(self) -> None:
        positive = {
            name: checks.positive_float(name, getattr(self, name))
            for name in ("mu", "mu_increase", "mu_max")
        }
        checked: dict[str, Any] = {
            **positive,
            "mu_decrease": checks.positive_float("mu_decrease", self.mu_decrease, below=1),
            "damping": checks.choice("damping", self.damping, ("marquardt", "nielsen")),
            "scaling": checks.choice("scaling", self.scaling, ("identity", "diagonal")),
            "geodesic": checks.boolean("geodesic", self.geodesic),
        }
        for name in ("gradient_tolerance", "step_tolerance"):
            checked[name] = checks.positive_float(name, getattr(self, name), zero=True)
        keep(self, **checked)
        if self.mu_increase <= 1:
            raise InputError(
                f"mu_increase is {self.mu_increase:g}; expected a number above 1, e.g. 10"
            )
        if self.mu_max < self.mu:
            raise InputError(
                f"mu is {self.mu:g} and mu_max {self.mu_max:g}; expected mu no larger than mu_max"
            )

    @property
    def n_numbers(self) -> int:
        """Single numbers in the trainer's state."""
        return numbers_of_marquardt()

    def core_options(self, loss: Any) -> dict[str, Any]:
        """The rule's options, by the names that the core's table has."""
        # J J' instead of J'J if smaller, which needs residuals and the same mu for all parameters.
        plain = self.scaling == "identity" and not self.geodesic
        names = (
            *("mu", "mu_increase", "mu_decrease", "mu_max", "geodesic"),
            *("gradient_tolerance", "step_tolerance"),
        )
        return {
            **{name: getattr(self, name) for name in names},
            "nielsen": self.damping == "nielsen",
            "diagonal": self.scaling == "diagonal",
            "dual": plain and loss == "squared_error",
            # The mean row weight; the estimators treat weights as numbers of rows
            # (sklearn/training.py).
            "weight_mean": 1.0,
            "counts_rows": False,
        }

    def check_goes_with(self, loss: Any, l1: float, l2: float) -> None:
        """Raise an InputError if the solver does not go with the loss or the penalties."""
        name = type(self).__name__
        if loss not in self.takes:
            raise InputError(
                f"loss is {loss!r} and the solver is {name}; expected "
                f"{' or '.join(map(repr, self.takes))}: {self.reason}. Use cbackprop.LBFGS() for "
                "this loss"
            )
        if self.geodesic and loss != "squared_error":
            raise InputError(
                f"geodesic is True and loss is {loss!r}; expected 'squared_error': the "
                "acceleration is that of its residuals"
            )
        self._check_penalties(name, l1, l2)

    def _check_penalties(self, name: str, l1: float, l2: float) -> None:
        if l1:
            raise InputError(
                f"l1 is {l1:g} and the solver is {name}; expected 0: the penalty has no "
                "curvature, and a corner. Use l2, or cbackprop.LBFGS()"
            )

    def check_room(self, rule: RuleSettings, plan: Plan, n_rows: int) -> None:
        """Raise an error if there is not the memory that a fit needs; asked before it is taken."""
        P = plan.n_parameters
        needed = assemble.memory_needed(plan, n_rows, rule.options["dual"])
        if self.keep_posterior:
            # After the fit has freed its memory: A, its factor, the inverse, the kept copy.
            needed = max(needed, 4 * 8 * P * P)
        if needed > UNASKED:
            memory.check_memory(
                needed,
                f"{type(self).__name__} with {P:,} parameters",
                "expected fewer parameters. Use cbackprop.LBFGS(), which needs less than 1 kB for "
                "each",
            )


@dataclass(frozen=True, kw_only=True)
class LevenbergMarquardt(_GaussNewton):
    """Levenberg-Marquardt: Gauss-Newton steps, damped until they lower the loss.

        (J'J + R + mu D) s = -(J'r + R W)        W += s

    with J the derivative of the residuals r by the parameters W, in sums over the rows, and R the
    ridge of an ``l2`` penalty.  mu grows while steps are rejected and shrinks when one is accepted.
    For least squares with up to a few thousand parameters nothing is faster; an iteration costs N
    P^2 + P^3 / 3 operations and 16 P^2 bytes for P parameters.  With fewer residuals than
    parameters, a system in the number of residuals is solved instead.

    With other losses that have a second derivative, such as "cross_entropy" and "poisson", J'J is
    the generalised Gauss-Newton matrix (Schraudolph, Neural Computation 14, 2002).

    Parameters
    ----------
    mu : float
        The initial mu, above 0, relative to J'J summed over all rows.  With ``damping="nielsen"``
        and ``scaling="identity"`` it is multiplied by the largest entry of diag(J'J).
    mu_increase, mu_decrease : float
        Marquardt's rule: mu is multiplied by the first (above 1) after a rejected step and by the
        second (below 1) after an accepted one.
    mu_max : float
        Training ends when mu would be larger: no step lowers the loss.
    damping : "marquardt" or "nielsen"
        Marquardt (1963), with the factors of Hagan and Menhaj (1994); or Nielsen's rule
        (IMM-REP-1999-05), by the quality of the quadratic model.
    scaling : "identity" or "diagonal"
        D: the identity, or diag(J'J) (Marquardt), which makes steps independent of the units of
        parameters; entries are at least 1e-8 times the largest.
    geodesic : bool
        Add half of the geodesic acceleration to a step (Transtrum and Sethna, arXiv:1201.5885);
        needs the squared error.  It costs two more forward passes per iteration and pays in narrow,
        curved valleys.
    gradient_tolerance : float
        Training ends when no entry of the mean loss's gradient is larger than this; 0: never.
    step_tolerance : float
        ... when a step s is no longer than ``step_tolerance (step_tolerance + |W|)``; 0: never.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.

    Notes
    -----
    mu and its factors are those of MATLAB's ``trainlm``; docs/fitnet.md maps the names and lists
    the differences.  It works best with inputs and targets scaled to about [-1, 1] and
    ``init="nguyen_widrow"``.
    """

    short_name: ClassVar[str] = "lm"

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "levenberg_marquardt"


@dataclass(frozen=True, kw_only=True)
class BayesianRegularization(_GaussNewton):
    """Levenberg-Marquardt with a penalty whose strength is estimated from the data.

        minimise  beta / 2 sum e^2 + alpha / 2 |W|^2

    Before each step alpha and beta are re-estimated from the effective number of parameters
    (MacKay, Neural Computation 4, 1992; Foresee and Hagan, ICNN 1997):

        gamma = P - alpha trace (beta J'J + alpha)^-1
        alpha = gamma / |W|^2        beta = (number of targets - gamma) / sum e^2

    All parameters are penalised, including biases.  No validation rows are needed: a network with
    more units than the data support ends with a gamma well below its number of parameters.  The
    loss is the squared error, and targets are best scaled to about [-1, 1].

    Parameters
    ----------
    mu, mu_increase, mu_decrease, mu_max, damping, scaling, geodesic
        As in `LevenbergMarquardt`; mu is relative to beta J'J.
    gradient_tolerance, step_tolerance : float
        Likewise, for the loss with the penalty.
    keep_posterior : bool
        At the end of a fit give the network the posterior of its parameters (Laplace's
        approximation), 8 P^2 bytes for P parameters; `Network.predict` can then return standard
        deviations.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    short_name: ClassVar[str] = "br"
    columns: ClassVar[tuple[str, ...]] = (
        *("penalty", "mu", "rejected"),
        *("alpha", "beta", "effective_parameters"),
    )
    takes: ClassVar[tuple[str, ...]] = ("squared_error",)
    reason: ClassVar[str] = "its noise is Gaussian"

    mu: float = 5e-3
    step_tolerance: float = 1e-7
    keep_posterior: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, keep_posterior=checks.boolean("keep_posterior", self.keep_posterior))

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "bayesian_regularization"

    def _check_penalties(self, name: str, l1: float, l2: float) -> None:
        if l1 or l2:
            raise InputError(
                f"l1 is {l1:g} and l2 {l2:g} and the solver is {name}; expected both to be 0: it "
                "finds the penalty itself"
            )
