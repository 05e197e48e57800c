"""What a solver declares, and how its settings are stored and checked.

The trainer, the estimators and the command line use only these attributes and methods, never a
solver's class.  docs/adding/solver.md says how to add one.

A solver holds no state; `fill` initialises its rule's memory in the trainer.
"""

from typing import Any, ClassVar

import numpy as np

from .. import checks
from ..core.gradient.plan import Plan
from ..core.gradient.update_rules import RuleSettings
from ..errors import InputError
from .schedules import number_or_schedule

__all__ = ["Solver", "check_steps", "keep", "step_options"]


class Solver:
    """The base class of the solvers; the defaults are those of a first-order solver.

    Attributes
    ----------
    short_name : str
        Its name on the command line.
    full_batch : bool
        Whether a step always takes all rows.
    steps_from_a_gradient : bool
        Whether a step needs only a gradient computed elsewhere and, possibly, its loss.
    looks_at_the_loss : bool
        Whether a step depends on the loss that belongs to the gradient.
    solves_a_system : bool
        Whether a step solves a system with J'J, which costs far more per row.
    columns : tuple of str
        The columns that it adds to the history.
    preferred_init : str
        The initialization used when a network is drawn for this solver.
    keep_posterior : bool
        Whether a fit sets the posterior of the network's parameters.
    """

    short_name: ClassVar[str]
    full_batch: ClassVar[bool] = False
    steps_from_a_gradient: ClassVar[bool] = True
    looks_at_the_loss: ClassVar[bool] = False
    solves_a_system: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...]] = ()
    preferred_init: ClassVar[str] = "auto"
    keep_posterior: bool = False

    @property
    def rule(self) -> str:
        """The core's name for the update rule."""
        raise NotImplementedError

    @property
    def n_vectors(self) -> int:
        """Vectors as long as the parameters in the trainer's state."""
        return 0

    @property
    def n_numbers(self) -> int:
        """Single numbers in the trainer's state."""
        return 0

    @property
    def memory_kind(self) -> str:
        """What the state means: a solver of the same kind and sizes continues with another's."""
        return self.rule

    def core_options(self, loss: Any) -> dict[str, Any]:
        """The rule's options for one loss, by their names in the core's table."""
        raise NotImplementedError

    def fill(self, vectors: np.ndarray | None, numbers: np.ndarray | None) -> None:
        """Initialise new state, which is all zeros."""

    def check_goes_with(self, loss: Any, l1: float, l2: float) -> None:
        """Raise an InputError if the solver does not support the loss or the penalties."""

    def check_room(self, rule: RuleSettings, plan: Plan, n_rows: int) -> None:
        """Raise an error if a fit needs more memory than there is; called before allocation."""

    def rule_settings(self, loss: Any, l1: float, l2: float) -> RuleSettings:
        """The core's rule for this solver, including the penalties."""
        return RuleSettings(self.rule, l1=l1, l2=l2, **self.core_options(loss))


def keep(solver: Any, **checked: Any) -> None:
    """Set checked values, although the dataclass is frozen."""
    for name, value in checked.items():
        object.__setattr__(solver, name, value)


def check_steps(solver: Any) -> None:
    """Check the settings shared by the solvers with a learning rate."""
    keep(
        solver,
        learning_rate=number_or_schedule("learning_rate", solver.learning_rate),
        weight_decay=checks.positive_float("weight_decay", solver.weight_decay, zero=True),
    )
    if solver.max_gradient_norm is not None:
        norm = checks.positive_float("max_gradient_norm", solver.max_gradient_norm)
        keep(solver, max_gradient_norm=norm)
    rate = solver.learning_rate
    highest = rate if isinstance(rate, float) else rate.rate
    if highest * solver.weight_decay >= 1:
        raise InputError(
            f"weight_decay is {solver.weight_decay:g}: with a learning rate of {highest:g} a step "
            f"multiplies weights by {1 - highest * solver.weight_decay:g}; "
            f"expected a weight_decay below {1 / highest:g}"
        )


def step_options(solver: Any) -> dict[str, Any]:
    """The core's options for the settings of `check_steps`, except the learning rate."""
    return {"weight_decay": solver.weight_decay, "max_norm": solver.max_gradient_norm or 0.0}
