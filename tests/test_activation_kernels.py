"""The activations beyond sigmoid, tanh and relu, at every level: values, slopes, steps.

Units are units in the last place of the true value; where it is subnormal, of that place.
"""

import functools
import itertools

import mpmath
import numpy as np
import pytest
from scipy import special

from cbackprop.activations import ACTIVATIONS
from cbackprop.core.simd import dispatch
from cbackprop.core.testing import kernels

LEVELS = dispatch.available_levels()
DTYPES = (np.float64, np.float32)
FIRST = ("identity", "sigmoid", "tanh", "relu")  # test_simd.py has the tests of these
CODES = {s.name: s.code for s in ACTIVATIONS.values() if s.hidden and s.name not in FIRST}
IDENTITY, TANH = ACTIVATIONS["identity"].code, ACTIVATIONS["tanh"].code
KEPT = max(spec.code for spec in ACTIVATIONS.values()) + 1  # the core's code of a kept slope
KEEPING = [name for name in CODES if ACTIVATIONS[name].keeps_slope]
OF_OUTPUTS = [name for name in CODES if name not in KEEPING]

# The largest errors allowed, in units: of values, of slopes.  simd.h promises 4.
UNITS = {
    "leaky_relu": (1, None),
    "elu": (1.5, None),
    "softplus": (3.5, 3.5),
    "silu": (3.5, 4),
    "gelu": (4, 4),
    "softsign": (2, None),
    "gaussian": (1.5, 2.2),
    "sine": (1.8, 1.8),
}
# Where a slope crosses 0: from, to, the largest error in units of 1/4.
CROSSING = {"silu": (-1.8, -0.7, 1.5), "gelu": (-1.8, -0.3, 2.5)}
SINE_EXACT = 2.0**22
SINE_FARTHEST = 2.0**48


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(params=DTYPES, ids=lambda dtype: dtype.__name__)
def dtype(request):
    return request.param


@pytest.fixture(params=CODES)
def name(request):
    return request.param


def act(level, name, h):
    """z by `activate`; z and the slope by `activate_keeping` are the same and beside it."""
    z, z_again, slope = np.empty_like(h), np.empty_like(h), np.empty_like(h)
    kernels.run_activate(level, CODES[name], h, z)
    kernels.run_activate_keeping(level, CODES[name], h, z_again, slope)
    np.testing.assert_array_equal(z, z_again)
    return z, slope


# -- the true values ------------------------------------------------------------------------------


def truth(name, h):
    """act(h) and act'(h) of one float, by mpmath; what is below 1e-330 may be 0."""
    h, far = mpmath.mpf(h), abs(h) > 800
    zero, one = mpmath.mpf(0), mpmath.mpf(1)
    if name == "leaky_relu":
        return (h, one) if h > 0 else (h / 100, one / 100)
    if name == "elu":
        return (h, one) if h > 0 else (-one, zero) if far else (mpmath.expm1(h), mpmath.exp(h))
    if name == "softsign":
        return h / (1 + abs(h)), 1 / (1 + abs(h)) ** 2
    if name == "sine":
        return mpmath.sin(h), mpmath.cos(h)
    if name == "gaussian":
        z = zero if abs(h) > 40 else mpmath.exp(-h * h)
        return z, -2 * h * z
    if far:
        return (h, one) if h > 0 else (zero, zero)
    if name == "gelu":
        phi = mpmath.erfc(-h / mpmath.sqrt(2)) / 2
        return h * phi, phi + h * mpmath.exp(-h * h / 2) / mpmath.sqrt(2 * mpmath.pi)
    e = mpmath.exp(-abs(h))
    sigma = 1 / (1 + e) if h > 0 else e / (1 + e)
    if name == "softplus":
        return max(h, zero) + mpmath.log1p(e), sigma
    if name == "silu":
        return h * sigma, sigma * (1 + h * (1 - sigma))
    raise NotImplementedError(name)


