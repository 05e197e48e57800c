from cbackprop.core.gauss_newton.factors cimport Factors
from cbackprop.core.gradient.plan cimport Net

ctypedef struct Pair:           # of layers, with its own product U'V
    int form
    Py_ssize_t upper            # the layer of J'J's rows
    Py_ssize_t lower            # the layer of its columns: upper >= lower
    bint residuals              # of the form ROWS: residuals are a last segment
    bint upper_outside          # whose inputs U's segments run over: the lower layer's, or upper's
    Py_ssize_t n_u              # U'V (n_u, n_v) is at ``at`` of the sums, rows ``ld`` apart
    Py_ssize_t n_v
    Py_ssize_t ld
    Py_ssize_t at

ctypedef struct Segments:       # some of U's or V's columns: whole segments
    Py_ssize_t first
    Py_ssize_t count
    Py_ssize_t at               # the first one's first column
    Py_ssize_t n                # columns in all

ctypedef struct Part:           # a tile of a pair's product
    Py_ssize_t pair
    Segments u
    Segments v

ctypedef struct Sums:           # how J'J is made of products, for a network
    Py_ssize_t n_pairs
    Pair* pairs
    Py_ssize_t n_parts
    Part* parts
    Py_ssize_t size             # doubles for the sums
    Py_ssize_t scratch          # doubles for a worker's pieces of U and V
    bint residuals              # the residuals are J's last column: the last row is J'r

cdef class Gram:
    cdef Sums sums
    cdef int prepare(self, const Net* net, bint residuals) except -1

cdef void add_products(const Net* net, const Sums* sums, const Part* part, const Factors* factors,
                       Py_ssize_t row, Py_ssize_t rows, double beta, double* scratch,
                       double* to) noexcept nogil
cdef const double* residuals_row(const Sums* sums, const double* of) noexcept nogil
cdef void unpack_rows(const Net* net, const Sums* sums, const double* of, Py_ssize_t i,
                      Py_ssize_t p, Py_ssize_t P, double* A) noexcept nogil
