"""MLPRegressor: numbers in, numbers out."""

from typing import Any, ClassVar

import numpy as np
import scipy.sparse
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, validate_data

from ..activations import canonical, every_name
from ..errors import InputError, InputTypeError
from ..losses import LOSSES, SETTINGS, spec_of
from .base import BaseMLP, fitting
from .callbacks import with_callbacks
from .fitted import fitted
from .notices import by_parameters, without_a_column
from .parameters import documented
from .solvers import SOLVERS

__all__ = ["MLPRegressor"]

_LOSSES = {name for name, spec in LOSSES.items() if not spec.class_distribution}


@documented
class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """Multi-layer perceptron regressor: scikit-learn's, faster and without its defects.

    By default it reproduces the numbers of scikit-learn's ``MLPRegressor``, except for the loss
    reported for several outputs.  docs/moving-from-scikit-learn.md lists the differences.

    Parameters
    ----------
    loss : str, Huber, Quantile or callable, default="squared_error"
        {losses}
        ``cbackprop.Huber(threshold=...)`` and ``cbackprop.Quantile(quantile=...)`` set the numbers
        of two.  Summed over the outputs.  A function ``loss(y, y_hat)`` of two arrays (rows,
        outputs) returns the mean loss and its derivative with respect to the second.
    {common}
    output_activation : str or None, default=None
        One of the names for `activation`, or "exp".  None is "identity", or "exp" with the losses
        that need it.
    missing : {{"error", "ignore"}}, default="error"
        "ignore": a NaN in y is a missing target and contributes 0.
    {beyond}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    cbackprop.Trainer : The training loop.

    Examples
    --------
    >>> from cbackprop.sklearn import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(n_samples=100, n_features=4, random_state=0)
    >>> model = MLPRegressor(hidden_layer_sizes=(10,), solver="lbfgs", random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(_LOSSES), *SETTINGS, callable],
        "output_activation": [
            StrOptions(every_name(hidden=False)),
            None,
        ],
        "missing": [StrOptions({"error", "ignore"})],
    }

    _metric = "r2"

    def __init__(
        self,
        *,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        output_activation: str | None = None,
        missing: str = "error",
        alpha_scaling: str = "batch",
        scaling: str | None = None,
        scoring: Any = None,
        restarts: int = 1,
        n_jobs: int | None = None,
        callbacks: Any = None,
        max_time: float | None = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.output_activation = output_activation
        self.missing = missing
        self.alpha_scaling = alpha_scaling
        self.scaling = scaling
        self.scoring = scoring
        self.restarts = restarts
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.max_time = max_time

    # ------------------------------------------------------------------------------------ training

    @with_callbacks  # type: ignore[untyped-decorator]
    @fitting  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None) -> Any:
        """Fit to targets.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_samples, n_features)
            Sparse rows are made dense one batch at a time.
        y : array-like, (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, (n_samples,), optional
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            Evaluated after each epoch; with `early_stopping` it is used instead of a part of X.

        Returns
        -------
        self
        """
        return self._fit_with_tasks(X, y, sample_weight, validation_data)

    @available_if(lambda self: self._check_solver())  # type: ignore[untyped-decorator]
    @fitting  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for one epoch on these rows.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_samples, n_features)
        y : array-like, (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, (n_samples,), optional

        Returns
        -------
        self
        """
        if sample_weight is None and "coefs_" in self.__dict__ and type(y) is np.ndarray:
            network = self._current_network()
            n_out = network.sizes[-1]
            plain = self._plain(X, network) and y.dtype == np.float64 and self.missing == "error"
            if plain and y.shape == ((len(X),) if n_out == 1 else (len(X), n_out)):
                checked = X, np.ascontiguousarray(y).reshape(-1, n_out)
                try:
                    return self._fit(X, y, incremental=True, checked=checked)
                except InputError:
                    pass  # for example not finite: the full validation raises scikit-learn's error
        return self._fit(X, y, sample_weight, incremental=True)

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, np.ndarray]:
        kinds = {"accept_sparse": ["csr", "csc"], "dtype": (np.float64, np.float32)}
        if self.missing == "ignore":
            X = validate_data(self, X, reset=reset, **kinds)
            y = _perhaps_missing(y)
            check_consistent_length(X, y)
        else:
            X, y = validate_data(
                self, X, y, multi_output=True, y_numeric=True, reset=reset, **kinds
            )
        if scipy.sparse.issparse(y):
            y = y.toarray()  # type: ignore[attr-defined]
        if y.dtype.kind not in "biuf":
            raise InputTypeError(
                f"y has the dtype {y.dtype}; expected numbers. y.astype(float) turns numerals into "
                "them"
            )
        y = without_a_column(y)
        if y.dtype not in (np.float64, np.float32):
            y = y.astype(X.dtype)
        return X, np.ascontiguousarray(y.reshape(len(y), -1))

    def _some_known(self, Y: np.ndarray) -> None:
        if self.missing == "ignore" and np.isnan(Y).all():
            raise InputError("y is NaN in each row; expected a number in one at least")

    def _validated(
        self, X: Any, y: Any, *, first: bool, incremental: bool
    ) -> tuple[Any, np.ndarray]:
        X, Y = self._checked(X, y, reset=first)
        if not incremental:  # a part of the rows may have no targets
            self._some_known(Y)
        return X, Y

    def _encoded(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        X, Y = self._checked(X, y, reset=False)
        self._some_known(Y)
        return X, Y

    def _output(self) -> str:
        given = self.output_activation
        spec = spec_of(self.loss)
        if spec is None:
            return given or "identity"
        if given and canonical("output_activation", given, hidden=False) not in spec.outputs:
            raise InputError(
                f"loss is {self.loss!r} and output_activation {given!r}; expected "
                f"{' or '.join(map(repr, spec.outputs))} or None: {spec.reason}"
            )
        return spec.output_for(given)

    def _core_loss(self) -> Any:
        return self.loss

    def _score_of(self, Y: np.ndarray, Y_hat: np.ndarray, weight: np.ndarray | None) -> float:
        known = np.isfinite(Y)
        if known.all():
            return float(r2_score(Y, Y_hat, sample_weight=weight))
        scores = [
            r2_score(
                Y[rows, column],
                Y_hat[rows, column],
                sample_weight=None if weight is None else weight[rows],
            )
            for column, rows in enumerate(known.T)
            if rows.any()
        ]
        return float(np.mean(scores))

    def _decoded(self, Y: np.ndarray) -> np.ndarray:
        return Y[:, 0] if Y.shape[1] == 1 else Y

    # ---------------------------------------------------------------------------------- prediction

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the targets of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_samples, n_features)
        return_std : bool
            Also the standard deviations, after a fit by a solver that estimates them.

        Returns
        -------
        ndarray, (n_samples,) or (n_samples, n_outputs); with `return_std` a pair of them
        """
        network = fitted(self)
        if not return_std:
            return self._decoded(self._outputs(X, network=network))
        if network.posterior is None:
            able = " or ".join(repr(name) for name, kind in SOLVERS.items() if kind.deviations)
            if SOLVERS[self.solver].deviations:
                raise InputError(
                    f"return_std is True and solver is {self.solver!r}, but the last fit was by "
                    "another solver; fit again"
                )
            raise InputError(
                f"return_std is True and the solver is {self.solver!r}, which does not estimate "
                f"uncertainty; expected one that does ({able})"
            )
        try:
            Y, deviation = self._outputs(X, network=network, return_std=True)
        except InputError as error:
            raise InputError(by_parameters(error)) from None
        return self._decoded(Y), self._decoded(deviation)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The mean of R2 over the outputs; with ``missing="ignore"``, over the known targets.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_samples, n_features)
        y : array-like, (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, (n_samples,), optional

        Returns
        -------
        float
        """
        if self.missing == "error":
            return float(super().score(X, y, sample_weight))
        Y_hat = self.predict(X)
        Y = _perhaps_missing(y)
        check_consistent_length(Y_hat, Y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, Y_hat)
        columns = (len(Y_hat), -1)
        return self._score_of(Y.reshape(columns), Y_hat.reshape(columns), sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _perhaps_missing(y: Any) -> Any:
    """Targets, some of which may be NaN."""
    return check_array(
        y, accept_sparse="csr", ensure_2d=False, ensure_all_finite="allow-nan", input_name="y"
    )
