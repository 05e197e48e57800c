"""Every loss and output activation at every level: the specification by complex steps, the loops
against it and, where numbers are extreme, against mpmath."""

import functools
import itertools

import mpmath
import numpy as np
import pytest

from cbackprop.core.simd import dispatch
from cbackprop.core.testing import kernels
from cbackprop.reference import losses as reference_losses

LEVELS = dispatch.available_levels()
ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu", "exp", "softmax")
LOSSES = ("squared_error", "cross_entropy", "poisson", "absolute_error", "huber", "quantile")
LOSSES += ("given", "log_cosh", "gamma")
PARAMETERS = {"huber": {"threshold": 0.7}, "quantile": {"quantile": 0.3}}
# As docs/mathematics.md allows them; "given" is a derivative from elsewhere and goes with any.
PAIRS = [
    *itertools.product(("squared_error", "given"), ACTIVATIONS),
    *itertools.product(("absolute_error", "huber", "quantile", "log_cosh"), ACTIVATIONS[:-1]),
    *[("cross_entropy", "sigmoid"), ("cross_entropy", "softmax")],
    *[("poisson", "exp"), ("gamma", "exp")],
]
FROM_O = ("cross_entropy", "poisson", "gamma")
SHAPES = [(0, 3), (3, 0), (1, 1), (4, 1), (7, 1), (100, 1), (3, 2), (5, 10), (33, 17), (1, 300)]
SHAPES += [(9, 64), (40, 3), (2, 133)]


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(params=(np.float64, np.float32), ids=lambda dtype: dtype.__name__)
def dtype(request):
    return request.param


def lanes(level, dtype):
    return kernels.lanes(level, dtype is np.float64)


def output(level, activation, raw):
    Y_hat = np.empty_like(raw)
    kernels.run_output(
        level, ACTIVATIONS.index(activation), raw.ravel(), Y_hat.reshape(-1), len(raw)
    )
    return Y_hat


def call(level, name, activation, Y, P, weight=None, delta=None):
    """The sum; delta, like P, is an array of Y's shape."""
    parameter = next(iter(PARAMETERS.get(name, {"": 0}).values()))
    code = LOSSES.index(name), ACTIVATIONS.index(activation), parameter
    weight = weight if weight is None else weight.ravel()
    delta = delta if delta is None else delta.reshape(-1)
    return kernels.run_loss(level, *code, Y.ravel(), P.reshape(-1), len(Y), weight, delta)


def loss_delta(level, name, activation, Y, raw, weight=None):
    """(sum, delta), from the raw output."""
    P = raw if name in FROM_O else output(level, activation, raw)
    delta = np.full_like(Y, np.nan)
    return call(level, name, activation, Y, P, weight, delta), delta


def expected(name, activation, Y, raw, weight=None):
    """The specification's (sum, delta), in float64."""
    if raw.size == 0:
        return 0, raw
    wide = [None if x is None else x.astype(float) for x in (Y, raw, weight)]
    return reference_losses.loss(name, activation, *wide, **PARAMETERS.get(name, {}))


def some(name, activation, shape, dtype=np.float64, seed=0):
    """Targets that the loss allows, raw outputs, weights."""
    rng = np.random.default_rng([seed, *shape])
    raw = rng.normal(size=shape)
    if name == "cross_entropy" and activation == "softmax":
        Y = rng.dirichlet(np.ones(shape[1]), shape[0]) if shape[1] else np.zeros(shape)
    elif name == "cross_entropy":
        Y = np.where(rng.uniform(size=shape) < 0.5, rng.uniform(size=shape), raw > 0)
    elif name == "poisson":
        Y = rng.poisson(2, size=shape) * rng.choice([1, 0.7], size=shape)
    elif name == "gamma":
        Y = rng.gamma(2, size=shape) + 1e-3
    else:
        Y = rng.normal(size=shape)
    return [x.astype(dtype) for x in (Y, raw, rng.uniform(0, 2, size=shape))]


def tolerance(dtype):
    return {"rtol": 1e-12, "atol": 1e-14} if dtype is np.float64 else {"rtol": 1e-5, "atol": 2e-6}


