"""The training curve as a figure, if matplotlib is installed.

A Display by scikit-learn's conventions: it stores what it draws, draws into given axes, and leaves
everything else (size, style, file) to matplotlib.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import checks
from ..errors import InputError, InputTypeError, MissingExtraError
from ..training.history import History
from .text import log_helps

__all__ = ["TrainingCurveDisplay"]

_LOSSES = ("loss", "validation_loss", "test_loss")


class TrainingCurveDisplay:
    """Training curves over the epochs, with the best epoch marked.

    `from_history` makes and draws one; ``display.plot(ax)`` draws it again in other axes.

    Parameters
    ----------
    epochs : array, (n,)
        The epochs' numbers.
    curves : mapping of str to array, (n,)
        The columns to draw, by name; a non-finite number leaves a gap.
    best_epoch : int, optional
        The epoch to mark.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes of the last plot.
    figure_ : matplotlib.figure.Figure
        The figure that contains `ax_`.
    lines_ : list of matplotlib.lines.Line2D
        One for each curve.
    best_ : matplotlib.lines.Line2D or None
        The mark of the best epoch.

    Examples
    --------
    >>> display = TrainingCurveDisplay.from_history(trainer.history)  # doctest: +SKIP
    >>> display.figure_.savefig("training.png")                       # doctest: +SKIP
    """

    ax_: Any
    figure_: Any
    lines_: list[Any]
    best_: Any

    def __init__(
        self,
        *,
        epochs: np.ndarray,
        curves: Mapping[str, np.ndarray],
        best_epoch: int | None = None,
    ) -> None:
        self.epochs = np.asarray(epochs)
        self.curves = {name: np.asarray(values) for name, values in curves.items()}
        self.best_epoch = best_epoch

    @classmethod
    def from_history(
        cls,
        history: History,
        *,
        ax: Any = None,
        columns: str | Sequence[str] | None = None,
        log_scale: bool | None = None,
        **kwargs: Any,
    ) -> "TrainingCurveDisplay":
        """Draw columns of a history.

        Parameters
        ----------
        history : History
            With at least one epoch.
        columns : str or sequence of str, optional
            None is all losses present: on training, validation and test data.
        ax, log_scale, **kwargs
            As in `plot`.

        Raises
        ------
        InputError, InputTypeError
            If the history is empty or has no such column.
        MissingExtraError
            If matplotlib is not installed.
        """
        if not isinstance(history, History):
            raise InputTypeError(
                f"history is {checks.describe(history)}; expected a cbackprop.History, e.g. "
                "trainer.history"
            )
        if not history.n_epochs:
            raise InputError("history is empty; expected one epoch at least: fit first")
        if columns is None:
            columns = [name for name in _LOSSES if name in history]
        names: Sequence[Any] = columns if isinstance(columns, (list, tuple)) else [columns]
        if not names:
            raise InputError(f"columns is empty; expected names of columns: {', '.join(history)}")
        curves = {checks.choice("columns", name, history): history[name] for name in names}
        display = cls(epochs=history.epochs, curves=curves, best_epoch=history.best_epoch)
        return display.plot(ax, log_scale=log_scale, **kwargs)

    def plot(
        self, ax: Any = None, *, log_scale: bool | None = None, **kwargs: Any
    ) -> "TrainingCurveDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            None makes a new figure with `matplotlib.pyplot`.
        log_scale : bool, optional
            Whether the vertical axis is logarithmic; None: if all values are above 0 and span a
            decade.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for each curve.

        Returns
        -------
        TrainingCurveDisplay
            Itself, with `ax_`, `figure_`, `lines_` and `best_`.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        try:
            from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
        except ImportError:
            raise MissingExtraError(
                "TrainingCurveDisplay needs matplotlib, which is not installed: "
                'pip install "cbackprop[plot]"'
            ) from None
        if ax is None:
            from matplotlib import pyplot

            _, ax = pyplot.subplots(layout="constrained")
        drawn = np.concatenate([np.empty(0), *self.curves.values()])
        if log_scale is None:
            log_scale = log_helps(drawn)
        self.ax_, self.figure_, self.lines_, self.best_ = ax, ax.figure, [], None
        for name, values in self.curves.items():
            self.lines_ += ax.plot(self.epochs, values, **{"label": _label(name), **kwargs})
            if (lone := _lone(values)).any():  # a line of one point is invisible
                color = self.lines_[-1].get_color()
                ax.plot(self.epochs[lone], values[lone], ".", color=color)
        if self.best_epoch is not None and self.best_epoch in self.epochs:
            self.best_ = ax.axvline(
                self.best_epoch, color="0.4", linestyle=":", label=f"best epoch {self.best_epoch}"
            )
        if log_scale:
            ax.set_yscale("log", nonpositive="mask")
            shown = drawn[np.isfinite(drawn) & (drawn > 0)]
            if shown.size and shown.max() / 1000 < shown.min():  # few decades: 0.2 and 0.5 too
                ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                ax.yaxis.set_major_formatter("{x:g}")
                ax.yaxis.set_minor_formatter(NullFormatter())
        ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
        ax.set_xlabel("epoch")
        ax.set_ylabel(_common_label(list(self.curves)))
        if len(self.curves) > 1 or self.best_ is not None:
            ax.legend()
        return self


def _label(name: str) -> str:
    """``loss`` as ``training loss``, ``validation_loss`` as ``validation loss``."""
    return ("training " * name.startswith("loss") + name).replace("_", " ")


def _common_label(names: Sequence[str]) -> str:
    """A label for all columns together."""
    if len(names) == 1:
        return _label(names[0])
    for kind in ("loss_in_units", "loss", "metric"):
        if all(name.endswith(kind) for name in names):
            return kind.replace("_", " ")
    return ""


def _lone(values: np.ndarray) -> np.ndarray:
    """Which numbers are finite without a finite neighbour, bool (n,)."""
    there = np.pad(np.isfinite(values), 1)
    lone: np.ndarray = there[1:-1] & ~there[:-2] & ~there[2:]
    return lone
