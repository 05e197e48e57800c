"""Every solver in the trainer: steps against a NumPy twin, penalties, decay, clipping, state."""

import pickle

import numpy as np
import pytest

import cbackprop
from cbackprop import LBFGS, SGD, Adam, AdamW, NAdam, RProp
from cbackprop.errors import InputError
from cbackprop.solvers import schedules


def data(n_rows, n_in=3, n_out=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_rows, n_in)), rng.uniform(0.1, 0.9, (n_rows, n_out))


class Twin:
    """A solver's steps on whole arrays, operation by operation as documented."""

    def __init__(self, net, solver, l1=0.0, l2=0.0):
        self.net, self.solver, self.l1, self.l2 = pickle.loads(pickle.dumps(net)), solver, l1, l2
        P, kind = net.parameters.size, net.parameters.dtype.type
        self.kind, self.t, self.before, self.product = kind, 0, None, 1.0
        self.m, self.v, self.largest = (np.zeros(P, kind) for _ in range(3))
        if isinstance(solver, RProp):
            self.step = np.full(P, solver.initial_step, kind)
        self.is_weight = np.zeros(P, bool)
        for W in self.net.weights:
            start = (W.ctypes.data - self.net.parameters.ctypes.data) // W.itemsize
            self.is_weight[start : start + W.size] = True

    def __call__(self, X, Y, rate=None):
        s, kind = self.solver, self.kind
        W = self.net.parameters
        loss, g = self.net.gradient(X, Y)
        weights = self.is_weight
        penalty = kind(self.l2) * W[weights] + kind(self.l1) * np.sign(W[weights])
        if self.l1 or self.l2:
            g[weights] = g[weights] + penalty
            loss += self.l2 / 2 * (W[weights].astype(float) ** 2).sum()
            loss += self.l1 * np.abs(W[weights].astype(float)).sum()
        if getattr(s, "max_gradient_norm", None):
            norm = np.sqrt((g.astype(float) ** 2).sum())
            if norm > s.max_gradient_norm:
                g = g * kind(s.max_gradient_norm / norm)
        if rate is None:
            rate = getattr(s, "learning_rate", None)
        if getattr(s, "weight_decay", 0.0):
            W[weights] = W[weights] * kind(1 - rate * s.weight_decay)
        if isinstance(s, SGD):
            lr, mu = kind(rate), kind(s.momentum)
            if not s.momentum:
                W[:] = W - lr * g
            else:
                self.v = mu * self.v - lr * g
                W[:] = W + (mu * self.v - lr * g if s.nesterov else self.v)
        elif isinstance(s, Adam):
            self.t += 1
            b1, b2 = 1 - s.beta_1**self.t, 1 - s.beta_2**self.t
            a, c = rate / b1, 1 / np.sqrt(b2)
            if s.epsilon_form == "folded":
                a, c = rate * np.sqrt(b2) / b1, 1.0
            self.m = kind(s.beta_1) * self.m + kind(1 - s.beta_1) * g
            self.v = kind(s.beta_2) * self.v + kind(1 - s.beta_2) * (g * g)
            self.largest = np.maximum(self.largest, self.v)
            root = np.sqrt(self.largest if s.amsgrad else self.v)
            W[:] = W - kind(a) * self.m / (root * kind(c) + kind(s.epsilon))
        elif isinstance(s, NAdam):
            self.t += 1
            mu, next_mu = (
                s.beta_1 * (1 - 0.5 * 0.96 ** (t * s.momentum_decay)) for t in (self.t, self.t + 1)
            )
            self.product *= mu
            a_g, a_m = rate * (1 - mu) / (1 - self.product), rate * next_mu
            a_m /= 1 - self.product * next_mu
            c = 1 / np.sqrt(1 - s.beta_2**self.t)
            self.m = kind(s.beta_1) * self.m + kind(1 - s.beta_1) * g
            self.v = kind(s.beta_2) * self.v + kind(1 - s.beta_2) * (g * g)
            step = kind(a_g) * g + kind(a_m) * self.m
            W[:] = W - step / (np.sqrt(self.v) * kind(c) + kind(s.epsilon))
        else:
            worse = self.before is not None and loss > self.before
            self.before = loss
            sign = np.sign(self.v * g)
            self.step = np.where(
                sign > 0,
                np.minimum(self.step * kind(s.increase), kind(s.max_step)),
                np.where(
                    sign < 0,
                    np.maximum(self.step * kind(s.decrease), kind(s.min_step)),
                    self.step,
                ),
            )
            move = -np.sign(g) * self.step
            W[:] = np.where(sign < 0, W - self.m if worse else W, W + move)
            self.m = np.where(sign < 0, self.m, move)
            self.v = np.where(sign < 0, kind(0), g)
        return loss


