"""Which networks are being trained and which fits are running, safe against signals.

Python runs signal handlers when it enters a function written in Python.  A handler may thus raise
before the first line of a function that a ``finally`` or the end of a ``with`` calls, and what it
should release would stay claimed.  These functions are compiled: once called, they complete.

A claim stands in a dict of the network, so it ends with it at the latest.
"""

cimport cython

# The forks that led to this process: a child continues none of its parent's fits.
cdef Py_ssize_t n_forks = 0

running_fits = set()


def claim_network(network, claim):
    """Claim a network for one writer; return whether it was free.

    No lock: each change is one call of a dict's method.
    """
    claims = network._claims
    forks, holder = claims.setdefault("fit", (n_forks, claim))
    if forks != n_forks:        # the parent's, from before the fork
        holder = claim
        claims["fit"] = n_forks, claim
    return holder is claim


@cython.binding(True)           # a method of Network
def end_fit(network, claim):
    """Release a claimed network; do nothing if the claim was not granted."""
    claims = network._claims
    if claims.get("fit", (0, None))[1] is claim:    # no other call removes it then
        del claims["fit"]


def after_fork_in_child():
    global n_forks
    n_forks += 1
    running_fits.clear()


cdef class Writing:
    """A context that claims a network; ``network._raise_busy(what)`` if it is not free."""
    cdef object network, what

    def __init__(self, network, what):
        self.network, self.what = network, what

    def __enter__(self):
        if not claim_network(self.network, self):
            self.network._raise_busy(self.what)
        return self

    def __exit__(self, *exc_info):
        end_fit(self.network, self)


cdef class RunningFit:
    """A context in which this object counts as a running fit."""

    def __enter__(self):
        running_fits.add(self)
        return self

    def __exit__(self, *exc_info):
        running_fits.discard(self)  # may be missing after a fork
