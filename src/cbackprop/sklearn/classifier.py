"""MLPClassifier: labels in, probabilities and labels out."""

from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from ..errors import InputError
from ..network.network import Network
from ..network.two_layer import sigmoid
from .base import BaseMLP, fitting
from .callbacks import with_callbacks
from .fitted import fitted
from .notices import without_a_column
from .parameters import documented

__all__ = ["MLPClassifier"]


@documented
class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """Multi-layer perceptron classifier: scikit-learn's, faster and without its defects.

    It minimises the log loss; by default it reproduces the numbers of scikit-learn's
    ``MLPClassifier``.  docs/moving-from-scikit-learn.md lists the differences.

    Parameters
    ----------
    {common}
    class_weight : dict, "balanced" or None, default=None
        A weight for the rows of each class (for multilabel targets a list of dicts), multiplied by
        `sample_weight`; "balanced" is inversely proportional to the classes' frequencies.
    output_activation : {{"logistic", "softmax"}} or None, default=None
        None is "softmax" for more than two classes and "logistic" otherwise.  "logistic" for more
        than two classes trains each class against all others; probabilities are then divided by
        their sum.
    {beyond}

    Attributes
    ----------
    classes_ : ndarray or list of ndarray, (n_classes,)
        The labels.
    {attributes}

    See Also
    --------
    cbackprop.Trainer : The training loop.

    Examples
    --------
    >>> from cbackprop.sklearn import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((10,), solver="lbfgs", random_state=0).fit(X, y)
    >>> model.predict(X[:2])
    array([0, 0])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "output_activation": [StrOptions({"logistic", "softmax"}), None],
    }

    loss = "log_loss"
    _metric = "accuracy"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        *,
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
        class_weight: Any = None,
        output_activation: str | None = None,
        alpha_scaling: str = "batch",
        scaling: str | None = None,
        scoring: Any = None,
        restarts: int = 1,
        n_jobs: int | None = None,
        callbacks: Any = None,
        max_time: float | None = None,
    ) -> None:
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
        self.class_weight = class_weight
        self.output_activation = output_activation
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
        """Fit to labels.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_samples, n_features)
            Sparse rows are made dense one batch at a time.
        y : array-like, (n_samples,) or (n_samples, n_classes)
            Labels, or indicators for multilabel targets.
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
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """Train for one epoch on these rows.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_samples, n_features)
        y : array-like, (n_samples,) or (n_samples, n_classes)
        sample_weight : array-like, (n_samples,), optional
        classes : array-like, (n_classes,), optional
            All labels that will occur; required in the first call.

        Returns
        -------
        self
        """
        if classes is None and sample_weight is None and self.class_weight is None:
            checked = self._checked_quickly(X, y)
            if checked is not None:
                try:
                    return self._fit(X, y, incremental=True, checked=checked)
                except InputError:
                    pass  # for example not finite: the full validation raises scikit-learn's error
        if self.class_weight == "balanced":
            raise InputError(
                "class_weight is 'balanced' in partial_fit; expected the weights themselves, e.g. "
                "of sklearn.utils.class_weight.compute_class_weight on all labels: a part of the "
                "rows does not tell the frequencies"
            )
        if _check_partial_fit_first_call(self, classes):
            binarizer = LabelBinarizer()
            if type_of_target(y).startswith("multilabel"):
                binarizer.fit(y)
            else:
                binarizer.fit(classes)
            self._label_binarizer = binarizer
        return self._fit(X, y, sample_weight, incremental=True)

    def _checked_quickly(self, X: Any, y: Any) -> tuple[Any, np.ndarray] | None:
        """X and targets, if both are plain arrays in which only a NaN could be wrong; else None."""
        if "coefs_" not in self.__dict__ or self.warm_start or type(y) is not np.ndarray:
            return None
        network = self._current_network()
        kind = self._label_binarizer.y_type_
        classes = self.classes_
        if (
            not self._plain(X, network)
            or kind == "multilabel-indicator"
            or y.shape != (len(X),)
            or y.dtype.kind != classes.dtype.kind
            or y.dtype.kind not in "iubU"
        ):
            return None
        if len(y) == 1:
            found = np.flatnonzero(classes == y[0])
            if not len(found):
                return None
        else:
            found = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
            if not (classes[found] == y).all():
                return None
        if network.sizes[-1] == 1:
            return X, found.reshape(-1, 1).astype(network.dtype)
        Y = np.zeros((len(y), len(classes)), network.dtype)
        Y[np.arange(len(y)), found] = 1.0
        return X, Y

    def _validated(
        self, X: Any, y: Any, *, first: bool, incremental: bool
    ) -> tuple[Any, np.ndarray]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=first,
        )
        y = without_a_column(y)
        # partial_fit knows the classes from its first call.
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            classes = unique_labels(y)
            if self.warm_start:
                if set(classes) != set(self.classes_):
                    raise InputError(
                        "warm_start can only be used where `y` has the same classes as in the "
                        f"previous call to fit. Previously got {self.classes_}, `y` has {classes}"
                    )
            elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
                raise InputError(
                    "`y` has classes not in `self.classes_`. "
                    f"`self.classes_` has {self.classes_}. 'y' has {classes}."
                )
        return X, self._indicators(X, y)

    def _encoded(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=False,
        )
        unknown = np.setdiff1d(unique_labels(y), self.classes_, assume_unique=True)
        if len(unknown):
            raise InputError(
                f"validation_data has the labels {unknown}; expected some of {self.classes_}"
            )
        return X, self._indicators(X, y)

    def _indicators(self, X: Any, y: Any) -> np.ndarray:
        Y = self._label_binarizer.transform(y)
        return np.ascontiguousarray(Y.astype(bool).astype(X.dtype))

    def _row_weights(self, sample_weight: np.ndarray | None, y: Any) -> np.ndarray | None:
        if self.class_weight is None:
            return sample_weight
        weight = compute_sample_weight(self.class_weight, y)
        bad = ~((weight >= 0) & (weight < np.inf))
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"class_weight gives row {row} the weight {weight[row]}; expected finite weights "
                "of at least 0"
            )
        if sample_weight is not None:
            weight = weight * sample_weight
        if not weight.any():
            raise InputError(
                "the rows' weights, class_weight's included, sum to 0; expected one above 0 at "
                "least"
            )
        return weight  # type: ignore[no-any-return]

    def _output(self) -> str:
        several = self._label_binarizer.y_type_ == "multiclass"
        if self.output_activation == "softmax" and not several:
            raise InputError(
                "output_activation is 'softmax' and there is one output, or each label is an "
                "independent yes or no; expected 'logistic' or None"
            )
        return self.output_activation or ("softmax" if several else "logistic")

    def _core_loss(self) -> Any:
        return "cross_entropy"

    def _plain_metric(self, weight: np.ndarray | None) -> bool:
        kind = self._label_binarizer.y_type_
        return weight is None and kind != "multilabel-indicator" and len(self.classes_) > 1

    def _score_of(self, Y: np.ndarray, Y_hat: np.ndarray, weight: np.ndarray | None) -> float:
        truth, guess = self._decoded(Y), self._decoded(Y_hat)
        return float(accuracy_score(truth, guess, sample_weight=weight))

    # ---------------------------------------------------------------------------------- prediction

    def _decoded(self, Y: np.ndarray) -> np.ndarray:
        """Labels from outputs: the largest, or those above a half."""
        kind = self._label_binarizer.y_type_
        if kind == "multiclass":
            return self.classes_[Y.argmax(axis=1)]  # type: ignore[no-any-return]
        if kind == "multilabel-indicator":
            if self._label_binarizer.sparse_input_:  # then predictions are sparse too
                return self._label_binarizer.inverse_transform(Y)  # type: ignore[no-any-return]
            return (Y > 0.5).astype(int)
        if len(self.classes_) == 1:
            return np.repeat(self.classes_, len(Y))
        return self.classes_[(Y[:, 0] > 0.5).astype(int)]  # type: ignore[no-any-return]

    def predict(self, X: Any) -> np.ndarray:
        """The labels of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_samples, n_features)

        Returns
        -------
        ndarray, (n_samples,) or (n_samples, n_classes)
        """
        return self._decoded(self._outputs(X, network=fitted(self)))

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the labels, in the order of `classes_`; none is 0.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_samples, n_features)

        Returns
        -------
        ndarray, (n_samples, n_classes)
        """
        network = fitted(self)
        if network.sizes[-1] == 1:
            O = self._raw_outputs(X, network)  # noqa: E741
            P: np.ndarray = sigmoid(np.hstack([-O, O]))
        else:
            P = self._outputs(X, network=network)
        # Underflow gives the smallest positive number, so that the logarithm is finite.
        np.maximum(P, np.finfo(P.dtype).tiny, out=P)
        if self._one_against_all():
            P /= P.sum(axis=1, keepdims=True)
        return P

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of the probabilities, computed from the logits and always finite.

        Parameters
        ----------
        X : {array-like, sparse matrix}, (n_samples, n_features)

        Returns
        -------
        ndarray, (n_samples, n_classes)
        """
        network = fitted(self)
        O = self._raw_outputs(X, network)  # noqa: E741
        if network.activations[-1] == "softmax":
            return log_softmax(O, axis=1)
        log_P = _log_sigmoid(O)
        if O.shape[1] == 1:
            return np.hstack([_log_sigmoid(-O), log_P])
        if self._one_against_all():
            log_P -= np.logaddexp.reduce(log_P, axis=1, keepdims=True)
        return log_P

    def _raw_outputs(self, X: Any, network: Network) -> np.ndarray:
        """The output layer's values before its activation."""
        raw = Network.__new__(Network)
        raw._build(network.sizes, (*network.activations[:-1], "identity"), True, network.dtype)
        raw.parameters[:] = network.parameters
        raw.input_scaling = network.input_scaling
        return self._outputs(X, network=raw)  # type: ignore[no-any-return]

    def _one_against_all(self) -> bool:
        several = self._label_binarizer.y_type_ == "multiclass"
        return several and self.out_activation_ == "logistic"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _log_sigmoid(O: np.ndarray) -> np.ndarray:  # noqa: E741
    """The logarithm of sigma(O), finite; 0 where sigma rounds to 1, as in predict_proba."""
    log_P: np.ndarray = np.log(sigmoid(np.maximum(O, 0)))
    return np.where(O > 0, log_P, -np.logaddexp(0, -O))
