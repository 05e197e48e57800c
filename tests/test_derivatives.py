"""Jacobians against complex steps through the specification; identities; the gradient's check."""

import itertools
import os
import signal
import sys
import threading

import numpy as np
import pytest

from cbackprop import Network, reference
from cbackprop.core.gradient import batch
from cbackprop.core.gradient import jacobians as core
from cbackprop.errors import InputError, InputMemoryError, InputTypeError
from cbackprop.network import jacobians
from cbackprop.network.scaling import Scaling
from test_gradients import ACTIVATIONS, HIDDEN, case, pairs

EXP, SOFTMAX = 4, 5


@pytest.fixture
def everywhere_threads():
    """Threads on work of any size, as if it repaid them."""
    before = batch.set_worthwhile(0.0)
    yield
    batch.set_worthwhile(before)


def split(net, p):
    """Weights and biases of a flat vector of any dtype."""
    weights, biases, start = [], [], 0
    for W in net.weights:
        weights.append(p[start : start + W.size].reshape(W.shape))
        start += W.size
        if net.bias:
            biases.append(p[start : start + W.shape[1]])
            start += W.shape[1]
    return weights, biases


def softmax(H):
    e = np.exp(H - H.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# Of the output layer only.
OUTPUTS = {"exp": np.exp, "softmax": softmax}


def predict(net, p, X):
    """The specification's Y_hat, of complex parameters and inputs too, with both scalings."""
    scaling, activations = net.input_scaling, net.activations
    if scaling is not None:
        X = (X - scaling.shift) * scaling.scale
    if activations[-1] in OUTPUTS:
        H = reference.predict(*split(net, p), (*activations[:-1], "identity"), X)
        Y_hat = OUTPUTS[activations[-1]](H)
    else:
        Y_hat = reference.predict(*split(net, p), activations, X)
    scaling = net.output_scaling
    return Y_hat if scaling is None else Y_hat / scaling.scale + scaling.shift


def by_complex_step(f, x):
    """d f / d x_j for each element j of the last axis of x, on a new last axis."""
    columns = []
    for j in range(x.shape[-1]):
        step = x.astype(complex)
        step[..., j] += 1e-30j
        columns.append(f(step).imag / 1e-30)
    return np.stack(columns, axis=-1)


def exact(net, X):
    """Both Jacobians in float64."""
    p, X = net.parameters.astype(np.float64), np.asarray(X, np.float64)
    return (
        by_complex_step(lambda X: predict(net, p, X), X),
        by_complex_step(lambda p: predict(net, p, X), p),
    )


def assert_near(got, expected, tolerance):
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * max(np.abs(expected).max(), 1e-3)


def cases(depth, bias, dtype, n_outs=range(1, 6)):
    for (activation, output_activation), n_out in itertools.product(pairs(depth), n_outs):
        yield case(activation, output_activation, depth, bias, n_out, dtype)[:2]


@pytest.mark.parametrize("depth", HIDDEN)
@pytest.mark.parametrize("bias", [True, False])
def test_against_complex_steps(depth, bias):
    for net, X in cases(depth, bias, "float64"):
        by_inputs, by_parameters = exact(net, X)
        assert_near(net.jacobian(X), by_inputs, 1e-12)
        assert_near(net.parameter_jacobian(X), by_parameters, 1e-12)


@pytest.mark.parametrize("depth", HIDDEN)
@pytest.mark.parametrize("bias", [True, False])
def test_float32_against_complex_steps(depth, bias):
    for net, X in cases(depth, bias, "float32", (1, 4)):
        by_inputs, by_parameters = exact(net, X)
        jacobian = net.jacobian(X)
        assert jacobian.dtype == np.float32
        assert_near(jacobian, by_inputs, 1e-5)
        assert_near(net.parameter_jacobian(X), by_parameters, 1e-5)


@pytest.mark.parametrize("depth", HIDDEN)
def test_the_input_gradient_is_a_vector_times_the_jacobian(depth, dtype):
    rng = np.random.default_rng(depth)
    for net, X in cases(depth, True, dtype, (1, 3)):
        G = rng.standard_normal((len(X), net.sizes[-1]))
        expected = np.einsum("nk,nkj->nj", G, net.jacobian(X))
        tolerance = 1e-13 if dtype == "float64" else 1e-5
        assert_near(net.input_gradient(X, G), expected, tolerance)
        if net.sizes[-1] == 1:
            assert_near(net.input_gradient(X), net.jacobian(X)[:, 0], 0)
            assert_near(net.input_gradient(X, G[:, 0]), expected, tolerance)


def big(dtype="float64", sizes=(5, 9, 3)):
    """More rows than a block, and than a leaf, holds."""
    net = Network(sizes, activation="tanh", seed=1, dtype=dtype)
    rng = np.random.default_rng(0)
    return net, rng.standard_normal((1111, sizes[0])), rng.uniform(size=(1111, sizes[-1]))


def test_the_squared_errors_gradient_is_the_residual_times_the_jacobian(dtype):
    for sizes in ((5, 9, 3), (5, 3), (5, 4, 6, 1)):
        net, X, Y = big(dtype, sizes)
        J = net.parameter_jacobian(X).astype(np.float64)
        expected = np.einsum("nkp,nk->p", J, net.predict(X) - Y) / len(X)
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        assert_near(net.gradient(X, Y)[1], expected, tolerance)
        assert_near(net.backward(X, Y), np.einsum("nkp,nk->p", J, Y), tolerance)


@pytest.mark.parametrize("sizes", [(5, 9, 3), (60, 40, 30, 2), (60, 350, 33), (4, 2)])
def test_the_threads_change_no_bit(sizes, dtype, everywhere_threads):
    """Leaves and tiles, kept and unkept transposes."""
    net, X, _ = big(dtype, sizes)
    X = X[:600]
    net.input_scaling = Scaling.standard(X)
    G = np.random.default_rng(1).standard_normal((len(X), sizes[-1]))
    few = X[: max(5, 10_000_000 // (8 * sizes[-1] * net.n_parameters))]
    for compute in (
        lambda n: net.jacobian(X, n_threads=n),
        lambda n: net.input_gradient(X, G, n_threads=n),
        lambda n: net.parameter_jacobian(few, n_threads=n),
    ):
        one = compute(1).tobytes()
        assert compute(2).tobytes() == one
        assert compute(5).tobytes() == one


def test_rows_stand_for_themselves(dtype):
    """A row's derivatives do not depend on the rows around it: each block is the right one."""
    net, X, _ = big(dtype)
    for name in ("jacobian", "parameter_jacobian"):
        whole = getattr(net, name)(X)
        for row in (0, 255, 256, 700, 1110):
            alone = getattr(net, name)(X[row : row + 1])
            assert_near(whole[row : row + 1], alone, 1e-13 if dtype == "float64" else 1e-5)


def test_rows_meet_their_own_derivative_of_the_loss(dtype):
    net, X, G = big(dtype)
    expected = np.einsum("nk,nkj->nj", G, net.jacobian(X))
    assert_near(net.input_gradient(X, G), expected, 1e-13 if dtype == "float64" else 1e-5)


def test_a_wide_network_against_complex_steps():
    """By tiles, several blocks, W^T of the last layer not kept."""
    rng = np.random.default_rng(2)
    net = Network((150, 230, 33), activation="tanh", output_activation="identity", seed=2)
    assert net._plan.partition == "tiles"
    X = rng.standard_normal((70, 150))
    Z = np.tanh(X @ net.weights[0] + net.biases[0])
    expected = np.einsum("hk,nh,jh->nkj", net.weights[1], 1 - Z * Z, net.weights[0])
    assert_near(net.jacobian(X), expected, 1e-12)
    J = net.parameter_jacobian(X[:2])
    sizes = [150 * 230, 230, 230 * 33]
    W1, b1, W2, b2 = np.split(J, np.cumsum(sizes), axis=2)
    delta = np.einsum("hk,nh->nkh", net.weights[1], (1 - Z * Z)[:2])
    assert_near(b1, delta, 1e-12)
    assert_near(W1.reshape(2, 33, 150, 230), np.einsum("nj,nkh->nkjh", X[:2], delta), 1e-12)
    assert_near(b2, np.broadcast_to(np.eye(33), (2, 33, 33)), 0)
    W2 = W2.reshape(2, 33, 230, 33)
    assert_near(W2, np.einsum("nh,kj->nkhj", Z[:2], np.eye(33)), 1e-12)


# ------------------------------------------------------------------------------------------ scaling


def test_input_scaling_is_part_of_the_derivatives(dtype):
    net, X, _ = big(dtype)
    X = 100 * X[:50] + 7
    net.input_scaling = Scaling.minmax(X)
    by_inputs, by_parameters = exact(net, X)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert np.abs(by_inputs).max() < 0.1
    assert np.abs(net.jacobian(X) - by_inputs).max() <= tolerance * np.abs(by_inputs).max()
    assert_near(net.parameter_jacobian(X), by_parameters, tolerance)
    G = np.ones((50, 3))
    assert_near(net.input_gradient(X, G), by_inputs.sum(axis=1), tolerance)


def test_target_scaling_is_part_of_the_derivatives(dtype):
    net = Network((5, 9, 3), output_activation="identity", dtype=dtype, seed=1)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, 5)), rng.standard_normal((50, 3)) * [0.1, 20, 3000] + 7
    net.input_scaling, net.output_scaling = Scaling.standard(X), Scaling.standard(Y)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for k, name in itertools.product(range(3), ("jacobian", "parameter_jacobian")):
        expected = exact(net, X)[name == "parameter_jacobian"]
        assert_near(getattr(net, name)(X)[:, k], expected[:, k], tolerance)
    G = np.array([[10, 0.1, 0.001]] * 50)
    expected = np.einsum("nk,nkj->nj", G, exact(net, X)[0])
    assert_near(net.input_gradient(X, G), expected, tolerance)
    assert net.check_gradient(X, Y).max_error < (1e-8 if dtype == "float64" else 1e-5)


def test_an_outputs_factor_multiplies_its_derivatives(dtype):
    net, X, _ = big(dtype)
    factor = np.array([0.5, -4, 8], dtype)  # powers of two: exact
    G = np.random.default_rng(1).integers(-3, 3, (len(X), 3)).astype(dtype)
    for kernel, width, argument in (
        (core.jacobian, 5, ()),
        (core.parameter_jacobian, net.n_parameters, ()),
        (core.input_gradient, 5, (G,)),
    ):
        plain, scaled = (np.empty((len(X), *[3] * (not argument), width), dtype) for _ in range(2))
        scaled_G = (G * factor,) if argument else ()
        assert kernel(net._plan, net.parameters, X, *scaled_G, plain, 1)
        assert kernel(net._plan, net.parameters, X, *argument, scaled, 1, None, factor)
        expected = plain if argument else plain * factor[:, np.newaxis]
        np.testing.assert_array_equal(scaled, expected)


# ----------------------------------------------------------------------------- the last layer's own


@pytest.mark.parametrize("output_activation", OUTPUTS)
@pytest.mark.parametrize("n_out", [1, 2, 5])
@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
def test_networks_of_exp_and_softmax(output_activation, n_out, hidden, dtype):
    net = Network(
        (3, *hidden, n_out),
        activation="tanh",
        output_activation=output_activation,
        dtype=dtype,
        seed=n_out,
    )
    X = np.random.default_rng(n_out).uniform(-1, 1, (9, 3)).astype(np.float32)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    by_inputs, by_parameters = exact(net, X)
    assert_near(net.jacobian(X), by_inputs, tolerance)
    assert_near(net.parameter_jacobian(X), by_parameters, tolerance)
    G = np.random.default_rng(0).standard_normal((9, n_out))
    assert_near(net.input_gradient(X, G), np.einsum("nk,nkj->nj", G, by_inputs), tolerance)


@pytest.mark.parametrize(("code", "sigma"), [(EXP, np.exp), (SOFTMAX, softmax)])
@pytest.mark.parametrize("n_out", [1, 2, 5])
def test_exp_and_softmax_against_complex_steps(code, sigma, n_out, dtype):
    rng = np.random.default_rng(n_out)
    H = 3 * rng.standard_normal((7, n_out))
    G = rng.standard_normal((7, n_out))
    expected = np.einsum("nk,nkj->nj", G, by_complex_step(sigma, H))
    got = G.astype(dtype)
    core.output_derivative(code, sigma(H).astype(dtype), got)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 if dtype == "float64" else 1e-5)


