cdef bint cholesky(Py_ssize_t n, double* A) noexcept nogil

cdef void cholesky_solve(Py_ssize_t n, const double* L, double* b) noexcept nogil

cdef double trace_of_inverse(Py_ssize_t n, double* L) noexcept nogil
