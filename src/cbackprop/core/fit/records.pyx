"""A call's records on their way to its trainer's history: whole, whatever signal arrives.

Python looks for signals as it enters a function written in Python.  This one is compiled, so that a
signal at the end of a fit cannot part the history from the epochs that the trainer has done.
"""

from array import array

cdef object A_NAN = array("d", [float("nan")])


cdef class Delivery:
    """From the columns of one call to those of a history.

    Parameters
    ----------
    columns : dict of array.array("d")
        They grow while the call goes on, and become shorter when it is rolled back.
    """
    cdef dict columns
    cdef Py_ssize_t delivered

    def __init__(self, dict columns not None):
        self.columns = columns

    def deliver(self, trainer not None):
        """Bring the history of the trainer to where the columns are, back as well as forth.

        A column that the history has not had begins with NaN, and one that this call has not goes
        on with NaN.
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