def test_an_overflowed_exponential_leaves_the_other_outputs_alone():
    got = np.array([[0.0, 2.0], [1.0, 0.0]])
    core.output_derivative(EXP, np.array([[np.inf, 3.0], [np.inf, 3.0]]), got)
    np.testing.assert_array_equal(got, [[0, 6], [np.inf, 0]])


# -------------------------------------------------------------------------- rows, memory, arguments


@pytest.mark.parametrize("name", ["jacobian", "input_gradient", "parameter_jacobian"])
def test_where_the_rows_stand_changes_nothing(name, dtype):
    net = Network((4, 6, 1), seed=3, dtype=dtype)
    X = np.random.default_rng(3).integers(-9, 9, (31, 4)).astype(dtype)
    expected = getattr(net, name)(X).tobytes()
    wide = np.zeros((31, 9), dtype)
    wide[:, 3:7] = X
    frozen = X.copy()
    frozen.setflags(write=False)
    other = np.float32 if dtype == "float64" else np.float64
    unaligned = np.frombuffer(b"." + X.tobytes(), np.uint8)[1:].view(dtype).reshape(X.shape)
    for same in (
        *(wide[:, 3:7], X[::-1].copy()[::-1], np.asfortranarray(X), frozen, unaligned),
        *(X.astype(other), X.astype(int), X.tolist(), X.astype(X.dtype.newbyteorder())),
    ):
        assert getattr(net, name)(same).tobytes() == expected


