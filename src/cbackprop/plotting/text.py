"""Curves as lines of text, for a terminal or to paste into a document.

`loss_curve` draws the losses of a training over its epochs, `plot` any curves on logarithmic axes.
Both fill a grid of characters, the lowest line first, and put it into the same frame.  This file
only plots given numbers; `TrainingCurveDisplay` draws figures.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..training.history import History

__all__ = ["Axis", "Curve", "label", "log_helps", "loss_curve", "plot", "x_ticks", "y_ticks"]

# ------------------------------------------------------------------------------------- the frame

# Tick, side, corner and bottom of the frame.
_ASCII_FRAME = tuple("+|+-")
_UNICODE_FRAME = tuple("┤│└─")


def _framed(
    title: str,
    cells: np.ndarray,
    labels: Mapping[int, str],
    floor: str,
    below: Iterable[str],
    frame: tuple[str, ...] = _ASCII_FRAME,
) -> Iterator[str]:
    """The lines of a plot.

    Parameters
    ----------
    title : str
        The first line: the label of the vertical axis.
    cells : ndarray of str, (n_lines, n_columns)
        The plot, its lowest line first.
    labels : mapping of int to str
        The labels of some of the lines.
    floor, below
        The text in the frame's bottom line and below it, from the plot's first column on.
    frame
        Tick, side, corner and bottom.
    """
    tick, side, corner, _ = frame
    margin = max(map(len, labels.values()), default=0)
    yield title
    for line in range(len(cells) - 1, -1, -1):
        number = labels.get(line, "")
        row = "".join(cells[line])
        yield f"{number:>{margin}} {tick if number else side}{row}".rstrip()
    yield f"{'':{margin}} {corner}{floor}"
    for text in below:
        yield f"{'':{margin}}  {text}".rstrip()


def _mark(
    cells: np.ndarray, line: int, column: int, mark: str, several: str, free: str = " "
) -> bool:
    """Put a mark into its cell, or `several` if it has one already; return whether it had."""
    taken = str(cells[line, column]) not in free
    cells[line, column] = several if taken else mark
    return taken


# ------------------------------------------------------------------------ the losses of a training

# The marks of training, validation, both in one cell, and the best epoch.
_UNICODE = tuple("•○◉▲")
_ASCII = tuple("*o@^")

# Characters beside the plot: a number, a blank and the frame.
_BESIDE = 12

# Larger losses are left out: 10 to the power of the largest float's logarithm may overflow.
_MOST = 1e308


def loss_curve(
    history: History, *, width: int = 72, height: int = 12, encoding: str | None = "utf-8"
) -> str:
    """Training and validation loss over the epochs, as lines of text.

    Parameters
    ----------
    history : History
        A column of the plot shows the mean of its epochs, without non-finite numbers.
    width, height : int
        The total width in characters, and the height of the plot alone in lines.
    encoding : str or None
        The output stream's; if it is None or lacks the usual marks, ASCII is used.

    Returns
    -------
    str
        Without a final line break; empty if there is no finite loss.  The vertical axis is
        logarithmic if `log_helps`; its numbers are the values in the middle of their lines.
    """
    names = [name for name in ("loss", "validation_loss") if name in history]
    losses = np.array([history[name] for name in names])
    losses[~(np.abs(losses) <= _MOST)] = np.nan
    if np.isnan(losses).all():
        return ""
    is_log = log_helps(losses)
    # Dividing by the largest value avoids overflow in sums and differences.
    unit = 1.0 if is_log else float(np.nanmax(np.abs(losses))) or 1.0
    first, after = _runs(history.n_epochs, max(width - _BESIDE, 16))
    curves = _means(np.log10(losses) if is_log else losses / unit, first, after)
    low, high = float(np.nanmin(curves)), float(np.nanmax(curves))
    n_lines = max(height, 2) if low < high else 1

    (training, validation, both, best_mark), frame = _marks(encoding)
    labels = {}
    for line in {0, (n_lines - 1) // 2, n_lines - 1}:
        value = low + (high - low) * line / max(n_lines - 1, 1)
        labels[line] = f"{10**value if is_log else value * unit:.3g}"
    cells = np.full((n_lines, len(first)), " ")
    heights = (curves - low) / ((high - low) or 1.0) * (n_lines - 1)
    for mark, curve in zip((training, validation), heights, strict=False):
        for column in np.flatnonzero(~np.isnan(curve)):
            _mark(cells, round(curve[column]), int(column), mark, both)

    floor = [frame[-1]] * len(first)
    notes = [f"{training} training", f"{validation} validation", f"{both} both"]
    notes = notes if len(names) > 1 else []
    best = history.best_epoch
    if best is not None and best in history.epochs:
        index = best - history.first_epoch
        floor[int(np.searchsorted(after, index, side="right"))] = best_mark
        notes.append(f"{best_mark} best epoch {best}")
    start = f"epoch {history.first_epoch} "
    end = f"{history.epochs[-1]:>{len(first) - len(start)}}" if history.n_epochs > 1 else ""
    below = [start + end, "   ".join(notes)] if notes else [start + end]
    title = "loss, log scale" if is_log else "loss"
    return "\n".join(_framed(title, cells, labels, "".join(floor), below, frame))


def log_helps(values: np.ndarray) -> bool:
    """Whether all values are above 0 and the largest is at least ten times the smallest.

    NaN and infinities are ignored.
    """
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() / 10 >= values.min())


def _runs(n_epochs: int, most_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The first epoch of each column, and the one after its last epoch."""
    n_columns = most_columns
    if n_epochs < n_columns:
        n_columns -= n_columns % n_epochs  # so that all epochs are equally wide
    edges = np.arange(n_columns + 1) * n_epochs // n_columns
    return edges[:-1], np.maximum(edges[1:], edges[:-1] + 1)


