"""What a peer is: the descent of one row, built once, run many times.

It holds no clock: the worker times it.  It never sees another peer.
"""

import importlib.util


class Skip(Exception):
    """A peer does not run a row; the text is the reason the report gives."""


class Peer:
    """One library on one row.

    ``train(epochs, order)`` runs whole epochs from the present parameters, in the rows' order, in
    ``order`` when given (the comparison of a shuffled row), or freshly shuffled each epoch when the
    row says so.  ``parameters()`` is the flat float vector W1, b1, W2, b2, ...
    """

    name = ""
    modules = ()  # what must be installed
    settings = ("one", "all")  # threads; the better one counts
    tasks = ("train",)
    copies = False  # runs rows of many independent fits
    in_c = False

    @classmethod
    def missing(cls):
        """Why this peer cannot run here, or None."""
        for module in cls.modules:
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed"
        return None

    @classmethod
    def environment(cls, setting):
        """Environment of a process of this peer with one or all threads."""
        if setting == "all":
            return {}
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return dict.fromkeys(names, "1")

    @classmethod
    def checked_as(cls, row):
        """The row whose result ours must equal: the row itself unless the model differs."""
        return row

    @classmethod
    def refuse(cls, row, dtype):
        """Raise Skip when this peer has no way to run the row."""
        if row.task not in cls.tasks:
            raise Skip(f"no {row.task} here")
        if row.copies > 1 and not cls.copies:
            raise Skip("one fit at a time only")

    def __init__(self, row, dtype, setting):
        raise NotImplementedError

    def reset(self):
        """Back to the start parameters."""
        raise NotImplementedError

    def train(self, epochs, order=None):
        raise NotImplementedError

    def predict(self):
        """Y_hat of all rows."""
        raise NotImplementedError

    def gradient(self):
        """The gradient over all rows: flat, or a list of arrays in the parameters' order."""
        raise NotImplementedError

    def parameters(self):
        raise NotImplementedError

    def version(self):
        return ""
