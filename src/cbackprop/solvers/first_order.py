"""The settings of each solver: one small frozen dataclass a solver, checked when it is made.

A solver holds no state; the state it needs (a velocity, say) lives in the trainer.  So one object
may serve many trainers, and replacing it in a trainer changes the learning rate from the next call
on.  `describe` and `restore` turn a solver into plain JSON values and back.

g is the gradient of the batch's objective: of the mean loss, and of the trainer's penalties if it
has any.  Weight decay and penalties act on weights, never on biases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np

from .. import checks
from ..errors import InputError, InputTypeError
from .least_squares import BayesianRegularization, LevenbergMarquardt
from .schedules import SCHEDULES, Schedule, number_or_schedule

__all__ = [
    "LBFGS",
    "SGD",
    "SOLVERS",
    "Adam",
    "BayesianRegularization",
    "LevenbergMarquardt",
    "RProp",
    "describe",
    "restore",
]

# Below this, float32 has fewer digits or none.
_LEAST_EPSILON = float(np.finfo(np.float32).tiny)


def _keep(solver: Any, **checked: Any) -> None:
    """Set what was checked, frozen or not."""
    for name, value in checked.items():
        object.__setattr__(solver, name, value)


def _check_steps(solver: Any) -> None:
    """The settings that SGD and Adam share."""
    _keep(
        solver,
        learning_rate=number_or_schedule("learning_rate", solver.learning_rate),
        weight_decay=checks.positive_float("weight_decay", solver.weight_decay, zero=True),
    )
    if solver.max_gradient_norm is not None:
        norm = checks.positive_float("max_gradient_norm", solver.max_gradient_norm)
        _keep(solver, max_gradient_norm=norm)
    rate = solver.learning_rate
    highest = rate if isinstance(rate, float) else rate.rate
    if highest * solver.weight_decay >= 1:
        raise InputError(
            f"weight_decay is {solver.weight_decay:g}: with a learning rate of {highest:g} a step "
            f"multiplies weights by {1 - highest * solver.weight_decay:g}; "
            f"expected a weight_decay below {1 / highest:g}"
        )


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent, with momentum on request.

        plain        W -= lr g
        momentum     v = mu v - lr g        W += v
        Nesterov     v = mu v - lr g        W += mu v - lr g

    g is the gradient of the mean loss of a batch: one row, a mini-batch or all rows, as the
    trainer's ``batch_size`` says.

    Parameters
    ----------
    learning_rate : float or schedule
        lr, above 0, or one of `cbackprop.schedules`.
    momentum : float
        mu, at least 0 and below 1.
    nesterov : bool
        Look ahead (Sutskever, Martens, Dahl and Hinton, ICML 2013, in the form that evaluates the
        gradient at the point looked ahead to); needs a momentum.
    weight_decay : float
        Before the step, W *= 1 - lr weight_decay, of weights and not of biases (decoupled weight
        decay: Loshchilov and Hutter, ICLR 2019).  At least 0, and lr weight_decay below 1.
    max_gradient_norm : float, optional
        A longer g, weights and biases together, is scaled to this Euclidean length (Pascanu,
        Mikolov and Bengio, ICML 2013).

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    learning_rate: float | Schedule = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    max_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        _check_steps(self)
        _keep(
            self,
            momentum=checks.positive_float("momentum", self.momentum, zero=True, below=1),
            nesterov=checks.boolean("nesterov", self.nesterov),
        )
        if self.nesterov and self.momentum == 0:
            raise InputError(
                "nesterov is True and momentum is 0; expected a momentum above 0, e.g. 0.9"
            )

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "nesterov" if self.nesterov else "momentum" if self.momentum else "sgd"

    @property
    def full_batch(self) -> bool:
        """Whether a step always takes all rows."""
        return False

    @property
    def n_vectors(self) -> int:
        """Vectors as long as the parameters in the trainer's state: v."""
        return 1 if self.momentum else 0

    @property
    def n_numbers(self) -> int:
        """Single numbers in the trainer's state."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam: steps scaled by running means of the gradient and of its square.

        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        W -= lr m' / (sqrt(v') + epsilon)

    with m' = m / (1 - beta_1^t) and v' = v / (1 - beta_2^t) in step t = 1, 2, ...  (Kingma and Ba,
    ICLR 2015, Algorithm 1).

    Parameters
    ----------
    learning_rate : float or schedule
        lr, above 0, or one of `cbackprop.schedules`.
    beta_1, beta_2 : float
        At least 0 and below 1.
    epsilon : float
        Above 0, and no less than float32 can hold with all its digits (1.2e-38).
    epsilon_form : "paper" or "folded"
        "paper" is the formula above, and PyTorch's.  "folded" is what the paper gives as its faster
        form, and scikit-learn's: W -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) +
        epsilon), whose epsilon weighs more in the first steps.
    amsgrad : bool
        Under the root, v_max, the largest v so far (Reddi, Kale and Kumar, ICLR 2018; before the
        correction by 1 - beta_2^t, as in PyTorch).
    weight_decay : float
        Before the step, W *= 1 - lr weight_decay, of weights and not of biases: AdamW (Loshchilov
        and Hutter, ICLR 2019).  At least 0, and lr weight_decay below 1.
    max_gradient_norm : float, optional
        A longer g, weights and biases together, is scaled to this Euclidean length.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    epsilon_form: str = "paper"
    amsgrad: bool = False
    weight_decay: float = 0.0
    max_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        _check_steps(self)
        _keep(
            self,
            beta_1=checks.positive_float("beta_1", self.beta_1, zero=True, below=1),
            beta_2=checks.positive_float("beta_2", self.beta_2, zero=True, below=1),
            epsilon=checks.positive_float("epsilon", self.epsilon),
            epsilon_form=checks.choice("epsilon_form", self.epsilon_form, ("paper", "folded")),
            amsgrad=checks.boolean("amsgrad", self.amsgrad),
        )
        if self.epsilon < _LEAST_EPSILON:
            raise InputError(
                f"epsilon is {self.epsilon:g}; expected at least {_LEAST_EPSILON:.2g}, "
                "which float32 can hold"
            )

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "amsgrad" if self.amsgrad else "adam"

    @property
    def full_batch(self) -> bool:
        """Whether a step always takes all rows."""
        return False

    @property
    def n_vectors(self) -> int:
        """Vectors as long as the parameters in the trainer's state: m, v, for AMSGrad v_max."""
        return 3 if self.amsgrad else 2

    @property
    def n_numbers(self) -> int:
        """Single numbers in the trainer's state: t, the steps done."""
        return 1


