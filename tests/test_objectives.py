"""Losses, weights and missing targets in network and trainer; target scaling; losses in Python."""

import pickle

import numpy as np
import pytest

import cbackprop
from cbackprop import LBFGS, SGD, Adam, Huber, Quantile
from cbackprop.errors import InputError, InputTypeError
from cbackprop.reference import losses as reference_losses
from cbackprop.reference.network import outputs

ALLOWED = {
    "squared_error": ("identity", "sigmoid", "tanh", "relu", "exp", "softmax"),
    "cross_entropy": ("sigmoid", "softmax"),
    "poisson": ("exp",),
    "absolute_error": ("identity", "sigmoid", "tanh", "relu", "exp"),
    "huber": ("identity", "sigmoid", "tanh", "relu", "exp"),
    "quantile": ("identity", "sigmoid", "tanh", "relu", "exp"),
    "log_cosh": ("identity", "sigmoid", "tanh", "relu", "exp"),
    "gamma": ("exp",),
}
LOSSES = list(ALLOWED)
PAIRS = [(loss, output) for loss, allowed in ALLOWED.items() for output in allowed]


def targets(loss, output, shape, seed=0):
    rng = np.random.default_rng(seed)
    if output == "softmax":
        Y = rng.uniform(0.1, 1, shape)
        return Y / Y.sum(axis=1, keepdims=True)
    if loss == "poisson":
        return rng.poisson(2.0, shape).astype(float)
    return rng.uniform(0.05, 0.95, shape)


def reference_loss(net, parameters, X, Y, loss, weight, **parameter):
    """1/N sum_n sum_k weight l, for complex parameters too; weight (N, n_out)."""
    weights, biases, start = [], [], 0
    for W in net.weights:
        weights.append(parameters[start : start + W.size].reshape(W.shape))
        start += W.size
        if net.bias:
            biases.append(parameters[start : start + W.shape[1]])
            start += W.shape[1]
    hidden = (*net.activations[:-1], "identity")
    raw = outputs(weights, biases, hidden, X.astype(parameters.dtype))[-1]
    value, _ = reference_losses.loss(loss, net.activations[-1], Y, raw, weight, **parameter)
    return value / len(X)


def complex_step(net, X, Y, loss, weight, **parameter):
    g = np.empty(net.n_parameters)
    for i in range(net.n_parameters):
        p = net.parameters.astype(complex)
        p[i] += 1e-30j
        g[i] = reference_loss(net, p, X, Y, loss, weight, **parameter).imag / 1e-30
    return g


