"""The initial parameters of a network.

Random numbers come from the raw output of NumPy's Philox, whose stream NumPy guarantees for ever,
and are turned into uniform and normal numbers here: the same seed gives the same parameters with
every version, and (rounded) with both dtypes.  They are drawn in the order of the flat array: W1,
b1, W2, ...

This file knows arrays and activation specifications, but no network.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from .. import checks
from ..activations import ACTIVATIONS

__all__ = ["INITIALIZATIONS", "auto_bound", "initial_parameters"]

# The upper quarter of Philox's 256-bit counter keeps the uses of one seed apart: shuffling with the
# seed of a network's weights uses other random numbers.
_COUNTER = 1 << 192


class Stream:
    """Random float64 numbers, a function of the seed and of how many were drawn before."""

    def __init__(self, seed: int) -> None:
        self._raw = np.random.Philox(key=seed, counter=_COUNTER).random_raw

    def uniform(self, shape: tuple[int, ...], limit: float) -> np.ndarray:
        """Uniform in [-limit, limit): 53 random bits each."""
        unit = (self._raw(math.prod(shape)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return (limit * (2 * unit - 1)).reshape(shape)

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers from N(0, 1), by the inverse of its distribution function.

        52 random bits plus one half keep the argument strictly inside (0, 1), where the inverse is
        finite.
        """
        from scipy.special import ndtri  # 20 ms to import, needed by two of four initializations

        unit = ((self._raw(math.prod(shape)) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        return ndtri(unit).reshape(shape)


# Draws one layer: (stream, n_in, n_out, its activation, that of the layer below, is it the output
# layer) -> W, b.
_Draw = Callable[[Stream, int, int, str, str | None, bool], tuple[np.ndarray, np.ndarray]]


def _glorot(
    stream: Stream, n_in: int, n_out: int, activation: str, below: str | None, is_output: bool
) -> tuple[np.ndarray, np.ndarray]:
    """W uniform in +-sqrt(6 / (n_in + n_out)), b = 0.  Glorot and Bengio 2010, equation (16)."""
    return stream.uniform((n_in, n_out), math.sqrt(6 / (n_in + n_out))), np.zeros(n_out)


def auto_bound(n_in: int, n_out: int, activation: str, below: str | None) -> float:
    """The bound c of "auto": W is uniform in +-c.

    Parameters
    ----------
    activation : str
        Of the layer.
    below : str or None
        The activation of the layer below; None for the inputs, which are taken to have variance 1.
    """
    init = ACTIVATIONS[activation].init
    if init == "glorot":
        return math.sqrt(6 / (n_in + n_out))
    if init == "he":  # He et al. 2015, equation (10)
        return math.sqrt(6 / n_in)
    gain_squared = 1.0 if below is None else ACTIVATIONS[below].gain_squared
    assert gain_squared is not None  # of every hidden activation
    return math.sqrt(3 * gain_squared / n_in)


def _auto(
    stream: Stream, n_in: int, n_out: int, activation: str, below: str | None, is_output: bool
) -> tuple[np.ndarray, np.ndarray]:
    """W uniform in +-`auto_bound`, b = 0."""
    return stream.uniform((n_in, n_out), auto_bound(n_in, n_out, activation, below)), np.zeros(
        n_out
    )


def _normal(
    stream: Stream, n_in: int, n_out: int, activation: str, below: str | None, is_output: bool
) -> tuple[np.ndarray, np.ndarray]:
    """W and b from N(0, 1).  Nielsen, Neural Networks and Deep Learning, chapter 1."""
    return stream.normal((n_in, n_out)), stream.normal((n_out,))


def _nguyen_widrow(
    stream: Stream, n_in: int, n_out: int, activation: str, below: str | None, is_output: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Hidden units spread over the inputs' range [-1, 1]; the output layer uniform in +-0.5.

    The weights of a hidden unit have random direction and norm 0.7 n_out^(1/n_in); its bias is that
    norm times one of n_out evenly spaced numbers in -1..1, with the sign of its first weight (0 for
    a single unit).  Nguyen and Widrow 1990; the even spacing is MATLAB's initnw.  It needs biases:
    without them all units bend at the origin, and only directions and norms are as intended.
    """
    if is_output:
        return stream.uniform((n_in, n_out), 0.5), stream.uniform((n_out,), 0.5)
    W = stream.normal((n_in, n_out))
    norm = 0.7 * n_out ** (1 / n_in)
    W *= norm / np.linalg.norm(W, axis=0)
    spread = np.linspace(-1, 1, n_out) if n_out > 1 else np.zeros(1)
    return W, norm * spread * np.where(W[0] < 0, -1, 1)


INITIALIZATIONS: dict[str, _Draw] = {
    "auto": _auto,
    "glorot": _glorot,
    "normal": _normal,
    "nguyen_widrow": _nguyen_widrow,
}


def initial_parameters(
    sizes: Sequence[int], activations: Sequence[str], *, bias: bool, init: str, seed: object
) -> np.ndarray:
    """The flat float64 parameters W1, b1, W2, b2, ... of a network.

    Parameters
    ----------
    sizes : sequence of int
        n_in, hidden..., n_out.
    activations : sequence of str
        One name for each layer of weights, the output's last.
    bias : bool
        If False, biases are drawn but not used, so that the weights are the same either way.
    init : str
        "auto", "glorot", "normal" or "nguyen_widrow".
    seed : None, int, numpy.random.SeedSequence or numpy.random.Generator
        None draws fresh entropy.

    Raises
    ------
    InputError, InputTypeError
        On an unknown `init` or an unusable `seed`.
    """
    draw = INITIALIZATIONS[checks.choice("init", init, INITIALIZATIONS)]
    stream = Stream(checks.seed_number("seed", seed))
    parts: list[np.ndarray] = []
    for i, activation in enumerate(activations):
        is_output = i == len(activations) - 1
        below = activations[i - 1] if i > 0 else None
        W, b = draw(stream, sizes[i], sizes[i + 1], activation, below, is_output)
        parts += [W.reshape(-1), b] if bias else [W.reshape(-1)]
    return np.concatenate(parts)
