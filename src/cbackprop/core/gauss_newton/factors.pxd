from cbackprop.core.gradient.job cimport Job
from cbackprop.core.gradient.plan cimport Layer, Net
from cbackprop.core.linalg.types cimport real

ctypedef struct Factors:        # of some rows, in double, layer by layer
    Py_ssize_t capacity         # capacity in rows
    double* inputs              # (capacity, n_in), with biases (capacity, n_in + 1)
    double* deltas              # (capacity, n_targets, n_out): a delta for each row of J
    double* residuals           # (capacity, n_targets), or NULL


cdef inline Py_ssize_t n_targets(const Net* net) noexcept nogil:
    return net.layers[net.n_layers - 1].n_out


cdef inline Py_ssize_t width_of(const Layer* layer) noexcept nogil:
    """The layer's inputs, including the bias's 1."""
    return layer.n_in + (1 if layer.b >= 0 else 0)


cdef inline Py_ssize_t inputs_per_row(const Net* net) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t total = 0
    for i in range(net.n_layers):
        total += width_of(&net.layers[i])
    return total


cdef inline Py_ssize_t deltas_per_row(const Net* net) noexcept nogil:
    return net.n_units * n_targets(net)


cdef inline double* inputs_of(const Net* net, const Factors* factors, Py_ssize_t i,
                              Py_ssize_t row) noexcept nogil:
    """Row ``row`` of layer i's (capacity, width)."""
    cdef Py_ssize_t j
    cdef Py_ssize_t before = 0
    for j in range(i):
        before += width_of(&net.layers[j])
    return factors.inputs + before * factors.capacity + row * width_of(&net.layers[i])


cdef inline double* deltas_of(const Net* net, const Factors* factors, Py_ssize_t i,
                              Py_ssize_t row) noexcept nogil:
    """Row ``row`` of layer i's (capacity, n_targets, n_out)."""
    return factors.deltas + n_targets(net) * (net.layers[i].Z * factors.capacity
                                              + row * net.layers[i].n_out)


cdef bint elementwise_output(const Net* net) noexcept nogil
cdef double block_factors(Job* job, const real* parameters, const real* transposed,
                          Py_ssize_t first, Py_ssize_t rows, int worker, double weight_mean,
                          real* delta, double beta, real* gradient, const Factors* to,
                          Py_ssize_t at, double* measured) noexcept nogil
