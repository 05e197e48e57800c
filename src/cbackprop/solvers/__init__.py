"""The solvers: how a training step is made.

Solvers are frozen dataclasses of settings, checked when made, without state; base.py says what a
solver declares.  This file lists them and defines `describe` and `restore`, which turn a solver
into plain JSON values and back.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from .. import checks
from ..errors import InputError, InputTypeError
from . import first_order, least_squares, quasi_newton
from .base import Solver
from .first_order import *  # noqa: F403
from .least_squares import *  # noqa: F403
from .quasi_newton import *  # noqa: F403
from .schedules import SCHEDULES

__all__ = ["BY_SHORT_NAME", "SOLVERS", "Solver", "describe", "restore"]
__all__ += first_order.__all__
__all__ += quasi_newton.__all__
__all__ += least_squares.__all__

# Every solver, in the order in which messages name them.
SOLVERS: tuple[type[Solver], ...] = tuple(
    getattr(module, name)
    for module in (first_order, quasi_newton, least_squares)
    for name in module.__all__
)
BY_SHORT_NAME = {cls.short_name: cls for cls in SOLVERS}


# ---------------------------------------------------------------------------------- as plain values


def describe(solver: Solver) -> dict[str, Any]:
    """A solver as JSON values: {"solver": class name, name of each setting: value}.

    A schedule among the settings is such a dict too, with the key "schedule" for its class name.
    """
    return _described("solver", solver)


def restore(described: Any) -> Solver:
    """Rebuild the solver from the output of `describe`.

    Raises
    ------
    InputError, InputTypeError
        If `described` is not an output of `describe`: an unknown class, or a setting that is
        unknown, missing, of the wrong type or out of range.
    """
    # A schedule may be nested in a solver or in another schedule, but no deeper.
    solver: Solver = _restored("solver", described, SOLVERS, SCHEDULES, SCHEDULES)
    return solver


def _described(kind: str, item: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {kind: type(item).__name__}
    for field in fields(item):
        value = getattr(item, field.name)
        is_schedule = isinstance(value, SCHEDULES)
        plain[field.name] = _described("schedule", value) if is_schedule else value
    return plain


def _restored(kind: str, described: Any, classes: Sequence[type], *deeper: Sequence[type]) -> Any:
    if not isinstance(described, dict):
        raise InputTypeError(f"a {kind} is {checks.describe(described)}; expected a dict")
    named = {cls.__name__: cls for cls in classes}
    settings = dict(described)
    name = checks.choice(kind, settings.pop(kind, None), named)
    known = [field.name for field in fields(named[name])]
    for setting in [*settings, *known]:
        if (setting in settings) != (setting in known):
            problem = "no setting" if setting in known else "an unknown setting"
            raise InputError(
                f"the {kind} {name} has {problem} {setting!r:.60}; expected {', '.join(known)}"
            )
    for setting, value in settings.items():
        if deeper and isinstance(value, dict):
            settings[setting] = _restored("schedule", value, *deeper)
    return named[name](**settings)