@functools.cache
def points(name, dtype):
    """Dense, tiny, extreme and critical arguments, and floats of random bits."""
    info, rng = np.finfo(dtype), np.random.default_rng(2)
    bits = np.int64 if dtype is np.float64 else np.int32
    bounds = np.iinfo(bits)
    values = [
        np.linspace(-9, 9, 301),
        rng.uniform(-1, 1, 100),
        rng.uniform(-40, 40, 200),
        rng.uniform(-1.7, -0.4, 60),  # where slopes cross 0
        rng.uniform(-15, -1, 60),
        2.0 ** np.arange(-148, 60, 7),
        np.array([0.0, info.tiny, info.smallest_subnormal, 1e300, float(info.max)]),
    ]
    # The exponents at which a result becomes subnormal, and 0.
    for edge in (-float(np.log(info.tiny)), -float(np.log(info.smallest_subnormal))):
        near = {"gaussian": edge**0.5, "gelu": (2 * edge) ** 0.5}.get(name, edge)
        values.append(near * (1 + np.linspace(-0.02, 0.02, 31)))
    if name == "sine":
        # The doubles nearest to 29 pi/2 and its multiples by powers of 2 are nearer than any
        # other multiple of pi/2 has up to 2^22; 161 pi/2 is the floats' one.
        quarter = np.pi / 2
        values += [quarter * 29 * 2.0 ** np.arange(15), quarter * 161 * 2.0 ** np.arange(13)]
        values += [quarter * rng.integers(1, 2_670_000, 200), rng.uniform(0, SINE_EXACT, 100)]
    with np.errstate(over="ignore"):
        x = np.concatenate(values).astype(dtype)
    x = np.concatenate([x, -x, rng.integers(bounds.min, bounds.max, 250, bits).view(dtype)])
    return x[np.isfinite(x) & ((np.abs(x) <= SINE_EXACT) | (name != "sine"))]


@functools.cache
def oracle(name, dtype):
    """Of the points: values and slopes, each as a double and what remains."""
    x = points(name, dtype)
    parts = np.empty((4, len(x)))
    with mpmath.workdps(30):
        for i, h in enumerate(x.tolist()):
            for k, true in enumerate(truth(name, h)):
                parts[2 * k, i] = float(true)
                parts[2 * k + 1, i] = float(true - mpmath.mpf(parts[2 * k, i]))
    return parts


def error(got, high, low, dtype, unit_of=None):
    """In units of the true value's last place, or of unit_of's."""
    size = np.abs(high if unit_of is None else unit_of).astype(dtype)
    spacing = np.spacing(np.minimum(size, np.finfo(dtype).max / 2)).astype(np.float64)
    return np.abs((got.astype(np.float64) - high) - low) / spacing


def check_small(units, high, dtype):
    """A result far below the smallest normal number is rounded once; so is the true value here."""
    small = (np.abs(high) < np.finfo(dtype).tiny / 16) & (high != 0)
    assert units[small].max(initial=0) <= 1
    return small.sum()


@pytest.mark.parametrize("name", CODES)
def test_values(level, dtype, name):
    z, _ = act(level, name, points(name, dtype))
    high, low, *_ = oracle(name, dtype)
    units = error(z, high, low, dtype)
    assert units.max() <= UNITS[name][0]
    n_small = check_small(units, high, dtype)
    assert n_small > 20 or name not in KEEPING or name == "sine"


@pytest.mark.parametrize("name", KEEPING)
def test_slopes(level, dtype, name):
    x = points(name, dtype)
    _, slope = act(level, name, x)
    *_, high, low = oracle(name, dtype)
    units = error(slope, high, low, dtype)
    check_small(units, high, dtype)
    if name in CROSSING:
        start, end, most = CROSSING[name]
        inside = (start <= x) & (x <= end)
        assert inside.sum() > 40
        assert error(slope, high, low, dtype, 0.25)[inside].max() <= most
        units = units[~inside]
    assert units.max() <= UNITS[name][1]