# -- the specification ----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "activation"), PAIRS)
def test_the_specification_by_complex_steps(name, activation):
    Y, raw, weight = some(name, activation, (4, 3))
    delta = expected(name, activation, Y, raw, weight)[1]
    for index in np.ndindex(raw.shape):
        stepped = raw.astype(complex)
        stepped[index] += 1e-30j
        parameter = PARAMETERS.get(name, {})
        value = reference_losses.loss(name, activation, Y, stepped, weight, **parameter)[0]
        if name == "given":
            value = (weight * Y * reference_losses.OUTPUTS[activation][0](stepped)).sum()
        assert delta[index] == pytest.approx(value.imag / 1e-30, rel=1e-12, abs=1e-14)


def test_the_specification_by_hand():
    one = np.ones((1, 1))
    for name, activation, y, raw, value in (
        ("squared_error", "identity", 1, 3, 2),
        ("absolute_error", "identity", 1, -2, 3),
        ("huber", "identity", 0, 0.5, 0.125),
        ("huber", "identity", 0, -1.7, 0.7 * (1.7 - 0.35)),
        ("quantile", "identity", 3, 1, 0.3 * 2),
        ("quantile", "identity", 1, 3, 0.7 * 2),
        ("cross_entropy", "sigmoid", 1, np.log(3), np.log(4 / 3)),
        ("poisson", "exp", 2, 0, 2 * np.log(2) - 1),
        ("poisson", "exp", 0, 0, 1),
        ("log_cosh", "identity", 1, 1 - np.log(2), np.log(5 / 4)),
        ("log_cosh", "identity", 0, np.log(4), np.log(17 / 8)),
        ("gamma", "exp", 3, 0, 2 - np.log(3)),
        ("gamma", "exp", 1, np.log(2), np.log(2) - 1 / 2),
    ):
        got = expected(name, activation, y * one, raw * one)[0]
        assert got == pytest.approx(value, rel=1e-15), name
    row = np.log([[1.0, 2.0, 5.0]])
    assert expected("cross_entropy", "softmax", np.array([[0.0, 0, 1]]), row)[0] == pytest.approx(
        np.log(8 / 5), rel=1e-15
    )


# -- the loops against it -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "activation"), PAIRS)
def test_losses(level, dtype, name, activation):
    for shape in SHAPES:
        Y, raw, weight = some(name, activation, shape, dtype)
        for w in (None, weight):
            value, delta = expected(name, activation, Y, raw, w)
            got, got_delta = loss_delta(level, name, activation, Y, raw, w)
            np.testing.assert_allclose(got, value, **tolerance(dtype), err_msg=str(shape))
            np.testing.assert_allclose(got_delta, delta, **tolerance(dtype), err_msg=str(shape))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_outputs(level, dtype, activation):
    sigma = reference_losses.OUTPUTS[activation][0]
    for shape in SHAPES:
        raw = some("", "", shape, dtype)[1] * 3
        if not raw.size:
            assert output(level, activation, raw).size == 0
            continue
        Y_hat = output(level, activation, raw)
        np.testing.assert_allclose(Y_hat, sigma(raw.astype(float)), **tolerance(dtype))
        if activation == "softmax":
            assert (np.abs(Y_hat.sum(axis=1) - 1) <= 4 * np.finfo(dtype).eps).all()


@pytest.mark.parametrize(("name", "activation"), PAIRS)
@pytest.mark.parametrize("n_out", range(1, 6))
def test_loss_and_gradient_agree(name, activation, n_out):
    """Whatever the number of outputs, delta is the derivative of the loss returned."""
    Y, raw, weight = some(name, activation, (3, n_out), seed=n_out)
    level, h = LEVELS[-1], 1e-6
    delta = loss_delta(level, name, activation, Y, raw, weight)[1]
    for index in np.ndindex(raw.shape):
        step = np.zeros_like(raw)
        step[index] = h
        if name == "given":
            ends = [(weight * Y * output(level, activation, raw + s)).sum() for s in (step, -step)]
        else:
            shifted = [raw + step, raw - step]
            ends = [loss_delta(level, name, activation, Y, x, weight)[0] for x in shifted]
        assert delta[index] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("name", "activation"), PAIRS)
