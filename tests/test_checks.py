"""Bad input is refused with the argument's name and the way out; good input is not copied."""

import decimal
import sys

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import cbackprop
from cbackprop import checks
from cbackprop.errors import CBackpropError, InputError, InputTypeError
from cbackprop.network.scaling import Scaling

X = np.arange(12.0).reshape(4, 3)


def rows(value, n_columns=3, **how):
    return checks.as_rows("X", value, n_columns, np.float64, **how)


# ------------------------------------------------------------------------------------------ as_rows


def layouts():
    """Arrays of rows that the core reads in place."""
    big = np.arange(120.0).reshape(12, 10)
    read_only = X.copy()
    read_only.setflags(write=False)
    unaligned = np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float64).reshape(4, 3)
    return {
        "plain": X,
        "float32": X.astype(np.float32),
        "read-only": read_only,
        "every other row": big[::2, 2:5],
        "backwards": big[::-1, :3],
        "one row repeated": np.broadcast_to(X[:1], (5, 3)),
        "unaligned": unaligned,
    }


@pytest.mark.parametrize("layout", layouts())
def test_good_arrays_are_not_copied(layout):
    given = layouts()[layout]
    got = rows(given)
    assert got is given or np.shares_memory(got, given)


def test_a_memmap_is_not_copied(tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, X)
    given = np.load(path, mmap_mode="r")
    assert np.shares_memory(rows(given), given)


@pytest.mark.parametrize(
    "column", [X[:, :1], np.asfortranarray(X)[:, :1], X[::2, 1:2], X[:, 1][:, np.newaxis]]
)
def test_one_column_is_never_copied(column):
    assert np.shares_memory(rows(column, 1), column)


@pytest.mark.parametrize("y", [X[:, 1], X[::-1, 1], np.arange(3.0)])
def test_one_dimension_is_one_column_where_allowed(y):
    got = rows(y, 1, allow_1d=True)
    assert got.shape == (len(y), 1)
    assert np.shares_memory(got, y)
    np.testing.assert_array_equal(got[:, 0], y)


@given(
    kind=st.sampled_from(["bool", "i1", "u8", "i4", "f2", ">f8", ">f4", "f8", "longdouble"]),
    order=st.sampled_from("CF"),
    step=st.sampled_from([1, 2, -1]),
)
def test_other_numbers_are_cast(kind, order, step):
    given_array = np.arange(6).reshape(2, 3).astype(kind, order=order)[:, ::step]
    got = checks.as_rows("X", given_array, given_array.shape[1], np.float32)
    assert got.dtype in (np.float32, np.float64)
    assert got.dtype.isnative
    assert got.shape[1] == 1 or got.strides[1] == got.itemsize
    np.testing.assert_array_equal(got, given_array.astype(np.float64))


def test_integers_become_the_networks_dtype():
    assert checks.as_rows("X", [[1, 2]], 2, np.float32).dtype == np.float32
    assert checks.as_rows("X", [[True, False]], 2, np.float64).dtype == np.float64
    assert checks.as_rows("X", np.ones((1, 2), np.float16), 2, np.float64).dtype == np.float64


def test_matrix_and_unmasked_arrays_are_plain_arrays():
    matrix = X.view(np.matrix)
    for value in (matrix, np.ma.masked_array(X), np.ma.masked_array(X, mask=X < -1)):
        assert type(rows(value)) is np.ndarray


def test_input_is_left_alone():
    given = np.asfortranarray(X)
    before = given.copy()
    got = rows(given)
    got[:] = -1
    np.testing.assert_array_equal(given, before)


