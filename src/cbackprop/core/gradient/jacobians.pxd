from cbackprop.core.gradient.plan cimport Net
from cbackprop.core.linalg.types cimport real

cdef void times_output_derivative(int activation, const real* Y_hat, Py_ssize_t rows,
                                  Py_ssize_t n_out, real* delta_O) noexcept nogil

cdef void times_output_slope(const Net* net, const real* Z, Py_ssize_t rows,
                             real* delta) noexcept nogil

cdef void delta_below_output(const Net* net, Py_ssize_t k, const real* transposed, Py_ssize_t rows,
                             const real* Z, real* delta) noexcept nogil

cdef void parameter_rows(const Net* net, const real* X, const real* Z, const real* delta,
                         Py_ssize_t rows, Py_ssize_t step, real* out) noexcept nogil