SOLVERS = [
    SGD(learning_rate=0.3, weight_decay=0.01),
    SGD(learning_rate=0.1, momentum=0.9, max_gradient_norm=0.01),
    SGD(learning_rate=0.1, momentum=0.8, nesterov=True, weight_decay=0.1),
    Adam(learning_rate=0.01),
    Adam(learning_rate=0.01, epsilon_form="folded", weight_decay=0.1),
    Adam(learning_rate=0.01, amsgrad=True, beta_1=0.8, max_gradient_norm=0.02),
    AdamW(learning_rate=0.02, weight_decay=0.2),
    NAdam(learning_rate=0.01),
    NAdam(learning_rate=0.02, momentum_decay=0.3, beta_1=0.8, weight_decay=0.1, epsilon=1e-4),
    RProp(),
    RProp(initial_step=0.5, max_step=0.7),
]


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("penalties", [{}, {"l2": 0.01}, {"l1": 0.002, "l2": 0.03}], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", [(3, 4, 2), (150, 300, 2)])
def test_full_batch_steps_equal_their_numpy_twin(solver, penalties, dtype, sizes):
    """The gradient is the same call's: update, penalty and decay alone decide the bits."""
    X, Y = data(300, sizes[0])
    net = cbackprop.Network(sizes, dtype=dtype, seed=1)
    twin = Twin(net, solver, **penalties)
    batch_size = None if solver.full_batch else 300
    trainer = cbackprop.Trainer(net, solver=solver, batch_size=batch_size, **penalties)
    history = trainer.fit(X, Y, epochs=7)
    losses = [twin(X, Y) for _ in range(7)]
    if getattr(solver, "max_gradient_norm", None) or isinstance(solver, RProp):
        # The norm and the comparison of losses sum in another order than NumPy does.
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(net.parameters, twin.net.parameters, rtol=tolerance, atol=1e-12)
    elif dtype == "float32" or sizes[0] > 3 or solver.rule != "sgd":
        np.testing.assert_array_equal(net.parameters, twin.net.parameters)
    else:
        np.testing.assert_allclose(net.parameters, twin.net.parameters, rtol=1e-14)
    if not penalties:
        np.testing.assert_allclose(history["loss"], losses, rtol=1e-6)
    else:
        assert history["penalty"].shape == (7,)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if not s.full_batch], ids=str)
@pytest.mark.parametrize("penalties", [{}, {"l1": 0.002, "l2": 0.03}], ids=str)
def test_mini_batches_equal_their_numpy_twin(solver, penalties):
    X, Y = data(50)
    net = cbackprop.Network((3, 4, 2), seed=1)
    twin = Twin(net, solver, **penalties)
    trainer = cbackprop.Trainer(net, solver=solver, batch_size=9, shuffle=False, **penalties)
    trainer.fit(X, Y, epochs=3)
    for _ in range(3):
        for start in range(0, 50, 9):
            twin(X[start : start + 9], Y[start : start + 9])
    np.testing.assert_allclose(net.parameters, twin.net.parameters, rtol=1e-11)


