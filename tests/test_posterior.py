"""Error bars: against NumPy from an explicit Jacobian; whose they are; what is refused."""

import copy
import pickle
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import cbackprop
from cbackprop import Network, Posterior
from cbackprop.errors import BusyError, InputError, InputTypeError
from cbackprop.machine import blas_threads
from cbackprop.network import posterior
from cbackprop.network.scaling import Scaling

rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, (50, 3))
ALPHA, BETA = 0.3, 40.0


def network(dtype="float64", *, n_out=2, bias=True, scaled=True):
    net = Network(
        (3, 5, n_out),
        activation="tanh",
        output_activation="identity",
        dtype=dtype,
        bias=bias,
        seed=1,
    )
    if scaled:
        net.input_scaling = Scaling([0.1, 0.2, -0.3], [2, 1, 0.5])
        net.output_scaling = Scaling([5000] * n_out, ([0.01, -0.002] * n_out)[:n_out])
    return net


def explicit_jacobian(net, X):
    """(N, n_out, P) of the scaled outputs of a network with one layer of tanh, in NumPy."""
    if net.input_scaling is not None:
        X = (X - net.input_scaling.shift) * net.input_scaling.scale
    W1, W2 = (W.astype(np.float64) for W in net.weights)
    b1 = net.biases[0].astype(np.float64) if net.bias else 0.0
    Z = np.tanh(X @ W1 + b1)
    J = []
    for x, z in zip(X, Z, strict=True):
        for k in range(W2.shape[1]):
            delta_H = W2[:, k] * (1 - z**2)
            of_W2, of_b2 = np.zeros_like(W2), np.zeros(W2.shape[1])
            of_W2[:, k], of_b2[k] = z, 1
            parts = [np.outer(x, delta_H).ravel(), delta_H, of_W2.ravel(), of_b2]
            J.append(np.concatenate(parts if net.bias else parts[::2]))
    return np.array(J).reshape(len(X), W2.shape[1], -1)


def precision(net):
    """A = beta J^T J + alpha I over all rows."""
    J = explicit_jacobian(net, X).reshape(-1, net.n_parameters)
    return BETA * J.T @ J + ALPHA * np.eye(J.shape[1])


def posterior_of(net):
    A = precision(net)
    effective = len(A) - ALPHA * np.trace(np.linalg.inv(A))
    return Posterior(np.linalg.cholesky(A), ALPHA, BETA, effective, net.parameters)


@pytest.fixture
def net():
    net = network()
    net.posterior = posterior_of(net)
    return net


# ------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize("n_out", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
def test_against_numpy(n_out, bias, scaled, dtype):
    net = network(dtype, n_out=n_out, bias=bias, scaled=scaled)
    net.posterior = posterior_of(net)
    new = rng.uniform(-2, 2, (20, 3))
    Y_hat, std = net.predict(new, return_std=True)
    J = explicit_jacobian(net, new)
    expected = 1 / BETA + np.einsum("nkp,pq,nkq->nk", J, np.linalg.inv(precision(net)), J)
    units = 1 if net.output_scaling is None else np.abs(net.output_scaling.scale)
    assert std.shape == (20, n_out) and std.dtype == Y_hat.dtype == net.dtype
    assert_allclose(std, np.sqrt(expected) / units, rtol=1e-10 if dtype == "float64" else 1e-5)
    assert_array_equal(Y_hat, net.predict(new))


def test_the_noise_alone(net):
    assert net.posterior.noise_std == 1 / np.sqrt(BETA)
    noise = net.posterior.noise_std / np.abs(net.output_scaling.scale)
    _, std = net.predict(X, return_std=True)
    assert (std > noise).all()
    sure = Posterior(np.eye(net.n_parameters) * 1e150, 0.0, BETA, 0, net.parameters)
    net.posterior = sure
    _, std = net.predict(X, return_std=True)
    assert_allclose(std, np.broadcast_to(noise, std.shape), rtol=1e-14)


def test_in_blocks_it_is_the_same(net, monkeypatch):
    whole = net.predict(X, return_std=True)[1]
    for n_rows in (1, 7):
        monkeypatch.setattr(posterior, "BLOCK_BYTES", n_rows * 8 * 2 * net.n_parameters + 5)
        assert_allclose(net.predict(X, return_std=True)[1], whole, rtol=1e-13)


def test_blocks_are_bounded(monkeypatch):
    net = network(n_out=1)
    net.posterior = posterior_of(net)
    sizes = []

    def blocks_at(*arguments):
        for which, block in blocks(*arguments):
            sizes.append(block.nbytes)
            yield which, block

    blocks = posterior.jacobians.blocks_at
    monkeypatch.setattr(posterior.jacobians, "blocks_at", blocks_at)
    many = np.broadcast_to(X[:1], (300_000, 3))
    _, std = net.predict(many, return_std=True)
    assert max(sizes) <= 1 << 25 and sum(sizes) == 300_000 * net.n_parameters * 8
    assert_allclose(std, std[0, 0], rtol=1e-12)