@pytest.mark.parametrize("loss, output", PAIRS)
@pytest.mark.parametrize("n_out", [1, 2, 5])
@pytest.mark.parametrize("weighting", ["none", "rows", "outputs", "missing", "all"])
def test_loss_and_gradient_agree_with_complex_step(loss, output, n_out, weighting):
    """The multi-output factor included.  (Defect 1)"""
    if output == "softmax" and n_out == 1:
        n_out = 3
    rng = np.random.default_rng(n_out)
    net = cbackprop.Network((3, 4, n_out), activation="tanh", output_activation=output, seed=2)
    X, Y = rng.standard_normal((9, 3)), targets(loss, output, (9, n_out))
    kwargs, weight, seen = {}, np.ones((9, n_out)), Y
    if weighting in ("rows", "all"):
        w = rng.uniform(0, 2, 9)
        w[2] = 0
        kwargs["sample_weight"] = w
        weight = weight * (w * 9 / w.sum())[:, None]
    if weighting in ("outputs", "all"):
        kwargs["output_weight"] = rng.uniform(0.2, 2, n_out)
        weight = weight * kwargs["output_weight"]
    if weighting in ("missing", "all"):
        gone = rng.uniform(size=Y.shape) < 0.3
        if output == "softmax":
            gone[:] = gone[:, :1]  # a row's targets sum to 1, or are all missing
        seen = np.where(gone, np.nan, Y)
        kwargs["missing"] = "ignore"
        weight = np.where(gone, 0, weight)
    parameter = {"huber": {"threshold": 0.3}, "quantile": {"quantile": 0.8}}.get(loss, {})
    given = {"huber": Huber(threshold=0.3), "quantile": Quantile(quantile=0.8)}.get(loss, loss)
    value, g = net.gradient(X, seen, loss=given, **kwargs)
    exact = complex_step(net, X, Y, loss, weight, **parameter)
    assert np.abs(g - exact).max() <= 1e-12 * np.abs(exact).max()
    expected = reference_loss(net, net.parameters, X, Y, loss, weight, **parameter)
    assert value == pytest.approx(expected, rel=1e-12)
    assert net.loss(X, seen, loss=given, **kwargs) == pytest.approx(value, rel=1e-13)
    small = pickle.loads(pickle.dumps(net))
    small = cbackprop.Network(
        (3, 4, n_out), activation="tanh", output_activation=output, dtype="float32", seed=2
    )
    assert small.gradient(X, seen, loss=given, **kwargs)[1] == pytest.approx(
        g, abs=2e-5 * max(1, np.abs(g).max())
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("logit", [-1e4, -200.0, -1.0, 0.0, 3.0, 200.0, 1e4])
@pytest.mark.parametrize("y", [0.0, 1.0, 0.25])
def test_cross_entropy_is_taken_from_the_logits(logit, y, dtype):
    """(Defect 9)"""
    net = cbackprop.Network((1, 1), bias=False, dtype=dtype, seed=0)
    net.parameters[:] = 1
    exact = max(logit, 0) - y * logit + np.log1p(np.exp(-abs(logit)))
    value = net.loss([[logit]], [[y]], loss="cross_entropy")
    assert value == pytest.approx(exact, rel=1e-12 if dtype == "float64" else 1e-6, abs=1e-40)
    soft = cbackprop.Network((1, 2), bias=False, output_activation="softmax", dtype=dtype, seed=0)
    soft.parameters[:] = [1, 0]
    value = soft.loss([[logit]], [[y, 1 - y]], loss="cross_entropy")
    assert value == pytest.approx(exact, rel=1e-12 if dtype == "float64" else 1e-6, abs=1e-30)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", ALLOWED["squared_error"])
def test_other_pairs_are_refused_with_the_reason(loss, output):
    net = cbackprop.Network((2, 3, 2), output_activation=output, seed=0)
    if output in ALLOWED[loss]:
        cbackprop.Trainer(net, loss=loss)
        return
    with pytest.raises(InputError, match=f"output activation '{output}'; expected .* this loss: "):
        cbackprop.Trainer(net, loss=loss)
    with pytest.raises(InputError, match="with this loss"):
        net.loss([[0.0, 0]], [[0.0, 1]], loss=loss)


@pytest.mark.parametrize("name", ["exp", "softmax"])
def test_hidden_layers_take_no_output_activation(name):
    with pytest.raises(InputError, match=f"activation is '{name}'; expected"):
        cbackprop.Network((2, 3, 1), activation=name)


@pytest.mark.parametrize(
    "loss, output, Y, words",
    [
        ("cross_entropy", "sigmoid", [[0.5, 2]], r"Y\[0, 1\] is 2; expected targets in \[0, 1\]"),
        ("cross_entropy", "softmax", [[0.5, 0.2]], "row 0 of Y sums to 0.7; expected 1"),
        ("poisson", "exp", [[1, -1]], r"Y\[0, 1\] is -1; expected targets at least 0"),
        ("gamma", "exp", [[1, -1]], r"Y\[0, 1\] is -1; expected targets above 0"),
        ("gamma", "exp", [[0, 1]], r"Y\[0, 0\] is 0; expected targets above 0"),
    ],
)
def test_targets_that_the_loss_has_no_meaning_for(loss, output, Y, words):
    net = cbackprop.Network((1, 2), output_activation=output, seed=0)
    with pytest.raises(InputError, match=words):
        cbackprop.Trainer(net, loss=loss).fit([[1.0]], Y, epochs=1)
    with pytest.raises(InputError, match=words):
        net.gradient([[1.0]], Y, loss=loss)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("weight", [1e-310, 1e-60, 1e60, 1e300])
def test_the_validation_loss_does_not_depend_on_the_scale_of_the_weights(weight, dtype):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((12, 3)), rng.uniform(0.1, 0.9, (12, 2))
    net = cbackprop.Network((3, 4, 2), dtype=dtype, seed=1)
    trainer = cbackprop.Trainer(net)
    history = trainer.fit(X, Y, epochs=1, validation_data=(X, Y, np.full(12, weight)))
    assert history["validation_loss"][-1] == pytest.approx(net.loss(X, Y), rel=1e-6)
    # Against those of the rows that are trained on.
    weights = np.where(np.arange(12) < 8, 1, weight)
    history = trainer.fit(X, Y, epochs=1, sample_weight=weights, validation_data=np.arange(8, 12))
    assert history["validation_loss"][-1] == pytest.approx(net.loss(X[8:], Y[8:]), rel=1e-6)


# --- weights -------------------------------------------------------------------------------------


def test_row_weights_are_repeated_rows_in_full_batch():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((12, 3)), rng.uniform(0.1, 0.9, (12, 2))
    counts = rng.integers(0, 4, 12)
    counts[0] = 0
    nets = [cbackprop.Network((3, 4, 2), seed=1) for _ in range(2)]
    a = cbackprop.Trainer(nets[0], solver=Adam(learning_rate=0.05), batch_size=12)
    a.fit(X, Y, epochs=20, sample_weight=counts)
    rows = np.repeat(np.arange(12), counts)
    b = cbackprop.Trainer(nets[1], solver=Adam(learning_rate=0.05), batch_size=len(rows))
    b.fit(X[rows], Y[rows], epochs=20)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=1e-9)
    np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=1e-11)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_an_intercept_becomes_the_weighted_mean_for_every_batch_size(batch_size):
    """(Defects 2 and 3: some batches have no weight at all.)"""
    y = np.array([0.0, 1, 0, 0, 1, 0, 1, 1, 0, 2])[:, None]
    w = np.array([1.0, 5, 0, 0, 2, 1, 0, 0, 7, 3])
    net = cbackprop.Network((1, 1), output_activation="identity", seed=0)
    net.parameters[:] = 0
    trainer = cbackprop.Trainer(
        net, solver=SGD(learning_rate=1e-3), batch_size=batch_size, seed=1, shuffle=True
    )
    trainer.fit(np.zeros((10, 1)), y, epochs=6000, sample_weight=w)
    mean = (w @ y)[0] / w.sum()
    assert net.predict([[0.0]])[0, 0] == pytest.approx(mean, abs=8e-3)


