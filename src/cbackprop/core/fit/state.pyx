"""A trainer's state: its position in time, and the memory of its solver and of early stopping."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

import numpy as np

from cbackprop.core.gradient.plan cimport Plan


cdef bint fits(memory, Py_ssize_t rows, Py_ssize_t size, Py_ssize_t itemsize) except -1:
    """Whether an array has this size and item size; none is needed for no rows."""
    if memory is None or rows == 0:
        return memory is None and rows == 0
    cdef Py_buffer view
    PyObject_GetBuffer(memory, &view, PyBUF_SIMPLE)     # a quarter of the cost of two attributes
    cdef bint good = view.len == size * itemsize and view.itemsize == itemsize
    PyBuffer_Release(&view)
    return good


cdef class State:
    """A trainer's position and memory.

    Attributes
    ----------
    epoch : int
        Complete epochs done.
    position : int
        Rows of the current epoch that are done; if all, its validation may still be missing.
    loss_sum, unit_sum : float
        The sum of their losses, each evaluated before its step, and the same in the targets' units.
    n_rows, batch_rows : int
        The rows of the current epoch and of its batches.
    kind : str
        Identifies the rule to which the vectors and numbers belong.
    vectors : ndarray (k, n_parameters) or None
        The rule's memory, in the network's dtype.
    numbers : ndarray of float64 or None
    stopping : ndarray (N_REMEMBERED,) of float64 or None
        The memory of early stopping and rate reduction (early_stopping.pyx).
    best_parameters : ndarray (n_parameters,) or None
    """

    def __cinit__(self):
        self.kind = ""

    def as_dict(self):
        """All attributes by name, as in checkpoints and pickles; there, ``stopping`` is "watch"."""
        return {
            "epoch": self.epoch, "position": self.position, "loss_sum": self.loss_sum,
            "unit_sum": self.unit_sum, "n_rows": self.n_rows, "batch_rows": self.batch_rows,
            "kind": self.kind, "vectors": self.vectors, "numbers": self.numbers,
            "watch": self.stopping, "best_parameters": self.best_parameters,
        }

    @property
    def in_use(self):
        """Whether anything in it belongs to a network."""
        return (self.epoch > 0 or self.position > 0 or self.vectors is not None
                or self.numbers is not None or self.best_parameters is not None)

    def has_memory(self, Plan plan not None, Py_ssize_t n_vectors, Py_ssize_t n_numbers):
        """Whether vectors and numbers are those of a rule that needs this many."""
        return (fits(self.vectors, n_vectors, n_vectors * plan.net.n_parameters, plan.net.itemsize)
                and fits(self.numbers, n_numbers, n_numbers, sizeof(double)))

    def before_a_call(self, bint monitored):
        """What a call replaces before its first step, and the place in time."""
        stopping = self.stopping
        if monitored and stopping is not None:
            stopping = stopping.copy()
        return (self.epoch, self.position, self.n_rows, self.batch_rows, self.kind, self.vectors,
                self.numbers, stopping, self.best_parameters)

    def take_back(self, tuple before):
        """Restore what the call has replaced; return whether it had made no step."""
        if before[0] != self.epoch or before[1] != self.position:
            return False
        (self.epoch, self.position, self.n_rows, self.batch_rows, self.kind, self.vectors,
         self.numbers, self.stopping, self.best_parameters) = before
        return True

    def __reduce__(self):
        return restore_state, (self.as_dict(),)


def restore_state(dict values):
    """Rebuild a state from the result of ``as_dict``.

    Its arrays are written to: those that are read-only, such as joblib's memory maps, are copied.
    """
    cdef State state = State()
    for name, value in values.items():
        if isinstance(value, np.ndarray) and not (type(value) is np.ndarray
                                                  and value.flags.writeable):
            value = np.array(value)
        setattr(state, "stopping" if name == "watch" else name, value)
    return state