@pytest.mark.parametrize("name", OF_OUTPUTS)
def test_slopes_of_outputs(level, dtype, name):
    """The slope of the rounded z, and near that of h."""
    x = points(name, dtype)
    z, slope = act(level, name, x)
    wide = z.astype(np.longdouble)
    expected = {
        "leaky_relu": np.where(wide > 0, 1, np.longdouble(1) / 100),
        "elu": np.where(wide > 0, 1, wide + 1),
        "softsign": (1 - np.abs(wide)) ** 2,
    }[name]
    high = expected.astype(np.float64)
    assert error(slope, high, (expected - high).astype(np.float64), dtype).max() <= 2
    *_, high, low = oracle(name, dtype)
    assert error(slope, high, low, dtype, 1.0).max() <= 1.5
    for n in (1, 7, 40):
        delta = np.full(n, 0.75, dtype)
        kernels.run_times_derivative(level, CODES[name], z[:n].copy(), delta)
        np.testing.assert_array_equal(delta, dtype(0.75) * slope[:n])


def test_floats_by_the_million(level, name):
    """float32 against formulas in float64: more arguments than mpmath has time for."""
    rng = np.random.default_rng(5)
    x = rng.integers(-(1 << 31), 1 << 31, 1 << 18).astype(np.int32).view(np.float32)
    x = np.concatenate([x, rng.uniform(-16, 16, 1 << 18).astype(np.float32)])
    x = x[np.abs(x) <= (np.finfo(np.float32).max if name != "sine" else SINE_EXACT)]
    z, slope = act(level, name, x)
    with np.errstate(over="ignore", under="ignore"):
        value, steep = formulas(name, x.astype(np.float64))
    assert error(z, value, 0.0, np.float32).max() <= UNITS[name][0]
    if name in CROSSING:
        start, end, most = CROSSING[name]
        inside = (start <= x) & (x <= end)
        assert error(slope, steep, 0.0, np.float32, 0.25)[inside].max() <= most
        slope, steep = slope[~inside], steep[~inside]
    if name in KEEPING:
        assert error(slope, steep, 0.0, np.float32).max() <= UNITS[name][1]


def formulas(name, h):
    """act(h) and act'(h) in NumPy; accurate enough in float64 for float32 and for steps."""
    sigma = special.expit(h)
    if name == "identity":
        return h, np.ones_like(h)
    if name == "tanh":
        return np.tanh(h), 1 - np.tanh(h) ** 2
    if name == "leaky_relu":
        return np.where(h > 0, h, 0.01 * h), np.where(h > 0, 1, 0.01)
    if name == "elu":
        below = np.minimum(h, 0)
        return np.where(h > 0, h, np.expm1(below)), np.where(h > 0, 1, np.exp(below))
    if name == "softplus":
        return np.maximum(h, 0) + np.log1p(np.exp(-np.abs(h))), sigma
    if name == "silu":
        return h * sigma, sigma * (1 + h * special.expit(-h))
    if name == "gelu":
        phi = special.ndtr(h)
        return h * phi, phi + h * np.exp(-h * h / 2) / np.sqrt(2 * np.pi)
    if name == "softsign":
        return h / (1 + np.abs(h)), (1 + np.abs(h)) ** -2.0
    if name == "gaussian":
        return np.exp(-h * h), -2 * h * np.exp(-h * h)
    if name == "sine":
        return np.sin(h), np.cos(h)
    raise NotImplementedError(name)


# -- where they are special -----------------------------------------------------------------------

INF = float("inf")
LIMITS = {  # at inf and -inf: value, slope
    "leaky_relu": ((INF, 1), (-INF, 0.01)),
    "elu": ((INF, 1), (-1, 0)),
    "softplus": ((INF, 1), (0, 0)),
    "silu": ((INF, 1), (0, 0)),
    "gelu": ((INF, 1), (0, 0)),
    "softsign": ((1, 0), (-1, 0)),
    "gaussian": ((0, 0), (0, 0)),
    "sine": ((np.nan, np.nan), (np.nan, np.nan)),
}


def test_special_values(level, dtype, name):
    above, below = LIMITS[name]
    at_0 = {"softplus": (np.log(2), 0.5), "silu": (0, 0.5), "gelu": (0, 0.5), "gaussian": (1, 0)}
    middle = at_0.get(name, (0, 0.01 if name == "leaky_relu" else 1))
    for n in range(1, 2 * kernels.lanes(level, dtype is np.float64) + 2):  # in body and tail
        for value, expected in (
            (INF, above),
            (-INF, below),
            (np.nan, (np.nan, np.nan)),
            (-np.nan, (np.nan, np.nan)),
            (0.0, middle),
            (-0.0, middle),
        ):
            z, slope = act(level, name, np.full(n, value, dtype))
            np.testing.assert_allclose(z, np.full(n, expected[0]), rtol=2e-7, atol=0)
            np.testing.assert_allclose(slope, np.full(n, expected[1]), rtol=2e-7, atol=0)


