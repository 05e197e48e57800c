"""Error bars of a fit: the posterior against NumPy, and their coverage of data not seen."""

import numpy as np
import pytest

from cbackprop import (
    LBFGS,
    BayesianRegularization,
    EarlyStopping,
    LevenbergMarquardt,
    Network,
    Trainer,
)
from cbackprop.errors import InputError, InputMemoryError
from cbackprop.machine import memory


def network(sizes=(1, 8, 1), seed=1, **options):
    options = {"activation": "tanh", "output_activation": "identity", **options}
    return Network(sizes, init="nguyen_widrow", seed=seed, **options)


def noisy_sine(n_rows, seed=0, noise=0.1, n_out=1):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n_rows, 1))
    return X, np.sin(3 * X) * np.ones(n_out) + noise * rng.normal(size=(n_rows, n_out))


@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_posterior_is_that_of_the_explicit_jacobian(n_out, weighted, dtype):
    X, Y = noisy_sine(120, n_out=n_out)
    net = network((1, 6, n_out), dtype=dtype)
    weight = np.random.default_rng(1).integers(0, 3, 120).astype(float) if weighted else None
    trainer = Trainer(net, solver=BayesianRegularization(keep_posterior=True), seed=0)
    trainer.fit(X, Y, epochs=50, sample_weight=weight, validation_data=np.arange(20))
    posterior = net.posterior
    alpha, beta = trainer.history["alpha"][-1], trainer.history["beta"][-1]
    assert (posterior.alpha, posterior.beta) == (alpha, beta)
    J = net.parameter_jacobian(X[20:]).astype(float).reshape(-1, net.n_parameters)
    if weighted:
        w = weight[20:] / weight[20:].mean()
        J *= np.sqrt(np.repeat(w, n_out))[:, None]
    A = beta * J.T @ J + alpha * np.eye(net.n_parameters)
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(
        posterior.factor @ posterior.factor.T, A, rtol=tolerance, atol=tolerance * np.abs(A).max()
    )
    gamma = net.n_parameters - alpha * np.trace(np.linalg.inv(A))
    np.testing.assert_allclose(posterior.effective_parameters, gamma, rtol=100 * tolerance)
    Y_hat, std = net.predict(X[:9], return_std=True)
    np.testing.assert_array_equal(Y_hat, net.predict(X[:9]))
    j = net.parameter_jacobian(X[:9]).astype(float)
    expected = np.sqrt(1 / beta + np.einsum("nkp,pq,nkq->nk", j, np.linalg.inv(A), j))
    np.testing.assert_allclose(std, expected, rtol=1e-6 if dtype == "float64" else 1e-2)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_coverage_of_new_measurements(scaled):
    """Of 95 % intervals on fresh data, over a dozen data sets."""
    inside = []
    for seed in range(12):
        X, Y = noisy_sine(200, seed)
        X_new, Y_new = noisy_sine(500, 1000 + seed)
        if scaled:
            Y, Y_new = 300 + 40 * Y, 300 + 40 * Y_new
        net = network(seed=seed)
        if scaled:
            net.fit_scaling(X, Y, inputs="minmax", targets="minmax")
        Trainer(net, solver=BayesianRegularization(keep_posterior=True)).fit(X, Y, epochs=200)
        Y_hat, std = net.predict(X_new, return_std=True)
        inside.append(np.abs(Y_new - Y_hat) <= 1.96 * std)
    assert 0.935 < np.mean(inside) < 0.965


def test_error_bars_grow_where_there_are_no_data():
    X, Y = noisy_sine(60)
    net = network()
    Trainer(net, solver=BayesianRegularization(keep_posterior=True)).fit(X, Y, epochs=200)
    near, far = (net.predict(np.array([[x]]), return_std=True)[1][0, 0] for x in (0.0, 3.0))
    assert far > 2 * near


