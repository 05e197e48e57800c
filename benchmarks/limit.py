"""The limit: the time a step needs when only products and exponentials cost anything.

    limit = (flops + 49 or 32 a unit) / (gemm rate of one core * threads used)

flops: each of a step's products counted once, 2 m n k each: forward, weight gradient, and, above
the first layer, the delta handed down; for one hidden layer N (4 n_in n_hidden + 6 n_hidden n_out).
units: N (n_hidden + n_out), each one sigmoid, which takes a vector unit the time of 49 (float64) or
32 (float32) flops.  The rate is the best reading of a large square product on one thread in the
same run; 49 and 32 are fixed.  Memory traffic, updates, biases, loss and calls count nothing, so
the limit cannot be reached, only approached.
"""

import time

import numpy as np
from scipy.linalg.blas import dgemm, sgemm
from threadpoolctl import threadpool_limits

FLOPS_PER_UNIT = {"float64": 49, "float32": 32}
SQUARE = 1024


def flops(row):
    """Floating-point operations of one step's products (or of one call)."""
    products = [n * m for n, m in zip(row.sizes, row.sizes[1:], strict=False)]
    if row.task == "predict":
        return 2 * row.step_rows * sum(products)
    return row.step_rows * (4 * products[0] + 6 * sum(products[1:]))


def units(row):
    """Units of one step whose activation is an exponential (sigmoid or tanh)."""
    count = 0
    for width in row.sizes[1:-1]:
        count += width if row.activation in ("sigmoid", "tanh") else 0
    count += row.sizes[-1] if row.output_activation in ("sigmoid", "tanh") else 0
    return row.step_rows * count


def limit_us(row, dtype, rate, n_threads):
    """Microseconds of one step at the limit; ``rate`` is flops a second of one core."""
    used = n_threads if row.threads == "all" else 1
    return 1e6 * (flops(row) + FLOPS_PER_UNIT[dtype] * units(row)) / (rate * used)


class GemmRate:
    """The best gemm rate of one thread seen so far in this run, for one dtype."""

    def __init__(self, dtype, n=SQUARE):
        generator = np.random.default_rng(0)
        self.gemm = {"float64": dgemm, "float32": sgemm}[dtype]
        # Fortran order: what the wrapper takes without a copy.
        self.A, self.B = (np.asfortranarray(generator.random((n, n), dtype)) for _ in "AB")
        self.C = np.empty_like(self.A, order="F")
        self.work = 2.0 * n**3
        self.best = 0.0

    def read(self, times=2):
        """Take readings; returns the best rate so far, in flops a second."""
        with threadpool_limits(1, "blas"):
            for _ in range(times):
                begin = time.perf_counter()
                self.gemm(1.0, self.A, self.B, 0.0, self.C, overwrite_c=1)
                self.best = max(self.best, self.work / (time.perf_counter() - begin))
        return self.best