def test_the_parameters_of_the_call_count(dtype):
    net = Network((3, 4, 2), seed=4, dtype=dtype)
    before = net.parameters.copy()
    X = np.ones((2, 3))
    first = net.jacobian(X)
    np.testing.assert_array_equal(net.parameters, before)
    net.parameters[:] *= 2
    assert not np.array_equal(net.jacobian(X), first)


def test_out_is_filled_and_returned(dtype):
    net, X, _ = big(dtype)
    out = np.full((len(X), 3, net.n_parameters), np.nan, dtype)
    assert net.parameter_jacobian(X, out=out) is out
    assert out.tobytes() == net.parameter_jacobian(X).tobytes()


def test_out_may_overlap_x():
    net = Network((3, 4, 1), seed=4)
    memory = np.random.default_rng(0).standard_normal(6 * net.n_parameters)
    X = memory[:18].reshape(6, 3)
    expected = net.parameter_jacobian(X.copy())
    out = memory.reshape(6, 1, net.n_parameters)
    assert net.parameter_jacobian(X, out=out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("rows", [None, 1, 256, 500, 5000])
def test_blocks_of_rows_make_the_whole(rows, dtype):
    net, X, _ = big(dtype)
    whole = net.parameter_jacobian(X)
    parts = list(net.parameter_jacobian_blocks(X, rows=rows))
    assert [part.start for part, _ in parts] == list(range(0, len(X), rows or len(X)))
    for which, block in parts:
        assert_near(block, whole[which], 1e-13 if dtype == "float64" else 1e-5)


def test_blocks_hold_a_bounded_number_of_bytes():
    net = Network((100, 100, 10), seed=1)
    X = np.random.default_rng(0).standard_normal((50, 100))
    _, block = next(net.parameter_jacobian_blocks(X))
    assert jacobians.BLOCK_BYTES / 2 < block.nbytes <= jacobians.BLOCK_BYTES


def test_blocks_are_of_the_parameters_at_the_call():
    net, X, _ = big()
    whole = net.parameter_jacobian(X)
    blocks = net.parameter_jacobian_blocks(X, rows=256)
    net.parameters[:] = 0
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), whole)