def test_in_place_without_delta_and_with_weights_of_one(level, dtype, name, activation):
    for shape in SHAPES:
        Y, raw, weight = some(name, activation, shape, dtype)
        for w in (None, weight):
            value, delta = loss_delta(level, name, activation, Y, raw, w)
            if w is None:
                ones = loss_delta(level, name, activation, Y, raw, np.ones_like(Y))
                assert ones[0] == value
                np.testing.assert_array_equal(ones[1], delta)
            P = raw if name in FROM_O else output(level, activation, raw)
            assert call(level, name, activation, Y, P, w) == value
            assert call(level, name, activation, Y, P, w, P) == value
            np.testing.assert_array_equal(P, delta)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_outputs_in_place(level, dtype, activation):
    for shape in SHAPES:
        raw = some("", "", shape, dtype)[1]
        Y_hat = output(level, activation, raw)
        code = ACTIVATIONS.index(activation)
        kernels.run_output(level, code, raw.ravel(), raw.reshape(-1), shape[0])
        np.testing.assert_array_equal(raw, Y_hat)


@pytest.mark.parametrize(("name", "activation"), PAIRS)
def test_an_element_does_not_know_its_place(level, dtype, name, activation):
    """Nor a row, of softmax; nothing beyond the end is written, and a sum knows no alignment."""
    width = lanes(level, dtype)
    cols = 5 if activation == "softmax" else 1
    rows = 3 * width + 1
    Y, raw, weight = some(name, activation, (rows + width, cols), dtype)
    one_by_one = np.concatenate(
        [
            loss_delta(level, name, activation, *(x[i : i + 1] for x in (Y, raw, weight)))[1]
            for i in range(len(Y))
        ]
    )
    for offset, n in itertools.product(range(0, width + 1, 3), (1, width - 1, width, rows)):
        if n == 0:
            continue
        part = [x[offset : offset + n] for x in (Y, raw, weight)]
        value, delta = loss_delta(level, name, activation, *part)
        np.testing.assert_array_equal(delta, one_by_one[offset : offset + n])
        aligned = [np.copy(x) for x in part]
        assert loss_delta(level, name, activation, *aligned)[0] == value
        room = np.full(n * cols + 1, 7, dtype)
        P = part[1] if name in FROM_O else output(level, activation, part[1])
        call(level, name, activation, part[0], P, part[2], room[:-1])
        assert room[-1] == 7


def test_float32_losses_are_summed_in_double(level):
    n, d = 1 << 20, 819 / 8192
    Y, Y_hat = np.zeros((n, 1), np.float32), np.full((n, 1), d, np.float32)
    assert call(level, "squared_error", "identity", Y, Y_hat) == n * d * d / 2
    assert call(level, "absolute_error", "identity", Y, Y_hat) == n * d


@pytest.mark.parametrize(("name", "activation"), PAIRS)
def test_nan_stays(level, dtype, name, activation):
    """In Y, in P, in a weight; in its own element's delta, or its own row's for softmax."""
    shape = (2 * lanes(level, dtype) + 1, 1)
    if activation == "softmax":
        shape = (4, 2 * lanes(level, dtype) + 1)
    for which, index in itertools.product(range(3), ((0, 0), (3, shape[1] - 1), (shape[0] - 1, 0))):
        if index[0] >= shape[0]:
            continue
        arrays = some(name, activation, shape, dtype)
        arrays[which][index] = np.nan
        value, delta = loss_delta(level, name, activation, *arrays)
        assert np.isnan(value) or (name == "given" and which == 1)
        untouched = (name, activation, which) == ("given", "identity", 1)
        assert np.isnan(delta[index]) != untouched
        assert np.isfinite(np.delete(delta, index[0], axis=0)).all()


@pytest.mark.parametrize("position", range(5))
def test_nan_makes_a_row_of_softmax_nan(level, dtype, position):
    for cols in (5, 2 * lanes(level, dtype) + 5):
        raw = np.zeros((3, cols), dtype)
        raw[1, position] = np.nan
        Y_hat = output(level, "softmax", raw)
        assert np.isnan(Y_hat[1]).all()
        assert (np.abs(Y_hat[[0, 2]] * cols - 1) <= 2 * np.finfo(dtype).eps).all()


