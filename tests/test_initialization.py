"""Initial parameters: distributions, golden values, the same numbers for the same seed."""

import itertools

import numpy as np
import pytest
from scipy import stats

from cbackprop import Network
from cbackprop.errors import InputError, InputTypeError
from cbackprop.network import initialization

INITS = list(initialization.INITIALIZATIONS)


def draw(sizes=(3, 4, 2), activations=("sigmoid", "sigmoid"), *, bias=True, init="auto", seed=0):
    return initialization.initial_parameters(sizes, activations, bias=bias, init=init, seed=seed)


def layers(sizes, parameters):
    """[(W1, b1), ...] of a flat parameter vector with biases."""
    found, start = [], 0
    for n_in, n_out in itertools.pairwise(sizes):
        W = parameters[start : start + n_in * n_out].reshape(n_in, n_out)
        start += n_in * n_out + n_out
        found.append((W, parameters[start - n_out : start]))
    return found


def test_the_numbers_are_philox_own():
    """The stream of seed 7, written out: it never changes."""
    raw = np.random.Philox(key=7, counter=1 << 192).random_raw(3)
    stream = initialization.Stream(7)
    unit = [(int(r) >> 11) / 2**53 for r in raw]
    assert stream.uniform((3,), 2.0).tolist() == [2.0 * (2 * u - 1) for u in unit]
    normal = initialization.Stream(7).normal((3,))
    expected = stats.norm.ppf([((int(r) >> 12) + 0.5) / 2**52 for r in raw])
    np.testing.assert_allclose(normal, expected, rtol=1e-13)


GOLDEN = {
    "auto": [
        *(-1.2735787382969455, 1.266077548639678, -0.3791396926364187, 0.16409050589637528),
        *(0.0, 0.0, 0.4481250829008285, 0.39469349915830343, 0.0),
    ],
    "normal": [
        *(-1.1153534883885514, 1.1052996108975695, -0.2778811473609447, 0.11901647644245447),
        *(0.40819881911481753, 0.35724346392015793, -0.2366535015073571, 0.6888542849324722),
        0.4182093477808173,
    ],
    "nguyen_widrow": [
        *(-0.9605857396322929, 0.9842599095952728, -0.23932203579085803, 0.10598316075445906),
        *(0.9899494936611666, 0.9899494936611666, 0.1584361424694798, 0.13954522487254162),
        -0.09353719465003929,
    ],
}


@pytest.mark.parametrize("init", GOLDEN)
def test_golden_values(init):
    """A seed gives these parameters in every version, on every machine."""
    got = draw((2, 2, 1), ("relu", "identity"), init=init, seed=42)
    np.testing.assert_allclose(got, GOLDEN[init], rtol=1e-13)


def test_the_extreme_bits_give_finite_numbers():
    stream = initialization.Stream(0)
    for raw in (0, 2**64 - 1):
        stream._raw = lambda n, raw=raw: np.full(n, raw, np.uint64)
        normal, uniform = stream.normal((1,)), stream.uniform((1,), 1.0)
        assert np.isfinite(normal).all()
        assert 8 < abs(normal[0]) < 9
        assert -1 <= uniform[0] < 1


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("sizes", [(3, 2), (1, 1), (3, 4, 2), (2, 1, 3), (4, 5, 6, 2)])
def test_size_and_order(init, sizes):
    activations = ("tanh",) * (len(sizes) - 1)
    parameters = draw(sizes, activations, init=init)
    assert parameters.shape == (sum((a + 1) * b for a, b in itertools.pairwise(sizes)),)
    assert parameters.dtype == np.float64
    assert np.isfinite(parameters).all()
    without = draw(sizes, activations, init=init, bias=False)
    weights = [W.reshape(-1) for W, _ in layers(sizes, parameters)]
    np.testing.assert_array_equal(without, np.concatenate(weights))


@pytest.mark.parametrize("init", INITS)
def test_seeds(init):
    np.testing.assert_array_equal(draw(init=init, seed=3), draw(init=init, seed=3))
    assert not np.array_equal(draw(init=init, seed=3), draw(init=init, seed=4))
    assert not np.array_equal(draw(init=init, seed=None), draw(init=init, seed=None))
    sequences = [np.random.SeedSequence(1), np.random.SeedSequence(1)]
    np.testing.assert_array_equal(*(draw(init=init, seed=s) for s in sequences))


@pytest.mark.parametrize("init", INITS)
def test_both_dtypes_get_the_same_numbers(init):
    wide, narrow = (Network((3, 4, 2), dtype=d, init=init, seed=5) for d in ("f8", "f4"))
    np.testing.assert_array_equal(wide.parameters.astype(np.float32), narrow.parameters)


def test_glorot_and_he():
    sizes, n = (200, 300, 100), 1e-12
    sigmoid = layers(sizes, draw(sizes))
    relu = layers(sizes, draw(sizes, ("relu", "identity")))
    limits = {"sigmoid": np.sqrt(6 / 500), "relu": np.sqrt(6 / 200), "output": np.sqrt(6 / 400)}
    for (W, b), limit in (
        (sigmoid[0], limits["sigmoid"]),
        (relu[0], limits["relu"]),
        (sigmoid[1], limits["output"]),
        (relu[1], limits["output"]),
    ):
        assert stats.kstest(W.ravel(), stats.uniform(-limit, 2 * limit).cdf).pvalue > 1e-3
        assert np.abs(W).max() <= limit + n
        assert not b.any()
    glorot = layers(sizes, draw(sizes, ("relu", "identity"), init="glorot"))
    np.testing.assert_array_equal(glorot[0][0], sigmoid[0][0])


def test_normal():
    parameters = draw((200, 300, 100), init="normal")
    assert stats.kstest(parameters, "norm").pvalue > 1e-3
    biases = layers((200, 300, 100), parameters)[0][1]
    assert stats.kstest(biases, "norm").pvalue > 1e-3


@pytest.mark.parametrize("sizes", [(3, 10, 2), (1, 7, 1), (2, 1, 1), (50, 2, 1)])
def test_nguyen_widrow(sizes):
    n_in, n_hidden, _ = sizes
    (W1, b1), (W2, b2) = layers(sizes, draw(sizes, init="nguyen_widrow"))
    norm = 0.7 * n_hidden ** (1 / n_in)
    np.testing.assert_allclose(np.linalg.norm(W1, axis=0), norm, rtol=1e-14)
    spread = np.linspace(-1, 1, n_hidden) if n_hidden > 1 else np.zeros(1)
    np.testing.assert_allclose(b1, norm * spread * np.sign(W1[0]), rtol=1e-14)
    for values in (W2, b2):
        assert (np.abs(values) <= 0.5).all()
        assert values.any()


def test_nguyen_widrow_directions_are_random():
    W1 = layers((2, 2000, 1), draw((2, 2000, 1), init="nguyen_widrow"))[0][0]
    angle = np.arctan2(W1[1], W1[0])
    assert stats.kstest(angle, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3


def test_a_net_without_hidden_layers_has_an_output_layer_only():
    assert (np.abs(draw((3, 2), ("identity",), init="nguyen_widrow")) <= 0.5).all()


def test_errors():
    with pytest.raises(InputError, match="init is 'he'; expected one of 'auto', 'glorot', 'nor"):
        draw(init="he")
    with pytest.raises(InputTypeError, match="init is None"):
        draw(init=None)
    with pytest.raises(InputError, match="seed is -1"):
        draw(seed=-1)
