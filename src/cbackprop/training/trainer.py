"""Trainer: the training loop.  Settings, state, `fit` and `step`.

The loop over epochs is compiled (core/fit/fit.pyx) and runs without the GIL.  Here settings are
checked and kept; fit_run.py prepares, runs and records one call of `fit`.  Neither file does
arithmetic of training.
"""

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import checks, losses
from ..activations import ACTIVATIONS
from ..core.data.rows import extent
from ..core.fit.state import State
from ..core.gradient.update_rules import RuleSettings
from ..errors import InputError, InputTypeError
from ..machine import threads
from ..network.network import Network
from ..solvers import SOLVERS, Adam, Solver
from .conventions import Conventions
from .early_stopping import EarlyStopping, Monitor
from .fit_run import FitRun
from .gradient_step import make_step
from .history import History
from .request import FitRequest

__all__ = ["Trainer"]

# The best or nearly the best untuned solver on five measured data sets, four networks and three
# lengths of training (docs/mathematics.md, "Which solver").
DEFAULT_SOLVER = Adam(learning_rate=0.01)

# The rules of a trainer without a front end, and the settings before any check.
OWN = Conventions()
UNCHECKED: tuple[Any, ...] = (None,) * 8
# The range of an output activation that can reach every target.
EVERYTHING = (-math.inf, math.inf)


