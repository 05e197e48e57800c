from cbackprop.core.course cimport Course, Outcome
from cbackprop.core.types cimport real

cdef double look(Course* c) noexcept nogil
cdef Outcome run_slice(Course* c, real* parameters) noexcept nogil
cdef void judge_epoch(Course* c, const real* parameters) noexcept nogil