def test_the_same_bits_for_any_number_of_threads(dtype):
    net = Network((3, 40, 2), activation="tanh", dtype=dtype, seed=1)
    P = net.n_parameters
    factor = np.tril(rng.uniform(-0.1, 0.1, (P, P))) + 3 * np.eye(P)
    net.posterior = Posterior(factor, 1.0, 1.0, 1.0, net.parameters)
    new = rng.uniform(-1, 1, (3000, 3))
    one = net.predict(new, return_std=True, n_threads=1)
    for n_threads in (2, 5, None):
        more = net.predict(new, return_std=True, n_threads=n_threads)
        assert one[1].tobytes() == more[1].tobytes()


def test_blas_runs_on_one_thread(net, monkeypatch):
    """Its bits depend on their number, and two such products at once could be wrong."""
    solve, inside = posterior.solve_triangular, []

    def watched(*arguments, **settings):
        inside.append(blas_threads._library.n_contexts)
        return solve(*arguments, **settings)

    monkeypatch.setattr(posterior, "solve_triangular", watched)
    net.predict(X, return_std=True)
    assert inside == [1]
    assert blas_threads._library.n_contexts == 0


# ------------------------------------------------------------------------------- to whom it belongs


def test_without_one():
    with pytest.raises(
        InputError,
        match=r"return_std is True and the network has no posterior; fit with "
        r"BayesianRegularization\(keep_posterior=True\)$",
    ):
        network().predict(X, return_std=True)
    assert network().posterior is None
    with pytest.raises(InputTypeError, match="return_std is 'yes'"):
        network().predict(X, return_std="yes")
    assert network().predict(X, return_std=np.False_).shape == (50, 2)


def changed(net, what):
    if what == "parameters":
        net.parameters[3] += 1e-9
    elif what == "initialize":
        net.initialize(seed=3)
    elif what == "fit":
        cbackprop.Trainer(net).fit(X, np.zeros((50, 2)), epochs=1)
    elif what == "input_scaling":
        net.input_scaling = None
    else:
        net.output_scaling = Scaling([5000, 5000], [0.01, 0.002])


@pytest.mark.parametrize(
    "what", ["parameters", "initialize", "fit", "input_scaling", "output_scaling"]
)
def test_a_posterior_of_other_parameters_is_not_used(net, what):
    expected, known = net.predict(X, return_std=True)[1], net.posterior
    before = net.__getstate__()
    changed(net, what)
    with pytest.raises(
        InputError,
        match=r"posterior is of other parameters or scalings, which have changed since; fit with "
        r"BayesianRegularization\(keep_posterior=True\) again",
    ):
        net.predict(X, return_std=True)
    assert net.posterior is known
    assert net.predict(X).shape == (50, 2)
    # Where all is as it was, it is of use again.
    net.parameters[:] = before["parameters"]
    net.input_scaling = Scaling([0.1, 0.2, -0.3], [2, 1, 0.5])
    net.output_scaling = before["output_scaling"]
    assert_array_equal(net.predict(X, return_std=True)[1], expected)
    net.posterior = None
    assert net.posterior is None
    with pytest.raises(InputError, match="has no posterior"):
        net.predict(X, return_std=True)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.loads])
def test_copies_and_pickles_carry_it(net, duplicate):
    got = duplicate(pickle.dumps(net) if duplicate is pickle.loads else net)
    assert_array_equal(got.predict(X, return_std=True)[1], net.predict(X, return_std=True)[1])
    if duplicate is not pickle.loads:
        assert got.posterior is net.posterior
    assert not got.posterior.factor.flags.writeable
    got.parameters[0] += 1
    with pytest.raises(InputError, match="have changed since"):
        pickle.loads(pickle.dumps(got)).predict(X, return_std=True)
    net.predict(X, return_std=True)


class Knowing(cbackprop.Trainer):
    """As with a solver that finds a posterior."""

    def fit(self, X, Y, **settings):
        history = super().fit(X, Y, **settings)
        if settings.get("restarts") is None:
            eye, parameters = np.eye(self.network.n_parameters), self.network.parameters
            self.network._set_posterior(Posterior(eye, 0, 1, history["loss"][-1], parameters))
        return history


def test_the_best_of_restarts_brings_its_own():
    net = network(n_out=1, scaled=False)
    history = Knowing(net, solver=cbackprop.LBFGS()).fit(X, X[:, 0], epochs=2, restarts=3)
    assert net.posterior.effective_parameters == history["loss"][-1]
    assert_array_equal(net.posterior.parameters, net.parameters)
    assert net.predict(X, return_std=True)[1].shape == (50, 1)


