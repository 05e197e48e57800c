"""From a solver's settings to what the core reads: its rule, and the memory that the rule wants."""

from typing import Any

from .core import lbfgs
from .core.rules import RuleSettings

__all__ = ["memory_of", "rule_settings"]


def rule_settings(solver: Any, l1: float, l2: float) -> RuleSettings:
    """The core's rule for a solver, and the penalties."""
    options: dict[str, Any] = {}
    if solver.rule in ("sgd", "momentum", "nesterov"):
        options = {"momentum": solver.momentum}
    elif solver.rule in ("adam", "amsgrad"):
        options = {
            "beta_1": solver.beta_1,
            "beta_2": solver.beta_2,
            "epsilon": solver.epsilon,
            "folded": solver.epsilon_form == "folded",
        }
    elif solver.rule == "rprop":
        options = {
            "increase": solver.increase,
            "decrease": solver.decrease,
            "least": solver.min_step,
            "most": solver.max_step,
        }
    else:
        names = (
            *("memory", "gradient_tolerance", "loss_tolerance", "step_tolerance"),
            *("max_line_search", "sufficient_decrease", "curvature"),
        )
        options = {name: getattr(solver, name) for name in names}
    if hasattr(solver, "weight_decay"):
        options["weight_decay"] = solver.weight_decay
        options["max_norm"] = solver.max_gradient_norm or 0.0
    return RuleSettings(solver.rule, l1=l1, l2=l2, **options)


def memory_of(solver: Any) -> tuple[int, int, str]:
    """Vectors and numbers in the state, and whose they are: momentum and Nesterov share theirs."""
    if solver.rule == "lbfgs":
        return lbfgs.n_vectors(solver.memory), lbfgs.n_numbers(solver.memory), "lbfgs"
    kind = "momentum" if solver.rule == "nesterov" else solver.rule
    return solver.n_vectors, solver.n_numbers, kind
