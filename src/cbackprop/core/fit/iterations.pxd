from cbackprop.core.fit.loop cimport FitLoop, Outcome
from cbackprop.core.linalg.types cimport real

cdef Outcome turned_down(FitLoop* c, int answer) noexcept nogil
cdef Outcome lbfgs_iteration(FitLoop* c, real* parameters) noexcept nogil
cdef Outcome marquardt_iteration(FitLoop* c, real* parameters) noexcept nogil
