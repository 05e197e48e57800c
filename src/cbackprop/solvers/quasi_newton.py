"""The quasi-Newton solver: L-BFGS.

core/quasi_newton has the direction (lbfgs.pyx) and the line search (linesearch.pyx).
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from .. import checks
from ..core.quasi_newton import lbfgs
from ..errors import InputError
from .base import Solver, keep

# Every class named here is a solver, and a public name of cbackprop.
__all__ = ["LBFGS"]


@dataclass(frozen=True, kw_only=True)
class LBFGS(Solver):
    """Limited-memory BFGS with a line search that satisfies the strong Wolfe conditions.

    Each step takes all rows.  Its direction is the product of g and an estimate of the inverse
    Hessian from the last ``memory`` steps (Nocedal and Wright, Numerical Optimization, 2006,
    Algorithms 7.4 and 7.5); its length a satisfies, with d the direction and L the objective,

        L(W + a d) <= L(W) + sufficient_decrease a g.d
        |g(W + a d).d| <= curvature |g.d|

    (eq. 3.7; if losses differ only by rounding, Hager and Zhang's approximate conditions).

    Parameters
    ----------
    memory : int
        The number of steps stored, 1 to 100.
    gradient_tolerance : float
        Training has converged when no entry of g is larger than this; at least 0.
    loss_tolerance : float
        ... when a step lowers the loss by no more than this part of it; 0: never.
    step_tolerance : float
        ... when a step moves the parameters W by no more than this times 1 + |W|; 0: never.
    max_line_search : int
        The most evaluations of loss and gradient in one step, at least 1.
    sufficient_decrease, curvature : float
        0 < sufficient_decrease < curvature < 1, of the Wolfe conditions; the first below a half.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    short_name: ClassVar[str] = "lbfgs"
    full_batch: ClassVar[bool] = True
    steps_from_a_gradient: ClassVar[bool] = False

    memory: int = 10
    gradient_tolerance: float = 1e-5
    loss_tolerance: float = 0.0
    step_tolerance: float = 0.0
    max_line_search: int = 25
    sufficient_decrease: float = 1e-4
    curvature: float = 0.9

    def __post_init__(self) -> None:
        tolerances = ("gradient_tolerance", "loss_tolerance", "step_tolerance")
        keep(
            self,
            memory=checks.positive_int("memory", self.memory),
            max_line_search=checks.positive_int("max_line_search", self.max_line_search),
            curvature=checks.positive_float("curvature", self.curvature, below=1),
            **{
                name: checks.positive_float(name, getattr(self, name), zero=True)
                for name in tolerances
            },
        )
        most = min(self.curvature, 0.5)
        decrease = checks.positive_float(
            "sufficient_decrease", self.sufficient_decrease, below=most
        )
        keep(self, sufficient_decrease=decrease)
        for name, largest in (("memory", 100), ("max_line_search", 10_000)):
            if getattr(self, name) > largest:
                raise InputError(f"{name} is {getattr(self, name)}; expected at most {largest}")

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "lbfgs"

    @property
    def n_vectors(self) -> int:
        """Vectors as long as the parameters in the trainer's state."""
        return lbfgs.n_vectors(self.memory)

    @property
    def n_numbers(self) -> int:
        """Single numbers in the trainer's state."""
        return lbfgs.n_numbers(self.memory)

    def core_options(self, loss: Any) -> dict[str, Any]:
        """The rule's options, which have the settings' names."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