def ragged_object():
    return np.array([[1.0, "a", 2.0]], dtype=object)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (X[0], InputError, r"X has 1 dimension .*expected 2, \(n_rows, 3\): X.reshape\(1, -1\)"),
        (np.ones(5), InputError, r"reshape\(1, -1\) is one row, X.reshape\(-1, 1\) one column"),
        (np.ones((2, 3, 3)), InputError, r"X has 3 dimensions .*X.reshape\(len\(X\), -1\)"),
        (7.0, InputError, r"X has 0 dimensions"),
        (X[:, :2], InputError, r"X has 2 columns \(shape \(4, 2\)\); expected 3"),
        (np.ones((3, 4)), InputError, r"has 4 columns.*expected 3: X.T"),
        (np.empty((0, 3)), InputError, r"X is empty \(shape \(0, 3\)\); expected at least one row"),
        ([], InputError, r"X has 1 dimension"),
        (X * 1j, InputTypeError, r"X is complex \(complex128\).*X.real, X.imag"),
        (ragged_object(), InputTypeError, r"X\[0\]\[1\] is 'a' \(str\) \(dtype object\)"),
        (X.astype(object), InputTypeError, r"X has dtype object.*dtype=float"),
        ([[decimal.Decimal(1)]], InputTypeError, r"X\[0\]\[0\] is a Decimal"),
        ([[1.0, None, 2.0]], InputTypeError, r"X\[0\]\[1\] is None"),
        (X.astype(str), InputTypeError, r"X holds text \(dtype <U\d+\).*X.astype\(float\)"),
        ([["a", "b", "c"]], InputTypeError, r"X holds text"),
        (X.astype("M8[s]"), InputTypeError, r"X has dtype datetime64"),
        (np.zeros(2, [("a", "f8")]), InputTypeError, r"X has dtype \[\('a'"),
        (None, InputTypeError, r"X is None; expected a 2-D array of real numbers"),
        ("digits", InputTypeError, r"X is 'digits' \(str\)"),
        ({"a": 1}, InputTypeError, r"X is a dict"),
        ((row for row in X), InputTypeError, r"X is a generator"),
        ([[1, 2, 3], [4, 5]], InputError, r"X\[0\] has length 3 and X\[1\] has length 2"),
        ([[1, 2, 3], 4], InputError, r"X\[0\] has length 3 and X\[1\] is a number"),
        (scipy.sparse.csr_matrix(X), InputTypeError, r"sparse csr .*\(4, 3\).*X.toarray\(\)"),
        (scipy.sparse.coo_array(X), InputTypeError, r"sparse coo"),
        (np.ma.masked_greater(X, 9), InputError, r"2 masked entries.*X.filled\(0\)"),
    ],
)
def test_bad_arrays(value, error, words):
    with pytest.raises(error, match=words):
        rows(value)


def test_targets_get_their_own_advice():
    with pytest.raises(InputError, match=r"Y has 1 dimension.*np.eye\(3\)\[Y\]"):
        checks.as_rows("Y", [0, 1, 2], 3, np.float64, allow_1d=True)
    with pytest.raises(InputError, match=r"Z has 1 dimension.*Z.reshape\(-1, 1\) is one column"):
        checks.as_rows("Z", [0, 1, 2], 1, np.float64)


def test_what_cannot_be_read_is_said_with_its_reason():
    class Stubborn:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("call detach() first")

    with pytest.raises(InputTypeError, match=r"X is a Stubborn .*call detach\(\) first") as caught:
        rows(Stubborn())
    assert isinstance(caught.value.__cause__, RuntimeError)


