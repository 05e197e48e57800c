"""Levenberg-Marquardt in four libraries, each in a process of its own: ours, and three to compare.

All fit the same one-hidden-layer network of tanh units from the same parameters, in float64, and
count the same things: an iteration is a Jacobian that was evaluated, a trial a step that was tried
(a system solved and a loss computed).  Where a library lets it be chosen, mu begins at 1e-3 beside
the summed J'J and changes by 10, as ours.

scipy   `least_squares(method="lm", x_scale=1)`, which is MINPACK's lmder, with the Jacobian written
        in NumPy; the residuals' activations are kept for it
torch   torch-levenberg-marquardt, with Cholesky, which is faster here than its default, QR
pyrenn  pyrenn.train_LM
"""

import contextlib
import importlib.metadata
import importlib.util
import io
import multiprocessing
import time
import traceback

import numpy as np


class Failed(Exception):
    """The process reported an error or died; the text is one line."""


def parts(parameters, hidden):
    """W1 (n_in, hidden), b1, W2 (hidden, 1), b2: views of the flat vector."""
    n_in = (len(parameters) - 1) // hidden - 2
    ends = np.cumsum([n_in * hidden, hidden, hidden])
    W1, b1, W2, b2 = np.split(parameters, ends)
    return W1.reshape(n_in, hidden), b1, W2.reshape(hidden, 1), b2


class Peer:
    """A library; ``run`` trains from ``start``, so many iterations or to a mean squared error."""

    name: str
    module: str
    package: str

    def __init__(self, X, Y, start, hidden):
        self.X, self.Y, self.start, self.hidden = X, Y, start, hidden
        self.prepare()

    @classmethod
    def missing(cls):
        """Why it cannot run, or None."""
        found = importlib.util.find_spec(cls.module) is not None
        return None if found else f"not installed: pip install {cls.package}"

    @classmethod
    def version(cls):
        return importlib.metadata.version(cls.package)

    def prepare(self):
        """What is not timed."""

    def run(self, iterations, goal=0.0):
        """(iterations, trials, mean squared error) of one whole call."""
        raise NotImplementedError

    def clock(self, iterations, times, goal=0.0):
        """(seconds, iterations, trials, mean squared error) of ``times`` equal calls."""
        begin = time.perf_counter()
        for _ in range(times):
            n, trials, error = self.run(iterations, goal)
        return time.perf_counter() - begin, n * times, trials * times, error


class Ours(Peer):
    name, module, package = "cbackprop", "cbackprop", "cbackprop"

    def prepare(self):
        import cbackprop

        sizes = self.X.shape[1], self.hidden, 1
        self.net = cbackprop.Network(
            sizes, activation="tanh", output_activation="identity", dtype=self.X.dtype.name
        )

    def run(self, iterations, goal=0.0):
        import cbackprop

        self.net.parameters[:] = self.start
        trainer = cbackprop.Trainer(self.net, solver=cbackprop.LevenbergMarquardt(), seed=0)
        history = trainer.fit(self.X, self.Y, epochs=iterations, target_loss=goal / 2)
        n = history.n_epochs
        return n, n + int(history["rejected"].sum()), 2 * history["loss"][-1]


class Scipy(Peer):
    name, module, package = "scipy", "scipy", "scipy"

    def prepare(self):
        self.J = np.empty((len(self.X), len(self.start)))
        self.at, self.Z = None, None

    def residuals(self, W):
        W1, b1, W2, b2 = parts(W, self.hidden)
        self.at, self.Z = W.copy(), np.tanh(self.X @ W1 + b1)
        return (self.Z @ W2 + b2 - self.Y).ravel()

    def jacobian(self, W):
        self.iterations += 1
        if not np.array_equal(W, self.at):
            self.residuals(W)
        W2 = parts(W, self.hidden)[2]
        n, n_in = self.X.shape
        ends = np.cumsum([n_in * self.hidden, self.hidden, self.hidden])
        delta = (1 - self.Z**2) * W2.ravel()
        self.J[:, : ends[0]] = (self.X[:, :, None] * delta[:, None, :]).reshape(n, -1)
        self.J[:, ends[0] : ends[1]] = delta
        self.J[:, ends[1] : ends[2]] = self.Z
        self.J[:, ends[2] :] = 1
        return self.J

    def run(self, iterations, goal=0.0):
        from scipy.optimize import least_squares

        self.iterations = 0
        tolerances = dict.fromkeys(("ftol", "xtol", "gtol"), 1e-15)
        found = least_squares(self.residuals, self.start, self.jacobian, method="lm", x_scale=1.0,
                              max_nfev=iterations, **tolerances)  # fmt: skip
        return self.iterations, found.nfev, 2 * found.cost / len(self.X)