def test_huge_arguments(level, dtype, name):
    if name == "sine":
        return
    above, below = LIMITS[name]
    huge = np.array([1e30, 3e38] if dtype is np.float32 else [1e30, 1e300, 1.7e308], dtype)
    for h, (value, steep) in ((huge, above), (-huge, below)):
        z, slope = act(level, name, h)
        factor = dtype(0.01) if name == "leaky_relu" and value < 0 else dtype(1)
        np.testing.assert_array_equal(z, h * factor if np.isinf(value) else np.full_like(h, value))
        np.testing.assert_array_equal(slope, np.full_like(h, steep))


def test_sine_of_large_arguments(level, dtype):
    """Up to 2^48 as right as for an argument one unit away, beyond the same as there."""
    rng = np.random.default_rng(3)
    h = (2.0 ** rng.uniform(21, 48, 400)).astype(dtype)
    h = np.concatenate([h, -h])
    z, slope = act(level, "sine", h)
    high = np.array([[float(v) for v in truth("sine", x)] for x in h.tolist()])
    unit = np.spacing(np.abs(h)).astype(float) + 2 * np.finfo(dtype).eps
    assert (np.abs(z - high[:, 0]) <= unit).all()
    assert (np.abs(slope - high[:, 1]) <= unit).all()
    with np.errstate(over="ignore"):
        beyond = (2.0 ** np.arange(48, 1024, 9.0)).astype(dtype)
    beyond = beyond[np.isfinite(beyond)]
    z, slope = act(level, "sine", np.concatenate([beyond, -beyond]))
    assert np.abs(z).max() <= 1 and len(np.unique(z)) == 2 and len(np.unique(slope)) == 1
    np.testing.assert_allclose(z**2 + slope**2, 1, rtol=1e-6)
    everywhere, _ = act(level, "sine", rng.uniform(-1e5, 1e5, 100_000).astype(dtype))
    assert np.abs(everywhere).max() <= 1


@pytest.mark.parametrize("code", [CODES[name] for name in KEEPING] + [99])
def test_no_slope_is_made_of_an_output_that_does_not_tell_it(level, dtype, code):
    """NaN, not a plausible number."""
    width = kernels.lanes(level, dtype is np.float64)
    n = 2 * width + 1
    Z, delta, out = np.full(n, 0.5, dtype), np.ones(n, dtype), np.zeros(n, dtype)
    kernels.run_times_derivative(level, code, Z, delta)
    assert np.isnan(delta).all()
    kernels.run_delta_output(level, code, np.ones(n, dtype), Z, out)
    assert np.isnan(out).all()
    out[:] = 0
    kernels.run_delta_hidden(level, code, np.ones(1, dtype), 1, 1, 1, Z, Z, out)
    assert np.isnan(out).all()
    kernels.run_loss(level, 4, code, 1.0, np.ones(n, dtype), Z, 1, delta=out)
    assert np.isnan(out).all()


# -- elements: places, tails, aliasing ------------------------------------------------------------


def test_an_element_does_not_know_its_place(level, dtype, name):
    width = kernels.lanes(level, dtype is np.float64)
    rng = np.random.default_rng(7)
    x = (rng.standard_normal(5 * width + 2) * 3).astype(dtype)
    alone, steep_alone = np.empty_like(x), np.empty_like(x)
    for i in range(len(x)):
        one = slice(i, i + 1)
        kernels.run_activate_keeping(level, CODES[name], x[one], alone[one], steep_alone[one])
    for offset, n in itertools.product(range(width + 1), range(3 * width + 2)):
        part = slice(offset, offset + n)
        out, steep = np.full((2, n + 1), 7, dtype)
        kernels.run_activate(level, CODES[name], x[part], out[:n])
        np.testing.assert_array_equal(out[:n], alone[part])
        out[:n] = 0
        kernels.run_activate_keeping(level, CODES[name], x[part], out[:n], steep[:n])
        np.testing.assert_array_equal(out[:n], alone[part])
        np.testing.assert_array_equal(steep[:n], steep_alone[part])
        assert out[n] == steep[n] == 7


