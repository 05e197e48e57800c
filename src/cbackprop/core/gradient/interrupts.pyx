"""Signals during a call that runs without the GIL: Ctrl-C is noticed within a time slice.

The calling thread calls ``check_interrupt`` between blocks of rows.  After a time slice it takes
the GIL, lets Python run its signal handlers, and stores what they raise; ``stop`` then tells every
thread to leave at its next block.  Python runs handlers only in its main thread.  A call in another
thread that can be stopped has a function ``also``, which is called at the same time and raises to
stop it.
"""

cimport cython

from cbackprop.core.team cimport team

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef double PERIOD = 0.05


@cython.freelist(4)
cdef class Interrupts:
    """The interrupts of one call.  ``reraise`` raises what a signal handler raised."""

    def __cinit__(self):
        self.interrupt.period = PERIOD
        self.interrupt.due = team.clock() + PERIOD
        self.interrupt.stop = 0
        self.interrupt.interrupts = <void*>self
        self.error = self.also = None

    cdef int reraise(self) except -1:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return 0


cdef void listen(Interrupt* interrupt) noexcept with gil:
    try:
        PyErr_CheckSignals()
        also = (<Interrupts>interrupt.interrupts).also
        if also is not None:
            also()
    except BaseException as error:
        (<Interrupts>interrupt.interrupts).error = error
        interrupt.stop = 1


cdef void check_interrupt(Interrupt* interrupt) noexcept nogil:
    """Read the clock and, once per period, check signals; for the calling thread only."""
    cdef double now = team.clock()
    if now >= interrupt.due:
        listen(interrupt)
        interrupt.due = now + interrupt.period
