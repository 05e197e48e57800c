"""The gradient against complex steps through the specification, for every kind of network."""

import itertools

import numpy as np
import pytest

from cbackprop import Network, reference
from cbackprop.errors import InputError, InputTypeError

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


# --- the sum over the rows in place of their mean ---------------------------------------------

# By leaves, several of them, and by tiles.
SUMMED = {"leaves": ((3, 5, 2), 4000), "tiles": ((300, 240, 2), 64)}


def summed_case(shape, dtype, n_rows=None):
    sizes, most_rows = SUMMED[shape]
    rng = np.random.default_rng(1)
    n_rows = most_rows if n_rows is None else n_rows
    X, Y = rng.standard_normal((n_rows, sizes[0])), rng.uniform(size=(n_rows, sizes[-1]))
    return Network(sizes, dtype=dtype, seed=2), X, Y, rng.uniform(size=n_rows)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SUMMED)
def test_the_mean_is_the_sum_over_the_rows_weights(shape, dtype):
    net, X, Y, weight = summed_case(shape, dtype)
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    for w in (None, weight):
        mean, of_mean = net.gradient(X, Y, sample_weight=w)
        total, of_sum = net.gradient(X, Y, sample_weight=w, reduction="sum")
        N = len(X) if w is None else w.sum()
        assert total == pytest.approx(N * mean, rel=1e-13)
        assert of_sum.dtype == net.dtype
        assert_equal(net, of_sum, N * of_mean, tolerance)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SUMMED)
def test_with_a_power_of_two_rows_they_have_the_same_digits(shape, dtype):
    net, X, Y, _ = summed_case(shape, dtype, 64)
    mean, of_mean = net.gradient(X, Y)
    assert net.gradient(X, Y, reduction="mean")[0] == mean
    np.testing.assert_array_equal(net.gradient(X, Y, reduction="mean")[1], of_mean)
    total, of_sum = net.gradient(X, Y, reduction="sum")
    assert total == 64 * mean
    np.testing.assert_array_equal(of_sum, 64 * of_mean)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SUMMED)
def test_a_mean_has_the_same_digits_for_weights_of_any_power_of_two(shape, dtype):
    """Of those too whose cast, products or sum would overflow or round to 0."""
    net, X, Y, weight = summed_case(shape, dtype, 60)
    weight = np.float32(weight).astype(float)  # leaves digits to subnormal weights
    expected, of_mean = net.gradient(X, Y, sample_weight=weight)
    for power in (-1030, -400, -140, -70, -3, 5, 70, 140, 400, 1017):
        scaled = np.ldexp(weight, power)
        np.testing.assert_array_equal(np.ldexp(scaled, -power), weight)
        loss, gradient = net.gradient(X, Y, sample_weight=scaled)
        assert loss == net.loss(X, Y, sample_weight=scaled) == expected
        np.testing.assert_array_equal(gradient, of_mean)
        trace = net.trace(X, Y, sample_weight=scaled)
        assert trace.loss == pytest.approx(loss, rel=1e-12 if dtype == "float64" else 1e-6)
        assert_equal(net, trace.gradient, gradient, 1e-12 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("weight", [5e-324, 1e-300, 1e-46, 1e-40, 1e38, 1e300, 1e306])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_mean_does_not_depend_on_the_scale_of_the_weights(weight, dtype):
    net, X, Y, _ = summed_case("leaves", dtype, 10)
    loss, of_mean = net.gradient(X, Y)
    weighted, gradient = net.gradient(X, Y, sample_weight=np.full(10, weight))
    assert weighted == pytest.approx(loss, rel=1e-6)
    assert_equal(net, gradient, of_mean, 1e-13 if dtype == "float64" else 1e-5)


def test_sums_of_parts_of_the_rows_add_up():
    net, X, Y, weight = summed_case("leaves", "float64")
    parts = [slice(0, 1000), slice(1000, 1100), slice(1100, None)]
    found = [
        net.gradient(X[rows], Y[rows], sample_weight=weight[rows], reduction="sum")
        for rows in parts
    ]
    total, gradient = net.gradient(X, Y, sample_weight=weight, reduction="sum")
    assert total == pytest.approx(sum(loss for loss, _ in found), rel=1e-13)
    assert_equal(net, gradient, sum(part for _, part in found), 1e-12)


def test_a_sum_has_other_losses_too():
    net = Network((3, 4, 2), output_activation="softmax", seed=1)
    X = np.random.default_rng(0).standard_normal((10, 3))
    Y = np.eye(2)[np.arange(10) % 2]
    mean, of_mean = net.gradient(X, Y, loss="cross_entropy", output_weight=[1, 2])
    total, of_sum = net.gradient(X, Y, loss="cross_entropy", output_weight=[1, 2], reduction="sum")
    assert total == pytest.approx(10 * mean, rel=1e-14)
    np.testing.assert_allclose(of_sum, 10 * of_mean, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("reduction", ["none", "Mean", "avg", None, 1])
def test_a_reduction_that_there_is_not(reduction):
    net, X, Y, _ = summed_case("leaves", "float64", 4)
    with pytest.raises((InputError, InputTypeError), match=r"reduction is .*'mean'.*'sum'"):
        net.gradient(X, Y, reduction=reduction)
