"""The trainings of one `fit`: their rows, one run for each draw of weights, and the best run.

Nothing here knows an estimator: the estimator makes the runs, passes a function that trains one,
and takes its attributes from the best.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np

from ..errors import DivergenceError
from ..network.network import Network
from ..training.history import History
from ..training.restarts import Pool
from .callbacks import Tasks
from .draws import Orders
from .rows import some_rows
from .solvers import SolverKind
from .training import PeerTrainer

__all__ = ["Data", "Fit", "HeldOut", "Resume", "Run", "losses_of", "train_all"]


@dataclass
class Data:
    """Rows that have been checked."""

    X: Any
    Y: np.ndarray
    weight: np.ndarray | None

    def __len__(self) -> int:
        return len(self.Y)


class HeldOut:
    """The validation rows of a fit: some of its own, or separate data.

    Parameters
    ----------
    data : Data
        The fit's own data or the separate data.
    rows : ndarray, optional
        The row numbers, if they are among the fit's own.
    places : ndarray, optional
        The position of each remaining row in the drawn order.
    """

    def __init__(
        self, data: Data, rows: np.ndarray | None = None, places: np.ndarray | None = None
    ) -> None:
        self.rows, self.places, self._X = rows, places, data.X
        self.Y, self.weight = data.Y, data.weight
        if rows is not None:
            self.Y = data.Y[rows]
            self.weight = None if data.weight is None else data.weight[rows]

    def X(self, kept: np.ndarray | None = None) -> Any:  # noqa: N802  (the mathematics' name)
        """The inputs of the rows, or of those that are kept."""
        X = some_rows(self._X, self.rows)
        return X if kept is None else X[kept]

    def as_given(self) -> Any:
        """The corresponding argument of a trainer."""
        if self.rows is not None:
            return self.rows
        return (self._X, self.Y) if self.weight is None else (self._X, self.Y, self.weight)


class Resume:
    """What `partial_fit` continues with: the stream, the last order, the solver's state."""

    def __init__(self, random: np.random.RandomState | None, trainer: PeerTrainer) -> None:
        self.random = random  # None: NumPy's global stream
        self.trainer: PeerTrainer | None = trainer
        self.state = trainer._state
        self.order: np.ndarray | None = None
        self.settings: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # The trainer is rebuilt from the estimator's parameters.
        return {**self.__dict__, "trainer": None, "settings": None}


class Fit:
    """One call of `fit` or `partial_fit`: the data and settings that its trainings share.

    Parameters
    ----------
    kind : SolverKind
    data : Data
    first : bool
        Whether the weights are newly drawn.
    incremental : bool
        Whether it is `partial_fit`, with one epoch.
    resume : Resume, optional
        The state left by the previous call.

    Attributes
    ----------
    n_rows : int
        The number of training rows.
    held_out : HeldOut or None
        The validation rows.
    stops_early : bool
        Whether the validation score instead of the loss decides which weights are best.
    """

    def __init__(
        self,
        kind: SolverKind,
        data: Data,
        first: bool,
        incremental: bool,
        resume: Resume | None,
    ) -> None:
        self.kind, self.data = kind, data
        self.first, self.incremental, self.resume = first, incremental, resume
        self.n_rows = len(data)
        self.held_out: HeldOut | None = None
        self.stops_early = False

    def hold_out(self, held_out: HeldOut, stops_early: bool) -> None:
        """Validate on these rows."""
        self.held_out, self.stops_early = held_out, stops_early
        if held_out.rows is not None:
            self.n_rows -= len(held_out.rows)

    @property
    def goes_on(self) -> bool:
        """Whether the fit continues with the solver's state."""
        return self.resume is not None and (
            self.incremental or (not self.first and self.kind.goes_on)
        )

    @property
    def stream(self) -> np.random.RandomState | None:
        """The random stream to continue from the previous call."""
        return self.resume.random if self.incremental and self.resume is not None else None

    @property
    def weight_mean(self) -> float:
        """The mean weight of the training rows."""
        weight = self.data.weight
        if weight is None:
            return 1.0
        kept = np.ones(len(self.data), bool)
        if self.held_out is not None and self.held_out.rows is not None:
            kept[self.held_out.rows] = False
        return float(np.mean(weight[kept]))


class Run:
    """One training from one draw of weights.

    Attributes
    ----------
    history : History or None
        The history of this training, complete or interrupted; None before.
    diverged : DivergenceError or None
    """

    def __init__(
        self, network: Network, random: np.random.RandomState, trainer: PeerTrainer
    ) -> None:
        self.network, self.random, self.trainer = network, random, trainer
        self.orders: Orders | None = None
        self.history: History | None = None
        self.tasks: Tasks | None = None
        self.diverged: DivergenceError | None = None

    def train(self, X: Any, Y: np.ndarray, **settings: Any) -> None:
        """Fit; `history` is set even if the fit fails."""
        before = self.trainer.history.n_epochs
        try:
            self.history = self.trainer.fit(X, Y, **settings)
        except BaseException as error:
            self.history = History()
            whole = self.trainer.history
            self.history._extend(**{name: whole[name][before:].tolist() for name in whole})
            if not isinstance(error, DivergenceError):
                raise
            self.diverged = error
        finally:
            if self.tasks is not None:
                self.tasks.close()
            if self.orders is not None and self.history is not None:
                self.orders.catch_up(self.history.n_epochs)

    def rank(self, stops_early: bool) -> float:
        """The value by which runs are compared; smaller is better."""
        if self.diverged is not None or self.history is None or not self.history.n_epochs:
            return math.inf
        best = self.trainer.best
        if stops_early and best is not None:
            return -best[1]
        return float(losses_of(self.history)[-1])


def train_all(runs: list[Run], n_jobs: int | None, train: Callable[[Run], None]) -> None:
    """Train each run, `n_jobs` side by side in threads, which share X: the core needs no GIL.

    Raises
    ------
    DivergenceError
        Every run diverged.
    """
    n_threads = min(joblib.effective_n_jobs(n_jobs), len(runs))
    if n_threads == 1:
        for run in runs:
            train(run)
    else:
        _train_in_threads(runs, n_threads, train)
    first = runs[0].diverged
    if first is None or not all(run.diverged for run in runs):
        return
    where = f"In each of {len(runs)} restarts; of the first: " if len(runs) > 1 else ""
    raise DivergenceError(f"{where}{first}", first.epoch, first.step, first.learning_rate)


def _train_in_threads(runs: list[Run], n_threads: int, train: Callable[[Run], None]) -> None:
    def make(index: int, go_on: Callable[[int], None]) -> None:
        conventions = runs[index].trainer.conventions
        conventions.between_slices = go_on
        try:
            train(runs[index])
        finally:
            conventions.between_slices = None

    pool = Pool(make)
    try:
        pool.start(len(runs), n_threads)
        left = len(runs)
        while left:
            outcome = pool.wait()
            if outcome is None:
                continue
            if outcome.error is not None:
                raise outcome.error
            left -= 1
    finally:
        pool.stop()


def losses_of(history: History) -> list[float]:
    """Each epoch's loss, including its penalty."""
    losses = history._columns["loss"]
    if "penalty" in history:
        return (history["loss"] + history["penalty"]).tolist()  # type: ignore[no-any-return]
    return losses.tolist()
