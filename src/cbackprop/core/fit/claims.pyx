"""Which networks are being trained and which fits are running, safe against signals.

Python runs signal handlers when it enters a function written in Python.  A handler may thus raise
before the first line of a function that a ``finally`` or the end of a ``with`` calls, and what it
should release would stay claimed.  These functions are compiled: once called, they complete.

A claim is an attribute of the network, so it ends with it at the latest.
"""

cimport cython

# The forks that led to this process: a child continues none of its parent's fits.
cdef Py_ssize_t n_forks = 0

running_fits = set()


def claim_network(network, claim):
    """Claim a network for one writer; return whether it was free.

    The attribute is read and set as such: to touch the network's ``__dict__`` would slow down every
    later access to its attributes.
    """
    with cython.critical_section(network):
        holder = network._claim
        if holder is not None and holder[0] == n_forks:     # else the parent's, before a fork
            return holder[1] is claim
        network._claim = n_forks, claim
    return True


@cython.binding(True)           # a method of Network
def end_fit(network, claim):
    """Release a claimed network; do nothing if the claim was not granted."""
    with cython.critical_section(network):
        holder = network._claim
        if holder is not None and holder[1] is claim:
            network._claim = None


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