def _means(curves: np.ndarray, first: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The mean of each run of epochs (n_curves, n_columns), NaN for a run without numbers."""
    means = np.full((len(curves), len(first)), math.nan)
    for column, (start, end) in enumerate(zip(first, after, strict=True)):
        for k, run in enumerate(curves[:, start:end]):
            if not np.isnan(run).all():
                means[k, column] = np.nanmean(run)
    return means


def _marks(encoding: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The marks of the curves and of the frame."""
    try:
        "".join(_UNICODE + _UNICODE_FRAME).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII, _ASCII_FRAME
    return _UNICODE, _UNICODE_FRAME


# ------------------------------------------------------------------- curves on logarithmic axes

WIDTH, HEIGHT = 78, 16
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# The largest scales of the axes, in columns per octave and lines per decade.
MOST_COLUMNS, MOST_LINES = 24, 20


@dataclass(frozen=True)
class Curve:
    """A curve for `plot`, with all coordinates above 0.

    Attributes
    ----------
    name : str
    points : list of (x, y)
        Each is drawn as a letter.
    limits : list of (x, y)
        Connected by dots; may be empty.
    """

    name: str
    points: list[tuple[float, float]]
    limits: list[tuple[float, float]]


class Axis:
    """A logarithmic axis: ``per_unit`` cells per factor ``base``, from the smallest value."""

    def __init__(self, values: Sequence[float], base: float, cells: int, most: int) -> None:
        low, high = math.log(min(values), base), math.log(max(values), base)
        self.base = base
        self.per_unit = max(1, min(most, int((cells - 1) / (high - low)))) if high > low else 1
        self.first = round(low * self.per_unit)
        self.length = round(high * self.per_unit) - self.first + 1

    def __call__(self, value: float) -> int:
        """The cell of a value."""
        return round(math.log(value, self.base) * self.per_unit) - self.first


def plot(
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    width: int = WIDTH,
    height: int = HEIGHT,
    dotted: str = "the limit",
) -> Iterator[str]:
    """Curves on logarithmic axes as ASCII lines, at most `width` wide except for the curve names.

    Parameters
    ----------
    curves : sequence of Curve
    x_label, y_label : str
        The labels of the axes.
    width, height : int
        The total width in characters, and the height of the plot alone in lines.
    dotted : str
        The description of the curves' ``limits``.
    """
    y_axis = Axis(_heights(curves), 10, height, MOST_LINES)
    ticks = y_ticks(y_axis)
    margin = max(map(len, ticks.values()), default=0)
    xs = sorted({x for curve in curves for x, _ in curve.points})
    # The last label is centred below its mark, so half of it may extend further.
    x_axis = Axis(xs, 2, width - margin - 3 - len(label(xs[-1])) // 2, MOST_COLUMNS)

    # The first column is left empty.
    cells = np.full((y_axis.length, 1 + x_axis.length), " ")
    for curve in curves:
        for column, y in _between(curve.limits, x_axis):
            cells[y_axis(y), 1 + column] = "."
    shared = False
    for letter, curve in zip(LETTERS, curves, strict=False):
        for x, y in curve.points:
            shared |= _mark(cells, y_axis(y), 1 + x_axis(x), letter, "*", free=" .")

    marks, numbers = x_ticks(xs, x_axis)
    notes = [f"{letter} {curve.name}" for letter, curve in zip(LETTERS, curves, strict=False)]
    notes += [f". {dotted}"] if any(curve.limits for curve in curves) else []
    notes += ["* several"] if shared else []
    below = [f" {text}" for text in (numbers, x_label.center(x_axis.length), "   ".join(notes))]
    return _framed(y_label, cells, ticks, "-" + marks, below)


def label(value: float) -> str:
    """A number for an axis: 1,000 or 0.01."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def y_ticks(axis: Axis) -> dict[int, str]:
    """{line: label}: the powers of ten, and 2 and 5 between them if there are enough lines."""
    found = {}
    low = math.floor(axis.first / axis.per_unit)
    high = math.ceil((axis.first + axis.length) / axis.per_unit)
    for power in range(low, high + 1):
        for digit in (1, 2, 5) if axis.per_unit >= 6 else (1,):
            line = axis(digit * 10.0**power)
            if 0 <= line < axis.length:
                found[line] = label(digit * 10.0**power)
    return found


def x_ticks(values: Sequence[float], axis: Axis) -> tuple[str, str]:
    """The marks below the plot and their labels: every value, or every second, third, ..."""
    for every in range(1, len(values) + 1):
        marks, labels = ["-"] * axis.length, ""
        for value in values[::every]:
            text = label(value)
            start = max(0, axis(value) - (len(text) - 1) // 2)
            if labels and start < len(labels) + 2:
                break
            marks[axis(value)] = "+"
            labels = labels.ljust(start) + text
        else:
            break
    return "".join(marks), labels


def _heights(curves: Sequence[Curve]) -> tuple[float, float]:
    """The lower and upper limits, widened to 1, 2 or 5 times a power of ten within a decade."""
    values = [y for curve in curves for _, y in curve.points + curve.limits]
    low, high = min(values), max(values)
    if high < 10 * low:
        power = math.floor(math.log10(low))
        near = [digit * 10.0**k for k in range(power - 1, power + 3) for digit in (1, 2, 5)]
        low = max(value for value in near if value <= low)
        high = min(value for value in near if value >= high)
    return low, high


def _between(points: Sequence[tuple[float, float]], x_axis: Axis) -> Iterator[tuple[int, float]]:
    """Yield each column from the first to the last point, with the connecting line's height."""
    for (x0, y0), (x1, y1) in pairwise(points):
        first, last = x_axis(x0), x_axis(x1)
        for column in range(first, last + 1):
            part = (column - first) / max(1, last - first)
            yield column, y1 if column == last else y0 * (y1 / y0) ** part
    if len(points) == 1:
        yield x_axis(points[0][0]), points[0][1]