@dataclass(frozen=True, kw_only=True)
class RProp:
    """Resilient backpropagation, iRPROP+: the signs of the gradient alone, and a step a parameter.

    Each step takes all rows.  By the sign of the product of g and the g before, for each parameter:

        > 0    step = min(increase step, max_step)     W -= sign(g) step
        = 0                                            W -= sign(g) step
        < 0    step = max(decrease step, min_step)     the last move is taken back if the loss has
                                                       risen; the g before of the next step is 0

    (Igel and Hüsken, Empirical evaluation of the improved Rprop learning algorithms,
    Neurocomputing 50, 2003).  There is no learning rate to tune.

    Parameters
    ----------
    initial_step : float
        Between `min_step` and `max_step`; Igel and Hüsken's is 0.0125.
    increase : float
        Above 1.
    decrease : float
        Above 0 and below 1.
    min_step : float
        Above 0: a step that has shrunk to nothing would never grow again.  1e-6 is that of
        Riedmiller and Braun (ICNN 1993).
    max_step : float
        At least `min_step`.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    initial_step: float = 0.0125
    increase: float = 1.2
    decrease: float = 0.5
    min_step: float = 1e-6
    max_step: float = 50.0

    def __post_init__(self) -> None:
        _keep(
            self,
            initial_step=checks.positive_float("initial_step", self.initial_step),
            increase=checks.positive_float("increase", self.increase),
            decrease=checks.positive_float("decrease", self.decrease, below=1),
            min_step=checks.positive_float("min_step", self.min_step),
            max_step=checks.positive_float("max_step", self.max_step),
        )
        if self.increase <= 1:
            raise InputError(f"increase is {self.increase:g}; expected a number above 1, e.g. 1.2")
        if not self.min_step <= self.initial_step <= self.max_step:
            raise InputError(
                f"min_step is {self.min_step:g}, initial_step {self.initial_step:g} and max_step "
                f"{self.max_step:g}; expected them in ascending order"
            )

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "rprop"

    @property
    def full_batch(self) -> bool:
        """Whether a step always takes all rows."""
        return True

    @property
    def n_vectors(self) -> int:
        """Vectors as long as the parameters in the trainer's state: the g before, step, move."""
        return 3

    @property
    def n_numbers(self) -> int:
        """Single numbers in the trainer's state: the loss before, and whether there was one."""
        return 2


