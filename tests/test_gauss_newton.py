"""J'J and J'e of the core against the explicit Jacobian, by complex steps; bits and threads."""

import numpy as np
import pytest
import scipy.linalg

from cbackprop import Network, losses
from cbackprop.core.gauss_newton import assemble
from cbackprop.core.gradient import batch
from cbackprop.core.linalg import lapack
from test_derivatives import by_complex_step, predict

PAIRS = [
    *(("squared_error", output) for output in ("identity", "sigmoid", "tanh", "exp", "softmax")),
    ("cross_entropy", "sigmoid"),
    ("cross_entropy", "softmax"),
    ("poisson", "exp"),
    *(("log_cosh", output) for output in ("identity", "sigmoid", "tanh", "exp")),
    ("gamma", "exp"),
]


@pytest.fixture(autouse=True)
def everywhere_threads():
    """Threads on work of any size, as if it repaid them."""
    before = batch.set_worthwhile(0.0)
    yield
    batch.set_worthwhile(before)


def system(
    net, X, Y, *, loss="squared_error", weight=None, dual=False, n_threads=1, rows=None, **options
):
    """(A, g, loss, targets that count), A whole."""
    objective = losses.objective_for(loss, net.dtype, **options)
    M = (len(X) if rows is None else len(rows)) * net.sizes[-1]
    n = min(M, net.n_parameters) if dual else net.n_parameters
    A, g = np.full((n, n), np.nan), np.empty(net.n_parameters)
    weight = None if weight is None else weight.astype(net.dtype)
    answer = assemble.system(
        *(net._plan, objective, net.parameters, X, Y, weight, A, g, n_threads),
        *(net._scaling, net._target_scaling, rows, dual),
    )
    assert answer is not None
    return np.tril(A) + np.tril(A, -1).T, g, *answer


def targets(rng, net, loss, n_rows):
    n_out = net.sizes[-1]
    if loss == "poisson":
        return rng.poisson(2, (n_rows, n_out)).astype(float)
    if loss == "gamma":
        return rng.gamma(2, size=(n_rows, n_out)) + 0.1
    if loss == "cross_entropy" and net.activations[-1] == "softmax":
        return np.eye(n_out)[rng.integers(0, n_out, n_rows)]
    return rng.uniform(0, 1, (n_rows, n_out))


def explicit(net, X, Y, loss, weight):
    """A and g from the Jacobian of O or Y_hat by complex steps and the second derivative of l.

    weight : (N, n_out)
    """
    p = net.parameters.astype(np.float64)
    J = by_complex_step(lambda p: predict(net, p, X), p)  # (N, K, P)
    Y_hat = predict(net, p, X)
    if loss == "squared_error":
        curvature = np.einsum("nk,kj->nkj", weight, np.eye(net.sizes[-1]))
        slope = weight * (Y_hat - Y)
    elif loss == "poisson":  # l = y_hat - y log y_hat, O = log y_hat; J_O = J / y_hat
        J = J / Y_hat[..., None]
        curvature = np.einsum("nk,kj->nkj", weight * Y_hat, np.eye(net.sizes[-1]))
        slope = weight * (Y_hat - Y)
    elif loss == "log_cosh":
        curvature = weight / np.cosh(Y_hat - Y) ** 2
        curvature = np.einsum("nk,kj->nkj", curvature, np.eye(net.sizes[-1]))
        slope = weight * np.tanh(Y_hat - Y)
    elif loss == "gamma":  # l = y / y_hat + log y_hat - log y - 1
        J = J / Y_hat[..., None]
        curvature = np.einsum("nk,kj->nkj", weight * Y / Y_hat, np.eye(net.sizes[-1]))
        slope = weight * (1 - Y / Y_hat)
    elif net.activations[-1] == "sigmoid":
        J = J / (Y_hat * (1 - Y_hat))[..., None]
        curvature = np.einsum("nk,kj->nkj", weight * Y_hat * (1 - Y_hat), np.eye(net.sizes[-1]))
        slope = weight * (Y_hat - Y)
    else:
        linear = Network(
            net.sizes,
            activation=net.activations[0],
            output_activation="identity",
            bias=net.bias,
        )
        linear.parameters[:] = p
        J = by_complex_step(lambda p: predict(linear, p, X), p)
        share = (weight * Y).sum(1)
        curvature = share[:, None, None] * (
            np.einsum("nk,kj->nkj", Y_hat, np.eye(net.sizes[-1]))
            - Y_hat[:, :, None] * Y_hat[:, None]
        )
        slope = share[:, None] * Y_hat - weight * Y
    return np.einsum("nkp,nkj,njq->pq", J, curvature, J), np.einsum("nkp,nk->p", J, slope)


