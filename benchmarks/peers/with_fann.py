"""FANN, the C library, one row at a time: its own incremental epoch, called through ctypes.

Found as ``libdoublefann``/``libfloatfann`` by the linker's rules, or in the folder that
``CBACKPROP_BENCH_FANN`` names.  Its biases cannot be switched off, so it is checked as a net with
biases.
"""

import ctypes
import ctypes.util
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import rows
from benchmarks.peers.base import Peer, Skip

SIGMOID, INCREMENTAL, LINEAR_ERROR = 3, 0, 0
LIBRARIES = {"float64": "doublefann", "float32": "floatfann"}


def find(name):
    folder = os.environ.get("CBACKPROP_BENCH_FANN")
    if folder:
        shared = [p for p in sorted(Path(folder).glob(f"lib{name}.*")) if p.suffix != ".a"]
        return str(shared[0]) if shared else None
    return ctypes.util.find_library(name)


class WithFann(Peer):
    name = "fann"
    settings = ("one",)
    in_c = True

    @classmethod
    def missing(cls):
        if not any(map(find, LIBRARIES.values())):
            return "libdoublefann and libfloatfann are not found (CBACKPROP_BENCH_FANN=folder)"
        return None

    @classmethod
    def checked_as(cls, row):
        return replace(row, bias=True)

    @classmethod
    def refuse(cls, row, dtype):
        super().refuse(row, dtype)
        if row.batch != 1 or row.shuffle or row.momentum:
            raise Skip("one row at a time only")
        if {row.activation, row.output_activation} != {"sigmoid"}:
            raise Skip("sigmoids only")
        if find(LIBRARIES[dtype]) is None:
            raise Skip(f"lib{LIBRARIES[dtype]} is not found")

    def __init__(self, row, dtype, setting):
        self.row = row = self.checked_as(row)
        real = ctypes.c_double if dtype == "float64" else ctypes.c_float
        self.lib = lib = ctypes.CDLL(find(LIBRARIES[dtype]))
        pointer, uint = ctypes.c_void_p, ctypes.c_uint

        class Connection(ctypes.Structure):
            _fields_ = [("source", uint), ("target", uint), ("weight", real)]

        self.connection = Connection
        lib.fann_create_standard_array.argtypes = [uint, ctypes.POINTER(uint)]
        lib.fann_create_standard_array.restype = pointer
        self.ann = ann = lib.fann_create_standard_array(len(row.sizes), (uint * 9)(*row.sizes))
        ann = pointer(ann)
        lib.fann_set_training_algorithm(ann, INCREMENTAL)
        lib.fann_set_train_error_function(ann, LINEAR_ERROR)
        for part in ("hidden", "output"):
            getattr(lib, f"fann_set_activation_function_{part}")(ann, SIGMOID)
            set_steepness = getattr(lib, f"fann_set_activation_steepness_{part}")
            set_steepness.argtypes = [pointer, real]
            set_steepness(ann, 0.5)  # 1 / (1 + exp(-2 * 0.5 * h))
        lib.fann_set_learning_rate.argtypes = [pointer, ctypes.c_float]
        lib.fann_set_learning_rate(ann, row.learning_rate)
        lib.fann_get_total_connections.argtypes = [pointer]
        lib.fann_get_connection_array.argtypes = [pointer, ctypes.POINTER(Connection)]
        lib.fann_set_weight_array.argtypes = [pointer, ctypes.POINTER(Connection), uint]
        lib.fann_train_epoch.argtypes = [pointer, pointer]
        lib.fann_train_epoch.restype = ctypes.c_float
        X, Y = rows.data(row, dtype)
        fill_type = ctypes.CFUNCTYPE(None, uint, uint, uint, *[ctypes.POINTER(real)] * 2)

        def fill(index, n_in, n_out, x, y):
            np.ctypeslib.as_array(x, (n_in,))[:] = X[index]
            np.ctypeslib.as_array(y, (n_out,))[:] = Y[index]

        create = lib.fann_create_train_from_callback
        create.argtypes, create.restype = [uint, uint, uint, fill_type], pointer
        self.data = create(len(X), X.shape[1], Y.shape[1], fill_type(fill))
        self.first = rows.start(row, dtype)

    def _each_weight(self, layers):
        """Every connection and the place in ``layers`` that its weight has."""
        count = self.lib.fann_get_total_connections(self.ann)
        found = (self.connection * count)()
        self.lib.fann_get_connection_array(self.ann, found)
        # Neurons are numbered through, each layer followed by its bias neuron.
        starts = np.cumsum([0, *(n + 1 for n in self.row.sizes)])
        for c in found:
            k = int(np.searchsorted(starts, c.source, "right")) - 1
            i, j = c.source - starts[k], c.target - starts[k + 1]
            W, b = layers[k]
            yield (c, b, j) if i == self.row.sizes[k] else (c, W, (i, j))
        self.found = found

    def reset(self):
        for c, array, at in self._each_weight(rows.layers(self.row, self.first)):
            c.weight = array[at]
        self.lib.fann_set_weight_array(self.ann, self.found, len(self.found))

    def train(self, epochs, order=None):
        for _ in range(epochs):
            self.lib.fann_train_epoch(self.ann, self.data)

    def parameters(self):
        flat = np.zeros_like(self.first)
        for c, array, at in self._each_weight(rows.layers(self.row, flat)):
            array[at] = c.weight
        return flat

    def version(self):
        return Path(find(LIBRARIES[self.first.dtype.name])).name
