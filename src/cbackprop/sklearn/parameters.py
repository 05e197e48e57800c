"""What the docstrings of both estimators share: parameters and fitted attributes.

Written once; a class's docstring names the place of each part in braces.
"""

import inspect
import textwrap
from typing import TypeVar

from ..losses import LOSSES

__all__ = ["documented"]

COMMON = """\
hidden_layer_sizes : int or array-like of int, default=(100,)
    Units of each hidden layer; there may be none.
activation : str or sequence of str, default="relu"
    Of the hidden layers; a sequence has one for each.  "identity", "logistic", "tanh", "relu", or
    another of `cbackprop.Network`'s.
solver : {"adam", "sgd", "adamw", "nadam", "lbfgs", "rprop", "lm", "br"}, default="adam"
    The last four take all rows in each step, and want no learning rate.  "adamw" is Adam with
    decoupled weight decay, "nadam" Adam with Nesterov's momentum.  "lm" is
    Levenberg-Marquardt, "br" the same with a penalty that the data decide (for regression; `alpha`
    is not looked at), after which ``predict(X, return_std=True)`` knows error bars: both are for
    networks of up to some thousand parameters, with inputs and targets of about [-1, 1].
alpha : float, default=0.0001
    The strength of the penalty (alpha / 2) |W|^2; `alpha_scaling` says of what.  Of "adamw" the
    weight decay: each step multiplies the weights by 1 - `learning_rate_init` alpha.
batch_size : int or "auto", default="auto"
    Rows of a step of the first four solvers; "auto" is min(200, n_samples).
learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
    Of "sgd".  "invscaling": `learning_rate_init` / (t_ + 1)^`power_t` from the second epoch on.
    "adaptive": divided by 5 where the fit would otherwise stop, until it is at most 1e-6.
learning_rate_init : float, default=0.001
    Of the first four solvers.  A change between two calls of `partial_fit` is honoured.
power_t : float, default=0.5
    Of "invscaling".
max_iter : int, default=200
    Epochs, iterations for "lbfgs", "lm" and "br", at most.
shuffle : bool, default=True
    Whether each epoch of the first four solvers visits the rows in a new order.
random_state : int, RandomState, Generator or None, default=None
    Decides the initial weights, the validation rows and the orders, as scikit-learn draws them (the
    weights of "lm" and "br" as Nguyen and Widrow do).
    `partial_fit` goes on in the stream from call to call.
tol : float, default=1e-4
    An epoch that does not better the best loss (or validation score) by so much counts as no
    change.  Of "lbfgs": the largest entry of the gradient at which it has converged; "lm" and "br"
    converge by tolerances of their own.
verbose : bool or int, default=False
    Print each epoch's loss.
warm_start : bool, default=False
    `fit` begins with the weights of the last fit.  "lbfgs" and "rprop" go on with what they
    remember too, so that many short fits are one long one.  Layers, activations and scaling cannot
    change.
momentum : float, default=0.9
    Of "sgd", 0 to 1.
nesterovs_momentum : bool, default=True
    Of "sgd".
early_stopping : bool, default=False
    Validate after each epoch, on a part of the rows or on the `validation_data` of `fit`; stop when
    the score does not better, and keep the best weights.  `partial_fit` does not look at it, and
    "lbfgs" only with `validation_data`.
validation_fraction : float, default=0.1
    The part that is set aside.
beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
    Of "adam", "adamw" and "nadam".
n_iter_no_change : int or inf, default=10
    The fit ends with the first epoch by which more than so many in a row brought no change.
max_fun : int, default=15000
    Of "lbfgs": evaluations of the loss after which no iteration begins."""

BEYOND = """\
alpha_scaling : {"batch", "none"}, default="batch"
    "batch" divides the penalty by the rows of each batch, scikit-learn's meaning: its strength
    depends on the batch size.  "none" adds it to the mean loss as it is.
scaling : {"standard", "minmax"} or None, default=None
    Scale the inputs, and a regression's targets, inside the model; losses are of scaled targets.
scoring : str, callable or None, default=None
    What early stopping watches, a scorer of scikit-learn's; None is what `score` returns.  It sees
    the rows whose targets are all known.
restarts : int, default=1
    Fits from so many draws of weights; the best is kept, by validation score or final loss.  The
    first is the one that a single fit would be.  One that diverges is none of them; callbacks hear
    each, and may stop it.
n_jobs : int or None, default=None
    Threads for the restarts.
callbacks : object, sequence of objects or None, default=None
    ``on_epoch_end(trainer, record)`` is called after each epoch, as in ``cbackprop.Trainer.fit``;
    True stops the fit.  `set_callbacks` takes scikit-learn's own (1.9 and later).
max_time : float or None, default=None
    Seconds after which a fit ends, or each of the restarts."""

ATTRIBUTES = """\
coefs_, intercepts_ : list of ndarray
    Weights (n_in, n_out) and biases (n_out,) of each layer.  What is written there counts.
loss_ : float
    The last epoch's loss, the penalty included.
loss_curve_ : list of float
    The loss of each epoch of all calls since the weights were drawn.
best_loss_ : float or None
    The smallest of them; None with early stopping.
validation_scores_, validation_loss_curve_ : list of float or None
    Score and loss on the validation rows after each epoch; None without any.
best_validation_score_ : float or None
    The score of the weights that are kept; None without early stopping.
learning_rate_ : float or None
    What the next epoch would begin with; None of solvers without a learning rate.
history_ : cbackprop.History
    Everything recorded by the last `fit`, or by the trainer since `partial_fit` began.
n_iter_ : int
    Epochs of the last `fit` and of each `partial_fit` since.
t_ : int
    Rows that the solver has seen; not counted for "lbfgs", "lm" and "br".
n_layers_, n_outputs_ : int
    Layers, counting inputs and outputs, and outputs.
out_activation_ : str
    Of the output layer.
n_features_in_ : int
    Columns of X.
feature_names_in_ : ndarray of str
    Their names, where X had any."""

# Of a regression: a line of the parameter `loss`, and its next ones one level deeper.
REGRESSION_LOSSES = textwrap.fill(
    ", ".join(
        f'"{name}" ({spec.summary})' for name, spec in LOSSES.items() if not spec.class_distribution
    )
    + ".",
    width=92,
    subsequent_indent="    ",
)

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
