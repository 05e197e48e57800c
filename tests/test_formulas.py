"""The founding page's functions against the specification, and what they do with odd arguments."""

import mpmath
import numpy as np
import pytest

import cbackprop
from cbackprop import reference
from cbackprop.errors import InputError, InputTypeError
from cbackprop.network import two_layer

RTOL = {"float64": 1e-13, "float32": 1e-5}


def page(dtype="float64", N=7, n_in=4, n_hidden=5, n_out=3):
    rng = np.random.default_rng(N)
    arrays = (
        rng.normal(size=(N, n_in)),
        rng.integers(2, size=(N, n_out)),
        rng.normal(size=(n_in, n_hidden)),
        rng.normal(size=(n_hidden, n_out)),
    )
    return tuple(A.astype(dtype) for A in arrays)


def hidden(dtype="float64", N=7, n_hidden=5, n_out=3):
    rng = np.random.default_rng(N)
    delta_O, W2 = rng.normal(size=(N, n_out)), rng.normal(size=(n_hidden, n_out))
    return tuple(A.astype(dtype) for A in (delta_O, W2, rng.uniform(size=(N, n_hidden))))


# ----------------------------------------------------------------------------------------- numbers


def test_sigmoid(dtype):
    x = np.linspace(-30, 30, 997).astype(dtype)
    got = cbackprop.sigmoid(x)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, reference.sigmoid(x.astype(float)), rtol=RTOL[dtype])


def test_sigmoid_at_the_ends(dtype):
    x = np.array([-np.inf, -1e30, np.inf, 1e30, np.nan, 0.0, -0.0], dtype)
    np.testing.assert_array_equal(cbackprop.sigmoid(x), [0, 0, 1, 1, np.nan, 0.5, 0.5])


@pytest.mark.parametrize("x", [-740.0, -100.0, -1e-8, 1e-300, 36.0])
def test_sigmoid_against_mpmath(x):
    exact = float(1 / (1 + mpmath.exp(-mpmath.mpf(x))))
    assert cbackprop.sigmoid(x) == pytest.approx(exact, rel=1e-15, abs=1e-323)


@pytest.mark.parametrize("shape", [(), (1,), (5, 3), (2, 3, 4), (0,), (3, 0)])
def test_delta_output(dtype, shape):
    rng = np.random.default_rng(0)
    Y, Y_hat = (rng.uniform(size=shape).astype(dtype) for _ in range(2))
    got = cbackprop.delta_output(Y, Y_hat)
    assert got.dtype == dtype
    assert got.shape == shape
    np.testing.assert_allclose(got, -(Y - Y_hat) * Y_hat * (1 - Y_hat), rtol=RTOL[dtype] * 10)


@pytest.mark.parametrize("N", [1, 2, 63, 257])
@pytest.mark.parametrize(("n_hidden", "n_out"), [(1, 1), (5, 3), (2, 33)])
def test_delta_hidden(dtype, N, n_hidden, n_out):
    delta_O, W2, Z = hidden(dtype, N, n_hidden, n_out)
    got = cbackprop.delta_hidden(delta_O, W2, Z)
    wide = [A.astype(float) for A in (delta_O, W2, Z)]
    expected = (wide[0] @ wide[1].T) * wide[2] * (1 - wide[2])
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=RTOL[dtype] * np.abs(expected).max())


@pytest.mark.parametrize("N", [1, 2, 63, 257])
@pytest.mark.parametrize(("n_in", "n_hidden", "n_out"), [(1, 1, 1), (4, 5, 3), (17, 2, 1)])
def test_gradients(dtype, N, n_in, n_hidden, n_out):
    arrays = page(dtype, N, n_in, n_hidden, n_out)
    loss, *gradients = cbackprop.gradients(*arrays)
    exact_loss, *exact = reference.gradients(*(A.astype(float) for A in arrays))
    assert loss == pytest.approx(exact_loss, rel=RTOL[dtype])
    assert type(loss) is float
    for got, expected in zip(gradients, exact, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=0, atol=RTOL[dtype] * np.abs(expected).max())