def test_class_weights():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    labels = np.r_[np.zeros(40, int), np.ones(15, int), np.full(5, 2)]
    Y = np.eye(3)[labels]
    balanced = 60 / (3 * np.bincount(labels))
    nets = [cbackprop.Network((3, 4, 3), output_activation="softmax", seed=1) for _ in range(3)]
    by = [
        {"class_weight": "balanced"},
        {"class_weight": dict(enumerate(balanced))},
        {"sample_weight": balanced[labels]},
    ]
    for net, kwargs in zip(nets, by, strict=True):
        cbackprop.Trainer(net, loss="cross_entropy", seed=3, batch_size=7).fit(
            X, Y, epochs=3, **kwargs
        )
    assert len({net.parameters.tobytes() for net in nets}) == 1
    one = cbackprop.Network((3, 4, 1), seed=1)
    cbackprop.Trainer(one, loss="cross_entropy").fit(
        X, labels > 0, epochs=1, class_weight={0: 2.0, 1.0: 0.5}
    )
    for bad, error, words in (
        ({5: 1.0}, InputError, "class_weight has the class 5, which no row is of"),
        ({1: -1.0}, InputError, r"class_weight\[1\] is -1"),
        ("even", InputTypeError, "class_weight is 'even'"),
    ):
        with pytest.raises(error, match=words):
            cbackprop.Trainer(one, loss="cross_entropy").fit(
                X, labels > 0, epochs=1, class_weight=bad
            )


