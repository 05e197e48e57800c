"""What a solver declares, and how the settings of a solver are kept and checked.

The trainer, the estimators and the command line ask a solver for what they have to know of it, and
know no solver by its class.  To add a first-order solver: a class in first_order.py, its line in
the core's table of rules (core/gradient/update_rules.pyx), and the loop if it has a new one.

A solver holds no state; `fill` sets what its rule remembers in the trainer.
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
    """What the solvers have in common: the answers of one that makes steps from the gradient.

    Attributes
    ----------
    short_name : str
        What the command line calls it.
    full_batch : bool
        Whether a step always takes all rows.
    steps_from_a_gradient : bool
        Whether a gradient made elsewhere is all that a step needs, but for the loss.
    looks_at_the_loss : bool
        Whether a step depends on the loss that the gradient is of.
    solves_a_system : bool
        Whether a step is solved from J'J: a row then costs as many rows of backpropagation.
    columns : tuple of str
        What it adds to the history.
    preferred_init : str
        The initialization that suits the solver, where a network is drawn for it.
    keep_posterior : bool
        Whether a fit leaves the posterior of the network's parameters.
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
        """The core's name of the update rule."""
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
        """Whose these are: a solver of the same kind and sizes goes on with what another left."""
        return self.rule

    def core_options(self, loss: Any) -> dict[str, Any]:
        """The rule's options, for one loss, by the names that the core's table has."""
        raise NotImplementedError

    def fill(self, vectors: np.ndarray | None, numbers: np.ndarray | None) -> None:
        """Give fresh memory, zeros so far, its first values."""

    def check_goes_with(self, loss: Any, l1: float, l2: float) -> None:
        """Raise an InputError if the solver does not go with the loss or the penalties."""

    def check_room(self, rule: RuleSettings, plan: Plan, n_rows: int) -> None:
        """Raise an error if there is not the memory that a fit needs; asked before it is taken."""

    def rule_settings(self, loss: Any, l1: float, l2: float) -> RuleSettings:
        """The core's rule for this solver, with the penalties."""
        return RuleSettings(self.rule, l1=l1, l2=l2, **self.core_options(loss))


def keep(solver: Any, **checked: Any) -> None:
    """Set what was checked, frozen or not."""
    for name, value in checked.items():
        object.__setattr__(solver, name, value)


def check_steps(solver: Any) -> None:
    """The settings that the solvers with a learning rate share."""
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
    """The core's options for what `check_steps` checks; the learning rate is the trainer's."""
    return {"weight_decay": solver.weight_decay, "max_norm": solver.max_gradient_norm or 0.0}
