"""Whole steps on one to four rows (core/simd/step.h) against the formulas and the other way.

The slow twin is the way of every other batch, which a plan with ``few_rows=0`` takes.
"""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cbackprop
from cbackprop import reference
from cbackprop.core.gradient.plan import Plan
from cbackprop.core.simd import dispatch
from cbackprop.core.testing import kernels
from cbackprop.errors import InputError
from cbackprop.network.scaling import Scaling

NAMES = ("identity", "sigmoid", "tanh", "relu")
LEVELS = dispatch.available_levels()
DTYPES = (np.float64, np.float32)

# Below, at, above every width of vector, and panels of up to four vectors of each.
HIDDEN = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 24, 31, 33, 40, 65, 68, 130)


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(params=DTYPES, ids=lambda dtype: dtype.__name__)
def dtype(request):
    return request.param


class Case:
    """A network's parameters, some rows, and the level's `steps` on them."""

    def __init__(self, sizes, activations=("sigmoid", "sigmoid"), *, bias=True, n_rows=8,
                 dtype=np.float64, seed=0):  # fmt: skip
        self.sizes, self.activations, self.bias, self.dtype = sizes, activations, bias, dtype
        rng = np.random.default_rng([seed, *sizes])
        n_in, n_hidden, n_out = sizes
        self.X = rng.uniform(-1, 1, (n_rows, n_in)).astype(dtype)
        self.Y = rng.uniform(0, 1, (n_rows, n_out)).astype(dtype)
        parts = [rng.normal(0, n_in**-0.5, n_in * n_hidden), rng.normal(0, 0.3, n_hidden)]
        parts += [rng.normal(0, n_hidden**-0.5, n_hidden * n_out), rng.normal(0, 0.3, n_out)]
        self.start = np.concatenate(parts if bias else parts[::2]).astype(dtype)

    def views(self, flat):
        n_in, n_hidden, n_out = self.sizes
        weights, biases, at = [], [], 0
        for n, m in ((n_in, n_hidden), (n_hidden, n_out)):
            weights.append(flat[at : at + n * m].reshape(n, m))
            at += n * m
            if self.bias:
                biases.append(flat[at : at + m])
                at += m
        return weights, biases

    def run(self, level, rows, alpha, *, order=None, flat=None, X=None, Y=None, each=None):
        """(steps made, squares, parameters); memory around what may be written is looked at."""
        flat = self.start if flat is None else flat
        n = flat.size
        size = kernels.steps_scratch(level, self.dtype is np.float64, *self.sizes[1:], rows)
        guarded = np.full(n + 2 * 64, 7.5, self.dtype)
        guarded[64 : 64 + n] = flat
        scratch = np.zeros(size + 64, self.dtype)
        scratch[size:] = 7.5
        X = self.X if X is None else X
        Y = self.Y if Y is None else Y
        before = X.copy(), Y.copy()
        made, squares = kernels.run_steps(
            level, *self.sizes, *(NAMES.index(a) for a in self.activations), self.bias,
            X.ravel(), Y.ravel(), order, rows, alpha, guarded[64 : 64 + n], scratch[:size], each,
        )  # fmt: skip
        assert (guarded[:64] == 7.5).all() and (guarded[64 + n :] == 7.5).all()
        assert (scratch[size:] == 7.5).all()
        np.testing.assert_array_equal(X, before[0])
        np.testing.assert_array_equal(Y, before[1])
        return made, squares, guarded[64 : 64 + n].copy()

    def by_the_formulas(self, rows, learning_rate, order=None):
        """The same steps in NumPy, in float64."""
        flat = self.start.astype(float)
        weights, biases = self.views(flat)
        order = np.arange(len(self.X)) if order is None else order
        squares = 0.0
        for first in range(0, len(order) - rows + 1, rows):
            at = order[first : first + rows]
            loss, grad_W, grad_b = reference.gradient(
                weights, biases, self.activations, self.X[at].astype(float),
                self.Y[at].astype(float),
            )  # fmt: skip
            squares += 2 * rows * loss
            for value, gradient in zip([*weights, *biases], [*grad_W, *grad_b], strict=True):
                value -= learning_rate * gradient
        return squares, flat


def tolerance(dtype):
    return {"rtol": 1e-12, "atol": 1e-13} if dtype is np.float64 else {"rtol": 2e-4, "atol": 2e-5}