def test_blocks_are_refused_at_the_call_and_bad_numbers_at_their_block():
    net, X, _ = big()
    with pytest.raises(InputError, match="rows is 0"):
        net.parameter_jacobian_blocks(X, rows=0)
    with pytest.raises(InputError, match="X has 4 columns"):
        net.parameter_jacobian_blocks(X[:, :4])
    X[700, 2] = np.nan
    blocks = net.parameter_jacobian_blocks(X, rows=256)
    next(blocks)
    next(blocks)
    with pytest.raises(InputError, match="X holds nan at row 700, column 2"):
        next(blocks)


@pytest.mark.parametrize("name", ["jacobian", "input_gradient", "parameter_jacobian"])
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.ones((5, 2)), InputError, "X has 2 columns"),
        (np.ones((0, 3)), InputError, "X is empty"),
        (np.ones(3), InputError, "X has 1 dimension"),
        (np.ones((2, 3, 1)), InputError, "X has 3 dimensions"),
        ([["a", "b", "c"]], InputTypeError, "X holds text"),
        ([[1.0, np.nan, 0]], InputError, "X holds nan at row 0, column 1"),
        (None, InputTypeError, "X is None"),
    ],
)
def test_bad_rows_are_named(name, X, error, message):
    net = Network((3, 4, 1))
    with pytest.raises(error, match=message):
        getattr(net, name)(X)


