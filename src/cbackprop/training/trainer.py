"""Trainer: the training loop.  Epochs, batches, validation, history, interruption.

The loop over epochs is compiled (core/fit/fit.pyx) and runs without the GIL.  Here arguments are
checked and errors are told; no arithmetic of training stands in this file.
"""

import math
import os
import warnings
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import checks, losses
from ..activations import ACTIVATIONS
from ..core.data.rows import extent
from ..core.fit.fit import run_fit, worth_a_team
from ..core.fit.state import State
from ..core.gradient.objective import Objective
from ..errors import DivergenceError, InputError, InputTypeError
from ..machine import blas_threads, threads
from ..network.network import Network
from ..solvers import SOLVERS, Adam, Solver
from . import splits
from .callbacks import checked_callbacks
from .early_stopping import EarlyStopping, Monitor, best_epoch
from .evaluation import NO_EVALUATIONS, Evaluations
from .history import History
from .laplace import posterior_of_fit, wants_posterior
from .progress import Progress
from .recorder import Recorder, on_slice
from .sample_weight import row_weights

__all__ = ["Trainer"]

# A mini-batch where none is asked for, as in scikit-learn's MLP.
MINI_BATCH = 200

# Best or near it, untuned, on five measured data sets, four networks and three lengths of training
# (docs/mathematics.md, "Which solver").
DEFAULT_SOLVER = Adam(learning_rate=0.01)


