from cbackprop.core.gradient.objective cimport Goal
from cbackprop.core.gradient.plan cimport Layer, Net
from cbackprop.core.linalg.types cimport real


cdef inline real* layer_rows(real* base, const Layer* layer, Py_ssize_t capacity,
                             Py_ssize_t first) noexcept nogil:
    """Row ``first`` of a layer's (capacity, n_out) part of an activation or delta buffer."""
    return base + layer.Z * capacity + first * layer.n_out


cdef void transpose_weights(const Net* net, const real* parameters, real* transposed) noexcept nogil

cdef const real* forward(const Net* net, const real* parameters, const real* X, Py_ssize_t rows,
                         real* Z, Py_ssize_t capacity, Py_ssize_t first,
                         bint linear) noexcept nogil

cdef double output_delta(const Net* net, const Goal* goal, const real* Y, const real* weight,
                         Py_ssize_t rows, const real* Z, real* delta, Py_ssize_t capacity,
                         Py_ssize_t first) noexcept nogil

cdef double output_loss(const Net* net, const Goal* goal, const real* Y, const real* Y_hat,
                        const real* weight, Py_ssize_t rows) noexcept nogil

cdef void hidden_delta(const Net* net, Py_ssize_t i, const real* parameters,
                       const real* transposed, Py_ssize_t rows, const real* Z, real* delta,
                       Py_ssize_t capacity, Py_ssize_t first) noexcept nogil

cdef void layer_gradient(const Net* net, Py_ssize_t i, const real* X, Py_ssize_t rows,
                         real* Z, real* delta, Py_ssize_t capacity,
                         double alpha, double beta, real* gradient) noexcept nogil

cdef double backprop(const Net* net, const Goal* goal, const real* parameters,
                     const real* transposed, const real* X, const real* Y, const real* weight,
                     Py_ssize_t rows, real* Z, real* delta, Py_ssize_t capacity,
                     double alpha, double beta, real* gradient) noexcept nogil

cdef double back(const Net* net, const Goal* goal, const real* parameters, const real* transposed,
                 const real* X, const real* Y, const real* weight, Py_ssize_t rows, real* Z,
                 real* delta, Py_ssize_t capacity, double alpha, double beta,
                 real* gradient) noexcept nogil
