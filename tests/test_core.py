"""The compiled core below Network: BLAS in row-major, plans, both partitions of any shape."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbackprop import reference
from cbackprop.activations import ACTIVATIONS
from cbackprop.core.data.rows import SparseRows, extent
from cbackprop.core.gradient import batch, evaluate
from cbackprop.core.gradient.objective import Objective
from cbackprop.core.gradient.plan import Plan
from cbackprop.core.linalg.blas import product

NAMES = ["identity", "sigmoid", "tanh", "relu"]
NO_ACTIVATION = max(spec.code for spec in ACTIVATIONS.values()) + 1


# --- BLAS ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("transpose_A", [False, True])
@pytest.mark.parametrize("transpose_B", [False, True])
@pytest.mark.parametrize(
    "m, n, k", [(3, 5, 7), (1, 4, 2), (4, 1, 3), (2, 3, 1), (65, 33, 17), (2, 3, 0)]
)
def test_blas_product_is_row_major(dtype, transpose_A, transpose_B, m, n, k):
    """Non-square, alpha and beta neither 0 nor 1: no argument can be exchanged unnoticed."""
    rng = np.random.default_rng(m + n + k)
    A = rng.standard_normal((k, m) if transpose_A else (m, k)).astype(dtype)
    B = rng.standard_normal((n, k) if transpose_B else (k, n)).astype(dtype)
    C = rng.standard_normal((m, n)).astype(dtype)
    op_A, op_B = A.T if transpose_A else A, B.T if transpose_B else B
    expected = 2.5 * (op_A.astype(float) @ op_B.astype(float)) - 0.5 * C
    product(transpose_A, transpose_B, 2.5, A, B, -0.5, C)
    np.testing.assert_allclose(C, expected, rtol=0, atol=1e-13 if dtype == "float64" else 1e-4)
    nan = np.full((m, n), np.nan, dtype)
    product(transpose_A, transpose_B, 1.0, A, B, 0.0, nan)  # beta = 0 does not read C
    np.testing.assert_allclose(nan, op_A @ op_B, rtol=0, atol=1e-13 if dtype == "float64" else 1e-4)


def test_blas_product_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="shapes do not fit"):
        product(False, False, 1.0, np.ones((2, 3)), np.ones((4, 5)), 0.0, np.ones((2, 5)))


# --- plans ---------------------------------------------------------------------------------------

SIZES = st.lists(st.integers(1, 800), min_size=2, max_size=5).map(tuple)


@given(sizes=SIZES, bias=st.booleans(), dtype=st.sampled_from(["float64", "float32"]))
@settings(max_examples=150, deadline=None)
def test_the_tiles_of_a_plan_cover_each_weight_once(sizes, bias, dtype):
    plan = Plan(sizes, (1,) * (len(sizes) - 1), bias, dtype)
    shapes = list(itertools.pairwise(sizes))
    assert plan.n_parameters == sum(a * b + bias * b for a, b in shapes)
    seen = [np.zeros(shape, int) for shape in shapes]
    for layer, row, column, n_rows, n_columns in plan.tiles:
        assert n_rows > 0 and n_columns > 0
        seen[layer][row : row + n_rows, column : column + n_columns] += 1
    assert all((count == 1).all() for count in seen)
    assert len({(t[0], t[1], t[2]) for t in plan.tiles}) == len(plan.tiles)
    assert plan.leaf_rows % plan.block_rows == 0 == plan.super_rows % plan.block_rows


@pytest.mark.parametrize(
    "sizes, dtype, partition",
    [
        ((8, 16, 1), "float64", "leaves"),
        ((784, 30, 10), "float64", "leaves"),
        ((784, 100, 10), "float64", "tiles"),
        ((784, 100, 10), "float32", "tiles"),
    ],
)
def test_the_partition_follows_from_the_shape(sizes, dtype, partition):
    assert Plan(sizes, (1, 1), True, dtype).partition == partition


@pytest.mark.parametrize(
    "arguments, error",
    [
        (((3,), (), True, "float64"), ValueError),
        (((3, 2), (1, 1), True, "float64"), ValueError),
        (((3, 2), (NO_ACTIVATION,), True, "float64"), ValueError),
        (((3, 0), (1,), True, "float64"), ValueError),
        (((3, 2), (1,), True, "float16"), ValueError),
        (((2**31, 2), (1,), True, "float64"), OverflowError),
        (((2**62, 2**62), (1,), True, "float64"), OverflowError),
    ],
)
def test_a_plan_refuses_what_it_cannot_count(arguments, error):
    with pytest.raises(error):
        Plan(*arguments)


# --- both partitions, all shapes, against the reference --------------------------------------


def case(sizes, activations, bias, n_rows, weighted, seed=0):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, 0.5, shape) for shape in itertools.pairwise(sizes)]
    biases = [rng.normal(0, 0.5, n) for n in sizes[1:]] if bias else []
    X = rng.standard_normal((n_rows, sizes[0]))
    Y = rng.uniform(0, 1, (n_rows, sizes[-1]))
    w = rng.uniform(0, 2, n_rows) if weighted else None
    parts = zip(weights, biases, strict=True) if bias else ((W,) for W in weights)
    parameters = np.concatenate([part.ravel() for layer in parts for part in layer])
    loss, grad_W, grad_b = reference.gradient(
        weights, biases, [NAMES[a] for a in activations], X, Y, w
    )
    parts = zip(grad_W, grad_b, strict=True) if bias else ((g,) for g in grad_W)
    expected = np.concatenate([part.ravel() for layer in parts for part in layer])
    return parameters, X, Y, w, loss, expected


@pytest.mark.parametrize("partition", ["leaves", "tiles"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    "sizes, activations",
    [
        ((3, 2), (1,)),
        ((1, 1), (0,)),
        ((5, 7, 1), (2, 0)),
        ((4, 3, 5, 2), (3, 1, 0)),
        ((6, 40, 36, 9, 3), (1, 2, 3, 2)),
    ],
)
def test_gradients_by_either_partition(partition, bias, weighted, sizes, activations):
    """Forced small blocks: every boundary between blocks, leaves and super-blocks is crossed."""
    before = batch.set_worthwhile(0.0)
    try:
        plan = Plan(
            sizes,
            activations,
            bias,
            "float64",
            block_rows=4,
            leaf_rows=8,
            super_rows=12,
            partition=partition,
        )
        for n_rows in (1, 3, 4, 5, 8, 12, 13, 16, 17, 100, 1000):
            parameters, X, Y, w, loss, expected = case(sizes, activations, bias, n_rows, weighted)
            bits = set()
            for n_threads in (1, 3):
                out = np.full(plan.n_parameters, np.nan)
                value = evaluate.gradient(plan, Objective(), parameters, X, Y, w, out, n_threads)
                assert value == pytest.approx(loss, rel=1e-13)
                scale = np.abs(expected).max()
                np.testing.assert_allclose(out, expected, rtol=0, atol=1e-13 * scale)
                value = evaluate.loss(plan, Objective(), parameters, X, Y, w, n_threads)
                assert value == pytest.approx(loss, rel=1e-13)
                bits.add(out.tobytes())
            assert len(bits) == 1
    finally:
        batch.set_worthwhile(before)


@pytest.mark.parametrize("partition", ["leaves", "tiles"])
def test_a_batch_can_be_larger_than_every_task(partition):
    """More leaves than slots: tasks are subtrees of several leaves, whatever the threads."""
    sizes, activations = (2, 3, 1), (1, 1)
    plan = Plan(
        sizes,
        activations,
        True,
        "float64",
        block_rows=1,
        leaf_rows=2,
        super_rows=3,
        partition=partition,
    )
    before = batch.set_worthwhile(0.0)
    try:
        for n_rows in (63, 64, 65, 511, 2049):
            parameters, X, Y, w, _, expected = case(sizes, activations, True, n_rows, False)
            bits = set()
            for n_threads in (1, 2, 5, 13):
                out = np.empty(plan.n_parameters)
                evaluate.gradient(plan, Objective(), parameters, X, Y, w, out, n_threads)
                np.testing.assert_allclose(out, expected, rtol=0, atol=1e-14)
                bits.add(out.tobytes())
            assert len(bits) == 1
    finally:
        batch.set_worthwhile(before)


@pytest.mark.parametrize(
    "X, Y",
    [
        (np.ones((4, 2)), np.ones((4, 1))),
        (np.ones((4, 3)), np.ones((5, 1))),
        (np.ones((4, 3)), np.ones((4, 2))),
        (np.ones((4, 3), complex), np.ones((4, 1))),
        (np.ones((4, 3), int), np.ones((4, 1))),
        (np.ones((4, 6))[:, ::2], np.ones((4, 1))),
        (np.ones(4), np.ones((4, 1))),
        (np.ones((4, 3), ">f8"), np.ones((4, 1))),
    ],
)
def test_the_core_refuses_arrays_it_would_read_beyond(X, Y):
    plan = Plan((3, 2, 1), (1, 1), True, "float64")
    with pytest.raises(ValueError):
        evaluate.gradient(plan, Objective(), np.zeros(11), X, Y, None, np.zeros(11), 1)
    X, Y = np.ones((4, 3)), np.ones((4, 1))
    with pytest.raises(ValueError):
        evaluate.gradient(plan, Objective(), np.zeros(10), X, Y, None, np.zeros(11), 1)
    with pytest.raises(ValueError):
        evaluate.gradient(plan, Objective(), np.zeros(11), X, Y, None, np.zeros(10), 1)
    with pytest.raises(ValueError):
        evaluate.gradient(plan, Objective(), np.zeros(11), X, Y, np.ones(3), np.zeros(11), 1)


def test_extent(dtype):
    """Of any strides and alignment; NaN is nothing, infinities are numbers."""
    Y = np.random.default_rng(3).normal(0, 9, (37, 5)).astype(dtype)
    assert extent(Y) == (Y.min(), Y.max())
    assert extent(Y[::-3, 1:3]) == (Y[::-3, 1:3].min(), Y[::-3, 1:3].max())
    unaligned = np.frombuffer(b"." + Y.tobytes(), dtype, offset=1).reshape(Y.shape)
    assert extent(unaligned) == (Y.min(), Y.max())
    Y[0, 0] = Y[-1, -1] = Y[4, 2] = np.nan
    assert extent(Y) == (np.nanmin(Y), np.nanmax(Y))
    Y[3, 3], Y[5, 1] = np.inf, -np.inf
    assert extent(Y) == (-np.inf, np.inf)
    assert extent(np.full((2, 1), np.nan, dtype)) == (np.inf, -np.inf)
    with pytest.raises(ValueError, match="a row source is"):
        extent(Y[:, ::2])
    with pytest.raises(ValueError, match="dense"):
        extent(SparseRows(np.ones(1, dtype), np.zeros(1, np.int64), np.array([0, 1]), 1))
