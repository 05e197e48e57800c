"""How well a network does on data, and plain aligned text about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..network.network import Network
from .coding import Coding
from .data import Part


@dataclass(frozen=True)
class Quality:
    """The quality of a network's outputs on one set of rows.

    Attributes
    ----------
    loss : float
        The mean over rows, summed over outputs; on scaled targets if the network scales them.
    mean_squared_error : float
        The mean over rows and outputs, in the targets' units.
    accuracy : float or None
        The fraction of rows whose largest output is that of their class; None without classes.
    """

    rows: int
    loss: float
    mean_squared_error: float
    accuracy: float | None

    @classmethod
    def of(
        cls, net: Network, coding: Coding, part: Part, loss: str, n_threads: int | None = None
    ) -> Quality:
        """The quality of `net`, trained on `loss`, on some rows."""
        losses, squares, right, counts = [], [], 0, []
        for X, Y in part.blocks():
            losses.append(net.loss(X, Y, loss=loss, n_threads=n_threads))
            Y_hat = net.predict(X, n_threads=n_threads)
            squares.append(float(np.mean((Y - Y_hat) ** 2)))
            right += int(np.count_nonzero(Y_hat.argmax(axis=1) == Y.argmax(axis=1)))
            counts.append(len(X))
        accuracy = None if coding.classes is None else right / len(part)
        return cls(len(part), _mean(losses, counts), _mean(squares, counts), accuracy)

    def as_dict(self) -> dict[str, Any]:
        """The known values, by name."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def _mean(means: Sequence[float], counts: Sequence[int]) -> float:
    """The mean over all rows from those of the blocks; for one block exactly its own."""
    if len(means) == 1:
        return means[0]
    total = math.fsum(mean * count for mean, count in zip(means, counts, strict=True))
    return total / sum(counts)


def quality_table(parts: dict[str, Quality]) -> str:
    """A line for each part of the data: rows, loss, mean squared error, accuracy of classes."""
    classes = any(part.accuracy is not None for part in parts.values())
    table = [["", "rows", "loss", "mean squared error", *["accuracy"][: int(classes)]]]
    for name, part in parts.items():
        line = [name, str(part.rows), f"{part.loss:.6g}", f"{part.mean_squared_error:.6g}"]
        table.append(line if part.accuracy is None else [*line, f"{100 * part.accuracy:.2f} %"])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "   ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Name and value on each line, with the values aligned."""
    pairs = list(pairs)
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name:<{width}}   {value}".rstrip() for name, value in pairs)


def network_facts(net: Network) -> list[tuple[str, str]]:
    """Sizes and activations, for `facts`."""
    sizes = " - ".join(map(str, net.sizes))
    hidden = ", ".join(net.activations[:-1]) or "none"
    return [
        ("network", f"{sizes}, {net.n_parameters} parameters, {net.dtype.name}"),
        ("activation", f"hidden {hidden}; output {net.activations[-1]}"),
    ]


def training_line(training: Mapping[str, Any]) -> str:
    """Loss, solver and its settings, for `facts`."""
    words = [f"{training['loss'].replace('_', ' ')}, {training['solver']}"]
    for name, text in (
        ("batch_size", "batch {}"),
        ("learning_rate", "learning rate {:g}"),
        ("momentum", "momentum {:g}" + " (Nesterov)" * bool(training.get("nesterov"))),
        ("l2", "l2 {:g}"),
        ("l1", "l1 {:g}"),
        ("restarts", "{} restarts"),
    ):
        if training.get(name):
            words.append(text.format(training[name]))
    return ", ".join([*words, f"seed {training['seed']}"])


def counted(n: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``2 rows``."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """Names for a report, without the middle ones if there are many."""
    return ", ".join(names) if len(names) <= 12 else ", ".join([*names[:10], "...", names[-1]])


def outputs_line(coding: Coding, n_out: int) -> str:
    """A description of the outputs: ``3 classes (a, b, c)`` or ``2 outputs (length, width)``."""
    if coding.classes is not None:
        return f"{len(coding.classes)} classes ({listed(coding.classes)})"
    names = f" ({listed(coding.targets)})" if coding.targets else ""
    return counted(n_out, "output") + names
