"""The mathematics of cbackprop in NumPy: the specification and the tests' oracle.

Read this first.  Rows are examples, and symbols are identifiers.  Every function takes complex
numbers too (no absolute value, no conjugate), so that a derivative can be had by a complex step:
f'(x) = imag(f(x + ih)) / h with h = 1e-30, exact to rounding.

It promises to stay plain, under 100 lines, and unused by the package at run time.
"""
# The formulas are for real and complex numbers alike; types would hide them.
# mypy: ignore-errors

import numpy as np


def sigmoid(h):
    """sigma(h) = 1 / (1 + exp(-h)), from exp(-|h|), which cannot overflow."""
    h = np.asarray(h)
    e = np.exp(np.where(h.real < 0, h, -h))
    return np.where(h.real < 0, e, 1) / (1 + e)


def relu(h):
    """max(h, 0); a NaN stays NaN."""
    h = np.asarray(h)
    return np.where(h.real <= 0, np.zeros_like(h), h)


# The activation z = sigma(h), and sigma'(h) taken from the output z.
ACTIVATIONS = {
    "identity": (lambda h: h, lambda z: np.ones_like(z)),
    "sigmoid": (sigmoid, lambda z: z * (1 - z)),
    "tanh": (np.tanh, lambda z: 1 - z * z),
    "relu": (relu, lambda z: (z.real > 0).astype(z.dtype)),
}


def gradients(X, Y, W1, W2):
    """The founding page: one hidden layer, sigmoid twice, no bias -> (loss, grad_W1, grad_W2).

    X (N, n_in), Y (N, n_out), W1 (n_in, n_hidden), W2 (n_hidden, n_out).
    """
    N = len(X)
    Z = sigmoid(X @ W1)
    Y_hat = sigmoid(Z @ W2)
    loss = ((Y - Y_hat) ** 2).sum() / (2 * N)
    delta_O = -(Y - Y_hat) * Y_hat * (1 - Y_hat)
    grad_W2 = Z.T @ delta_O / N  # (1)
    delta_H = (delta_O @ W2.T) * Z * (1 - Z)
    grad_W1 = X.T @ delta_H / N  # (2)
    return loss, grad_W1, grad_W2


def outputs(weights, biases, activations, X):
    """[X, Z_1, Z_2, ..., Y_hat]: the output of every layer.

    weights W_i (n_{i-1}, n_i); biases b_i (n_i,), or empty for none; activations one name a layer.
    """
    Z = [X]
    for i, (W, name) in enumerate(zip(weights, activations, strict=True)):
        H = Z[-1] @ W + (biases[i] if len(biases) else 0)
        Z.append(ACTIVATIONS[name][0](H))
    return Z


def predict(weights, biases, activations, X):
    """Y_hat (N, n_out)."""
    return outputs(weights, biases, activations, X)[-1]


def loss(weights, biases, activations, X, Y, sample_weight=None):
    """L = sum_n w_n sum_k (y_nk - y_hat_nk)^2 / (2 sum_n w_n), where w_n is 1 if not given."""
    w = np.ones(len(X)) if sample_weight is None else sample_weight
    Y_hat = predict(weights, biases, activations, X)
    return (w * ((Y - Y_hat) ** 2).sum(axis=-1)).sum(axis=-1) / (2 * w.sum())


def gradient(weights, biases, activations, X, Y, sample_weight=None):
    """(loss, [grad W_1, ...], [grad b_1, ...]): the same four lines for any number of layers."""
    w = np.ones(len(X)) if sample_weight is None else sample_weight
    Z = outputs(weights, biases, activations, X)
    derivatives = [ACTIVATIONS[name][1] for name in activations]
    delta = -(Y - Z[-1]) * derivatives[-1](Z[-1]) * w[:, np.newaxis]
    grad_W, grad_b = [], []
    for i in reversed(range(len(weights))):
        grad_W.insert(0, Z[i].T @ delta / w.sum())  # (1), and (2) where i is 0
        grad_b.insert(0, delta.sum(axis=0) / w.sum())
        if i > 0:
            delta = (delta @ weights[i].T) * derivatives[i - 1](Z[i])
    value = loss(weights, biases, activations, X, Y, sample_weight)
    return value, grad_W, grad_b if len(biases) else []
