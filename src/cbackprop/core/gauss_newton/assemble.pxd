from cbackprop.core.gradient.job cimport Job
from cbackprop.core.gauss_newton.gram cimport Gram
from cbackprop.core.gauss_newton.system cimport System
from cbackprop.core.linalg.types cimport real
from cbackprop.core.gradient.workspace cimport Workspace

cdef class GaussNewton:
    cdef System system
    cdef Gram gram
    cdef Workspace space
    cdef int prepare(self, Job* job, Py_ssize_t n_rows, bint dual, bint bend) except -1

cdef void linearise(System* s, const real* parameters) noexcept nogil
cdef void bending(System* s, double h, const real* parameters, const double* v,
                  double* out) noexcept nogil