def test_kinks(level, dtype):
    """At y_hat = y the subgradient is 0."""
    same = np.ones((1, 3), dtype)
    for name in ("absolute_error", "huber", "quantile"):
        value, delta = loss_delta(level, name, "identity", same, same)
        assert value == 0
        assert (delta == 0).all()


# -- extreme numbers ------------------------------------------------------------------------------


@functools.cache
def points(dtype):
    """Arguments of exp: where its reduction changes, edges of range, tiny, random."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(1)
    ends = np.log(float(info.smallest_subnormal)), np.log(float(info.tiny)), np.log(float(info.max))
    values = [
        np.log(2) * np.arange(-2200, 2100) / 2,
        np.log(2) * (np.arange(-700, 700) + 0.5) / 16,
        *(end + np.linspace(-1.5, 1.5, 41) for end in ends),
        rng.uniform(-1, 1, 300),
        rng.uniform(-40, 40, 300),
        rng.uniform(-760, 720, 500),
        [0, 1e-300, -1e-300, 5e-324, float(info.tiny), float(info.max), -float(info.max)],
    ]
    x = np.concatenate(values).astype(dtype)
    return x[np.isfinite(x)]


@functools.cache
def exact_exp(dtype):
    """exp of the points as a double and what remains; infinite as a float of dtype rounds."""
    x = points(dtype)
    high, low = np.empty((2, len(x)))
    with mpmath.workdps(40):
        for i, value in enumerate(x.tolist()):
            y = mpmath.exp(mpmath.mpf(min(max(value, -800), 800)))
            high[i] = float(y)
            low[i] = float(y - high[i]) if np.isfinite(high[i]) else 0
    return high, low


def test_exp(level, dtype):
    x = points(dtype)
    high, low = exact_exp(dtype)
    got = output(level, "exp", x[:, np.newaxis]).ravel()
    info = np.finfo(dtype)
    with np.errstate(over="ignore"):
        nearest = high.astype(dtype)
    np.testing.assert_array_equal(np.isinf(got), np.isinf(nearest))
    normal = np.isfinite(nearest) & (high >= info.tiny)
    spacing = np.spacing(nearest[normal]).astype(float)
    units = np.abs((got[normal].astype(float) - high[normal]) - low[normal]) / spacing
    assert units.max() <= 1.5
    tiny = high < info.tiny
    steps = np.abs(got[tiny].astype(float) - high[tiny]) / float(info.smallest_subnormal)
    assert steps.max() <= 1


def test_special_values_of_exp(level, dtype):
    for n in range(1, 2 * lanes(level, dtype) + 2):
        for value, result in ((np.nan, np.nan), (np.inf, np.inf), (-np.inf, 0), (-0.0, 1), (0, 1)):
            raw = np.full((n, 1), value, dtype)
            np.testing.assert_array_equal(output(level, "exp", raw), np.full((n, 1), result, dtype))


@pytest.mark.slow
def test_exp_of_float32_exhaustively():
    """Every x whose exp is not 1, 0 or infinite, and some of the others; a double's exponential is
    oracle enough for them."""
    first, last, infinity = np.array([2.0**-26, 110, np.inf], np.float32).view(np.int32).tolist()
    step = 1 << 17
    runs = [range(start, min(start + step, last)) for start in range(first, last, step)]
    runs += [range(0, first, 4099), range(last, infinity, 4099)]
    with np.errstate(over="ignore"):
        for run, sign in itertools.product(runs, (1, -1)):
            x = (
                sign
                * np.arange(run.start, run.stop, run.step, np.int32).view(np.float32)[:, np.newaxis]
            )
            nearest = np.exp(x.astype(float)).astype(np.float32).view(np.int32)
            for level in LEVELS:
                steps = np.abs(output(level, "exp", x).view(np.int32) - nearest)
                assert steps.max() <= 1, (level, run, sign)


LOGITS = [0.0, 1e-300, -1e-300, 5e-324, 1e-9, 0.3, -0.3, 1, -1, 17.5, -17.5, 36.7, -36.7, 40, -40]
LOGITS += [200, -200, 700, -700, 708.5, -708.5, 744, -744, 1e4, -1e4, 1e300, -1e300]


def exact_sigmoid_loss(y, logit):
    """(l, dl/dO), from 1 - y in exact arithmetic."""
    y, logit = mpmath.mpf(y), mpmath.mpf(logit)
    e = mpmath.exp(-abs(logit)) if abs(logit) < 1e5 else mpmath.mpf(0)
    s = e / (1 + e)
    value = (y if logit < 0 else 1 - y) * abs(logit) + mpmath.log1p(e)
    return float(value), float(s - y if logit < 0 else (1 - y) - s)


def test_cross_entropy_from_extreme_logits(level, dtype):
    """To 1e-12 of value and derivative, however small: scikit-learn's log loss ends at 36.04."""
    eps = 1e-12 if dtype is np.float64 else 1e-6
    tiny = float(np.finfo(dtype).tiny)
    with mpmath.workdps(400), np.errstate(over="ignore"):
        for y, logit in itertools.product((0.0, 1.0, 0.5, 0.25, 1 - 2.0**-20), LOGITS):
            raw = np.array([[logit]], dtype)
            if np.isinf(raw[0, 0]):
                continue
            Y = np.array([[y]], dtype)
            value, delta = loss_delta(level, "cross_entropy", "sigmoid", Y, raw)
            exact, derivative = exact_sigmoid_loss(Y[0, 0].item(), raw[0, 0].item())
            assert value == pytest.approx(exact, rel=eps, abs=tiny)
            rounding = tiny if y in (0, 1) else np.finfo(dtype).eps / 2  # sigma(O) - y cancels
            assert delta[0, 0] == pytest.approx(derivative, rel=4 * eps, abs=float(rounding))
    raw = np.full((1, 1), -200, dtype)
    assert call(level, "cross_entropy", "sigmoid", np.ones((1, 1), dtype), raw) == 200