@dataclass(frozen=True, kw_only=True)
class LBFGS:
    """Limited-memory BFGS with a line search that satisfies the strong Wolfe conditions.

    Each step takes all rows.  Its direction is the product of g and an estimate of the inverse
    Hessian from the last ``memory`` steps (Nocedal and Wright, Numerical Optimization, 2006,
    Algorithms 7.4 and 7.5); its length a satisfies, with d the direction and L the objective,

        L(W + a d) <= L(W) + sufficient_decrease a g.d
        |g(W + a d).d| <= curvature |g.d|

    (eq. 3.7; where losses differ by rounding alone, Hager and Zhang's approximate conditions).

    Parameters
    ----------
    memory : int
        Steps remembered, 1 to 100.
    gradient_tolerance : float
        Training has converged when no entry of g is larger than this; at least 0.
    loss_tolerance : float
        ... when a step lowers the loss by no more than this part of it; 0: never.
    step_tolerance : float
        ... when a step moves the parameters W by no more than this times 1 + |W|; 0: never.
    max_line_search : int
        Evaluations of loss and gradient in one step at most, at least 1.
    sufficient_decrease, curvature : float
        0 < sufficient_decrease < curvature < 1, of the Wolfe conditions; the first below a half.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    memory: int = 10
    gradient_tolerance: float = 1e-5
    loss_tolerance: float = 0.0
    step_tolerance: float = 0.0
    max_line_search: int = 25
    sufficient_decrease: float = 1e-4
    curvature: float = 0.9

    def __post_init__(self) -> None:
        tolerances = ("gradient_tolerance", "loss_tolerance", "step_tolerance")
        _keep(
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
        _keep(self, sufficient_decrease=decrease)
        for name, largest in (("memory", 100), ("max_line_search", 10_000)):
            if getattr(self, name) > largest:
                raise InputError(f"{name} is {getattr(self, name)}; expected at most {largest}")

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "lbfgs"

    @property
    def full_batch(self) -> bool:
        """Whether a step always takes all rows."""
        return True


Solver: TypeAlias = SGD | Adam | RProp | LBFGS | LevenbergMarquardt | BayesianRegularization
SOLVERS = (SGD, Adam, RProp, LBFGS, LevenbergMarquardt, BayesianRegularization)


# ---------------------------------------------------------------------------------- as plain values


def describe(solver: Solver) -> dict[str, Any]:
    """A solver as JSON values: {"solver": its class, each setting's name: its value}.

    A schedule among the settings is such a dict too, with "schedule" for its class.
    """
    return _described("solver", solver)


def restore(described: Any) -> Solver:
    """The solver that `describe` described.

    Raises
    ------
    InputError, InputTypeError
        Something else than what `describe` returns: an unknown class, a setting too many, missing,
        of the wrong type or out of range.
    """
    # A schedule may stand in a solver or in another schedule, and no deeper.
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
