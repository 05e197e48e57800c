"""Each activation by its one specification: code, range, gain, names; its way through the core."""

import itertools
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate

from cbackprop import LBFGS, SGD, Adam, LevenbergMarquardt, Network, Trainer, reference
from cbackprop.activations import ACTIVATIONS, HIDDEN, canonical, every_name
from cbackprop.core.gradient import batch
from cbackprop.core.gradient.plan import Plan
from cbackprop.core.simd import dispatch
from cbackprop.core.testing import kernels
from cbackprop.errors import InputError, InputTypeError
from cbackprop.sklearn import MLPClassifier, MLPRegressor
from test_gauss_newton import assert_near, system

SPECS = list(ACTIVATIONS.values())
KEEPING = [spec.name for spec in SPECS if spec.keeps_slope]
NEW = [name for name in HIDDEN if name not in ("identity", "sigmoid", "tanh", "relu")]
LEVEL = dispatch.level()
ALIASES = {
    "logsig": "sigmoid",
    "tansig": "tanh",
    "purelin": "identity",
    "poslin": "relu",  # MATLAB
    "elliotsig": "softsign",
    "radbas": "gaussian",
    "sigmoid_symmetric": "tanh",
    "elliot_symmetric": "softsign",
    "sin_symmetric": "sine",  # FANN
    "linear": "identity",
    "swish": "silu",
    "exponential": "exp",  # Keras
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "SiLU": "silu",
    "GELU": "gelu",  # PyTorch
    "ELU": "elu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
    "logistic": "sigmoid",  # scikit-learn
}


def outputs_of(name, h):
    """The core's sigma(h), by the specification's code."""
    z = np.empty_like(h)
    kernels.run_output(LEVEL, ACTIVATIONS[name].code, h, z, 1)
    return z


# ------------------------------------------------------------------------------ the specification


@pytest.mark.parametrize("name", HIDDEN)
def test_the_code_is_the_core_s_number_of_the_formula(name):
    h = np.linspace(-6, 6, 101)
    np.testing.assert_allclose(outputs_of(name, h), reference.ACTIVATIONS[name][0](h), rtol=1e-14)


def test_the_codes_of_output_activations():
    h = np.linspace(-2, 2, 5)
    np.testing.assert_allclose(outputs_of("exp", h), np.exp(h), rtol=1e-15)
    np.testing.assert_allclose(outputs_of("softmax", h), np.exp(h) / np.exp(h).sum(), rtol=1e-15)
    assert len({spec.code for spec in SPECS}) == len(SPECS)
    assert set(HIDDEN) == set(reference.ACTIVATIONS)


@pytest.mark.parametrize("name", HIDDEN)
def test_what_the_derivative_needs(name):
    """From Z alone it is NaN where a layer has to keep it, and else sigma'(H)."""
    h = np.linspace(-2.02, 2, 40)
    z, slope = np.empty_like(h), np.empty_like(h)
    kernels.run_activate_keeping(LEVEL, ACTIVATIONS[name].code, h, z, slope)
    expected = reference.ACTIVATIONS[name][1](h, reference.ACTIVATIONS[name][0](h))
    np.testing.assert_allclose(slope, expected, rtol=1e-13, atol=1e-15)
    delta = np.ones_like(h)
    kernels.run_times_derivative(LEVEL, ACTIVATIONS[name].code, z, delta)
    if ACTIVATIONS[name].keeps_slope:
        assert np.isnan(delta).all()
    else:
        np.testing.assert_allclose(delta, expected, rtol=1e-13)


@pytest.mark.parametrize("name", [spec.name for spec in SPECS if spec.elementwise])
def test_the_range_holds_every_output_and_is_no_wider(name):
    low, high = ACTIVATIONS[name].range
    h = np.concatenate([np.linspace(-40, 40, 80_001), [-1e300, 1e300] if name != "sine" else []])
    z = outputs_of(name, h)
    assert z.min() >= low - 1e-15 and z.max() <= high + 1e-15
    if math.isfinite(low):
        assert z.min() - low < 1e-6
    if math.isfinite(high):
        assert high - z.max() < 1e-6
    if not math.isfinite(high):
        assert z.max() > 1e6


@pytest.mark.parametrize("name", HIDDEN)
def test_the_gain_is_one_over_the_mean_square(name):
    sigma = reference.ACTIVATIONS[name][0]

    def density(u):
        return float(sigma(np.float64(u)) ** 2 * np.exp(-u * u / 2) / np.sqrt(2 * np.pi))

    parts = [scipy.integrate.quad(density, a, b)[0] for a, b in ((-12, 0), (0, 12))]
    assert ACTIVATIONS[name].gain_squared == pytest.approx(1 / sum(parts), rel=1e-9)


