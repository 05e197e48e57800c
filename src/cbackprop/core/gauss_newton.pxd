from cbackprop.core.job cimport Job
from cbackprop.core.gram cimport Gram
from cbackprop.core.system cimport System
from cbackprop.core.types cimport real
from cbackprop.core.workspace cimport Workspace

cdef class GaussNewton:
    cdef System system
    cdef Gram gram
    cdef Workspace space
    cdef int prepare(self, Job* job, Py_ssize_t n_rows, bint dual, bint bend) except -1

cdef void linearise(System* s, const real* parameters) noexcept nogil
cdef void bending(System* s, double h, const real* parameters, const double* v,
                  double* out) noexcept nogil
