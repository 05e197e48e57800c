"""The common base of both estimators: parameters, fit, partial_fit, fitted attributes, pickles.

An estimator translates scikit-learn's parameters into a Network and a trainer, and a history back
into fitted attributes.  It does no arithmetic of training and draws no random numbers (draws.py).
"""

import copy
import math
import operator
import sys
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight

from .. import checks, losses
from ..activations import canonical, every_name
from ..core.data.rows import SparseRows
from ..errors import DivergenceError, InputError, InputMemoryError, InputTypeError
from ..network.network import Network
from ..network.scaling import Scaling
from .callbacks import CallbackSupport, Evaluations, Printer, Tasks
from .draws import Orders, another, draw_parameters, draw_spread, draw_validation_rows, stream
from .fitted import HasNetwork
from .notices import by_parameters, warn
from .rows import as_rows, predict_rows
from .runs import Data, Fit, HeldOut, Resume, Run, losses_of, train_all
from .solvers import SOLVERS, SolverKind
from .training import Patience, PeerTrainer

__all__ = ["BaseMLP", "fitting"]

# scikit-learn's names of activations that differ from ours.
_THEIRS = {"sigmoid": "logistic"}

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)

fitting = _fit_context(prefer_skip_nested_validation=True)


class BaseMLP(CallbackSupport, HasNetwork, BaseEstimator):  # type: ignore[misc]
    """The common part of `MLPClassifier` and `MLPRegressor`."""

    _doc_link_module = "cbackprop"
    _doc_link_template = "https://pypi.org/project/cbackprop/"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(every_name(hidden=True)), "array-like"],
        "solver": [StrOptions(set(SOLVERS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state", np.random.Generator],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "alpha_scaling": [StrOptions({"batch", "none"})],
        "scaling": [StrOptions({"standard", "minmax"}), None],
        "scoring": [str, callable, None],
        "restarts": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "callbacks": "no_validation",
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
    }

    # To be defined by subclasses.
    loss: Any
    _metric: str  # the core's name for the metric of `score`

    # ------------------------------------------------------------------------- for the subclasses

    def _validated(
        self, X: Any, y: Any, *, first: bool, incremental: bool
    ) -> tuple[Any, np.ndarray]:
        """X and the targets in the network's form, (N, n_outputs)."""
        raise NotImplementedError

    def _encoded(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """The same for validation data, without changing the estimator."""
        raise NotImplementedError

    def _output(self) -> str:
        """scikit-learn's name for the activation of the output layer."""
        raise NotImplementedError

    def _core_loss(self) -> Any:
        """The loss in the trainer's form."""
        raise NotImplementedError

    def _score_of(self, Y: np.ndarray, Y_hat: np.ndarray, weight: np.ndarray | None) -> float:
        """What `score` would return, from targets and outputs."""
        raise NotImplementedError

    def _plain_metric(self, weight: np.ndarray | None) -> bool:
        """Whether the core's own metric equals `score`."""
        return weight is None

    def _row_weights(self, sample_weight: np.ndarray | None, y: Any) -> np.ndarray | None:
        """The row weights, including class weights."""
        return sample_weight

    # ------------------------------------------------------------------------------------ training

    def _hidden(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Sizes and activations of the hidden layers."""
        sizes: Any = self.hidden_layer_sizes
        try:
            sizes = list(map(operator.index, sizes if isinstance(sizes, Iterable) else [sizes]))
        except TypeError:
            raise InputTypeError(
                f"hidden_layer_sizes is {sizes!r}; expected whole numbers, e.g. (100,)"
            ) from None
        if any(size <= 0 for size in sizes):
            raise InputError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        names = self.activation
        names = (names,) * len(sizes) if isinstance(names, str) else tuple(names)
        if len(names) != len(sizes):
            raise InputError(
                f"activation has {len(names)} names and hidden_layer_sizes {len(sizes)} layers; "
                "expected one name, or one for each hidden layer"
            )
        for name in names:
            canonical("activation", name, hidden=True)
        return tuple(sizes), names

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        incremental: bool = False,
        checked: tuple[Any, np.ndarray] | None = None,
    ) -> Any:
        """Both `fit` and `partial_fit`; ``checked`` is X and targets that need no further check.

        After an error before the end of the first epoch the estimator is unchanged; after a
        divergence or Ctrl-C it has the last weights of a complete step that are finite.
        """
        before = dict(self.__dict__)
        curve = before.get("loss_curve_")
        n_before = 0 if curve is None else len(curve)
        try:
            return self._train(X, y, sample_weight, validation_data, incremental, checked)
        except DivergenceError:
            raise
        except Exception as error:
            now = self.__dict__.get("loss_curve_")
            if now is None or len(now) == (n_before if now is curve else 0):
                self.__dict__.clear()
                self.__dict__.update(before)
            if isinstance(error, InputMemoryError):
                raise InputMemoryError(by_parameters(error)) from None
            raise

    def _train(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation_data: Any,
        incremental: bool,
        checked: tuple[Any, np.ndarray] | None,
    ) -> Any:
        kind = SOLVERS[self.solver]
        self._check_loss(kind)
        hidden, activations = self._hidden()
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        if checked is None:
            checked = self._validated(X, y, first=first, incremental=incremental)
        X, Y = checked
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        data = Data(as_rows(X), Y, self._row_weights(sample_weight, y))
        fit = Fit(kind, data, first, incremental, self.__dict__.get("_resume"))
        random = fit.stream or stream(self.random_state)
        layers = (X.shape[1], *hidden, Y.shape[1])
        network = self._network_for(fit, layers, activations, X.dtype, random)
        if not incremental:
            self._hold_out(fit, random, validation_data)
        if first:
            self._begin(network)
        runs = self._runs(fit, network, random, activations)
        self._warn_of_clipped_batches(fit)
        self._set_orders_and_rates(fit, runs)
        metric = None if fit.held_out is None else self._metric_for(fit.held_out)
        self._set_patience(fit, runs, metric)
        settings = self._settings(fit)
        if len(runs) > 1:
            runs[0].trainer.warn_once(data.Y, (run.trainer for run in runs))

        def train(run: Run) -> None:
            number = runs.index(run) + 1 if len(runs) > 1 else None
            callbacks = self._callbacks(run, number, X, y, kind)
            of_network = None if metric is None else metric(run.network)
            run.train(data.X, data.Y, **settings, metric=of_network, callbacks=callbacks)

        try:
            train_all(runs, self.n_jobs, train)
        except DivergenceError as error:
            raise DivergenceError(
                f"{NON_FINITE} {by_parameters(error)}", error.epoch, error.step, error.learning_rate
            ) from None
        finally:
            run = min(runs, key=lambda run: run.rank(fit.stops_early))
            self._collect(run, fit)
            self._keep(run, kind, incremental)
        self._tell_convergence(run, kind, incremental)
        return self

    def _network_for(
        self,
        fit: Fit,
        layers: tuple[int, ...],
        activations: tuple[str, ...],
        dtype: np.dtype[Any],
        random: np.random.RandomState,
    ) -> Network:
        """A new network with its initial weights, or the one to continue with."""
        if not fit.first:
            network = self._current_network()
            self._check_unchanged(network, layers, activations)
            return network
        network = self._new_network(layers, activations, dtype)
        self._draw(network, random, fit.kind, activations)
        if self.scaling is not None:
            self._fit_scaling(network, fit.data)
        return network

    def _runs(
        self,
        fit: Fit,
        network: Network,
        random: np.random.RandomState,
        activations: tuple[str, ...],
    ) -> list[Run]:
        """The trainings of this call: one for each restart."""
        kind = fit.kind
        runs = [Run(network, random, self._trainer_for(fit, network, goes_on=fit.goes_on))]
        if self.restarts > 1 and not fit.incremental:
            for number in range(1, int(self.restarts)):
                other = another(random, number)
                drawn = copy.deepcopy(network)
                self._draw(drawn, other, kind, activations)
                runs.append(Run(drawn, other, self._trainer_for(fit, drawn, goes_on=False)))
        return runs

    def _warn_of_clipped_batches(self, fit: Fit) -> None:
        if self.batch_size == "auto" or not fit.kind.mini_batches:
            return
        if self.batch_size > fit.n_rows:
            warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                f"clipped: batch_size is {self.batch_size} and there are {fit.n_rows} rows",
                UserWarning,
            )

    def _set_orders_and_rates(self, fit: Fit, runs: list[Run]) -> None:
        """Set each run's row orders and learning rates."""
        places = None if fit.held_out is None else fit.held_out.places
        order = fit.resume.order if fit.incremental and fit.resume is not None else None
        for run in runs:
            if fit.kind.mini_batches and (self.shuffle or places is not None):
                run.orders = Orders(
                    run.random, fit.n_rows, places=places, shuffle=bool(self.shuffle), order=order
                )
                run.trainer.conventions.order = run.orders
            rates = self._rates(run.trainer, fit.n_rows, fit.incremental)
            run.trainer.conventions.rates = rates

    def _set_patience(
        self, fit: Fit, runs: list[Run], metric: Callable[[Network], Any] | None
    ) -> None:
        """Set when each run stops; for a warm start, the value to beat is known."""
        score: float | None = None
        if fit.held_out is not None and metric is not None and not fit.first:
            # The score to beat is that of the initial weights on the rows of this fit.
            score = self._score_before(runs[0].network, fit.held_out, metric)
        for run in runs:
            begins = fit.first or run is not runs[0]
            run.trainer.conventions.monitor = self._patience(fit, begins, score)

    def _settings(self, fit: Fit) -> dict[str, Any]:
        """The arguments with which all runs are fitted."""
        settings: dict[str, Any] = {
            "epochs": 1 if fit.incremental else min(int(self.max_iter), sys.maxsize),
            "sample_weight": fit.data.weight,
            "missing": getattr(self, "missing", "error"),
            "max_seconds": None if self.max_time is None else float(self.max_time),
        }
        if fit.held_out is not None:
            settings["validation_data"] = fit.held_out.as_given()
        return settings

    def _fit_with_tasks(self, X: Any, y: Any, sample_weight: Any, validation_data: Any) -> Any:
        """`_fit`, as a task of scikit-learn's callbacks if there are any."""
        if not self.__dict__.get("_skl_callbacks"):
            return self._fit(X, y, sample_weight, validation_data=validation_data)
        context = self._init_callback_context(max_subtasks=None)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._fit(X, y, sample_weight, validation_data=validation_data)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    def _new_network(
        self, layers: tuple[int, ...], activations: tuple[str, ...], dtype: Any
    ) -> Network:
        names = tuple(
            canonical("activation", name, hidden=False) for name in (*activations, self._output())
        )
        layers = checks.layer_sizes(layers, bias=True, itemsize=np.dtype(dtype).itemsize)
        network = Network.__new__(Network)
        network._build(layers, names, True, np.dtype(dtype))
        return network

    def _draw(
        self,
        network: Network,
        random: np.random.RandomState,
        kind: SolverKind,
        activations: tuple[str, ...],
    ) -> None:
        """Draw the initial weights."""
        if kind.spread:
            draw_spread(network, random)
        else:
            draw_parameters(network, random, _names(self.activation, activations))

    def _fit_scaling(self, network: Network, data: Data) -> None:
        if isinstance(data.X, SparseRows):
            raise InputError(
                f"scaling is {self.scaling!r} and X is sparse; expected scaling=None: shifted, no "
                "entry would stay 0. MaxAbsScaler in a pipeline keeps them"
            )
        kind = self.scaling
        network.fit_scaling(data.X, inputs=kind)
        if self._metric == "r2" and network.activations[-1] not in ("exp", "softmax"):
            network.output_scaling = _scaling_of_known(data.Y, kind)

    def _check_loss(self, kind: SolverKind) -> None:
        """Raise unless the solver supports the loss."""
        if kind.losses is not None and losses.name_of(self._core_loss()) not in kind.losses:
            offered = [name for name in kind.losses if not losses.LOSSES[name].class_distribution]
            expected = " or ".join(map(repr, offered))
            raise InputError(
                f"solver is {self.solver!r} and loss {self.loss!r}; expected {expected}: "
                f"{kind.reason}. solver='lbfgs' takes this loss"
            )

    def _check_unchanged(
        self, network: Network, layers: tuple[int, ...], activations: tuple[str, ...]
    ) -> None:
        """Check what a fitted network cannot change: shape, activations and scaling."""
        if layers != network.sizes:
            raise InputError(
                f"the layers have the sizes {layers} and those that are fitted {network.sizes}; "
                "expected the same with warm_start=True or in partial_fit. To begin afresh with "
                "other layers, call fit with warm_start=False"
            )
        if self.scaling != self._scaled_by:
            raise InputError(
                f"scaling is {self.scaling!r} and that which is fitted {self._scaled_by!r}; "
                "expected the same with warm_start=True or in partial_fit. To begin afresh with "
                "another, call fit with warm_start=False"
            )
        names = tuple(
            canonical("activation", name, hidden=False) for name in (*activations, self._output())
        )
        if names != network.activations:
            raise InputError(
                f"the activations are {names} and those that are fitted {network.activations}; "
                "expected the same with warm_start=True or in partial_fit. To begin afresh with "
                "others, call fit with warm_start=False"
            )

    def _hold_out(self, fit: Fit, random: np.random.RandomState, validation_data: Any) -> None:
        """Set aside the validation rows, if any."""
        data, stops_early = fit.data, bool(self.early_stopping)
        if validation_data is not None:
            held_out = HeldOut(self._validation_rows(validation_data, data.Y.shape[1]))
            fit.hold_out(held_out, stops_early)
        elif stops_early and fit.kind.validates:
            stratify = None
            if self._metric == "accuracy" and data.Y.shape[1] == 1:
                stratify = data.Y.astype(bool)
            train, rows = draw_validation_rows(
                len(data), self.validation_fraction, random, stratify
            )
            fit.hold_out(HeldOut(data, rows, np.argsort(np.argsort(train))), stops_early)

    def _validation_rows(self, given: Any, n_outputs: int) -> Data:
        """`validation_data`, checked."""
        expected = "expected a tuple (X, y) or (X, y, sample_weight)"
        if not isinstance(given, (tuple, list)):
            raise InputError(f"validation_data is {checks.describe(given)}; {expected}")
        if len(given) not in (2, 3):
            items = "item" if len(given) == 1 else "items"
            raise InputError(f"validation_data has {len(given)} {items}; {expected}")
        try:
            X, Y = self._encoded(given[0], given[1])
            weight = None if len(given) == 2 else _check_sample_weight(given[2], X)
        except (TypeError, ValueError) as error:
            kind = InputTypeError if isinstance(error, TypeError) else InputError
            raise kind(f"validation_data: {error}") from None
        if Y.shape[1] != n_outputs:
            raise InputError(
                f"validation_data: y has {Y.shape[1]} columns; expected {n_outputs}, as in y"
            )
        if self.early_stopping and self.scoring is None and self._metric == "r2" and len(Y) < 2:
            raise InputError(
                "validation_data has 1 row; expected at least 2: R2 is not defined for one. "
                "scoring='neg_mean_squared_error' is"
            )
        return Data(as_rows(X), Y, weight)

    def _trainer_for(self, fit: Fit, network: Network, *, goes_on: bool) -> PeerTrainer:
        """The trainer to continue with, or a new one, with the current parameters."""
        kind, n_rows, mean = fit.kind, fit.n_rows, fit.weight_mean
        resume = fit.resume if goes_on else None
        l2 = float(self.alpha) if kind.penalised else 0.0
        shared = self.alpha_scaling == "batch"
        if shared:
            l2 = l2 / mean if mean > 0 else l2
            if not kind.patient:  # all rows are one batch
                l2, shared = l2 / n_rows, False
        batch_size = None
        if kind.mini_batches and self.batch_size != "auto":
            batch_size = min(int(self.batch_size), n_rows)
        try:
            solver = kind.make(self)
        except InputError as error:
            raise InputError(by_parameters(error)) from None
        settings = solver, self.tol, self._core_loss(), l2, shared, batch_size, mean
        if resume is not None and resume.trainer is not None and resume.settings == settings:
            return resume.trainer
        trainer = PeerTrainer(
            network,
            solver=solver,
            loss=self._core_loss(),
            batch_size=batch_size,
            l2=l2,
            l2_shared=shared,
            weight_mean=mean,
        )
        trainer.settings = settings
        if resume is not None:
            trainer._state = resume.state
            if resume.trainer is not None:
                trainer.history = resume.trainer.history
        return trainer

    def _rates(
        self, trainer: PeerTrainer, n_rows: int, incremental: bool
    ) -> Callable[[np.ndarray], np.ndarray] | None:
        """The learning rates of "invscaling", which depend on rows; else None, the solver's own."""
        if self.solver != "sgd" or self.learning_rate != "invscaling":
            return None
        rate, power, seen = float(self.learning_rate_init), float(self.power_t), int(self.t_)
        begin = trainer.epoch

        def rates(epochs: np.ndarray) -> np.ndarray:
            done = epochs - begin
            rates = rate / (seen + done * n_rows + 1.0) ** power
            if not incremental:
                rates[done == 0] = rate
            return np.asarray(rates, np.float64)

        return rates

    def _patience(self, fit: Fit, begins: bool, score: float | None) -> Patience | None:
        """When a run stops; a warm start has to beat ``score``, or its previous loss."""
        stops_early, resume = fit.stops_early, fit.resume
        if not (fit.kind.patient or stops_early):
            return None
        known = None
        if not (begins or fit.incremental):
            value, waited = self.best_loss_, 0.0
            if resume is not None and resume.trainer is not None:
                waited, best = resume.trainer.waited, resume.trainer.best
                # The monitored value; with alpha_scaling="none", best_loss_ includes the penalty as
                # well.
                if best is not None and value is not None:
                    value = best[1]
            if stops_early:
                value = score
            if value is not None:
                known = (float(value), waited)
        return Patience(
            "validation_metric" if stops_early else "loss",
            float(self.tol),
            float(self.n_iter_no_change),
            adaptive=self.solver == "sgd" and self.learning_rate == "adaptive",
            known=known,
        )

    def _as_of(self, network: Network) -> Any:
        """A copy of this estimator with another network."""
        seen = object.__new__(type(self))
        seen.__dict__.update(self.__dict__)
        seen._show(network)
        return seen

    def _metric_for(self, held_out: HeldOut) -> Callable[[Network], Any]:
        """From the network being trained to the metric argument of the trainer."""
        Y, weight = held_out.Y, held_out.weight
        if self.scoring is None:
            if self._plain_metric(weight):
                return lambda network: self._metric
            return lambda network: lambda Y, Y_hat: _known(self._score_of(Y, Y_hat, weight))
        known = ~np.isnan(Y).any(axis=1)
        if known.all():
            X = held_out.X()
        elif known.any():
            X, Y = held_out.X(known), Y[known]
            weight = None if weight is None else weight[known]
        else:
            raise InputError(
                f"scoring is {self.scoring!r} and each validation row lacks a target; expected "
                "at least one complete row, or scoring=None: scorers do not support missing targets"
            )
        y = self._decoded(Y)
        scorer = check_scoring(self, scoring=self.scoring)
        options = {} if weight is None else {"sample_weight": weight}

        def metric(network: Network) -> Callable[[np.ndarray, np.ndarray], float]:
            seen = self._as_of(network)
            return lambda Y, Y_hat: _known(scorer(seen, X, y, **options))

        return metric

    def _decoded(self, Y: np.ndarray) -> np.ndarray:
        """Targets in the user's form."""
        raise NotImplementedError

    def _score_before(
        self, network: Network, held_out: HeldOut, metric: Callable[[Network], Any]
    ) -> float:
        """The validation score of the initial weights of a warm start."""
        Y_hat = predict_rows(network, held_out.X())
        function = metric(network)
        if callable(function):
            return float(function(held_out.Y, Y_hat))
        return self._score_of(held_out.Y, Y_hat, held_out.weight)

    def _callbacks(
        self, run: Run, number: int | None, X: Any, y: Any, kind: SolverKind
    ) -> list[Any]:
        """The callbacks of each epoch; ``number`` is the restart's, from 1."""
        wanted: list[Any] = []
        if self.verbose:
            wanted.append(Printer(run.trainer.epoch, number))
        if self.solver == "lbfgs" and self.max_fun < 30 * self.max_iter:
            wanted.append(Evaluations(int(self.max_fun)))
        if self.callbacks is not None:
            given = self.callbacks
            wanted += list(given) if isinstance(given, (list, tuple)) else [given]
        if number in (None, 1) and "_callback_fit_ctx" in self.__dict__:
            run.tasks = Tasks(self, run.network, X, y)
            wanted.append(run.tasks)
        return wanted

    # --------------------------------------------------------------------------- fitted attributes

    def _begin(self, network: Network) -> None:
        """Set the attributes of a network that has only its initial weights."""
        self._show(network)
        self.n_iter_ = 0
        self.t_ = 0
        self.n_outputs_ = network.sizes[-1]
        self.n_layers_ = len(network.sizes)
        self.out_activation_ = _THEIRS.get(network.activations[-1], network.activations[-1])
        self.loss_ = np.inf
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = np.inf
        self.validation_scores_: list[float] | None = None
        self.validation_loss_curve_: list[float] | None = None
        self.best_validation_score_: float | None = None
        self.learning_rate_: float | None = None
        self._resume: Resume | None = None
        self._scaled_by: str | None = self.scaling

    def _collect(self, run: Run, fit: Fit) -> None:
        """Set the attributes from a run, complete or interrupted."""
        history, kind, incremental = run.history, fit.kind, fit.incremental
        if run.network is not self._network:
            self._show(run.network)
        if history is None:
            return
        self.n_iter_ = history.n_epochs + (self.n_iter_ if incremental else 0)
        if kind.patient:
            self.t_ += history.n_epochs * fit.n_rows
        losses = losses_of(history)
        self.loss_curve_ += losses
        if losses:
            self.loss_ = losses[-1]
        self.history_ = run.trainer.history if incremental else history
        if "validation_metric" in history:
            self.validation_scores_ = (self.validation_scores_ or []) + history[
                "validation_metric"
            ].tolist()
            self.validation_loss_curve_ = (self.validation_loss_curve_ or []) + history[
                "validation_loss"
            ].tolist()
        if fit.stops_early:
            best = run.trainer.best
            self.best_loss_ = None
            if best is not None:
                self.best_validation_score_ = best[1]
        elif losses:
            lowest = np.inf if self.best_loss_ is None else self.best_loss_
            self.best_loss_ = min(lowest, *losses)
        if kind.mini_batches:
            rate = float(self.learning_rate_init) / run.trainer.divided_by
            if self.solver == "sgd" and self.learning_rate == "invscaling":
                rate = float(self.learning_rate_init) / (self.t_ + 1) ** float(self.power_t)
            self.learning_rate_ = rate

    def _keep(self, run: Run, kind: SolverKind, incremental: bool) -> None:
        """Store the state with which a later call continues."""
        if not kind.mini_batches and not self.warm_start:
            self._resume = None
            return
        resume = Resume(None if self.random_state is None else run.random, run.trainer)
        resume.settings = run.trainer.settings
        if run.orders is not None:
            resume.order = run.orders.order
        self._resume = resume
        self._resumable = incremental

    def _tell_convergence(self, run: Run, kind: SolverKind, incremental: bool) -> None:
        history = run.history
        if history is None or incremental:
            return
        reason = history.stop_reason
        # Without other callbacks, the stop came from max_fun.
        stopped = reason == "callback" and not (self.callbacks or "_skl_callbacks" in vars(self))
        if self.verbose and reason == "early_stopping":
            what = "Training loss" if self.best_loss_ is not None else "Validation score"
            print(
                f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} "
                "consecutive epochs. Stopping."
            )
        if reason == "epochs" and kind.patient:
            warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
            )
        elif not kind.patient and (reason == "epochs" or stopped):
            limit = "max_iter" if reason == "epochs" else "max_fun"
            warn(
                f"{self.solver} failed to converge after {self.n_iter_} iteration(s): "
                f"{limit}={getattr(self, limit)} was reached. Increase {limit}, or scale the data "
                "(https://scikit-learn.org/stable/modules/preprocessing.html)",
                ConvergenceWarning,
            )

    # --------------------------------------------------------------------------------------- rest

    def _check_solver(self) -> bool:
        kind = SOLVERS.get(self.solver)  # the parameter check reports an unknown one
        if kind is not None and not kind.mini_batches:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{self.solver} is not stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _known(score: Any) -> float:
    """A validation score; NaN is refused, since no epoch could improve on it."""
    known = float(score)
    if math.isnan(known):
        raise InputError("the validation score is nan; expected a number")
    return known


def _scaling_of_known(Y: np.ndarray, kind: str) -> Scaling:
    """The scaling of targets, from those in each column that are not missing."""
    make = Scaling.standard if kind == "standard" else Scaling.minmax
    known = (column[~np.isnan(column), None] for column in Y.T)
    parts = [make(column) if len(column) else Scaling(np.zeros(1), np.ones(1)) for column in known]
    return Scaling(
        np.concatenate([part.shift for part in parts]),
        np.concatenate([part.scale for part in parts]),
    )


def _names(activation: Any, activations: tuple[str, ...]) -> tuple[str, ...]:
    """The hidden activations for drawing the weights; at least one."""
    return activations or ((activation,) if isinstance(activation, str) else ("relu",))