@pytest.mark.parametrize("code", [*range(4), *CODES.values()])
def test_in_place(level, dtype, code):
    for n in (1, 5, 16, 37):
        h = np.random.default_rng(n).standard_normal(n).astype(dtype)
        z, slope, again = np.empty_like(h), np.empty_like(h), np.empty_like(h)
        kernels.run_activate_keeping(level, code, h, z, slope)
        in_place = h.copy()
        kernels.run_activate_keeping(level, code, in_place, in_place, again)
        np.testing.assert_array_equal(in_place, z)
        np.testing.assert_array_equal(again, slope)
        kernels.run_activate(level, code, h, h)
        np.testing.assert_array_equal(h, z)


@pytest.mark.parametrize("code", range(4))
def test_slopes_of_the_first_four(level, dtype, code):
    h = np.random.default_rng(1).standard_normal(45).astype(dtype)
    z, slope, delta = np.empty_like(h), np.empty_like(h), np.ones_like(h)
    kernels.run_activate_keeping(level, code, h, z, slope)
    kernels.run_times_derivative(level, code, z, delta)
    np.testing.assert_array_equal(slope, delta)


@pytest.mark.parametrize("name", [*OF_OUTPUTS, "kept"])
def test_deltas(level, dtype, name):
    """The loops that multiply by a slope, at all places, and NaN where the output is NaN."""
    code = KEPT if name == "kept" else CODES[name]
    width = kernels.lanes(level, dtype is np.float64)
    rng = np.random.default_rng(8)
    h, Y = rng.standard_normal((2, 5 * width + 2)).astype(dtype)
    Z = h if name == "kept" else act(level, name, h)[0]
    slope = np.ones_like(Z)
    kernels.run_times_derivative(level, code, Z, slope)
    expected = Z if name == "kept" else formulas(name, h.astype(float))[1]
    np.testing.assert_allclose(slope, expected, rtol=2e-6 if dtype is np.float32 else 1e-14)
    for offset, n in itertools.product(range(width + 1), range(3 * width + 2)):
        part = slice(offset, offset + n)
        out = np.full(n + 1, 7, dtype)
        out[:n] = Y[part]
        kernels.run_times_derivative(level, code, Z[part], out[:n])
        np.testing.assert_array_equal(out[:n], Y[part] * slope[part])
        kernels.run_delta_output(level, code, Y[part], Z[part], out[:n])
        np.testing.assert_array_equal(out[:n], (Z[part] - Y[part]) * slope[part])
        weight = np.full(n, 0.5, dtype)
        kernels.run_delta_output_weighted(level, code, weight, Y[part], Z[part], out[:n], 1)
        np.testing.assert_array_equal(out[:n], (Z[part] - Y[part]) * slope[part] / 2)
        assert out[n] == 7
    for n_out, rows, n in itertools.product((1, 2), (1, 4, 5), (width, 2 * width + 1)):
        delta, W_T = rng.standard_normal((rows, n_out)), rng.standard_normal((n_out, n))
        Z = rng.uniform(0.1, 0.9, (rows, n)).astype(dtype) * np.sign(delta[:, :1]).astype(dtype)
        slope, out = np.ones(Z.size, dtype), np.empty(Z.size, dtype)
        kernels.run_times_derivative(level, code, Z.ravel(), slope)
        args = delta.astype(dtype).ravel(), n_out, rows, n_out, W_T.astype(dtype).ravel()
        kernels.run_delta_hidden(level, code, *args, Z.ravel(), out)
        close = {"rtol": 1e-12} if dtype is np.float64 else {"rtol": 1e-5, "atol": 1e-6}
        np.testing.assert_allclose(out, (delta @ W_T).ravel() * slope, **close)
    bad, delta = np.full(width + 1, np.nan, dtype), np.ones(width + 1, dtype)
    kernels.run_times_derivative(level, code, bad, delta)
    assert np.isnan(delta).all()


