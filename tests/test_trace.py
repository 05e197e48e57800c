"""Network.trace: the arrays of the compiled step, formulas that are true, text and MathML."""

import copy
import pickle
import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

import cbackprop
from cbackprop import reference
from cbackprop.activations import ACTIVATIONS, HIDDEN
from cbackprop.core.gradient import trace as core
from cbackprop.core.gradient.objective import Objective
from cbackprop.core.gradient.plan import Plan
from cbackprop.errors import InputError, InputMemoryError, InputTypeError
from cbackprop.losses import LOSSES
from cbackprop.machine import memory
from cbackprop.network import trace_shown

PAIRS = [(spec.name, output) for spec in LOSSES.values() for output in spec.outputs]
SHAPES = [(3, 1), (3, 4), (2, 3, 1), (5, 7, 3), (4, 6, 5, 3), (3, 4, 4, 4, 4, 2)]


def data(sizes, n_rows, output="sigmoid", seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, sizes[0]))
    if output == "softmax":
        return X, np.eye(sizes[-1])[rng.integers(0, sizes[-1], n_rows)]
    return X, rng.uniform(0.05, 0.95, (n_rows, sizes[-1]))


def assert_is_the_step(net, trace, X, Y, rtol, **settings):
    loss, gradient = net.gradient(X, Y, **settings)
    assert trace.loss == pytest.approx(loss, rel=1e-13, abs=1e-300)
    assert_allclose(trace.gradient, gradient, rtol=rtol, atol=rtol * np.abs(gradient).max())


# ---------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("n_rows", [1, 4, 300])
def test_the_founding_page(n_rows):
    """One hidden layer, sigmoid twice, no biases: each line by NumPy."""
    net = cbackprop.Network((3, 5, 2), bias=False, seed=1)
    X, Y = data((3, 5, 2), n_rows)
    trace = net.trace(X, Y)
    close = dict(rtol=1e-13, atol=1e-15)
    assert_array_equal(trace.X, X)
    assert_array_equal(trace.Y, Y)
    assert_array_equal(trace.W1, net.weights[0])
    assert_array_equal(trace.W2, net.weights[1])
    assert_allclose(trace.H, X @ trace.W1, **close)
    assert_allclose(trace.Z, reference.sigmoid(trace.H), **close)
    assert_allclose(trace.O, trace.Z @ trace.W2, **close)
    assert_allclose(trace.Y_hat, reference.sigmoid(trace.O), **close)
    assert_allclose(trace.sigma_prime_O, trace.Y_hat * (1 - trace.Y_hat), **close)
    assert_allclose(trace.delta_O, -(Y - trace.Y_hat) * trace.sigma_prime_O, **close)
    assert_allclose(trace.grad_W2, trace.Z.T @ trace.delta_O / n_rows, **close)
    assert_allclose(trace.sigma_prime_H, trace.Z * (1 - trace.Z), **close)
    assert_allclose(trace.delta_H, trace.delta_O @ trace.W2.T * trace.sigma_prime_H, **close)
    assert_allclose(trace.grad_W1, X.T @ trace.delta_H / n_rows, **close)
    loss, grad_W1, grad_W2 = cbackprop.gradients(X, Y, *net.weights)
    assert trace.loss == pytest.approx(loss, rel=1e-14)
    assert_allclose(trace.grad_W1, grad_W1, rtol=1e-12, atol=1e-15)
    assert_allclose(trace.grad_W2, grad_W2, rtol=1e-12, atol=1e-15)
    assert trace.b1 is None and trace.grad_b2 is None
    assert n_rows == trace.N and trace.weight is None


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", SHAPES)
def test_it_is_the_compiled_step(sizes, bias, dtype):
    """Every loss, output and hidden activation, with and without weights."""
    rtol = 1e-12 if dtype == "float64" else 1e-5
    rng = np.random.default_rng(0)
    hidden = list(HIDDEN)
    for k, (loss, output) in enumerate(PAIRS):
        activation = [hidden[(k + i) % len(hidden)] for i in range(len(sizes) - 2)]
        net = cbackprop.Network(
            sizes, activation=activation, output_activation=output, bias=bias, dtype=dtype, seed=k
        )
        n_rows = (1, 7, 90)[k % 3]
        X, Y = data(sizes, n_rows, output, seed=k)
        trace = net.trace(X, Y, loss=loss)
        assert_is_the_step(net, trace, X, Y, rtol, loss=loss)
        assert_array_equal(trace.Y_hat, net.predict(X))
        assert {a.dtype.name for a in (trace.X, trace.Y_hat, trace.delta_O, trace.gradient)} == {
            dtype
        }
        settings = dict(
            loss=loss,
            sample_weight=rng.uniform(0, 2, n_rows),
            output_weight=rng.uniform(0.5, 2, sizes[-1]),
        )
        weighted = net.trace(X, Y, **settings)
        assert_is_the_step(net, weighted, X, Y, rtol, **settings)
        w = settings["sample_weight"][:, None] * settings["output_weight"]
        assert_allclose(weighted.weight, w, rtol=1e-6)
        assert pytest.approx(settings["sample_weight"].sum()) == weighted.N
        only_rows = dict(loss=loss, sample_weight=settings["sample_weight"])
        assert_is_the_step(net, net.trace(X, Y, **only_rows), X, Y, rtol, **only_rows)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_bits_of_predict(dtype):
    """Rows in many blocks; and Z of the first layer as of a network that ends there."""
    for sizes, n_rows in (((784, 30, 10), 100), ((24, 64, 33, 5), 1000), ((2, 4, 1), 5000)):
        net = cbackprop.Network(sizes, activation="tanh", dtype=dtype, seed=2)
        X, Y = data(sizes, n_rows)
        trace = net.trace(X, Y)
        assert_array_equal(trace.Y_hat, net.predict(X))
        assert_array_equal(net.trace(X[:1], Y[:1]).Y_hat, net.predict(X[:1]))
        first = cbackprop.Network(sizes[:2], output_activation="tanh", dtype=dtype)
        first.parameters[:] = net.parameters[: first.n_parameters]
        few = slice(0, 16)
        assert_array_equal(net.trace(X[few], Y[few]).layers[0].Z, first.predict(X[few]))


