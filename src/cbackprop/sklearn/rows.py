"""Checked rows as the core reads them, dense or sparse: for training, selection and prediction.

A sparse X is never made dense as a whole: the core scatters its rows into a block's buffer, and
predictions are made a block at a time.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

from ..core.data.rows import SparseRows
from ..network.network import Network

__all__ = ["as_rows", "is_sparse", "predict_rows", "some_rows"]

# Rows of a sparse X that are made dense at a time for prediction.
_BLOCK = 1024


def is_sparse(X: Any) -> bool:
    """Whether X is a SciPy sparse matrix or array."""
    return bool(scipy.sparse.issparse(X))


def as_rows(X: Any) -> Any:
    """A checked X as the core reads it; sparse rows are made dense in a block's buffer."""
    if not is_sparse(X):
        return X if X.strides[1] == X.itemsize else np.ascontiguousarray(X)
    X = X.tocsr()
    return SparseRows(
        np.ascontiguousarray(X.data),
        X.indices.astype(np.int64),
        X.indptr.astype(np.int64),
        X.shape[1],
    )


def some_rows(X: Any, rows: np.ndarray | None) -> Any:
    """Rows of what `as_rows` returned, as an array or a sparse array."""
    if isinstance(X, SparseRows):
        X = scipy.sparse.csr_array((X.data, X.columns, X.starts), shape=X.shape)
    return X if rows is None else X[rows]


def predict_rows(network: Network, X: Any, *, return_std: bool = False) -> Any:
    """The outputs for checked rows; sparse rows are made dense one block at a time."""
    predict: Callable[[Any], Any] = network.predict
    if return_std:
        predict = functools.partial(network.predict, return_std=True)
    if not is_sparse(X):
        return predict(X)
    X = X.tocsr()
    blocks = [
        predict(X[first : first + _BLOCK].toarray()) for first in range(0, X.shape[0], _BLOCK)
    ]
    if not return_std:
        return np.concatenate(blocks)
    return tuple(map(np.concatenate, zip(*blocks, strict=True)))
