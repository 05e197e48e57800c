"""From a solver's settings to what the core reads: its rule, and the memory that the rule wants.

What does not go together, a solver with a loss or a penalty or the memory there is, is told here.
"""

from typing import Any

from ..core.fit.fit import numbers_of_marquardt
from ..core.gauss_newton import assemble
from ..core.gradient.plan import Plan
from ..core.gradient.update_rules import RuleSettings
from ..core.quasi_newton import lbfgs
from ..errors import InputError
from ..losses import LOSSES
from ..machine import memory
from .least_squares import BayesianRegularization, LevenbergMarquardt

__all__ = ["check_goes_with", "check_room", "memory_of", "rule_settings", "solves_a_system"]

# So many bytes are there, or nothing works.
UNASKED = 32 * 1024 * 1024


def solves_a_system(solver: Any) -> bool:
    """Whether a step is solved from J'J."""
    return isinstance(solver, (LevenbergMarquardt, BayesianRegularization))


def check_goes_with(solver: Any, loss: Any, l1: float, l2: float) -> None:
    """A solver by J'J goes with the loss and the penalties."""
    if not solves_a_system(solver):
        return
    name = type(solver).__name__
    evidence = isinstance(solver, BayesianRegularization)
    curved = tuple(name for name, spec in LOSSES.items() if spec.curvature)
    takes = ("squared_error",) if evidence else curved
    if loss not in takes:
        reason = "its noise is Gaussian" if evidence else "its matrix is made of curvatures"
        raise InputError(
            f"loss is {loss!r} and the solver is {name}; expected {' or '.join(map(repr, takes))}: "
            f"{reason}. Use cbackprop.LBFGS() for this loss"
        )
    if solver.geodesic and loss != "squared_error":
        raise InputError(
            f"geodesic is True and loss is {loss!r}; expected 'squared_error': the acceleration "
            "is that of its residuals"
        )
    if evidence and (l1 or l2):
        raise InputError(
            f"l1 is {l1:g} and l2 {l2:g} and the solver is {name}; expected both to be 0: it finds "
            "the penalty itself"
        )
    if l1:
        raise InputError(
            f"l1 is {l1:g} and the solver is {name}; expected 0: the penalty has no curvature, and "
            "a corner. Use l2, or cbackprop.LBFGS()"
        )


def check_room(solver: Any, rule: RuleSettings, plan: Plan, n_rows: int) -> None:
    """A solver by J'J finds the memory that it needs; asked before any is taken."""
    P = plan.n_parameters
    needed = assemble.memory_needed(plan, n_rows, rule.options["dual"])
    if getattr(solver, "keep_posterior", False):
        # When the fit has given its memory back: A, its factor, the inverse, what is kept.
        needed = max(needed, 4 * 8 * P * P)
    if needed > UNASKED:
        memory.check_memory(
            needed,
            f"{type(solver).__name__} with {P:,} parameters",
            "expected fewer parameters. Use cbackprop.LBFGS(), which needs less than 1 kB for each",
        )


def rule_settings(solver: Any, loss: Any, l1: float, l2: float) -> RuleSettings:
    """The core's rule for a solver, and the penalties."""
    options: dict[str, Any] = {}
    rule = solver.rule
    if rule in ("sgd", "momentum", "nesterov"):
        options = {"momentum": solver.momentum}
    elif rule in ("adam", "amsgrad"):
        options = {
            "beta_1": solver.beta_1,
            "beta_2": solver.beta_2,
            "epsilon": solver.epsilon,
            "folded": solver.epsilon_form == "folded",
        }
    elif rule == "rprop":
        options = {
            "increase": solver.increase,
            "decrease": solver.decrease,
            "least": solver.min_step,
            "most": solver.max_step,
        }
    elif solves_a_system(solver):
        names = (
            *("mu", "mu_increase", "mu_decrease", "mu_max", "geodesic"),
            *("gradient_tolerance", "step_tolerance"),
        )
        options = {name: getattr(solver, name) for name in names}
        options["nielsen"] = solver.damping == "nielsen"
        options["diagonal"] = solver.scaling == "diagonal"
        # J J' instead of J'J where it is the smaller: it wants residuals, and one mu for all.
        plain = solver.scaling == "identity" and not solver.geodesic
        options["dual"] = plain and loss == "squared_error"
    else:
        names = (
            *("memory", "gradient_tolerance", "loss_tolerance", "step_tolerance"),
            *("max_line_search", "sufficient_decrease", "curvature"),
        )
        options = {name: getattr(solver, name) for name in names}
    if hasattr(solver, "weight_decay"):
        options["weight_decay"] = solver.weight_decay
        options["max_norm"] = solver.max_gradient_norm or 0.0
    return RuleSettings(rule, l1=l1, l2=l2, **options)


def memory_of(solver: Any) -> tuple[int, int, str]:
    """Vectors and numbers in the state, and whose they are: momentum and Nesterov share theirs."""
    rule = solver.rule
    if rule == "lbfgs":
        return lbfgs.n_vectors(solver.memory), lbfgs.n_numbers(solver.memory), "lbfgs"
    if solves_a_system(solver):
        return 0, numbers_of_marquardt(), rule
    kind = "momentum" if rule == "nesterov" else rule
    return solver.n_vectors, solver.n_numbers, kind
