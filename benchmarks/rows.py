"""The rows of the table: which network, which batch, how many rows, and the data they run on.

Only sizes and settings stand here; no clock, no peer.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Row:
    """One row of the table.

    A run is ``epochs`` epochs of plain mini-batch descent in one call, or as many as make the fixed
    cost of the call small when ``epochs`` is None.  Other tasks time one call: ``predict`` or
    ``gradient`` on all rows.
    """

    sizes: tuple[int, ...]
    batch: int
    n_rows: int
    group: str = "table"
    name: str = ""
    task: str = "train"  # or "predict", "gradient"
    epochs: int | None = None
    threads: str = "one"  # the threads the limit assumes: "one" or "all"
    activation: str = "sigmoid"
    output_activation: str = "sigmoid"
    bias: bool = False
    momentum: float = 0.0
    shuffle: bool = False
    copies: int = 1  # independent fits of the same shape, each from a start of its own
    first_copy: int = 0
    fresh: bool = False  # a new trainer (of ours) for each run

    def __post_init__(self):
        if self.n_rows % self.batch:
            raise ValueError(f"{self.n_rows} rows are not whole batches of {self.batch}")
        if not self.name:
            object.__setattr__(self, "name", f"{'-'.join(map(str, self.sizes))} b{self.batch}")

    @property
    def steps(self):
        """Steps of one epoch (one for a call of predict or gradient)."""
        return self.n_rows // self.batch if self.task == "train" else 1

    @property
    def step_rows(self):
        """Rows that one step reads, all copies together."""
        return (self.batch if self.task == "train" else self.n_rows) * self.copies

    @property
    def learning_rate(self):
        """Large enough that a step shows beside float32 rounding, small enough to stay tame.

        The curvature grows with the inputs and the layers' widths; an output without a sigmoid does
        nothing to hold it.  A power of two: FANN keeps it in float32.
        """
        width = max(self.sizes[1:])
        if self.output_activation == "sigmoid" and self.activation != "relu":
            rate = min(0.5, 200 / width, 20 / self.sizes[0] if self.batch == 1 else 0.5)
        else:
            rate = 0.1 / max(1.0, width / 4)
        return 2.0 ** math.floor(math.log2(rate))

    @property
    def check_epochs(self):
        """Epochs after which the parameters are compared: at least three steps."""
        return math.ceil(3 / self.steps)


def _single(*sizes, n_rows):
    return Row(sizes, 1, n_rows, group="single")


ROWS = (
    Row((2, 4, 1), 4, 4, epochs=500),
    Row((8, 16, 1), 32, 2048),
    Row((24, 8, 2), 200, 2000),
    Row((64, 32, 10), 32, 2048),
    Row((784, 30, 10), 10, 2000),
    Row((784, 30, 10), 10, 2000, shuffle=True, name="784-30-10 b10 shuffled"),
    Row((784, 100, 10), 128, 6400, threads="all"),
    Row((784, 1024, 10), 512, 5120, threads="all"),
    Row((784, 1024, 10), 4096, 8192, threads="all"),
    Row((64, 128, 10), 20_000, 20_000, threads="all"),
    Row((8, 16, 1), 100_000, 100_000, threads="all"),
    _single(120, 16, 3, n_rows=2000),
    _single(8, 16, 2, n_rows=2000),
    _single(784, 30, 10, n_rows=500),
    Row((2, 4, 1), 4, 4, group="calls", epochs=1, name="fit call, 2-4-1 one epoch"),
    Row((2, 4, 1), 4, 4, group="calls", epochs=1, fresh=True,
        name="new trainer and fit call, 2-4-1"),
    Row((8, 16, 1), 1, 1, group="calls", task="predict", name="predict 8-16-1, 1 row"),
    Row(
        (64, 128, 10),
        1_000_000,
        1_000_000,
        group="calls",
        task="predict",

        threads="all",
        name="predict 64-128-10, 1e6 rows",
    ),
    Row((24, 8, 2), 200, 200, group="calls", task="gradient", bias=True,
        name="gradient 24-8-2, 200 rows"),
    Row((10, 20, 1), 32, 1024, group="many", copies=100, threads="all", epochs=20,
        name="100 x 10-20-1 b32"),
    Row((2, 4, 1), 4, 4, group="variants", name="2-4-1 b4, many epochs"),
    Row((64, 32, 10), 32, 2048, group="variants", bias=True, name="64-32-10 b32 biases"),
    Row((64, 32, 10), 32, 2048, group="variants", momentum=0.9, name="64-32-10 b32 momentum"),
    Row((64, 32, 10), 32, 2048, group="variants", activation="tanh", name="64-32-10 b32 tanh"),
    Row((64, 32, 10), 32, 2048, group="variants", activation="relu", name="64-32-10 b32 relu"),
    Row((4, 32, 16, 4), 10_000, 10_000, group="variants", bias=True, activation="tanh",
        output_activation="identity", threads="all", name="4-32-16-4 b10000 tanh"),
)  # fmt: skip

GROUPS = tuple(dict.fromkeys(row.group for row in ROWS))


def select(words):
    """The rows named by a group, ``all``, or any part of a row's name, in the table's order."""
    chosen = set()
    for word in words:
        found = [r.name for r in ROWS if word in ("all", r.group)]
        found = found or [r.name for r in ROWS if word == r.name]
        found = found or [r.name for r in ROWS if word in r.name]
        if not found:
            raise ValueError(f"no row matches {word!r}; groups: {', '.join(GROUPS)}; rows: "
                             + "; ".join(r.name for r in ROWS))  # fmt: skip
        chosen.update(found)
    return [row for row in ROWS if row.name in chosen]


def data(row, dtype):
    """X (n_rows, n_in) and Y (n_rows, n_out), uniform, the same in every process."""
    generator = np.random.default_rng(20250315)
    X = generator.random((row.n_rows, row.sizes[0]), dtype=dtype)
    Y = generator.random((row.n_rows, row.sizes[-1]), dtype=dtype)
    return X, Y


def start(row, dtype, copy=0):
    """The flat start parameters W1, b1, W2, b2, ...: normal, scaled by the layer's inputs."""
    generator = np.random.default_rng(row.first_copy + copy)
    flat = []
    for n, m in zip(row.sizes, row.sizes[1:], strict=False):
        flat.append(generator.normal(0, n**-0.5, n * m))
        if row.bias:
            flat.append(generator.normal(0, 0.1, m))
    return np.concatenate(flat).astype(dtype)


def layers(row, flat):
    """Views ``[(W, b or None), ...]`` into a flat parameter vector."""
    found, at = [], 0
    for n, m in zip(row.sizes, row.sizes[1:], strict=False):
        W = flat[at : at + n * m].reshape(n, m)
        at += n * m
        b = flat[at : at + m] if row.bias else None
        at += m * row.bias
        found.append((W, b))
    return found


def check_order(row):
    """The order of rows in which a shuffled row is compared (the timed run draws its own)."""
    return np.random.default_rng(1).permutation(row.n_rows) if row.shuffle else None


def as_regressor(row):
    """The row as a library sees it whose output is the identity and whose biases cannot go."""
    return replace(row, bias=True, output_activation="identity")
