"""Random numbers from ``random_state``, in scikit-learn's order and from its streams.

    fit           the weights (first fit), the validation rows (early stopping), an order an epoch
    partial_fit   the weights (first call), an order a call; the stream continues from call to call

The legacy ``RandomState`` is used: its streams are frozen (NEP 19), so the numbers can agree with
scikit-learn's.  This file draws numbers and decides nothing else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from ..activations import ACTIVATIONS, canonical
from ..errors import InputError
from ..network.initialization import auto_bound
from ..network.network import Network

__all__ = [
    "Orders",
    "another",
    "draw_parameters",
    "draw_spread",
    "draw_validation_rows",
    "stream",
]


def stream(random_state: Any) -> np.random.RandomState:
    """The stream of a ``random_state``: None, an int, a RandomState or a Generator."""
    if isinstance(random_state, np.random.Generator):
        words = random_state.integers(2**32, size=4, dtype=np.uint32)
        return np.random.RandomState(words)
    return check_random_state(random_state)  # type: ignore[no-any-return]


def another(random: np.random.RandomState, number: int) -> np.random.RandomState:
    """A new stream derived from ``random``, which is not advanced, and ``number``."""
    words = random.get_state()[1][:8]  # type: ignore[index]
    return np.random.RandomState(np.array([*words, number], np.uint32))


def draw_parameters(
    network: Network, random: np.random.RandomState, activations: Sequence[str]
) -> None:
    """Fill a network as scikit-learn does, layer by layer: W, then b, in +-sqrt(f / (in + out)).

    f is 2 for "logistic" and 6 for its other activations; the output layer uses that of the last
    hidden layer (Glorot and Bengio, AISTATS 2010, with biases drawn too).  For an activation that
    scikit-learn does not have, the bound is that of ``Network``'s initialization "auto".
    """
    names = [canonical("activation", name, hidden=True) for name in activations]
    for k, (W, b) in enumerate(zip(network.weights, network.biases, strict=True)):
        name, below = names[min(k, len(names) - 1)], names[k - 1] if k > 0 else None
        if ACTIVATIONS[name].init == "gain":
            bound = auto_bound(W.shape[0], W.shape[1], name, below)
        else:
            bound = np.sqrt((2.0 if name == "sigmoid" else 6.0) / sum(W.shape))
        W[...] = random.uniform(-bound, bound, W.shape)
        b[...] = random.uniform(-bound, bound, b.shape)


def draw_spread(network: Network, random: np.random.RandomState) -> None:
    """Fill a network by Nguyen and Widrow's method, seeded with one number of the stream."""
    network.initialize(init="nguyen_widrow", seed=int(random.randint(2**31)))


def draw_validation_rows(
    n_rows: int, fraction: float, random: np.random.RandomState, stratify: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """(rows to train on, rows to validate on), each in the order drawn."""
    rows, held_out = train_test_split(
        np.arange(n_rows), random_state=random, test_size=fraction, stratify=stratify
    )
    if len(held_out) < 2:
        raise InputError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your "
            f"dataset. It has {len(held_out)} of {n_rows} rows; expected at least 2"
        )
    return rows, held_out


class Orders:
    """The order of each epoch's rows: the previous order, shuffled again.

    Parameters
    ----------
    random : RandomState
    n_rows : int
    places : ndarray, optional
        The position of training row i among the training rows in ascending order.
    shuffle : bool
        False: every epoch visits the rows in their own order.
    order : ndarray, optional
        The previous epoch's order.
    """

    def __init__(
        self,
        random: np.random.RandomState,
        n_rows: int,
        *,
        places: np.ndarray | None = None,
        shuffle: bool = True,
        order: np.ndarray | None = None,
    ) -> None:
        self._random, self._places, self._shuffle = random, places, shuffle
        # Fisher-Yates exchanges do not depend on the values: shuffling the order itself equals
        # indexing it with a shuffled range, as scikit-learn's ``shuffle`` does.
        fresh = order is None or len(order) != n_rows
        # What comes from a memory-mapped pickle is read-only.
        self.order = np.require(np.arange(n_rows) if fresh else order, np.int64, "W")
        self.drawn = 0

    def __call__(self, epoch: int) -> np.ndarray:
        """The next epoch's order."""
        if self._shuffle:
            self._random.shuffle(self.order)
        self.drawn += 1
        return self.order if self._places is None else self._places[self.order]

    def catch_up(self, epochs: int) -> None:
        """Advance the stream as scikit-learn does, which shuffles even for full batches."""
        while self._shuffle and self.drawn < epochs:
            self(0)