def second_moments(activations, n=256):
    """Of the sums H of each layer, with inputs of variance 1 and init="auto"."""
    found = []
    for seed in range(4):
        sizes = (n,) * (len(activations) + 1) + (1,)
        net = Network(sizes, activation=activations, output_activation="identity", seed=seed)
        X = np.random.default_rng(seed).standard_normal((64, n))
        H = reference.layers(net.weights, net.biases, net.activations, X)[0]
        found.append([np.mean(h**2) for h in H[:-1]])
    return np.mean(found, axis=0)


BY_GAIN = [name for name in HIDDEN if ACTIVATIONS[name].init == "gain"]


@pytest.mark.parametrize("name", BY_GAIN)
def test_the_variance_lasts_through_ten_layers(name):
    moments = second_moments([name] * 10)
    assert moments[0] == pytest.approx(1, rel=0.1)
    assert ((moments > 0.4) & (moments < 2.5)).all()


def test_he_s_layers_keep_the_variance_that_the_first_gives():
    moments = second_moments(["relu"] * 10)
    assert moments[0] == pytest.approx(2, rel=0.1)
    assert ((moments > 1) & (moments < 4)).all()


@pytest.mark.parametrize("name", BY_GAIN)
@pytest.mark.parametrize("below", HIDDEN)
def test_the_gain_is_that_of_the_activation_below(below, name):
    first, second = second_moments([below, name])
    expected = first if below in ("relu", "leaky_relu", "identity") else 1
    if ACTIVATIONS[below].init == "gain" or below in ("relu", "identity"):
        assert second == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "identity"])
def test_glorot_s_layers_do_not_vanish_or_explode(name):
    net = Network((256,) * 11 + (1,), activation=name, output_activation="identity", seed=0)
    X = np.random.default_rng(0).standard_normal((64, 256))
    H = reference.layers(net.weights, net.biases, net.activations, X)[0]
    assert 0.05 < np.mean(H[9] ** 2) < 2


# ------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_other_libraries_names(alias, name):
    assert canonical("activation", alias, hidden=False) == name
    if ACTIVATIONS[name].hidden:
        net = Network((2, 3, 1), activation=alias, output_activation=alias, seed=0)
        assert net.activations == (name, name)
        assert repr(net) == repr(Network((2, 3, 1), activation=name, output_activation=name))


def test_no_name_means_two_activations():
    names = [name for spec in SPECS for name in (spec.name, *spec.aliases)]
    assert len(set(names)) == len(names)
    assert every_name(hidden=True) < set(names)


@pytest.mark.parametrize("bad", ["step", "Relu", "", "exp", "softmax", "exponential"])
def test_unknown_names_are_refused(bad):
    with pytest.raises(InputError, match=f"activation is {bad!r}; expected one of 'identity'"):
        Network((2, 3, 1), activation=bad)
    with pytest.raises(InputError, match=r"activation\[1\] is"):
        Network((2, 3, 3, 1), activation=["silu", bad])


def test_the_nearest_name_is_suggested():
    with pytest.raises(InputError, match=r"did you mean 'leaky_relu'\?"):
        Network((2, 3, 1), activation="leakyrelu")
    with pytest.raises(InputTypeError, match="activation is"):
        Network((2, 3, 1), activation=7)


# ------------------------------------------------------------------------- through the whole core


@pytest.fixture
def everywhere_threads():
    before = batch.set_worthwhile(0.0)
    yield
    batch.set_worthwhile(before)


def net_of(sizes, hidden, output="identity", **options):
    return Network(sizes, activation=hidden, output_activation=output, **{"seed": 3, **options})


def data(n_rows, n_in, n_out, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n_rows, n_in))
    return X, rng.uniform(0.1, 0.9, (n_rows, n_out))


def with_plan(net, **choices):
    """The network with another partition of its work."""
    net._plan = Plan(net._plan.sizes, net._plan.activations, net.bias, net.dtype.name, **choices)
    return net


