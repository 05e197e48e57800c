"""The activations, each specified once.

The formulas are in core/simd (compiled) and in reference/network.py (the specification in NumPy);
this file has the public names and the properties that the rest of the package needs.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import checks
from .errors import InputError

__all__ = ["ACTIVATIONS", "HIDDEN", "ActivationSpec", "canonical", "every_name", "of_layers"]


@dataclass(frozen=True, kw_only=True)
class ActivationSpec:
    """The specification of an activation sigma.

    Parameters
    ----------
    name : str
    code : int
        Its number in the core (core/simd/simd.h).
    formula : str
        sigma(h).
    derivative : str
        sigma'(h), in terms of z = sigma(h) if computed from it; empty for softmax, where it is a
        matrix.
    keeps_slope : bool
        Whether sigma'(H) cannot be computed from Z alone, so that the forward pass stores it.
    range : tuple of float
        The infimum and the supremum of its values.
    hidden : bool
        Whether it may be used in a hidden layer.
    elementwise : bool
        Whether an output depends on its own h alone.
    gain_squared : float or None
        For initialisation: 1 / E[sigma(u)^2] with u from N(0, 1).  Weights of variance
        ``gain_squared / n_in`` in the layer above keep the pre-activations H at variance 1 (He et
        al. 2015, section 2.2, for any activation).  None of output activations.
    init : str
        How the weights into its own layer are drawn by "auto": "gain", with the gain of the
        activation below (1 for the inputs); or as is usual with it, "glorot" or "he".
    aliases : tuple of str
        Its names in other libraries: MATLAB, FANN, scikit-learn, Keras, PyTorch.
    """

    name: str
    code: int
    formula: str
    derivative: str
    keeps_slope: bool = False
    range: tuple[float, float] = (-math.inf, math.inf)
    hidden: bool = True
    elementwise: bool = True
    gain_squared: float | None = None
    init: str = "gain"
    aliases: tuple[str, ...] = ()


_SPECS = (
    ActivationSpec(
        name="identity",
        code=0,
        formula="h",
        derivative="1",
        gain_squared=1.0,
        init="glorot",
        aliases=("linear", "purelin", "Identity"),
    ),
    ActivationSpec(
        name="sigmoid",
        code=1,
        formula="1 / (1 + exp(-h))",
        derivative="z (1 - z)",
        range=(0.0, 1.0),
        gain_squared=3.408559841623103,
        init="glorot",
        aliases=("logistic", "logsig", "Sigmoid"),
    ),
    ActivationSpec(
        name="tanh",
        code=2,
        formula="tanh(h)",
        derivative="1 - z^2",
        range=(-1.0, 1.0),
        gain_squared=2.5361754332174535,
        init="glorot",
        aliases=("tansig", "sigmoid_symmetric", "Tanh"),
    ),
    ActivationSpec(
        name="relu",
        code=3,
        formula="max(h, 0)",
        derivative="1 where z > 0, else 0",
        range=(0.0, math.inf),
        gain_squared=2.0,
        init="he",
        aliases=("poslin", "ReLU"),
    ),
    ActivationSpec(
        name="leaky_relu",
        code=6,
        formula="h where h > 0, else 0.01 h",
        derivative="1 where z > 0, else 0.01",
        gain_squared=2 / 1.0001,
        aliases=("LeakyReLU",),
    ),
    ActivationSpec(
        name="elu",
        code=7,
        formula="h where h > 0, else exp(h) - 1",
        derivative="1 where z > 0, else z + 1",
        range=(-1.0, math.inf),
        gain_squared=1.5505188080679273,
        aliases=("ELU",),
    ),
    ActivationSpec(
        name="softplus",
        code=8,
        formula="log(1 + exp(h))",
        derivative="1 / (1 + exp(-h))",
        keeps_slope=True,
        range=(0.0, math.inf),
        gain_squared=1.0854865029883434,
        aliases=("Softplus",),
    ),
    ActivationSpec(
        name="silu",
        code=9,
        formula="h / (1 + exp(-h))",
        derivative="(1 + h - z) / (1 + exp(-h))",
        keeps_slope=True,
        range=(-0.27846454276107380, math.inf),  # at h = -1.27846...
        gain_squared=2.8107611240744711,
        aliases=("swish", "SiLU"),
    ),
    ActivationSpec(
        name="gelu",
        code=10,
        formula="h Phi(h)",  # Phi and phi: distribution function and density of N(0, 1)
        derivative="Phi(h) + h phi(h)",
        keeps_slope=True,
        range=(-0.16997120747990366, math.inf),  # at h = -0.75179...
        gain_squared=2.3517156140733955,
        aliases=("GELU",),
    ),
    ActivationSpec(
        name="softsign",
        code=11,
        formula="h / (1 + |h|)",
        derivative="(1 - |z|)^2",
        range=(-1.0, 1.0),
        gain_squared=5.4640622236455199,
        aliases=("elliotsig", "elliot_symmetric", "Softsign"),
    ),
    ActivationSpec(
        name="gaussian",
        code=12,
        formula="exp(-h^2)",
        derivative="-2 h z",
        keeps_slope=True,
        range=(0.0, 1.0),
        gain_squared=2.2360679774997897,
        aliases=("radbas",),
    ),
    ActivationSpec(
        name="sine",
        code=13,
        formula="sin(h)",
        derivative="cos(h)",
        keeps_slope=True,
        range=(-1.0, 1.0),
        gain_squared=2.3130352854993313,
        aliases=("sin", "sin_symmetric"),
    ),
    ActivationSpec(
        name="exp",
        code=4,
        formula="exp(h)",
        derivative="z",
        range=(0.0, math.inf),
        init="glorot",
        hidden=False,
        aliases=("exponential",),
    ),
    ActivationSpec(
        name="softmax",
        code=5,
        formula="exp(h) / sum_k exp(h)",
        derivative="",
        range=(0.0, 1.0),
        init="glorot",
        hidden=False,
        elementwise=False,
        aliases=("Softmax",),
    ),
)

ACTIVATIONS = {spec.name: spec for spec in _SPECS}
HIDDEN = tuple(spec.name for spec in _SPECS if spec.hidden)

# From other libraries' names to ours.
_ALIASES = {alias: spec.name for spec in _SPECS for alias in spec.aliases}


def every_name(*, hidden: bool) -> set[str]:
    """All accepted names of hidden activations, or of all elementwise ones."""
    specs = [spec for spec in _SPECS if (spec.hidden if hidden else spec.elementwise)]
    return {name for spec in specs for name in (spec.name, *spec.aliases)}


def canonical(argument: str, value: Any, *, hidden: bool) -> str:
    """Our name of an activation, from ours or another library's name.

    Parameters
    ----------
    argument : str
        The argument's name, for the error.
    hidden : bool
        Whether it is for a hidden layer.

    Raises
    ------
    InputError, InputTypeError
        If there is no such activation, or it is for output layers only.
    """
    name = _ALIASES.get(value, value) if isinstance(value, str) else value
    allowed = HIDDEN if hidden else tuple(ACTIVATIONS)
    if isinstance(name, str) and name in allowed:
        return name
    return checks.choice(argument, value, allowed)  # raises


def of_layers(hidden: Any, output: Any, n_hidden_layers: int) -> tuple[str, ...]:
    """One checked name for each layer of weights."""
    if isinstance(hidden, str):
        names = [canonical("activation", hidden, hidden=True)] * n_hidden_layers
    else:
        if not isinstance(hidden, Iterable):
            canonical("activation", hidden, hidden=True)  # raises
        given = list(hidden)
        if len(given) != n_hidden_layers:
            raise InputError(
                f"activation has {len(given)} entries; expected one name, or one for each of the "
                f"{n_hidden_layers} hidden layers"
            )
        names = [canonical(f"activation[{i}]", name, hidden=True) for i, name in enumerate(given)]
    return (*names, canonical("output_activation", output, hidden=False))
