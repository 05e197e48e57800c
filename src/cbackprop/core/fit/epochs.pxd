from cbackprop.core.fit.loop cimport Course, Outcome
from cbackprop.core.linalg.types cimport real

cdef double look(Course* c) noexcept nogil
cdef Outcome run_slice(Course* c, real* parameters) noexcept nogil
cdef void judge_epoch(Course* c, const real* parameters) noexcept nogil
