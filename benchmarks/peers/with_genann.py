"""genann, the C library, one row at a time in float64: a loop in C over its ``genann_train``.

``CBACKPROP_BENCH_GENANN`` names a shared library built of it (cc -O3 -shared -fPIC genann.c -lm).
The loop is compiled here, since ctypes would cost more than a step.  Its exact sigmoid is used: the
table it looks values up in by default gives other results.  Its biases cannot be switched off.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import rows
from benchmarks.peers.base import Peer, Skip

LOOP = """
void loop(void (*train)(void *, const double *, const double *, double), void *ann,
          const double *X, const double *Y, long rows, long n_in, long n_out, double rate)
{
    for (long i = 0; i < rows; i++)
        train(ann, X + i * n_in, Y + i * n_out, rate);
}
"""


class Net(ctypes.Structure):
    """The head of ``struct genann``."""

    _fields_ = [
        ("sizes", ctypes.c_int * 4),
        ("activation_hidden", ctypes.c_void_p),
        ("activation_output", ctypes.c_void_p),
        ("total_weights", ctypes.c_int),
        ("total_neurons", ctypes.c_int),
        ("weight", ctypes.POINTER(ctypes.c_double)),
    ]


class WithGenann(Peer):
    name = "genann"
    settings = ("one",)
    in_c = True

    @classmethod
    def missing(cls):
        if not Path(os.environ.get("CBACKPROP_BENCH_GENANN", "")).is_file():
            return "not found (CBACKPROP_BENCH_GENANN=shared library)"
        return None if shutil.which("cc") else "no C compiler (cc)"

    @classmethod
    def checked_as(cls, row):
        return replace(row, bias=True)

    @classmethod
    def refuse(cls, row, dtype):
        super().refuse(row, dtype)
        if dtype != "float64":
            raise Skip("float64 only")
        if row.batch != 1 or row.shuffle or row.momentum or len(set(row.sizes[1:-1])) != 1:
            raise Skip("one row at a time only")
        if {row.activation, row.output_activation} != {"sigmoid"}:
            raise Skip("sigmoids only")

    def __init__(self, row, dtype, setting):
        self.row = row = self.checked_as(row)
        self.X, self.Y = rows.data(row, dtype)
        self.first = rows.start(row, dtype)
        self.lib = lib = ctypes.CDLL(os.environ["CBACKPROP_BENCH_GENANN"])
        lib.genann_init.restype = ctypes.POINTER(Net)
        sizes = row.sizes
        self.ann = lib.genann_init(sizes[0], len(sizes) - 2, sizes[1], sizes[-1])
        exact = ctypes.cast(lib.genann_act_sigmoid, ctypes.c_void_p).value
        self.ann.contents.activation_hidden = self.ann.contents.activation_output = exact
        with tempfile.TemporaryDirectory() as folder:
            source, shared = Path(folder, "loop.c"), Path(folder, "loop.so")
            source.write_text(LOOP)
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", source, "-o", shared], check=True)
            self.loop = ctypes.CDLL(str(shared)).loop
        pointer, long = ctypes.c_void_p, ctypes.c_long
        self.loop.argtypes = [pointer] * 4 + [long] * 3 + [ctypes.c_double]
        self.loop.restype = None

    def _weights(self):
        """Its weights by layer, each unit's row led by its bias, which it subtracts."""
        net = self.ann.contents
        flat, at = np.ctypeslib.as_array(net.weight, (net.total_weights,)), 0
        for n, m in zip(self.row.sizes, self.row.sizes[1:], strict=False):
            yield flat[at : at + (n + 1) * m].reshape(m, n + 1)
            at += (n + 1) * m

    def reset(self):
        for (W, b), theirs in zip(rows.layers(self.row, self.first), self._weights(), strict=True):
            theirs[:, 0], theirs[:, 1:] = -b, W.T

    def train(self, epochs, order=None):
        X, Y = self.X, self.Y
        train = ctypes.cast(self.lib.genann_train, ctypes.c_void_p)
        for _ in range(epochs):
            self.loop(train, self.ann, X.ctypes.data, Y.ctypes.data, len(X), X.shape[1],
                      Y.shape[1], self.row.learning_rate)  # fmt: skip

    def parameters(self):
        parts = []
        for theirs in self._weights():
            parts += [theirs[:, 1:].T.ravel(), -theirs[:, 0]]
        return np.concatenate(parts)
