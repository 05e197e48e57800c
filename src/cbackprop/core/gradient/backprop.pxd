from cbackprop.core.gradient.objective cimport Goal
from cbackprop.core.gradient.plan cimport Layer, Net
from cbackprop.core.linalg.types cimport real
from cbackprop.core.simd.dispatch cimport CBP_KEPT


cdef inline real* layer_rows(real* base, const Layer* layer, Py_ssize_t capacity,
                             Py_ssize_t first) noexcept nogil:
    """Row ``first`` of a layer's (capacity, n_out) part of an activation or delta buffer."""
    return base + layer.Z * capacity + first * layer.n_out


cdef inline real* slope_rows(real* base, const Layer* layer, Py_ssize_t capacity,
                             Py_ssize_t first) noexcept nogil:
    """The same for a layer's sigma'(H), if it is kept."""
    return base + layer.slope * capacity + first * layer.n_out


cdef inline const real* sigma_prime_source(const Layer* layer, const real* Z, Py_ssize_t capacity,
                                           Py_ssize_t first, int* activation) noexcept nogil:
    """The source of sigma'(H): the layer's Z, or sigma'(H) itself if it is kept.

    activation : set to the layer's own, or to CBP_KEPT
    """
    if layer.slope < 0:
        activation[0] = layer.activation
        return layer_rows(<real*>Z, layer, capacity, first)
    activation[0] = CBP_KEPT
    return slope_rows(<real*>Z, layer, capacity, first)


cdef void transpose_weights(const Net* net, const real* parameters, real* transposed) noexcept nogil

cdef const real* forward(const Net* net, const real* parameters, const real* X, Py_ssize_t rows,
                         real* Z, Py_ssize_t capacity, Py_ssize_t first, bint linear,
                         bint slopes) noexcept nogil

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
