"""What the options ask for: a network, a solver, and the record of both that the model carries.

It trains nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..errors import InputError
from ..losses import LOSSES
from ..network.network import Network
from ..network.scaling import Scaling
from ..solvers.first_order import LBFGS, SGD, Adam, RProp, Solver
from ..solvers.least_squares import BayesianRegularization, LevenbergMarquardt
from ..version import __version__
from . import report
from .coding import is_one_hot
from .data import Data

# Rows of a step where none are asked for and the solver takes any number.
BATCH_SIZE = 10

# The options that each solver heeds; --batch-size is of those whose steps need not take all rows.
SOLVER_OPTIONS = {
    "sgd": ("learning_rate", "momentum", "nesterov", "batch_size"),
    "adam": ("learning_rate", "batch_size"),
    "rprop": (),
    "lbfgs": (),
    "lm": (),
    "br": (),
}

# What may differ between a checkpoint and the command that goes on from it.
_FREE = ("cbackprop", "data", "epochs", "patience")


def network_for(arguments: argparse.Namespace, train: Data) -> Network:
    """The untrained network, its scalings taken from the training rows.

    Targets of any size and unit are learnt as numbers of mean 0 and deviation 1 where the output is
    linear.
    """
    assert train.Y is not None
    activation = arguments.activation
    if len(activation) not in (1, len(arguments.hidden)):
        raise InputError(
            f"--activation names {len(activation)} activations for "
            f"{report.counted(len(arguments.hidden), 'hidden layer')}"
        )
    net = Network(
        (train.X.shape[1], *arguments.hidden, train.Y.shape[1]),
        activation=activation[0] if len(activation) == 1 else activation,
        output_activation=arguments.output_activation or _output_for(arguments.loss, train.Y),
        dtype=arguments.dtype,
        init=init_for(arguments),
        seed=arguments.seed,
    )
    scale = scale_for(arguments)
    if scale != "none":
        net.input_scaling = getattr(Scaling, scale)(train.X)
        if net.activations[-1] == "identity":
            net.fit_scaling(Y=train.Y)
    return net


def init_for(arguments: argparse.Namespace) -> str:
    """--init, or what suits the solver."""
    default = "nguyen_widrow" if arguments.solver in ("lm", "br") else "auto"
    return arguments.init or default


def scale_for(arguments: argparse.Namespace) -> str:
    """--scale, or what suits the solver: Nguyen and Widrow's units lie in -1..1."""
    default = "minmax" if arguments.solver in ("lm", "br") else "standard"
    return arguments.scale or default


def _output_for(loss: str, Y: np.ndarray) -> str:
    """The output activation that fits the loss and the range of the targets."""
    spec = LOSSES[loss]
    if spec.class_distribution:
        wanted = "categorical" if is_one_hot(Y) else "Bernoulli"
        return next(o for o, what in spec.class_distribution.items() if what == wanted)
    in_reach = bool((Y >= 0).all() and (Y <= 1).all())
    return spec.output_for("sigmoid" if in_reach and "sigmoid" in spec.outputs else None)


def solver_for(arguments: argparse.Namespace, net: Network) -> Solver:
    """The solver that --solver names, with the options that go with it."""
    for option in SOLVER_OPTIONS["sgd"]:
        if getattr(arguments, option) and option not in SOLVER_OPTIONS[arguments.solver]:
            heeding = [name for name, options in SOLVER_OPTIONS.items() if option in options]
            raise InputError(
                f"--{option.replace('_', '-')} goes with --solver {' and '.join(heeding)}, "
                f"not with {arguments.solver}"
            )
    rate = arguments.learning_rate
    if arguments.solver == "sgd":
        momentum = arguments.momentum or 0.0
        if rate is None:
            rate = default_learning_rate(net, momentum, arguments.loss)
        return SGD(learning_rate=rate, momentum=momentum, nesterov=arguments.nesterov)
    if arguments.solver == "adam":
        return Adam(learning_rate=0.01 if rate is None else rate)
    whole: dict[str, Callable[[], Solver]] = {
        "rprop": RProp,
        "lbfgs": LBFGS,
        "lm": LevenbergMarquardt,
        "br": partial(BayesianRegularization, keep_posterior=arguments.error_bars),
    }
    return whole[arguments.solver]()


def default_learning_rate(net: Network, momentum: float, loss: str = "squared_error") -> float:
    """A rate that neither diverges nor crawls, found by trials with batches of 10 scaled rows.

    The curvature at the output grows with the units that feed it, so the rate falls with the widest
    layer; a sigmoid's slope, at most 1/4 and squared in the curvature, allows for a larger one,
    unless the loss is taken from the logits, from whose derivative the slope has gone.  Momentum
    multiplies what a gradient does in the end by 1 / (1 - momentum).
    """
    widest = max(net.sizes[1:-1] or net.sizes[:1])
    flat = net.activations[-1] == "sigmoid" and not LOSSES[loss].from_O
    return (1.0 if flat else 0.1) * min(1.0, 50 / widest) * (1 - momentum)


def record(arguments: argparse.Namespace, train: Data, solver: Solver) -> dict[str, Any]:
    """The settings of the training as they are saved with the network."""
    heeded = {
        name: getattr(solver, name) for name in SOLVER_OPTIONS[arguments.solver] if name[0] != "b"
    }
    if not solver.full_batch:
        heeded["batch_size"] = arguments.batch_size or BATCH_SIZE
    optional = {
        name: getattr(arguments, name)
        for name in ("l2", "l1", "validation", "patience", "restarts")
    }
    init = init_for(arguments)
    if arguments.restarts is not None:
        init = getattr(solver, "preferred_init", "auto")
    return {
        "cbackprop": __version__,
        "data": arguments.data,
        "rows": len(train),
        "scale": scale_for(arguments),
        "init": init,
        "loss": arguments.loss,
        "solver": arguments.solver,
        **heeded,
        **{name: value for name, value in optional.items() if value},
        "epochs": arguments.epochs,
        "seed": arguments.seed,
    }


def check_resumed(path: str, saved: Network, fresh: Network) -> None:
    """Raise an InputError unless a checkpoint's network is of this command's making."""
    for what in ("sizes", "activations", "dtype"):
        _same(path, what, getattr(saved, what), getattr(fresh, what))
    then, now = (net.annotations.get("training") for net in (saved, fresh))
    if not isinstance(then, dict) or not isinstance(now, dict):
        raise InputError(f"--resume: {path} was not made by cbackprop train --checkpoint")
    for name in sorted({*then, *now} - {*_FREE}):
        _same(path, name, then.get(name), now.get(name))
    _same(path, "columns", saved.annotations.get("coding"), fresh.annotations.get("coding"))


def _same(path: str, what: str, then: object, now: object) -> None:
    if then != now:
        raise InputError(
            f"--resume: {path} was made with {what} {then}, and this command has {now}; "
            "expected the same data and options (only --epochs and --patience may differ)"
        )