def test_restarts_that_find_none_leave_it():
    net = network(n_out=1)
    net.posterior = known = posterior_of(net)
    trainer = cbackprop.Trainer(net, solver=cbackprop.LBFGS())
    trainer.fit(X, X[:, 0], epochs=2, restarts=2)
    assert net.posterior is known
    with pytest.raises(InputError, match="have changed since"):
        net.predict(X, return_std=True)


def test_it_is_not_set_during_a_fit(net):
    known, claim = net.posterior, object()
    net._begin_fit("fit", claim)
    try:
        with pytest.raises(BusyError, match="cannot set posterior"):
            net.posterior = None
        assert net.posterior is known
        net._set_posterior(None)  # as the fit itself does
        assert net.posterior is None
    finally:
        net._end_fit(claim)


def test_from_many_threads(net):
    expected, found = net.predict(X, return_std=True)[1], []

    def run():
        found.extend(net.predict(X, return_std=True)[1] for _ in range(20))

    crowd = [threading.Thread(target=run) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len(found) == 80
    assert all(std.tobytes() == expected.tobytes() for std in found)


def test_one_that_does_not_fit_is_refused(net):
    known = net.posterior
    for value, error, words in (
        (np.eye(3), InputTypeError, "posterior is an array .*; expected a Posterior or None"),
        (Posterior(np.eye(2), 1, 1, 1, [1.0, 2.0]), InputError, "is of 2 parameters; expected 32"),
    ):
        with pytest.raises(error, match=words):
            net.posterior = value
    with pytest.raises(InputTypeError, match="of float64; expected float32, the network's: Post"):
        network("float32").posterior = known
    assert net.posterior is known


# ----------------------------------------------------------------------------------- its own checks


def test_it_is_frozen_and_a_copy():
    factor, parameters = np.array([[2.0, 7.0], [1.0, 3.0]]), np.array([1.0, 2.0], np.float32)
    known = Posterior(factor, 1, 2, 0, parameters)
    assert known.factor.tolist() == [[2, 0], [1, 3]]
    factor[:], parameters[:] = 0, 0
    assert known.factor.tolist() == [[2, 0], [1, 3]]
    assert known.parameters.tolist() == [1, 2] and known.parameters.dtype == np.float32
    assert type(known.alpha) is type(known.beta) is type(known.effective_parameters) is float
    with pytest.raises(AttributeError):
        known.alpha = 3
    with pytest.raises(ValueError, match="read-only"):
        known.factor[0, 0] = 1
    assert repr(known) == "Posterior of 2 parameters, 0.0 effective; alpha 1, beta 2"
    assert Posterior([[1.0]], 0, 1, 1, [0.0]).factor.flags.c_contiguous
    assert Posterior(np.asfortranarray(np.eye(3)), 0, 1, 1, np.ones(3)).factor.flags.c_contiguous


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"factor": np.eye(2)}, InputError, r"factor has shape \(2, 2\); expected \(3, 3\)"),
        ({"factor": np.ones(9)}, InputError, r"factor has shape \(9,\); expected \(3, 3\)"),
        ({"factor": "L"}, InputTypeError, "factor is 'L'"),
        ({"factor": np.diag([1, np.nan, 1])}, InputError, r"factor\[1, 1\] is nan; expected fin"),
        ({"factor": np.diag([1, 0.0, 1])}, InputError, r"factor\[1, 1\] is 0; expected a diag"),
        ({"factor": np.diag([1, 1, -2.0])}, InputError, r"factor\[2, 2\] is -2; expected a diag"),
        ({"parameters": np.ones((3, 1))}, InputError, r"parameters has shape \(3, 1\)"),
        ({"parameters": []}, InputError, r"parameters has shape \(0,\)"),
        ({"parameters": [1, np.inf, 1]}, InputError, r"parameters\[1\] is inf; expected finite"),
        ({"alpha": -1}, InputError, "alpha is -1"),
        ({"alpha": np.nan}, InputError, "alpha is nan"),
        ({"beta": 0}, InputError, "beta is 0"),
        ({"beta": None}, InputTypeError, "beta is None"),
        ({"effective_parameters": -0.1}, InputError, "effective_parameters is -0.1"),
        ({"effective_parameters": 3.1}, InputError, "is 3.1; expected at most 3"),
    ],
)
def test_what_cannot_be(change, error, words):
    good = {
        "factor": np.eye(3),
        "alpha": 1,
        "beta": 1,
        "effective_parameters": 2,
        "parameters": np.ones(3),
    }
    with pytest.raises(error, match=words):
        Posterior(**good | change)


def test_bad_rows_are_told_as_ever(net):
    bad = X.copy()
    bad[4, 1] = np.nan
    with pytest.raises(InputError, match="X holds nan at row 4"):
        net.predict(bad, return_std=True)
