"""The losses of cbackprop in NumPy: the specification, with which tests compare the core.

l is the loss of one output of one row: before weights, the sum over outputs and the mean over rows.
Symbols and complex numbers are as in network.py: comparisons use the real part, and targets are
real.  `raw` is O, to which the output layer's activation is applied.

It promises to stay plain, under 140 lines, and unused by the package at run time.
"""
# mypy: ignore-errors

import numpy as np

from cbackprop.reference.network import ACTIVATIONS, sigmoid


def softmax(raw):
    """exp(raw) / (sum of the row's exp(raw)), from raw - max raw, which cannot overflow."""
    e = np.exp(raw - raw.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_sum_exp(raw):
    """The logarithm of the sum of a row's exp(raw): (N, 1)."""
    largest = raw.real.max(axis=1, keepdims=True)
    return largest + np.log(np.exp(raw - largest).sum(axis=1, keepdims=True))


# Y_hat = sigma(raw), and dL/dO from raw, Y_hat and g = dL/dY_hat.
OUTPUTS = {
    name: (sigma, lambda raw, Y_hat, g, prime=prime: g * prime(raw, Y_hat))
    for name, (sigma, prime) in ACTIVATIONS.items()
}
OUTPUTS["exp"] = (np.exp, lambda raw, Y_hat, g: g * Y_hat)
OUTPUTS["softmax"] = (
    softmax,
    lambda raw, Y_hat, g: Y_hat * (g - (g * Y_hat).sum(axis=1, keepdims=True)),
)


# l and dl/dY_hat, for losses of the network's output.
def squared_error(Y, Y_hat):
    """(y_hat - y)^2 / 2."""
    d = Y_hat - Y
    return d * d / 2, d


def absolute_error(Y, Y_hat):
    """|y_hat - y|; the derivative at 0 is 0."""
    d = Y_hat - Y
    return np.sign(d.real) * d, np.sign(d.real)


def huber(Y, Y_hat, threshold=1.0):
    """d^2 / 2 where |d| <= threshold, else threshold (|d| - threshold / 2); d = y_hat - y."""
    d = Y_hat - Y
    sign = np.sign(d.real)
    inside = sign * d.real <= threshold
    value = np.where(inside, d * d / 2, threshold * (sign * d - threshold / 2))
    return value, np.where(inside, d, threshold * sign)


def quantile(Y, Y_hat, quantile=0.5):
    """(1 - q) d where d = y_hat - y > 0, else -q d; the derivative at 0 is 0."""
    d = Y_hat - Y
    slope = np.where(d.real > 0, 1 - quantile, np.where(d.real < 0, -quantile, 0 * d.real))
    return slope * d, slope


def log_cosh(Y, Y_hat):
    """|d| + log((1 + exp(-2 |d|)) / 2), d = y_hat - y; where |d| < 1 log(1 + 2 sinh(d / 2)^2)."""
    d = Y_hat - Y
    size = np.where(d.real < 0, -d, d)
    near = np.log1p(2 * np.sinh(np.where(size.real < 1, d, 0) / 2) ** 2)
    return np.where(size.real < 1, near, size + np.log1p(np.exp(-2 * size)) - np.log(2)), np.tanh(d)


def given(dL_dY_hat, Y_hat):
    """Not a loss, but the given derivative of one."""
    return 0 * Y_hat, dL_dY_hat


# l and dl/dO, for losses of O, before the output activation.
def cross_entropy_sigmoid(Y, raw):
    """-y log sigma(o) - (1 - y) log(1 - sigma(o)) = max(o, 0) - y o + log(1 + exp(-|o|))."""
    minus_abs = np.where(raw.real < 0, raw, -raw)
    value = np.where(raw.real < 0, 0, raw) - Y * raw + np.log1p(np.exp(minus_abs))
    return value, sigmoid(raw) - Y


def cross_entropy_softmax(Y, raw):
    """-sum_k y_k log softmax(raw)_k = sum_k y_k (log_sum_exp(raw) - o_k)."""
    return Y * (log_sum_exp(raw) - raw), softmax(raw) * Y.sum(axis=1, keepdims=True) - Y


def poisson(Y, raw):
    """Half the deviance: y log(y / exp(o)) - y + exp(o), where 0 log 0 is 0."""
    y_log_y = Y * np.log(np.where(Y == 0, 1, Y))
    return y_log_y - Y * raw - Y + np.exp(raw), np.exp(raw) - Y


def gamma(Y, raw):
    """Half the deviance: y exp(-o) + o - log y - 1; a missing target is 0, and its weight too."""
    return Y * np.exp(-raw) + raw - np.log(np.where(Y == 0, 1, Y)) - 1, 1 - Y * np.exp(-raw)


FROM_Y_HAT = {
    f.__name__: f for f in (squared_error, absolute_error, huber, quantile, log_cosh, given)
}
FROM_O = {
    ("cross_entropy", "sigmoid"): cross_entropy_sigmoid,
    ("cross_entropy", "softmax"): cross_entropy_softmax,
    ("poisson", "exp"): poisson,
    ("gamma", "exp"): gamma,
}


def loss(name, activation, Y, raw, weight=None, **parameter):
    """(sum of weight l, its derivative with respect to raw): Y, raw and weight are (N, n_out)."""
    w = np.ones_like(Y) if weight is None else weight
    if (name, activation) == ("cross_entropy", "softmax"):
        Y, w = w * Y, np.ones_like(Y)  # each term of the sum over classes has its own weight
    if name in FROM_Y_HAT:
        sigma, to_O = OUTPUTS[activation]
        Y_hat = sigma(raw)
        value, g = FROM_Y_HAT[name](Y, Y_hat, **parameter)
        return (w * value).sum(), to_O(raw, Y_hat, w * g)
    value, delta = FROM_O[name, activation](Y, raw)
    return (w * value).sum(), w * delta
