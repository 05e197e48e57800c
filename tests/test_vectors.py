"""Sums and updates over flat vectors: values, one order of addition, every length."""

import math

import numpy as np
import pytest

from cbackprop.core.linalg import vectors

LENGTHS = (*range(35), 257, 1000)


def some(n, dtype, seed):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(n) * 10.0 ** rng.integers(-6, 6, n)).astype(dtype)


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_sums_are_those_of_exact_arithmetic(dtype, offset):
    for n in LENGTHS:
        x, y = some(n + offset, dtype, n)[offset:], some(n + offset, dtype, n + 1)[offset:]
        dot, absolutes, largest = vectors.run_sums(x, y)
        products = x.astype(float) * y.astype(float)
        bound = 4 * np.finfo(float).eps * (n // 8 + 1)
        assert abs(dot - math.fsum(products)) <= bound * math.fsum(abs(products))
        assert absolutes == pytest.approx(math.fsum(abs(x.astype(float))), rel=bound)
        assert largest == (abs(x).max() if n else 0)


def test_element_i_belongs_to_lane_i_mod_8():
    """Products of float32 are exact in double, with or without FMA: the order shows in the bits."""
    for n in LENGTHS:
        x, y = some(n, np.float32, n), some(n, np.float32, n + 1)
        lanes = np.zeros(8)
        for i, product in enumerate(x.astype(float) * y.astype(float)):
            lanes[i % 8] += product
        halves = lanes[:4] + lanes[4:]
        assert vectors.run_sums(x, y)[0] == (halves[0] + halves[2]) + (halves[1] + halves[3])


def test_a_sum_does_not_depend_on_alignment(dtype):
    x, y = some(1003, dtype, 1), some(1003, dtype, 2)
    expected = vectors.run_sums(x, y)
    for offset in range(1, 9):
        moved_x, moved_y = np.empty(1003 + offset, dtype), np.empty(1003 + 2 * offset, dtype)
        moved_x[offset:], moved_y[2 * offset :] = x, y
        assert vectors.run_sums(moved_x[offset:], moved_y[2 * offset :]) == expected


def test_float32_is_summed_in_double():
    ones = np.ones(2**21, np.float32)
    assert vectors.run_sums(ones * 3, ones / 3)[0] == 2**21 * (3 * float(np.float32(1 / 3)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sum_is_finite_only_where_every_element_is(dtype, bad):
    for n in (1, 7, 8, 20):
        for i in range(n):
            x = np.ones(n, dtype)
            x[i] = bad
            dot, absolutes, _ = vectors.run_sums(x, np.zeros(n, dtype))
            assert not math.isfinite(dot) and not math.isfinite(absolutes)


def test_the_largest_passes_over_nan(dtype):
    x = np.array([np.nan, -3, 2, np.nan], dtype)
    assert vectors.run_sums(x, x)[2] == 3
    assert vectors.run_sums(np.repeat(x, 5), np.repeat(x, 5))[2] == 3
    assert vectors.run_sums(np.array([-np.inf, 1], dtype), np.ones(2, dtype))[2] == np.inf


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_axpy_and_scale(dtype, offset):
    """float32 is computed in double and rounded once."""
    a = 0.1
    for n in LENGTHS:
        x, y = some(n + offset, dtype, n)[offset:], some(n + offset, dtype, n + 1)[offset:]
        exact = y.astype(float) + a * x.astype(float)
        size = abs(y.astype(float)) + abs(a * x.astype(float))
        vectors.run_axpy(a, x, y)
        assert (abs(y - exact) <= 0.51 * np.finfo(dtype).eps * size).all()
        expected = (a * x.astype(float)).astype(dtype)
        vectors.run_scale(a, x)
        np.testing.assert_array_equal(x, expected)


def test_lengths_are_checked(dtype):
    two, three = np.zeros(2, dtype), np.zeros(3, dtype)
    with pytest.raises(ValueError, match="length"):
        vectors.run_sums(two, three)
    with pytest.raises(ValueError, match="length"):
        vectors.run_axpy(1.0, two, three)
