"""First-order solvers: one small frozen dataclass each.

Such an object holds settings, checked when it is made, and no state; the state a solver needs (a
velocity, say) lives in the trainer.  So one object may serve many trainers, and replacing it in a
trainer changes the learning rate from the next call on.  base.py says what each declares.

g is the gradient of the batch's objective: the mean loss plus the trainer's penalties, if any.
Weight decay and penalties act on weights, never on biases.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import checks
from ..errors import InputError
from .base import Solver, check_steps, keep, step_options
from .schedules import Schedule

# Every class named here is a solver, and a public name of cbackprop.
__all__ = ["SGD", "Adam", "AdamW", "NAdam", "RProp"]

# Below this, float32 has fewer digits or none.
_LEAST_EPSILON = float(np.finfo(np.float32).tiny)


def _check_moments(solver: Any) -> None:
    """Check the settings that Adam and its variants share."""
    check_steps(solver)
    keep(
        solver,
        beta_1=checks.positive_float("beta_1", solver.beta_1, zero=True, below=1),
        beta_2=checks.positive_float("beta_2", solver.beta_2, zero=True, below=1),
    )
    _check_epsilon(solver)


def _check_epsilon(solver: Any) -> None:
    """The number that keeps a step finite where the gradient is 0."""
    keep(solver, epsilon=checks.positive_float("epsilon", solver.epsilon))
    if solver.epsilon < _LEAST_EPSILON:
        raise InputError(
            f"epsilon is {solver.epsilon:g}; expected at least {_LEAST_EPSILON:.2g}, "
            "which float32 can hold"
        )


@dataclass(frozen=True, kw_only=True)
class SGD(Solver):
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
        Nesterov's momentum (Sutskever, Martens, Dahl and Hinton, ICML 2013, in the form that
        evaluates the gradient at the look-ahead point); needs a momentum.
    weight_decay : float
        Before the step, W *= 1 - lr weight_decay, for weights, not for biases (decoupled weight
        decay: Loshchilov and Hutter, ICLR 2019).  At least 0, and lr weight_decay below 1.
    max_gradient_norm : float, optional
        A longer g, weights and biases together, is scaled to this Euclidean length (Pascanu,
        Mikolov and Bengio, ICML 2013).

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    short_name: ClassVar[str] = "sgd"

    learning_rate: float | Schedule = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    max_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        check_steps(self)
        keep(
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
    def n_vectors(self) -> int:
        """Vectors as long as the parameters in the trainer's state: v."""
        return 1 if self.momentum else 0

    @property
    def memory_kind(self) -> str:
        """Momentum and Nesterov share the velocity, so each can continue the other's state."""
        return "momentum" if self.momentum else "sgd"

    def core_options(self, loss: Any) -> dict[str, Any]:
        """The rule's options, by the names that the core's table has."""
        own = {"momentum": self.momentum} if self.momentum else {}
        return {**own, **step_options(self)}


