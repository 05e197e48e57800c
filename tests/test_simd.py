"""Every vectorised loop at every level this CPU runs: accuracy, places, tails, aliasing, bounds."""

import functools
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys

import mpmath
import numpy as np
import pytest

from cbackprop.core.simd import dispatch
from cbackprop.core.testing import kernels

LEVELS = dispatch.available_levels()
IDENTITY, SIGMOID, TANH, RELU = range(4)
ACTIVATIONS = (IDENTITY, SIGMOID, TANH, RELU)


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(params=(np.float64, np.float32), ids=lambda dtype: dtype.__name__)
def dtype(request):
    return request.param


def lanes(level, dtype):
    return kernels.lanes(level, dtype is np.float64)


def some(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def tolerance(dtype):
    return {"rtol": 1e-13, "atol": 1e-14} if dtype is np.float64 else {"rtol": 2e-5, "atol": 2e-6}


def activate(level, activation, h):
    z = np.empty_like(h)
    kernels.run_activate(level, activation, h, z)
    return z


# -- choosing a level -----------------------------------------------------------------------------


def import_with(simd):
    return subprocess.run(
        [sys.executable, "-c", "from cbackprop.core.simd import dispatch; print(dispatch.level())"],
        env={**os.environ, "CBACKPROP_SIMD": simd},
        capture_output=True,
        text=True,
    )


def test_the_environment_pins_the_level(level):
    assert import_with(level).stdout.strip() == level


def test_the_best_level_is_the_default():
    assert import_with("").stdout.strip() == LEVELS[-1]
    assert LEVELS[0] == "base"


def test_an_unknown_level_is_an_import_error():
    result = import_with("avx9")
    assert result.returncode != 0
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError") and "'avx9'" in message
    assert ", ".join(LEVELS) in message


# -- sigmoid and tanh: units in the last place ----------------------------------------------------


@functools.cache
def points(dtype):
    """Extreme, tiny, critical and random arguments."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(1)
    near = np.log(2) * np.arange(-1100, 60) / 2  # where the exponential's reduction changes step
    # The first result that is subnormal, the last above 0, and their surroundings.
    edges = (-float(np.log(info.tiny)), -float(np.log(info.smallest_subnormal)), 1.0, 17.0, 20.0)
    values = [
        near,
        *(edge + np.linspace(-1.5, 1.5, 31) for edge in edges),
        rng.uniform(-40, 40, 500),
        rng.uniform(-1, 1, 300),
        rng.uniform(-760, 760, 300),
        2.0 ** np.arange(-148, 127, 3),
        np.array([0, 1e-300, 1e300, 5e-324, info.max, info.tiny, info.smallest_subnormal]),
    ]
    with np.errstate(over="ignore"):
        x = np.concatenate(values).astype(dtype)
    x = np.concatenate([x, -x])
    return x[np.isfinite(x)]


def exact(name, x):
    """Values to 40 digits, each as a double and what remains."""
    high, low = np.empty(len(x)), np.empty(len(x))
    with mpmath.workdps(40):
        for i, value in enumerate(x.tolist()):
            if name == "tanh":
                y = mpmath.tanh(value)
            elif value < -800:
                y = mpmath.mpf(0)
            else:
                y = 1 / (1 + mpmath.exp(-mpmath.mpf(value)))
            high[i] = float(y)
            low[i] = float(y - high[i])
    return high, low


@functools.cache
def oracle(name, dtype):
    return exact(name, points(dtype))


def units(got, high, low, dtype):
    """Error in units of the result's last place (one step, where it is subnormal)."""
    spacing = np.spacing(np.abs(high).astype(dtype)).astype(np.float64)
    return np.abs((got.astype(np.float64) - high) - low) / spacing


def check_units(got, high, low, dtype, most):
    error = units(got, high, low, dtype)
    normal = np.abs(high) >= np.finfo(dtype).tiny
    assert error[normal].max() <= most
    assert error[~normal].max(initial=0) <= 1


@pytest.mark.parametrize(("activation", "name"), [(SIGMOID, "sigmoid"), (TANH, "tanh")])
def test_accuracy(level, dtype, activation, name):
    x = points(dtype)
    high, low = oracle(name, dtype)
    most = 3 if dtype is np.float64 else 4
    check_units(activate(level, activation, x), high, low, dtype, most)


def test_special_values(level, dtype):
    x = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    for n in range(1, 2 * lanes(level, dtype) + 2):  # in the body and in the tail
        for i, value in enumerate(x):
            h = np.full(n, value)
            for activation, expected in (
                (SIGMOID, [np.nan, np.nan, 1, 0, 0.5, 0.5]),
                (TANH, [np.nan, np.nan, 1, -1, 0.0, -0.0]),
                (RELU, [np.nan, np.nan, np.inf, 0, 0, 0]),
                (IDENTITY, x),
            ):
                z = activate(level, activation, h)
                np.testing.assert_array_equal(z, np.full(n, expected[i], dtype))
                if activation == TANH:
                    assert (np.signbit(z) == np.signbit(h)).all() or np.isnan(value)


def test_relu_and_identity(level, dtype):
    x = points(dtype)
    np.testing.assert_array_equal(activate(level, RELU, x), np.maximum(x, 0))
    np.testing.assert_array_equal(activate(level, IDENTITY, x), x)


@pytest.mark.slow
def test_float32_exhaustively():
    """All 2^32 floats, x and -x together; a double's exponential is oracle enough for them."""
    step = 1 << 15  # what a step works on stays in cache
    smallest_normal, half, one, small, large, infinity = (
        np.array([np.finfo(np.float32).tiny, 0.5, 1, 2.0**-26, 128, np.inf], np.float32)
        .view(np.int32)
        .tolist()
    )
    got = np.empty(step, np.float32)
    for start in range(0, 1 << 31, step):
        x = np.arange(start, start + step, dtype=np.int32).view(np.float32)
        if start >= infinity:
            nan = x[1:].copy() if start == infinity else x
            for activation, level, sign in itertools.product((SIGMOID, TANH), LEVELS, (1, -1)):
                assert np.isnan(
                    activate(level, activation, nan if sign > 0 else np.negative(nan))
                ).all(), (level, start)
            if start > infinity:
                continue
            x[1:] = np.inf
        # The nearest floats to sigma(x), sigma(-x), tanh(x) and -tanh(-x), as integers: positive
        # floats sort alike.  Seven eighths of all x are so small or so large that they are known.
        if start + step <= small:
            nearest = [half, half, x.view(np.int32), x.view(np.int32)]
        elif start >= large:
            nearest = [one, 0, one, one]
        else:
            wide = x.astype(np.float64)
            e, tanh = np.exp(-wide), np.tanh(wide)
            nearest = [
                reference.astype(np.float32).view(np.int32)
                for reference in (1 / (1 + e), e / (1 + e), tanh, tanh)
            ]
        for activation, h, best, sign in zip(
            (SIGMOID, SIGMOID, TANH, TANH), (x, -x, x, -x), nearest, (1, 1, 1, -1), strict=True
        ):
            for level in LEVELS:
                kernels.run_activate(level, activation, h, got)
                steps = (got if sign > 0 else -got).view(np.int32) - best
                if steps.max() > 1 or steps.min() < -1:
                    # 3 steps from the nearest float is less than 4 units
                    allowed = np.where(np.greater_equal(best, smallest_normal), 3, 1)
                    assert (np.abs(steps) <= allowed).all(), (level, activation, start)


# -- elements: places, tails, aliasing ------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_element_does_not_know_its_place(level, dtype, activation):
    width = lanes(level, dtype)
    x, y = some((2, 5 * width + 2), dtype, 3) * 3
    activation_alone, delta_alone, derivative_alone = np.empty((3, len(x)), dtype)
    derivative_alone[:] = y
    for i in range(len(x)):
        one = slice(i, i + 1)
        kernels.run_activate(level, activation, x[one], activation_alone[one])
        kernels.run_delta_output(level, activation, y[one], x[one], delta_alone[one])
        kernels.run_times_derivative(level, activation, x[one], derivative_alone[one])
    for offset, n in itertools.product(range(width + 1), range(3 * width + 2)):
        part = slice(offset, offset + n)
        out = np.full(n + 1, 7, dtype)
        kernels.run_activate(level, activation, x[part], out[:n])
        np.testing.assert_array_equal(out[:n], activation_alone[part])
        kernels.run_delta_output(level, activation, y[part], x[part], out[:n])
        np.testing.assert_array_equal(out[:n], delta_alone[part])
        out[:n] = y[part]
        kernels.run_times_derivative(level, activation, x[part], out[:n])
        np.testing.assert_array_equal(out[:n], derivative_alone[part])
        assert out[n] == 7


def test_sums_do_not_know_their_alignment(level, dtype):
    width = lanes(level, dtype)
    for n in range(3 * width + 2):
        sums = set()
        for offset in range(width + 1):
            Y, Y_hat = np.empty((2, n + offset), dtype)
            Y[offset:], Y_hat[offset:] = some((2, n), dtype, n)
            sums.add(kernels.run_squared_error(level, Y[offset:], Y_hat[offset:]))
        assert len(sums) == 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_in_place(level, dtype, activation):
    for n in (1, 5, 16, 37):
        h, Y = some((2, n), dtype, n)
        z = activate(level, activation, h)
        delta = np.empty_like(z)
        loss = kernels.run_delta_output(level, activation, Y, z, delta)
        kernels.run_activate(level, activation, h, h)
        np.testing.assert_array_equal(h, z)
        assert kernels.run_delta_output(level, activation, Y, h, h) == loss
        np.testing.assert_array_equal(h, delta)


def derivative(activation, z):
    if activation == SIGMOID:
        return z * (1 - z)
    if activation == TANH:
        return 1 - z * z
    if activation == RELU:
        return np.where(np.isnan(z), z, (z > 0).astype(z.dtype))
    return np.ones_like(z)


SHAPES = [(0, 3), (3, 0), (1, 1), (4, 1), (7, 1), (100, 1), (3, 2), (200, 3), (5, 10), (33, 17)]
SHAPES += [(300, 1), (1, 300), (2, 700), (64, 8), (9, 64), (41, 12), (1000, 7)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_deltas_and_errors(level, dtype, activation):
    for rows, cols in SHAPES:
        Y, Y_hat = some((2, rows, cols), dtype, rows + cols)
        weight = np.abs(some(rows, dtype, 5))
        expected = (Y_hat - Y) * derivative(activation, Y_hat)
        squares = (Y.astype(float) - Y_hat.astype(float)) ** 2
        each = weight.astype(float)[:, None]
        flat = Y.ravel(), Y_hat.ravel()
        delta = np.full(rows * cols, np.nan, dtype)

        loss = kernels.run_delta_output(level, activation, *flat, delta)
        np.testing.assert_allclose(delta.reshape(rows, cols), expected, **tolerance(dtype))
        # Doubles add them up, so float32 is off by the differences' rounding only.
        rtol = 1e-13 if dtype is np.float64 else 2e-7
        np.testing.assert_allclose(loss, squares.sum(), rtol=rtol)
        assert kernels.run_squared_error(level, *flat) == loss

        loss = kernels.run_delta_output_weighted(level, activation, weight, *flat, delta, cols)
        np.testing.assert_allclose(
            delta.reshape(rows, cols), expected * weight[:, None], **tolerance(dtype)
        )
        np.testing.assert_allclose(loss, (squares * each).sum(), rtol=rtol)
        assert kernels.run_squared_error_weighted(level, weight, *flat, cols) == loss


def test_float32_errors_are_summed_in_double(level):
    n, d = 1 << 20, 819 / 8192  # the sum has 40 bits
    Y, Y_hat = np.zeros(n, np.float32), np.full(n, d, np.float32)
    assert kernels.run_squared_error(level, Y, Y_hat) == n * d * d


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_times_derivative(level, dtype, activation):
    Z, delta = some((2, 103), dtype)
    Z[[3, 50, 101]] = 0, np.nan, np.nan
    delta[[4, 102]] = np.nan
    expected = delta * derivative(activation, Z)
    kernels.run_times_derivative(level, activation, Z, delta)
    np.testing.assert_allclose(delta, expected, **tolerance(dtype))


def test_delta_hidden_is_product_and_derivative(level, dtype):
    """The same numbers as by its slow twin, whatever the sizes; nothing beside them is touched."""
    width = kernels.lanes(level, dtype == np.float64)
    for n_out, rows, pad in itertools.product((1, 2), (0, 1, 2, 3, 4, 5, 9), (0, 1, 3)):
        for n in sorted({width, width + 1, 2 * width - 1, 16, 19, 40}):
            activation = (SIGMOID, TANH, RELU, IDENTITY)[n % 4]
            ld = n_out + pad
            delta = some(rows * ld + 5, dtype, rows)
            W_T, Z = some(n_out * n, dtype, n), some(rows * n, dtype, n + 1)
            out = np.full(rows * n + 1, 7, dtype)
            args = delta[: rows * ld], ld, rows, n_out, W_T, Z
            kernels.run_delta_hidden(level, activation, *args, out[:-1])
            twin = np.empty((rows, n), dtype)
            used = delta[: rows * ld].reshape(rows, ld)[:, :n_out].ravel()
            kernels.run_product(
                level, rows, n, n_out, 1, used, n_out, 1, W_T, n, 0, twin.ravel(), n
            )
            if activation != IDENTITY:
                kernels.run_times_derivative(level, activation, Z, twin.ravel())
            # A product of one or two rows rounds each of its two terms.
            close = tolerance(dtype) if n_out == 2 and rows < 3 else {"rtol": 0}
            case = f"{n_out} {rows} {n}"
            np.testing.assert_allclose(out[:-1], twin.ravel(), **close, err_msg=case)
            assert out[-1] == 7
    with pytest.raises(ValueError, match="sizes"):
        args = some(9, dtype), 3, 3, 3, some(3 * width, dtype), some(3 * width, dtype)
        kernels.run_delta_hidden(level, SIGMOID, *args, np.empty(3 * width, dtype))


# -- rows and columns -----------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.5, 0.0), (-0.25, 1.0), (1.0, 0.5)])
def test_column_sums(level, dtype, alpha, beta):
    for rows in (0, 1, 2, 3, 7, 16, 50, 129):
        for cols in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 16, 17, 31, 32, 33, 70, 130):
            delta = np.random.default_rng(rows).integers(-9, 9, (rows, cols)).astype(dtype)
            out = np.full(cols + 1, np.nan if beta == 0 else 3, dtype)
            expected = (0 if beta == 0 else beta * out[:cols]) + alpha * delta.sum(axis=0)
            canary = out[cols]
            kernels.run_column_sums(level, alpha, delta.ravel(), rows, beta, out[:cols])
            np.testing.assert_array_equal(out[:cols], expected, err_msg=f"{rows} x {cols}")
            np.testing.assert_array_equal(out[cols], canary)


def test_fill_rows_and_transpose(level, dtype):
    for rows, cols in [*SHAPES, (700, 3), (5, 513), (9, 1000)]:
        b, W = some(cols, dtype), some((rows, cols), dtype)
        H, W_T = np.full(rows * cols + 1, 7, dtype), np.full(rows * cols + 1, 7, dtype)
        kernels.run_fill_rows(level, b, rows, H[:-1])
        np.testing.assert_array_equal(H[:-1].reshape(rows, cols), np.tile(b, (rows, 1)))
        kernels.run_transpose(level, W.ravel(), rows, cols, W_T[:-1])
        np.testing.assert_array_equal(W_T[:-1].reshape(cols, rows), W.T)
        assert H[-1] == W_T[-1] == 7


def test_add(level, dtype):
    for n in range(70):
        x, y = some((2, n + 1), dtype, n)
        expected = np.append(y[:n] + x[:n], y[n])
        kernels.run_add(level, x[:n], y[:n])
        np.testing.assert_array_equal(y, expected)


def test_all_finite(level, dtype):
    for n in range(70):
        x = np.full(n + 2, np.nan, dtype)
        x[1:-1] = some(n, dtype) * (np.finfo(dtype).max / 8)
        assert kernels.run_all_finite(level, x[1:-1])
        for i in range(n):
            for bad in (np.nan, np.inf, -np.inf):
                keep, x[1 + i] = x[1 + i], bad
                assert not kernels.run_all_finite(level, x[1:-1])
                x[1 + i] = keep


@pytest.mark.parametrize("source_dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shift", [0, 1, 4])
def test_gather(level, dtype, source_dtype, shift):
    wide = source_dtype is np.float64
    rng = np.random.default_rng(2)
    for rows, cols, pad in itertools.product((0, 1, 5, 40), (1, 2, 7, 8, 19, 64), (0, 3)):
        source = rng.standard_normal((rows, cols)).astype(source_dtype)
        size, stride = source.itemsize * cols, source.itemsize * cols + pad
        raw = np.zeros(shift + rows * stride + 1, np.uint8)
        for i in range(rows):
            raw[shift + i * stride :][:size] = source[i].view(np.uint8)
        index = rng.integers(0, max(rows, 1), rows)
        out = np.full(rows * cols + 1, 7, dtype)
        for chosen, start, step, expected in (
            (None, shift, stride, source),
            (index, shift, stride, source[index]),
            (None, shift + (rows - 1) * stride, -stride, source[::-1]),
            (index, shift + (rows - 1) * stride, -stride, source[::-1][index]),
        ):
            kernels.run_gather(level, raw, start, step, wide, chosen, out[:-1], rows)
            np.testing.assert_array_equal(out[:-1].reshape(rows, cols), expected.astype(dtype))
            assert out[-1] == 7


def test_affine_rows(level, dtype):
    for rows, cols in SHAPES:
        X, shift, scale = some((rows, cols), dtype), some(cols, dtype, 1), some(cols, dtype, 2)
        out = np.append(X.ravel(), dtype(7))
        kernels.run_affine_rows(level, shift, scale, out[:-1], rows)
        np.testing.assert_array_equal(out[:-1].reshape(rows, cols), (X - shift) * scale)
        assert out[-1] == 7


def test_outer_sums(level, dtype):
    for rows, n_sums in itertools.product((0, 1, 3), (1, 2, 5)):
        for n_a, n_d in itertools.product((1, 2, 3, 7, 9, 17, 33), (1, 2, 3, 8, 15, 16, 40)):
            # Small integers: every sum is exact, in any order and with any contraction.
            A = np.round(4 * some((rows, n_sums, n_a), dtype))
            D = np.round(4 * some((rows, n_sums, n_d), dtype, 1))
            full = np.einsum("nki,nkj->nij", A, D)
            for first, count in {(0, n_a), (n_a // 2, n_a - n_a // 2), (n_a - 1, 1), (0, 0)}:
                expected = full[:, first : first + count].reshape(rows, count * n_d)
                check_outer_sums(level, A, D, False, first, count, expected)
        for n in (1, 2, 3, 7, 9, 17, 33):
            A = np.round(4 * some((rows, n_sums, n), dtype))
            full = np.einsum("nki,nkj->nij", A, A)
            for first, count in {(0, n), (n // 2, n - n // 2), (n - 1, 1)}:
                segments = [full[:, p, : p + 1] for p in range(first, first + count)]
                expected = np.concatenate(segments, axis=1)
                check_outer_sums(level, A, A, True, first, count, expected)


def check_outer_sums(level, A, D, lower, first, count, expected):
    """Nothing but the segments is written."""
    n = expected.shape[1]
    out = np.full((len(A), n + 2), 99, A.dtype)
    kernels.run_outer_sums(level, A, D, lower, first, count, out.ravel(), n + 2)
    np.testing.assert_array_equal(out[:, :n], expected)
    assert (out[:, n:] == 99).all()


@pytest.mark.parametrize(
    ("lower", "first", "count", "length"), [(False, 0, 4, 99), (True, 0, 3, 99), (False, 1, 2, 5)]
)
def test_outer_sums_that_do_not_fit(lower, first, count, length):
    A, D = np.ones((2, 1, 3)), np.ones((2, 1, 4))
    with pytest.raises(ValueError):
        kernels.run_outer_sums("base", A, D, lower, first, count, np.ones(length), 9)


# -- product --------------------------------------------------------------------------------------

SIZES = (0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33)
# alpha, beta, bias; dyadic, so that with small integers every result is exact
VARIANTS = [(1, 0, True), *((a, b, False) for a in (1, -0.5) for b in (0, 1, 0.75))]


def check_product(level, dtype, m, n, k, transposed, variant, rng, apart=1):
    """A, B, C are corners of larger arrays of NaN: what is read or written outside shows.

    apart=0: rows follow each other, and only a last row of NaN remains.
    """
    alpha, beta, biased = variant
    A_rows, A_columns = (k, m + 2 * apart) if transposed else (m, k + 2 * apart)
    B_columns, C_columns = n + 3 * apart, n + apart
    A = np.full((A_rows + 1, A_columns), np.nan, dtype)
    B = np.full((k + 1, B_columns), np.nan, dtype)
    C = np.full((m + 1, C_columns), np.nan, dtype)
    A_used = A[:k, :m] if transposed else A[:m, :k]
    A_used[:] = rng.integers(-4, 5, A_used.shape)
    B[:k, :n] = rng.integers(-4, 5, (k, n))
    bias = rng.integers(-9, 9, n).astype(dtype) if biased else None
    expected = C.copy()
    if beta != 0:
        C[:m, :n] = rng.integers(-9, 9, (m, n))
    expected[:m, :n] = alpha * ((A_used.T if transposed else A_used) @ B[:k, :n])
    if beta != 0:
        expected[:m, :n] += dtype(beta) * C[:m, :n]
    if biased:
        expected[:m, :n] += bias
    rsa, csa = (1, A_columns) if transposed else (A_columns, 1)
    kernels.run_product(
        level, m, n, k, alpha, A.ravel(), rsa, csa, B.ravel(), B_columns, beta, C.ravel(),
        C_columns, bias,
    )  # fmt: skip
    assert np.array_equal(C, expected, equal_nan=True), (m, n, k, transposed, variant, apart)


@pytest.mark.parametrize("transposed", [False, True], ids=["NN", "TN"])
def test_product(level, dtype, transposed):
    """Each shape with one variant, each variant with hundreds of shapes; all below."""
    rng = np.random.default_rng(4)
    for i, (m, n, k) in enumerate(itertools.product(SIZES, repeat=3)):
        check_product(level, dtype, m, n, k, transposed, VARIANTS[i % len(VARIANTS)], rng)


@pytest.mark.slow
@pytest.mark.parametrize("transposed", [False, True], ids=["NN", "TN"])
def test_product_all_variants(level, dtype, transposed):
    rng = np.random.default_rng(5)
    for (m, n, k), variant in itertools.product(itertools.product(SIZES, repeat=3), VARIANTS):
        check_product(level, dtype, m, n, k, transposed, variant, rng)


@pytest.mark.parametrize("transposed", [False, True], ids=["NN", "TN"])
def test_product_larger(level, dtype, transposed):
    """More than one panel, one buffer, one piece of p."""
    rng = np.random.default_rng(6)
    shapes = [(300, 2, 40), (300, 1, 3), (5, 3, 1100), (1, 1, 1500), (2, 2, 700), (1, 30, 784)]
    shapes += [(40, 100, 20), (784, 30, 10), (13, 257, 4), (129, 4, 64), (500, 5, 2), (4, 70, 300)]
    for shape, variant in itertools.product(shapes, VARIANTS):
        check_product(level, dtype, *shape, transposed, variant, rng)


@pytest.mark.parametrize("transposed", [False, True], ids=["NN", "TN"])
def test_product_edges(level, dtype, transposed):
    """Every rest of columns and of rows: parts of vectors, halves, and wholes that overlap."""
    rng = np.random.default_rng(18)
    for m, n in itertools.product(range(1, 18), range(4, 42)):
        k, variant = 1 + (3 * m + n) % 11, VARIANTS[(m + n) % len(VARIANTS)]
        check_product(level, dtype, m, n, k, transposed, variant, rng)


@pytest.mark.parametrize("apart", [0, 1], ids=["dense", "apart"])
@pytest.mark.parametrize("transposed", [False, True], ids=["NN", "TN"])
def test_product_of_few_columns(level, dtype, transposed, apart):
    """Several terms or rows in a vector, and transposed results: all numbers of columns, rests of
    rows and of terms, more terms than a piece has."""
    rng = np.random.default_rng(19)
    shapes = itertools.product((3, 8, 9, 10, 12, 15, 16, 17, 30, 33, 66), range(1, 26))
    for i, (m, n) in enumerate(shapes):
        terms = (8, 10, 16, 31, 33, 66)
        for k in (terms[i % 6], terms[(i + 3) % 6]):
            check_product(level, dtype, m, n, k, transposed, VARIANTS[i % 7], rng, apart)
    for i, (m, n) in enumerate(itertools.product((3, 14, 21), (*range(1, 9), 10, 20))):
        for k in (257, 1026, 2100):
            check_product(level, dtype, m, n, k, transposed, VARIANTS[(i + k) % 7], rng, apart)
    for m, n, k, variant in itertools.product((32, 43), (9, 10, 11), (64, 300), VARIANTS):
        check_product(level, dtype, m, n, k, transposed, variant, rng, apart)


@pytest.mark.parametrize("transposed", [False, True], ids=["NN", "TN"])
def test_product_packed(level, dtype, transposed):
    """With AVX2 panels of B are copied: every split of the rows, several pieces, a C beyond L2."""
    rng = np.random.default_rng(16)
    shapes = [(m, 52 + m, 700) for m in range(8, 23)]
    shapes += [(40, 64, 300), (130, 28, 131), (64, 14, 513)]
    for i, shape in enumerate(shapes):
        for variant in VARIANTS[i % 2 :: 2]:
            check_product(level, dtype, *shape, transposed, variant, rng)
    for m in range(1100, 1106):
        check_product(level, dtype, m, 150, 90, transposed, VARIANTS[m % 2 - 2], rng)


@pytest.mark.parametrize("transposed", [False, True], ids=["NN", "TN"])
def test_product_with_a_large_B(level, dtype, transposed):
    """With AVX2 the next panel is copied among the terms of the one before, where B is far."""
    rng = np.random.default_rng(17)
    n = 3_300_000 // (700 * np.dtype(dtype).itemsize)
    for m in (9, 10, 11, 12, 13, 17, 30, 64):
        check_product(level, dtype, m, n + m, 700, transposed, VARIANTS[m % len(VARIANTS)], rng)
    for k in (401, 801):  # pieces of unequal length
        check_product(level, dtype, 15, 3_300_000 // (4 * k), k, transposed, VARIANTS[0], rng)
    check_product(level, dtype, 90, 50_011, 17, transposed, VARIANTS[1], rng)  # tiles, rows


def test_product_contiguous(level, dtype):
    """Leading dimensions as small as can be; one column has forms of its own."""
    rng = np.random.default_rng(7)
    for m, n, k, beta in itertools.product((1, 4, 20, 32), (1, 2, 3, 4), (1, 4, 9, 40), (0, 0.75)):
        B = rng.integers(-4, 5, (k, n)).astype(dtype)
        for transposed in (False, True):
            A = rng.integers(-4, 5, (k, m) if transposed else (m, k)).astype(dtype)
            C = rng.integers(-9, 9, (m, n)).astype(dtype)
            expected = dtype(beta) * C + (A.T if transposed else A) @ B
            strides = (1, m) if transposed else (k, 1)
            kernels.run_product(
                level, m, n, k, 1, A.ravel(), *strides, B.ravel(), n, beta, C.ravel(), n
            )
            np.testing.assert_array_equal(C, expected)


def test_product_of_any_strides(level, dtype):
    rng = np.random.default_rng(8)
    for m, n, k in itertools.product((1, 3, 9), (1, 3, 4, 20), (1, 5, 17)):
        A = rng.integers(-4, 5, (m, 3, k, 2)).astype(dtype)
        B = rng.integers(-4, 5, (k, n)).astype(dtype)
        C = np.empty((m, n), dtype)
        kernels.run_product(level, m, n, k, 1, A.ravel(), 6 * k, 2, B.ravel(), n, 0, C.ravel(), n)
        np.testing.assert_array_equal(C, A[:, 0, :, 0] @ B)


def test_product_of_random_numbers(level, dtype):
    for m, n, k in ((32, 32, 64), (10, 30, 784), (33, 1, 200), (64, 10, 7)):
        A, B = some((m, k), dtype, 1), some((k, n), dtype, 2)
        C = np.empty((m, n), dtype)
        kernels.run_product(level, m, n, k, 1, A.ravel(), k, 1, B.ravel(), n, 0, C.ravel(), n)
        expected = A.astype(float) @ B.astype(float)
        bound = np.abs(A).astype(float) @ np.abs(B).astype(float)
        assert (np.abs(C - expected) <= 2 * np.sqrt(k) * np.finfo(dtype).eps * bound).all()


@pytest.mark.parametrize("transposed", [False, True], ids=["NN", "TN"])
def test_equal_rows_give_equal_rows(level, dtype, transposed):
    """A row's sum does not depend on the tile or lane where it is computed."""
    pairs = [(n, 29) for n in (1, 2, 3, 4, 5, 7, 8, 10, 12, 17, 30, 33, 70)]
    for n, k in [*pairs, (66, 700), (200, 70)]:
        row, B = some(k, dtype, n), some((k, n), dtype, n + 1)
        for m in range(1, 40):
            A = np.repeat(row, m) if transposed else np.tile(row, m)
            strides = (1, m) if transposed else (k, 1)
            C = np.empty((m, n), dtype)
            kernels.run_product(level, m, n, k, 1, A, *strides, B.ravel(), n, 0, C.ravel(), n)
            assert (C[0] == C).all(), (m, n, k)
    n, k = 150, 60
    row, B = some(k, dtype, n), some((k, n), dtype, n + 1)
    for m in range(1100, 1108):  # C beyond L2
        A = np.repeat(row, m) if transposed else np.tile(row, m)
        C = np.full((m, n), 0.75, dtype)
        strides = (1, m) if transposed else (k, 1)
        kernels.run_product(level, m, n, k, 1, A, *strides, B.ravel(), n, 1, C.ravel(), n)
        assert (C[0] == C).all(), m


def test_product_carries_infinities_and_nan(level, dtype):
    """No lane that does not belong to an element touches it (0 * inf would be NaN)."""
    for n, k, m in itertools.product((*range(1, 9), 10, 20), (1, 3, 5, 9, 17, 33, 70), (10, 43)):
        A, B = np.ones((m, k), dtype), np.ones((k, n), dtype)
        A[3, 0], A[4, k // 2], A[5, -1], A[-1, -1] = np.inf, -np.inf, np.nan, np.inf
        C = np.empty((m, n), dtype)
        expected = np.full((m, n), k, dtype)
        expected[3], expected[4], expected[5], expected[-1] = np.inf, -np.inf, np.nan, np.inf
        kernels.run_product(level, m, n, k, 1, A.ravel(), k, 1, B.ravel(), n, 0, C.ravel(), n)
        np.testing.assert_array_equal(C, expected)
        A_T = np.ascontiguousarray(A.T).ravel()
        kernels.run_product(level, m, n, k, 1, A_T, 1, m, B.ravel(), n, 0, C.ravel(), n)
        np.testing.assert_array_equal(C, expected)


# -- the hooks themselves, and what was compiled --------------------------------------------------


def test_the_hooks_check_sizes(level, dtype):
    def zeros(n):
        return np.zeros(n, dtype)

    with pytest.raises(ValueError, match="length"):
        kernels.run_activate(level, SIGMOID, zeros(3), zeros(2))
    with pytest.raises(ValueError, match="outside"):
        kernels.run_gather(level, np.zeros(63, np.uint8), 0, 16, True, None, zeros(8), 4)
    for sizes in ((5, 6, 4), (6, 5, 4), (6, 6, 3)):
        with pytest.raises(ValueError, match="too short"):
            A, B, C = map(zeros, sizes)
            kernels.run_product(level, 2, 2, 3, 1, A, 3, 1, B, 2, 0, C, 2)
    with pytest.raises(ValueError, match="no level"):
        kernels.run_add("", zeros(1), zeros(1))


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="x86 registers")
@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump")
@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer's own code")
def test_each_level_uses_its_registers():
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", dispatch.__file__],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used = {}
    for name, body in re.findall(r"^[0-9a-f]+ <([^>]+)>:\n((?:.+\n)*)", text, re.MULTILINE):
        suffix = re.search(r"_f(?:64|32)_(base|avx2|avx512)\b", name)
        if suffix:
            registers = used.setdefault(suffix[1], set())
            registers.update(re.findall(r"%([xyz]mm)\d", body))
    if not used:
        pytest.skip("the extension has no symbols")
    assert used["base"] == {"xmm"}
    assert used.get("avx2", {"ymm"}) - {"xmm"} == {"ymm"}
    assert "zmm" in used.get("avx512", {"zmm"})