def exact_softmax_loss(Y, logits):
    largest = max(logits)
    e = [mpmath.exp(x - largest) if x - largest > -1e5 else mpmath.mpf(0) for x in logits]
    total = mpmath.fsum(e)
    log_total = mpmath.log(total)
    value = mpmath.fsum(y * (log_total + largest - x) for y, x in zip(Y, logits, strict=True))
    y_sum = mpmath.fsum(Y)
    return value, [y_sum * x / total - y for y, x in zip(Y, e, strict=True)]


@pytest.mark.parametrize("cols", [2, 3, 10, 37])
def test_softmax_cross_entropy_from_extreme_logits(level, dtype, cols):
    """A sure answer's loss and derivatives are right in relative terms as well."""
    eps = 1e-12 if dtype is np.float64 else 4e-6
    rng = np.random.default_rng(cols)
    tiny = float(np.finfo(dtype).tiny)
    for scale, right in itertools.product((1, 30, 700, 1e4, 1e30), (True, False)):
        raw = (scale * rng.normal(size=(1, cols))).astype(dtype)
        Y = np.zeros_like(raw)
        largest = raw.argmax()
        Y[0, largest if right else (largest + 1) % cols] = 1
        value, delta = loss_delta(level, "cross_entropy", "softmax", Y, raw)
        with mpmath.workdps(450):
            exact, derivative = exact_softmax_loss(
                *([mpmath.mpf(x) for x in a[0].tolist()] for a in (Y, raw))
            )
            exact, derivative = float(exact), np.array([float(d) for d in derivative])
        assert value == pytest.approx(exact, rel=eps, abs=tiny)
        # The reduction O - max O rounds: an error of eps |O| in an exponent.
        spread = np.abs(raw.astype(float) - raw.max())
        bound = 4 * eps + np.finfo(dtype).eps * np.where(spread < 800, spread, 0).max()
        np.testing.assert_allclose(delta[0], derivative, rtol=bound, atol=tiny)