@pytest.mark.parametrize("solver", [*SOLVERS, LBFGS(memory=3)], ids=str)
@pytest.mark.parametrize("sizes", [(3, 4, 2), (150, 300, 2)])
def test_threads_and_calls_do_not_change_the_bits(solver, sizes):
    X, Y = data(700, sizes[0])
    results = set()
    epochs = 6 if solver.full_batch else 3  # of six steps each
    whole, ones, two = [epochs], [1] * epochs, [2, epochs - 2]
    for n_threads, parts in ((1, whole), (2, whole), (5, whole), (2, ones), (1, two)):
        net = cbackprop.Network(sizes, seed=1)
        trainer = cbackprop.Trainer(
            net,
            solver=solver,
            batch_size=None if solver.full_batch else 128,
            seed=5,
            l2=1e-3,
            n_threads=n_threads,
        )
        for part in parts:
            trainer.fit(X, Y, epochs=part)
        results.add((net.parameters.tobytes(), trainer.history["loss"].tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("solver", [*SOLVERS[3:], LBFGS(memory=3)], ids=str)
@pytest.mark.parametrize("steps", [1, 4, 5, 9])
def test_a_fit_left_at_any_step_and_pickled_goes_on_there(solver, steps):
    X, Y = data(50)
    kwargs = {"batch_size": None if solver.full_batch else 12, "seed": 3}
    nets = [cbackprop.Network((3, 4, 2), seed=1) for _ in range(2)]
    whole = cbackprop.Trainer(nets[0], solver=solver, **kwargs)
    whole.fit(X, Y, epochs=12)
    trainer = cbackprop.Trainer(nets[1], solver=solver, **kwargs)
    trainer._fit(X, Y, 12, steps=steps)
    trainer = pickle.loads(pickle.dumps(trainer))
    trainer.fit(X, Y, epochs=12 - trainer.epoch)
    assert trainer.network.parameters.tobytes() == nets[0].parameters.tobytes()
    assert trainer.history["loss"].tobytes() == whole.history["loss"].tobytes()


def pytorchs_nadam(W, g, state, lr, beta_1, beta_2, epsilon, psi):
    """A step as the documentation of torch.optim.NAdam has it, in its order of operations."""
    state["t"] += 1
    t = state["t"]
    mu = beta_1 * (1 - 0.5 * 0.96 ** (t * psi))
    next_mu = beta_1 * (1 - 0.5 * 0.96 ** ((t + 1) * psi))
    state["product"] *= mu
    state["m"] = beta_1 * state["m"] + (1 - beta_1) * g
    state["v"] = beta_2 * state["v"] + (1 - beta_2) * g**2
    m_hat = next_mu * state["m"] / (1 - state["product"] * next_mu)
    m_hat = m_hat + (1 - mu) * g / (1 - state["product"])
    return W - lr * m_hat / (np.sqrt(state["v"] / (1 - beta_2**t)) + epsilon)


def test_nadam_is_pytorchs():
    X, Y = data(40)
    net = cbackprop.Network((3, 4, 2), seed=1)
    twin = pickle.loads(pickle.dumps(net))
    start = net.parameters.copy()
    trainer = cbackprop.Trainer(net, solver=NAdam(), batch_size=40)
    trainer.fit(X, Y, epochs=200)
    state = {"t": 0, "product": 1.0, "m": 0.0, "v": 0.0}
    for _ in range(200):
        g = twin.gradient(X, Y)[1]
        twin.parameters[:] = pytorchs_nadam(
            twin.parameters, g, state, 0.002, 0.9, 0.999, 1e-8, 0.004
        )
    assert np.abs(net.parameters - start).max() > 0.1
    np.testing.assert_allclose(net.parameters, twin.parameters, rtol=1e-9)


@pytest.mark.slow  # importing torch.optim takes seconds
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
def test_nadam_equals_pytorch(weight_decay, torch):
    X, Y = data(40)
    net = cbackprop.Network((3, 4, 2), bias=False, seed=1)
    twin = pickle.loads(pickle.dumps(net))
    solver = NAdam(weight_decay=weight_decay)
    cbackprop.Trainer(net, solver=solver, batch_size=40).fit(X, Y, epochs=100)
    W = torch.tensor(twin.parameters, requires_grad=True)
    peer = torch.optim.NAdam([W], weight_decay=weight_decay, decoupled_weight_decay=True)
    for _ in range(100):
        twin.parameters[:] = W.detach().numpy()
        W.grad = torch.from_numpy(twin.gradient(X, Y)[1])
        peer.step()
    np.testing.assert_allclose(net.parameters, W.detach().numpy(), rtol=1e-11)


def test_adamw_is_adam_with_its_decay():
    X, Y = data(40)
    found = []
    for solver in (AdamW(learning_rate=0.1), Adam(learning_rate=0.1, weight_decay=0.01)):
        net = cbackprop.Network((3, 4, 2), seed=1)
        cbackprop.Trainer(net, solver=solver, seed=0, batch_size=8).fit(X, Y, epochs=20)
        found.append(net.parameters.tobytes())
    assert found[0] == found[1]


def test_penalties_are_those_of_the_formula_and_biases_are_free():
    X, Y = data(40)
    net = cbackprop.Network((3, 4, 2), seed=1)
    net.parameters[:] += 0.3
    twin = pickle.loads(pickle.dumps(net))
    l1, l2, lr = 0.01, 0.2, 1e-3
    history = cbackprop.Trainer(net, solver=SGD(learning_rate=lr), batch_size=40, l1=l1, l2=l2).fit(
        X, Y, epochs=1
    )
    g = twin.gradient(X, Y)[1]
    moved = [p.copy() for p in (*net.weights, *net.biases)]
    start = [p.copy() for p in (*twin.weights, *twin.biases)]
    twin.parameters[:] = g
    for k, gradient in enumerate((*twin.weights, *twin.biases)):
        if k < 2:
            gradient = gradient + l2 * start[k] + l1 * np.sign(start[k])
        np.testing.assert_allclose(moved[k], start[k] - lr * gradient, rtol=1e-13)
    expected = sum(l2 / 2 * (W**2).sum() + l1 * np.abs(W).sum() for W in net.weights)
    assert history["penalty"][0] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 10])
