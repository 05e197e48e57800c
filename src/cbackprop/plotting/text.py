"""A small loss curve in text, for a terminal.

It promises to stay small: pictures are `plotting`'s.
"""

import math

import numpy as np

from ..training.history import History

__all__ = ["log_helps", "loss_curve"]

# Training, validation, both in one place, best epoch; tick, side, corner and floor of the frame.
_UNICODE = tuple("•○◉▲┤│└─")
_ASCII = tuple("*o@^+|+-")

# Characters beside the plot: a number, a blank and the frame.
_BESIDE = 12

# Losses above are left out: 10 to the power of the largest float's logarithm may overflow.
_MOST = 1e308


def loss_curve(
    history: History, *, width: int = 72, height: int = 12, encoding: str | None = "utf-8"
) -> str:
    """Training and validation loss over the epochs, as lines of text.

    Parameters
    ----------
    history : History
        A column of the plot shows the mean of the epochs that fall into it; what is not finite is
        left out.
    width, height : int
        Of the whole, in characters, and of the plot alone, in lines.
    encoding : str or None
        Of the stream it is for: where that cannot show the usual marks, or is not known, ASCII.

    Returns
    -------
    str
        Without a last line break; empty where there is no finite loss.  The vertical axis is
        logarithmic where `log_helps`; its numbers are those of the middle of their lines.
    """
    names = [name for name in ("loss", "validation_loss") if name in history]
    losses = np.array([history[name] for name in names])
    losses[~(np.abs(losses) <= _MOST)] = np.nan
    if np.isnan(losses).all():
        return ""
    is_log = log_helps(losses)
    # Divided by the largest, no sum and no difference overflows.
    unit = 1.0 if is_log else float(np.nanmax(np.abs(losses))) or 1.0
    first, after = _runs(history.n_epochs, max(width - _BESIDE, 16))
    curves = _means(np.log10(losses) if is_log else losses / unit, first, after)
    low, high = float(np.nanmin(curves)), float(np.nanmax(curves))
    n_lines = max(height, 2) if low < high else 1

    marks = _marks(encoding)
    training, validation, both, best_mark, tick, side, corner, floor = marks
    labels = [""] * n_lines
    for line in {0, (n_lines - 1) // 2, n_lines - 1}:
        value = low + (high - low) * line / max(n_lines - 1, 1)
        labels[line] = f"{10**value if is_log else value * unit:.3g}"
    margin = max(map(len, labels))
    cells = _cells((curves - low) / ((high - low) or 1.0) * (n_lines - 1), n_lines, marks)
    plot = [
        f"{label:>{margin}} {tick if label else side}{''.join(row)}".rstrip()
        for label, row in zip(labels, cells, strict=True)
    ]

    base = [floor] * len(first)
    notes = [f"{training} training", f"{validation} validation", f"{both} both"]
    notes = notes if len(names) > 1 else []
    best = history.best_epoch
    if best is not None and best in history.epochs:
        index = best - history.first_epoch
        base[int(np.searchsorted(after, index, side="right"))] = best_mark
        notes.append(f"{best_mark} best epoch {best}")
    start = f"epoch {history.first_epoch} "
    end = f"{history.epochs[-1]:>{len(first) - len(start)}}" if history.n_epochs > 1 else ""
    below = [start + end, "   ".join(notes)] if notes else [start + end]
    return "\n".join(
        [
            "loss, log scale" if is_log else "loss",
            *reversed(plot),
            " " * (margin + 1) + corner + "".join(base),
            *(" " * (margin + 2) + text.rstrip() for text in below),
        ]
    )


def log_helps(values: np.ndarray) -> bool:
    """Whether a logarithmic axis shows more: all above 0, the largest ten times the least or more.

    NaN and infinities aside.
    """
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() / 10 >= values.min())


def _runs(n_epochs: int, most_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The first epoch of each column, and the one after its last."""
    n_columns = most_columns
    if n_epochs < n_columns:
        n_columns -= n_columns % n_epochs  # each epoch is equally wide
    edges = np.arange(n_columns + 1) * n_epochs // n_columns
    return edges[:-1], np.maximum(edges[1:], edges[:-1] + 1)


def _means(curves: np.ndarray, first: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The mean of each run of epochs (n_curves, n_columns), NaN where none has a number."""
    means = np.full((len(curves), len(first)), math.nan)
    for column, (start, end) in enumerate(zip(first, after, strict=True)):
        for k, run in enumerate(curves[:, start:end]):
            if not np.isnan(run).all():
                means[k, column] = np.nanmean(run)
    return means


def _cells(heights: np.ndarray, n_lines: int, marks: tuple[str, ...]) -> np.ndarray:
    """The characters of the plot (n_lines, n_columns), the lowest line first."""
    cells = np.full((n_lines, heights.shape[1]), " ")
    for mark, curve in zip(marks, heights, strict=False):
        for column in np.flatnonzero(~np.isnan(curve)):
            line = round(curve[column])
            cells[line, column] = mark if cells[line, column] == " " else marks[2]
    return cells


def _marks(encoding: str | None) -> tuple[str, ...]:
    try:
        "".join(_UNICODE).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return _UNICODE
