"""From options to a network, a solver, and the record of both in the model.

This file trains nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

import numpy as np

from ..errors import InputError
from ..losses import LOSSES
from ..network.network import Network
from ..solvers import BY_SHORT_NAME, SGD, Solver
from ..training.splits import is_one_hot
from ..version import __version__
from . import report
from .data import Part

# The default rows of a step, for solvers that accept any number.
BATCH_SIZE = 10

# The default learning rates of the solvers that have one; SGD's depends on the network.
LEARNING_RATE = 0.01

# The options that not every solver uses; --batch-size is for those whose steps need not take all
# rows.
_OPTIONS = ("learning_rate", "momentum", "nesterov", "batch_size")

# What may differ between a checkpoint and the command that resumes from it.
_FREE = ("cbackprop", "data", "epochs", "patience", "split")

# How rows are held out: 2 is the method of Trainer.fit, 1 was the command line's own.
SPLIT = 2


def network_for(arguments: argparse.Namespace, train: Part) -> Network:
    """The untrained network, with scalings from the training rows.

    With a linear output, targets are scaled to mean 0 and standard deviation 1.
    """
    X, Y = train.data.X, train.targets
    activation = arguments.activation
    if len(activation) not in (1, len(arguments.hidden)):
        raise InputError(
            f"--activation names {len(activation)} activations for "
            f"{report.counted(len(arguments.hidden), 'hidden layer')}"
        )
    net = Network(
        (X.shape[1], *arguments.hidden, Y.shape[1]),
        activation=activation[0] if len(activation) == 1 else activation,
        output_activation=arguments.output_activation or _output_for(arguments.loss, Y),
        dtype=arguments.dtype,
        init=init_for(arguments),
        seed=arguments.seed,
    )
    scale = scale_for(arguments)
    if scale != "none":
        net.fit_scaling(X, inputs=scale, rows=train.rows)
        if net.activations[-1] == "identity":
            net.fit_scaling(Y=Y)
    return net


def init_for(arguments: argparse.Namespace) -> str:
    """--init, or the default for the solver."""
    return arguments.init or BY_SHORT_NAME[arguments.solver].preferred_init


def scale_for(arguments: argparse.Namespace) -> str:
    """--scale, or the default for the solver: Nguyen-Widrow initialization assumes -1..1."""
    spread = BY_SHORT_NAME[arguments.solver].preferred_init == "nguyen_widrow"
    return arguments.scale or ("minmax" if spread else "standard")


def _output_for(loss: str, Y: np.ndarray) -> str:
    """The output activation that fits the loss and the range of the targets."""
    spec = LOSSES[loss]
    if spec.class_distribution:
        wanted = "categorical" if is_one_hot(Y) else "Bernoulli"
        return next(o for o, what in spec.class_distribution.items() if what == wanted)
    in_reach = bool((Y >= 0).all() and (Y <= 1).all())
    return spec.output_for("sigmoid" if in_reach and "sigmoid" in spec.outputs else None)


def _heeds(cls: Any, option: str) -> bool:
    """Whether a solver uses one of the options that not every solver uses."""
    if option == "batch_size":
        return not cls.full_batch
    return option in {field.name for field in fields(cls)}


def solver_for(arguments: argparse.Namespace, net: Network) -> Solver:
    """The solver that --solver names, with its options."""
    cls = BY_SHORT_NAME[arguments.solver]
    for option in _OPTIONS:
        if getattr(arguments, option) and not _heeds(cls, option):
            *most, last = (n for n, other in BY_SHORT_NAME.items() if _heeds(other, option))
            heeding = f"{', '.join(most)} and {last}" if most else last
            raise InputError(
                f"--{option.replace('_', '-')} goes with --solver {heeding}, "
                f"not with {arguments.solver}"
            )
    rate, given = arguments.learning_rate, dict[str, Any]()
    if cls is SGD:
        given = {"momentum": arguments.momentum or 0.0, "nesterov": arguments.nesterov}
        if rate is None:
            rate = default_learning_rate(net, given["momentum"], arguments.loss)
    if _heeds(cls, "learning_rate"):
        given["learning_rate"] = LEARNING_RATE if rate is None else rate
    if arguments.error_bars:
        given["keep_posterior"] = True
    return cls(**given)


def default_learning_rate(net: Network, momentum: float, loss: str = "squared_error") -> float:
    """A rate neither too large nor too small, found by trials with batches of 10 scaled rows.

    The curvature at the output grows with the units that feed it, so the rate falls with the widest
    layer; a sigmoid's slope, at most 1/4 and squared in the curvature, allows for a larger one,
    unless the loss is computed from the logits, whose derivative does not contain the slope.
    Momentum multiplies the total effect of a gradient by 1 / (1 - momentum).
    """
    widest = max(net.sizes[1:-1] or net.sizes[:1])
    flat = net.activations[-1] == "sigmoid" and not LOSSES[loss].from_O
    return (1.0 if flat else 0.1) * min(1.0, 50 / widest) * (1 - momentum)


def record(arguments: argparse.Namespace, train: Part, solver: Solver) -> dict[str, Any]:
    """The settings of the training, to be saved with the network."""
    heeded = {
        name: getattr(solver, name)
        for name in _OPTIONS
        if name != "batch_size" and _heeds(type(solver), name)
    }
    if not solver.full_batch:
        heeded["batch_size"] = arguments.batch_size or BATCH_SIZE
    optional = {
        name: getattr(arguments, name)
        for name in ("l2", "l1", "validation", "patience", "restarts")
    }
    if train.rows is not None:
        optional["split"] = SPLIT
    init = init_for(arguments)
    if arguments.restarts is not None:
        init = solver.preferred_init
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
    """Raise an InputError unless a checkpoint's network was made by the same command."""
    for what in ("sizes", "activations", "dtype"):
        _same(path, what, getattr(saved, what), getattr(fresh, what))
    then, now = (net.annotations.get("training") for net in (saved, fresh))
    if not isinstance(then, dict) or not isinstance(now, dict):
        raise InputError(f"--resume: {path} was not made by cbackprop train --checkpoint")
    for name in sorted({*then, *now} - {*_FREE}):
        _same(path, name, then.get(name), now.get(name))
    if then.get("split") != now.get("split"):
        raise InputError(
            f"--resume: {path} was made by an older version, which held out other rows; train anew"
        )
    _same(path, "columns", saved.annotations.get("coding"), fresh.annotations.get("coding"))


def _same(path: str, what: str, then: object, now: object) -> None:
    if then != now:
        raise InputError(
            f"--resume: {path} was made with {what} {then}, and this command has {now}; "
            "expected the same data and options (only --epochs and --patience may differ)"
        )