class Unreadable:
    """An argument whose conversion fails in a way of its own."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not now")


@pytest.mark.parametrize(
    "call",
    [
        lambda bad: checks.row_numbers("rows", bad, 4),
        lambda bad: checks.whole_numbers("rows", bad),
        lambda bad: checks.positive_float("rate", bad),
        lambda bad: checks.as_weights("weights", bad, 4),
        lambda bad: Scaling.standard(X, rows=bad),
        lambda bad: fit(validation_data=bad),
        lambda bad: fit(test_data=[bad, 3]),
        lambda bad: fit(loss=lambda Y, Y_hat: (0.0, bad)),
        lambda bad: fit(shuffle=lambda epoch: bad, batch_size=2),
    ],
)
def test_what_cannot_be_read_is_our_error_everywhere(call):
    with pytest.raises(CBackpropError, match=r"Unreadable|list|tuple") as caught:
        call(Unreadable())
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "not now" in str(caught.value)


def fit(*, validation_data=None, test_data=None, **settings):
    trainer = cbackprop.Trainer(cbackprop.Network((3, 1), seed=0), **settings)
    trainer.fit(X, X[:, 0] / 12, epochs=1, validation_data=validation_data, test_data=test_data)


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    numeric = pandas.DataFrame(X, columns=list("abc"))
    np.testing.assert_array_equal(rows(numeric), X)
    np.testing.assert_array_equal(rows(numeric["a"], 1, allow_1d=True)[:, 0], X[:, 0])
    mixed = numeric.assign(b=["u", "v", "u", "v"])
    with pytest.raises(InputTypeError, match=r"X is a DataFrame with columns .*: 'b' \("):
        rows(mixed)
    gaps = numeric.assign(c=pandas.array([1, 2, None, 4], dtype="Int64"))
    with pytest.raises(InputTypeError, match=r"'c' \(Int64\)"):
        rows(gaps)


@pytest.mark.slow
def test_torch_tensors():
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(rows(torch.from_numpy(X)), X)
    with pytest.raises(InputTypeError, match="X is a Tensor that cannot be read"):
        rows(torch.ones(2, 3, requires_grad=True))


def test_rows_must_match():
    checks.same_rows("X", X, "Y", X)
    with pytest.raises(InputError, match="X has 4 rows and Y has 3"):
        checks.same_rows("X", X, "Y", X[:3])


# ------------------------------------------------------------------------------- weights, NaN, inf


def test_weights():
    assert checks.as_weights("w", None, 3) is None
    got = checks.as_weights("w", np.arange(6, dtype=np.float32)[::2], 3)
    assert got.tolist() == [0, 2, 4]
    assert got.dtype == np.float64
    assert got.flags.c_contiguous


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ([1, 2], InputError, r"w has shape \(2,\); expected one weight a row, \(3,\)"),
        ([[1], [2], [3]], InputError, r"w has shape \(3, 1\).*w.ravel\(\)"),
        ([1, -0.5, 2], InputError, r"w\[1\] is -0.5"),
        ([1, 2, np.nan], InputError, r"w\[2\] is nan"),
        ([np.inf, 2, 1], InputError, r"w\[0\] is inf"),
        ([0, 0, 0], InputError, r"w sums to 0.0; expected a finite sum above 0"),
        ([1e308, 1e308, 1e308], InputError, r"w sums to inf"),
        (["a", "b", "c"], InputTypeError, r"w holds text"),
        ([1j, 1, 1], InputTypeError, r"w is complex"),
    ],
)
def test_bad_weights(weights, error, words):
    with pytest.raises(error, match=words):
        checks.as_weights("w", weights, 3)


@given(
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    row=st.integers(0, 400),
    column=st.integers(0, 2),
    later=st.integers(0, 50),
    kind=st.sampled_from(["f4", "f8"]),
    chunk=st.sampled_from([1, 7, 100, 1 << 17]),
)
def test_the_first_bad_row_is_found(bad, row, column, later, kind, chunk):
    A = np.zeros((460, 3), kind)
    A[row, column] = bad
    A[row + later + 1, 0] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "CHUNK", chunk)
        with pytest.raises(InputError, match=rf"X holds {bad} at row {row}, column {column} "):
            checks.raise_non_finite(A)


def test_the_argument_with_the_earlier_row_is_named():
    good, early, late = np.zeros((9, 2)), np.zeros((9, 2)), np.zeros((9, 1))
    early[3, 1], late[5, 0] = np.nan, np.inf
    for X, Y, words in (
        (early, late, "X holds nan at row 3, column 1"),
        (late, early, "Y holds nan at row 3, column 1"),
        (good, late, "Y holds inf at row 5, column 0"),
        (early, early, "X holds nan at row 3"),
    ):
        with pytest.raises(InputError, match=words):
            checks.raise_non_finite(X, Y)
    with pytest.raises(InputError, match="X_val holds"):
        checks.raise_non_finite(early, late, names=("X_val", "Y_val"))


def test_a_number_too_large_for_float32_is_found():
    A = np.zeros((3, 2))
    A[2, 1] = 1e39
    with pytest.raises(InputError, match=r"X holds 1e\+39 at row 2, column 1.*float32 cannot hold"):
        checks.raise_non_finite(A, dtype=np.float32)


def test_it_raises_even_if_nothing_is_found():
    with pytest.raises(InputError, match="was changed since"):
        checks.raise_non_finite(np.zeros((3, 2)), np.zeros((3, 1)))


# ---------------------------------------------------------------------------------- numbers, names


@given(st.integers(1, sys.maxsize))
def test_positive_integers_pass(n):
    assert checks.positive_int("n", n) == n


def test_numpy_integers_pass_as_int():
    for value in (np.int8(3), np.uint64(3), np.array(3)):
        assert type(checks.positive_int("n", value)) is int


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (0, InputError, r"n_threads is 0 \(int\); expected an integer of at least 1"),
        (-3, InputError, "n_threads is -3"),
        (2**63, InputError, "expected an integer of at most"),
        (2.5, InputTypeError, r"n_threads is 2.5 \(float\); expected an integer of at least 1"),
        (2.0, InputTypeError, "n_threads is 2.0"),
        (np.float64(2), InputTypeError, "n_threads is 2.0"),
        (True, InputTypeError, r"n_threads is True \(bool\)"),
        (np.True_, InputTypeError, r"n_threads is True"),
        ("2", InputTypeError, r"n_threads is '2' \(str\)"),
        (None, InputTypeError, "n_threads is None"),
        ([2], InputTypeError, "n_threads is a list"),
        (np.ones(2, int), InputTypeError, "n_threads is an array of shape"),
    ],
)
def test_bad_integers(value, error, words):
    with pytest.raises(error, match=words):
        checks.positive_int("n_threads", value)


def test_an_integer_may_begin_at_zero():
    assert checks.positive_int("patience", 0, at_least=0) == 0
    with pytest.raises(InputError, match="at least 0"):
        checks.positive_int("patience", -1, at_least=0)


@given(st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False))
def test_positive_floats_pass(value):
    assert checks.positive_float("r", value) == value


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (0, InputError, "learning_rate is 0.0; expected a finite number above 0"),
        (-0.1, InputError, "learning_rate is -0.1"),
        (np.nan, InputError, "learning_rate is nan"),
        (np.inf, InputError, "learning_rate is inf"),
        (10**400, InputTypeError, "learning_rate is 1000"),
        ("0.1", InputTypeError, r"learning_rate is '0.1' \(str\)"),
        (True, InputTypeError, "learning_rate is True"),
        (None, InputTypeError, "learning_rate is None"),
        (1j, InputTypeError, r"learning_rate is 1j \(complex\)"),
        ([0.1], InputTypeError, "learning_rate is a list"),
        (np.array([0.1]), InputTypeError, "learning_rate is an array"),
    ],
)
def test_bad_floats(value, error, words):
    with pytest.raises(error, match=words):
        checks.positive_float("learning_rate", value)


def test_bounds_of_floats():
    assert checks.positive_float("momentum", 0, zero=True, below=1) == 0.0
    assert checks.positive_float("momentum", np.float32(0.5)) == 0.5
    assert checks.positive_float("momentum", np.array(0.5)) == 0.5
    with pytest.raises(InputError, match=r"momentum is 1.0; .*at least 0 and below 1"):
        checks.positive_float("momentum", 1, zero=True, below=1)
    with pytest.raises(InputError, match="momentum is -1e-09"):
        checks.positive_float("momentum", -1e-9, zero=True)


def test_booleans():
    assert checks.boolean("bias", np.False_) is False
    for value in (1, 0, "yes", None, 1.0):
        with pytest.raises(InputTypeError, match=r"bias is .*; expected True or False"):
            checks.boolean("bias", value)


def test_choices():
    allowed = ("sigmoid", "tanh")
    assert checks.choice("activation", "tanh", allowed) == "tanh"
    words = r"'sigmod'; expected one of 'sigmoid', 'tanh' \(did you mean 'sigmoid'\?\)"
    with pytest.raises(InputError, match=words):
        checks.choice("activation", "sigmod", allowed)
    with pytest.raises(InputError, match="did you mean 'tanh'"):
        checks.choice("activation", "TANH", allowed)
    with pytest.raises(InputError, match=r"activation is 'qqq'; expected one of .*'tanh'$"):
        checks.choice("activation", "qqq", allowed)
    with pytest.raises(InputTypeError, match="activation is 3"):
        checks.choice("activation", 3, allowed)


@pytest.mark.parametrize("value", ["float32", np.float32, np.dtype("f4"), "f4", "single"])
def test_good_dtypes(value):
    assert checks.float_dtype("dtype", value) == np.float32


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("float16", InputError),
        ("flaot64", InputError),
        (np.int64, InputError),
        (np.complex128, InputError),
        (">f8", InputError),
        (None, InputTypeError),
        (3, InputTypeError),
        (object(), InputTypeError),
    ],
)
def test_bad_dtypes(value, error):
    with pytest.raises(error, match=r"dtype is .*; expected 'float64' or 'float32'"):
        checks.float_dtype("dtype", value)


def test_seeds():
    assert checks.seed_number("seed", np.int32(7)) == 7
    assert checks.seed_number("seed", 2**64 - 1) == 2**64 - 1
    assert checks.seed_number("seed", None) != checks.seed_number("seed", None)
    sequences = [np.random.SeedSequence(5), np.random.SeedSequence(5)]
    assert len({checks.seed_number("seed", s) for s in sequences}) == 1
    generator = np.random.default_rng(5)
    assert checks.seed_number("seed", generator) != checks.seed_number("seed", generator)
    old = np.random.Generator(np.random.MT19937(5))
    assert checks.seed_number("seed", old) >= 2**32
    for value in (-1, 2**64):
        with pytest.raises(InputError, match=r"seed is -?\d+ .*0..2\*\*64 - 1"):
            checks.seed_number("seed", value)
    for value in (1.0, "1", True, np.random.RandomState(0)):
        with pytest.raises(InputTypeError, match=r"seed is .*expected None, an integer"):
            checks.seed_number("seed", value)


def test_sizes():
    for sizes in ((3, 2), [3, 2], np.array([3, 2]), iter((3, 2))):
        assert checks.layer_sizes(sizes, bias=True, itemsize=8) == (3, 2)


@pytest.mark.parametrize(
    ("sizes", "error", "words"),
    [
        (5, InputTypeError, r"sizes is 5 \(int\); expected at least two layer sizes"),
        ("12", InputTypeError, "sizes is '12'"),
        (None, InputTypeError, "sizes is None"),
        ((4,), InputError, "sizes has 1 entries; expected at least two"),
        ((), InputError, "sizes has 0 entries"),
        ((4, 0, 1), InputError, r"sizes\[1\] is 0"),
        ((4, -1), InputError, r"sizes\[1\] is -1"),
        ((4, 2.5, 1), InputTypeError, r"sizes\[1\] is 2.5"),
        ((4, True), InputTypeError, r"sizes\[1\] is True"),
        ((2**40, 2**40), InputError, "more than memory can address"),
        ((2**31, 2**29, 1), InputError, "more than memory can address"),
        ((2**64, 1), InputError, r"sizes\[0\] is"),
    ],
)
def test_bad_sizes(sizes, error, words):
    with pytest.raises(error, match=words):
        checks.layer_sizes(sizes, bias=False, itemsize=8)


def test_the_last_size_that_fits():
    n = sys.maxsize // 8
    assert checks.layer_sizes((n, 1), bias=False, itemsize=8) == (n, 1)
    with pytest.raises(InputError, match="memory"):
        checks.layer_sizes((n, 1), bias=True, itemsize=8)