def test_softmax_of_extreme_numbers(level, dtype):
    for raw, expected_row in (
        ([1e30, 0, -1e30], [1, 0, 0]),
        ([1e4, 1e4, -1e4], [0.5, 0.5, 0]),
        ([-3e4, -3e4 - 2, -1e38], [1 / (1 + np.exp(-2)), np.exp(-2) / (1 + np.exp(-2)), 0]),
        ([-np.inf, 0, 0], [0, 0.5, 0.5]),
    ):
        got = output(level, "softmax", np.array([raw], dtype))
        np.testing.assert_allclose(got, [expected_row], rtol=3 * np.finfo(dtype).eps)


def test_ties_of_the_largest_logit(level, dtype):
    raw = np.array([[5, 5, 5, 5]], dtype)
    value, delta = loss_delta(level, "cross_entropy", "softmax", np.eye(1, 4, dtype=dtype), raw)
    assert value == pytest.approx(np.log(4), rel=float(2 * np.finfo(dtype).eps))
    np.testing.assert_allclose(delta, [[-0.75, 0.25, 0.25, 0.25]], rtol=2 * np.finfo(dtype).eps)


def test_poisson_from_extreme_numbers(level, dtype):
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    for y, raw in itertools.product((0, 1e-30, 0.5, 1, 2, 170, 1e6), (-700, -80, -1, 0, 3, 80)):
        Y, O_array = np.array([[y]], dtype), np.array([[raw]], dtype)
        value, delta = loss_delta(level, "poisson", "exp", Y, O_array)
        with mpmath.workdps(400):
            y_exact, rate = mpmath.mpf(Y[0, 0].item()), mpmath.exp(raw)
            log_term = y_exact * (mpmath.log(y_exact) - raw) if y > 0 else mpmath.mpf(0)
            size = float(abs(log_term) + y_exact + rate)  # its terms cancel
            exact, derivative = float(log_term - y_exact + rate), float(rate - y_exact)
        assert value == pytest.approx(exact, abs=3 * eps * size + tiny)
        assert delta[0, 0] == pytest.approx(derivative, abs=3 * eps * size + tiny)


def test_poisson_beyond_the_range(level, dtype):
    """exp(O) overflows, however near the target is to the largest number."""
    most = np.finfo(dtype).max
    for y, raw in itertools.product((0, 1, most / 2, most), (720, 1e4, 1e30)):
        Y, O_array = np.array([[y]], dtype), np.array([[raw]], dtype)
        value, delta = loss_delta(level, "poisson", "exp", Y, O_array)
        assert (value, delta.item()) == (np.inf, np.inf)


def test_log_cosh_from_extreme_numbers(level, dtype):
    """To some units of value and derivative, however small or large the difference."""
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    sizes = [0, 1e-30, 1e-12, 1e-5, 0.01, 0.3, 0.999, 1, 1.001, 3, 9, 19, 25, 90, 1e4, 1e30]
    for size, sign in itertools.product(sizes, (1, -1)):
        Y, Y_hat = np.zeros((1, 1), dtype), np.full((1, 1), sign * size, dtype)
        value, delta = loss_delta(level, "log_cosh", "identity", Y, Y_hat)
        with mpmath.workdps(80):
            d = abs(mpmath.mpf(Y_hat.item()))
            exact = d + mpmath.log1p(mpmath.exp(-2 * min(d, 1000))) - mpmath.log(2)
            derivative = sign * mpmath.tanh(min(d, 1000))
        assert value == pytest.approx(float(exact), rel=6 * eps, abs=tiny)
        assert delta.item() == pytest.approx(float(derivative), rel=4 * eps, abs=tiny)


