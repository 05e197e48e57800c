"""The limit: the time a step needs when only products and exponentials cost anything.

    limit = (flops + 49 or 32 a unit) / (gemm rate of one core * threads used)

flops: each of a step's products counted once, 2 m n k each: forward, weight gradient, and, above
the first layer, the delta handed down; for one hidden layer N (4 n_in n_hidden + 6 n_hidden n_out).
units: N (n_hidden + n_out), each one sigmoid, which takes a vector unit the time of 49 (float64) or
32 (float32) flops.  The rate is the best reading of a large square product on one thread in the
same run; 49 and 32 are fixed.  Memory traffic, updates, biases, loss and calls count nothing; a
row passes the limit only where its own products or sigmoids are faster than these.

On a shared machine the best moment of a run says little about the others, so each reading of ours
is also held to the product's rate just before and after it, on the same cores: "beside".
"""

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import mean

import numpy as np
from scipy.linalg import cython_blas
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
    """The gemm rate of one core, in flops a second, for one dtype.

    Parameters
    ----------
    dtype : {"float64", "float32"}
    n_threads : int
        How many cores multiply at the same time, each a product of its own on one thread.
    n : int
        Rows and columns of the product.

    Attributes
    ----------
    best : float
        The best rate of any core in any reading so far.
    """

    def __init__(self, dtype, n_threads=1, n=SQUARE):
        generator = np.random.default_rng(0)
        self.gemm = _gemm(dtype)
        # A, B and C of each thread, in Fortran order.
        self.operands = [
            [np.asfortranarray(generator.random((n, n), dtype)) for _ in "ABC"]
            for _ in range(n_threads)
        ]
        self.n, self.best = n, 0.0

    def read(self, times=2):
        """Take readings; returns the best rate so far."""
        for _ in range(times):
            self.now()
        return self.best

    def now(self):
        """Take one reading; returns the mean rate of the cores."""
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(len(self.operands)) as pool:
            first, *others = self.operands
            others = [pool.submit(self._rate, *operands) for operands in others]
            rates = [self._rate(*first), *(other.result() for other in others)]
        self.best = max(self.best, *rates)
        return mean(rates)

    def _rate(self, A, B, C):
        """The rate of C = A B, made in the calling thread and without the GIL."""
        n, alpha, beta = np.intc(self.n), C.dtype.type(1), C.dtype.type(0)
        arguments = [b"N", b"N", n, n, n, alpha, A, n, B, n, beta, C, n]
        kept = [x if isinstance(x, bytes) else np.asarray(x) for x in arguments]
        pointers = [x if isinstance(x, bytes) else x.ctypes.data_as(ctypes.c_void_p) for x in kept]
        begin = time.perf_counter()
        self.gemm(*pointers)
        return 2.0 * self.n**3 / (time.perf_counter() - begin)


def _gemm(dtype):
    """SciPy's dgemm or sgemm, which the package calls too, as a C function."""
    capsule = cython_blas.__pyx_capi__[{"float64": "dgemm", "float32": "sgemm"}[dtype]]
    name_of, pointer_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(None)(pointer_of(capsule, name_of(capsule)))
