"""Levenberg-Marquardt and the evidence: against a NumPy twin, and in hard places."""

import itertools
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from cbackprop import (
    LBFGS,
    BayesianRegularization,
    DivergenceError,
    EarlyStopping,
    LevenbergMarquardt,
    Network,
    Trainer,
)
from cbackprop.core.gradient import batch
from cbackprop.errors import InputError, InputTypeError


@pytest.fixture(autouse=True)
def everywhere_threads():
    """Threads on work of any size, as if it repaid them."""
    before = batch.set_worthwhile(0.0)
    yield
    batch.set_worthwhile(before)


def network(sizes=(2, 5, 1), seed=1, **options):
    options = {"activation": "tanh", "output_activation": "identity", **options}
    return Network(sizes, init="nguyen_widrow", seed=seed, **options)


def data(n_rows=60, n_in=2, n_out=1, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n_rows, n_in))
    Y = np.sin(2 * X[:, :1]) + X[:, 1:2] ** 2 + noise * rng.normal(size=(n_rows, n_out))
    return X, Y


# -- a twin in NumPy -------------------------------------------------------------------------------


class Twin:
    """The same steps by the explicit Jacobian and dense solves; sums over rows, not means."""

    def __init__(self, net, X, Y, solver, l2=0.0, weight=None):
        self.net, self.X, self.Y, self.solver = net, X, Y, solver
        self.weight = np.ones_like(Y) if weight is None else weight
        self.mu, self.nu, self.evidence = None, 2.0, None
        is_weight = np.ones(net.n_parameters, bool)
        start = 0
        for W in net.weights:
            start += W.size
            if net.bias:
                is_weight[start : start + W.shape[1]] = False
                start += W.shape[1]
        self.ridge = len(X) * l2 * is_weight

    def residuals(self, p):
        self.net.parameters[:] = p
        return (np.sqrt(self.weight) * (self.net.predict(self.X) - self.Y)).reshape(-1)

    def objective(self, r, p):
        return 0.5 * r @ r + 0.5 * (self.ridge * p) @ p

    def step(self):
        """(loss after the step, mu, rejected)"""
        solver, p = self.solver, self.net.parameters.copy()
        r = self.residuals(p)
        J = self.net.parameter_jacobian(self.X).reshape(-1, p.size)
        J = np.sqrt(self.weight).reshape(-1, 1) * J
        A, scale = J.T @ J, 1.0
        if isinstance(solver, BayesianRegularization):
            gamma = p.size
            if self.evidence is not None:
                alpha, beta, _ = self.evidence
                gamma = p.size - alpha * np.trace(np.linalg.inv(beta * A + alpha * np.eye(p.size)))
            counted = np.count_nonzero(self.weight)
            self.evidence = gamma / (p @ p), (counted - gamma) / (r @ r), gamma
            scale = 1 / self.evidence[1]
            self.ridge = np.full(p.size, self.evidence[0] * scale)
        D = np.ones(p.size)
        if solver.scaling == "diagonal":
            D = np.maximum(np.diag(A), 1e-8 * np.diag(A).max())
        if self.mu is None:
            plain = solver.damping == "marquardt" or solver.scaling == "diagonal"
            self.mu = solver.mu * (1.0 if plain else np.diag(A).max())
        g = J.T @ r + self.ridge * p
        before, rejected = self.objective(r, p), 0
        while True:
            B = A + np.diag(self.ridge + self.mu * scale * D)
            s = -np.linalg.solve(B, g)
            if solver.geodesic:
                h = 0.1
                bend = 2 / h * ((self.residuals(p + h * s) - r) / h - J @ s)
                a = -np.linalg.solve(B, J.T @ bend)
                if 2 * np.linalg.norm(a) > 0.75 * np.linalg.norm(s):
                    a = None
                else:
                    s = s + a / 2
            if not solver.geodesic or a is not None:
                at = self.residuals(p + s)
                after = self.objective(at, p + s)
                if after < before:
                    break
            rejected += 1
            self.mu *= self.nu if solver.damping == "nielsen" else solver.mu_increase
            self.nu *= 2
        if solver.damping == "nielsen":
            quality = (before - after) / (0.5 * s @ (self.mu * scale * D * s - g))
            self.mu *= max(1 / 3, 1 - (2 * quality - 1) ** 3)
        else:
            self.mu *= solver.mu_decrease
        self.nu = 2.0
        return 0.5 * at @ at / len(self.X), self.mu, rejected


