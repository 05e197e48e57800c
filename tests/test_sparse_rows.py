"""Sparse rows as the core reads them: dense in a block's buffer, the same bits, and checked."""

import numpy as np
import pytest
import scipy.sparse

import cbackprop
from cbackprop.core.data.rows import RowSource, SparseRows
from cbackprop.core.gradient import evaluate


def sparse(X):
    X = scipy.sparse.csr_array(X)
    return SparseRows(X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64), X.shape[1])


def predicted(net, X):
    Y_hat = np.empty((len(X), net.sizes[-1]), net.dtype)
    good = evaluate.predict(net._plan, net.parameters, X, Y_hat, 1, net._scaling)
    return Y_hat if good else None


@pytest.mark.parametrize("data_dtype", ["float64", "float32"])
def test_sparse_and_dense_rows_give_the_same_bits(dtype, data_dtype):
    rng = np.random.default_rng(0)
    X = np.where(rng.uniform(size=(700, 9)) < 0.3, rng.standard_normal((700, 9)), 0)
    X = X.astype(data_dtype)
    X[5] = 0
    net = cbackprop.Network((9, 6, 2), dtype=dtype, seed=1)
    assert predicted(net, sparse(X)).tobytes() == predicted(net, X).tobytes()
    net.fit_scaling(X)
    assert predicted(net, sparse(X)).tobytes() == predicted(net, X).tobytes()


def test_rows_without_an_entry_are_zeros():
    net = cbackprop.Network((3, 2, 1), seed=1)
    X = np.zeros((4, 3))
    assert predicted(net, sparse(X)).tobytes() == predicted(net, X).tobytes()


def test_entries_of_one_place_are_summed():
    columns = np.array([1, 1], np.int64)
    twice = SparseRows(np.array([1.0, 2.0]), columns, np.array([0, 2], np.int64), 3)
    net = cbackprop.Network((3, 2, 1), seed=1)
    assert predicted(net, twice) == predicted(net, np.array([[0.0, 3.0, 0.0]]))


def test_a_nan_among_the_entries_is_found():
    net = cbackprop.Network((3, 2, 1), seed=1)
    assert predicted(net, sparse(np.array([[0.0, np.nan, 1.0]]))) is None


@pytest.mark.parametrize(
    ("columns", "starts"),
    [
        ([0, 3], [0, 1, 2]),
        ([0, -1], [0, 1, 2]),
        ([0, 1], [0, 2, 1]),
        ([0, 1], [0, 1, 3]),
        ([0, 1], [-1, 1, 2]),
        ([0, 1, 2], [0, 1, 2]),
        ([0, 1], []),
    ],
)
def test_places_outside_of_the_rows_are_refused(columns, starts):
    with pytest.raises(ValueError, match="not those of sparse rows"):
        SparseRows(np.ones(2), np.array(columns, np.int64), np.array(starts, np.int64), 3)


def test_data_of_another_kind_are_refused():
    rows = SparseRows(np.ones(1, int), np.zeros(1, np.int64), np.array([0, 1], np.int64), 1)
    with pytest.raises(ValueError, match="an array of float32 or float64"):
        RowSource(rows, 8)
