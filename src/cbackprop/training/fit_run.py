"""One call of `Trainer.fit`: from its request to the core's settings and then to its history.

All errors in the arguments are found while a `FitRun` is made, before anything is changed.  Its
``run`` claims the network, calls the core's loop and adds the records to the history.  This file
promises to know no solver's formula and to compute nothing.
"""

import math
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..core.fit.fit import run_fit, worth_a_team
from ..errors import InputError, InputTypeError
from ..machine import blas_threads, threads
from .callbacks import checked_callbacks
from .early_stopping import best_epoch, monitor_for
from .evaluation import NO_EVALUATIONS, Evaluations
from .failures import raise_failure
from .history import History
from .laplace import posterior_of_fit, wants_posterior
from .objective import objective_of, python_loss
from .progress import Progress
from .recorder import Recorder, columns_of, on_slice
from .request import FitRequest
from .sample_weight import row_weights
from .splits import training_rows

if TYPE_CHECKING:
    from ..network.network import Network
    from .trainer import Trainer

__all__ = ["FitRun", "core_rate"]

# The default mini-batch size, as in scikit-learn's MLP.
MINI_BATCH = 200


class FitRun:
    """One fit, prepared: everything is checked and nothing is changed yet.

    Parameters
    ----------
    trainer : Trainer
        The trainer; its settings are checked.
    request : FitRequest
    """

    __slots__ = (
        *("_trainer", "_request", "_rows", "_n_rows", "_weight", "_objective", "_unit"),
        *("_evaluations", "_loss", "_leaves_posterior", "_monitor", "_max_seconds", "_callbacks"),
        *("_saver", "_batch_rows", "_in_python"),
    )

    def __init__(self, trainer: "Trainer", request: FitRequest) -> None:
        self._trainer, self._request = trainer, request
        rows = held_out = weight = loss = None
        if request.validation_data is not None or request.test_data is not None:
            rows, held_out = training_rows(trainer, request)
        self._rows = rows
        self._n_rows = n_rows = len(request.Y) if rows is None else len(rows)
        if request.sample_weight is not None or request.class_weight is not None:
            weight = row_weights(request.sample_weight, request.class_weight, request.Y, rows)
        self._objective, self._unit = trainer._plain, 0.0
        if not request.is_plain or trainer.network._target_scaling is not None:
            self._objective, self._unit = objective_of(trainer, request)
        self._evaluations = self._evaluated(held_out, weight)
        if callable(trainer.loss):
            loss = python_loss(trainer, request, weighted=weight is not None)
        self._loss = loss
        self._leaves_posterior = False
        if trainer._of_system:
            self._leaves_posterior = wants_posterior(trainer.solver, request.output_weight)
            trainer.solver.check_room(trainer._rule, trainer.network._plan, n_rows)
        self._monitor = trainer._conventions.monitor or monitor_for(
            trainer.solver, request, self._evaluations.n_rows[0]
        )
        self._max_seconds = math.inf
        if request.max_seconds is not None:
            self._max_seconds = checks.positive_float("max_seconds", request.max_seconds)
        self._callbacks = checked_callbacks(request.callbacks) if request.callbacks else ()
        self._saver = None
        if request.checkpoint is not None:
            self._saver = _saver_for(request.checkpoint, trainer.epoch)
        self._batch_rows = self._rows_of_a_step()
        self._weight: np.ndarray | None = None
        if weight is not None:
            with np.errstate(over="ignore"):  # only of rows that are not trained on
                self._weight = weight.astype(trainer.network.dtype)
        self._in_python = bool(self._callbacks) or self._evaluations.in_python

    # --- what it is made of ------------------------------------------------------------------

    def _evaluated(
        self, held_out: list[np.ndarray | None] | None, weight: np.ndarray | None
    ) -> Evaluations:
        """The validation and test rows, given by number or as separate data."""
        request = self._request
        if held_out is None and request.metric is None and not request.callbacks:
            return NO_EVALUATIONS
        evaluations = Evaluations(self._trainer, self._objective, request.metric, request.missing)
        if held_out is not None:
            X, Y, (validation, test) = request.X, request.Y, held_out
            evaluations.add("validation", request.validation_data, validation, X, Y, weight)
            evaluations.add("test", request.test_data, test, X, Y, weight)
        elif request.metric is not None:
            raise InputError("metric is given without validation_data or test_data; expected some")
        return evaluations

    def _rows_of_a_step(self) -> int:
        """The rows of a batch, except for an epoch's last one."""
        trainer, n_rows = self._trainer, self._n_rows
        if trainer.solver.full_batch:
            return n_rows
        batch_rows = trainer.batch_size or MINI_BATCH
        if batch_rows >= n_rows:
            return n_rows
        if self._loss is not None and self._request.gradient_norm:
            raise InputError(
                f"gradient_norm is True and loss is a function in batches of {batch_rows} rows; "
                f"expected gradient_norm=False, or batch_size={n_rows}: the whole gradient would "
                "take a call of the function on all rows"
            )
        return batch_rows

    def _threads(self) -> int | None:
        """``n_threads`` for this fit; 1, without counting processors, if no batch repays a team."""
        trainer = self._trainer
        if trainer.n_threads is not None:
            return trainer.n_threads
        most_rows = max(self._batch_rows, *self._evaluations.n_rows)
        if trainer._of_system:
            # In J'J, a row costs about as much as this many rows of backpropagation.
            most_rows *= 1 + trainer.network.n_parameters // 8
        return None if worth_a_team(trainer.network._plan, most_rows) else 1

    # --- the run -----------------------------------------------------------------------------

    def run(self) -> History:
        """Train and return the history of this call; raises what `Trainer.fit` documents."""
        trainer, request, network = self._trainer, self._request, self._trainer.network
        columns = columns_of(
            trainer,
            self._evaluations,
            gradient_norm=request.gradient_norm,
            in_units=self._unit != 0 or self._objective.has_units,
        )
        recorder = Recorder(trainer, columns)
        records, claim, bar = recorder.records, object(), None
        outcome: tuple[Any, ...] = ()
        state = trainer._state
        try:
            network._begin_fit("fit", claim)
            before, plateau = state.before_a_call(self._monitor is not None), trainer._plateau
            if request.progress:
                bar = Progress(True, request.epochs, records["loss"])
            with (
                threads.running_fit(self._threads()) as share,
                blas_threads.single_threaded(network._plan.may_thread_blas or trainer._of_system),
            ):
                try:
                    outcome = run_fit(
                        network._plan,
                        trainer._state_for(self._monitor),
                        network.parameters,
                        request.X,
                        request.Y,
                        self._settings(records["loss"], share.most()),
                        records=records,
                        threads_now=share.now,
                        hook=self._hook(recorder) if self._in_python else None,
                        on_slice=on_slice(trainer, bar, self._saver, recorder),
                    )
                finally:
                    if (not outcome or outcome[0] != "stopped") and state.take_back(before):
                        trainer._plateau = plateau
                if self._leaves_posterior and outcome[0] == "stopped":
                    self._leave_posterior(network, share.most())
        finally:
            try:
                recorder.deliver(trainer)
            finally:
                network._end_fit(claim)
                if bar is not None:
                    bar.close()
        if outcome[0] != "stopped":
            raise_failure(trainer, request, self._evaluations, outcome)
        return self._told(recorder.history, outcome[1])

    def _settings(self, losses: "array[float]", most_threads: int) -> dict[str, Any]:
        """The settings of `run_fit`."""
        trainer, request, network = self._trainer, self._request, self._trainer.network
        ways, monitor = trainer._conventions, self._monitor
        return {
            "objective": self._objective,
            "rule": trainer._rule,
            "rate": ways.rates or core_rate(trainer.solver),
            "weight": self._weight,
            "subset": self._rows,
            "evaluations": self._evaluations.in_core,
            "stopping": None if monitor is None else monitor.settings,
            "unit": self._unit,
            "order": ways.order or (self._order() if trainer.shuffle else None),
            "window": trainer.shuffle == "window",
            "batch_rows": self._batch_rows,
            "epochs": request.epochs,
            "steps": request.steps,
            "max_seconds": self._max_seconds,
            "most_threads": most_threads,
            "scaling": network._scaling,
            "target_scaling": network._target_scaling,
            "custom": self._loss,
            "in_python": self._in_python,
            "listen": None if ways.between_slices is None else self._listener(losses),
        }

    def _order(self) -> Any:
        """The row order as the core expects it: a seed, or a callable whose results are checked."""
        shuffle, n_rows = self._trainer.shuffle, self._n_rows
        if not callable(shuffle):
            return self._trainer.seed

        def checked(epoch: int) -> np.ndarray:
            returned = shuffle(epoch)
            expected = (
                f"expected a permutation of 0 .. {n_rows - 1}, e.g. rng.permutation({n_rows})"
            )
            try:
                order = np.asarray(returned)
            except Exception as error:  # a foreign type may raise anything
                raise InputError(
                    f"shuffle({epoch}) returned {checks.describe(returned)} that cannot be read "
                    f"as an array ({error}); {expected}"
                ) from error
            if order.dtype.kind not in "iu" or not np.array_equal(
                np.sort(order), np.arange(n_rows)
            ):
                raise InputError(f"shuffle({epoch}) returned {checks.describe(order)}; {expected}")
            return np.ascontiguousarray(order, dtype=np.int64)

        return checked

    def _listener(self, losses: "array[float]") -> Callable[[], None]:
        """The function called within a long step to check whether to continue."""
        go_on = self._trainer._conventions.between_slices
        assert go_on is not None
        return lambda: go_on(len(losses))

    def _hook(self, recorder: Recorder) -> Any:
        """The Python code to run after each epoch."""
        callbacks = self._callbacks
        return self._evaluations.hook(lambda epoch: recorder.tell(epoch, callbacks))

    def _leave_posterior(self, network: "Network", n_threads: int) -> None:
        """Give the trained network the posterior about its final parameters."""
        trainer, request = self._trainer, self._request
        assert trainer._state.numbers is not None
        posterior = posterior_of_fit(
            network,
            trainer._state.numbers,
            self._objective,
            request.X,
            request.Y,
            self._weight,
            self._rows,
            n_threads,
            trainer._rule.options["weight_mean"],
        )
        network._set_posterior(posterior)

    def _told(self, history: History, reason: str) -> History:
        """Record why the call ended in its history and in the trainer's."""
        best = None if self._monitor is None else best_epoch(self._trainer._state)
        for record in (history, self._trainer.history):
            record.stop_reason = reason
            record.best_epoch = best
        return history


def core_rate(solver: Any) -> Any:
    """The learning rate as the core expects it: a number, or a function of epochs."""
    rate = getattr(solver, "learning_rate", math.nan)  # full-batch solvers have none
    if isinstance(rate, float):
        return rate
    return rate.rate if rate.adaptive else rate.rates


def _saver_for(checkpoint: Any, epoch: int) -> Any:
    """The saver for a fit that begins after `epoch` epochs, or None."""
    from .checkpoint import Checkpoint

    if not isinstance(checkpoint, Checkpoint):
        raise InputTypeError(
            f"checkpoint is {checks.describe(checkpoint)}; expected cbackprop.Checkpoint(path)"
        )
    return checkpoint._saver(epoch)