CASES = {
    "plain": {},
    "l2": {"l2": 1e-3},
    "nielsen": {"damping": "nielsen"},
    # A mu beside which J'J is not singular to the last digits, where J'J and J alone would differ.
    "diagonal": {"scaling": "diagonal", "mu": 1.0, "mu_decrease": 0.5},
    "nielsen, diagonal": {"damping": "nielsen", "scaling": "diagonal", "l2": 1e-4, "mu": 1.0},
    "geodesic": {"geodesic": True},
    "geodesic, diagonal": {"geodesic": True, "l2": 1e-3, "scaling": "diagonal", "mu": 1.0},
    "evidence": {"evidence": True},
    "evidence, nielsen": {"evidence": True, "damping": "nielsen"},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sizes", [(2, 5, 1), (2, 4, 3, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_twin_in_numpy(name, sizes, bias):
    options = dict(CASES[name])
    l2, evidence = options.pop("l2", 0.0), options.pop("evidence", False)
    solver = (BayesianRegularization if evidence else LevenbergMarquardt)(**options)
    X, Y = data(n_out=sizes[-1])
    net, twin_net = network(sizes, bias=bias), network(sizes, bias=bias)
    trainer = Trainer(net, solver=solver, l2=l2, seed=0)
    twin = Twin(twin_net, X, Y, solver, l2)
    history = trainer.fit(X, Y, epochs=9)
    for epoch in range(9):
        loss, mu, rejected = twin.step()
        np.testing.assert_allclose(history["loss"][epoch], loss, rtol=1e-7)
        np.testing.assert_allclose(history["mu"][epoch], mu, rtol=1e-5)
        assert history["rejected"][epoch] == rejected
        if evidence:
            alpha, beta, gamma = twin.evidence
            np.testing.assert_allclose(history["alpha"][epoch], alpha, rtol=1e-6)
            np.testing.assert_allclose(history["beta"][epoch], beta, rtol=1e-6)
            np.testing.assert_allclose(history["effective_parameters"][epoch], gamma, rtol=1e-6)
            p = twin_net.parameters
            np.testing.assert_allclose(
                history["penalty"][epoch], alpha / (2 * beta * len(X)) * p @ p, rtol=1e-6
            )
    np.testing.assert_allclose(net.parameters, twin_net.parameters, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("evidence", [False, True])
def test_weights_and_missing_targets(evidence):
    rng = np.random.default_rng(2)
    X, Y = data(n_out=2)
    Y[rng.random(Y.shape) < 0.2] = np.nan
    weight = rng.integers(0, 4, len(X)).astype(float)
    output_weight = np.array([0.5, 2.0])
    solver = BayesianRegularization() if evidence else LevenbergMarquardt()
    net, twin_net = network((2, 4, 2)), network((2, 4, 2))
    history = Trainer(net, solver=solver, seed=0).fit(
        X, Y, epochs=6, sample_weight=weight, output_weight=output_weight, missing="ignore"
    )
    whole = (weight / weight.mean())[:, None] * output_weight * ~np.isnan(Y)
    twin = Twin(twin_net, X, np.nan_to_num(Y), solver, weight=whole)
    for epoch in range(6):
        np.testing.assert_allclose(history["loss"][epoch], twin.step()[0], rtol=1e-7)


def test_the_gradient_norm_is_that_of_where_the_epoch_began():
    X, Y = data()
    net = network()
    expected = np.linalg.norm(net.gradient(X, Y)[1])
    history = Trainer(net, solver=LevenbergMarquardt()).fit(X, Y, epochs=2)
    np.testing.assert_allclose(history["gradient_norm"][0], expected, rtol=1e-10)


# -- the dual --------------------------------------------------------------------------------------


@pytest.mark.parametrize("l2", [0.0, 1e-3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(2, 30, 2), (2, 9, 8, 2)])
def test_the_dual_takes_the_primal_steps(l2, bias, sizes):
    """Ten rows, twenty residuals: J J' is solved; the twin solves J'J."""
    X, Y = data(10, n_out=2)
    solver = LevenbergMarquardt(mu=1.0)
    net, twin_net = network(sizes, bias=bias), network(sizes, bias=bias)
    assert net.n_parameters > 20
    history = Trainer(net, solver=solver, l2=l2).fit(X, Y, epochs=4)
    twin = Twin(twin_net, X, Y, solver, l2)
    for epoch in range(4):
        loss, _, rejected = twin.step()
        np.testing.assert_allclose(history["loss"][epoch], loss, rtol=1e-6)
        assert history["rejected"][epoch] == rejected


def test_the_dual_of_the_evidence():
    """As many effective parameters as the primal formula counts."""
    X, Y = data(12)
    net = network((2, 20, 1))
    trainer = Trainer(net, solver=BayesianRegularization())
    trainer.fit(X, Y, epochs=3)
    alpha, beta = (trainer.history[name][-1] for name in ("alpha", "beta"))
    J = net.parameter_jacobian(X).reshape(12, -1)
    eigenvalues = np.linalg.eigvalsh(beta * J @ J.T)
    expected = (eigenvalues / (eigenvalues + alpha)).sum()
    history = trainer.fit(X, Y, epochs=1)
    np.testing.assert_allclose(history["effective_parameters"][0], expected, rtol=1e-6)


# -- bits and time ---------------------------------------------------------------------------------

SOLVERS = {
    "lm": LevenbergMarquardt(),
    "nielsen": LevenbergMarquardt(damping="nielsen", scaling="diagonal"),
    "geodesic": LevenbergMarquardt(geodesic=True),
    "evidence": BayesianRegularization(),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    ("sizes", "n_rows"), [((2, 6, 1), 900), ((2, 60, 2), 700), ((2, 40, 1), 30)]
)
def test_threads_and_calls_change_no_bit(name, sizes, n_rows, dtype):
    X, Y = data(n_rows, n_out=sizes[-1])
    results = []
    for n_threads, calls in ((1, [5]), (2, [5]), (5, [2, 1, 2]), (1, [1] * 5)):
        net = network(sizes, dtype=dtype)
        trainer = Trainer(net, solver=SOLVERS[name], n_threads=n_threads, seed=0)
        for epochs in calls:
            trainer.fit(X, Y, epochs=epochs)
        results.append((net.parameters.copy(), trainer.history["mu"], trainer.history["loss"]))
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_resumed_training_has_the_same_bits(name, tmp_path):
    X, Y = data()
    whole = Trainer(network(), solver=SOLVERS[name], seed=0)
    whole.fit(X, Y, epochs=6)
    first = Trainer(network(), solver=SOLVERS[name], seed=0)
    first.fit(X, Y, epochs=3)
    first.save(tmp_path / "trainer.safetensors")
    second = Trainer.load(tmp_path / "trainer.safetensors")
    assert second.solver == SOLVERS[name]
    second.fit(X, Y, epochs=3)
    np.testing.assert_array_equal(second.network.parameters, whole.network.parameters)
    for column in ("loss", "mu", "rejected", "gradient_norm"):
        np.testing.assert_array_equal(second.history[column], whole.history[column])


def test_validation_and_units():
    X, Y = data(200)
    net = network()
    net.fit_scaling(X, 100 + 30 * Y)
    history = Trainer(net, solver=LevenbergMarquardt(), seed=0).fit(
        X, 100 + 30 * Y, epochs=100, validation_data=0.15, test_data=0.15,
        early_stopping=EarlyStopping(patience=6), metric="r2",
    )  # fmt: skip
    assert history.stop_reason in ("early_stopping", "gradient_tolerance", "mu_max")
    scale = net.output_scaling.scale[0]
    np.testing.assert_allclose(history["loss_in_units"], history["loss"] / scale**2, rtol=1e-12)
    best = history.best_epoch
    assert history["validation_metric"][best] > 0.9


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent by os.kill")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_leaves_a_long_step_in_its_middle(n_threads):
    X, Y = data(60_000, n_in=20)
    net = network((20, 40, 1))
    trainer = Trainer(net, solver=LevenbergMarquardt(), n_threads=n_threads)

    def seconds_of_an_iteration(n_rows):
        began = time.perf_counter()
        trainer.fit(X[:n_rows], Y[:n_rows], epochs=1)
        return time.perf_counter() - began

    # An iteration of all rows takes half a second; under a sanitizer, of so many a second or two.
    n_rows = max(3000, int(3000 * 1.5 / seconds_of_an_iteration(3000)))
    middle = max(0.3, seconds_of_an_iteration(n_rows) / 4)
    X, Y = X[:n_rows], Y[:n_rows]
    before, epoch = net.parameters.copy(), trainer.epoch
    for _ in range(3):
        sent = []

        def kill(sent=sent):
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.1, kill)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(X, Y, epochs=10**6)
        latency = time.perf_counter() - sent[0]
        timer.join()
        assert trainer.epoch > epoch or np.array_equal(net.parameters, before)
        if latency < middle:
            break
    assert latency < middle


# -- how it ends -----------------------------------------------------------------------------------


def test_it_reaches_what_lbfgs_does_not():
    x = np.linspace(-1, 1, 500)[:, None]
    y = np.sinc(10 * x / np.pi)
    net = network((1, 20, 1), seed=3)
    start = net.parameters.copy()
    history = Trainer(net, solver=LevenbergMarquardt()).fit(x, y, epochs=100, target_loss=5e-10)
    assert history.stop_reason == "target_loss"
    other = network((1, 20, 1))
    other.parameters[:] = start
    assert Trainer(other, solver=LBFGS()).fit(x, y, epochs=100)["loss"][-1] > 1e-7


def test_a_linear_least_squares_problem_takes_one_undamped_step():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
    net = Network((3, 2), output_activation="identity", seed=0)
    history = Trainer(net, solver=LevenbergMarquardt(mu=1e-12)).fit(X, Y, epochs=3)
    exact = np.linalg.lstsq(np.c_[X, np.ones(50)], Y, rcond=None)[0]
    np.testing.assert_allclose(net.weights[0], exact[:3], rtol=1e-9)
    np.testing.assert_allclose(net.biases[0], exact[3], rtol=1e-9)
    assert history.stop_reason == "gradient_tolerance"
    assert history.n_epochs == 2


def test_reasons():
    X, Y = data()
    assert Trainer(network(), solver=LevenbergMarquardt(step_tolerance=10.0)).fit(
        X, Y, epochs=9
    ).stop_reason == "step_tolerance"  # fmt: skip
    assert Trainer(network(), solver=LevenbergMarquardt(gradient_tolerance=1e9)).fit(
        X, Y, epochs=9
    ).stop_reason == "gradient_tolerance"  # fmt: skip
    settled = Trainer(
        network(), solver=LevenbergMarquardt(gradient_tolerance=0.0, mu=1e-14, mu_max=2e-14)
    )
    history = settled.fit(X, Y, epochs=2000)
    assert history.stop_reason == "mu_max"
    assert history["rejected"][-1] > 0
    # A further fit begins with a fresh mu.
    assert settled.fit(X, Y, epochs=1).n_epochs == 1
    assert Trainer(network(), solver=LevenbergMarquardt()).fit(X, Y, epochs=2).stop_reason == (
        "epochs"
    )
    assert Trainer(network(), solver=LevenbergMarquardt(gradient_tolerance=0)).fit(
        X, Y, epochs=10**6, max_seconds=0.05
    ).stop_reason in ("seconds", "mu_max", "step_tolerance")  # fmt: skip


@pytest.mark.parametrize("name", SOLVERS)
def test_hard_places_end_in_a_finite_network(name, dtype):
    rng = np.random.default_rng(4)
    X, Y = data(40)
    places = {
        "constant targets": (X, np.zeros_like(Y)),
        "constant inputs": (np.ones_like(X), Y),
        "zero inputs": (np.zeros_like(X), Y),
        "duplicated columns": (np.repeat(X[:, :1], 2, axis=1), Y),
        "one row": (X[:1], Y[:1]),
        "one row many times": (np.repeat(X[:1], 30, axis=0), np.repeat(Y[:1], 30, axis=0)),
        "a hundred million": (1e8 * X, 1e8 * Y),
        "a billionth": (1e-9 * X, 1e-9 * Y),
    }
    for (X_, Y_), activation in itertools.product(places.values(), ("tanh", "relu", "sigmoid")):
        net = network((2, 5, 1), dtype=dtype, activation=activation)
        trainer = Trainer(net, solver=SOLVERS[name], seed=0)
        before = net.loss(X_, Y_)
        history = trainer.fit(X_, Y_, epochs=30)
        assert np.isfinite(net.parameters).all()
        assert np.isfinite(history["loss"]).all()
        if name != "evidence":  # whose objective is not the loss
            assert net.loss(X_, Y_) <= before * (1 + 1e-5)
    # All parameters equal: every hidden unit is the same.
    net = network((2, 5, 1), dtype=dtype)
    net.parameters[:] = 0.5
    Trainer(net, solver=SOLVERS[name]).fit(X, Y, epochs=20)
    assert np.isfinite(net.parameters).all()
    net.parameters[:] = 0
    Trainer(net, solver=SOLVERS[name]).fit(X, Y, epochs=20)
    assert np.isfinite(net.parameters).all()
    net.parameters[:] = rng.normal(size=net.n_parameters) * 1e4
    Trainer(net, solver=SOLVERS[name]).fit(X, Y, epochs=20)
    assert np.isfinite(net.parameters).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_a_start_that_is_not_finite_is_an_error(name):
    X, Y = data()
    for bad in (np.nan, np.inf):
        net = network()
        net.parameters[3] = bad
        with pytest.raises(DivergenceError, match="not finite"):
            Trainer(net, solver=SOLVERS[name]).fit(X, Y, epochs=3)
    net = network()
    X[5, 1] = np.nan
    before = net.parameters.copy()
    with pytest.raises(InputError, match="X holds nan at row 5, column 1"):
        Trainer(net, solver=SOLVERS[name]).fit(X, Y, epochs=3)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_classification_by_the_generalised_gauss_newton_matrix(output):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 2))
    label = (np.hypot(*X.T) > 0.7).astype(int)
    noisy = np.where(rng.random(300) < 0.1, 1 - label, label)
    Y = np.eye(2)[noisy] if output == "softmax" else noisy[:, None].astype(float)
    net = network((2, 6, Y.shape[1]), output_activation=output)
    trainer = Trainer(net, solver=LevenbergMarquardt(), loss="cross_entropy", l2=1e-4)
    history = trainer.fit(X, Y, epochs=200)
    assert history.stop_reason in ("gradient_tolerance", "step_tolerance", "mu_max")
    _, g = net.gradient(X, Y, loss="cross_entropy")
    start = 0
    for W, b in zip(net.weights, net.biases, strict=True):
        g[start : start + W.size] += 1e-4 * W.reshape(-1)
        start += W.size + b.size
    assert np.abs(g).max() < 1e-6
    predicted = net.predict(X).argmax(1) if output == "softmax" else net.predict(X)[:, 0] > 0.5
    assert (predicted == label).mean() > 0.9