def test_weights_that_sum_to_nothing():
    net = cbackprop.Network((1, 1), seed=0)
    for rows, w in (([0], [1, 0]), (None, [0, 0])):
        with pytest.raises(InputError, match="weight"):
            cbackprop.Trainer(net).fit(
                [[0.0], [1]], [0.0, 1], epochs=1, sample_weight=w, validation_data=rows
            )


@pytest.mark.parametrize("sizes", [(3, 4, 2), (150, 300, 2)])
def test_missing_targets_count_nothing(sizes):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((90, sizes[0])), rng.uniform(0.1, 0.9, (90, 2))
    gone = rng.uniform(size=Y.shape) < 0.4
    kept = Y.copy()
    Y[gone] = np.nan
    Y.setflags(write=False)
    net = cbackprop.Network(sizes, seed=1)
    # A target that is met exactly adds nothing either.
    filled = np.where(gone, net.predict(X), kept)
    value, g = net.gradient(X, Y, missing="ignore")
    expected, h = net.gradient(X, filled)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(g, h, rtol=1e-9, atol=1e-15)
    history = cbackprop.Trainer(net, batch_size=20, seed=1).fit(
        X, Y, epochs=3, missing="ignore", validation_data=0.3, metric="r2"
    )
    assert np.isfinite(history["loss"]).all() and np.isfinite(history["validation_metric"]).all()
    with pytest.raises(InputError, match=r"Y holds nan at row"):
        cbackprop.Trainer(net).fit(X, Y, epochs=1)
    bad = Y.copy()
    bad[50, 1] = np.inf
    with pytest.raises(InputError, match="Y holds inf at row 50, column 1"):
        cbackprop.Trainer(net, batch_size=20).fit(X, bad, epochs=1, missing="ignore")


# --- losses in Python ----------------------------------------------------------------------------


def half_squares(Y, Y_hat):
    return ((Y - Y_hat) ** 2).sum() / (2 * len(Y)), (Y_hat - Y) / len(Y)


@pytest.mark.parametrize("solver", [SGD(learning_rate=0.3), Adam(), LBFGS()], ids=str)
@pytest.mark.parametrize("sizes", [(3, 4, 2), (150, 300, 2)])
def test_a_loss_in_python_is_trained_as_its_own_formula(solver, sizes):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, sizes[0])), rng.uniform(0.1, 0.9, (50, 2))
    histories, nets, calls = [], [], []

    def loss(Y, Y_hat):
        calls.append(len(Y))
        return half_squares(Y, Y_hat)

    for given in ("squared_error", loss):
        net = cbackprop.Network(sizes, seed=1)
        trainer = cbackprop.Trainer(
            net, solver=solver, loss=given, batch_size=None if solver.full_batch else 9, seed=4
        )
        histories.append(trainer.fit(X, Y, epochs=3, validation_data=[1, 2, 3], metric="r2"))
        nets.append(net)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=1e-9, atol=1e-12)
    for name in ("loss", "validation_loss", "validation_metric"):
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-9)
    if not solver.full_batch:  # 47 rows in batches of 9, and the three of validation
        assert calls == [9, 9, 9, 9, 9, 2, 3] * 3


@pytest.mark.parametrize(
    "loss, error, words",
    [
        (lambda Y, Y_hat: 3.0, InputError, "the loss returned 3.0 .*expected .loss, dloss_dY_hat"),
        (lambda Y, Y_hat: (1.0, Y_hat[:1]), InputError, r"an array of shape \(4, 2\)"),
        (lambda Y, Y_hat: ("x", Y_hat), InputError, "a number and an array"),
        (lambda Y, Y_hat: 1 / 0, ZeroDivisionError, "division"),
        (lambda Y, Y_hat: (np.nan, Y_hat), cbackprop.DivergenceError, "diverged"),
    ],
)
def test_a_loss_in_python_that_fails_leaves_whole_steps(loss, error, words):
    net = cbackprop.Network((3, 4, 2), seed=1)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((8, 3)), rng.uniform(0.1, 0.9, (8, 2))
    before = net.parameters.copy()
    trainer = cbackprop.Trainer(net, loss=loss, batch_size=4)
    with pytest.raises(error, match=words):
        trainer.fit(X, Y, epochs=1)
    np.testing.assert_array_equal(net.parameters, before)
    trainer.loss = "squared_error"
    trainer.fit(X, Y, epochs=1)