@functools.cache
def cases_by_the_formulas(dtype, rows):
    """Cases, rates, what the formulas make of them: the same for each instruction set."""
    cases = []
    pairs = itertools.cycle(itertools.product(NAMES, NAMES))
    for n_hidden, n_out, n_in in itertools.product(HIDDEN, (1, 2, 3, 5, 17), (1, 2, 5)):
        bias = (n_hidden + n_out + n_in) % 2 == 0
        case = Case((n_in, n_hidden, n_out), next(pairs), bias=bias, n_rows=12, dtype=dtype)
        rate = 2 / (8 + n_hidden)  # tame for relu and identity too
        cases.append((case, rate, *case.by_the_formulas(rows, rate)))
    return cases


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_steps_are_the_formulas(level, dtype, rows):
    """Every width and panel, one output and several vectors of them, each pair of activations."""
    for case, rate, expected_squares, expected in cases_by_the_formulas(dtype, rows):
        made, squares, got = case.run(level, rows, -rate / rows)
        assert made == 12 // rows
        np.testing.assert_allclose(got, expected, **tolerance(dtype), err_msg=f"{case.sizes}")
        np.testing.assert_allclose(squares, expected_squares, **tolerance(dtype))


def test_one_vector_of_hidden_units(level, dtype):
    """Four rows and one output: steps that stay in registers, up to 16 inputs and a vector."""
    pairs = itertools.product(("sigmoid", "tanh", "relu"), ("sigmoid", "identity", "tanh"))
    for pair, n_in, n_hidden in itertools.product(pairs, (1, 2, 7, 16, 17), range(1, 10)):
        case = Case((n_in, n_hidden, 1), pair, bias=n_hidden % 3 > 0, n_rows=12, dtype=dtype)
        expected_squares, expected = case.by_the_formulas(4, 0.2)
        made, squares, got = case.run(level, 4, -0.2 / 4)
        assert made == 3
        np.testing.assert_allclose(got, expected, **tolerance(dtype), err_msg=f"{case.sizes}")
        np.testing.assert_allclose(squares, expected_squares, **tolerance(dtype))


