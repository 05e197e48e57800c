"""A trainer's state: its position in time, and the memory of its solver and of early stopping."""


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

    def __reduce__(self):
        return restore_state, (self.as_dict(),)


def restore_state(dict values):
    """Rebuild a state from the result of ``as_dict``."""
    cdef State state = State()
    for name, value in values.items():
        setattr(state, "stopping" if name == "watch" else name, value)
    return state