@pytest.mark.parametrize(
    ("G", "error", "message"),
    [
        (None, InputError, r"has 2 outputs; expected one .*, \(5, 2\)\. jacobian\(X\)"),
        (np.ones((5, 3)), InputError, "dL_dY_hat has 3 columns"),
        (np.ones((4, 2)), InputError, "X has 5 rows and dL_dY_hat has 4"),
        (np.full((5, 2), np.inf), InputError, "dL_dY_hat holds inf at row 0, column 0"),
        ("abc", InputTypeError, "dL_dY_hat is 'abc'"),
    ],
)
def test_a_bad_derivative_of_the_loss_is_named(G, error, message):
    with pytest.raises(error, match=message):
        Network((3, 4, 2)).input_gradient(np.ones((5, 3)), G)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((5, 2, 25)), InputError, r"out has shape \(5, 2, 25\); expected \(5, 2, 26\)"),
        (np.empty((5, 2, 26), np.float32), InputTypeError, "out has dtype float32"),
        (np.empty((26, 2, 5)).T, InputError, "out is not C-contiguous"),
        ([1.0], InputTypeError, "out is a list"),
    ],
)
def test_a_bad_out_is_named(out, error, message):
    with pytest.raises(error, match=message):
        Network((3, 4, 2)).parameter_jacobian(np.ones((5, 3)), out=out)


def test_more_than_memory_is_told_before_it_is_taken():
    net = Network((3, 1000, 2))
    X = np.broadcast_to(np.zeros(3), (10**10, 3))
    needed = 10**10 * 2 * 6002 * 8
    with pytest.raises(
        InputMemoryError, match=rf"needs {needed:,} bytes.*parameter_jacobian_blocks"
    ):
        net.parameter_jacobian(X)
    with pytest.raises(InputMemoryError, match="fewer rows of X"):
        net.jacobian(np.broadcast_to(np.zeros(3), (10**15, 3)))
    with pytest.raises(InputMemoryError, match="fewer rows of X"):
        net.input_gradient(np.broadcast_to(np.zeros(3), (10**15, 3)))


def test_the_core_refuses_what_does_not_fit():
    net = Network((3, 4, 2))
    plan, p, X = net._plan, net.parameters, np.ones((5, 3))
    out = np.empty((5, 2, 3))
    for arguments, message in (
        ((p, X[:, :2], out, 1), "number of inputs"),
        ((p, X, out[:4], 1), "out has"),
        ((p[:-1], X, out, 1), "parameters has"),
        ((p, X, out, 1, None, np.ones(3)), "factor has"),
        ((p, X.astype(int), out, 1), "row source"),
    ):
        with pytest.raises(ValueError, match=message):
            core.jacobian(plan, *arguments)
    with pytest.raises(ValueError, match="G has not X's rows"):
        core.input_gradient(plan, p, X, np.ones((5, 3)), np.empty((5, 3)), 1)
    with pytest.raises(ValueError, match="G is missing"):
        core.input_gradient(plan, p, X, None, np.empty((5, 3)), 1)
    with pytest.raises((OverflowError, ValueError)):
        core.jacobian(plan, p, np.broadcast_to(np.ones(3), (2**60, 3)), out, 1)
    with pytest.raises(ValueError, match="differ in shape"):
        core.output_derivative(SOFTMAX, np.ones((2, 3)), np.ones((3, 2)))
    assert core.jacobian(plan, p, np.ones((0, 3)), np.empty((0, 2, 3)), 1)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent by os.kill")
def test_ctrl_c_ends_a_long_call():
    net = Network((2, 300, 300, 10), seed=1)
    X = np.ones((100_000, 2))
    out = np.full((100_000, 10, 2), np.nan)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        core.jacobian(net._plan, net.parameters, X, out, 1)
    timer.join()
    assert np.isnan(out[-1]).all()


# ----------------------------------------------------------------------------- the gradient's check