# -- whole steps ----------------------------------------------------------------------------------


class Net:
    """A network with one hidden layer, by the formulas; parameters W1, b1, W2, b2 in float64."""

    def __init__(self, sizes, hidden, output, *, bias, dtype, seed=0):
        n_in, n_hidden, n_out = self.sizes = sizes
        rng = np.random.default_rng([seed, *sizes])
        parts = [rng.normal(0, 1, (n_in, n_hidden)), rng.normal(0, 1, n_hidden)]
        parts += [rng.normal(0, n_hidden**-0.5, (n_hidden, n_out)), rng.normal(0, 0.3, n_out)]
        self.parts = [part.astype(dtype).astype(float) for part in parts]
        if not bias:
            self.parts[1][:] = self.parts[3][:] = 0
        self.hidden, self.output, self.bias = hidden, output, bias

    @property
    def flat(self):
        return np.concatenate([p.ravel() for p in (self.parts if self.bias else self.parts[::2])])

    def step(self, X, Y, alpha):
        """One step; returns the sum of squares before it."""
        W1, b1, W2, b2 = self.parts
        Z, slope = formulas(self.hidden, X @ W1 + b1)
        Y_hat, slope_O = formulas(self.output, Z @ W2 + b2)
        delta_O = (Y_hat - Y) * slope_O
        delta_H = delta_O @ W2.T * slope
        self.parts[0], self.parts[2] = W1 + alpha * X.T @ delta_H, W2 + alpha * Z.T @ delta_O
        if self.bias:
            self.parts[1], self.parts[3] = b1 + alpha * delta_H.sum(0), b2 + alpha * delta_O.sum(0)
        return ((Y_hat - Y) ** 2).sum()


ALL_CODES = {"identity": IDENTITY, "tanh": TANH, **CODES}


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_steps(level, dtype, name, rows):
    pairs = ((name, "identity"), ("tanh", name), (name, name))
    sizes = ((2, 3, 1), (3, 8, 1), (1, 17, 2), (5, 40, 3), (2, 1, 1), (2, 16, 9))
    for (hidden, output), shape, bias in itertools.product(pairs, sizes, (True, False)):
        net = Net(shape, hidden, output, bias=bias, dtype=dtype, seed=rows)
        rng = np.random.default_rng(rows)
        X = rng.uniform(-1, 1, (3 * rows, shape[0])).astype(dtype)
        Y = rng.uniform(0, 1, (3 * rows, shape[2])).astype(dtype)
        parameters = net.flat.astype(dtype)
        size = kernels.steps_scratch(level, dtype is np.float64, *shape[1:], rows)
        scratch = rng.standard_normal(size + 1).astype(dtype)
        canary = scratch[-1]
        made, squares = kernels.run_steps(
            level, *shape, ALL_CODES[hidden], ALL_CODES[output], bias, X.ravel(), Y.ravel(), None,
            rows, -0.05 / rows, parameters, scratch[:-1],
        )  # fmt: skip
        expected = sum(
            net.step(X[i : i + rows].astype(float), Y[i : i + rows], -0.05 / rows)
            for i in range(0, 3 * rows, rows)
        )
        close = (
            {"rtol": 1e-11, "atol": 1e-12} if dtype is np.float64 else {"rtol": 1e-5, "atol": 3e-5}
        )
        case = f"{hidden} {output} {shape} {bias}"
        np.testing.assert_allclose(parameters, net.flat, **close, err_msg=case)
        np.testing.assert_allclose(squares, expected, rtol=1e-11 if dtype is np.float64 else 1e-4)
        assert made == 3 and scratch[-1] == canary


def test_steps_end_where_they_diverge(level, dtype, name):
    shape, rows = (2, 5, 1), 2
    parameters = np.full(21, np.nan, dtype)
    size = kernels.steps_scratch(level, dtype is np.float64, *shape[1:], rows)
    ones = np.ones(8 * 2, dtype)
    made, squares = kernels.run_steps(
        level, *shape, CODES[name], IDENTITY, True, ones, ones[:8], None, rows, -0.1, parameters,
        np.zeros(size, dtype),
    )  # fmt: skip
    assert made == 1 and np.isnan(squares)