def assert_near(got, expected, tolerance):
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize(("loss", "output"), PAIRS)
@pytest.mark.parametrize("weighted", ["plain", "rows", "columns", "missing"])
def test_the_explicit_jacobian_by_complex_steps(loss, output, weighted, dtype):
    rng = np.random.default_rng(3)
    tolerance = 1e-10 if dtype == "float64" else 2e-4
    for hidden, n_out, bias in (((3,), 1, True), ((5,), 3, False), ((4, 3), 2, True)):
        if n_out == 1 and output == "softmax":
            continue
        net = Network(
            (2, *hidden, n_out),
            activation="tanh",
            output_activation=output,
            bias=bias,
            dtype=dtype,
            init="normal",
            seed=n_out,
        )
        n_rows = 19
        X = rng.normal(size=(n_rows, 2)).astype(dtype)
        Y = targets(rng, net, loss, n_rows).astype(dtype)
        weight, options = np.ones((n_rows, n_out)), {}
        row_weight = None
        if weighted == "rows":
            row_weight = rng.integers(0, 3, n_rows).astype(float)
            weight *= row_weight[:, None]
        elif weighted == "columns":
            options["output_weight"] = rng.uniform(0.5, 2, n_out)
            weight *= options["output_weight"]
        Y_read = Y
        if weighted == "missing":
            options["missing"] = True
            if not (loss == "cross_entropy" and output == "softmax"):
                Y_read = np.where(rng.random(Y.shape) < 0.2, np.nan, Y)
                weight *= ~np.isnan(Y_read)
        A, g, total, counted = system(net, X, Y_read, loss=loss, weight=row_weight, **options)
        expected_A, expected_g = explicit(net, X.astype(float), Y.astype(float), loss, weight)
        assert_near(A, expected_A, tolerance)
        assert_near(g, expected_g, tolerance)
        assert counted == np.count_nonzero(weight)
        assert total > 0


SHAPES = [
    *((3, 7, 2), (4, 30, 3), (2, 6, 5, 1), (40, 12, 2)),
    # J's rows themselves, one output and few inputs: by one tile, several, and beyond the leaves
    *((1, 20, 1), (1, 50, 1), (1, 130, 1)),
    # one unit in a layer; tiles of several segments, and of one that is longer than a tile
    *((3, 1, 2), (2, 4, 1, 1), (2, 1, 3), (20, 21, 1), (2, 140, 2), (150, 2, 3)),
    # one layer; more outputs than inputs; three layers of deltas that do not vanish
    *((5, 1), (6, 4), (2, 3, 9), (3, 4, 5, 6, 2)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("n_rows", [1, 8, 100, 701])
def test_any_number_of_rows_by_leaves_and_by_tiles(shape, n_rows, dtype):
    """P from 6 to 702: with sums of more than 256 KB by tiles."""
    rng = np.random.default_rng(5)
    net = Network(shape, activation="tanh", output_activation="identity", dtype=dtype, seed=1)
    X = rng.normal(size=(n_rows, shape[0])).astype(dtype)
    Y = rng.normal(size=(n_rows, shape[-1])).astype(dtype)
    A, g, _, counted = system(net, X, Y)
    J = net.parameter_jacobian(X).astype(float).reshape(-1, net.n_parameters)
    e = (net.predict(X).astype(float) - Y).reshape(-1)
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    assert_near(A, J.T @ J, tolerance)
    assert_near(g, J.T @ e, tolerance)
    assert counted == n_rows * shape[-1]


def test_more_rows_than_a_super_block():
    """8 MB of factors are 1,987 rows."""
    rng = np.random.default_rng(11)
    net = Network((1, 250, 1), activation="tanh", output_activation="identity", seed=1)
    X, Y = rng.normal(size=(2100, 1)), rng.normal(size=(2100, 1))
    A, g, _, _ = system(net, X, Y, n_threads=2)
    J = net.parameter_jacobian(X)[:, 0]
    assert_near(A, J.T @ J, 1e-12)
    assert_near(g, J.T @ (net.predict(X) - Y)[:, 0], 1e-12)


@pytest.mark.parametrize("shape", [(3, 7, 2), (20, 21, 3), (1, 9, 1), (1, 130, 1)])
@pytest.mark.parametrize("dual", [False, True])
def test_the_bits_do_not_depend_on_the_threads(shape, dual, dtype):
    rng = np.random.default_rng(6)
    net = Network(shape, activation="tanh", output_activation="identity", dtype=dtype, seed=1)
    n_rows = 15 if dual else 1300
    X, Y = rng.normal(size=(n_rows, shape[0])), rng.normal(size=(n_rows, shape[-1]))
    first = system(net, X, Y, dual=dual)
    for n_threads in (2, 3, 7):
        for got, expected in zip(
            system(net, X, Y, dual=dual, n_threads=n_threads), first, strict=True
        ):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 20, 2), (2, 9, 8, 3), (40, 30, 1)])