@dataclass(frozen=True, kw_only=True)
class Adam(Solver):
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
        Before the step, W *= 1 - lr weight_decay, for weights, not for biases: AdamW (Loshchilov
        and Hutter, ICLR 2019).  At least 0, and lr weight_decay below 1.
    max_gradient_norm : float, optional
        A longer g, weights and biases together, is scaled to this Euclidean length.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    short_name: ClassVar[str] = "adam"

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    epsilon_form: str = "paper"
    amsgrad: bool = False
    weight_decay: float = 0.0
    max_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        _check_moments(self)
        keep(
            self,
            epsilon_form=checks.choice("epsilon_form", self.epsilon_form, ("paper", "folded")),
            amsgrad=checks.boolean("amsgrad", self.amsgrad),
        )

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "amsgrad" if self.amsgrad else "adam"

    @property
    def n_vectors(self) -> int:
        """Vectors as long as the parameters in the trainer's state: m, v, for AMSGrad v_max."""
        return 3 if self.amsgrad else 2

    @property
    def n_numbers(self) -> int:
        """Single numbers in the trainer's state: t, the steps done."""
        return 1

    def core_options(self, loss: Any) -> dict[str, Any]:
        """The rule's options, by the names that the core's table has."""
        return {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "folded": self.epsilon_form == "folded",
            **step_options(self),
        }


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: `Adam` with a ``weight_decay`` of 0.01 by default.

    (Loshchilov and Hutter, ICLR 2019; the default is PyTorch's.)  The decay shrinks weights towards
    0 independently of the gradient's scale, which an ``l2`` penalty under Adam does not.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, epsilon_form, amsgrad, max_gradient_norm
        As in `Adam`.
    weight_decay : float
        Before the step, W *= 1 - lr weight_decay, of weights and not of biases.  At least 0, and lr
        weight_decay below 1.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    short_name: ClassVar[str] = "adamw"

    weight_decay: float = 0.01


@dataclass(frozen=True, kw_only=True)
class NAdam(Solver):
    """Adam with Nesterov's momentum, which looks one step ahead.

        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        W -= lr (g' + m') / (sqrt(v') + epsilon)

    with g' = (1 - mu_t) g / (1 - mu_1 ... mu_t), m' = mu_t+1 m / (1 - mu_1 ... mu_t+1) and
    v' = v / (1 - beta_2^t) in step t = 1, 2, ...; mu_t = beta_1 (1 - 0.96^(t momentum_decay) / 2)
    rises from half of beta_1 to beta_1  (Dozat, ICLR 2016 workshop, with PyTorch's defaults).

    Parameters
    ----------
    learning_rate : float or schedule
        lr, above 0, or one of `cbackprop.schedules`.
    beta_1, beta_2 : float
        At least 0 and below 1.
    epsilon : float
        Above 0, and no less than float32 can hold with all its digits (1.2e-38).
    momentum_decay : float
        How fast mu_t rises, at least 0; with 0 it stays at half of beta_1.
    weight_decay : float
        Before the step, W *= 1 - lr weight_decay, of weights and not of biases.  At least 0, and lr
        weight_decay below 1.
    max_gradient_norm : float, optional
        A longer g, weights and biases together, is scaled to this Euclidean length.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    short_name: ClassVar[str] = "nadam"

    learning_rate: float | Schedule = 0.002
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 0.004
    weight_decay: float = 0.0
    max_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        _check_moments(self)
        decay = checks.positive_float("momentum_decay", self.momentum_decay, zero=True)
        keep(self, momentum_decay=decay)

    @property
    def rule(self) -> str:
        """The core's name of the update rule."""
        return "nadam"

    @property
    def n_vectors(self) -> int:
        """Vectors as long as the parameters in the trainer's state: m, v."""
        return 2

    @property
    def n_numbers(self) -> int:
        """Single numbers in the trainer's state: t, the steps done, and mu_1 ... mu_t."""
        return 2

    def fill(self, vectors: np.ndarray | None, numbers: np.ndarray | None) -> None:
        """The product of the mu_t starts at 1."""
        assert numbers is not None
        numbers[1] = 1.0

    def core_options(self, loss: Any) -> dict[str, Any]:
        """The rule's options, by the names that the core's table has."""
        return {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "momentum_decay": self.momentum_decay,
            **step_options(self),
        }


@dataclass(frozen=True, kw_only=True)
class RProp(Solver):
    """Resilient backpropagation, iRPROP+: gradient signs only, a step size for each parameter.

    Each step takes all rows.  For each parameter, by the sign of the product of g and the previous
    g:

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
        Above 0, since a step size of 0 could never grow again.  1e-6 is from Riedmiller and Braun
        (ICNN 1993).
    max_step : float
        At least `min_step`.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.
    """

    short_name: ClassVar[str] = "rprop"
    full_batch: ClassVar[bool] = True
    looks_at_the_loss: ClassVar[bool] = True

    initial_step: float = 0.0125
    increase: float = 1.2
    decrease: float = 0.5
    min_step: float = 1e-6
    max_step: float = 50.0

    def __post_init__(self) -> None:
        keep(
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
    def n_vectors(self) -> int:
        """Vectors as long as the parameters in the trainer's state: the previous g, step, move."""
        return 3

    @property
    def n_numbers(self) -> int:
        """Single numbers in the trainer's state: the previous loss, and whether there was one."""
        return 2

    def fill(self, vectors: np.ndarray | None, numbers: np.ndarray | None) -> None:
        """Set the initial step size of each parameter."""
        assert vectors is not None
        vectors[1] = self.initial_step

    def core_options(self, loss: Any) -> dict[str, Any]:
        """The rule's options, by the names that the core's table has."""
        return {
            "increase": self.increase,
            "decrease": self.decrease,
            "least": self.min_step,
            "most": self.max_step,
        }