def test_the_parts_of_a_loss():
    net = cbackprop.Network((3, 4, 2), output_activation="identity", seed=0)
    X, Y = data((3, 4, 2), 30)
    for loss in (cbackprop.Huber(threshold=0.2), cbackprop.Quantile(quantile=0.9)):
        assert_is_the_step(net, net.trace(X, Y, loss=loss), X, Y, 1e-12, loss=loss)
    Y[::3, 0] = np.nan
    trace = net.trace(X, Y, missing="ignore")
    assert_is_the_step(net, trace, X, Y, 1e-12, missing="ignore")
    assert_array_equal(trace.weight, ~np.isnan(Y))
    assert_array_equal(trace.Y, Y)
    assert not trace.delta_O[np.isnan(Y)].any()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_scaled_data_are_the_networks_own(dtype):
    X, Y = data((3, 4, 2), 40)
    X, Y = 5 + 3 * X, 100 + 7 * Y
    net = cbackprop.Network((3, 4, 2), output_activation="identity", dtype=dtype, seed=0)
    net.fit_scaling(X, Y, targets="minmax")
    trace = net.trace(X, Y)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    assert_is_the_step(net, trace, X, Y, rtol)
    for shown, given, scaling in (
        (trace.X, X, net.input_scaling),
        (trace.Y, Y, net.output_scaling),
    ):
        assert_allclose(shown, (given - scaling.shift) * scaling.scale, rtol=1e-3, atol=1e-4)
    back = trace.Y_hat / net.output_scaling.scale + net.output_scaling.shift
    assert_allclose(back, net.predict(X), rtol=1e-6)
    assert "scaled: (x - shift) * scale of the network's input scaling" in str(trace)
    assert "scaled: (x - shift) * scale of the network's output scaling" in str(trace)
    assert "scaled" not in str(cbackprop.Network((3, 4, 2)).trace(X, Y))