def test_gradients_by_complex_step():
    X, Y, W1, W2 = page()
    _, *gradients = cbackprop.gradients(X, Y, W1, W2)
    for which, gradient in enumerate(gradients):
        exact = np.empty_like(gradient)
        for index in np.ndindex(gradient.shape):
            stepped = [W1.astype(complex), W2.astype(complex)]
            stepped[which][index] += 1e-30j
            exact[index] = reference.gradients(X, Y, *stepped)[0].imag / 1e-30
        assert np.abs(gradient - exact).max() <= 1e-12 * np.abs(exact).max()


def test_gradients_large_enough_for_threads_in_blas(monkeypatch):
    asked = []
    real = two_layer.blas_threads.single_threaded

    def single_threaded(needed):
        asked.append(needed)
        return real(needed)

    monkeypatch.setattr(two_layer.blas_threads, "single_threaded", single_threaded)
    for N in (64, 65):  # 64 x 64 x 64 is the last product on one thread
        arrays = page("float64", N, 64, 64, 1)
        _, *gradients = cbackprop.gradients(*arrays)
        for got, expected in zip(gradients, reference.gradients(*arrays)[1:], strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-15)
        cbackprop.delta_hidden(*hidden("float64", N, 64, 64))
    assert asked == [False, False, True, True]


# ---------------------------------------------------------------------------------- dtypes, shapes


def test_scalars_come_back_as_scalars():
    assert type(cbackprop.sigmoid(0)) is np.float64
    assert type(cbackprop.sigmoid(np.float32(0))) is np.float32
    assert type(cbackprop.delta_output(1, 0.5)) is np.float64
    out = np.empty(())
    assert cbackprop.sigmoid(0.0, out=out) is out
    assert out == 0.5


@pytest.mark.parametrize(
    ("given", "dtype"),
    [([0, 1], "float64"), (np.float16([0, 1]), "float64"), (np.array([0, 1], ">f4"), "float32"),
     (np.array([False, True]), "float64"), (np.longdouble([0, 1]), "float64")],
)  # fmt: skip
def test_dtypes_of_sigmoid(given, dtype):
    got = cbackprop.sigmoid(given)
    assert got.dtype == dtype
    assert got.dtype.isnative
    np.testing.assert_allclose(got, [0.5, 0.7310585786300049], rtol=1e-6)


def test_mixtures_are_computed_in_float64():
    X, Y, W1, W2 = page()
    mixed = X.astype(np.float32), Y, W1, W2
    _, grad_W1, grad_W2 = cbackprop.gradients(*mixed)
    assert grad_W1.dtype == grad_W2.dtype == np.float64
    np.testing.assert_allclose(grad_W1, reference.gradients(*mixed)[1], rtol=1e-11)
    assert cbackprop.delta_output([1, 0], np.float32([0.5, 0.5])).dtype == np.float64


def strange(A):
    """The same numbers in other layouts."""
    read_only = A.copy()
    read_only.setflags(write=False)
    wide = np.zeros((A.shape[0] * 2, A.shape[1] * 3), A.dtype)
    wide[::2, ::3] = A
    shifted = np.zeros(A.nbytes + 1, np.uint8)[1:].view(A.dtype).reshape(A.shape)
    shifted[...] = A
    backwards = A[::-1].copy()[::-1]
    return [np.asfortranarray(A), read_only, wide[::2, ::3], shifted, backwards, A.tolist()]


