"""Where a trainer stands: its place in time, and what its solver and its stopping remember."""


cdef class State:
    """Where a trainer stands.

    Attributes
    ----------
    epoch : int
        Whole epochs done.
    position : int
        Rows of the epoch under way that are done; the epoch's own validation may still be missing.
    loss_sum, unit_sum : float
        What their losses sum to, each taken before its step, and the same in the targets' units.
    n_rows, batch_rows : int
        Of the epoch under way.
    kind : str
        Of the rule that the vectors and numbers belong to.
    vectors : ndarray (k, n_parameters) or None
        What the rule remembers, of the network's dtype.
    numbers : ndarray of float64 or None
    stopping : ndarray (N_REMEMBERED,) of float64 or None
        What early stopping and a falling learning rate remember (early_stopping.pyx).
    best_parameters : ndarray (n_parameters,) or None
    """

    def __cinit__(self):
        self.kind = ""

    def as_dict(self):
        """All of it by name, as checkpoints and pickles have it: there ``stopping`` is "watch"."""
        return {
            "epoch": self.epoch, "position": self.position, "loss_sum": self.loss_sum,
            "unit_sum": self.unit_sum, "n_rows": self.n_rows, "batch_rows": self.batch_rows,
            "kind": self.kind, "vectors": self.vectors, "numbers": self.numbers,
            "watch": self.stopping, "best_parameters": self.best_parameters,
        }

    def __reduce__(self):
        return restore_state, (self.as_dict(),)


def restore_state(dict values):
    """The state whose ``as_dict`` is ``values``."""
    cdef State state = State()
    for name, value in values.items():
        setattr(state, "stopping" if name == "watch" else name, value)
    return state