class Trainer:
    """Trains a network, in one or more calls of `fit`.

    Parameters
    ----------
    network : Network
        Trained in place.  It can be replaced only before the first step, or after `reset`.
    solver : solver
        One of `cbackprop.solvers`; ``Adam(learning_rate=0.01)`` by default.  May be replaced
        between two fits: a changed learning rate takes effect, another kind of solver starts from
        scratch.
    loss : str, Huber, Quantile or callable
        "squared_error", "cross_entropy" or another of ``cbackprop.losses.LOSSES``: the mean over
        the rows of a batch of the sum over its outputs (docs/mathematics.md).  Or a function
        ``loss(Y, Y_hat)`` that returns the loss of a batch and its derivative with respect to
        ``Y_hat``, an array of its shape; called once per batch, and used without any further
        factor.
    batch_size : int, optional
        Rows of a step; 1 is one row at a time, the number of rows (or more) is full batch.  None is
        min(200, N), or all rows for solvers whose ``full_batch`` is True, which accept nothing
        else.  The last batch of an epoch may be shorter; its gradient is divided by its own number
        of rows.
    shuffle : bool, "window" or callable
        True: each epoch visits the rows in an order that depends on the seed and the epoch's number
        alone.  False: in their own order.  "window": blocks of rows in random order, shuffled
        within a window of several, so that a memory-mapped file is read almost in sequence.  A
        callable gives the order: ``shuffle(epoch)`` returns a permutation of 0 .. N - 1, N the
        number of training rows.  A full batch is read in the rows' own order.
    l1, l2 : float
        (l2/2) |W|^2 + l1 |W|_1 is added to the mean loss of every step: for weights, not for
        biases, and independent of the batch size.
    seed : None, int, numpy.random.SeedSequence or numpy.random.Generator
        None draws fresh entropy; `seed` then holds the drawn number.
    n_threads : int, optional
        None is as many as are available, shared among the fits that run in the process.  Results
        are bitwise identical for any number.

    Attributes
    ----------
    epoch : int
        Whole epochs done.
    history : History
        All epochs since the trainer was made or reset.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.

    Notes
    -----
    One ``fit`` with k epochs and k calls with one epoch are bitwise identical.  After Ctrl-C the
    parameters are those of the last complete step, and the next ``fit`` on the same rows continues
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
        self.network = network
        self.solver = DEFAULT_SOLVER if solver is None else solver
        self.loss = loss
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.l1, self.l2 = l1, l2
        self.seed = checks.seed_number("seed", seed)
        self.n_threads = n_threads
        self._conventions = OWN
        self._checked = UNCHECKED
        self.reset()
        self._check_settings()
        self._warned = False

    def reset(self) -> None:
        """Discard the epochs done, the solver's state and the history, but keep the network."""
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
        # The core's settings are rebuilt when they are needed.
        state = {**self.__dict__, "_checked": UNCHECKED}
        for name in ("_rule", "_plain", "_memory"):
            state.pop(name, None)
        if self._conventions is OWN:
            del state["_conventions"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickle of 0.1.0 has two attributes that no longer exist, and lacks one.
        gone = ("_most_steps", "_between_slices")
        state = {name: value for name, value in state.items() if name not in gone}
        self.__dict__.update({"_conventions": OWN} | state)
        self._checked = (self.network, *UNCHECKED[1:])

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
            float32 and float64 arrays with contiguous rows are read without a copy (a read-only
            memmap may be larger than memory); the network computes in its own dtype.
        Y : array-like, (N, n_out)
            One-dimensional where n_out is 1.
        epochs : int
            At least 0; an epoch visits each row once (with LBFGS, LevenbergMarquardt and
            BayesianRegularization it is one iteration).
        validation_data, test_data : tuple, float or array of int, optional
            ``(X, Y)`` or ``(X, Y, sample_weight)``; or a fraction of the rows, drawn with the seed
            and, with cross-entropy on classes (a column of 0 and 1, or one-hot rows), stratified by
            class; or row numbers.  These rows are not trained on, and nothing is copied.  Their
            loss is computed after each epoch; the test loss is only recorded and never used for
            decisions.
        sample_weight : array-like, (N,), optional
            At least 0.  Row i of a batch has the weight w_i / mean(w) / rows of the batch, with the
            mean over all training rows, which is unbiased for every batch size.
        class_weight : mapping or "balanced", optional
            A weight for the rows of each class, multiplied by the sample weights.  A row's class is
            the value of a single target column, else the number of its largest column.
        output_weight : array-like, (n_out,), optional
            The factor of each output's loss.
        missing : "error" or "ignore"
            "ignore": a NaN in Y is a missing target and contributes 0 to loss and gradient.
        metric : "accuracy", "r2" or callable, optional
            Computed on the validation and test rows after each epoch; a function takes ``(Y,
            Y_hat)`` in the targets' units and returns a number.
        early_stopping : EarlyStopping, optional
        max_seconds : float, optional
            Stop at the first step after this time.
        target_loss : float, optional
            Stop after the first epoch whose loss is at most this.
        gradient_norm : bool
            Record the norm of the full gradient; with mini-batches it is computed additionally,
            after each epoch.  Solvers that compute it anyway always record it (LevenbergMarquardt:
            at the start of the epoch).  A full-batch step of plain SGD is then made from the stored
            gradient, which may change its last bits.
        callbacks : object or sequence of objects
            After each epoch ``on_epoch_end(trainer, record)`` is called, where record is a dict of
            "epoch" and the epoch's numbers; returning True stops the training, and an exception
            ends it at the end of the epoch.
        checkpoint : Checkpoint, optional
            Where and how often the trainer is saved.
        progress : bool
            Show a progress bar if tqdm is installed and standard error is a terminal.
        restarts : int, optional
            Train this many times from newly drawn parameters and keep the best: by the best
            monitored value with `early_stopping`, else by the lowest final validation loss, or by
            the training loss with penalty if there is no validation.  The network's current
            parameters are not used.  Restart i draws them with the seed
            ``numpy.random.SeedSequence(trainer.seed).spawn(restarts)[i]``, "auto" or as the solver
            prefers; everything else is the same for all.  They run side by side, one thread each;
            `max_seconds` holds for each.  A loss, a metric or a shuffle in Python is called from
            their threads.  Only for a new trainer, or after `reset`; not with `callbacks` or
            `checkpoint`.

        Returns
        -------
        History
            The history of this call: ``history["loss"]``, ``history["validation_loss"]``, ...; its
            ``stop_reason`` says why training stopped.  With `restarts` it is the best restart's,
            and ``history.restarts`` has all of them.

        Raises
        ------
        InputError, InputTypeError
            An argument does not fit, or a NaN or an infinity was found (finiteness is checked while
            the first epoch reads the rows).  Network and trainer are as before the call.
        DivergenceError
            The loss or a parameter became infinite or NaN.  Network and trainer are as they were at
            the start of the epoch, or some 50 ms before if epochs are shorter.  With `restarts`:
            all diverged; network and trainer are as before the call.
        BusyError
            The network is being trained by another call, or a callback has replaced it.
        OSError
            A checkpoint could not be written; training has stopped at a complete step.
        KeyboardInterrupt
            Within 0.2 s of Ctrl-C; network and trainer are at the last complete step.  With
            `restarts` they are as before the call.
        """
        self._check_settings()
        epochs = checks.positive_int("epochs", epochs, at_least=0)
        progress = checks.boolean("progress", progress)
        gradient_norm = checks.boolean("gradient_norm", gradient_norm)
        checks.choice("missing", missing, ("error", "ignore"))
        X, Y = self._data("X", X, "Y", Y)
        request = FitRequest(
            X,
            Y,
            epochs,
            validation_data,
            test_data,
            sample_weight,
            class_weight,
            output_weight,
            missing,
            metric,
            early_stopping,
            max_seconds,
            target_loss,
            gradient_norm,
            callbacks,
            checkpoint,
            progress,
        )
        if restarts is not None:
            from .restarts import fit_restarts

            self._warn_about_range(Y)
            return fit_restarts(self, restarts, request)
        prepared = FitRun(self, request)
        self._warn_about_range(Y)
        return prepared.run()

    def _fit(self, X: Any, Y: Any, epochs: int, *, steps: int, **settings: Any) -> History:
        """`fit`, but at most ``steps`` steps; the settings are not checked."""
        self._check_settings()
        X, Y = self._data("X", X, "Y", Y)
        prepared = FitRun(self, FitRequest(X, Y, epochs, steps=steps, **settings))
        self._warn_about_range(Y)
        return prepared.run()

    def step(self, gradient: Any, loss: float | None = None) -> None:
        """Make one step of the solver from a gradient computed elsewhere.

        Parameters
        ----------
        gradient : array-like, (n_parameters,)
            The gradient of the mean loss with respect to ``network.parameters``, as
            `Network.gradient` and `Network.backward` return it.  Cast to the network's dtype.  The
            trainer's l1 and l2 and the solver's clipping and weight decay are applied to it here,
            as in a fit.
        loss : float, optional
            The mean loss that belongs to the gradient, without penalties.  RProp and
            `schedules.ReduceOnPlateau` need it; otherwise it is only recorded, as NaN if not given.

        Raises
        ------
        InputError, InputTypeError
            An argument does not fit or is not finite; or the solver is LBFGS, LevenbergMarquardt or
            BayesianRegularization, for which one gradient is not enough: use `fit`.
        DivergenceError
            A parameter became infinite or NaN.
        BusyError
            The network is being trained by another call.

        Notes
        -----
        After each of these errors, network and trainer are as before the call.

        A step counts as an epoch of one step: schedules advance, and the history gets an entry,
        whose seconds are those of the step alone.  The rest of an interrupted epoch is dropped, as
        by a fit on other rows.

        With the loss and the gradient of all rows a step is bitwise identical to an epoch of a
        full-batch ``fit``, with two exceptions.  A fit with plain SGD may subtract the gradient
        while it is computed, which rounds differently, unless ``gradient_norm=True``.  And RProp's
        fit rounds its loss differently, which matters only if it equals the previous loss except
        for the last digit.
        """
        self._check_settings()
        make_step(self, gradient, loss)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write network, settings, state and history to a file; keep the previous file.

        The previous file is `path` with ".previous" appended.  A complete file exists at every
        moment.

        Raises
        ------
        InputError, InputTypeError
            If a parameter is not finite, or JSON cannot hold the network's `annotations`.
        OSError
            If the file cannot be written; an existing file is unchanged.
        BusyError
            While the network is being trained; use ``fit(checkpoint=...)`` instead.
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

        Its next fit continues where the saved one was, bitwise identical to a training that was not
        interrupted.  The fit's arguments must be given again::

            trainer = Trainer.load(path)
            trainer.fit(X, Y, epochs=total - trainer.epoch, checkpoint=Checkpoint(path), ...)

        Parameters
        ----------
        path : path-like
        loss, shuffle : callable, optional
            The trainer's own, if they were functions, which are not stored.

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

    # --- settings --------------------------------------------------------------------------

    def _follow(self, conventions: Conventions) -> None:
        """Use the rules of a front end from now on."""
        self._conventions, self._checked = conventions, UNCHECKED

    def _check_settings(self) -> None:
        """Check the attributes, if any has been set since the last check."""
        network, solver, loss, batch_size, shuffle, l1, l2, n_threads = self._checked
        if (  # one by one: this is part of a fit's fixed cost
            self.network is network
            and self.solver is solver
            and self.loss is loss
            and self.batch_size is batch_size
            and self.shuffle is shuffle
            and self.l1 is l1
            and self.l2 is l2
            and self.n_threads is n_threads
        ):
            return
        self._check_network(network)
        self._check_each()
        self._of_system = self.solver.solves_a_system
        self._rule = self._core_rule()
        self._memory = self.solver.n_vectors, self.solver.n_numbers, self.solver.memory_kind
        self._plain = losses.objective_for(self.loss, self.network.dtype)
        sizes = self.solver, self.loss, self.batch_size, self.shuffle, self.l1, self.l2
        self._checked = (self.network, *sizes, self.n_threads)

    def _check_network(self, known: Network | None) -> None:
        """Check the network, which can be another one only before the first step."""
        if not isinstance(self.network, Network):
            raise InputTypeError(
                f"network is {checks.describe(self.network)}; expected a cbackprop.Network"
            )
        if known is not None and self.network is not known and self._state.in_use:
            raise InputError(
                "network is another one than the trainer has trained, to which its state belongs; "
                "expected the same, or call trainer.reset() first, or make a new Trainer"
            )

    def _check_each(self) -> None:
        """Check each setting alone, and combinations that are not allowed."""
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

    def _core_rule(self) -> RuleSettings:
        """The solver and the penalties as the core reads them."""
        rule, ways = self.solver.rule_settings(self.loss, self.l1, self.l2), self._conventions
        if ways.l2_shared and self.l2:
            rule = rule.but(l2_shared=True)
        if ways.weight_mean is not None and self._of_system:
            rule = rule.but(weight_mean=ways.weight_mean, counts_rows=True)
        return rule

    def _data(self, X_name: str, X: Any, Y_name: str, Y: Any) -> tuple[np.ndarray, np.ndarray]:
        network, check_data = self.network, self._conventions.check_data
        if check_data is not None:
            return check_data(self.loss, X_name, X, Y_name, Y)
        sizes, dtype = network._sizes, network._dtype  # properties would add to a fit's cost
        X = checks.as_rows(X_name, X, sizes[0], dtype)
        Y = checks.as_rows(Y_name, Y, sizes[-1], dtype, allow_1d=True)
        checks.same_rows(X_name, X, Y_name, Y)
        if self.loss != "squared_error":
            losses.check_targets(self.loss, network.activations[-1], Y_name, Y, dtype)
        return X, Y

    def _warn_about_range(self, Y: np.ndarray) -> None:
        network = self.network
        activation = network._activations[-1]
        low, high = ACTIVATIONS[activation].range
        if self._warned or (low, high) == EVERYTHING or network._target_scaling is not None:
            return
        smallest, largest = extent(Y)  # missing targets, NaN, aside
        # Infinities are an error, which the core reports.
        if -np.inf < smallest < low or high < largest < np.inf:
            self._warned = True
            self._conventions.warn(
                f"Y lies in [{smallest:g}, {largest:g}], but a {activation} output only reaches "
                f"[{low:g}, {high:g}]: scale the targets, or use output_activation='identity'"
            )

    def _state_for(self, monitor: Monitor | None) -> State:
        """The state with the memory that the solver's rule needs; another rule's is discarded."""
        state, network = self._state, self.network
        n_vectors, n_numbers, kind = self._memory
        if not (state.kind == kind and state.has_memory(network._plan, n_vectors, n_numbers)):
            vectors = numbers = None
            if n_vectors:
                vectors = np.zeros((n_vectors, network.n_parameters), network.dtype)
            if n_numbers:
                numbers = np.zeros(n_numbers)
            if n_vectors or n_numbers:
                self.solver.fill(vectors, numbers)
            state.kind, state.vectors, state.numbers = kind, vectors, numbers
        if monitor is not None:
            same = monitor.plateau == self._plateau
            monitor.adopt(state, network.parameters, same)
            self._plateau = monitor.plateau
        return state
