"""The losses log-cosh and gamma at every level: values and slopes of tiny and huge arguments."""

import itertools

import mpmath
import numpy as np
import pytest

from cbackprop.core.simd import dispatch
from cbackprop.core.testing import kernels

LEVELS = dispatch.available_levels()
DTYPES = (np.float64, np.float32)
IDENTITY, SIGMOID, TANH, RELU, EXP, SOFTMAX = range(6)
ELU = 7
LOG_COSH, GAMMA = 7, 8


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(params=DTYPES, ids=lambda dtype: dtype.__name__)
def dtype(request):
    return request.param


def loss(level, code, activation, Y, P, weight=None, rows=1):
    """The sum and the deltas."""
    delta = np.full_like(Y, np.nan)
    value = kernels.run_loss(level, code, activation, 0.0, Y, P, rows, weight, delta)
    alone = kernels.run_loss(level, code, activation, 0.0, Y, P, rows, weight)
    np.testing.assert_array_equal(alone, value)
    return value, delta


def one_by_one(level, code, activation, Y, P):
    """Each element's loss and delta."""
    parts = [loss(level, code, activation, Y[i : i + 1], P[i : i + 1])[:2] for i in range(len(Y))]
    return np.array([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def relative(got, exact):
    """The largest relative error; mpmath's numbers."""
    return max(
        abs(mpmath.mpf(float(g)) - e) / abs(e) if e else abs(float(g))
        for g, e in zip(got, exact, strict=True)
    )


def test_log_cosh_is_relatively_accurate(level, dtype):
    """Down to where its square is subnormal, and up to where cosh overflows."""
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    smallest = 4 * float(info.tiny) ** 0.5
    d = np.concatenate(
        [
            np.geomspace(smallest, 1, 60),
            rng.uniform(0, 2, 60),
            np.linspace(0.99, 1.01, 21),  # one form ends, the other begins
            np.geomspace(1, float(info.max) / 4, 40),
        ]
    ).astype(dtype)
    d = np.concatenate([d, -d])
    value, slope = one_by_one(level, LOG_COSH, IDENTITY, np.zeros_like(d), d)
    with mpmath.workdps(60):
        exact = [
            mpmath.log1p(2 * mpmath.sinh(mpmath.mpf(x) / 2) ** 2)
            if abs(x) < 50
            else abs(mpmath.mpf(x)) - mpmath.log(2)
            for x in d.tolist()
        ]
        tanh = [mpmath.tanh(x) if abs(x) < 50 else mpmath.sign(x) for x in d.tolist()]
        assert relative(value, exact) <= 5 * info.eps
        assert relative(slope, tanh) <= 3 * info.eps


def test_log_cosh_at_its_limits(level, dtype):
    info = np.finfo(dtype)
    tiny = info.smallest_subnormal
    d = np.array([0, -0.0, tiny, -tiny, np.inf, -np.inf, np.nan], dtype)
    value, slope = one_by_one(level, LOG_COSH, IDENTITY, np.zeros_like(d), d)
    np.testing.assert_array_equal(value, [0, 0, 0, 0, np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(slope, [0, 0, tiny, -tiny, 1, -1, np.nan])


@pytest.mark.parametrize("weighted", [False, True])
def test_log_cosh_of_arrays(level, dtype, weighted):
    """Every output activation, each length; what is beside the arrays is not touched."""
    width = kernels.lanes(level, dtype is np.float64)
    close = {"rtol": 1e-12, "atol": 1e-14} if dtype is np.float64 else {"rtol": 1e-5, "atol": 1e-6}
    rng = np.random.default_rng(1)
    for n, activation in itertools.product(range(1, 3 * width + 2), (IDENTITY, SIGMOID, ELU)):
        Y, Y_hat = rng.standard_normal(n), rng.uniform(0.1, 0.9, n)
        Y, Y_hat = Y.astype(dtype), Y_hat.astype(dtype)
        weight = rng.uniform(0, 2, n).astype(dtype) if weighted else None
        w = np.ones(n) if weight is None else weight
        steep = {IDENTITY: 1, SIGMOID: Y_hat * (1 - Y_hat), ELU: 1}[activation]
        value, delta = loss(level, LOG_COSH, activation, Y, Y_hat, weight)
        d = Y_hat.astype(float) - Y
        np.testing.assert_allclose(value, (w * np.log(np.cosh(d))).sum(), **close)
        np.testing.assert_allclose(delta, w * np.tanh(d) * steep, **close)


@pytest.mark.parametrize("cols", [1, 2, 5, 16, 17, 33])
def test_log_cosh_of_softmax(level, dtype, cols):
    rows, rng = 4, np.random.default_rng(cols)
    P = rng.dirichlet(np.ones(cols), rows)
    Y, weight = rng.uniform(0, 1, (rows, cols)), rng.uniform(0, 2, (rows, cols))
    args = (x.astype(dtype).ravel() for x in (Y, P, weight))
    value, delta = loss(level, LOG_COSH, SOFTMAX, *args, rows)
    g = weight * np.tanh(P - Y)
    expected = P * (g - (g * P).sum(axis=1, keepdims=True))
    close = {"rtol": 1e-12, "atol": 1e-14} if dtype is np.float64 else {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(value, (weight * np.log(np.cosh(P - Y))).sum(), **close)
    np.testing.assert_allclose(delta, expected.ravel(), **close)


def test_gamma(level, dtype):
    """l = exp(t) - 1 - t and delta = 1 - exp(t), where t = log y - O is what the rounded logarithm
    makes of it: its error, and no other, counts where t is nearly 0."""
    eps = float(np.finfo(dtype).eps)
    rng = np.random.default_rng(2)
    t = np.concatenate(
        [rng.uniform(-40, 40, 60), rng.uniform(-1, 1, 60), np.linspace(-0.4, 0.4, 41)]
    )
    t = np.concatenate([t, np.geomspace(1e-6, 1, 40), -np.geomspace(1e-6, 1, 40)])
    y = np.exp(rng.uniform(-8, 8, len(t))).astype(dtype)
    raw = (np.log(y.astype(float)) - t).astype(dtype)
    value, delta = one_by_one(level, GAMMA, EXP, y, raw)
    with mpmath.workdps(40):
        for got_value, got_delta, a, b in zip(value, delta, y.tolist(), raw.tolist(), strict=True):
            log_y = mpmath.log(a)
            t = log_y - b
            off = 2 * eps * (abs(log_y) + abs(b) + 1e-30)  # of t
            least, slope = mpmath.expm1(t) - t, -mpmath.expm1(t)
            # dl/dt = exp(t) - 1, and d delta/dt = -exp(t)
            assert abs(got_value - least) <= 6 * eps * least + off * abs(slope) + off**2
            assert abs(got_delta - slope) <= 4 * eps * abs(slope) + off * mpmath.exp(t)


def test_gamma_of_subnormal_targets(level, dtype):
    """The logarithm itself takes normal numbers only."""
    info = np.finfo(dtype)
    least, normal = float(info.smallest_subnormal), float(info.tiny)
    y = np.concatenate([np.geomspace(least, normal, 40), [normal / 2, normal, 2 * normal]])
    y = y.astype(dtype)
    raw = np.tile(np.array([0, -10, -80, 3], dtype), len(y))
    y = np.repeat(y, 4)
    value, delta = one_by_one(level, GAMMA, EXP, y, raw)
    with mpmath.workdps(40):
        for got_value, got_delta, a, b in zip(value, delta, y.tolist(), raw.tolist(), strict=True):
            t = mpmath.log(a) - b
            off = 2 * float(info.eps) * (abs(mpmath.log(a)) + abs(b))
            exact, slope = mpmath.expm1(t) - t, -mpmath.expm1(t)
            assert abs(got_value - exact) <= 6 * info.eps * abs(exact) + off * abs(slope) + off**2
            assert abs(got_delta - slope) <= 4 * info.eps * abs(slope) + off * mpmath.exp(t)


def test_gamma_at_its_minimum(level, dtype):
    """y = 1: the logarithm is exact, so that nothing is lost however small O."""
    raw = np.concatenate([np.geomspace(1e-12, 30, 80), -np.geomspace(1e-12, 30, 80)]).astype(dtype)
    value, delta = one_by_one(level, GAMMA, EXP, np.ones_like(raw), raw)
    with mpmath.workdps(60):
        exact = [mpmath.expm1(-mpmath.mpf(x)) + mpmath.mpf(x) for x in raw.tolist()]
        slopes = [-mpmath.expm1(-mpmath.mpf(x)) for x in raw.tolist()]
        assert relative(value, exact) <= 12 * np.finfo(dtype).eps
        assert relative(delta, slopes) <= 3 * np.finfo(dtype).eps
    assert loss(level, GAMMA, EXP, np.ones(1, dtype), np.zeros(1, dtype)) == (0, 0)


@pytest.mark.parametrize("weighted", [False, True])
def test_gamma_of_arrays(level, dtype, weighted):
    width = kernels.lanes(level, dtype is np.float64)
    close = {"rtol": 1e-12, "atol": 1e-14} if dtype is np.float64 else {"rtol": 2e-5, "atol": 1e-5}
    rng = np.random.default_rng(3)
    for n in range(1, 3 * width + 2):
        y = np.exp(rng.standard_normal(n)).astype(dtype)
        raw = rng.standard_normal(n).astype(dtype)
        weight = rng.uniform(0, 2, n).astype(dtype) if weighted else None
        w = np.ones(n) if weight is None else weight.astype(float)
        value, delta = loss(level, GAMMA, EXP, y, raw, weight)
        ratio = y.astype(float) * np.exp(-raw.astype(float))
        np.testing.assert_allclose(value, (w * (ratio - 1 - np.log(ratio))).sum(), **close)
        np.testing.assert_allclose(delta, w * (1 - ratio), **close)


def test_gamma_of_missing_and_diverged(level, dtype):
    """A missing target has y = 0 and weight 0 and adds nothing; what is not finite is seen."""
    y, raw = np.array([0, 1, 0], dtype), np.array([-2000, 0.5, 2000], dtype)
    weight = np.array([0, 1, 0], dtype)
    value, delta = loss(level, GAMMA, EXP, y, raw, weight)
    alone = loss(level, GAMMA, EXP, y[1:2], raw[1:2])
    assert value == alone[0]
    np.testing.assert_array_equal(delta, [0, alone[1][0], 0])
    for bad in (np.nan, np.inf, -np.inf):
        raw[2] = bad
        assert not np.isfinite(loss(level, GAMMA, EXP, y, raw, weight)[0])
        raw[2], raw[1] = 2000, bad
        assert not np.isfinite(loss(level, GAMMA, EXP, y, raw, weight)[0])
        raw[1] = 0.5
    y[1] = np.nan
    assert np.isnan(loss(level, GAMMA, EXP, y, raw, weight)[0])


@pytest.mark.parametrize("code", [LOG_COSH, GAMMA])
def test_a_loss_does_not_know_its_alignment(level, dtype, code):
    width = kernels.lanes(level, dtype is np.float64)
    rng = np.random.default_rng(4)
    for n in range(3 * width + 2):
        Y, P = np.exp(rng.standard_normal((2, n))).astype(dtype)
        found = set()
        for offset in range(width + 1):
            y, p = np.empty((2, n + offset), dtype)
            y[offset:], p[offset:] = Y, P
            value, delta = loss(level, code, EXP, y[offset:], p[offset:])
            found.add((value, delta.tobytes()))
        assert len(found) == 1
    # In place
    value, delta = loss(level, code, EXP, Y, P)
    assert kernels.run_loss(level, code, EXP, 0.0, Y, P, 1, None, P) == value
    np.testing.assert_array_equal(P, delta)
