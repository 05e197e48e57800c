"""PyTorch, eager: tensors and autograd, the update by ``torch._foreach_add_``.

The shortest way through the library: ``nn.Sequential`` and ``optim.SGD`` cost the same products and
half as much Python again (measured on 2-4-1: 130 us this way, 210 that way).
"""

import numpy as np

from benchmarks import rows
from benchmarks.peers.base import Peer


class WithTorch(Peer):
    name = "torch"
    modules = ("torch",)
    tasks = ("train", "predict", "gradient")

    def __init__(self, row, dtype, setting):
        import torch

        self.torch, self.row = torch, row
        if setting == "one":
            torch.set_num_threads(1)
        self.X, self.Y = (torch.from_numpy(a) for a in rows.data(row, dtype))
        self.first = rows.start(row, dtype)
        self.activations = {
            "sigmoid": torch.sigmoid,
            "tanh": torch.tanh,
            "relu": torch.relu,
            "identity": lambda h: h,
        }

    def reset(self):
        copied = rows.layers(self.row, self.first.copy())
        parts = [part for layer in copied for part in layer if part is not None]
        self.p = [self.torch.from_numpy(part).requires_grad_() for part in parts]
        self.v = [self.torch.zeros_like(part) for part in self.p]

    def forward(self, p, X):
        row = self.row
        last = len(row.sizes) - 2
        stride = 2 if row.bias else 1
        for k in range(last + 1):
            W = p[k * stride]
            H = self.torch.addmm(p[k * stride + 1], X, W) if row.bias else X @ W
            X = self.activations[row.output_activation if k == last else row.activation](H)
        return X

    def loss(self, p, X, Y):
        return (self.forward(p, X) - Y).square().sum() / (2 * X.shape[0])

    def step(self, X, Y):
        torch, lr, mu = self.torch, self.row.learning_rate, self.row.momentum
        grads = torch.autograd.grad(self.loss(self.p, X, Y), self.p)
        with torch.no_grad():
            if mu:
                torch._foreach_mul_(self.v, mu)
                torch._foreach_add_(self.v, grads, alpha=-lr)
                torch._foreach_add_(self.p, self.v)
            else:
                torch._foreach_add_(self.p, grads, alpha=-lr)

    def train(self, epochs, order=None):
        X, Y, b = self.X, self.Y, self.row.batch
        if order is not None:
            order = self.torch.from_numpy(order)
        for _ in range(epochs):
            if self.row.shuffle:
                now = self.torch.randperm(len(X)) if order is None else order
                for batch in now.split(b):
                    self.step(X[batch], Y[batch])
            else:
                for i in range(0, len(X), b):
                    self.step(X[i : i + b], Y[i : i + b])

    def predict(self):
        with self.torch.inference_mode():
            return self.forward(self.p, self.X)

    def gradient(self):
        return self.torch.autograd.grad(self.loss(self.p, self.X, self.Y), self.p)

    def parameters(self):
        return np.concatenate([part.detach().numpy().ravel() for part in self.p])

    def version(self):
        return self.torch.__version__
