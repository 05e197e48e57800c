"""The mathematics of cbackprop in NumPy: the specification, with which tests compare the core.

Read this first.  Rows are examples, and symbols are identifiers.  Every function takes complex
numbers too (no absolute value, no conjugate), so that derivatives can be computed by a complex
step: f'(x) = imag(f(x + ih)) / h with h = 1e-30, exact to rounding.

It promises to stay plain, under 150 lines, and unused by the package at run time.
"""
# The formulas hold for real and complex numbers; type hints would obscure them.
# mypy: ignore-errors

import numpy as np
import scipy.special


def sigmoid(h):
    """sigma(h) = 1 / (1 + exp(-h)), from exp(-|h|), which cannot overflow."""
    h = np.asarray(h)
    e = np.exp(np.where(h.real < 0, h, -h))
    return np.where(h.real < 0, e, 1) / (1 + e)


def _positive(h):
    return np.asarray(h).real > 0


def relu(h):
    """max(h, 0); a NaN stays NaN."""
    h = np.asarray(h)
    return np.where(h.real <= 0, np.zeros_like(h), h)


def softplus(h):
    """log(1 + exp(h)) = max(h, 0) + log(1 + exp(-|h|))."""
    return relu(h) + np.log1p(np.exp(np.where(_positive(h), -h, h)))


def normal_cdf(h):
    """Phi(h), the distribution function of N(0, 1)."""
    return scipy.special.erfc(-h / np.sqrt(2)) / 2


def softsign(h):
    """H / (1 + |h|)."""
    return h / (1 + np.where(_positive(h), h, -h))


def _silu_prime(h, z):
    s = sigmoid(h)
    return s * (1 + h * (1 - s))


# The activation z = sigma(h), and sigma'(h) as a function of h and z, using z alone where possible.
ACTIVATIONS = {
    "identity": (lambda h: h, lambda h, z: np.ones_like(z)),
    "sigmoid": (sigmoid, lambda h, z: z * (1 - z)),
    "tanh": (np.tanh, lambda h, z: 1 - z * z),
    "relu": (relu, lambda h, z: _positive(z).astype(z.dtype)),
    "leaky_relu": (
        lambda h: np.where(_positive(h), h, 0.01 * h),
        lambda h, z: np.where(_positive(z), 1, 0.01).astype(z.dtype),
    ),
    "elu": (
        lambda h: np.where(_positive(h), h, np.expm1(np.where(_positive(h), 0, h))),
        lambda h, z: np.where(_positive(z), 1, z + 1),
    ),
    "softplus": (softplus, lambda h, z: sigmoid(h)),
    "silu": (lambda h: h * sigmoid(h), _silu_prime),
    "gelu": (
        lambda h: h * normal_cdf(h),
        lambda h, z: normal_cdf(h) + h * np.exp(-h * h / 2) / np.sqrt(2 * np.pi),
    ),
    "softsign": (softsign, lambda h, z: (1 - np.where(_positive(z), z, -z)) ** 2),
    "gaussian": (lambda h: np.exp(-h * h), lambda h, z: -2 * h * z),
    "sine": (np.sin, lambda h, z: np.cos(h)),
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


def layers(weights, biases, activations, X):
    """[H_1, H_2, ..., O] and [X, Z_1, Z_2, ..., Y_hat]: the sums and the output of every layer.

    weights W_i (n_{i-1}, n_i); biases b_i (n_i,), or empty for none; activations one name a layer.
    """
    H, Z = [], [X]
    for i, (W, name) in enumerate(zip(weights, activations, strict=True)):
        H.append(Z[-1] @ W + (biases[i] if len(biases) else 0))
        Z.append(ACTIVATIONS[name][0](H[-1]))
    return H, Z


def outputs(weights, biases, activations, X):
    """[X, Z_1, Z_2, ..., Y_hat]."""
    return layers(weights, biases, activations, X)[1]


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
    H, Z = layers(weights, biases, activations, X)
    sigma_prime = [ACTIVATIONS[name][1](H[i], Z[i + 1]) for i, name in enumerate(activations)]
    delta = -(Y - Z[-1]) * sigma_prime[-1] * w[:, np.newaxis]
    grad_W, grad_b = [], []
    for i in reversed(range(len(weights))):
        grad_W.insert(0, Z[i].T @ delta / w.sum())  # (1), and (2) where i is 0
        grad_b.insert(0, delta.sum(axis=0) / w.sum())
        if i > 0:
            delta = (delta @ weights[i].T) * sigma_prime[i - 1]
    value = loss(weights, biases, activations, X, Y, sample_weight)
    return value, grad_W, grad_b if len(biases) else []
