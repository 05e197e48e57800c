"""``cbackprop train``: data, network, training, report, files, in this order.

Rows are held out as in `Trainer.fit`, the same ones for the same seed, and by number: X is read
once and never copied.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

import numpy as np

from ..errors import InputError
from ..machine import threads
from ..machine.config import get_config
from ..training import splits
from ..training.checkpoint import Checkpoint
from ..training.early_stopping import EarlyStopping
from ..training.history import History
from ..training.trainer import Trainer
from . import outcome, report, settings
from .coding import Coding
from .data import DIGITS, Data, Part, read_matching, read_training


def run(arguments: argparse.Namespace) -> int:
    """Train, report, save."""
    n_threads = threads.resolve(arguments.threads)
    outcome.check_files(arguments)
    parts, coding = _read(arguments)
    trainer = _trainer(arguments, parts["train"], coding)
    epochs_before, begin = trainer.epoch, time.perf_counter()
    history = _fit(trainer, parts, arguments)
    seconds = time.perf_counter() - begin
    net = trainer.network
    qualities = {
        name: report.Quality.of(net, coding, part, arguments.loss, arguments.threads)
        for name, part in parts.items()
    }
    if arguments.save is not None:
        net.save(arguments.save)
    outcome.write_files(arguments, trainer.history)
    epochs = trainer.epoch - epochs_before
    if history.restarts is not None:
        epochs = sum(one.n_epochs for one in history.restarts)
    rows_seen = len(parts["train"]) * epochs
    speed = {
        "seconds": seconds,
        "rows_per_second": rows_seen / max(seconds, 1e-9),
        "instruction_set": get_config()["instruction_set"],
        "threads": n_threads,
    }
    if arguments.json:
        _print_json(trainer, history, coding, qualities, speed, arguments)
    elif not arguments.quiet:
        _print_text(trainer, history, coding, qualities, speed, arguments)
    return 0


def _read(arguments: argparse.Namespace) -> tuple[dict[str, Part], Coding]:
    """The parts of the data, with ``train`` first."""
    if arguments.test is not None and arguments.data == DIGITS:
        raise InputError("--test FILE goes with a file as DATA; digits is split by --test-fraction")
    data, coding = read_training(
        arguments.data,
        targets=arguments.target,
        ignore=arguments.ignore,
        classify=arguments.classify,
    )
    assert data.Y is not None
    parts = _held_out(arguments, data, _classes(arguments, coding, data.Y))
    if arguments.test is not None:
        n_in, n_out = data.X.shape[1], data.Y.shape[1]
        test = read_matching(arguments.test, coding, n_in, n_out, kind=data.kind)
        if test.Y is None:
            raise InputError(f"--test {arguments.test}: it holds no targets")
        parts["test"] = Part(test)
    return parts, coding


def _held_out(
    arguments: argparse.Namespace, data: Data, classes: np.ndarray | None
) -> dict[str, Part]:
    """The training rows, and those of --validation and --test-fraction."""
    names = ("--validation", "--test-fraction")
    fractions = [
        arguments.validation or None,
        (arguments.test_fraction or None) if arguments.test is None else None,
    ]
    if fractions == [None, None]:
        return {"train": Part(data)}
    try:
        train, held_out = splits.split(fractions, len(data), arguments.seed, classes, names=names)
    except InputError as error:
        options = [name for name, f in zip(names, fractions, strict=True) if f is not None]
        raise InputError(
            f"{data.source}: {error}; {' or '.join(f'{name} 0' for name in options)} holds none out"
        ) from None
    parts = {"train": train, "validation": held_out[0], "test": held_out[1]}
    return {name: Part(data, rows) for name, rows in parts.items() if rows is not None}


def _classes(arguments: argparse.Namespace, coding: Coding, Y: np.ndarray) -> np.ndarray | None:
    """A class for each row, if there are classes or a single yes/no output with cross-entropy."""
    if coding.classes is None and arguments.loss != "cross_entropy":
        return None
    return splits.classes_of(Y)


def _trainer(arguments: argparse.Namespace, train: Part, coding: Coding) -> Trainer:
    """A new trainer, or the one from the checkpoint."""
    net = settings.network_for(arguments, train)
    solver = settings.solver_for(arguments, net)
    training = settings.record(arguments, train, solver)
    net.annotations = {"coding": coding.as_annotation(), "training": training}
    if not arguments.resume:
        if arguments.checkpoint is not None and os.path.isfile(arguments.checkpoint):
            raise InputError(
                f"--checkpoint {arguments.checkpoint}: there is one already; add --resume to go on "
                "from it, or remove it to begin anew"
            )
        return Trainer(
            net,
            solver=solver,
            loss=arguments.loss,
            batch_size=training.get("batch_size"),
            l1=arguments.l1,
            l2=arguments.l2,
            seed=arguments.seed,
            n_threads=arguments.threads,
        )
    trainer = Trainer.load(arguments.checkpoint)
    settings.check_resumed(arguments.checkpoint, trainer.network, net)
    trainer.network.annotations = net.annotations
    trainer.n_threads = arguments.threads
    return trainer


def _fit(trainer: Trainer, parts: dict[str, Part], arguments: argparse.Namespace) -> History:
    """Train up to --epochs in total."""
    data, validation, test = parts["train"].data, parts.get("validation"), parts.get("test")
    checkpoint, patience = arguments.checkpoint, arguments.patience
    try:
        return trainer.fit(
            data.X,
            data.Y,
            epochs=max(0, arguments.epochs - trainer.epoch),
            validation_data=None if validation is None else validation.rows,
            test_data=None if test is None else test.rows,
            early_stopping=None if patience is None else EarlyStopping(patience=patience),
            checkpoint=None if checkpoint is None else Checkpoint(checkpoint),
            progress=not (arguments.quiet or arguments.no_progress),
            restarts=arguments.restarts,
        )
    except KeyboardInterrupt:
        where = f"interrupted in epoch {trainer.epoch + 1} of {arguments.epochs}"
        if arguments.restarts is not None:
            where = f"interrupted in the {arguments.restarts} restarts"
        if checkpoint is not None:
            trainer.save(checkpoint)
            where += f"; the same command with --resume goes on from {checkpoint}"
        elif arguments.save is not None:
            where += f"; nothing was written to {arguments.save}"
        raise KeyboardInterrupt(where) from None


def _print_text(
    trainer: Trainer,
    fit: History,
    coding: Coding,
    qualities: dict[str, report.Quality],
    speed: dict[str, Any],
    arguments: argparse.Namespace,
) -> None:
    net, history = trainer.network, trainer.history
    rows = " + ".join(f"{part.rows} {name}" for name, part in qualities.items())
    what = report.outputs_line(coding, net.sizes[-1])
    time = (
        f"{speed['seconds']:.3g} s, {speed['rows_per_second']:,.0f} rows/s, "
        f"{speed['instruction_set']}, {report.counted(speed['threads'], 'thread')}"
    )
    training = net.annotations["training"]
    scaling = settings.scale_for(arguments)
    lines = [
        ("data", f"{arguments.data}: {rows} rows, {report.counted(net.sizes[0], 'input')}, {what}"),
        ("scaling", scaling + "; targets standard" * (net.output_scaling is not None)),
        *report.network_facts(net),
        ("training", report.training_line(training)),
        *outcome.ending(history, training),
        *outcome.restarts(fit),
        ("time", time),
    ]
    for name in ("saved", "checkpoint", "history", "plot"):
        path = getattr(arguments, "save" if name == "saved" else name)
        if path is not None:
            lines.append((name, path))
    blocks = [report.facts(lines), report.quality_table(qualities), outcome.curve(history)]
    print(*filter(None, blocks), sep="\n\n")


def _print_json(
    trainer: Trainer,
    fit: History,
    coding: Coding,
    qualities: dict[str, report.Quality],
    speed: dict[str, Any],
    arguments: argparse.Namespace,
) -> None:
    net, history = trainer.network, trainer.history
    document = {
        "network": {
            "sizes": net.sizes,
            "activations": net.activations,
            "dtype": net.dtype.name,
        },
        "classes": coding.classes,
        "training": net.annotations["training"],
        "epochs": history.n_epochs,
        "stop_reason": history.stop_reason,
        "best_epoch": history.best_epoch,
        **({} if fit.restarts is None else {"best_restart": fit.best_restart}),
        **{name: part.as_dict() for name, part in qualities.items()},
        **speed,
        "saved": arguments.save,
    }
    json.dump(document, sys.stdout, indent=2)
    print()
