"""``cbackprop train``: data, network, training, report, model file, in this order."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

from .. import threads
from ..config import get_config
from ..errors import InputError
from ..network import Network
from ..scaling import Scaling
from ..solvers import SGD
from ..trainer import Trainer
from ..version import __version__
from . import report
from .coding import Coding
from .data import DIGITS, Data, read_matching, read_training
from .files import check_writable
from .split import split


def run(arguments: argparse.Namespace) -> int:
    """Train, report, save."""
    n_threads = threads.resolve(arguments.threads)
    if arguments.save is not None:
        check_writable("--save", arguments.save, filter(None, [arguments.data, arguments.test]))
    parts, coding = _read(arguments)
    net, settings = _network(arguments, parts["train"], coding)
    trainer = Trainer(
        net,
        solver=SGD(**{key: settings[key] for key in ("learning_rate", "momentum", "nesterov")}),
        batch_size=min(settings["batch_size"], len(parts["train"])),
        seed=arguments.seed,
        n_threads=arguments.threads,
    )
    seconds = _fit(trainer, parts, arguments)
    net.annotations = {"coding": coding.as_annotation(), "training": settings}
    qualities = {
        name: report.Quality.of(net, coding, part, arguments.threads)
        for name, part in parts.items()
    }
    if arguments.save is not None:
        net.save(arguments.save)
    rows_per_second = len(parts["train"]) * arguments.epochs / max(seconds, 1e-9)
    speed = {
        "seconds": seconds,
        "rows_per_second": rows_per_second,
        "instruction_set": get_config()["instruction_set"],
        "threads": n_threads,
    }
    if arguments.json:
        _print_json(net, coding, settings, qualities, speed, arguments)
    elif not arguments.quiet:
        _print_text(net, coding, settings, qualities, speed, arguments)
    return 0


def _read(arguments: argparse.Namespace) -> tuple[dict[str, Data], Coding]:
    """The parts of the data, ``train`` first."""
    if arguments.test is not None and arguments.data == DIGITS:
        raise InputError("--test FILE goes with a file as DATA; digits is split by --test-fraction")
    train, coding = read_training(
        arguments.data,
        targets=arguments.target,
        ignore=arguments.ignore,
        classify=arguments.classify,
    )
    parts: dict[str, Data] = {}
    by_class = coding.classes is not None
    if arguments.test is not None:
        assert train.Y is not None
        n_in, n_out = train.X.shape[1], train.Y.shape[1]
        test = read_matching(arguments.test, coding, n_in, n_out, kind=train.kind)
        if test.Y is None:
            raise InputError(f"--test {arguments.test}: it holds no targets")
        parts["test"] = test
    elif arguments.test_fraction:
        train, parts["test"] = split(
            train, arguments.test_fraction, arguments.seed, by_class=by_class, purpose="test"
        )
    if arguments.validation_fraction:
        train, parts["validation"] = split(
            train,
            arguments.validation_fraction,
            arguments.seed,
            by_class=by_class,
            purpose="validation",
        )
    order = ("train", "validation", "test")
    parts["train"] = train
    return {name: parts[name] for name in order if name in parts}, coding


def _network(
    arguments: argparse.Namespace, train: Data, coding: Coding
) -> tuple[Network, dict[str, Any]]:
    """The untrained network, and the settings of its training as they are saved with it."""
    assert train.Y is not None
    activation = arguments.activation
    if len(activation) not in (1, len(arguments.hidden)):
        raise InputError(
            f"--activation names {len(activation)} activations for "
            f"{report.counted(len(arguments.hidden), 'hidden layer')}"
        )
    output_activation = arguments.output_activation
    if output_activation is None:
        in_range = bool((train.Y >= 0).all() and (train.Y <= 1).all())
        output_activation = "sigmoid" if in_range else "identity"
    net = Network(
        (train.X.shape[1], *arguments.hidden, train.Y.shape[1]),
        activation=activation[0] if len(activation) == 1 else activation,
        output_activation=output_activation,
        dtype=arguments.dtype,
        init=arguments.init,
        seed=arguments.seed,
    )
    if arguments.scale != "none":
        net.input_scaling = getattr(Scaling, arguments.scale)(train.X)
    rate = arguments.learning_rate
    return net, {
        "cbackprop": __version__,
        "data": arguments.data,
        "rows": len(train),
        "scale": arguments.scale,
        "init": arguments.init,
        "learning_rate": default_learning_rate(net, arguments.momentum) if rate is None else rate,
        "momentum": arguments.momentum,
        "nesterov": arguments.nesterov,
        "batch_size": arguments.batch_size,
        "epochs": arguments.epochs,
        "seed": arguments.seed,
    }


def default_learning_rate(net: Network, momentum: float) -> float:
    """A rate that neither diverges nor crawls, found by trials with batches of 10 scaled rows.

    The curvature at the output grows with the units that feed it, so the rate falls with the widest
    layer; a sigmoid's slope, at most 1/4 and squared in the curvature, allows for a larger one.
    Momentum multiplies what a gradient does in the end by 1 / (1 - momentum).
    """
    widest = max(net.sizes[1:-1] or net.sizes[:1])
    rate = 1.0 if net.activations[-1] == "sigmoid" else 0.1
    return rate * min(1.0, 50 / widest) * (1 - momentum)


def _converts_targets(net: Network, arguments: argparse.Namespace) -> bool:
    return net.activations[-1] == "identity" and arguments.scale != "none"


def _fit(trainer: Trainer, parts: dict[str, Data], arguments: argparse.Namespace) -> float:
    """Train; the seconds it took.

    Targets of any size and unit are learnt as numbers of mean 0 and deviation 1 where the output is
    linear, for the last layer can take the change of units in: with y = (Z W + b) / scale + shift,
    W becomes W / scale and b becomes b / scale + shift.
    """
    net = trainer.network
    train, validation = parts["train"], parts.get("validation")
    assert train.Y is not None
    shift, scale = np.zeros(train.Y.shape[1]), np.ones(train.Y.shape[1])
    converted = _converts_targets(net, arguments)
    if converted:
        scaling = Scaling.standard(train.Y)
        shift, scale = scaling.shift, scaling.scale
    validation_data = None
    if validation is not None and validation.Y is not None:
        validation_data = (validation.X, (validation.Y - shift) * scale)
    begin = time.perf_counter()
    try:
        trainer.fit(
            train.X,
            (train.Y - shift) * scale if converted else train.Y,
            epochs=arguments.epochs,
            validation_data=validation_data,
            progress=not (arguments.quiet or arguments.no_progress),
        )
    except KeyboardInterrupt:
        unsaved = f"; nothing was written to {arguments.save}" if arguments.save else ""
        raise KeyboardInterrupt(
            f"interrupted in epoch {trainer.epoch + 1} of {arguments.epochs}{unsaved}"
        ) from None
    seconds = time.perf_counter() - begin
    if converted:
        net.weights[-1][:] /= scale
        net.biases[-1][:] = net.biases[-1] / scale + shift
    return seconds


def _print_text(
    net: Network,
    coding: Coding,
    settings: dict[str, Any],
    qualities: dict[str, report.Quality],
    speed: dict[str, Any],
    arguments: argparse.Namespace,
) -> None:
    rows = " + ".join(f"{part.rows} {name}" for name, part in qualities.items())
    what = report.outputs_line(coding, net.sizes[-1])
    targets = "; targets standard while training" * _converts_targets(net, arguments)
    momentum = f", momentum {settings['momentum']:g}" if settings["momentum"] else ""
    momentum += " (Nesterov)" if settings["nesterov"] else ""
    training = (
        f"{report.counted(settings['epochs'], 'epoch')}, batch {settings['batch_size']}, "
        f"learning rate {settings['learning_rate']:g}{momentum}, seed {settings['seed']}"
    )
    time = (
        f"{speed['seconds']:.3g} s, {speed['rows_per_second']:,.0f} rows/s, "
        f"{speed['instruction_set']}, {report.counted(speed['threads'], 'thread')}"
    )
    lines = [
        ("data", f"{arguments.data}: {rows} rows, {report.counted(net.sizes[0], 'input')}, {what}"),
        ("scaling", settings["scale"] + targets),
        *report.network_facts(net),
        ("training", training),
        ("time", time),
    ]
    if arguments.save is not None:
        lines.append(("saved", arguments.save))
    print(report.facts(lines), report.quality_table(qualities), sep="\n\n")


def _print_json(
    net: Network,
    coding: Coding,
    settings: dict[str, Any],
    qualities: dict[str, report.Quality],
    speed: dict[str, Any],
    arguments: argparse.Namespace,
) -> None:
    document = {
        "network": {
            "sizes": net.sizes,
            "activations": net.activations,
            "dtype": net.dtype.name,
        },
        "classes": coding.classes,
        "training": settings,
        **{name: part.as_dict() for name, part in qualities.items()},
        **speed,
        "saved": arguments.save,
    }
    json.dump(document, sys.stdout, indent=2)
    print()
