"""Which networks are being trained, and giving them back whatever signal arrives.

Python looks for signals as it enters a function written in Python, and runs their handlers there.
A function that a ``finally`` calls may thus be left before its first line, and what it was to give
back is kept for ever.  This one is compiled: once it is called, it is done.
"""

cimport cython

# By id (a running fit keeps its network alive), each with the claim of the call that trains it.
# No lock: each change is one call of a dict's method.
busy = {}


@cython.binding(True)           # a method of Network
def end_fit(network, claim):
    """Give back a network that was claimed; nothing happens where the claim was not granted."""
    key = id(network)
    if busy.get(key) is claim:      # nobody else takes it away then
        del busy[key]
