"""Which networks are being trained and which fits are running, whatever signal arrives.

Python looks for signals as it enters a function written in Python, and runs their handlers there.
A function that a ``finally`` or the end of a ``with`` calls may thus be left before its first line,
and what it was to give back is kept for ever.  These are compiled: once called, they are done.
"""

cimport cython

# By id (a running fit keeps its network alive), each with the claim of the call that trains it.
# No lock: each change is one call of a dict's or a set's method.
busy = {}
running_fits = set()


@cython.binding(True)           # a method of Network
def end_fit(network, claim):
    """Give back a network that was claimed; nothing happens where the claim was not granted."""
    key = id(network)
    if busy.get(key) is claim:      # nobody else takes it away then
        del busy[key]


cdef class RunningFit:
    """A context in which it is one of the running fits."""

    def __enter__(self):
        running_fits.add(self)
        return self

    def __exit__(self, *exc_info):
        running_fits.discard(self)  # absent in a child forked meanwhile
