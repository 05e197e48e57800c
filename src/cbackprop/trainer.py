"""Trainer: time.  Epochs, batches, validation, history, interruption; what a solver remembers.

The loop over epochs is compiled (core/descent.pyx) and runs without the GIL.  Here arguments are
checked and errors are told; no arithmetic of training stands in this file.
"""

import operator
import warnings
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from . import blas_threads, checks, threads
from .core.descent import State, descend, worth_a_team
from .errors import DivergenceError, InputError, InputTypeError
from .history import History
from .network import LOSSES, Network
from .progress import Progress
from .solvers import SGD

__all__ = ["Trainer"]

# A mini-batch where none is asked for, as in scikit-learn's MLP.
MINI_BATCH = 200

# The values an output activation can take.
RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, np.inf)}


class Trainer:
    """Trains a network, in one call of `fit` or in many.

    Parameters
    ----------
    network : Network
        Trained in place.
    solver : SGD
        How a step is made.  May be replaced between two fits: a changed learning rate is honoured,
        another kind of solver starts afresh.
    loss : "squared_error"
        L = 1/(2N) sum_n sum_k (y_nk - y_hat_nk)^2, over the N rows of a batch.
    batch_size : int, optional
        Rows of a step; 1 is one row at a time, the number of rows (or more) is full batch.  None is
        min(200, N).  The last batch of an epoch may be shorter; its gradient is divided by its own
        rows.
    shuffle : bool or callable
        True: each epoch visits the rows in an order that depends on the seed and the epoch's number
        alone.  False: in their own order.  A callable gives the order: ``shuffle(epoch)`` returns a
        permutation of 0 .. N - 1.  A full batch is read in the rows' own order.
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
        solver: SGD | None = None,
        loss: str = "squared_error",
        batch_size: int | None = None,
        shuffle: bool | Callable[[int], Any] = True,
        seed: Any = None,
        n_threads: int | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise InputTypeError(
                f"network is {checks.describe(network)}; expected a cbackprop.Network"
            )
        self.network = network
        self.solver = SGD() if solver is None else solver
        self.loss = loss
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = checks.seed_number("seed", seed)
        self.n_threads = n_threads
        self._checked: tuple[Any, ...] = (None,) * 5
        self._check_settings()
        self._warned = False
        self.reset()

    def reset(self) -> None:
        """Forget the epochs done, the solver's state and the history, but not the network."""
        self._state = State()
        self.history = History()

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self._state.epoch

    def __repr__(self) -> str:
        return (
            f"Trainer({self.network!r}, solver={self.solver!r}, loss={self.loss!r}, "
            f"batch_size={self.batch_size}, shuffle={self.shuffle}, seed={self.seed}, "
            f"n_threads={self.n_threads})"
        )

    def fit(
        self,
        X: Any,
        Y: Any,
        *,
        epochs: int,
        validation_data: tuple[Any, Any] | None = None,
        progress: bool = False,
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
            At least 0; an epoch visits each row once.
        validation_data : (X, Y), optional
            Its loss is computed after each epoch.
        progress : bool
            Show a progress bar, where tqdm is installed and standard error is a terminal.

        Returns
        -------
        History
            Of this call: ``history["loss"]``, ``history["validation_loss"]``.

        Raises
        ------
        InputError, InputTypeError
            An argument does not fit, or a NaN or an infinity was met (finiteness is checked while
            the first epoch reads the rows).  Network and trainer are as before the call.
        DivergenceError
            The loss or a parameter became infinite or NaN.  Network and trainer are as they were at
            the start of the epoch, or some 50 ms before where epochs are shorter.
        BusyError
            The network is being trained by another call.
        KeyboardInterrupt
            Within 0.2 s of Ctrl-C; network and trainer hold the last whole step.
        """
        return self._fit(X, Y, epochs, validation_data, progress)

    def _fit(
        self,
        X: Any,
        Y: Any,
        epochs: int,
        validation_data: Any = None,
        progress: bool = False,
        steps: int = -1,
    ) -> History:
        """`fit`, or no more than ``steps`` steps of it."""
        network = self.network
        self._check_settings()
        epochs = checks.positive_int("epochs", epochs, at_least=0)
        progress = checks.boolean("progress", progress)
        X, Y = self._rows("X", X, "Y", Y)
        validation = None
        if validation_data is not None:
            validation = self._validation_rows(validation_data)
        batch_rows = min(self.batch_size or MINI_BATCH, len(X))
        n_threads = self._threads(batch_rows, 0 if validation is None else len(validation[0]))
        scaling = network._scaling_arrays()
        self._warn_about_range(Y)

        losses, validation_losses = array("d"), array("d")
        history = History()
        claim = object()
        bar = None
        failure = None
        try:
            network._begin_fit("fit", claim)
            bar = Progress(progress, epochs, losses)
            with (
                threads.running_fit(n_threads) as share,
                blas_threads.single_threaded(network._plan.may_thread_blas),
            ):
                failure = descend(
                    network._plan,
                    self._state_for_solver(),
                    network.parameters,
                    X,
                    Y,
                    validation,
                    self.solver.rule,
                    self.solver.learning_rate,
                    self.solver.momentum,
                    batch_rows,
                    self._order(len(X)),
                    epochs,
                    share.most(),
                    share.now,
                    scaling,
                    losses,
                    validation_losses,
                    bar.on_slice,
                    steps,
                )
        finally:
            for record in (history, self.history):
                record._extend(loss=losses, validation_loss=validation_losses)
            network._end_fit(claim)
            if bar is not None:
                bar.close()
        if failure is not None:
            self._tell(failure, X, Y, validation)
        return history

    # --- arguments -------------------------------------------------------------------------

    def _check_settings(self) -> None:
        """The attributes, if any has been set since they were checked."""
        settings = self.solver, self.loss, self.batch_size, self.shuffle, self.n_threads
        if all(map(operator.is_, settings, self._checked)):
            return
        if not isinstance(self.solver, SGD):
            raise InputTypeError(
                f"solver is {checks.describe(self.solver)}; expected cbackprop.SGD(...)"
            )
        checks.choice("loss", self.loss, LOSSES)
        if self.batch_size is not None:
            self.batch_size = checks.positive_int("batch_size", self.batch_size)
        if not callable(self.shuffle):
            self.shuffle = checks.boolean("shuffle", self.shuffle)
        if self.n_threads is not None:
            threads.resolve(self.n_threads)
        self._checked = self.solver, self.loss, self.batch_size, self.shuffle, self.n_threads

    def _threads(self, n_rows: int, n_validation: int) -> int | None:
        """``n_threads`` for this fit; one where no batch repays a team: counting takes a while."""
        most_rows = max(n_rows, n_validation)
        if self.n_threads is None and not worth_a_team(self.network._plan, most_rows):
            return 1
        return self.n_threads

    def _rows(self, X_name: str, X: Any, Y_name: str, Y: Any) -> tuple[np.ndarray, np.ndarray]:
        sizes, dtype = self.network.sizes, self.network.dtype
        X = checks.as_rows(X_name, X, sizes[0], dtype)
        Y = checks.as_rows(Y_name, Y, sizes[-1], dtype, allow_1d=True)
        checks.same_rows(X_name, X, Y_name, Y)
        return X, Y

    def _validation_rows(self, validation_data: Any) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
            raise InputTypeError(
                f"validation_data is {checks.describe(validation_data)}; expected a pair (X, Y)"
            )
        X, Y = validation_data
        return self._rows("validation_data[0]", X, "validation_data[1]", Y)

    def _warn_about_range(self, Y: np.ndarray) -> None:
        activation = self.network.activations[-1]
        if self._warned or activation not in RANGES:
            return
        low, high = RANGES[activation]
        # NumPy's reductions cost a microsecond each, which shows on small data.
        values = Y.ravel().tolist() if Y.size <= 64 else (Y.min(), Y.max())
        smallest, largest = min(values), max(values)
        # Infinities are the core's to find, and an error.
        if -np.inf < smallest < low or high < largest < np.inf:
            self._warned = True
            warnings.warn(
                f"Y lies in [{smallest:g}, {largest:g}], but a {activation} output only reaches "
                f"[{low:g}, {high:g}]: scale the targets, or use output_activation='identity'",
                UserWarning,
                stacklevel=4,
            )

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

    def _state_for_solver(self) -> State:
        """The state with what the solver's rule needs; momentum starts from rest."""
        if self.solver.rule == "sgd":
            self._state.velocity = None
        elif self._state.velocity is None:
            self._state.velocity = np.zeros_like(self.network.parameters)
        return self._state

    def _tell(self, failure: Any, X: np.ndarray, Y: np.ndarray, validation: Any) -> None:
        """Raise the error that the core's answer stands for."""
        dtype = self.network.dtype
        if failure == "rows":
            checks.raise_non_finite(X, Y, dtype)
        if failure == "validation rows":
            V, W = validation
            checks.raise_non_finite(V, W, dtype, names=("validation_data[0]", "validation_data[1]"))
        _, epoch, step = failure
        rate = self.solver.learning_rate
        raise DivergenceError(
            f"training diverged: the loss or a parameter was not finite after step {step} of epoch "
            f"{epoch} (both from 0) with learning_rate={rate:g}; the network is as it was at the "
            "start of the epoch or shortly before. Use a smaller learning_rate, or scale the "
            "inputs and targets to about [-1, 1]",
            epoch,
            step,
            rate,
        )
