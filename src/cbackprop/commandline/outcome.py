"""A training's results besides its model: the history, a figure, and how it ended, in words."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingExtraError
from ..plotting.curve import TrainingCurveDisplay
from ..plotting.text import loss_curve
from ..training.history import History
from .files import check_writable

# The options that name a file to be written, in the order in which they are checked.
_OPTIONS = ("save", "checkpoint", "history", "plot")

_REASONS = {"early_stopping": "no better for {patience}", "converged": "converged"}


def check_files(arguments: argparse.Namespace) -> None:
    """Raise unless all files can be written; called before the training."""
    sources = [name for name in (arguments.data, arguments.test) if name is not None]
    taken: dict[str, str] = {}
    for option in _OPTIONS:
        target = getattr(arguments, option)
        if target is None:
            continue
        check_writable(f"--{option}", target, sources)
        other = taken.setdefault(os.path.realpath(target), option)
        if other != option and Path(target).parent != Path("/dev"):
            raise InputError(f"--{option} {target}: --{other} names the same file")
    if arguments.plot is not None:
        kinds = _figure().canvas.get_supported_filetypes()
        kind = Path(arguments.plot).suffix[1:].lower()
        if kind not in kinds:
            raise InputError(
                f"--plot {arguments.plot}: matplotlib writes no such file; expected a name that "
                f"ends in one of {', '.join('.' + kind for kind in kinds)}"
            )


def write_files(arguments: argparse.Namespace, history: History) -> None:
    """Write the files of --history and --plot."""
    if arguments.history is not None:
        Path(arguments.history).write_text(history.to_json() + "\n", encoding="utf-8")
    if arguments.plot is not None:
        display = TrainingCurveDisplay.from_history(history, ax=_figure().subplots())
        display.figure_.savefig(arguments.plot, dpi=150)


def ending(history: History, settings: dict[str, Any]) -> list[tuple[str, str]]:
    """The epochs done, why training ended, and the best epoch, for `report.facts`."""
    epochs = f"{history.n_epochs} of {settings['epochs']}"
    reason = _REASONS.get(history.stop_reason or "", "")
    reason = reason.format(patience=settings.get("patience"))
    lines = [("epochs", f"{epochs}, {reason}" if reason else epochs)]
    if history.best_epoch is not None:
        lines.append(("best epoch", f"{history.best_epoch} (from 0), whose network this is"))
    return lines


def restarts(history: History) -> list[tuple[str, str]]:
    """The best restart, and the number of restarts, for `report.facts`."""
    if history.restarts is None:
        return []
    reasons = [one.stop_reason for one in history.restarts]
    words = f"{history.best_restart} (from 0) of {len(reasons)}, whose network this is"
    if "diverged" in reasons:
        words += f"; {reasons.count('diverged')} diverged"
    return [("best restart", words)]


def curve(history: History) -> str:
    """The loss curve, if standard output is a terminal."""
    if not sys.stdout.isatty():
        return ""
    width = min(shutil.get_terminal_size().columns - 1, 72)
    return loss_curve(history, width=width, encoding=sys.stdout.encoding)


def _figure() -> Any:
    """A figure without pyplot, which needs no display."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            '--plot needs matplotlib, which is not installed: pip install "cbackprop[plot]"'
        ) from None
    return Figure(layout="constrained")