@pytest.mark.parametrize("layout", range(6))
def test_layouts(layout):
    arrays = page()
    odd = [strange(A)[layout] for A in arrays]
    before = [np.array(A) for A in odd]
    for got, expected in zip(cbackprop.gradients(*odd), cbackprop.gradients(*arrays), strict=True):
        np.testing.assert_array_equal(got, expected)
    delta_O, W2, Z = hidden()
    odd_hidden = [strange(A)[layout] for A in (delta_O, W2, Z)]
    np.testing.assert_array_equal(
        cbackprop.delta_hidden(*odd_hidden), cbackprop.delta_hidden(delta_O, W2, Z)
    )
    np.testing.assert_array_equal(cbackprop.sigmoid(odd[0]), cbackprop.sigmoid(arrays[0]))
    np.testing.assert_array_equal(
        cbackprop.delta_output(odd[1], strange(Z[:, :3])[layout]),
        cbackprop.delta_output(arrays[1], Z[:, :3]),
    )
    for A, copy in zip(odd, before, strict=True):
        np.testing.assert_array_equal(A, copy)


def test_targets_of_one_output_may_be_flat():
    X, Y, W1, W2 = page(n_out=1)
    flat, column = cbackprop.gradients(X, Y[:, 0], W1, W2), cbackprop.gradients(X, Y, W1, W2)
    for a, b in zip(flat, column, strict=True):
        np.testing.assert_array_equal(a, b)
    assert cbackprop.gradients(X, Y[:, 0].tolist(), W1, W2.tolist())[0] == column[0]


# --------------------------------------------------------------------------------------------- out


def test_out_is_filled_and_returned(dtype):
    x = np.linspace(-3, 3, 6).reshape(2, 3).astype(dtype)
    for call in (
        lambda out: cbackprop.sigmoid(x, out=out),
        lambda out: cbackprop.delta_output(x, x / 9, out=out),
        lambda out: cbackprop.delta_hidden(x[:, :2], x.T[:, :2].copy(), x, out=out),
    ):
        out = np.full((2, 3), np.nan, dtype)
        assert call(out) is out
        np.testing.assert_array_equal(out, call(None))


def overlaps(n=6):
    """Pairs of an input and an output in the same memory, of n numbers each."""
    memory = np.linspace(0.1, 0.9, 4 * n)
    return {
        "the same": (memory[:n], memory[:n]),
        "later": (memory[:n], memory[1 : n + 1]),
        "earlier": (memory[3 : n + 3], memory[:n]),
        "strided": (memory[: 2 * n : 2], memory[3 : n + 3]),
        "backwards": (memory[n - 1 :: -1], memory[:n]),
        "apart": (memory[:n], memory[2 * n : 3 * n]),
    }


@pytest.mark.parametrize("n", [6, 101, 4000])
@pytest.mark.parametrize("layout", overlaps())
def test_out_may_overlap_the_input(layout, n):
    for which in range(3):
        given, out = overlaps(n)[layout]
        other = np.linspace(0.2, 0.7, n)
        if which == 0:
            expected = cbackprop.sigmoid(given.copy())
            got = cbackprop.sigmoid(given, out=out)
        elif which == 1:
            expected = cbackprop.delta_output(given.copy(), other)
            got = cbackprop.delta_output(given, other, out=out)
        else:
            expected = cbackprop.delta_output(other, given.copy())
            got = cbackprop.delta_output(other, given, out=out)
        assert got is out
        np.testing.assert_array_equal(out, expected)


def test_delta_hidden_may_overwrite_its_inputs():
    square = [np.ascontiguousarray(A) for A in hidden(N=4, n_hidden=4, n_out=4)]
    expected = cbackprop.delta_hidden(*square)
    for which in range(3):
        arrays = [A.copy() for A in square]
        assert cbackprop.delta_hidden(*arrays, out=arrays[which]) is arrays[which]
        np.testing.assert_array_equal(arrays[which], expected)


