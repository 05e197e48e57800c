ctypedef struct Interrupt:
    double due                  # on the team's clock; the next time to check signals
    double period
    int stop                    # set once: leave at the next block, discard the step
    void* interrupts                 # the Interrupts that owns it, borrowed

cdef class Interrupts:
    cdef Interrupt interrupt
    cdef readonly object error
    cdef object also
    cdef int reraise(self) except -1

cdef void check_interrupt(Interrupt* interrupt) noexcept nogil


cdef inline bint stopped(Interrupt* interrupt, int worker) noexcept nogil:
    """Whether to abandon the call; its own thread, worker 0, checks signals here."""
    if worker == 0:
        check_interrupt(interrupt)
    return interrupt.stop
