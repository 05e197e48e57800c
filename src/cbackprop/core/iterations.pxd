from cbackprop.core.course cimport Course, Outcome
from cbackprop.core.types cimport real

cdef Outcome turned_down(Course* c, int answer) noexcept nogil
cdef Outcome lbfgs_iteration(Course* c, real* parameters) noexcept nogil
cdef Outcome marquardt_iteration(Course* c, real* parameters) noexcept nogil
