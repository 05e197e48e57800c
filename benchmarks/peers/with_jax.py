"""JAX: one ``jit`` call for all epochs, ``lax.scan`` over each epoch's batches.

Two columns: the gradient by ``jax.grad``, as JAX is used, and the four lines by hand, which XLA
fuses better on the smallest nets.  "One thread" is XLA's own switch; it also changes what XLA
generates.  Many fits at once run through ``jax.vmap``.
"""

import numpy as np

from benchmarks import rows
from benchmarks.peers.base import Peer, Skip


class WithJax(Peer):
    name = "jax"
    modules = ("jax",)
    tasks = ("train", "predict", "gradient")
    copies = True

    @classmethod
    def environment(cls, setting):
        if setting == "all":
            return {"JAX_PLATFORMS": "cpu"}
        flag = "--xla_cpu_multi_thread_eigen=false"
        return {**super().environment(setting), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flag}

    def __init__(self, row, dtype, setting):
        import jax
        from jax import lax

        jax.config.update("jax_enable_x64", True)
        jnp = jax.numpy
        self.jax, self.row, self.dtype = jax, row, dtype
        self.activations = {
            "sigmoid": jax.nn.sigmoid,
            "tanh": jnp.tanh,
            "relu": jax.nn.relu,
            "identity": lambda h: h,
        }
        X, Y = rows.data(row, dtype)
        self.X, self.Y = jnp.asarray(X), jnp.asarray(Y)
        del X, Y
        steps, batch = row.steps, row.batch
        lr, mu = np.dtype(dtype).type(row.learning_rate), np.dtype(dtype).type(row.momentum)

        def step(state, batch):
            p, v = state
            grads = self.gradients(p, *batch)
            if row.momentum:
                v = [mu * velocity - lr * grad for velocity, grad in zip(v, grads, strict=True)]
                return ([part + velocity for part, velocity in zip(p, v, strict=True)], v), None
            return ([part - lr * grad for part, grad in zip(p, grads, strict=True)], v), None

        def batches(A):
            return A.reshape(steps, batch, -1)

        def train(state, X, Y, epochs, key, order):
            def epoch(i, state):
                if not row.shuffle:
                    return lax.scan(step, state, (batches(X), batches(Y)))[0]
                now = order
                if order is None:
                    now = jax.random.permutation(jax.random.fold_in(key, i), row.n_rows)

                def take(state, rows_of_batch):
                    return step(state, (X[rows_of_batch], Y[rows_of_batch]))

                return lax.scan(take, state, now.reshape(steps, batch))[0]

            return lax.fori_loop(0, epochs, epoch, state)

        if row.copies > 1:
            train = jax.vmap(train, in_axes=(0, None, None, None, None, None))
        self._train = jax.jit(train)
        self._predict = jax.jit(self.forward)
        self._gradient = jax.jit(self.gradients)
        self.key = jax.random.key(0)

    def forward(self, p, X):
        return self.outputs(p, X)[-1]

    def outputs(self, p, X):
        """Every layer's output, the input first."""
        row, outputs = self.row, [X]
        last = len(row.sizes) - 2
        stride = 2 if row.bias else 1
        for k in range(last + 1):
            H = outputs[-1] @ p[k * stride]
            H = H + p[k * stride + 1] if row.bias else H
            act = self.activations[row.output_activation if k == last else row.activation]
            outputs.append(act(H))
        return outputs

    def loss(self, p, X, Y):
        return ((self.forward(p, X) - Y) ** 2).sum() / (2 * X.shape[0])

    def gradients(self, p, X, Y):
        return self.jax.grad(self.loss)(p, X, Y)

    def reset(self):
        jnp, row = self.jax.numpy, self.row
        starts = [
            [part for layer in rows.layers(row, rows.start(row, self.dtype, copy))
             for part in layer if part is not None]
            for copy in range(row.copies)
        ]  # fmt: skip
        if row.copies == 1:
            p = [jnp.asarray(part.copy()) for part in starts[0]]
        else:
            p = [jnp.asarray(np.stack(parts)) for parts in zip(*starts, strict=True)]
        self.state = (p, [jnp.zeros_like(part) for part in p] if row.momentum else [])

    def train(self, epochs, order=None):
        state = self._train(self.state, self.X, self.Y, epochs, self.key, order)
        self.state = self.jax.block_until_ready(state)

    def predict(self):
        return self._predict(self.state[0], self.X).block_until_ready()

    def gradient(self):
        return self.jax.block_until_ready(self._gradient(self.state[0], self.X, self.Y))

    def parameters(self):
        parts = [np.asarray(part).reshape(self.row.copies, -1) for part in self.state[0]]
        return np.concatenate(parts, axis=1).ravel()

    def version(self):
        return self.jax.__version__


class WithJaxByHand(WithJax):
    """The four lines written out; plain two-layer sigmoid nets without biases only."""

    name = "jax by hand"
    tasks = ("train",)

    @classmethod
    def refuse(cls, row, dtype):
        super().refuse(row, dtype)
        if len(row.sizes) != 3 or row.bias or row.momentum:
            raise Skip("the founding net only")
        if {row.activation, row.output_activation} != {"sigmoid"}:
            raise Skip("the founding net only")

    def gradients(self, p, X, Y):
        _, W2 = p
        _, Z, Y_hat = self.outputs(p, X)
        N = X.shape[0]
        delta_O = -(Y - Y_hat) * (Y_hat * (1 - Y_hat))
        grad_W2 = Z.T @ delta_O / N
        delta_H = (delta_O @ W2.T) * (Z * (1 - Z))
        grad_W1 = X.T @ delta_H / N
        return [grad_W1, grad_W2]
