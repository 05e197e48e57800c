from cbackprop.core.fit.loop cimport FitLoop, Outcome
from cbackprop.core.linalg.types cimport real

cdef double look(FitLoop* c) noexcept nogil
cdef Outcome run_slice(FitLoop* c, real* parameters) noexcept nogil
cdef void judge_epoch(FitLoop* c, const real* parameters) noexcept nogil
