"""The common docstrings of both estimators: parameters and fitted attributes.

A class's docstring marks the place of each part in braces.
"""

import inspect
import textwrap
from collections.abc import Iterable
from typing import TypeVar

from ..losses import LOSSES
from .solvers import SOLVERS

__all__ = ["documented"]


def _filled(words: Iterable[str]) -> str:
    """A list as text, for a place one level deep in a docstring."""
    return textwrap.fill(", ".join(words) + ".", width=92, subsequent_indent="    ")


# For a regression: the text of the parameter `loss`.
REGRESSION_LOSSES = _filled(
    f'"{name}" ({spec.summary})' for name, spec in LOSSES.items() if not spec.class_distribution
)
_SOLVERS = _filled(f'"{name}" ({kind.summary})' for name, kind in SOLVERS.items())
_IN_BATCHES = ", ".join(f'"{name}"' for name, kind in SOLVERS.items() if kind.mini_batches)

COMMON = f"""\
hidden_layer_sizes : int or array-like of int, default=(100,)
    Units of each hidden layer; there may be none.
activation : str or sequence of str, default="relu"
    The hidden layers' activation; a sequence has one for each.  "identity", "logistic", "tanh",
    "relu", or another of `cbackprop.Network`'s.
solver : str, default="adam"
    {_SOLVERS}
    {_IN_BATCHES} take batches of rows; the others take all rows in
    each step and need no learning rate.  "br" estimates a penalty from the data (`alpha` is
    ignored), and ``predict(X, return_std=True)`` works after it.  "lm" and "br" are for networks
    of up to some thousand parameters, with inputs and targets of about [-1, 1].
alpha : float, default=0.0001
    The strength of the penalty (alpha / 2) |W|^2; see `alpha_scaling`.  For "adamw", the weight
    decay: each step multiplies the weights by 1 - `learning_rate_init` alpha.
batch_size : int or "auto", default="auto"
    Rows of a step, for solvers that take batches; "auto" is min(200, n_samples).
learning_rate : {{"constant", "invscaling", "adaptive"}}, default="constant"
    For "sgd".  "invscaling": `learning_rate_init` / (t_ + 1)^`power_t` from the second epoch on.
    "adaptive": divided by 5 whenever the fit would otherwise stop, until it is at most 1e-6.
learning_rate_init : float, default=0.001
    For solvers that take batches.  A change between two calls of `partial_fit` takes effect.
power_t : float, default=0.5
    The exponent of "invscaling".
max_iter : int, default=200
    The most epochs; iterations for "lbfgs", "lm" and "br".
shuffle : bool, default=True
    Whether each epoch visits the rows in a new order; for solvers that take batches.
random_state : int, RandomState, Generator or None, default=None
    Determines the initial weights, the validation rows and the row orders, drawn as in
    scikit-learn (the weights of "lm" and "br" by Nguyen and Widrow's method).  `partial_fit`
    continues the stream from call to call.
tol : float, default=1e-4
    An epoch that does not improve the best loss (or validation score) by this much counts as no
    change.  For "lbfgs": the largest entry of the gradient at convergence; "lm" and "br" have
    their own tolerances.
verbose : bool or int, default=False
    Print each epoch's loss.
warm_start : bool, default=False
    `fit` begins with the weights of the last fit.  "lbfgs" and "rprop" also keep their state, so
    that many short fits equal one long one.  Layers, activations and scaling cannot change.
momentum : float, default=0.9
    For "sgd", 0 to 1.
nesterovs_momentum : bool, default=True
    For "sgd".
early_stopping : bool, default=False
    Validate after each epoch, on a part of the rows or on the `validation_data` of `fit`; stop when
    the score no longer improves, and keep the best weights.  `partial_fit` ignores it, and
    "lbfgs" uses it only with `validation_data`.
validation_fraction : float, default=0.1
    The fraction of rows that is set aside.
beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
    For "adam" and its variants.
n_iter_no_change : int or inf, default=10
    The fit ends after more than this many epochs in a row without change.
max_fun : int, default=15000
    For "lbfgs": after this many evaluations of the loss, no further iteration begins."""

BEYOND = """\
alpha_scaling : {"batch", "none"}, default="batch"
    "batch" divides the penalty by the rows of each batch, as scikit-learn does: its strength
    then depends on the batch size.  "none" adds it to the mean loss unchanged.
scaling : {"standard", "minmax"} or None, default=None
    Scale the inputs, and a regression's targets, inside the model; losses then use scaled targets.
scoring : str, callable or None, default=None
    A scikit-learn scorer for early stopping to monitor; None is `score`.  Only rows without missing
    targets are used.
restarts : int, default=1
    The number of fits from newly drawn weights; the best is kept, by validation score or final
    loss.  The first equals a single fit.  Diverged fits are ignored; callbacks are called for each
    fit and may stop it.
n_jobs : int or None, default=None
    Threads for the restarts.
callbacks : object, sequence of objects or None, default=None
    ``on_epoch_end(trainer, record)`` is called after each epoch, as in ``cbackprop.Trainer.fit``;
    True stops the fit.  `set_callbacks` accepts scikit-learn's own (1.9 and later).
max_time : float or None, default=None
    Seconds after which a fit, or each of the restarts, ends."""

ATTRIBUTES = """\
coefs_, intercepts_ : list of ndarray
    Weights (n_in, n_out) and biases (n_out,) of each layer.  Changes to them take effect.
loss_ : float
    The last epoch's loss, including the penalty.
loss_curve_ : list of float
    The loss of each epoch of all calls since the weights were drawn.
best_loss_ : float or None
    The smallest entry of `loss_curve_`; None with early stopping.
validation_scores_, validation_loss_curve_ : list of float or None
    Score and loss on the validation rows after each epoch; None without validation.
best_validation_score_ : float or None
    The score of the weights that are kept; None without early stopping.
learning_rate_ : float or None
    The rate with which the next epoch would begin; None for solvers without a learning rate.
history_ : cbackprop.History
    Everything recorded by the last `fit`, or by the trainer since `partial_fit` began.
n_iter_ : int
    Epochs of the last `fit` and of each `partial_fit` since.
t_ : int
    Rows that the solver has seen; not counted for "lbfgs", "lm" and "br".
n_layers_, n_outputs_ : int
    The numbers of layers, including inputs and outputs, and of outputs.
out_activation_ : str
    The activation of the output layer.
n_features_in_ : int
    The number of columns of X.
feature_names_in_ : ndarray of str
    The names of the columns, if X had any."""

_Class = TypeVar("_Class", bound=type)


def documented(cls: _Class) -> _Class:
    """Fill the class's docstring."""
    if cls.__doc__ is not None:  # python -OO drops it
        indent = "    "
        parts = {
            name: text.replace("\n", "\n" + indent)
            for name, text in (
                ("common", COMMON),
                ("losses", REGRESSION_LOSSES),
                ("beyond", BEYOND),
                ("attributes", ATTRIBUTES),
            )
        }
        cls.__doc__ = inspect.cleandoc(cls.__doc__.format(**parts))
    return cls
