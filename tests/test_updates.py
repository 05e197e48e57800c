"""The update rules equal their NumPy twins to the bit, at every level, and their peers closely."""

import numpy as np
import pytest

from cbackprop.core.simd import dispatch
from cbackprop.core.testing import kernels

LEVELS = dispatch.available_levels()
DTYPES = (np.float64, np.float32)
LENGTHS = (*range(50), 257, 1000)
ADAM = {"a": 0.003, "c": 1.7, "epsilon": 1e-8, "beta_1": 0.9, "beta_2": 0.999}
NADAM = {"a_g": 0.002, "a_m": 0.01, "c": 1.7, "epsilon": 1e-8, "beta_1": 0.9, "beta_2": 0.999}
RPROP = {"increase": 1.2, "decrease": 0.5, "least": 0.05, "most": 2.0}


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(params=DTYPES, ids=lambda dtype: dtype.__name__)
def dtype(request):
    return request.param


def some(n, dtype, seed):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(n) * 10.0 ** rng.integers(-6, 6, n)).astype(dtype)


def vectors(count, n, dtype, offset=0):
    """Some vectors of length n, at any alignment."""
    return [some(n + offset, dtype, n + i)[offset:] for i in range(count)]


def cast(settings, dtype):
    return {name: dtype(value) for name, value in settings.items()}


# -- the twins ------------------------------------------------------------------------------------


def adam_twin(dtype, g, m, v, W, v_max=None):
    """m, v, W and v_max after a step with the settings ADAM."""
    a, c, epsilon, beta_1, beta_2 = cast(ADAM, dtype).values()
    m = beta_1 * m + dtype(1 - ADAM["beta_1"]) * g
    v = beta_2 * v + dtype(1 - ADAM["beta_2"]) * (g * g)
    v_max = None if v_max is None else np.maximum(v_max, v)
    W = W - a * m / (np.sqrt(v if v_max is None else v_max) * c + epsilon)
    return m, v, W, v_max


def nadam_twin(dtype, g, m, v, W):
    """m, v and W after a step with the settings NADAM."""
    a_g, a_m, c, epsilon, beta_1, beta_2 = cast(NADAM, dtype).values()
    m = beta_1 * m + dtype(1 - NADAM["beta_1"]) * g
    v = beta_2 * v + dtype(1 - NADAM["beta_2"]) * (g * g)
    return m, v, W - (a_g * g + a_m * m) / (np.sqrt(v) * c + epsilon)


def rprop_twin(dtype, worse, g, g_before, step, move, W):
    """g_before, step, move and W after a step with the settings RPROP."""
    increase, decrease, least, most = cast(RPROP, dtype).values()
    s = np.sign(g_before) * np.sign(g)
    factor = np.where(s > 0, increase, np.where(s < 0, decrease, dtype(1)))
    step = np.minimum(np.maximum(step * factor, least), most)
    W = np.where(s < 0, W - move if worse else W, W - np.sign(g) * step)
    move = np.where(s < 0, move, -np.sign(g) * step)
    return np.where(s < 0, dtype(0), g), step, move, W


def rprop_vectors(n, dtype, offset=0):
    """g, g_before, step, move, W: each meeting of signs, and zeros among them."""
    g, g_before, step, move, W = vectors(5, n, dtype, offset)
    g[::7], g_before[::5] = 0, 0
    np.copyto(step, np.abs(step) % dtype(3))
    return g, g_before, step, move, W