def test_gamma_from_extreme_numbers(level, dtype):
    """Next to its minimum too, where y exp(-O) + O - log y - 1 as it stands would cancel."""
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    for y, t in itertools.product(
        (1e-30, 0.5, 1, 3, 170, 1e6, 1e30), (-60, -3, -0.3, -1e-3, 0, 1e-3, 0.4, 5, 60)
    ):
        Y = np.array([[y]], dtype)
        raw = (np.log(Y.astype(float)) - t).astype(dtype)
        value, delta = loss_delta(level, "gamma", "exp", Y, raw)
        with mpmath.workdps(80):
            y_exact, o = mpmath.mpf(Y.item()), mpmath.mpf(raw.item())
            ratio = y_exact * mpmath.exp(-o)
            exact, derivative = ratio + o - mpmath.log(y_exact) - 1, 1 - ratio
            # log y and O round, and so their difference, by units of |O|
            rounding = 4 * eps * (1 + abs(float(o))) * float(1 + ratio)
        slack = rounding * min(1, abs(float(o) - np.log(float(Y.item()))) + rounding)
        assert value == pytest.approx(float(exact), rel=4 * eps, abs=slack + tiny), (y, t)
        assert delta.item() == pytest.approx(float(derivative), rel=4 * eps, abs=rounding + tiny)


@pytest.mark.parametrize("name", ["cross_entropy", "poisson"])
def test_logarithms(level, dtype, name):
    """log through poisson's loss, log(1 + e^-|x|) through cross-entropy's."""
    rng = np.random.default_rng(3)
    with mpmath.workdps(40):
        if name == "poisson":  # y log y - y + 1 at O = 0, less what is known exactly
            Y = np.exp(rng.uniform(-30, 30, (400, 1))).astype(dtype)
            Y[:40] = (1 + rng.uniform(-0.3, 0.5, (40, 1))).astype(dtype)
            for y in Y:
                got = call(level, "poisson", "exp", y[:, np.newaxis], np.zeros((1, 1), dtype))
                exact_y = mpmath.mpf(y.item())
                exact = exact_y * mpmath.log(exact_y) - exact_y + 1
                size = float(abs(exact_y * mpmath.log(exact_y)) + abs(1 - exact_y))
                assert abs(got - float(exact)) <= 2 * np.finfo(dtype).eps * size
        else:
            raw = rng.uniform(-30, 30, (400, 1)).astype(dtype)
            for logit in raw:
                wrong = np.array([[logit.item() > 0]], dtype)  # l is log1p(e^-|x|) alone
                got = call(level, "cross_entropy", "sigmoid", wrong, logit[:, np.newaxis])
                exact = float(mpmath.log1p(mpmath.exp(-abs(mpmath.mpf(logit.item())))))
                assert abs(got - exact) <= 4 * np.finfo(dtype).eps * exact


# -- other libraries' scales ----------------------------------------------------------------------


def ours(name, activation, Y, raw):
    """Our loss of (N, K) arrays: the mean over rows of the sum over outputs."""
    return loss_delta("base", name, activation, Y, raw)[0] / len(Y)


def test_scales_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    Y, raw, _ = some("", "", (9, 3))
    q = PARAMETERS["quantile"]["quantile"]
    for name, theirs in (
        ("absolute_error", 3 * metrics.mean_absolute_error(Y, raw)),
        ("quantile", 3 * metrics.mean_pinball_loss(Y, raw, alpha=q)),
    ):
        assert ours(name, "identity", Y, raw) == pytest.approx(theirs, rel=1e-12)
    classes, first = np.eye(3)[[0, 1, 2, 0, 1, 2, 0, 0, 1]], raw[:, :1].copy()
    theirs = metrics.log_loss(classes, output("base", "softmax", raw))
    assert ours("cross_entropy", "softmax", classes, raw) == pytest.approx(theirs, rel=1e-12)
    theirs = metrics.log_loss(classes[:, 0], output("base", "sigmoid", first))
    got = ours("cross_entropy", "sigmoid", classes[:, :1].copy(), first)
    assert got == pytest.approx(theirs, rel=1e-12)
    counts = np.arange(9.0)[:, np.newaxis]
    theirs = metrics.mean_poisson_deviance(counts, np.exp(first)) / 2
    assert ours("poisson", "exp", counts, first) == pytest.approx(theirs, rel=1e-12)
    theirs = metrics.mean_gamma_deviance(counts + 0.5, np.exp(first)) / 2
    assert ours("gamma", "exp", counts + 0.5, first) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.slow