class Torch(Peer):
    name, module = "torch", "torch_levenberg_marquardt"
    package = "torch-levenberg-marquardt"

    def prepare(self):
        import torch

        torch.set_default_dtype(torch.float64)
        self.inputs, self.targets = torch.from_numpy(self.X), torch.from_numpy(self.Y)

    def module_(self):
        import torch
        import torch_levenberg_marquardt as tlm

        W1, b1, W2, b2 = parts(self.start, self.hidden)
        net = torch.nn.Sequential(
            torch.nn.Linear(len(W1), self.hidden), torch.nn.Tanh(), torch.nn.Linear(self.hidden, 1)
        )
        with torch.no_grad():
            for layer, W, b in ((net[0], W1, b1), (net[2], W2, b2)):
                layer.weight.copy_(torch.from_numpy(W.T.copy()))
                layer.bias.copy_(torch.from_numpy(b.copy()))
        # Its J'J is divided by the rows.
        damping = tlm.damping.StandardDampingStrategy(1e-3 / len(self.X), min_value=1e-20)
        return tlm.training.LevenbergMarquardtModule(
            net, damping_strategy=damping, attempts_per_step=30, solve_method="cholesky"
        )

    def run(self, iterations, goal=0.0):
        module, n, trials = self.module_(), 0, 0
        for _ in range(iterations):
            n += 1
            _, loss, stop, logs = module.training_step(self.inputs, self.targets)
            trials += logs["attempts"]
            if stop or loss <= goal:
                break
        return n, trials, float(loss)


class Pyrenn(Peer):
    name, module, package = "pyrenn", "pyrenn", "pyrenn"

    def run(self, iterations, goal=0.0):
        import pyrenn

        W1, b1, W2, b2 = parts(self.start, self.hidden)
        net = pyrenn.CreateNN([len(W1), self.hidden, 1])
        # Its order: for each layer the weights, a row an input, and the biases.
        net["w"] = np.concatenate([W1.ravel(), b1, W2.ravel(), b2])
        trials, error_of = 0, pyrenn.calc_error

        def counted(*arguments):
            nonlocal trials
            trials += 1
            return error_of(*arguments)

        pyrenn.calc_error = counted
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                net = pyrenn.train_LM(self.X.T, self.Y.T, net, k_max=iterations, dampfac=1e-3,
                                      dampconst=10.0, E_stop=goal * len(self.X))  # fmt: skip
        finally:
            pyrenn.calc_error = error_of
        errors = net["ErrorHistory"]
        return len(errors), trials, float(np.mean((pyrenn.NNOut(self.X.T, net) - self.Y.T) ** 2))


PEERS = {peer.name: peer for peer in (Ours, Scipy, Torch, Pyrenn)}


# ------------------------------------------------------------------------------------ the processes


def serve(pipe, name, n_threads, arguments):
    """Answer requests until the pipe is closed; ours takes the threads that it takes by default."""
    try:
        if name != "cbackprop":
            limit_threads(n_threads, name == "torch")
        peer = PEERS[name](*arguments)
        pipe.send(("ready", None))
        while True:
            method, given = pipe.recv()
            pipe.send(("done", getattr(peer, method)(*given)))
    except EOFError:
        pass
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        pipe.send(("error", f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"))


def limit_threads(n, of_torch):
    import threadpoolctl

    threadpoolctl.threadpool_limits(n)
    if of_torch:
        import torch

        torch.set_num_threads(n)


class Process:
    """A peer that is running elsewhere: ``process.call("run", 20)``."""

    def __init__(self, name, n_threads, *arguments):
        """``arguments``: those of `Peer`."""
        self.name = name
        self.pipe, theirs = multiprocessing.get_context("spawn").Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, name, n_threads, arguments), daemon=True
        )
        self.process.start()
        theirs.close()
        self._answer()

    def call(self, method, *given):
        self.pipe.send((method, given))
        return self._answer()

    def _answer(self):
        try:
            kind, value = self.pipe.recv()
        except EOFError:
            raise Failed(f"{self.name}: its process ended") from None
        if kind == "error":
            raise Failed(f"{self.name}: {value}")
        return value

    def close(self):
        self.pipe.close()
        self.process.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