@pytest.mark.parametrize("output_activation", ACTIVATIONS)
def test_a_right_gradient_passes_its_check(output_activation, dtype):
    net, X, Y = case("tanh", output_activation, 2, True, 3, dtype)
    before = net.parameters.copy()
    for sample_weight in (None, np.arange(1.0, 7)):
        found = net.check_gradient(X, Y, sample_weight=sample_weight)
        assert found.n_checked == net.n_parameters
        assert found.max_error < (1e-8 if dtype == "float64" else 1e-5)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize(
    ("output_activation", "loss"),
    [
        *(("softmax", "cross_entropy"), ("sigmoid", "cross_entropy"), ("exp", "poisson")),
        *(("identity", "huber"), ("identity", "quantile"), ("identity", "absolute_error")),
    ],
)
def test_the_check_of_every_loss(output_activation, loss, dtype):
    net = Network((3, 4, 2), output_activation=output_activation, dtype=dtype, seed=1)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((9, 3)), np.eye(2)[rng.integers(2, size=9)]
    settings = dict(loss=loss, output_weight=[1, 3], sample_weight=np.arange(9.0))
    bound = 1e-8 if dtype == "float64" else 1e-5
    assert net.check_gradient(X, Y, **settings).max_error < bound
    if output_activation != "softmax":
        Y[3, 1] = np.nan
        assert net.check_gradient(X, Y, missing="ignore", **settings).max_error < bound


@pytest.mark.parametrize(
    ("place", "name"),
    [(0, "W1[0, 0]"), (7, "W1[1, 3]"), (13, "b1[1]"), (16, "W2[0, 0]"), (25, "b2[1]")],
)
def test_a_wrong_gradient_is_found_where_it_is(place, name):
    net = WrongNetwork((3, 4, 2), seed=1)
    net.place = place
    X = np.random.default_rng(0).standard_normal((8, 3))
    found = net.check_gradient(X, np.zeros((8, 2)))
    assert found.worst == name
    assert 0.01 < found.max_error < 1


class WrongNetwork(Network):
    """One derivative is too large by a tenth of the largest."""

    place: int

    def gradient(self, *args, **kwargs):
        loss, gradient = super().gradient(*args, **kwargs)
        gradient[self.place] += 0.1 * np.abs(gradient).max()
        return loss, gradient


def test_the_check_keeps_input_scaling():
    net, X, Y = big()
    net.input_scaling = Scaling.standard(1000 * X)
    assert net.check_gradient(1000 * X, Y).max_error < 1e-8


def test_the_check_looks_at_a_part_of_each_array():
    net = Network((40, 30, 3), seed=1)
    X = np.random.default_rng(0).standard_normal((10, 40))
    found = net.check_gradient(X, np.zeros((10, 3)), per_array=20)
    assert found.n_checked == 20 + 20 + 20 + 3
    assert found.max_error < 1e-8
    names = {name for name, _, _ in jacobians._spread(net.sizes, True, 20)}
    assert names == {"W1", "b1", "W2", "b2"}
    every = list(jacobians._spread(net.sizes, False, 10**6))
    assert [i for _, _, i in every] == list(range(40 * 30 + 30 * 3))


def test_where_nothing_moves_the_check_is_exact():
    net = Network((2, 3, 1), activation="relu", output_activation="relu", bias=False)
    net.parameters[:] = -1
    assert net.check_gradient([[1.0, 1.0]], [1.0]).max_error == 0


def test_the_check_says_nan_where_the_loss_overflows():
    net = Network((2, 1), output_activation="identity", seed=1)
    assert np.isnan(net.check_gradient([[1e200, 1.0]], [1e200]).max_error)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"per_array": 0}, InputError, "per_array is 0"),
        ({"loss": "hinge"}, InputError, "loss is 'hinge'"),
        ({"sample_weight": [1.0]}, InputError, r"sample_weight has shape \(1,\)"),
    ],
)
def test_bad_arguments_of_the_check_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Network((2, 1)).check_gradient(np.ones((3, 2)), np.ones(3), **arguments)


def test_an_interrupted_check_leaves_the_network_as_it_was():
    class Interrupted(Network):
        def loss(self, *args, **kwargs):
            raise KeyboardInterrupt

    net = Interrupted((2, 3, 1), seed=1)
    before = net.parameters.copy()
    with pytest.raises(KeyboardInterrupt):
        net.check_gradient(np.ones((3, 2)), np.ones(3))
    np.testing.assert_array_equal(net.parameters, before)