class Trainer:
    """Trains a network, in one call of `fit` or in many.

    Parameters
    ----------
    network : Network
        Trained in place.
    solver : solver
        One of `cbackprop.solvers`: how a step is made; ``Adam(learning_rate=0.01)`` by default.
        May be replaced between two fits: a changed learning rate is honoured, another kind of
        solver starts afresh.
    loss : str, Huber, Quantile or callable
        "squared_error", "cross_entropy" or another of ``cbackprop.losses.LOSSES``: the mean over
        the rows of a batch of the sum over its outputs (docs/mathematics.md).  Or a function
        ``loss(Y, Y_hat)`` that returns the loss of a batch and its derivative with respect to
        ``Y_hat``, an array of its shape; called once a batch, nothing is multiplied to it.
    batch_size : int, optional
        Rows of a step; 1 is one row at a time, the number of rows (or more) is full batch.  None is
        min(200, N), and all rows for the solvers whose ``full_batch`` is True, which take no other.
        The last batch of an epoch may be shorter; its gradient is divided by its own rows.
    shuffle : bool, "window" or callable
        True: each epoch visits the rows in an order that depends on the seed and the epoch's number
        alone.  False: in their own order.  "window": blocks of rows in random order, shuffled
        within a window of several, so that a memory-mapped file is read almost in sequence.  A
        callable gives the order: ``shuffle(epoch)`` returns a permutation of 0 .. N - 1, N the rows
        that are trained on.  A full batch is read in the rows' own order.
    l1, l2 : float
        (l2/2) |W|^2 + l1 |W|_1 is added to the mean loss of every step: of weights, not of biases,
        and whatever the batch size.
    seed : None, int, numpy.random.SeedSequence or numpy.random.Generator
        None is fresh entropy; `seed` then holds what was drawn.
    n_threads : int, optional
        None is as many as there are, shared out over the fits that run in the process.  The result
        has the same bits whatever the number.

    Attributes
    ----------
    epoch : int
        Whole epochs done.
    history : History
        Of all epochs since the trainer was made or reset.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.

    Notes
    -----
    ``fit`` with k epochs and k times ``fit`` with one give the same bits.  After Ctrl-C the
    parameters are those of the last whole step, and the next ``fit`` on the same rows goes on
    there: the interrupted epoch is then its first.
    """

    def __init__(
        self,
        network: Network,
        *,
        solver: Solver | None = None,
        loss: Any = "squared_error",
        batch_size: int | None = None,
        shuffle: bool | str | Callable[[int], Any] = True,
        l1: float = 0.0,
        l2: float = 0.0,
        seed: Any = None,
        n_threads: int | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise InputTypeError(
                f"network is {checks.describe(network)}; expected a cbackprop.Network"
            )
        self.network = network
        self.solver = DEFAULT_SOLVER if solver is None else solver
        self.loss = loss
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.l1, self.l2 = l1, l2
        self.seed = checks.seed_number("seed", seed)
        self.n_threads = n_threads
        self._checked: tuple[Any, ...] = (None,) * 7
        self._check_settings()
        self._warned = False
        self._most_steps = -1
        # Called with the epochs done, in place of the progress bar, where this is a restart.
        self._between_slices: Callable[[int], None] | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the epochs done, the solver's state and the history, but not the network."""
        self._state = State()
        self._plateau: Any = None
        self.history = History()

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self._state.epoch

    def __repr__(self) -> str:
        penalties = "".join(
            f"{name}={value!r}, " for name, value in (("l1", self.l1), ("l2", self.l2)) if value
        )
        return (
            f"Trainer({self.network!r}, solver={self.solver!r}, loss={self.loss!r}, "
            f"batch_size={self.batch_size}, shuffle={self.shuffle!r}, {penalties}"
            f"seed={self.seed}, n_threads={self.n_threads})"
        )

    def __getstate__(self) -> dict[str, Any]:
        # The core's settings are made anew where they are wanted.
        kept = {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("_rule", "_plain", "_memory")
        }
        return {**kept, "_checked": (None,) * 7}

    def fit(
        self,
        X: Any,
        Y: Any,
        *,
        epochs: int,
        validation_data: Any = None,
        test_data: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        output_weight: Any = None,
        missing: str = "error",
        metric: Any = None,
        early_stopping: EarlyStopping | None = None,
        max_seconds: float | None = None,
        target_loss: float | None = None,
        gradient_norm: bool = False,
        callbacks: Any = (),
        checkpoint: Any = None,
        progress: bool = False,
        restarts: int | None = None,
    ) -> History:
        """Train for some epochs.

        Parameters
        ----------
        X : array-like, (N, n_in)
            float32 and float64 with contiguous rows are read where they stand (a read-only memmap
            may be larger than memory); the network computes in its own dtype.
        Y : array-like, (N, n_out)
            One-dimensional where n_out is 1.
        epochs : int
            At least 0; an epoch visits each row once (an iteration of LBFGS, LevenbergMarquardt
            and BayesianRegularization).
        validation_data, test_data : tuple, float or array of int, optional
            ``(X, Y)`` or ``(X, Y, sample_weight)``; or a fraction of the rows, drawn by the seed
            and, with cross-entropy on classes, from each class in proportion; or the numbers of
            rows.  Such rows are not trained on, and nothing is copied.  Their loss is computed
            after each epoch; the test's is recorded and decides nothing.
        sample_weight : array-like, (N,), optional
            Of at least 0.  Row i of a batch counts w_i / mean(w) / rows of the batch, the mean over
            all rows that are trained on: unbiased for every batch size.
        class_weight : mapping or "balanced", optional
            A weight for the rows of each class: of each value of a single target column, else of
            each column that is the largest.  Multiplied by the sample weights.
        output_weight : array-like, (n_out,), optional
            How often each output's loss counts.
        missing : "error" or "ignore"
            "ignore": a NaN in Y is a missing target and adds nothing to loss and gradient.
        metric : "accuracy", "r2" or callable, optional
            Of the validation and test rows after each epoch; a function takes ``(Y, Y_hat)`` in the
            targets' units and returns a number.
        early_stopping : EarlyStopping, optional
        max_seconds : float, optional
            Stop at the first step after so long.
        target_loss : float, optional
            Stop after the first epoch whose loss is at most this.
        gradient_norm : bool
            Record the norm of the whole gradient; in mini-batches it is computed for this, after
            each epoch.  Solvers that have it always do (LevenbergMarquardt: of where the
            epoch began).  In full batch a step of plain
            SGD is then made from the whole gradient, which may change its last bits.
        callbacks : object or sequence of objects
            After each epoch ``on_epoch_end(trainer, record)`` is called, record a dict of the
            epoch's numbers and "epoch"; True stops the training, and what is raised ends it at the
            end of the epoch.
        checkpoint : Checkpoint, optional
            Where and how often the trainer is saved.
        progress : bool
            Show a progress bar, where tqdm is installed and standard error is a terminal.
        restarts : int, optional
            Make so many trainings from parameters drawn anew and keep the best: that of the best
            monitored value with `early_stopping`, else of the lowest last validation loss, or
            training loss with penalty where there is no validation.  The network's parameters so
            far are not used.  Restart i draws them by the seed
            ``numpy.random.SeedSequence(trainer.seed).spawn(restarts)[i]``, "auto" or as the solver
            prefers; everything else is the same for all.  They run side by side, one thread each;
            `max_seconds` holds for each.  A loss, a metric or a shuffle in Python is called from
            their threads.  Only of a new trainer, or one after `reset`; without `callbacks` and
            `checkpoint`.

        Returns
        -------
        History
            Of this call: ``history["loss"]``, ``history["validation_loss"]``, ...; its
            ``stop_reason`` says why training stopped.  With `restarts` the best one's, and
            ``history.restarts`` has all of them.

        Raises
        ------
        InputError, InputTypeError
            An argument does not fit, or a NaN or an infinity was met (finiteness is checked while
            the first epoch reads the rows).  Network and trainer are as before the call.
        DivergenceError
            The loss or a parameter became infinite or NaN.  Network and trainer are as they were at
            the start of the epoch, or some 50 ms before where epochs are shorter.  With `restarts`:
            every one diverged; network and trainer are as before the call.
        BusyError
            The network is being trained by another call.
        OSError
            A checkpoint could not be written; training has stopped at a whole step.
        KeyboardInterrupt
            Within 0.2 s of Ctrl-C; network and trainer hold the last whole step.  With `restarts`
            they are as before the call.
        """
        network = self.network
        self._check_settings()
        epochs = checks.positive_int("epochs", epochs, at_least=0)
        progress = checks.boolean("progress", progress)
        gradient_norm = checks.boolean("gradient_norm", gradient_norm)
        checks.choice("missing", missing, ("error", "ignore"))
        X, Y = self._data("X", X, "Y", Y)
        if restarts is not None:
            from .restarts import fit_restarts

            self._warn_about_range(Y)
            return fit_restarts(
                self,
                restarts,
                X,
                Y,
                epochs=epochs,
                validation_data=validation_data,
                test_data=test_data,
                sample_weight=sample_weight,
                class_weight=class_weight,
                output_weight=output_weight,
                missing=missing,
                metric=metric,
                early_stopping=early_stopping,
                max_seconds=max_seconds,
                target_loss=target_loss,
                gradient_norm=gradient_norm,
                callbacks=callbacks,
                checkpoint=checkpoint,
                progress=progress,
            )
        rows, held_out = None, None
        if validation_data is not None or test_data is not None:
            rows, held_out = self._split(validation_data, test_data, Y)
        n_rows = len(X) if rows is None else len(rows)
        weight = None
        if sample_weight is not None or class_weight is not None:
            weight = row_weights(sample_weight, class_weight, Y, rows)
        objective, unit = self._objective(output_weight, missing)
        evaluations = NO_EVALUATIONS
        if held_out is not None or metric is not None or callbacks:
            evaluations = Evaluations(self, objective, metric, missing)
        if held_out is not None:
            evaluations.add("validation", validation_data, held_out[0], X, Y, weight)
            evaluations.add("test", test_data, held_out[1], X, Y, weight)
        elif metric is not None:
            raise InputError("metric is given without validation_data or test_data; expected some")
        custom = None
        if callable(self.loss):
            custom = losses.checked_call(self.loss, network.dtype)
        if custom and (weight is not None or output_weight is not None or missing == "ignore"):
            raise InputError(
                "loss is a function and weights or missing targets are given; expected the "
                "function to deal with them, since it alone knows what they mean to it"
            )
        keep_posterior = wants_posterior(self.solver, output_weight)
        self.solver.check_room(self._rule, network._plan, n_rows)
        monitor = self._monitor(early_stopping, target_loss, metric, evaluations.n_rows[0])
        if max_seconds is not None:
            max_seconds = checks.positive_float("max_seconds", max_seconds)
        callbacks = checked_callbacks(callbacks) if callbacks else ()
        saver = None if checkpoint is None else _saver_for(checkpoint, self.epoch)
        batch_rows = (
            n_rows if self.solver.full_batch else min(self.batch_size or MINI_BATCH, n_rows)
        )
        if custom and gradient_norm and batch_rows < n_rows:
            raise InputError(
                f"gradient_norm is True and loss is a function in batches of {batch_rows} rows; "
                f"expected gradient_norm=False, or batch_size={n_rows}: the whole gradient would "
                "take a call of the function on all rows"
            )
        n_threads = self._threads(batch_rows, max(evaluations.n_rows))
        self._warn_about_range(Y)

        recorder = Recorder(self, self._columns(evaluations, gradient_norm, objective, unit))
        records = recorder.records
        hook = None
        in_python = bool(callbacks or evaluations.in_python)
        claim = object()
        bar = None
        outcome: tuple[Any, ...] = ()
        try:
            network._begin_fit("fit", claim)
            if in_python:
                hook = evaluations.hook(lambda epoch: recorder.tell(epoch, callbacks))
            show = self._between_slices
            if progress:
                bar = Progress(progress, epochs, records["loss"])
                show = show or bar.on_slice
            with (
                threads.running_fit(n_threads) as share,
                blas_threads.single_threaded(network._plan.may_thread_blas or self._of_system),
            ):
                settings: dict[str, Any] = {
                    "objective": objective,
                    "rule": self._rule,
                    "rate": self._rate(),
                    "weight": None if weight is None else weight.astype(network.dtype),
                    "subset": rows,
                    "evaluations": evaluations.as_tuple(),
                    "stopping": None if monitor is None else monitor.settings,
                    "unit": unit,
                    "order": self._order(n_rows),
                    "window": self.shuffle == "window",
                    "batch_rows": batch_rows,
                    "epochs": epochs,
                    "steps": self._most_steps,
                    "max_seconds": math.inf if max_seconds is None else max_seconds,
                    "most_threads": share.most(),
                    "scaling": network._scaling,
                    "target_scaling": network._target_scaling,
                    "custom": custom,
                    "in_python": in_python,
                    "listen": self._listener(records["loss"]),
                }
                outcome = run_fit(
                    network._plan,
                    self._state_for(monitor),
                    network.parameters,
                    X,
                    Y,
                    settings,
                    records=records,
                    threads_now=share.now,
                    hook=hook,
                    on_slice=on_slice(self, show, saver, recorder),
                )
                if keep_posterior and outcome[0] == "stopped":
                    assert self._state.numbers is not None
                    posterior = posterior_of_fit(
                        network,
                        self._state.numbers,
                        objective,
                        X,
                        Y,
                        settings["weight"],
                        rows,
                        share.most(),
                        self._rule.options["weight_mean"],
                    )
                    network._set_posterior(posterior)
        finally:
            recorder.update()
            network._end_fit(claim)
            if bar is not None:
                bar.close()
        history = recorder.history
        if outcome[0] != "stopped":
            self._tell(outcome, X, Y, evaluations, missing)
        best = None if monitor is None else best_epoch(self._state)
        for record in (history, self.history):
            record.stop_reason = outcome[1]
            record.best_epoch = best
        return history

    def _fit(self, X: Any, Y: Any, epochs: int, *, steps: int, **settings: Any) -> History:
        """`fit`, but no more than ``steps`` steps of it."""
        self._most_steps = steps
        try:
            return self.fit(X, Y, epochs=epochs, **settings)
        finally:
            self._most_steps = -1

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write network, settings, place in time and history to a file; keep the file before.

        The one before is `path` with ".previous" added.  At every moment a complete file is there.

        Raises
        ------
        InputError, InputTypeError
            If a parameter is not finite, or the network's `annotations` are not what JSON can hold.
        OSError
            If the file cannot be written; what was there before stays as it was.
        BusyError
            While the network is being trained: ``fit(checkpoint=...)`` saves then.
        """
        from . import checkpoint

        with self.network._writing("save the trainer"):
            checkpoint.write(path, self)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        loss: Callable[..., Any] | None = None,
        shuffle: Callable[[int], Any] | None = None,
    ) -> "Trainer":
        """Read a trainer from a file that `save` or a fit's checkpoint wrote.

        Its next fit goes on where the saved one stood, with the bits of a training that was not
        interrupted.  The fit's arguments are given again::

            trainer = Trainer.load(path)
            trainer.fit(X, Y, epochs=total - trainer.epoch, checkpoint=Checkpoint(path), ...)

        Parameters
        ----------
        path : path-like
        loss, shuffle : callable, optional
            The trainer's own, where they were functions: these are not stored.

        Raises
        ------
        ModelFormatError
            If the file is not such a file, is damaged, or is of a newer version.
        InputError
            If a function is missing, or is given and the trainer had none.
        OSError
            If the file cannot be read.
        """
        from . import checkpoint

        return checkpoint.read(path, loss=loss, shuffle=shuffle)

    # --- arguments -------------------------------------------------------------------------

    def _check_settings(self) -> None:
        """The attributes, if any has been set since they were checked."""
        solver, loss, batch_size, shuffle, l1, l2, n_threads = self._checked
        if (  # one by one: a part of what a fit costs
            self.solver is solver
            and self.loss is loss
            and self.batch_size is batch_size
            and self.shuffle is shuffle
            and self.l1 is l1
            and self.l2 is l2
            and self.n_threads is n_threads
        ):
            return
        if not isinstance(self.solver, SOLVERS):
            raise InputTypeError(
                f"solver is {checks.describe(self.solver)}; expected "
                f"{', '.join(f'cbackprop.{cls.__name__}(...)' for cls in SOLVERS)}"
            )
        losses.check_loss(self.loss, self.network.activations[-1], callables=True)
        if self.batch_size is not None:
            self.batch_size = checks.positive_int("batch_size", self.batch_size)
            if self.solver.full_batch:
                raise InputError(
                    f"batch_size is {self.batch_size} and the solver is "
                    f"{type(self.solver).__name__}, whose steps take all rows; expected None"
                )
        if not (callable(self.shuffle) or self.shuffle == "window"):
            if isinstance(self.shuffle, str):
                checks.choice("shuffle", self.shuffle, ("window",))
            self.shuffle = checks.boolean("shuffle", self.shuffle)
        self.l1 = checks.positive_float("l1", self.l1, zero=True)
        self.l2 = checks.positive_float("l2", self.l2, zero=True)
        self.solver.check_goes_with(self.loss, self.l1, self.l2)
        if self.n_threads is not None:
            threads.resolve(self.n_threads)
        self._rule = self.solver.rule_settings(self.loss, self.l1, self.l2)
        self._memory = self.solver.n_vectors, self.solver.n_numbers, self.solver.memory_kind
        self._of_system = self.solver.solves_a_system
        self._plain = losses.objective_for(self.loss, self.network.dtype)
        sizes = self.solver, self.loss, self.batch_size, self.shuffle, self.l1, self.l2
        self._checked = (*sizes, self.n_threads)

    def _threads(self, n_rows: int, n_validation: int) -> int | None:
        """``n_threads`` for this fit; one where no batch repays a team: counting takes a while."""
        most_rows = max(n_rows, n_validation)
        if self._of_system:
            # A row of J'J costs as many rows of backpropagation.
            most_rows *= 1 + self.network.n_parameters // 8
        if self.n_threads is None and not worth_a_team(self.network._plan, most_rows):
            return 1
        return self.n_threads

    def _data(self, X_name: str, X: Any, Y_name: str, Y: Any) -> tuple[np.ndarray, np.ndarray]:
        network = self.network
        sizes, dtype = network.sizes, network.dtype
        X = checks.as_rows(X_name, X, sizes[0], dtype)
        Y = checks.as_rows(Y_name, Y, sizes[-1], dtype, allow_1d=True)
        checks.same_rows(X_name, X, Y_name, Y)
        losses.check_targets(self.loss, self.network.activations[-1], Y_name, Y)
        return X, Y

    def _split(
        self, validation_data: Any, test_data: Any, Y: np.ndarray
    ) -> tuple[np.ndarray | None, list[np.ndarray | None]]:
        """The rows to train on (None: all), and those held out where data are not given."""
        parts = [
            splits.rows_of("validation_data", validation_data, len(Y)),
            splits.rows_of("test_data", test_data, len(Y)),
        ]
        if parts[0] is None and parts[1] is None:
            return None, [None, None]
        return splits.split(parts, len(Y), self.seed, self._classes(Y))

    def _classes(self, Y: np.ndarray) -> np.ndarray | None:
        """A class for each row, where the targets are classes."""
        spec = losses.spec_of(self.loss)
        if spec is None or not spec.class_distribution or not np.isfinite(Y).all():
            return None
        distribution = spec.class_distribution[self.network.activations[-1]]
        if distribution == "Bernoulli" and Y.shape[1] > 1:
            return None  # several yes-or-no answers
        return splits.classes_of(Y)

    def _objective(self, output_weight: Any, missing: str) -> tuple[Objective, float]:
        """What is minimised, and the one factor to the targets' units (0: none, or several)."""
        network = self.network
        if output_weight is None and missing == "error" and network.output_scaling is None:
            return self._plain, 0.0
        output_weight = checks.as_weights(
            "output_weight", output_weight, network.sizes[-1], what="an output"
        )
        units: np.ndarray | None = None
        unit = 0.0
        if network.output_scaling is not None:
            factors = losses.unit_factors(self.loss, network.output_scaling.scale)
            if factors is not None and (factors == factors[0]).all():
                unit = float(factors[0])
            else:
                units = factors
        objective = losses.objective_for(
            self.loss,
            network.dtype,
            output_weight=output_weight,
            missing=missing == "ignore",
            units=units,
        )
        return objective, unit

    def _monitor(
        self,
        early_stopping: EarlyStopping | None,
        target_loss: float | None,
        metric: Any,
        n_validation: int,
    ) -> Monitor | None:
        plateau = getattr(self.solver, "learning_rate", None)
        if not getattr(plateau, "adaptive", False):
            plateau = None
        if early_stopping is None and target_loss is None and plateau is None:
            return None
        if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
            raise InputTypeError(
                f"early_stopping is {checks.describe(early_stopping)}; expected "
                "cbackprop.EarlyStopping(...) or None"
            )
        if target_loss is not None:
            target_loss = checks.number("target_loss", target_loss)
        return Monitor(early_stopping, target_loss, plateau, metric, n_validation)

    def _warn_about_range(self, Y: np.ndarray) -> None:
        activation = self.network.activations[-1]
        low, high = ACTIVATIONS[activation].range
        if self._warned or (low, high) == (-math.inf, math.inf):
            return
        if self.network.output_scaling is not None:
            return
        smallest, largest = extent(Y)  # missing targets, NaN, aside
        # Infinities are the core's to find, and an error.
        if -np.inf < smallest < low or high < largest < np.inf:
            self._warned = True
            self._warn(
                f"Y lies in [{smallest:g}, {largest:g}], but a {activation} output only reaches "
                f"[{low:g}, {high:g}]: scale the targets, or use output_activation='identity'"
            )

    def _warn(self, message: str) -> None:
        warnings.warn(message, UserWarning, stacklevel=4)

    def _columns(
        self, evaluations: Evaluations, gradient_norm: bool, objective: Objective, unit: float
    ) -> list[str]:
        """What is recorded in each epoch."""
        in_units = unit != 0 or objective.has_units
        wanted = ["loss", "learning_rate", "seconds"]
        if self.l1 or self.l2:
            wanted.append("penalty")
        wanted += self.solver.columns
        if gradient_norm or self.solver.full_batch:
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

    def _listener(self, losses: "array[float]") -> Callable[[], None] | None:
        """What a restart asks in the middle of a long step: whether it is to go on."""
        note = self._between_slices
        return None if note is None else lambda: note(len(losses))

    def _order(self, n_rows: int) -> Any:
        """What the core takes for an order: None, the seed, or a callable that is checked here."""
        if not callable(self.shuffle):
            return self.seed if self.shuffle else None
        shuffle = self.shuffle

        def checked(epoch: int) -> np.ndarray:
            order = np.asarray(shuffle(epoch))
            if order.dtype.kind not in "iu" or not np.array_equal(
                np.sort(order), np.arange(n_rows)
            ):
                raise InputError(
                    f"shuffle({epoch}) returned {checks.describe(order)}; expected a permutation "
                    f"of 0 .. {n_rows - 1}, e.g. rng.permutation({n_rows})"
                )
            return np.ascontiguousarray(order, dtype=np.int64)

        return checked

    def _rate(self) -> Any:
        """The learning rate as the core takes it: a number, or a function of epochs."""
        rate = getattr(self.solver, "learning_rate", math.nan)  # full-batch solvers have none
        if isinstance(rate, float):
            return rate
        return rate.rate if rate.adaptive else rate.rates

    def _state_for(self, monitor: Monitor | None) -> State:
        """The state with what the solver's rule needs; another rule's memory is forgotten."""
        state, network = self._state, self.network
        n_vectors, n_numbers, kind = self._memory
        if not (n_vectors or n_numbers):
            state.kind, state.vectors, state.numbers = kind, None, None
        elif state.kind != kind or not (
            _has_length(state.vectors, n_vectors) and _has_length(state.numbers, n_numbers)
        ):
            state.vectors = None
            if n_vectors:
                state.vectors = np.zeros((n_vectors, network.n_parameters), network.dtype)
            state.numbers = np.zeros(n_numbers) if n_numbers else None
            state.kind = kind
            self.solver.fill(state.vectors, state.numbers)
        if monitor is not None:
            same = monitor.plateau == self._plateau
            monitor.adopt(state, network.parameters, same)
            self._plateau = monitor.plateau
        return state

    def _tell(
        self,
        failure: tuple[Any, ...],
        X: np.ndarray,
        Y: np.ndarray,
        evaluations: Evaluations,
        missing: str,
    ) -> None:
        """Raise the error that the core's answer stands for."""
        dtype = self.network.dtype
        if failure[0] == "rows":
            checks.raise_non_finite(X, Y, dtype, missing=missing == "ignore")
        if failure[0] in ("validation rows", "test rows"):
            evaluations.raise_non_finite(failure[0].split()[0])
        _, epoch, step, rate = failure
        with_rate, advice = f"learning_rate={rate:g}", "Use a smaller learning_rate, or s"
        if math.isnan(rate):
            with_rate, advice = type(self.solver).__name__, "S"
        raise DivergenceError(
            f"training diverged: the loss or a parameter was not finite after step {step} of epoch "
            f"{epoch} (both from 0) with {with_rate}; the network is as it was at the start of the "
            f"epoch or shortly before. {advice}cale the inputs and targets to about [-1, 1]",
            epoch,
            step,
            rate,
        )


def _saver_for(checkpoint: Any, epoch: int) -> Any:
    """What saves the trainer in a fit that begins after so many epochs."""
    from .checkpoint import Checkpoint

    if not isinstance(checkpoint, Checkpoint):
        raise InputTypeError(
            f"checkpoint is {checks.describe(checkpoint)}; expected cbackprop.Checkpoint(path)"
        )
    return checkpoint._saver(epoch)


def _has_length(memory: np.ndarray | None, n: int) -> bool:
    return (0 if memory is None else len(memory)) == n
