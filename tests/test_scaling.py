"""Scaling: statistics in chunks, constant columns, large and small numbers."""

import copy
import dataclasses
import pickle
import tracemalloc

import numpy as np
import pytest

import cbackprop
from cbackprop.errors import InputError, InputTypeError
from cbackprop.network import scaling
from cbackprop.network.scaling import Scaling


def apply(s, X):
    return (X - s.shift) * s.scale


@pytest.mark.parametrize("n_rows", [2, 7, 1000])
@pytest.mark.parametrize("chunk", [1, 10, 1 << 16])
def test_statistics(monkeypatch, n_rows, chunk):
    monkeypatch.setattr(scaling, "_CHUNK", chunk)
    X = np.random.default_rng(0).normal([1, -1000, 1e-6], [1, 10, 1e-7], size=(n_rows, 3))
    s = Scaling.standard(X)
    np.testing.assert_allclose(s.shift, X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(s.scale, 1 / X.std(axis=0), rtol=1e-11)
    s = Scaling.minmax(X)
    scaled = apply(s, X)
    np.testing.assert_allclose(scaled.min(axis=0), -1, rtol=1e-11)
    np.testing.assert_allclose(scaled.max(axis=0), 1, rtol=1e-11)


@pytest.mark.parametrize("make", [Scaling.standard, Scaling.minmax])
def test_a_constant_column_becomes_zero(make):
    for constant in (0.1, 0.0, -3.7e15, 1e300, 5e-324):
        X = np.full((1001, 2), constant)
        X[:, 1] = np.arange(1001)
        assert not apply(make(X), X)[:, 0].any()
    assert not apply(make([[3.0, 4.0]]), np.array([3.0, 4.0])).any()


@pytest.mark.parametrize("make", [Scaling.standard, Scaling.minmax])
def test_a_spread_too_small_to_divide_by(make):
    X = np.array([[0.0], [5e-324]])
    assert np.isfinite(apply(make(X), X)).all()


def test_large_numbers():
    X = np.array([[-1.7e308], [1.7e308], [0.0]])
    np.testing.assert_allclose(apply(Scaling.minmax(X), X / 1)[2], 0, atol=1e-15)
    assert Scaling.minmax(X).scale[0] == pytest.approx(1 / 1.7e308)
    with pytest.raises(InputError, match="X column 0 holds numbers too large"):
        Scaling.standard(X)


def test_float32_is_summed_in_float64():
    X = np.full((100_000, 1), 0.1, np.float32)
    X[::2] = 1.1
    s = Scaling.standard(X)
    assert s.shift[0] == pytest.approx(np.float64(X).mean(), rel=1e-12)
    assert s.scale[0] == pytest.approx(1 / np.float64(X).std(), rel=1e-10)


def test_integers_and_lists():
    np.testing.assert_array_equal(Scaling.minmax([[0, 1], [4, 2]]).shift, [2, 1.5])


@pytest.mark.parametrize("make", [Scaling.standard, Scaling.minmax])
def test_some_rows_by_number(make):
    """To the bit as of a copy of these rows, over several chunks; others may hold anything."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90_000, 2))
    rows = rng.permutation(90_000)[:50_000]
    rest = np.delete(np.arange(90_000), rows)
    X[rest[:2]] = np.nan, np.inf
    expected = make(X[rows])
    mask = np.zeros(90_000, bool)
    mask[rows] = True
    for found, of in ((make(X, rows=rows), expected), (make(X, rows=mask), make(X[mask]))):
        np.testing.assert_array_equal(found.shift, of.shift)
        np.testing.assert_array_equal(found.scale, of.scale)
    with pytest.raises(InputError, match="X holds nan at row"):
        make(X)


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ([0, 4], InputError, "rows holds row 4; expected row numbers of 0 .. 3"),
        ([1, 1], InputError, "rows holds a row twice"),
        ([], InputTypeError, "expected the numbers of some rows"),
        (0.5, InputTypeError, "rows is 0.5"),
    ],
)
def test_row_numbers_that_are_none(rows, error, words):
    with pytest.raises(error, match=words):
        Scaling.standard(np.eye(4), rows=rows)
    net = cbackprop.Network((4, 4), seed=0)
    with pytest.raises(error, match=words):
        net.fit_scaling(np.eye(4), np.eye(4), rows=rows)
    assert net.input_scaling is None and net.output_scaling is None


@pytest.mark.parametrize("make", [Scaling.standard, Scaling.minmax])
@pytest.mark.parametrize("rows", [[0, 5], [5, 0], [False] * 5 + [True] + [False] * 4])
def test_the_row_that_is_named_is_one_of_those_taken(make, rows):
    X = np.ones((10, 2))
    X[2, 0], X[5, 1] = np.nan, np.inf
    with pytest.raises(InputError, match="X holds inf at row 5, column 1"):
        make(X, rows=rows)


def test_fit_scaling_names_the_targets():
    net = cbackprop.Network((2, 1), output_activation="identity")
    with pytest.raises(InputError, match=r"Y holds nan at row 1, .*np.isfinite\(Y\)"):
        net.fit_scaling(Y=np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="Y holds inf at row 2"):
        net.fit_scaling(Y=np.array([1.0, np.nan, np.inf]), targets="minmax", rows=[0, 2])
    with pytest.raises(InputError, match="Y column 0 holds numbers too large to scale"):
        net.fit_scaling(Y=np.array([-1e300, 1e300]))


@pytest.mark.parametrize("X_too_large, Y_too_large", [(1e38, 1), (1, 1e38)])
def test_fit_scaling_sets_both_scalings_or_none(X_too_large, Y_too_large):
    net = cbackprop.Network((2, 1), output_activation="identity", dtype="float32")
    X, Y = np.array([[10.0, 1.0], [12.0, 2.0]]), np.array([10.0, 20.0])
    name = "input" if X_too_large > 1 else "output"
    with pytest.raises(InputError, match=f"{name}_scaling holds numbers too large for float32"):
        net.fit_scaling(X * X_too_large, Y * Y_too_large)
    assert net.input_scaling is None and net.output_scaling is None
    softmax = cbackprop.Network((2, 2), output_activation="softmax")
    with pytest.raises(InputError, match="output_scaling is given"):
        softmax.fit_scaling(X, X)
    assert softmax.input_scaling is None


def test_fit_scaling_of_some_rows():
    X, Y = np.random.default_rng(0).normal(size=(2, 40, 3))
    rows = np.arange(5, 30)
    nets = [cbackprop.Network((3, 3), output_activation="identity", seed=0) for _ in range(2)]
    nets[0].fit_scaling(X, Y, targets="minmax", rows=rows)
    nets[1].fit_scaling(X[rows], Y[rows], targets="minmax")
    np.testing.assert_array_equal(nets[0].predict(X), nets[1].predict(X))


def test_no_copy_of_the_data():
    X = np.random.default_rng(0).normal(size=(200_000, 10)).astype(np.float32)
    tracemalloc.start()
    Scaling.standard(X)
    Scaling.minmax(X)
    Scaling.standard(X, rows=np.arange(1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes / 3


def test_it_is_frozen_and_a_copy():
    shift = np.zeros(2)
    s = Scaling(shift, [1, 2])
    shift[0] = 5
    assert s.shift.tolist() == [0, 0]
    for change in (
        lambda: setattr(s, "shift", shift),
        lambda: s.scale.__setitem__(0, 3.0),
    ):
        with pytest.raises((dataclasses.FrozenInstanceError, ValueError)):
            change()
    for twin in (copy.deepcopy(s), pickle.loads(pickle.dumps(s))):
        np.testing.assert_array_equal(twin.scale, s.scale)
    assert repr(s) == "Scaling of 2 input columns"


@pytest.mark.parametrize(
    ("shift", "scale", "error", "words"),
    [
        ([0, 0], [1], InputError, "shift has 2 entries and scale 1"),
        ([[0]], [1], InputError, r"shift has shape \(1, 1\); expected one number for each"),
        ([0], 1, InputError, r"scale has shape \(\)"),
        ([], [], InputError, r"shift has shape \(0,\)"),
        ([np.nan], [1], InputError, r"shift\[0\] is nan"),
        ([0, 0], [1, np.inf], InputError, r"scale\[1\] is inf"),
        (["a"], [1], InputTypeError, "shift holds text"),
        ([0], [1j], InputTypeError, "scale is complex"),
    ],
)
def test_bad_arguments(shift, scale, error, words):
    with pytest.raises(error, match=words):
        Scaling(shift, scale)


@pytest.mark.parametrize("make", [Scaling.standard, Scaling.minmax])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_data(make, bad):
    X = np.ones((5, 2))
    X[3, 1] = bad
    with pytest.raises(InputError, match=f"X holds {bad} at row 3, column 1"):
        make(X)
    with pytest.raises(InputError, match="X has 1 dimension"):
        make(X[0])
