"""Transfers a call's records to its trainer's history, without interruption by signals.

Python runs signal handlers when it enters a function written in Python.  This one is compiled, so
that a signal at the end of a fit cannot leave the history inconsistent with the epochs done.
"""

from array import array

cdef object A_NAN = array("d", [float("nan")])


cdef class RecordKeeper:
    """Copies the columns of one call to those of a history.

    Parameters
    ----------
    columns : dict of array.array("d")
        They grow during the call, and become shorter when it is rolled back.
    """
    cdef dict columns
    cdef Py_ssize_t delivered

    def __init__(self, dict columns not None):
        self.columns = columns

    def deliver(self, trainer not None):
        """Make the trainer's history match the columns, by adding or removing epochs.

        A column that is new in the history begins with NaN, and one that this call lacks continues
        with NaN.
        """
        cdef dict to = trainer.history._columns
        cdef Py_ssize_t n = len(self.columns["loss"])
        cdef Py_ssize_t before = len(to["loss"])
        cdef Py_ssize_t after = before + n - self.delivered
        if after < before:
            for column in to.values():
                del column[after:]
        elif after > before:
            for name, column in self.columns.items():
                if name not in to:
                    to[name] = A_NAN * before
                to[name].extend(column if self.delivered == 0 else column[self.delivered:])
            if len(to) > len(self.columns):
                for name, column in to.items():
                    if name not in self.columns:
                        column.extend(A_NAN * (after - before))
        self.delivered = n