def read_only(shape):
    out = np.empty(shape)
    out.setflags(write=False)
    return out


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (np.empty((3, 2)), InputError, r"out has shape \(3, 2\); expected \(2, 3\)"),
        (np.empty(6), InputError, r"out has shape \(6,\)"),
        (np.empty((2, 3), np.float32), InputTypeError, "out has dtype float32; expected float64"),
        (np.empty((2, 3), int), InputTypeError, "out has dtype int64; expected float64"),
        (np.empty((2, 3), ">f8"), InputTypeError, "out has dtype >f8; expected float64"),
        (np.empty((2, 3), order="F"), InputError, "out is not C-contiguous"),
        (np.empty((2, 6))[:, ::2], InputError, "out is not C-contiguous"),
        (read_only((2, 3)), InputError, "out is read-only"),
        (np.zeros(49, np.uint8)[1:].view("f8").reshape(2, 3), InputError, "out is not aligned"),
        ([[0.0] * 3] * 2, InputTypeError, "out is a list; expected an array"),
    ],
)
def test_bad_out(out, error, words):
    x = np.ones((2, 3))
    for call in (
        lambda: cbackprop.sigmoid(x, out=out),
        lambda: cbackprop.delta_output(x, x, out=out),
        lambda: cbackprop.delta_hidden(np.ones((2, 1)), np.ones((3, 1)), x, out=out),
    ):
        with pytest.raises(error, match=words):
            call()


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"X": np.ones((6, 4))}, InputError, "X has 6 rows and Y has 7"),
        ({"X": np.ones((7, 5))}, InputError, r"W1 has shape \(4, 5\); expected \(5, n_hidden\)"),
        ({"W2": np.ones((4, 3))}, InputError, r"W2 has shape \(4, 3\); expected \(5, n_out\)"),
        ({"Y": np.ones((7, 2))}, InputError, r"Y has shape \(7, 2\); expected \(7, 3\)"),
        ({"Y": np.ones(7)}, InputError, "Y has 1 dimension"),
        ({"X": np.ones(4)}, InputError, "X has 1 dimension"),
        ({"X": np.empty((0, 4)), "Y": np.empty((0, 3))}, InputError, "X is empty"),
        ({"W1": np.ones((4, 5)) * 1j}, InputTypeError, "W1 is complex"),
        ({"Y": [["a"] * 3] * 7}, InputTypeError, "Y holds text"),
        ({"X": None}, InputTypeError, "X is None"),
    ],
)
def test_bad_arguments_of_gradients(change, error, words):
    arguments = dict(zip(("X", "Y", "W1", "W2"), page(), strict=True)) | change
    with pytest.raises(error, match=words):
        cbackprop.gradients(**arguments)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("which", "name"), [(0, "X"), (1, "Y"), (2, "W1"), (3, "W2")])
def test_non_finite_arguments_of_gradients(bad, which, name):
    arrays = list(page())
    arrays[which][2, 1] = bad
    if which > 1 and not np.isnan(bad):
        return  # infinite weights saturate the sigmoid: a limit, not an error
    with pytest.raises(InputError, match=f"{name} holds {bad} at row 2, column 1"):
        cbackprop.gradients(*arrays)


def test_overflow_is_no_bad_input():
    X, Y, W1, W2 = page()
    assert cbackprop.gradients(X, Y * 1e200, W1, W2)[0] == np.inf


def test_bad_shapes_of_the_deltas():
    with pytest.raises(InputError, match=r"Y_hat has shape \(3,\); expected the shape of Y, \(2,"):
        cbackprop.delta_output(np.ones((2, 3)), np.ones(3))
    delta_O, W2, Z = hidden()
    with pytest.raises(InputError, match=r"W2 has shape \(5, 2\); expected \(n_hidden, 3\)"):
        cbackprop.delta_hidden(delta_O, W2[:, :2], Z)
    with pytest.raises(InputError, match=r"Z has shape \(7, 4\); expected \(7, 5\)"):
        cbackprop.delta_hidden(delta_O, W2, Z[:, :4])
    with pytest.raises(InputError, match="Z has 1 dimension"):
        cbackprop.delta_hidden(delta_O, W2, Z[0])


@pytest.mark.parametrize(
    ("x", "words"),
    [(1j, "x is complex"), ("a", "x is 'a'"), (None, "x is None"), ([[1], [1, 2]], "x")],
)
def test_bad_arguments_of_sigmoid(x, words):
    with pytest.raises((InputError, InputTypeError), match=words):
        cbackprop.sigmoid(x)
