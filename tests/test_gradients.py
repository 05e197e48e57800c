"""The gradient against complex steps through the specification, for every kind of network."""

import itertools

import numpy as np
import pytest

from cbackprop import Network, reference

HIDDEN = {0: (), 1: (4,), 2: (4, 3), 3: (3, 4, 2)}
ACTIVATIONS = list(reference.ACTIVATIONS)

# Every pair of a hidden and an output activation of the first four; the others beside two of them,
# once of which sigma' is taken from Z, and beside themselves.
FIRST = ("identity", "sigmoid", "tanh", "relu")
PAIRS = list(itertools.product(FIRST, FIRST))
for name in ACTIVATIONS:
    if name not in FIRST:
        PAIRS += [(name, "identity"), (name, "sigmoid"), ("tanh", name), (name, name)]
PAIRS += [("silu", "elu"), ("softsign", "gelu")]


def pairs(depth):
    """The pairs, or without hidden layers each output activation once."""
    return PAIRS if depth else [("sigmoid", name) for name in ACTIVATIONS]


def case(activation, output_activation, depth, bias, n_out, dtype):
    """A network and data on which every unit has a say, none is saturated or near a relu's kink."""
    for seed in itertools.count():
        rng = np.random.default_rng(seed)
        net = Network(
            (3, *HIDDEN[depth], n_out),
            activation=activation,
            output_activation=output_activation,
            bias=bias,
            dtype=dtype,
            seed=seed,
        )
        for b in net.biases:
            b[:] = rng.uniform(-0.5, 0.5, size=b.shape)
        X = rng.uniform(-1, 1, size=(6, 3)).astype(np.float32)
        Y = 3 * rng.integers(2, size=(6, n_out)) - 1.5
        units = reference.outputs(net.weights, net.biases, net.activations, X)[1:]
        if all(map(well_behaved, net.activations, units)):
            return net, X, Y
    return None


def well_behaved(activation, Z):
    if activation == "relu":
        return (Z > 0).any(axis=0).all() and np.abs(Z[Z != 0]).min() > 1e-3
    if activation in ("leaky_relu", "elu"):
        return np.abs(Z).min() > 1e-3
    if activation == "softsign":
        return np.abs(Z).max() < 0.97
    return activation not in ("sigmoid", "tanh") or np.abs(Z).max() < 0.97


def by_complex_step(net, X, Y, sample_weight=None):
    """dL/dp for each parameter p: imag L(p + ih) / h, from a stack of as many networks."""
    P = net.parameters + 1e-30j * np.eye(net.n_parameters)
    weights, biases, start = [], [], 0
    for W in net.weights:
        weights.append(P[:, start : start + W.size].reshape(-1, *W.shape))
        start += W.size
        if net.bias:
            biases.append(P[:, np.newaxis, start : start + W.shape[1]])
            start += W.shape[1]
    return reference.loss(weights, biases, net.activations, X, Y, sample_weight).imag / 1e-30


def arrays(net, flat):
    """The parts of a flat vector that belong to W1, b1, W2, ..."""
    sizes = [n for W in net.weights for n in ([W.size, W.shape[1]] if net.bias else [W.size])]
    return np.split(flat, np.cumsum(sizes)[:-1])


def assert_equal(net, got, exact, tolerance):
    for part, expected in zip(arrays(net, got), arrays(net, exact), strict=True):
        assert np.abs(part - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("depth", HIDDEN)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_against_complex_steps(depth, bias, weighted):
    for (activation, output_activation), n_out in itertools.product(pairs(depth), range(1, 6)):
        net, X, Y = case(activation, output_activation, depth, bias, n_out, "float64")
        weight = np.array([1, 0, 2, 0.5, 3, 1.0]) if weighted else None
        loss, gradient = net.gradient(X, Y, sample_weight=weight)
        biases = net.biases if bias else ()
        expected = reference.loss(net.weights, biases, net.activations, X, Y, weight)
        assert loss == pytest.approx(expected, rel=1e-13)
        assert_equal(net, gradient, by_complex_step(net, X, Y, weight), 1e-12)


@pytest.mark.parametrize("depth", HIDDEN)
@pytest.mark.parametrize("bias", [True, False])
def test_float32_against_float64(depth, bias):
    eps = np.finfo(np.float32).eps
    for (activation, output_activation), n_out in itertools.product(pairs(depth), range(1, 6)):
        net, X, Y = case(activation, output_activation, depth, bias, n_out, "float32")
        wide = case(activation, output_activation, depth, bias, n_out, "float64")[0]
        wide.parameters[:] = net.parameters
        loss, gradient = net.gradient(X, Y)
        assert gradient.dtype == np.float32
        exact_loss, exact = wide.gradient(X, Y)
        assert loss == pytest.approx(exact_loss, rel=1e-5)
        for part, expected in zip(arrays(net, gradient), arrays(net, exact), strict=True):
            # A bias's gradient may be a sum that cancels: then its error is that of its terms.
            bound = max(1e-5 * np.abs(expected).max(), 4 * eps * np.abs(exact).max())
            assert np.abs(part - expected).max() <= bound


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "identity"])
def test_by_finite_differences_as_a_user_would(activation):
    net, X, Y = case(activation, "sigmoid", 1, True, 2, "float64")
    _, gradient = net.gradient(X, Y)
    for i in range(net.n_parameters):
        kept = net.parameters[i]
        net.parameters[i] = kept + 1e-6
        above = net.loss(X, Y)
        net.parameters[i] = kept - 1e-6
        below = net.loss(X, Y)
        net.parameters[i] = kept
        assert gradient[i] == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-9)


def test_the_kink_of_relu():
    """At h = 0 the derivative is 0."""
    net = Network((1, 1, 1), activation="relu", output_activation="relu", bias=False)
    net.parameters[:] = 0
    assert not net.gradient([[1.0]], [[1.0]])[1].any()