def test_the_penaltys_strength_does_not_depend_on_the_batch_size(batch_size):
    """Zero inputs and targets met exactly: the penalty alone moves the weights.  (Defect 11)"""
    net = cbackprop.Network((2, 3, 1), activation="tanh", output_activation="identity", seed=1)
    for b in net.biases:
        b[:] = 0
    before = [W.copy() for W in net.weights]
    X, Y = np.zeros((10, 2)), np.zeros((10, 1))
    cbackprop.Trainer(net, solver=SGD(learning_rate=0.1), batch_size=batch_size, l2=0.5).fit(
        X, Y, epochs=2
    )
    steps = 2 * -(-10 // batch_size)
    for W, W0 in zip(net.weights, before, strict=True):
        np.testing.assert_allclose(W, W0 * (1 - 0.1 * 0.5) ** steps, rtol=1e-12)


def test_a_schedule_is_followed_across_calls_and_recorded():
    X, Y = data(30)
    schedule = schedules.ExponentialDecay(0.5, factor=0.9)
    runs = []
    for parts in ([6], [1, 3, 2]):
        net = cbackprop.Network((3, 4, 2), seed=1)
        trainer = cbackprop.Trainer(
            net, solver=SGD(learning_rate=schedule, momentum=0.5), batch_size=7, seed=2
        )
        for part in parts:
            trainer.fit(X, Y, epochs=part)
        np.testing.assert_array_equal(
            trainer.history["learning_rate"], schedule.rates(np.arange(6))
        )
        runs.append(net.parameters.tobytes())
    assert runs[0] == runs[1]


def test_more_epochs_than_rates_are_asked_for_at_once():
    X, Y = data(4)
    schedule = schedules.InverseScaling(0.5)
    net = cbackprop.Network((3, 4, 2), seed=1)
    history = cbackprop.Trainer(net, solver=SGD(learning_rate=schedule)).fit(X, Y, epochs=2500)
    np.testing.assert_array_equal(history["learning_rate"], schedule.rates(np.arange(2500)))


def test_the_rate_falls_on_a_plateau():
    """On targets that are met exactly from the start the loss never falls: a plateau at once."""
    net = cbackprop.Network((2, 1), output_activation="identity", seed=1)
    X = np.random.default_rng(0).standard_normal((20, 2))
    Y = net.predict(X)
    schedule = schedules.ReduceOnPlateau(0.4, factor=0.5, patience=3, min_delta=1e-4, minimum=0.05)
    trainer = cbackprop.Trainer(net, solver=SGD(learning_rate=schedule), batch_size=5)
    rates = np.r_[
        trainer.fit(X, Y, epochs=9)["learning_rate"], trainer.fit(X, Y, epochs=6)["learning_rate"]
    ]
    expected = [0.4] * 4 + [0.2] * 3 + [0.1] * 3 + [0.05] * 5
    np.testing.assert_allclose(rates, expected)
    trainer.solver = SGD(learning_rate=0.3)
    assert trainer.fit(X, Y, epochs=1)["learning_rate"][0] == 0.3


def test_lbfgs_agrees_with_scipy():
    from scipy.optimize import minimize

    X, Y = data(60)
    net = cbackprop.Network((3, 5, 2), activation="tanh", output_activation="identity", seed=1)
    twin = pickle.loads(pickle.dumps(net))
    l2 = 0.01
    is_weight = Twin(twin, SGD()).is_weight

    def objective(parameters):
        twin.parameters[:] = parameters
        loss, g = twin.gradient(X, Y)
        W = parameters * is_weight
        return loss + l2 / 2 * W @ W, g + l2 * W

    best = minimize(
        objective,
        net.parameters.copy(),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 0, "gtol": 1e-9, "maxiter": 2000, "maxfun": 5000},
    )
    trainer = cbackprop.Trainer(net, solver=LBFGS(gradient_tolerance=1e-9), l2=l2)
    history = trainer.fit(X, Y, epochs=2000)
    assert history.stop_reason in ("converged", "no_descent")
    total = history["loss"][-1] + history["penalty"][-1]
    assert total <= best.fun * (1 + 1e-9)
    assert history["gradient_norm"][-1] < 1e-7
    assert history["loss"][-1] == pytest.approx(net.loss(X, Y), rel=1e-12)