def test_scales_of_pytorch():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    t = PARAMETERS["huber"]["threshold"]
    for name, activation, criterion, factor in (
        ("cross_entropy", "softmax", nn.CrossEntropyLoss(), 1),
        ("cross_entropy", "sigmoid", nn.BCEWithLogitsLoss(), 3),
        ("absolute_error", "identity", nn.L1Loss(), 3),
        ("huber", "identity", nn.HuberLoss(delta=t), 3),
        ("huber", "identity", nn.SmoothL1Loss(beta=t), 3 * t),
        ("squared_error", "identity", nn.MSELoss(), 3 / 2),
        ("poisson", "exp", nn.PoissonNLLLoss(), 3),
    ):
        Y, raw, _ = some(name, activation, (9, 3))
        logits = torch.tensor(raw, requires_grad=True)
        theirs = criterion(logits, torch.tensor(Y))
        theirs.backward()
        value, delta = loss_delta("base", name, activation, Y, raw)
        if name == "poisson":
            value -= (Y * np.log(np.where(Y == 0, 1, Y)) - Y).sum()
        assert value / 9 == pytest.approx(factor * theirs.item(), rel=1e-12)
        np.testing.assert_allclose(delta / 9, factor * logits.grad.numpy(), rtol=1e-9, atol=1e-15)


# -- weights --------------------------------------------------------------------------------------


def test_element_weights(level, dtype):
    rng = np.random.default_rng(4)
    for rows, cols in SHAPES[1:]:
        row, column = rng.uniform(size=rows).astype(dtype), rng.uniform(size=cols).astype(dtype)
        Y = rng.normal(size=(rows, cols)).astype(dtype)
        Y[rng.uniform(size=Y.shape) < 0.3] = np.nan
        Y[rng.uniform(size=Y.shape) < 0.1] = -np.inf
        known = ~np.isnan(Y)
        for by_row, by_column, missing in itertools.product((None, row), (None, column), (0, 1)):
            given, weight = Y.copy(), np.full(rows * cols, np.nan, dtype)
            kernels.run_element_weights(
                level, missing, weight, given.reshape(-1), rows, by_row, by_column
            )
            each = np.ones_like(Y)
            each *= 1 if by_row is None else row[:, np.newaxis]
            each *= 1 if by_column is None else column
            if missing:
                each = np.where(known, each, 0)
            np.testing.assert_array_equal(weight.reshape(rows, cols), each)
            np.testing.assert_array_equal(given, np.where(known, Y, 0) if missing else Y)


@pytest.mark.parametrize(("name", "activation"), PAIRS)
def test_a_missing_target_counts_nothing(level, dtype, name, activation):
    Y, raw, _ = some(name, activation, (4, 3), dtype)
    Y[1] = Y[3, 2] = np.nan
    weight = np.empty(Y.size, dtype)
    kernels.run_element_weights(level, True, weight, Y.reshape(-1), len(Y))
    value, delta = loss_delta(level, name, activation, Y, raw, weight)
    exact, exact_delta = expected(name, activation, Y, raw, weight.reshape(Y.shape))
    np.testing.assert_allclose(value, exact, **tolerance(dtype))
    np.testing.assert_allclose(delta, exact_delta, **tolerance(dtype))
    assert (delta[1] == 0).all()
    assert delta[3, 2] == 0 or activation == "softmax"


def test_the_hooks_check_sizes(level, dtype):
    def zeros(n):
        return np.zeros(n, dtype)

    with pytest.raises(ValueError, match="length"):
        kernels.run_output(level, 4, zeros(3), zeros(2), 1)
    for Y, P, weight, delta in ((3, 2, 3, 3), (3, 3, 2, 3), (3, 3, 3, 2)):
        with pytest.raises(ValueError, match="length"):
            kernels.run_loss(level, 0, 0, 0, zeros(Y), zeros(P), 1, zeros(weight), zeros(delta))
    for weight, Y, row, column in ((6, 5, 2, 3), (6, 6, 3, 3), (6, 6, 2, 2)):
        with pytest.raises(ValueError, match="length"):
            kernels.run_element_weights(
                level, True, zeros(weight), zeros(Y), 2, zeros(row), zeros(column)
            )
