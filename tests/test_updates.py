"""The update rules equal their NumPy twins to the bit, at every level."""

import numpy as np
import pytest

from cbackprop.core.simd import dispatch, updates

LEVELS = dispatch.available_levels()
DTYPES = (np.float64, np.float32)
LENGTHS = (*range(50), 257, 1000)


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(params=DTYPES, ids=lambda dtype: dtype.__name__)
def dtype(request):
    return request.param


def some(n, dtype, seed):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(n) * 10.0 ** rng.integers(-6, 6, n)).astype(dtype)


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_sgd(level, dtype, offset):
    lr = dtype(0.3)
    for n in LENGTHS:
        g, W = some(n + offset, dtype, n)[offset:], some(n + offset, dtype, n + 1)[offset:]
        expected = W - lr * g
        updates.run_sgd(level, lr, g, W)
        np.testing.assert_array_equal(W, expected)


@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(level, dtype, offset, nesterov):
    lr, mu = dtype(0.3), dtype(0.9)
    for n in LENGTHS:
        g, v, W = (some(n + offset, dtype, n + i)[offset:] for i in range(3))
        expected_v = mu * v - lr * g
        expected_W = W + (mu * expected_v - lr * g if nesterov else expected_v)
        updates.run_momentum(level, lr, mu, g, v, W, nesterov)
        np.testing.assert_array_equal(v, expected_v)
        np.testing.assert_array_equal(W, expected_W)


def test_lengths_are_checked(level, dtype):
    with pytest.raises(ValueError, match="length"):
        updates.run_sgd(level, 1, np.zeros(3, dtype), np.zeros(2, dtype))
    with pytest.raises(ValueError, match="length"):
        updates.run_momentum(level, 1, 1, *(np.zeros(n, dtype) for n in (3, 2, 3)))
    with pytest.raises(ValueError, match="no level"):
        updates.run_sgd("sse9", 1, np.zeros(2, dtype), np.zeros(2, dtype))