def test_layers_and_names_are_the_same_arrays():
    sizes = (3, 5, 4, 2)
    net = cbackprop.Network(sizes, activation=["tanh", "relu"], seed=3)
    X, Y = data(sizes, 6)
    trace = net.trace(X, Y)
    assert trace.layers[0].A is trace.X
    for i, (H, Z) in enumerate([("H1", "Z1"), ("H2", "Z2"), ("O", "Y_hat")]):
        layer = trace.layers[i]
        assert layer.activation == net.activations[i]
        for attribute, name in (
            ("W", f"W{i + 1}"),
            ("b", f"b{i + 1}"),
            ("H", H),
            ("Z", Z),
            ("sigma_prime", f"sigma_prime_{H}"),
            ("delta", f"delta_{H}"),
            ("grad_W", f"grad_W{i + 1}"),
            ("grad_b", f"grad_b{i + 1}"),
        ):
            assert getattr(layer, attribute) is getattr(trace, name)
        if i:
            assert layer.A is trace.layers[i - 1].Z
    flat = [a.ravel() for layer in trace.layers for a in (layer.grad_W, layer.grad_b)]
    assert_array_equal(np.concatenate(flat), trace.gradient)
    with pytest.raises(AttributeError, match=r"no 'H'; it has X, .*H1, Z1, .*trace\.layers"):
        _ = trace.H
    softmax = cbackprop.Network((3, 2), output_activation="softmax")
    assert softmax.trace(*data((3, 2), 4, "softmax")).sigma_prime_O is None


def test_arrays_are_copies_and_read_only():
    net = cbackprop.Network((2, 3, 1), seed=0)
    X, Y = data((2, 3, 1), 5)
    trace = net.trace(X, Y)
    before = pickle.loads(pickle.dumps(trace))
    arrays = [value for value in vars(trace).values() if isinstance(value, np.ndarray)]
    arrays += [v for layer in trace.layers for v in vars(layer).values() if not isinstance(v, str)]
    assert len(arrays) > 20
    for array in arrays:
        assert not array.flags.writeable
        for other in (X, Y, net.parameters):
            assert not np.shares_memory(array, other)
    X[:], Y[:], net.parameters[:] = 0, 0, 0
    for name in ("X", "Y", "W1", "b2", "Z", "gradient"):
        assert_array_equal(getattr(trace, name), getattr(before, name))
    assert_array_equal(copy.copy(trace).H, trace.H)


def test_steps_down_a_gradient_by_hand():
    """What a learner does first: a few steps with the trace's own gradients."""
    X, Y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0.0, 1, 1, 0])
    net = cbackprop.Network((2, 3, 1), seed=0)
    losses = []
    for _ in range(5):
        trace = net.trace(X, Y)
        losses.append(trace.loss)
        net.parameters[:] -= 0.5 * trace.gradient
    assert all(np.diff(losses) < 0)


# ---------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("X", "Y", "settings", "error", "words"),
    [
        (np.ones((3, 4)), np.ones(3), {}, InputError, "X has 4 columns"),
        (np.ones((3, 2)), np.ones(4), {}, InputError, "X has 3 rows and Y has 4"),
        (np.ones((3, 2)), np.ones((3, 2)), {}, InputError, "Y has 2 columns"),
        ("abc", np.ones(3), {}, InputTypeError, "X is 'abc'"),
        ([[1, np.nan]], [1.0], {}, InputError, "X holds nan at row 0, column 1"),
        ([[1, 2]], [np.inf], {}, InputError, "Y holds inf at row 0, column 0"),
        ([[1, 2]], [np.nan], {}, InputError, "Y holds nan at row 0, column 0"),
        ([[1, 2]], [np.inf], {"missing": "ignore"}, InputError, "Y holds inf"),
        ([[1, 2]], [1.0], {"loss": "poisson"}, InputError, "expected 'exp'"),
        ([[1, 2]], [1.0], {"loss": "squared"}, InputError, "loss is 'squared'"),
        ([[1, 2]], [1.0], {"loss": np.sum}, InputTypeError, "loss is a"),
        ([[1, 2]], [1.0], {"sample_weight": [-1]}, InputError, "sample_weight"),
        ([[1, 2]], [1.0], {"output_weight": [1, 2]}, InputError, "output_weight"),
    ],
)
def test_wrong_arguments(X, Y, settings, error, words):
    with pytest.raises(error, match=words):
        cbackprop.Network((2, 3, 1), seed=0).trace(X, Y, **settings)


