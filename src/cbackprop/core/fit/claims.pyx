"""Which networks are being trained and which fits are running, safe against signals.

Python runs signal handlers when it enters a function written in Python.  A handler may thus raise
before the first line of a function that a ``finally`` or the end of a ``with`` calls, and what it
should release would stay claimed.  These functions are compiled: once called, they complete.
"""

cimport cython

# From a network's id (a running fit keeps it alive) to the claim of the call that trains it.
# No lock: each change is one call of a dict's or a set's method.
busy = {}
running_fits = set()


@cython.binding(True)           # a method of Network
def end_fit(network, claim):
    """Release a claimed network; do nothing if the claim was not granted."""
    key = id(network)
    if busy.get(key) is claim:      # no other call removes it then
        del busy[key]


cdef class RunningFit:
    """A context in which this object counts as a running fit."""

    def __enter__(self):
        running_fits.add(self)
        return self

    def __exit__(self, *exc_info):
        running_fits.discard(self)  # may be missing after a fork