@pytest.mark.parametrize("name", NEW)
def test_tiles_are_leaves_are_the_formulas(name, dtype, everywhere_threads):
    X, Y = data(150, 4, 3)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    gradients = []
    for partition, n_threads in itertools.product(("leaves", "tiles"), (1, 3)):
        net = net_of((4, 21, 9, 3), name, name, dtype=dtype)
        with_plan(net, block_rows=32, leaf_rows=64, super_rows=96, partition=partition)
        gradients.append(net.gradient(X, Y, n_threads=n_threads)[1])
    np.testing.assert_array_equal(gradients[0], gradients[1])
    np.testing.assert_array_equal(gradients[2], gradients[3])
    _, dW, db = reference.gradient(
        *([W.astype(float) for W in net.weights], [b.astype(float) for b in net.biases]),
        *(net.activations, X.astype(dtype).astype(float), Y.astype(dtype).astype(float)),
    )
    exact = np.concatenate([part.ravel() for pair in zip(dW, db, strict=True) for part in pair])
    for gradient in gradients:
        assert np.abs(gradient - exact).max() <= tolerance * np.abs(exact).max()


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("output", ["identity", "itself"])
@pytest.mark.parametrize("partition", ["leaves", "tiles"])
def test_the_gauss_newton_matrix(name, output, partition, everywhere_threads):
    output = name if output == "itself" else output
    net = with_plan(net_of((3, 6, 2), name, output), partition=partition)
    X, Y = data(70, 3, 2)
    A, g = explicit_by_parameters(net, X, Y)
    for n_threads in (1, 2):
        got_A, got_g, *_ = system(net, X, Y, n_threads=n_threads)
        assert_near(got_A, A, 1e-12)
        assert_near(got_g, g, 1e-12)