def test_too_large_for_float32():
    net = cbackprop.Network((2, 1), dtype="float32", seed=0)
    with pytest.raises(InputError, match="which float32 cannot hold"):
        net.trace([[1.0, 1e300]], [1.0])


def test_an_overflow_is_in_the_arrays_and_no_warning():
    net = cbackprop.Network(
        (2, 3, 2), activation="relu", output_activation="identity", dtype="float32"
    )
    net.parameters[:] = 1e30
    X, _ = data((2, 3, 2), 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert net.gradient(X, X)[0] == np.inf
        trace = net.trace(X, X)
        assert trace.loss == np.inf
        assert "inf" in str(trace)


def test_memory_is_asked_for_before(monkeypatch):
    net = cbackprop.Network((2, 3, 1), seed=0)
    X, Y = data((2, 3, 1), 1000)
    monkeypatch.setattr(memory, "available_memory", lambda: 10_000)
    with pytest.raises(InputMemoryError, match=r"a trace of 1,000 rows needs .*fewer rows"):
        net.trace(X, Y)
    net.trace(X[:10], Y[:10])


def test_the_core_takes_no_arrays_that_do_not_fit():
    A, W, b = np.ones((4, 3)), np.ones((3, 2)), np.ones(2)
    for wrong in (
        (A, np.ones((2, 2)), b, np.empty((4, 2)), 2),
        (A, W, b[:1], np.empty((4, 2)), 2),
        (A, W, b, np.empty((3, 2)), 2),
        (A, W, b, np.empty((4, 2)), 0),
        (A[:0], W, b, np.empty((0, 2)), 2),
    ):
        with pytest.raises(ValueError, match=r"fit together|nothing to multiply"):
            core.affine(*wrong)
    with pytest.raises(ValueError, match="differ in shape"):
        core.activate(1, A, np.empty((3, 3)), np.empty((4, 3)))
    with pytest.raises(ValueError, match="differ in shape"):
        core.activate(1, A, np.empty((4, 3)), np.empty((4, 2)))
    with pytest.raises(ValueError, match="differ in shape"):
        core.read(A, np.empty((4, 2)))
    plan = Plan((3, 2), (1,), True, "float64")
    good = [np.ones((4, 2)), np.ones((8, 2))]  # Y; Y_hat and sigma'(O)
    for place in (0, 1, 3, 4):
        arrays = [*(A.copy() for A in good), None, np.empty((4, 2)), np.empty((4, 2))]
        arrays[place] = np.ones((3, 2))
        with pytest.raises(ValueError, match=r"differ in shape"):
            core.output_delta(plan, Objective(), *arrays)
    arrays = [*good, np.ones(3), np.empty((4, 2)), np.empty((4, 2))]
    with pytest.raises(ValueError, match="do not go with Y"):
        core.output_delta(plan, Objective(), *arrays)
    arrays[2] = None
    for other in (
        Plan((3, 1), (1,), True, "float64"),
        Plan((3, 2), (1,), True, "float32"),
        Plan((3, 4, 2), (1, 1), True, "float64"),
    ):
        with pytest.raises(ValueError, match="do not go with Y"):
            core.output_delta(other, Objective(), *arrays)


# --------------------------------------------------------------------------------------- as text


def shown(sizes, n_rows=50, loss="squared_error", output="sigmoid", **settings):
    net = cbackprop.Network(sizes, output_activation=output, seed=0)
    return net.trace(*data(sizes, n_rows, output), loss=loss, **settings)


def test_the_lines_stand_in_the_order_of_the_page():
    lines = str(shown((2, 3, 1), 4)).splitlines()
    formulas = [line for line in lines if not line.startswith(" ")]
    assert formulas == [
        "Trace of network 2-3-1, float64 on 4 rows, loss 'squared_error'",
        "X   (4 x 2)",
        "W1   (2 x 3)",
        "b1   (3)",
        "H = X W1 + b1   (4 x 3)",
        "Z = sigma(H)   (4 x 3)   sigmoid: sigma(h) = 1 / (1 + exp(-h))",
        "W2   (3 x 1)",
        "b2   (1)",
        "O = Z W2 + b2   (4 x 1)",
        "Y_hat = sigma(O)   (4 x 1)   sigmoid: sigma(h) = 1 / (1 + exp(-h))",
        "Y   (4 x 1)",
        "N = 4",
        formulas[12],
        "sigma'(O) = Y_hat (1 - Y_hat)   (4 x 1)   sigmoid",
        "delta_O = -(Y - Y_hat) * sigma'(O)   (4 x 1)",
        "grad W2 = 1/N Z^T delta_O   (3 x 1)   (1)",
        "grad b2 = 1/N sum_n delta_O   (1)",
        "sigma'(H) = Z (1 - Z)   (4 x 3)   sigmoid",
        "delta_H = (delta_O W2^T) * sigma'(H)   (4 x 3)",
        "grad W1 = 1/N X^T delta_H   (2 x 3)   (2)",
        "grad b1 = 1/N sum_n delta_H   (3)",
    ]
    assert re.fullmatch(r"L = 1/\(2N\) sum \(Y - Y_hat\)\^2 = 0\.\d+   squared error", formulas[12])


def test_deeper_networks_have_numbered_layers():
    text = str(shown((2, 3, 4, 1), 2))
    for line in (
        "H1 = X W1 + b1",
        "H2 = Z1 W2 + b2",
        "O = Z2 W3 + b3",
        "delta_H2 = (delta_O W3^T) * sigma'(H2)",
        "grad W2 = 1/N Z1^T delta_H2",
        "delta_H1 = (delta_H2 W2^T) * sigma'(H1)",
    ):
        assert re.search("^" + re.escape(line) + "   ", text, re.MULTILINE)
    alone = str(shown((3, 2), 2))
    assert "\nO = X W1 + b1 " in alone and "\ngrad W1 = 1/N X^T delta_O " in alone
    assert "delta_H" not in alone


@pytest.mark.parametrize(
    "sizes",
    [(1, 1), (2, 3, 1), (9, 8, 8, 3), (300, 200, 100), (8, *[8] * 12, 8), (2, *[2] * 60, 2)],
)
@pytest.mark.parametrize("n_rows", [1, 6, 7, 1000])
def test_a_print_fits_a_screen_or_two(sizes, n_rows):
    trace = shown(sizes, n_rows)
    lines = str(trace).splitlines()
    assert len(lines) <= 80
    title, *body = lines
    assert max(map(len, body)) <= 110
    for formula in ("L = ", "delta_O = ", f"grad W{len(sizes) - 1} = ", "grad W1 = "):
        assert sum(line.startswith(formula) for line in body) == 1
    assert title.startswith("Trace of network ")
    assert "\n" not in repr(trace) and len(repr(trace)) < 300


def test_what_is_left_out_is_said():
    text = str(shown((8, *[8] * 12, 8), 100))
    assert text.count("... and layers ") == 2
    first, last = map(
        int, re.search(r"trace\.layers\[(\d+)\] to trace\.layers\[(\d+)\]", text).groups()
    )
    assert f"... and layers {first + 1} to {last + 1}: " in text
    named = {int(k) for k in re.findall(r"^grad W(\d+)", text, re.MULTILINE)}
    assert named == set(range(1, 14)) - set(range(first + 1, last + 2))


def test_weights_are_said():
    trace = shown((2, 3, 1), 3, sample_weight=[1.0, 2.0, 0.5])
    text = str(trace)
    assert "N = 3.5   the sum of the sample weights" in text
    assert "w   (3 x 1)   how often each target counts" in text
    assert "delta_O = -w * (Y - Y_hat) * sigma'(O)" in text


# --------------------------------------------------------------------- the formulas that are shown


def evaluate(formula, names):
    """A formula of a trace, computed: elementwise, a blank between two factors is a product."""
    if match := re.fullmatch(r"(-?)1/(\(2N\)|N) sum (.*)", formula):
        sign, divisor, terms = match.groups()
        factor = {"N": names["N"], "(2N)": 2 * names["N"]}[divisor]
        return (-1 if sign else 1) * np.sum(evaluate(terms, names)) / factor
    if " where " in formula:
        start, end = around(formula, formula.index(" where "))
        value = cases(formula[start:end], names)
        if (start, end) == (0, len(formula)):
            return value
        return evaluate(f"{formula[: start - 1]}case{formula[end + 1 :]}", {**names, "case": value})
    python = re.sub(r"sum_k ([^()]*(?:\([^()]*\))?[^()]*)", r"sum_k(\1)", formula)
    python = python.replace("sigma'(O)", "sigma_prime_O").replace("^", "**")
    python = re.sub(r"\|([^|]*)\|", r"abs(\1)", python)
    python = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", python)
    return eval(python, {**FUNCTIONS, **names})


def around(formula, place):
    """Where the parentheses around a place begin and end, without them; all if there are none."""
    ends = []
    for step, opens, closes in ((-1, ")", "("), (1, "(", ")")):
        at, depth = place, 0
        while 0 <= at < len(formula):
            depth += (formula[at] == opens) - (formula[at] == closes)
            if depth < 0:
                break
            at += step
        ends.append(at + 1 if step < 0 else at)
    return tuple(ends)


def cases(formula, names):
    """``a where x, else b``; or ``a where x, b where y``, and 0 elsewhere."""
    first, second = formula.split(", ")
    yes, condition = first.split(" where ")
    if second.startswith("else "):
        no = evaluate(second.removeprefix("else "), names)
    else:
        value, other = second.split(" where ")
        no = np.where(evaluate(other, names), evaluate(value, names), 0)
    return np.where(evaluate(condition, names), evaluate(yes, names), no)


FUNCTIONS = {
    **{
        name: getattr(np, name)
        for name in ("exp", "log", "sqrt", "tanh", "cosh", "sin", "cos", "sign", "abs")
    },
    "Phi": scipy.special.ndtr,
    "phi": scipy.stats.norm.pdf,
    "max": np.maximum,
    "min": np.minimum,
    "sum_k": lambda A: A.sum(axis=1, keepdims=True),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_the_formulas_of_a_loss_are_true(loss, output, weighted):
    net = cbackprop.Network((3, 4, 2), output_activation=output, seed=5)
    X, Y = data((3, 4, 2), 5, output)
    settings = {"sample_weight": np.arange(1.0, 6), "output_weight": [1.0, 2]} if weighted else {}
    if output == "softmax":
        Y = 0.25 + Y / 2  # probabilities, none of them 0
    trace = net.trace(X, Y, loss=loss, **settings)
    lines = dict(
        line.split("   ")[0].split(" = ", 1)
        for line in str(trace).splitlines()
        if re.match(r"(L|G|d|delta_O) = ", line)
    )
    names = {"Y": Y, "Y_hat": trace.Y_hat, "N": trace.N, "w": trace.weight}
    names["sigma_prime_O"] = trace.sigma_prime_O
    assert ("w *" in lines["delta_O"]) == (weighted and "G" not in lines)
    if "d" in lines:  # "Y_hat - Y, t = 1"
        difference, *settings = lines["d"].split(", ")
        names["d"] = evaluate(difference, names)
        names |= {name: float(value) for name, value in (s.split(" = ") for s in settings)}
    if "G" in lines:
        names["G"] = evaluate(lines["G"], names)
    L, number = lines["L"].rsplit(" = ", 1)
    assert evaluate(L, names) == pytest.approx(trace.loss, rel=1e-12)
    assert float(number) == pytest.approx(trace.loss, rel=1e-5)
    assert_allclose(evaluate(lines["delta_O"], names), trace.delta_O, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_formulas_of_an_activation_are_true(name):
    net = cbackprop.Network((3, 4), output_activation=name, seed=5)
    trace = net.trace(*data((3, 4), 6, name))
    sigma, prime = ACTIVATIONS[name].formula, ACTIVATIONS[name].derivative
    names = {"h": trace.O, "z": trace.Y_hat}
    assert_allclose(evaluate(sigma, names), trace.Y_hat, rtol=1e-12, atol=1e-15)
    if prime:
        expected = np.broadcast_to(evaluate(prime, names), (6, 4))
        assert_allclose(expected, trace.sigma_prime_O, rtol=1e-12, atol=1e-15)


# ------------------------------------------------------------------------------------ as a notebook

# Of MathML Core; nothing that loads, runs or colours.
MATHML = {
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mfrac", "msup", "msub", "munder", "mover"),
    *("mtable", "mtr", "mtd"),
}
HTML = {"div", "table", "caption", "tbody", "tr", "td"}
ATTRIBUTES = {"alttext", "accent", "style", "colspan"}
# How many children an element has.
CHILDREN = {"mfrac": 2, "msup": 2, "msub": 2, "munder": 2, "mover": 2}


def check_html(text):
    root = ET.fromstring(text)
    for element in root.iter():
        assert element.tag in MATHML | HTML
        assert set(element.attrib) <= ATTRIBUTES
        assert re.fullmatch(r"(text-align: left|white-space: nowrap)?", element.get("style", ""))
        assert len(element) == CHILDREN.get(element.tag, len(element))
        if element.tag in ("mi", "mn", "mo"):
            assert element.text and not len(element)
        if element.tag == "math":
            assert element.get("alttext")
        if element.tag == "mtable":
            assert len({len(row) for row in element}) == 1
    return root


@pytest.mark.parametrize("sizes", [(2, 1), (2, 3, 1), (9, 8, 8, 3), (8, *[8] * 12, 8)])
def test_a_notebook_shows_the_same(sizes):
    trace = shown(sizes)
    root = check_html(trace._repr_html_())
    assert root.find("table/caption").text == str(trace).splitlines()[0]
    formulas = [
        row[0][0].get("alttext") for row in root.iter("tr") if row[0].get("colspan") is None
    ]
    lines = [line for line in str(trace).splitlines()[1:] if line[0] not in " ."]
    assert len(formulas) == len(lines)
    for formula, line in zip(formulas, lines, strict=True):
        assert line.startswith(formula)


def test_a_matrix_is_a_table_of_its_numbers():
    trace = shown((2, 3, 1), 4)
    root = check_html(trace._repr_html_())
    (row,) = (
        r
        for r in root.iter("tr")
        if r[0][0].get("alttext") == "delta_H = (delta_O W2^T) * sigma'(H)"
    )
    table = row.find(".//mtable")
    found = [["".join(cell.itertext()).replace("−", "-") for cell in line] for line in table]
    assert_allclose(np.array(found, float), trace.delta_H, rtol=1e-3)
    assert row[1].text == "(4 × 3)"
    (row,) = (r for r in root.iter("tr") if r[0][0].get("alttext") == "b1")
    assert len(row.findall(".//mtd")) == 3


@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_every_formula_is_valid_mathml(loss, output):
    text = shown((2, 3, 2), 3, loss, output, sample_weight=[1.0, 2, 3])._repr_html_()
    check_html(text)


def test_mathml():
    def words(formula):
        return "".join(ET.fromstring(f"<math>{trace_shown.mathml(formula)}</math>").itertext())

    assert words("delta_H1 = (delta_O W2^T) * sigma'(H1)") == "δH1=(δOW2T)⊙σ′(H1)"
    assert words("grad W2 = 1/N Z^T delta_O") == "∇W2=1NZTδO"
    assert words("a < b & c <= d") == "a<b&c≤d"
    (power,) = ET.fromstring(f"<math>{trace_shown.mathml('(Y - Y_hat)^2')}</math>")
    assert power.tag == "msup" and "".join(power[0].itertext()) == "(Y−Y^)"
    (delta,) = ET.fromstring(f"<math>{trace_shown.mathml('delta_H2')}</math>")
    assert [delta.tag, delta[0].text, delta[1].tag] == ["msub", "δ", "msub"]


def test_texts_are_escaped():
    trace = shown((2, 1), 3)
    trace.network = "<script>alert('&')</script>"
    root = check_html(trace._repr_html_())
    assert trace.network in root.find("table/caption").text


# ------------------------------------------------------------------------------------ documentation


def test_the_page_prints_what_it_shows(capsys):
    page = Path(__file__).parents[1] / "docs" / "mathematics.md"
    if not page.exists():
        pytest.skip("the pages are not here")
    text = page.read_text(encoding="utf-8")
    block, printed = re.search(
        r"^```python\n([^`]*net\.trace[^`]*)```\n\n```text\n(.*?)^```",
        text,
        re.MULTILINE | re.DOTALL,
    ).groups()
    exec(block, {})
    assert capsys.readouterr().out == printed