def test_a_loss_in_python_has_no_gradient_norm_in_batches():
    """Its derivative is known of a batch, and nothing beyond it may be read."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, 3)), rng.uniform(0.1, 0.9, (50, 2))
    net = cbackprop.Network((3, 4, 2), seed=1)
    with pytest.raises(InputError, match=r"gradient_norm is True and loss is a function .* 9 rows"):
        cbackprop.Trainer(net, loss=half_squares, batch_size=9).fit(
            X, Y, epochs=1, gradient_norm=True
        )
    expected = np.linalg.norm(net.gradient(X, Y)[1])
    history = cbackprop.Trainer(net, loss=half_squares, batch_size=50).fit(
        X, Y, epochs=1, gradient_norm=True
    )
    assert history["gradient_norm"][0] == pytest.approx(expected, rel=1e-12)


def test_a_loss_in_python_takes_no_weights():
    net = cbackprop.Network((1, 1), seed=1)
    with pytest.raises(InputError, match="loss is a function and weights"):
        cbackprop.Trainer(net, loss=half_squares).fit([[0.0]], [0.5], epochs=1, sample_weight=[1])


@pytest.mark.parametrize("output", ["identity", "sigmoid", "exp", "softmax"])
@pytest.mark.parametrize("sizes", [(3, 4, 2), (150, 300, 2)])
def test_backward_is_the_gradient_of_any_objective(output, sizes):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((70, sizes[0])), targets("squared_error", output, (70, 2))
    net = cbackprop.Network(sizes, output_activation=output, seed=1)
    g = net.backward(X, (net.predict(X) - Y) / 70)
    np.testing.assert_allclose(g, net.gradient(X, Y)[1], rtol=1e-9, atol=1e-13)
    for n_threads in (1, 2, 5):
        again = net.backward(X, np.asfortranarray((net.predict(X) - Y) / 70), n_threads=n_threads)
        assert again.tobytes() == g.tobytes()
    for bad, words in (
        (np.ones((70, 3)), "dL_dY_hat has 3 columns"),
        (np.ones((69, 2)), "X has 70 rows and dL_dY_hat has 69"),
        (np.full((70, 2), np.nan), "dL_dY_hat holds nan at row 0, column 0"),
    ):
        with pytest.raises(InputError, match=words):
            net.backward(X, bad)


def test_scipy_minimises_any_objective_of_predict():
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (40, 1))
    net = cbackprop.Network((1, 6, 1), activation="tanh", output_activation="identity", seed=3)
    net.fit_scaling(X, np.sin(3 * X) * 5 + 100)

    def objective(parameters):
        net.parameters[:] = parameters
        d = net.predict(X) - (np.sin(3 * X) * 5 + 100)
        return (d**4).sum(), net.backward(X, 4 * d**3)

    start = net.parameters.copy()
    best = minimize(objective, start, jac=True, method="BFGS", options={"maxiter": 300})
    assert best.fun < 1e-3 * objective(start)[0]


# --- scaling of targets --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("targets_scaled", ["standard", "minmax"])
@pytest.mark.parametrize("batch_size", [7, 60])
def test_scaling_inside_the_model_is_scaling_outside(dtype, targets_scaled, batch_size):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3)) * 40 + 300
    Y = np.c_[X @ [1.0, -2, 3], 1e-3 * X[:, 0] ** 2]
    net = cbackprop.Network((3, 4, 2), output_activation="identity", dtype=dtype, seed=1)
    net.fit_scaling(X, Y, inputs="standard", targets=targets_scaled)
    outside = cbackprop.Network((3, 4, 2), output_activation="identity", dtype=dtype, seed=1)
    i, o = net.input_scaling, net.output_scaling
    scaled = (X - i.shift) * i.scale, (Y - o.shift) * o.scale
    solver = SGD(learning_rate=0.05)
    inside = cbackprop.Trainer(net, solver=solver, batch_size=batch_size, seed=2).fit(
        X, Y, epochs=4, validation_data=[3, 8, 9], metric="r2"
    )
    plain = cbackprop.Trainer(outside, solver=solver, batch_size=batch_size, seed=2).fit(
        *scaled, epochs=4, validation_data=[3, 8, 9], metric="r2"
    )
    tolerance = 1e-9 if dtype == "float64" else 2e-3
    np.testing.assert_allclose(net.parameters, outside.parameters, rtol=tolerance, atol=tolerance)
    for name in ("loss", "validation_loss", "validation_metric"):
        np.testing.assert_allclose(inside[name], plain[name], rtol=tolerance)
    in_units = outside.predict(scaled[0]) / o.scale + o.shift
    np.testing.assert_allclose(net.predict(X), in_units, rtol=tolerance)
    rows = [3, 8, 9]
    expected = ((Y[rows] - net.predict(X)[rows]) ** 2).sum() / 6
    assert inside["validation_loss_in_units"][-1] == pytest.approx(expected, rel=10 * tolerance)
    twin = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(twin.predict(X), net.predict(X))


@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error", "quantile"])
@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("solver", [SGD(learning_rate=1e-9), LBFGS()], ids=str)
def test_the_history_has_the_loss_in_the_targets_units(loss, n_out, solver):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    Y = (X @ rng.standard_normal((3, n_out))) * 10.0 ** np.arange(n_out) + 7
    net = cbackprop.Network((3, 4, n_out), output_activation="identity", seed=1)
    net.fit_scaling(Y=Y)
    trainer = cbackprop.Trainer(
        net, solver=solver, loss=loss, batch_size=None if solver.full_batch else 11
    )
    history = trainer.fit(X, Y, epochs=1)
    d = net.predict(X) - Y
    k = 1 / net.output_scaling.scale
    value = {
        "squared_error": d**2 / 2,
        "absolute_error": np.abs(d),
        "quantile": np.abs(d) / 2,
        "huber": np.where(np.abs(d) <= k, d**2 / 2, k * (np.abs(d) - k / 2)),
    }[loss].sum() / 40
    assert history["loss_in_units"][-1] == pytest.approx(value, rel=1e-6)
    assert history["loss"][-1] == pytest.approx(net.loss(X, Y, loss=loss), rel=1e-6)


def test_constant_columns_and_refused_scalings():
    from cbackprop.network.scaling import Scaling

    X, Y = np.c_[np.arange(5.0), np.full(5, 3.0)], np.c_[np.full(5, 8.0), np.arange(5.0)]
    net = cbackprop.Network((2, 3, 2), output_activation="identity", seed=0)
    net.fit_scaling(X, Y, inputs="minmax")
    cbackprop.Trainer(net, solver=LBFGS(gradient_tolerance=1e-9)).fit(X, Y, epochs=500)
    np.testing.assert_allclose(net.predict(X), Y, atol=1e-3)
    with pytest.raises(InputError, match="output_scaling has 3 columns; expected 2"):
        net.output_scaling = Scaling(np.zeros(3), np.ones(3))
    with pytest.raises(InputError, match="a scale of 0"):
        net.output_scaling = Scaling(np.zeros(2), np.zeros(2))
    with pytest.raises(InputError, match="inputs is 'robust'"):
        net.fit_scaling(X, inputs="robust")
    soft = cbackprop.Network((2, 2), output_activation="softmax", seed=0)
    with pytest.raises(InputError, match="rates or probabilities"):
        soft.fit_scaling(Y=Y)
