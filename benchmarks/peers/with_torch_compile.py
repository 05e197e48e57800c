"""torch.compile: loss, gradient (``torch.func.grad``) and update as one compiled graph.

Compiling the loss alone and leaving the optimiser eager, as is often done, is two to five times
slower on small nets.  Many fits at once run through ``torch.func.vmap`` inside the same graph.
"""

import numpy as np

from benchmarks import rows
from benchmarks.peers.base import Skip
from benchmarks.peers.with_torch import WithTorch


class WithTorchCompile(WithTorch):
    name = "torch.compile"
    tasks = ("train", "predict")
    copies = True

    @classmethod
    def environment(cls, setting):
        # One compiling process is enough: no pool of idle ones beside the measurement.
        return {**super().environment(setting), "TORCHINDUCTOR_COMPILE_THREADS": "1"}

    def __init__(self, row, dtype, setting):
        super().__init__(row, dtype, setting)
        torch, lr, mu = self.torch, row.learning_rate, row.momentum
        torch._dynamo.reset()
        gradient = torch.func.grad(self.loss)
        if row.copies > 1:
            gradient = torch.func.vmap(gradient, in_dims=(0, None, None))

        def step(p, v, X, Y):
            grads = gradient(p, X, Y)
            for part, velocity, grad in zip(p, v, grads, strict=True):
                if mu:
                    velocity.mul_(mu).sub_(grad, alpha=lr)
                    part.add_(velocity)
                else:
                    part.sub_(grad, alpha=lr)

        self.compiled = torch.compile(step, fullgraph=True, dynamic=False)
        self.compiled_forward = torch.compile(self.forward, fullgraph=True, dynamic=False)
        try:  # a missing C++ compiler shows here
            self.reset()
            if row.task == "predict":
                self.predict()
            else:
                self.step(self.X[: row.batch], self.Y[: row.batch])
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise Skip("torch.compile failed: " + reason[0]) from error

    def reset(self):
        super().reset()
        self.p = [part.detach() for part in self.p]
        if self.row.copies > 1:
            starts = [rows.layers(self.row, rows.start(self.row, self.first.dtype, copy))
                      for copy in range(self.row.copies)]  # fmt: skip
            self.p = [self.torch.from_numpy(np.stack([layer[k][0] for layer in starts]))
                      for k in range(len(self.row.sizes) - 1)]  # fmt: skip
            self.v = [self.torch.zeros_like(part) for part in self.p]

    def step(self, X, Y):
        self.compiled(self.p, self.v, X, Y)

    def train(self, epochs, order=None):
        with self.torch.no_grad():
            super().train(epochs, order)

    def predict(self):
        with self.torch.inference_mode():
            return self.compiled_forward(self.p, self.X)

    def parameters(self):
        if self.row.copies == 1:
            return super().parameters()
        stacked = [part.numpy().reshape(self.row.copies, -1) for part in self.p]
        return np.concatenate(stacked, axis=1).ravel()
