"""Several trainings from newly drawn parameters, of which the best is kept.

`Trainer.fit` calls this file for `restarts`.  Each restart is an ordinary fit, on one thread, of a
copy of the network by a copy of the trainer; the network itself is written once, at the end.  The
restarts differ only in their initial parameters: the split and the order of the rows follow from
the trainer's seed, so that later fits, checkpoints and resumed trainings are bitwise identical to
those of a trainer that had run only the best restart.

This file promises to know no solver, and to draw only initial parameters.  The threads (`Pool`) are
generic, and the estimators use them too.
"""

import contextvars
import copy
import dataclasses
import functools
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import checks
from ..errors import DivergenceError, InputError
from ..machine import threads
from .early_stopping import EarlyStopping
from .history import History
from .progress import Progress
from .request import FitRequest
from .trainer import Trainer

__all__ = ["Pool", "fit_restarts"]

# Seconds: how often the calling thread checks progress (and, on Windows, signals), and how long it
# waits for restarts to stop, which they normally do within a slice.
GLANCE = 0.05
GRACE = 0.13

THREAD_NAME = "cbackprop restart"


@dataclass(frozen=True)
class Outcome:
    """The result of one restart: its return value or its error."""

    index: int
    result: Any
    error: BaseException | None


@dataclass(frozen=True)
class _Fit:
    """One completed restart."""

    trainer: Trainer
    history: History
    error: DivergenceError | None


class _StoppedError(Exception):
    """Raised in a restart when another has failed or the call was interrupted."""


def fit_restarts(trainer: Trainer, restarts: Any, request: FitRequest) -> History:
    """`Trainer.fit` with `restarts`; its docstring says what is returned and raised.

    Parameters
    ----------
    restarts : int
        The number of restarts.
    request : FitRequest
        The fit's other arguments.
    """
    restarts = checks.positive_int("restarts", restarts)
    _check(trainer, restarts, request)
    network, claim, epochs = trainer.network, object(), request.epochs
    with threads.running_fit(trainer.n_threads) as share:
        n_threads = min(restarts, share.now())  # the restarts count as running fits themselves
    pool, losses = Pool(functools.partial(_restart, trainer, request)), list[float]()
    bar = None
    try:
        network._begin_fit("fit", claim)
        bar = Progress(request.progress, restarts * epochs, losses)
        pool.start(restarts, n_threads)
        best, best_score = -1, math.inf
        fits: dict[int, _Fit] = {}
        while len(fits) < restarts:
            outcome = pool.wait()
            if outcome is not None:
                pool.epochs_done[outcome.index] = epochs
            if bar.on_slice is not None:
                bar.on_slice(sum(pool.epochs_done))
            if outcome is None:
                continue
            if outcome.error is not None:
                raise outcome.error
            index, fit = outcome.index, outcome.result
            fits[index] = fit
            if fit.error is not None:
                continue
            score = _score(fit.history, request.early_stopping)
            # Among equal ones the lowest number wins, in whatever order they finish.
            if best < 0 or (score, index) < (best_score, best):
                best, best_score = index, score
                losses[:] = fit.history["loss"][-1:]
        if best < 0:
            raise _all_diverged([fits[i] for i in range(restarts)])
        return _keep(trainer, best, [fits[i] for i in range(restarts)])
    finally:
        try:
            pool.stop()
        finally:  # a second Ctrl-C may arrive while it waits
            network._end_fit(claim)
            if bar is not None:
                bar.close()


def _check(trainer: Trainer, restarts: int, request: FitRequest) -> None:
    """Raise for arguments that cannot be combined with restarts."""
    came = f"restarts is {restarts} and"
    if request.checkpoint is not None:
        raise InputError(
            f"{came} checkpoint is given; expected None: a checkpoint holds one training. "
            "trainer.save(path) saves the best restart when the fit has returned"
        )
    if not (isinstance(request.callbacks, (tuple, list)) and not request.callbacks):
        raise InputError(
            f"{came} callbacks are given; expected none: the epochs of several trainings end side "
            "by side. Every restart's epochs are in history.restarts when the fit has returned"
        )
    if request.epochs == 0:
        raise InputError(f"{came} epochs is 0; expected at least 1, by whose loss one is the best")
    state = trainer._state
    if state.epoch or state.position:
        raise InputError(
            f"{came} the trainer has {trainer.epoch} epochs done, which redrawing the parameters "
            "would throw away; expected a new trainer, or trainer.reset() before"
        )