SHAPES = [(2, 4, 1), (3, 30, 10), (5, 3, 2), (40, 70, 1), (16, 7, 1)]


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("rows", [2, 3, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_steps_on_the_same_rows(level, dtype, sizes, rows, bias):
    """Bit for bit those that are made one by one."""
    case = Case(sizes, bias=bias, dtype=dtype)
    order = np.array([3, 1, 0, 2, 5])
    each = np.full(7, 5.5)
    made, last, got = case.run(level, rows, -0.3 / rows, order=order, each=each[:6])
    assert (made, last, each[6]) == (6, each[5], 5.5)
    flat, sums = case.start, []
    for _ in range(6):
        _, squares, flat = case.run(level, rows, -0.3 / rows, order=order[:rows], flat=flat)
        sums.append(squares)
    np.testing.assert_array_equal(got, flat)
    np.testing.assert_array_equal(each[:6], sums)


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("where", ["W1", "W2"])
@pytest.mark.parametrize("bias", [False, True])
def test_a_parameter_that_overflows_ends_the_steps(level, dtype, sizes, where, bias):
    """On the same rows, for each of these steps may be an epoch's last; the loss is finite yet."""
    output = "sigmoid" if where == "W1" else "identity"
    case = Case(sizes, ("sigmoid", output), bias=bias, dtype=dtype)
    alpha = -float(np.finfo(dtype).max) / 10
    weights, biases = case.views(case.start)
    if where == "W1":
        # Z is 1/2 everywhere and O is 0, for the columns of W2 are pairs; delta_H is large.
        for part in (*weights, *biases):
            part[:] = 0
        weights[1][0], weights[1][1] = 1e4, -1e4
    else:
        weights[1][:] = 0  # and so is delta_H; alpha delta_O is finite, but not its sum
        case.Y[:] = -8
    made, squares, got = case.run(level, 4, alpha, each=np.zeros(50))
    assert made == 1
    assert np.isfinite(squares)
    weights, _ = case.views(got)
    assert np.isfinite(weights[0]).all() == (where == "W2")
    assert np.isfinite(weights[1]).all() == (where == "W1")


@pytest.mark.parametrize("sizes", [(2, 4, 1), (3, 30, 10), (5, 3, 2), (40, 70, 1)])
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_an_order_and_a_split_change_no_bit(level, dtype, sizes, rows):
    case = Case(sizes, n_rows=24, dtype=dtype)
    order = np.random.default_rng(1).permutation(24)
    made, squares, got = case.run(level, rows, -0.3 / rows, order=order)
    assert made == 24 // rows
    _, same_squares, same = case.run(level, rows, -0.3 / rows, X=case.X[order], Y=case.Y[order])
    np.testing.assert_array_equal(got, same)
    assert squares == same_squares
    flat = case.start
    for first, last in itertools.pairwise((0, rows, 3 * rows, 24 // rows * rows)):
        at = order[first:last]
        _, _, flat = case.run(level, rows, -0.3 / rows, flat=flat, X=case.X[at], Y=case.Y[at])
    np.testing.assert_array_equal(got, flat)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_diverging_step_is_the_last(level, dtype, rows):
    case = Case((3, 9, 2), ("identity", "identity"), n_rows=400, dtype=dtype)
    made, squares, _ = case.run(level, rows, -50.0)
    assert 1 < made < 400 // rows
    assert not np.isfinite(squares)


def test_wrong_sizes_are_refused():
    case = Case((3, 4, 1))
    with pytest.raises(ValueError, match="rows 1 to 4"):
        kernels.steps_scratch(LEVELS[0], True, 4, 1, 5)
    with pytest.raises(ValueError, match="two or more"):
        case.run(LEVELS[0], 1, -0.1, each=np.zeros(3))
    with pytest.raises(ValueError, match="names a row"):
        case.run(LEVELS[0], 1, -0.1, order=np.array([0, 8]))


# --- as a trainer takes them ----------------------------------------------------------------------


def networks(sizes, **kwargs):
    """Twins: one takes whole steps, the other the way of every batch."""
    twins = []
    for few_rows in (4, 0):
        net = cbackprop.Network(sizes, seed=5, **kwargs)
        codes = tuple(NAMES.index(name) for name in net.activations)
        net._plan = Plan(net.sizes, codes, net.bias, net.dtype.name, few_rows=few_rows)
        twins.append(net)
    return twins


def trained(net, X, Y, epochs=3, **kwargs):
    trainer = cbackprop.Trainer(
        net, solver=cbackprop.SGD(learning_rate=0.02), **{"seed": 9, **kwargs}
    )
    history = trainer.fit(X, Y, epochs=epochs)
    return net.parameters.copy(), history["loss"]


def data(sizes, n_rows, dtype="float64"):
    rng = np.random.default_rng(2)
    X = rng.uniform(-1, 1, (n_rows, sizes[0])).astype(dtype)
    return X, rng.uniform(0, 1, (n_rows, sizes[-1])).astype(dtype)


@given(
    n_in=st.integers(1, 20),
    n_hidden=st.integers(1, 70),
    n_out=st.integers(1, 12),
    rows=st.integers(1, 4),
    n_rows=st.integers(1, 40),
    bias=st.booleans(),
    shuffle=st.booleans(),
    names=st.tuples(st.sampled_from(NAMES[1:3]), st.sampled_from(NAMES[:3])),
)
@settings(max_examples=60, deadline=None)
def test_both_ways_train_alike(n_in, n_hidden, n_out, rows, n_rows, bias, shuffle, names):
    sizes = (n_in, n_hidden, n_out)
    X, Y = data(sizes, n_rows)
    fast, slow = networks(sizes, bias=bias, activation=names[0], output_activation=names[1])
    kwargs = {"batch_size": rows, "shuffle": shuffle}
    got, got_loss = trained(fast, X, Y, **kwargs)
    expected, expected_loss = trained(slow, X, Y, **kwargs)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(got_loss, expected_loss, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rows", [1, 3, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_where_the_rows_stand_changes_no_bit(dtype, rows, shuffle):
    """In place, strided, of the other dtype, unaligned: gathered rows and those read in place."""
    sizes = (5, 11, 3)
    X, Y = data(sizes, 90, dtype)
    kwargs = {"batch_size": rows, "shuffle": shuffle}
    got, loss = trained(networks(sizes, dtype=dtype)[0], X, Y, **kwargs)
    wide = np.zeros((90, 9), dtype)
    wide[:, 2:7] = X
    other = "float32" if dtype == "float64" else "float64"
    exact = X.astype("float32")
    for X_too, Y_too in ((wide[:, 2:7], Y), (X, np.asfortranarray(Y))):
        same, same_loss = trained(networks(sizes, dtype=dtype)[0], X_too, Y_too, **kwargs)
        np.testing.assert_array_equal(got, same)
        np.testing.assert_array_equal(loss, same_loss)
    one, _ = trained(networks(sizes, dtype=dtype)[0], exact.astype(dtype), Y, **kwargs)
    two, _ = trained(networks(sizes, dtype=dtype)[0], exact.astype(other), Y, **kwargs)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("n_out", [1, 3])
def test_epochs_at_once_or_one_by_one(rows, n_out):
    sizes = (6, 13, n_out)
    X, Y = data(sizes, 501)
    together, loss = trained(networks(sizes)[0], X, Y, epochs=6, batch_size=rows)
    net = networks(sizes)[0]
    trainer = cbackprop.Trainer(
        net, solver=cbackprop.SGD(learning_rate=0.02), seed=9, batch_size=rows
    )
    for _ in range(6):
        trainer.fit(X, Y, epochs=1)
    np.testing.assert_array_equal(net.parameters, together)
    np.testing.assert_array_equal(trainer.history["loss"], loss)


@pytest.mark.parametrize("sizes", [(2, 4, 1), (6, 13, 3)])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 4])
@pytest.mark.parametrize("layout", ["in place", "float32", "subset"])
def test_epochs_of_one_step(sizes, n_rows, layout):
    """Many in one call of the core, or one by one: the same parameters, losses and epochs."""
    X, Y = data(sizes, 6)
    kwargs = {}
    if layout == "subset":
        kwargs["validation_data"] = np.arange(n_rows, 6)
    else:
        X, Y = X[:n_rows], Y[:n_rows]
    if layout == "float32":
        X = X.astype("float32")

    def trainer():
        return cbackprop.Trainer(networks(sizes)[0], solver=cbackprop.SGD(learning_rate=0.3))

    many = trainer()
    many.fit(X, Y, epochs=700, **kwargs)
    one = trainer()
    for _ in range(700):
        one.fit(X, Y, epochs=1, **kwargs)
    np.testing.assert_array_equal(many.network.parameters, one.network.parameters)
    assert many.epoch == one.epoch == 700
    for name in ("loss", "learning_rate"):
        np.testing.assert_array_equal(many.history[name], one.history[name])
    assert many.history["loss"][-1] < many.history["loss"][0]
    assert np.isfinite(many.history["seconds"]).all()
    assert (many.history["seconds"] >= 0).all()
    assert many.history["seconds"].sum() > 0


@pytest.mark.parametrize("sizes", [(2, 4, 1), (6, 13, 3)])
def test_epochs_of_one_step_stop_where_they_are_told_to(sizes):
    X, Y = data(sizes, 4)
    kwargs = {"solver": cbackprop.SGD(learning_rate=0.3)}
    plain = cbackprop.Trainer(networks(sizes)[0], **kwargs)
    losses = plain.fit(X, Y, epochs=600)["loss"]
    counted = cbackprop.Trainer(networks(sizes)[0], **kwargs)
    counted._fit(X, Y, 600, steps=333)
    assert counted.epoch == 333
    np.testing.assert_array_equal(counted.history["loss"], losses[:333])
    told = cbackprop.Trainer(networks(sizes)[0], **kwargs)
    history = told.fit(X, Y, epochs=600, target_loss=losses[400])
    assert history.stop_reason == "target_loss"
    assert told.epoch == 401
    np.testing.assert_array_equal(history["loss"], losses[:401])


@pytest.mark.parametrize("sizes", [(2, 4, 1), (6, 13, 3)])
def test_epochs_of_one_step_name_the_one_that_diverged(sizes):
    X, Y = data(sizes, 4)
    names = {"activation": "tanh", "output_activation": "identity"}
    kwargs = {"solver": cbackprop.SGD(learning_rate=20.0)}
    one = cbackprop.Trainer(networks(sizes, **names)[0], **kwargs)
    with pytest.raises(cbackprop.DivergenceError) as expected:
        for _ in range(100_000):
            one.fit(X, Y, epochs=1)
    many = cbackprop.Trainer(networks(sizes, **names)[0], **kwargs)
    with pytest.raises(cbackprop.DivergenceError) as caught:
        many.fit(X, Y, epochs=100_000)
    assert caught.value.epoch == expected.value.epoch > 3
    assert caught.value.step == expected.value.step == 0
    assert np.isfinite(many.network.parameters).all()
    np.testing.assert_array_equal(many.history["loss"], one.history["loss"][: many.epoch])


def test_steps_can_be_counted_out():
    """Left after any number of steps, the fit goes on there: same bits."""
    sizes = (6, 13, 2)
    X, Y = data(sizes, 57)
    whole, _ = trained(networks(sizes)[0], X, Y, epochs=2, batch_size=1)
    net = networks(sizes)[0]
    trainer = cbackprop.Trainer(net, solver=cbackprop.SGD(learning_rate=0.02), seed=9, batch_size=1)
    for steps in (1, 2, 30, 23, 1, 1, 56):
        trainer._fit(X, Y, 1, steps=steps)
    assert trainer.epoch == 2
    np.testing.assert_array_equal(net.parameters, whole)


@pytest.mark.parametrize("shuffle", [False, True])
def test_input_scaling_goes_the_same_way(shuffle):
    sizes = (4, 9, 2)
    X, Y = data(sizes, 60)
    scaling = Scaling(np.full(4, 0.5), np.full(4, 2.0))
    fast, slow = networks(sizes)
    for net in (fast, slow):
        net.input_scaling = scaling
    got, _ = trained(fast, X, Y, batch_size=1, shuffle=shuffle)
    expected, _ = trained(slow, X, Y, batch_size=1, shuffle=shuffle)
    plain, _ = trained(networks(sizes)[0], X, Y, batch_size=1, shuffle=shuffle)
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)
    assert not np.allclose(got, plain)


@pytest.mark.parametrize("which", ["X", "Y"])
@pytest.mark.parametrize("row", [0, 3, 299])
def test_a_bad_row_undoes_the_call(which, row):
    sizes = (3, 8, 1)
    X, Y = data(sizes, 300)
    net = networks(sizes)[0]
    before = net.parameters.copy()
    trainer = cbackprop.Trainer(net, batch_size=1, shuffle=False, seed=1)
    {"X": X, "Y": Y}[which][row, 0] = np.nan
    with pytest.raises(InputError, match=f"{which} holds nan at row {row}"):
        trainer.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(net.parameters, before)
    assert trainer.epoch == 0


def test_divergence_names_the_step_and_keeps_finite_parameters():
    sizes = (3, 8, 1)
    X, Y = data(sizes, 300)
    fast, slow = networks(sizes, activation="identity", output_activation="identity")
    told = []
    for net in (fast, slow):
        trainer = cbackprop.Trainer(
            net, solver=cbackprop.SGD(learning_rate=8.0), batch_size=1, shuffle=False
        )
        with pytest.raises(cbackprop.DivergenceError) as caught:
            trainer.fit(X * 10, Y, epochs=2)
        told.append((caught.value.epoch, caught.value.step))
        assert np.isfinite(net.parameters).all()
    assert told[0][0] == told[1][0] == 0
    assert abs(told[0][1] - told[1][1]) <= 1  # an overflow, seen a step earlier or later


@pytest.mark.parametrize(
    ("sizes", "few_rows"),
    [((2, 4, 1), 4), ((9, 5, 20), 2), ((9, 5, 33), 1), ((4, 3), 0), ((4, 3, 3, 1), 0)],
)
def test_the_plan_says_which_batches(sizes, few_rows):
    assert Plan(sizes, (1,) * (len(sizes) - 1), True, "float64").few_rows == few_rows


def test_a_plan_refuses_few_rows_without_one_hidden_layer():
    for sizes, few_rows in (((4, 3), 1), ((4, 3, 2, 1), 2), ((4, 3, 2), 5)):
        with pytest.raises(ValueError, match="few_rows"):
            Plan(sizes, (1,) * (len(sizes) - 1), True, "float64", few_rows=few_rows)