def explicit_by_parameters(net, X, Y):
    """J'J and J'r of the squared error from the Jacobian by complex steps."""
    p = net.parameters
    columns = []
    for j in range(p.size):
        step = p.astype(complex)
        step[j] += 1e-30j
        weights, biases, at = [], [], 0
        for W in net.weights:
            weights.append(step[at : at + W.size].reshape(W.shape))
            at += W.size
            biases.append(step[at : at + W.shape[1]])
            at += W.shape[1]
        columns.append(reference.predict(weights, biases, net.activations, X).imag / 1e-30)
    J = np.stack(columns, -1).reshape(-1, p.size)
    r = (net.predict(X) - Y).reshape(-1)
    return J.T @ J, J.T @ r


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("output", ["sigmoid", "itself"])
@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("n_hidden", [4, 11])
def test_whole_steps_train_as_batches_do(name, output, rows, n_hidden, dtype):
    output = name if output == "itself" else output
    X, Y = data(24, 3, 1)
    found = []
    for few_rows in (4, 0):
        net = net_of((3, n_hidden, 1), name, output, dtype=dtype)
        with_plan(net, few_rows=few_rows)
        trainer = Trainer(net, solver=SGD(learning_rate=0.05), batch_size=rows, seed=1)
        history = trainer.fit(X, Y, epochs=3)
        found.append(np.append(net.parameters, history["loss"]))
    tolerance = 1e-11 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(found[0], found[1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", NEW)
def test_predictions_losses_and_jacobians_agree_with_their_definitions(name):
    net = net_of((3, 5, 4, 2), [name, "tanh"], name)
    X, Y = data(40, 3, 2)
    Y_hat = reference.predict(net.weights, net.biases, net.activations, X)
    np.testing.assert_allclose(net.predict(X), Y_hat, rtol=1e-13, atol=1e-15)
    assert net.loss(X, Y) == pytest.approx(((Y_hat - Y) ** 2).sum() / 80, rel=1e-13)
    J = net.parameter_jacobian(X).reshape(-1, net.n_parameters)
    gradient = J.T @ (Y_hat - Y).reshape(-1) / 40
    np.testing.assert_allclose(net.gradient(X, Y)[1], gradient, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(net.backward(X, (Y_hat - Y) / 40), gradient, rtol=1e-10, atol=1e-15)
    assert net.check_gradient(X, Y).max_error < 1e-8


@pytest.mark.parametrize("name", KEEPING)
def test_other_losses_and_weights_through_a_kept_slope(name):
    net = net_of((3, 5, 2), name, name)
    X, Y = data(30, 3, 2)
    weights = {"sample_weight": np.linspace(0, 2, 30), "output_weight": [0.5, 2.0]}
    missing = np.where(np.random.default_rng(1).random(Y.shape) < 0.2, np.nan, Y)
    for loss in ("squared_error", "huber", "absolute_error", "quantile"):
        for targets, options in ((Y, {}), (Y, weights), (missing, {"missing": "ignore"})):
            assert net.check_gradient(X, targets, loss=loss, **options).max_error < 1e-7


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("solver", [LevenbergMarquardt(), LBFGS(), Adam(learning_rate=0.01)])
def test_every_kind_of_solver_learns(name, solver):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (80, 1))
    Y = 0.3 * np.sin(4 * X) + 0.5
    net = net_of((1, 8, 1), name)
    before = net.loss(X, Y)
    trainer = Trainer(net, solver=solver, seed=0)
    trainer.fit(X, Y, epochs=60 if isinstance(solver, Adam) else 25)
    assert net.loss(X, Y) < 0.2 * before
    again = net_of((1, 8, 1), name)
    for _ in range(5):
        epochs = 12 if isinstance(solver, Adam) else 5
        trainer = trainer if _ else Trainer(again, solver=solver, seed=0)
        trainer.fit(X, Y, epochs=epochs)
    np.testing.assert_array_equal(again.parameters, net.parameters)


@pytest.mark.parametrize("name", NEW)
def test_files_and_pickles(name, tmp_path):
    net = net_of((2, 3, 1), name, name)
    net.save(tmp_path / "net.safetensors")
    X = np.linspace(-1, 1, 8).reshape(4, 2)
    for copy in (Network.load(tmp_path / "net.safetensors"), pickle.loads(pickle.dumps(net))):
        assert copy.activations == (name, name)
        np.testing.assert_array_equal(copy.predict(X), net.predict(X))


def test_targets_out_of_reach_are_told():
    X, Y = data(20, 2, 1)
    for name, low in (("softplus", "0"), ("gelu", "-0.169971"), ("sine", "-1")):
        trainer = Trainer(net_of((2, 3, 1), "tanh", name))
        with pytest.warns(UserWarning, match=f"a {name} output only reaches \\[{low}, "):
            trainer.fit(X, Y - 5, epochs=1)


def test_a_layer_without_slopes_has_no_more_memory():
    """The plan of a tanh network lays out what it did; a silu layer adds its own units alone."""
    X = np.zeros((4, 3))
    for name in ("tanh", "silu"):
        net = net_of((3, 5, 2), name)
        np.testing.assert_allclose(net.predict(X), net.predict(X[:1]).repeat(4, axis=0))


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("name", [*NEW, "swish", "radbas", "sigmoid"])
def test_estimators_take_the_names(name):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    settings = {"hidden_layer_sizes": (6,), "activation": name, "max_iter": 30, "random_state": 0}
    model = MLPRegressor(solver="lbfgs", **settings).fit(X, X[:, 0])
    assert model._network.activations[0] == canonical("", name, hidden=True)
    assert model.score(X, X[:, 0]) > 0.5
    classifier = MLPClassifier(solver="lbfgs", **settings).fit(X, X[:, 0] > 0)
    assert classifier.score(X, X[:, 0] > 0) > 0.8


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_mathematics_page_names_it_and_its_aliases(spec):
    page = Path(__file__).parents[1].joinpath("docs/mathematics.md").read_text(encoding="utf-8")
    assert f"| `{spec.name}`" in page
    assert all(f"`{alias}`" in page for alias in spec.aliases)


@pytest.mark.slow  # importing torch takes seconds
@pytest.mark.parametrize("name", NEW)
def test_gradients_equal_pytorchs(name, torch):
    peers = {
        "leaky_relu": "LeakyReLU",
        "elu": "ELU",
        "softplus": "Softplus",
        "silu": "SiLU",
        "gelu": "GELU",
        "softsign": "Softsign",
    }
    others = {"sine": torch.sin, "gaussian": lambda h: torch.exp(-h * h)}
    sigma = others.get(name) or getattr(torch.nn, peers[name])()
    X, Y = data(40, 3, 2)
    net = net_of((3, 7, 2), name, name)
    W1, b1, W2, b2 = (
        torch.tensor(part.copy(), requires_grad=True)
        for pair in zip(net.weights, net.biases, strict=True)
        for part in pair
    )
    Y_hat = sigma(sigma(torch.tensor(X) @ W1 + b1) @ W2 + b2)
    L = ((Y_hat - torch.tensor(Y)) ** 2).sum() / 80
    L.backward()
    exact = np.concatenate([part.grad.numpy().ravel() for part in (W1, b1, W2, b2)])
    loss, gradient = net.gradient(X, Y)
    assert loss == pytest.approx(L.item(), rel=1e-13)
    np.testing.assert_allclose(gradient, exact, rtol=0, atol=1e-14 * np.abs(exact).max())