def test_the_posterior_is_of_the_parameters_that_are_kept():
    X, Y = noisy_sine(80)
    net = network((1, 20, 1))
    trainer = Trainer(net, solver=BayesianRegularization(keep_posterior=True), seed=0)
    trainer.fit(X, Y, epochs=60, validation_data=0.3, early_stopping=EarlyStopping(patience=5))
    np.testing.assert_array_equal(net.posterior.parameters, net.parameters)
    net.predict(X, return_std=True)
    trainer.fit(X, Y, epochs=1)
    net.predict(X, return_std=True)
    Trainer(net, solver=LevenbergMarquardt()).fit(X, Y, epochs=1)
    with pytest.raises(InputError, match="other parameters"):
        net.predict(X, return_std=True)


def test_restarts_keep_the_best_ones_posterior(tmp_path):
    X, Y = noisy_sine(80)
    net = network()
    trainer = Trainer(net, solver=BayesianRegularization(keep_posterior=True), seed=0)
    history = trainer.fit(X, Y, epochs=30, restarts=3)
    assert len(history.restarts) == 3
    totals = [h["loss"][-1] + h["penalty"][-1] for h in history.restarts]
    assert history.best_restart == int(np.argmin(totals))
    Y_hat, std = net.predict(X, return_std=True)
    net.save(tmp_path / "model.safetensors")
    again = Network.load(tmp_path / "model.safetensors").predict(X, return_std=True)
    np.testing.assert_array_equal(again, (Y_hat, std))


def test_restarts_of_levenberg_marquardt_draw_by_nguyen_and_widrow():
    x = np.linspace(-1, 1, 300)[:, None]
    y = np.sinc(10 * x / np.pi)
    net = Network((1, 20, 1), activation="tanh", output_activation="identity", seed=0)
    before = net.parameters.copy()
    trainer = Trainer(net, solver=LevenbergMarquardt(), seed=0)
    history = trainer.fit(x, y, epochs=60, restarts=6, target_loss=5e-9)
    assert [h.stop_reason for h in history.restarts].count("target_loss") >= 5
    assert not np.array_equal(net.parameters, before)
    # And unasked nothing is redrawn.
    net.parameters[:] = before
    Trainer(net, solver=LevenbergMarquardt()).fit(x, y, epochs=0)
    np.testing.assert_array_equal(net.parameters, before)


def test_output_weights_do_not_go_with_a_posterior():
    X, Y = noisy_sine(30, n_out=2)
    trainer = Trainer(network((1, 4, 2)), solver=BayesianRegularization(keep_posterior=True))
    with pytest.raises(InputError, match="noises of different size"):
        trainer.fit(X, Y, epochs=3, output_weight=[1, 2])


def test_no_epochs_no_posterior():
    X, Y = noisy_sine(30)
    net = network()
    Trainer(net, solver=BayesianRegularization(keep_posterior=True)).fit(X, Y, epochs=0)
    assert net.posterior is None


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [LevenbergMarquardt(), BayesianRegularization()])
def test_too_many_parameters_are_told_before_anything_is_allocated(solver):
    net = Network((1000, 300, 10), output_activation="identity", seed=0)
    X, Y = np.zeros((31_000, 1000), np.float32), np.zeros((31_000, 10))
    trainer = Trainer(net, solver=solver)
    before = net.parameters.copy()
    with pytest.raises(InputMemoryError, match=r"with 303,310 parameters needs 1,47\d GB") as error:
        trainer.fit(X, Y, epochs=1)
    assert "cbackprop.LBFGS()" in str(error.value)
    np.testing.assert_array_equal(net.parameters, before)
    # Where there are fewer targets, their number counts.
    history = trainer.fit(X[:3], Y[:3] + 1, epochs=1)
    assert history.n_epochs == 1


def test_the_memory_that_is_there_decides(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10**8)
    net = network((20, 120, 1))
    X, Y = np.zeros((4000, 20)), np.zeros((4000, 1))
    with pytest.raises(InputMemoryError, match=r"needs 0\.\d+ GB of memory, and 0\.100 GB are"):
        Trainer(net, solver=LevenbergMarquardt()).fit(X, Y, epochs=1)
    Trainer(net, solver=LBFGS()).fit(X, Y, epochs=1)
