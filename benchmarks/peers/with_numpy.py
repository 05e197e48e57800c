"""NumPy: the four lines as one writes them, for any number of layers; the check's yardstick."""

import numpy as np

from benchmarks import rows
from benchmarks.peers.base import Peer


def sigmoid(h):
    return 1 / (1 + np.exp(-h))


ACTIVATIONS = {
    "sigmoid": (sigmoid, lambda z: z * (1 - z)),
    "tanh": (np.tanh, lambda z: 1 - z * z),
    "relu": (lambda h: np.maximum(h, 0), lambda z: z > 0),
    "identity": (lambda h: h, lambda z: 1),
}


class WithNumPy(Peer):
    name = "numpy"
    modules = ("numpy",)
    tasks = ("train", "predict", "gradient")

    def __init__(self, row, dtype, setting):
        self.row = row
        self.X, self.Y = rows.data(row, dtype)
        self.first = rows.start(row, dtype)
        self.flat = self.first.copy()
        self.layers = rows.layers(row, self.flat)
        self.rng = np.random.default_rng(0)
        hidden, output = ACTIVATIONS[row.activation], ACTIVATIONS[row.output_activation]
        self.activations = [hidden] * (len(self.layers) - 1) + [output]

    def reset(self):
        self.flat[:] = self.first
        self.velocity = [
            (np.zeros_like(W), None if b is None else np.zeros_like(b)) for W, b in self.layers
        ]

    def forward(self, X):
        outputs = [X]
        for (W, b), (act, _) in zip(self.layers, self.activations, strict=True):
            H = outputs[-1] @ W
            outputs.append(act(H if b is None else H + b))
        return outputs

    def gradients(self, X, Y):
        """Last layer first, each ``(grad_W, grad_b)``."""
        outputs = self.forward(X)
        N = X.dtype.type(len(X))
        delta = -(Y - outputs[-1]) * self.activations[-1][1](outputs[-1])
        for k in range(len(self.layers) - 1, -1, -1):
            W, b = self.layers[k]
            yield k, outputs[k].T @ delta / N, None if b is None else delta.sum(0) / N
            if k:
                delta = (delta @ W.T) * self.activations[k - 1][1](outputs[k])

    def step(self, X, Y):
        lr, mu = X.dtype.type(self.row.learning_rate), X.dtype.type(self.row.momentum)
        # All gradients before any update: the lower layers' deltas need the old weights.
        for k, grad_W, grad_b in list(self.gradients(X, Y)):
            for part, grad in ((0, grad_W), (1, grad_b)):
                if grad is None:
                    continue
                p = self.layers[k][part]
                if mu:
                    v = self.velocity[k][part]
                    v *= mu
                    v -= lr * grad
                    p += v
                else:
                    p -= lr * grad

    def train(self, epochs, order=None):
        X, Y, b = self.X, self.Y, self.row.batch
        for _ in range(epochs):
            if self.row.shuffle:
                order_now = self.rng.permutation(len(X)) if order is None else order
                for i in range(0, len(X), b):
                    batch = order_now[i : i + b]
                    self.step(X[batch], Y[batch])
            else:
                for i in range(0, len(X), b):
                    self.step(X[i : i + b], Y[i : i + b])

    def predict(self):
        return self.forward(self.X)[-1]

    def gradient(self):
        flat = np.empty_like(self.flat)
        views = rows.layers(self.row, flat)
        for k, grad_W, grad_b in self.gradients(self.X, self.Y):
            views[k][0][:] = grad_W
            if grad_b is not None:
                views[k][1][:] = grad_b
        return flat

    def parameters(self):
        return self.flat.copy()

    def version(self):
        return np.__version__
