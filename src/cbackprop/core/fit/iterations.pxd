from cbackprop.core.fit.loop cimport Course, Outcome
from cbackprop.core.linalg.types cimport real

cdef Outcome turned_down(Course* c, int answer) noexcept nogil
cdef Outcome lbfgs_iteration(Course* c, real* parameters) noexcept nogil
cdef Outcome marquardt_iteration(Course* c, real* parameters) noexcept nogil
