"""A progress bar for terminals, if tqdm is installed; otherwise nothing is shown."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Progress"]


class Progress:
    """Shows how many epochs are done.

    Parameters
    ----------
    wanted : bool
        If False, nothing is imported or shown.
    epochs : int
        The epochs of this call.
    losses : sequence of float
        The caller's list, which grows during training; its last entry is shown.

    Attributes
    ----------
    on_slice : callable or None
        To be called with the number of epochs done; None if nothing is shown.
    """

    def __init__(self, wanted: bool, epochs: int, losses: Sequence[float]) -> None:
        self._bar: Any = None
        self._losses = losses
        self.on_slice: Callable[[int], None] | None = None
        if not (wanted and sys.stderr is not None and sys.stderr.isatty()):
            return
        try:
            from tqdm import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=epochs, unit="epoch", dynamic_ncols=True)
        self.on_slice = self._show

    def _show(self, epochs_done: int) -> None:
        if self._losses:
            self._bar.set_postfix(loss=f"{self._losses[-1]:.4g}", refresh=False)
        self._bar.update(epochs_done - self._bar.n)

    def close(self) -> None:
        """Close the bar and leave it visible."""
        if self._bar is not None:
            self._bar.close()
