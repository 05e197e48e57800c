"""cbackprop as a user calls it, on its defaults: ``Trainer.fit``, its fixed cost included.

The trainer is made beforehand, as every peer's model, state or compiled function is.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks import rows
from benchmarks.peers.base import Peer


class Ours(Peer):
    name = "cbackprop"
    modules = ("cbackprop",)
    settings = ("all",)
    tasks = ("train", "predict", "gradient")
    copies = True

    def __init__(self, row, dtype, setting):
        import cbackprop

        self.cbackprop = cbackprop
        self.row, self.dtype = row, dtype
        self.X, self.Y = rows.data(row, dtype)
        self.n_threads = 1 if row.copies > 1 else None
        self.solver = cbackprop.SGD(learning_rate=row.learning_rate, momentum=row.momentum)
        self.nets = [self._network() for _ in range(row.copies)]
        self.net = self.nets[0]

    def _network(self):
        row = self.row
        return self.cbackprop.Network(
            row.sizes,
            activation=row.activation,
            output_activation=row.output_activation,
            bias=row.bias,
            dtype=self.dtype,
            seed=0,
        )

    def reset(self):
        for copy, net in enumerate(self.nets):
            net.parameters[:] = rows.start(self.row, self.dtype, copy)
        self.make_trainers()

    def make_trainers(self):
        row = self.row
        self.trainers = [
            self.cbackprop.Trainer(
                net,
                solver=self.solver,
                batch_size=row.batch,
                shuffle=row.shuffle,
                seed=0,
                n_threads=self.n_threads,
            )
            for net in self.nets
        ]

    def train(self, epochs, order=None):
        if self.row.copies > 1:
            self.many(epochs, available_threads())
            return
        if self.row.fresh:
            self.make_trainers()
        trainer = self.trainers[0]
        if order is not None:
            trainer.shuffle = lambda epoch: order
        trainer.reset()  # each call is a training of its own, from epoch 0
        trainer.fit(self.X, self.Y, epochs=epochs)

    def many(self, epochs, n_threads):
        """The independent fits, spread over ``n_threads`` Python threads."""

        def fit(trainer):
            trainer.reset()
            trainer.fit(self.X, self.Y, epochs=epochs)

        if n_threads == 1:
            for trainer in self.trainers:
                fit(trainer)
        else:
            with ThreadPoolExecutor(n_threads) as pool:
                list(pool.map(fit, self.trainers))

    def predict(self):
        return self.net.predict(self.X)

    def gradient(self):
        return self.net.gradient(self.X, self.Y)[1]

    def parameters(self):
        return np.concatenate([net.parameters for net in self.nets])

    def version(self):
        return self.cbackprop.__version__


def available_threads():
    """Threads a fit may use on this machine, as the package counts them."""
    import cbackprop

    return int(cbackprop.get_config()["threads"])