def _score(history: History, early_stopping: EarlyStopping | None) -> float:
    """The value by which restarts are compared, small is good; infinite if unknown."""
    if not history.n_epochs:  # stopped by max_seconds
        return math.inf
    at, name, sign = -1, "validation_loss", 1.0
    if early_stopping is not None:
        name = early_stopping.monitor
        if early_stopping.maximises:
            sign = -1.0
        if early_stopping.restore_best and history.best_epoch is not None:
            at = history.best_epoch - history.first_epoch
    elif name not in history:
        name = "loss"
    score = sign * float(history[name][at])
    if early_stopping is None and name == "loss" and "penalty" in history:
        score += float(history["penalty"][at])
    return math.inf if math.isnan(score) else score


def _restart(
    trainer: Trainer, request: FitRequest, index: int, go_on: Callable[[int], None]
) -> _Fit:
    """One training from the start; independent of the thread and of the order."""
    child = copy.copy(trainer)
    child.network = copy.copy(trainer.network)
    child.n_threads = 1
    child.reset()
    child.network.initialize(
        init=child.solver.preferred_init,
        seed=np.random.SeedSequence(child.seed, spawn_key=(index,)),
    )
    child._follow(dataclasses.replace(trainer._conventions, between_slices=go_on))
    try:
        return _Fit(child, child.fit(**request.arguments(progress=False)), None)
    except DivergenceError as error:
        child.history.stop_reason = "diverged"
        return _Fit(child, child.history, error)
    finally:
        child._follow(trainer._conventions)


def _all_diverged(fits: list[_Fit]) -> DivergenceError:
    first = fits[0].error
    assert first is not None
    with_rate, advice = "", "S"
    if not math.isnan(first.learning_rate):
        with_rate = f" with learning_rate={first.learning_rate:g}"
        advice = "Use a smaller learning_rate, or s"
    return DivergenceError(
        f"training diverged in each of {len(fits)} restarts, the first after step {first.step} "
        f"of epoch {first.epoch} (both from 0){with_rate}; the network is as it was before the "
        f"call. {advice}cale the inputs and targets to about [-1, 1]",
        first.epoch,
        first.step,
        first.learning_rate,
    )


def _keep(trainer: Trainer, best: int, fits: list[_Fit]) -> History:
    """Copy the best restart to the network and the trainer."""
    child = fits[best].trainer
    # One copy under the GIL: concurrent predictions see the old or the new parameters.
    trainer.network.parameters.data[:] = child.network.parameters.data
    trainer._state, trainer._plateau = child._state, child._plateau
    trainer.history = child.history
    trainer.network._belief = child.network._belief
    history = copy.copy(fits[best].history)  # a copy, which does not contain itself
    history.restarts, history.best_restart = [fit.history for fit in fits], best
    return history


class Pool:
    """Threads that work through numbered tasks until they are told to stop.

    Parameters
    ----------
    make : callable
        ``make(index, go_on)`` does one task and returns its result.  It calls
        ``go_on(epochs_done)`` regularly, as a trainer calls `Conventions.between_slices`; that
        raises if the task is to end.

    Attributes
    ----------
    epochs_done : list of int
        For each task, as last reported.
    """

    def __init__(self, make: Callable[[int, Callable[[int], None]], Any]) -> None:
        self._make = make
        self._to_do: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.epochs_done: list[int] = []

    def start(self, n: int, n_threads: int) -> None:
        """Start the threads on tasks 0 to n - 1."""
        self.epochs_done = [0] * n
        for index in range(n):
            self._to_do.put(index)
        for _ in range(n_threads):
            # Keep the caller's np.errstate for a loss or a metric in Python.
            context = contextvars.copy_context()
            # A daemon: `stop` may leave it running, and exit should not wait for it.
            thread = threading.Thread(
                target=context.run, args=(self._work,), name=THREAD_NAME, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def wait(self) -> Outcome | None:
        """The next finished task's outcome; None if there is none within a short time."""
        try:
            return self._outcomes.get(timeout=GLANCE)
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Stop the running tasks.

        All threads have ended afterwards, except one in a factorisation that takes longer than the
        time allowed for Ctrl-C: it continues in the background, on its own copy of the network.
        """
        self._stopping.set()
        latest = time.monotonic() + GRACE
        for thread in self._threads:
            while thread in threading.enumerate() and (left := latest - time.monotonic()) > 0:
                if thread.is_alive():
                    thread.join(left)
                else:  # its start was interrupted
                    time.sleep(0.001)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                index = self._to_do.get_nowait()
            except queue.Empty:
                return
            try:
                result = self._make(index, self._go_on(index))
            except _StoppedError:
                return
            except BaseException as error:
                self._outcomes.put(Outcome(index, None, error))
                return
            self._outcomes.put(Outcome(index, result, None))

    def _go_on(self, index: int) -> Callable[[int], None]:
        def go_on(epochs_done: int) -> None:
            self.epochs_done[index] = epochs_done
            if self._stopping.is_set():
                raise _StoppedError

        return go_on