def assert_same(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_sgd(level, dtype, offset):
    lr = dtype(0.3)
    for n in LENGTHS:
        g, W = vectors(2, n, dtype, offset)
        expected = W - lr * g
        kernels.run_sgd(level, lr, g, W)
        np.testing.assert_array_equal(W, expected)


@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(level, dtype, offset, nesterov):
    lr, mu = dtype(0.3), dtype(0.9)
    for n in LENGTHS:
        g, v, W = vectors(3, n, dtype, offset)
        expected_v = mu * v - lr * g
        expected_W = W + (mu * expected_v - lr * g if nesterov else expected_v)
        kernels.run_momentum(level, lr, mu, g, v, W, nesterov)
        assert_same((v, W), (expected_v, expected_W))


@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam(level, dtype, offset, amsgrad):
    for n in LENGTHS:
        g, m, v, W, v_max = vectors(5, n, dtype, offset)
        for x in (v, v_max):
            np.abs(x, out=x)
        v_max = v_max if amsgrad else None
        expected = adam_twin(dtype, g, m, v, W, v_max)
        kernels.run_adam(level, *ADAM.values(), g, m, v, W, v_max)
        assert_same((m, v, W), expected[:3])
        if amsgrad:
            np.testing.assert_array_equal(v_max, expected[3])


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_nadam(level, dtype, offset):
    for n in LENGTHS:
        g, m, v, W = vectors(4, n, dtype, offset)
        np.abs(v, out=v)
        expected = nadam_twin(dtype, g, m, v, W)
        kernels.run_nadam(level, *NADAM.values(), g, m, v, W)
        assert_same((m, v, W), expected)


@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("worse", [False, True])
def test_rprop(level, dtype, offset, worse):
    for n in LENGTHS:
        g, *state = rprop_vectors(n, dtype, offset)
        expected = rprop_twin(dtype, worse, g, *state)
        kernels.run_rprop(level, *RPROP.values(), worse, g, *state)
        assert_same(state, expected)


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_penalty(level, dtype, offset):
    l2, l1 = dtype(0.01), dtype(0.3)
    for n in LENGTHS:
        W, g = vectors(2, n, dtype, offset)
        W[::3] = 0
        expected = g + (l2 * W + l1 * np.sign(W))
        kernels.run_penalty(level, l2, l1, W, g)
        np.testing.assert_array_equal(g, expected)


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_scale(level, dtype, offset):
    factor = dtype(0.999)
    for n in LENGTHS:
        (x,) = vectors(1, n, dtype, offset)
        expected = x * factor
        kernels.run_scale(level, factor, x)
        np.testing.assert_array_equal(x, expected)


# -- runs of a vector -----------------------------------------------------------------------------

RULES = {
    "sgd": (2, lambda level, *x: kernels.run_sgd(level, 0.3, *x)),
    "momentum": (3, lambda level, *x: kernels.run_momentum(level, 0.3, 0.9, *x)),
    "nesterov": (3, lambda level, *x: kernels.run_momentum(level, 0.3, 0.9, *x, nesterov=True)),
    "adam": (4, lambda level, *x: kernels.run_adam(level, *ADAM.values(), *x)),
    "nadam": (4, lambda level, *x: kernels.run_nadam(level, *NADAM.values(), *x)),
    "amsgrad": (5, lambda level, *x: kernels.run_adam(level, *ADAM.values(), *x)),
    "rprop": (5, lambda level, *x: kernels.run_rprop(level, *RPROP.values(), True, *x)),
    "penalty": (2, lambda level, *x: kernels.run_penalty(level, 0.01, 0.3, *x)),
    "scale": (1, lambda level, *x: kernels.run_scale(level, 0.999, *x)),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_vector_may_be_cut_anywhere(level, dtype, rule):
    count, run = RULES[rule]
    n = 131
    # Positive, as what stands under a root is.
    whole = [np.abs(x) for x in vectors(count, n, dtype)]
    for cuts in ([1], [64], [130], [7, 8, 50, 99]):
        parts = [x.copy() for x in whole]
        at_once = [x.copy() for x in whole]
        for piece in zip(*(np.split(x, cuts) for x in parts), strict=True):
            run(level, *piece)
        run(level, *at_once)
        assert all(np.isfinite(x).all() for x in at_once)
        assert_same([x.view(np.uint8) for x in parts], [x.view(np.uint8) for x in at_once])


# -- where it is special --------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "rule", ["sgd", "momentum", "nesterov", "adam", "nadam", "amsgrad", "rprop"]
)
def test_divergence_is_seen_in_the_parameters(level, dtype, rule, bad):
    """That is where it is looked for."""
    count, run = RULES[rule]
    for before in (-1.0, 0.0, 1.0):  # of rprop, the gradient before
        x = [np.full(37, 0.5, dtype) for _ in range(count)]
        x[1][:] = before if rule == "rprop" else 0.5
        x[0][5] = bad
        run(level, *x)
        W = x[3] if rule == "amsgrad" else x[-1]
        assert np.flatnonzero(~np.isfinite(W)).tolist() == [5]


def test_rprop_sees_the_signs_of_tiny_gradients(level, dtype):
    """Their product would be 0."""
    tiny = np.finfo(dtype).tiny
    g, g_before = np.array([tiny, -tiny], dtype), np.array([tiny, tiny], dtype)
    step, move, W = np.ones(2, dtype), np.full(2, -1, dtype), np.zeros(2, dtype)
    kernels.run_rprop(level, *RPROP.values(), False, g, g_before, step, move, W)
    assert_same((step, W), (np.array([1.2, 0.5], dtype), np.array([-1.2, 0], dtype)))


def paper_rprop(gradient, loss, w, step, n_steps):
    """iRPROP+ of one number, as Igel and Huesken's pseudo-code has it: the ws."""
    increase, decrease, least, most = RPROP.values()
    g_before, loss_before, ws = 0.0, np.inf, []
    for _ in range(n_steps):
        g = gradient(w)
        if g_before * g > 0:
            step = min(step * increase, most)
            move = -np.sign(g) * step
            w_new = w + move
        elif g_before * g < 0:
            step = max(step * decrease, least)
            w_new = w - move if loss(w) > loss_before else w
            g = 0.0
        else:
            move = -np.sign(g) * step
            w_new = w + move
        g_before, loss_before, w = g, loss(w), w_new
        ws.append(w)
    return np.array(ws)


@pytest.mark.parametrize("start", [0.31, -4.0, 30.0])
def test_rprop_follows_the_paper(level, start):
    def loss(w):
        return w * w + np.cos(5 * w)

    def gradient(w):
        return 2 * w - 5 * np.sin(5 * w)

    expected = paper_rprop(gradient, loss, start, 0.5, 60)
    W, g_before, step, move = (np.full(1, x) for x in (start, 0.0, 0.5, 0.0))
    loss_before, got, turns = np.inf, [], 0
    for _ in range(60):
        g, loss_now = gradient(W), loss(W[0])
        kernels.run_rprop(
            level, *RPROP.values(), loss_now > loss_before, g, g_before, step, move, W
        )
        turns += g_before[0] == 0
        loss_before = loss_now
        got.append(W[0])
    np.testing.assert_array_equal(got, expected)
    assert turns > 2


# -- peers ----------------------------------------------------------------------------------------


def adam_run(gradients, W, lr, weight_decay=0.0, amsgrad=False, folded=False, epsilon=1e-8):
    """W after a step on each gradient."""
    beta_1, beta_2 = 0.9, 0.999
    m, v = np.zeros_like(W), np.zeros_like(W)
    v_max = np.zeros_like(W) if amsgrad else None
    for t, g in enumerate(gradients, start=1):
        root = np.sqrt(1 - beta_2**t)
        a, c = lr / (1 - beta_1**t), 1 / root
        if folded:
            a, c = a * root, 1.0
        if weight_decay:
            kernels.run_scale(LEVELS[-1], 1 - lr * weight_decay, W)
        kernels.run_adam(LEVELS[-1], a, c, epsilon, beta_1, beta_2, g, m, v, W, v_max)
    return W


def gradients_of_all_sizes():
    rng = np.random.default_rng(3)
    return rng.standard_normal((100, 40)) * 10.0 ** rng.integers(-9, 4, 40), rng.standard_normal(40)


@pytest.mark.slow  # importing torch.optim takes seconds
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
def test_adam_equals_pytorch(amsgrad, weight_decay):
    torch = pytest.importorskip("torch")
    gradients, start = gradients_of_all_sizes()
    W = torch.tensor(start, requires_grad=True)
    peer = torch.optim.Adam if weight_decay == 0 else torch.optim.AdamW
    optimizer = peer([W], lr=0.02, weight_decay=weight_decay, amsgrad=amsgrad)
    for g in gradients:
        W.grad = torch.from_numpy(g)
        optimizer.step()
    got = adam_run(gradients, start.copy(), 0.02, weight_decay, amsgrad)
    assert np.abs(got - start).max() > 0.2
    np.testing.assert_allclose(got, W.detach().numpy(), rtol=0, atol=1e-14 * np.abs(got).max())


def nadam_run(gradients, W, lr):
    """W after a step on each gradient, with the scalars that updates.h names."""
    m, v, product = np.zeros_like(W), np.zeros_like(W), 1.0
    for t, g in enumerate(gradients, start=1):
        mu, mu_next = (0.9 * (1 - 0.96 ** (0.004 * s) / 2) for s in (t, t + 1))
        product *= mu
        a_g, a_m = lr * (1 - mu) / (1 - product), lr * mu_next / (1 - product * mu_next)
        c = 1 / np.sqrt(1 - 0.999**t)
        kernels.run_nadam(LEVELS[-1], a_g, a_m, c, 1e-8, 0.9, 0.999, g, m, v, W)
    return W


def test_nadam_follows_the_paper():
    """Dozat's Algorithm 2, with a schedule of mu: m_hat and v_hat as they are named there."""
    gradients, start = gradients_of_all_sizes()
    w, m, v, mus = start.copy(), 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        mus = [0.9 * (1 - 0.5 * 0.96 ** (0.004 * s)) for s in range(1, t + 2)]
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        m_hat = mus[t] * m / (1 - np.prod(mus)) + (1 - mus[t - 1]) * g / (1 - np.prod(mus[:-1]))
        w = w - 0.02 * m_hat / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    got = nadam_run(gradients, start.copy(), 0.02)
    assert np.abs(got - start).max() > 0.2
    np.testing.assert_allclose(got, w, rtol=0, atol=1e-13 * np.abs(got).max())


@pytest.mark.slow
def test_nadam_equals_pytorch(torch):
    gradients, start = gradients_of_all_sizes()
    W = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.NAdam([W], lr=0.02)
    for g in gradients:
        W.grad = torch.from_numpy(g)
        optimizer.step()
    got = nadam_run(gradients, start.copy(), 0.02)
    np.testing.assert_allclose(got, W.detach().numpy(), rtol=0, atol=1e-13 * np.abs(got).max())


def test_folded_adam_equals_scikit_learn():
    optimizers = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    gradients, start = gradients_of_all_sizes()
    W = [start.copy()]
    optimizer = optimizers.AdamOptimizer(W, learning_rate_init=0.02, epsilon=1e-5)
    for g in gradients:
        W[0] += optimizer._get_updates([g])[0]
    got = adam_run(gradients, start.copy(), 0.02, folded=True, epsilon=1e-5)
    np.testing.assert_allclose(got, W[0], rtol=0, atol=1e-14 * np.abs(got).max())
    # The two meanings of epsilon differ where gradients are small.
    other = adam_run(gradients, start.copy(), 0.02, epsilon=1e-5)
    assert np.abs(got - other).max() > 1e-3


def test_lengths_are_checked(level, dtype):
    for rule, (count, run) in RULES.items():
        for i in range(count if rule != "scale" else 0):
            with pytest.raises(ValueError, match="length"):
                run(level, *(np.zeros(3 - (j == i), dtype) for j in range(count)))
    with pytest.raises(ValueError, match="no level"):
        kernels.run_sgd("sse9", 1, np.zeros(2, dtype), np.zeros(2, dtype))
