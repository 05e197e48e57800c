"""The settings of the solvers whose step is solved from J'J: Levenberg-Marquardt, the evidence.

J holds the derivative of each residual by each parameter.  In core/gauss_newton
assemble.pyx makes J'J, damped.pyx solves the system and levenberg_marquardt.pyx takes the step.
"""

from dataclasses import dataclass
from typing import Any

from .. import checks
from ..errors import InputError

__all__ = ["BayesianRegularization", "LevenbergMarquardt"]


@dataclass(frozen=True, kw_only=True)
class _GaussNewton:
    """What the two share; the defaults are Levenberg-Marquardt's."""

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
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.mu_increase <= 1:
            raise InputError(
                f"mu_increase is {self.mu_increase:g}; expected a number above 1, e.g. 10"
            )
        if self.mu_max < self.mu:
            raise InputError(
                f"mu is {self.mu:g} and mu_max {self.mu_max:g}; expected mu no larger than mu_max"
            )

    @property
    def full_batch(self) -> bool:
        """Whether a step always takes all rows."""
        return True

    @property
    def preferred_init(self) -> str:
        """The initialization that suits the solver, where a network is drawn for it."""
        return "nguyen_widrow"


@dataclass(frozen=True, kw_only=True)
class LevenbergMarquardt(_GaussNewton):
    """Levenberg-Marquardt: Gauss-Newton steps, damped until they lower the loss.

        (J'J + R + mu D) s = -(J'r + R W)        W += s

    with J the derivative of the residuals r by the parameters W, in sums over the rows, and R the
    ridge of an ``l2`` penalty.  mu grows while the step is not taken and shrinks when it is.  For
    least squares with up to a few thousand parameters nothing is faster; an iteration costs
    N P^2 + P^3 / 3 operations and 16 P^2 bytes for P parameters.  With fewer residuals than
    parameters a system of the residuals' size is solved instead.

    With other losses that have a curvature, as "cross_entropy" and "poisson", J'J is the
    generalised Gauss-Newton matrix (Schraudolph, Neural Computation 14, 2002).

    Parameters
    ----------
    mu : float
        The first mu, above 0; beside J'J summed over all rows.  With ``damping="nielsen"`` and
        ``scaling="identity"`` it is taken times the largest entry of diag(J'J).
    mu_increase, mu_decrease : float
        Marquardt's rule: mu is multiplied by the first (above 1) after a step that was not taken
        and by the second (below 1) after one that was.
    mu_max : float
        Training ends when mu would be larger: no step lowers the loss.
    damping : "marquardt" or "nielsen"
        Marquardt (1963), with the factors of Hagan and Menhaj (1994); or Nielsen's rule
        (IMM-REP-1999-05), by how good the quadratic model was.
    scaling : "identity" or "diagonal"
        D: 1, or diag(J'J) (Marquardt), which makes steps independent of the units of parameters;
        no entry is taken for less than 1e-8 times the largest.
    geodesic : bool
        Add half of the geodesic acceleration to a step (Transtrum and Sethna, arXiv:1201.5885);
        needs the squared error.  Two more forward passes an iteration; it pays in narrow, curved
        valleys.
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
    mu and its factors are those of MATLAB's ``trainlm``; docs/fitnet.md maps the names, and tells
    what differs.  It is best with inputs and targets scaled to about [-1, 1] and
    ``init="nguyen_widrow"``.
    """

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "levenberg_marquardt"


@dataclass(frozen=True, kw_only=True)
class BayesianRegularization(_GaussNewton):
    """Levenberg-Marquardt with a penalty whose strength the data decide.

        minimise  beta / 2 sum e^2 + alpha / 2 |W|^2

    Before each step alpha and beta are re-estimated from the effective number of parameters
    (MacKay, Neural Computation 4, 1992; Foresee and Hagan, ICNN 1997):

        gamma = P - alpha trace (beta J'J + alpha)^-1
        alpha = gamma / |W|^2        beta = (number of targets - gamma) / sum e^2

    All parameters are penalised, biases too.  No validation rows are needed: a network with more
    units than the data support ends with a gamma well below its number of parameters.  The loss is
    the squared error, and targets are best scaled to about [-1, 1].

    Parameters
    ----------
    mu, mu_increase, mu_decrease, mu_max, damping, scaling, geodesic
        As `LevenbergMarquardt`'s; mu is beside beta J'J.
    gradient_tolerance, step_tolerance : float
        Likewise, of the loss with the penalty.
    keep_posterior : bool
        At the end of a fit give the network the posterior of its parameters (Laplace's
        approximation), 8 P^2 bytes for P parameters: `Network.predict` then knows error bars.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    mu: float = 5e-3
    step_tolerance: float = 1e-7
    keep_posterior: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        keep = checks.boolean("keep_posterior", self.keep_posterior)
        object.__setattr__(self, "keep_posterior", keep)

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "bayesian_regularization"
