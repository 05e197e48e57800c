from cbackprop.core.linalg.types cimport real

cdef double dot(const real* x, const real* y, Py_ssize_t n) noexcept nogil
cdef double sum_of_absolutes(const real* x, Py_ssize_t n) noexcept nogil
cdef double largest_absolute(const real* x, Py_ssize_t n) noexcept nogil
cdef void axpy(double a, const real* x, real* y, Py_ssize_t n) noexcept nogil
cdef void scale(double a, real* x, Py_ssize_t n) noexcept nogil
