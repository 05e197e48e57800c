"""Passes the core's records to histories, callbacks, progress and checkpoints during a fit."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.fit.records import RecordKeeper
from ..errors import BusyError
from .evaluation import Evaluations
from .history import History
from .progress import Progress

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["Recorder", "columns_of", "on_slice"]


def columns_of(
    trainer: "Trainer", evaluations: Evaluations, *, gradient_norm: bool, in_units: bool
) -> list[str]:
    """The columns recorded in each epoch.

    in_units : whether the loss is also recorded in the targets' own units
    """
    wanted = ["loss", "learning_rate", "seconds"]
    if (trainer.l1 or trainer.l2) and not trainer._conventions.l2_shared:
        wanted.append("penalty")
    wanted += trainer.solver.columns
    if gradient_norm or trainer.solver.full_batch:
        wanted.append("gradient_norm")
    if in_units:
        wanted.append("loss_in_units")
    for name in evaluations.names:
        wanted.append(f"{name}_loss")
        if evaluations.metric is not None:
            wanted.append(f"{name}_metric")
        if in_units:
            wanted.append(f"{name}_loss_in_units")
    return wanted


class Recorder(RecordKeeper):
    """Adds the core's records to two histories: this call's and the trainer's.

    `records` are the columns of this call's history, which grows with them.  `deliver(trainer)`
    brings the trainer's history up to date in one uninterruptible call: a signal finds both
    consistent.
    """

    def __init__(self, trainer: "Trainer", columns: Iterable[str]) -> None:
        before = trainer.history
        self.history = History(before.first_epoch + before.n_epochs, columns=columns)
        self.records = self.history._columns
        self.trainer, self.network = trainer, trainer.network
        super().__init__(self.records)

    def tell(self, epoch: int, callbacks: tuple[Any, ...]) -> bool:
        """Call the callbacks; return whether one of them wants to stop."""
        self.deliver(self.trainer)
        stop = False
        for callback in callbacks:
            record: dict[str, Any] = {"epoch": epoch}
            record |= {name: column[-1] for name, column in self.records.items()}
            answer = callback.on_epoch_end(self.trainer, record)
            stop |= isinstance(answer, (bool, np.bool_)) and bool(answer)
        if self.trainer.network is not self.network:
            raise BusyError(
                "a callback has set trainer.network to another network while the fit trains the "
                "first; expected the same: make a new Trainer for another network"
            )
        return stop


def on_slice(
    trainer: "Trainer", bar: Progress | None, saver: Any, recorder: Recorder
) -> Callable[[int, bool], None] | None:
    """The function to call between slices, or None if there is nothing to do."""
    show = trainer._conventions.between_slices
    if show is None and bar is not None:
        show = bar.on_slice
    if saver is None:
        return None if show is None else (lambda done, last: show(done))

    def show_and_save(done: int, last: bool) -> None:
        if show is not None:
            show(done)
        if last or saver.due(trainer.epoch, time.monotonic()):
            recorder.deliver(trainer)
            saver.save(trainer)

    return show_and_save
