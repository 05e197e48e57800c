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
