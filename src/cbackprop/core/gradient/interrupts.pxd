ctypedef struct Beat:
    double due                  # on the team's clock; the next time signals are looked at
    double period
    int stop                    # set once: leave at the next block, discard the step
    void* pulse                 # the Pulse that owns it, borrowed

cdef class Pulse:
    cdef Beat beat
    cdef readonly object error
    cdef object also
    cdef int reraise(self) except -1

cdef void check_beat(Beat* beat) noexcept nogil


cdef inline bint stopped(Beat* beat, int worker) noexcept nogil:
    """Whether the call is to be left; its own thread, worker 0, listens for signals here."""
    if worker == 0:
        check_beat(beat)
    return beat.stop