@pytest.mark.parametrize(("loss", "output"), [("log_cosh", "identity"), ("gamma", "exp")])
@pytest.mark.parametrize("weighted", [False, True])
def test_other_losses_reach_the_minimum_of_lbfgs(loss, output, weighted):
    """Outliers on one side, and amounts whose noise grows with them."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 2))
    mean = 1 + X[:, :1] - X[:, 1:] ** 2
    if loss == "gamma":
        Y = rng.gamma(5, np.exp(mean) / 5)
    else:
        Y = mean + rng.normal(0, 0.1, (300, 1)) + 30 * (rng.random((300, 1)) < 0.05)
    options = {"sample_weight": rng.uniform(0, 2, 300)} if weighted else {}
    ends = []
    for solver in (LevenbergMarquardt(), LBFGS(gradient_tolerance=1e-9, loss_tolerance=0)):
        net = network((2, 5, 1), output_activation=output)
        trainer = Trainer(net, solver=solver, loss=loss, l2=1e-2)
        history = trainer.fit(X, Y, epochs=2000, gradient_norm=True, **options)
        assert history["gradient_norm"][-1] < 1e-6
        ends.append(history["loss"][-1] + history["penalty"][-1])
    assert history.n_epochs < 2000
    assert ends[0] == pytest.approx(ends[1], rel=1e-8)
    # The outliers do not pull it away.
    assert np.abs(net.predict(X) - (np.exp(mean) if loss == "gamma" else mean)).mean() < 0.5


@pytest.mark.parametrize("start", [-800, 800])
def test_a_missing_target_has_no_curvature(start, dtype):
    """With gamma it would be 0 / 0 where exp(O) is 0; loss and gradient do without it."""
    net = network((1, 2), output_activation="exp", dtype=dtype)
    net.parameters[:] = 0, 0, 0, start
    x = np.linspace(-1, 1, 8)[:, None]
    y = np.column_stack([np.exp(x), np.full(8, np.nan)])
    trainer = Trainer(net, solver=LevenbergMarquardt(), loss="gamma")
    history = trainer.fit(x, y, epochs=10, missing="ignore")
    assert history["loss"][-1] < 1e-6
    assert net.parameters[1] == 0
    assert net.parameters[3] == start


def test_float32_reaches_its_own_floor():
    x = np.linspace(-1, 1, 400)[:, None]
    y = np.sinc(10 * x / np.pi)
    net = network((1, 12, 1), dtype="float32")
    history = Trainer(net, solver=LevenbergMarquardt()).fit(x, y, epochs=100)
    assert history["loss"][-1] < 1e-6
    assert net.parameters.dtype == np.float32


# -- the evidence ----------------------------------------------------------------------------------


def test_the_evidence_finds_the_noise_and_few_parameters():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (400, 1))
    Y = np.sin(3 * X) + 0.1 * rng.normal(size=X.shape)
    net = network((1, 30, 1))
    history = Trainer(net, solver=BayesianRegularization()).fit(X, Y, epochs=300)
    assert 0.09 < history["beta"][-1] ** -0.5 < 0.11
    assert history["effective_parameters"][-1] < 20 < net.n_parameters
    grid = np.linspace(-0.95, 0.95, 100)[:, None]
    assert np.abs(net.predict(grid) - np.sin(3 * grid)).max() < 0.06


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LevenbergMarquardt, BayesianRegularization])
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"mu": 0}, InputError, "mu is 0"),
        ({"mu": np.nan}, InputError, "mu is nan"),
        ({"mu": "1"}, InputTypeError, "mu is '1'"),
        ({"mu_increase": 1.0}, InputError, "mu_increase is 1; expected a number above 1"),
        ({"mu_decrease": 1.0}, InputError, "mu_decrease is 1"),
        ({"mu_max": 1e-6}, InputError, "expected mu no larger than mu_max"),
        ({"damping": "levenberg"}, InputError, "damping is 'levenberg'"),
        ({"scaling": "unit"}, InputError, "scaling is 'unit'"),
        ({"geodesic": 1}, InputTypeError, "geodesic is 1"),
        ({"gradient_tolerance": -1}, InputError, "gradient_tolerance is -1"),
        ({"step_tolerance": -1}, InputError, "step_tolerance is -1"),
    ],
)
def test_settings_out_of_range(kind, settings, error, message):
    with pytest.raises(error, match=message):
        kind(**settings)


@pytest.mark.parametrize(
    ("solver", "settings", "message"),
    [
        (LevenbergMarquardt(), {"loss": "absolute_error"}, "expected 'squared_error' or 'cross"),
        (LevenbergMarquardt(), {"loss": lambda Y, Y_hat: (0.0, Y)}, "Use cbackprop.LBFGS"),
        (LevenbergMarquardt(), {"l1": 0.1}, "l1 is 0.1"),
        (BayesianRegularization(), {"l2": 0.1}, "finds the penalty itself"),
        (BayesianRegularization(), {"loss": "cross_entropy"}, "its noise is Gaussian"),
        (LevenbergMarquardt(), {"batch_size": 10}, "whose steps take all rows"),
        (
            LevenbergMarquardt(geodesic=True),
            {"loss": "cross_entropy"},
            "geodesic is True and loss is 'cross_entropy'",
        ),
    ],
)
def test_what_does_not_go_together(solver, settings, message):
    output = "sigmoid" if settings.get("loss") == "cross_entropy" else "identity"
    with pytest.raises(InputError, match=message):
        Trainer(network(output_activation=output), solver=solver, **settings)


def test_keep_posterior_is_a_boolean():
    with pytest.raises(InputTypeError, match="keep_posterior is 1"):
        BayesianRegularization(keep_posterior=1)