def test_the_dual_is_the_jacobian_times_its_transpose(shape, bias, dtype):
    rng = np.random.default_rng(7)
    net = Network(
        shape,
        activation="tanh",
        output_activation="sigmoid",
        dtype=dtype,
        bias=bias,
        init="normal",
        seed=1,
    )
    for n_rows in (1, 5, 17, 33, 530):
        X = rng.normal(size=(n_rows, shape[0])).astype(dtype)
        Y = rng.random((n_rows, shape[-1])).astype(dtype)
        weight = rng.integers(0, 3, n_rows).astype(float)
        G, _, _, _ = system(net, X, Y, dual=True, weight=weight)
        if n_rows * shape[-1] >= net.n_parameters:
            continue
        J = net.parameter_jacobian(X).astype(float).reshape(-1, net.n_parameters)
        J *= np.sqrt(np.repeat(weight, shape[-1]))[:, None]
        tolerance = 1e-12 if dtype == "float64" else 1e-4
        assert_near(G, J @ J.T, tolerance)


def test_chosen_rows_and_scaled_data():
    rng = np.random.default_rng(8)
    net = Network((3, 6, 2), activation="tanh", output_activation="identity", seed=1)
    X, Y = rng.normal(3, 2, (90, 3)), rng.normal(5, 3, (90, 2))
    net.fit_scaling(X, Y)
    rows = rng.permutation(90)[:40]
    whole = system(net, X[rows], Y[rows])
    for got, expected in zip(system(net, X, Y, rows=rows), whole, strict=True):
        np.testing.assert_array_equal(got, expected)
    scale = net.output_scaling.scale
    J = (net.parameter_jacobian(X[rows]) * scale[:, None]).reshape(-1, net.n_parameters)
    assert_near(whole[0], J.T @ J, 1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_told(bad):
    net = Network((2, 3, 1), output_activation="identity", seed=1)
    X, Y = np.ones((9, 2)), np.ones((9, 1))
    X[4, 1] = bad
    A, g = np.empty((13, 13)), np.empty(13)
    objective = losses.objective_for("squared_error", net.dtype)
    arguments = (net._plan, objective, net.parameters, X, Y, None, A, g, 1)
    assert assemble.system(*arguments) is None


# -- LAPACK ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 7, 64, 200])
def test_cholesky(n):
    rng = np.random.default_rng(n)
    B = rng.normal(size=(n, n + 3))
    A, b = B @ B.T, rng.normal(size=n)
    # The upper triangle is not read.
    L = np.where(np.tri(n, dtype=bool), A, np.nan)
    assert lapack.factor(L)
    np.testing.assert_allclose(np.tril(L), scipy.linalg.cholesky(A, lower=True), rtol=1e-9)
    x = b.copy()
    lapack.solve(L, x)
    np.testing.assert_allclose(A @ x, b, rtol=1e-6, atol=1e-8 * np.abs(b).max())
    trace = np.trace(np.linalg.inv(A))
    np.testing.assert_allclose(lapack.inverse_trace(L), trace, rtol=1e-8)


@pytest.mark.parametrize(
    "A",
    [
        [[-1.0]],
        [[1.0, 2.0], [2.0, 1.0]],
        [[0.0, 0.0], [0.0, 1.0]],
        [[np.nan]],
        [[1.0, 0.0], [np.nan, 1.0]],
        [[np.inf, 0.0], [0.0, 1.0]],
    ],
)
def test_what_has_no_factor(A):
    assert not lapack.factor(np.array(A))


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="square"):
        lapack.factor(np.ones((2, 3)))
    with pytest.raises(ValueError, match="size"):
        lapack.solve(np.eye(2), np.ones(3))
    net = Network((2, 3, 1), output_activation="identity", seed=1)
    objective = losses.objective_for("squared_error", net.dtype)
    A, g, X, Y = np.empty((13, 13)), np.empty(13), np.ones((4, 2)), np.ones((4, 1))
    for bad in (
        (X[:3], Y, None, A, g, None),
        (X, Y, np.ones(3), A, g, None),
        (X, Y, None, A[:12], g, None),
        (X, Y, None, A, g[:12], None),
        (X, Y, None, A, g, np.array([4])),
        (X, Y, None, A, g, np.array([], dtype=int)),
    ):
        with pytest.raises(ValueError):
            assemble.system(net._plan, objective, net.parameters, *bad[:5], 1, None, None, bad[5])