def test_a_full_batch_solver_takes_no_batch_size():
    net = cbackprop.Network((3, 4, 2), seed=1)
    for solver in (RProp(), LBFGS()):
        with pytest.raises(InputError, match=r"batch_size is 5 and the solver is .*expected None"):
            cbackprop.Trainer(net, solver=solver, batch_size=5)


def test_another_solver_starts_afresh_and_the_same_goes_on():
    X, Y = data(20)
    net = cbackprop.Network((3, 4, 2), seed=1)
    trainer = cbackprop.Trainer(net, solver=Adam(), batch_size=20)
    trainer.fit(X, Y, epochs=3)
    trainer.solver = Adam(learning_rate=0.05)
    twin = pickle.loads(pickle.dumps(trainer))
    twin.batch_size = None
    trainer.fit(X, Y, epochs=1)
    assert trainer._state.numbers[0] == 4
    twin.solver = RProp()
    twin.fit(X, Y, epochs=1)
    twin.solver = Adam()
    twin.fit(X, Y, epochs=1)
    assert twin._state.numbers[0] == 1


def test_gradient_norm():
    X, Y = data(50)
    net = cbackprop.Network((3, 4, 2), seed=1)
    trainer = cbackprop.Trainer(net, batch_size=9, seed=1, l2=0.1)
    history = trainer.fit(X, Y, epochs=2, gradient_norm=True)
    g = net.gradient(X, Y)[1]
    g[Twin(net, SGD()).is_weight] += 0.1 * net.parameters[Twin(net, SGD()).is_weight]
    assert history["gradient_norm"][-1] == pytest.approx(np.linalg.norm(g), rel=1e-12)
    plain = cbackprop.Network((3, 4, 2), seed=1)
    cbackprop.Trainer(plain, batch_size=9, seed=1, l2=0.1).fit(X, Y, epochs=2)
    assert plain.parameters.tobytes() == net.parameters.tobytes()
    start = cbackprop.Network((3, 4, 2), seed=1)
    norm = np.linalg.norm(start.gradient(X, Y)[1])
    history = cbackprop.Trainer(start, batch_size=50).fit(X, Y, epochs=1, gradient_norm=True)
    assert history["gradient_norm"][0] == pytest.approx(norm, rel=1e-12)
