"""Signals during a call that runs without the GIL: Ctrl-C is seen within a time slice.

The calling thread asks ``check_beat`` between blocks of rows.  When a slice has passed, it takes
the GIL, lets Python run its signal handlers, and keeps what they raise; ``stop`` then tells every
thread to leave at its next block.  Python runs handlers in its main thread only; a call elsewhere
that is to be stopped has ``also``, which is called then and raises to that end.
"""

cimport cython

from cbackprop.core.team cimport team

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef double PERIOD = 0.05


@cython.freelist(4)
cdef class Pulse:
    """One call's beat.  ``reraise`` gives back what a signal handler raised."""

    def __cinit__(self):
        self.beat.period = PERIOD
        self.beat.due = team.clock() + PERIOD
        self.beat.stop = 0
        self.beat.pulse = <void*>self
        self.error = self.also = None

    cdef int reraise(self) except -1:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return 0


cdef void listen(Beat* beat) noexcept with gil:
    try:
        PyErr_CheckSignals()
        also = (<Pulse>beat.pulse).also
        if also is not None:
            also()
    except BaseException as error:
        (<Pulse>beat.pulse).error = error
        beat.stop = 1


cdef void check_beat(Beat* beat) noexcept nogil:
    """Look at the clock, and once a period at the signals; for the calling thread only."""
    cdef double now = team.clock()
    if now >= beat.due:
        listen(beat)
        beat.due = now + beat.period
