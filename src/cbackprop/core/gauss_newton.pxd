from cbackprop.core.batch cimport Job
from cbackprop.core.types cimport real
from cbackprop.core.workspace cimport Workspace

ctypedef struct System:
    Job* job                    # rows, targets, weights, goal, team and signals
    Py_ssize_t P
    Py_ssize_t n_rows
    Py_ssize_t n_out
    Py_ssize_t M                # rows of J: n_rows n_out
    double weight_mean          # of the rows, where their weights count rows; else 0
    bint dual
    bint by_leaves
    Py_ssize_t block_rows
    Py_ssize_t leaf_rows        # leaves
    Py_ssize_t n_leaves
    Py_ssize_t super_rows       # tiles
    Py_ssize_t side             # of a tile
    # of the super-block at hand
    Py_ssize_t super_start
    Py_ssize_t super_count
    # what linearise computes, as sums over the rows
    double loss
    double measured             # targets that count
    double* A                   # (P, P) J'J, the lower triangle; not in the dual
    double* g                   # (P,) the gradient
    # the dual: of every row, and the matrix's two parts
    double* X                   # (n_rows, n_in)
    double* Z                   # (n_rows, n_units), layer after layer
    double* D                   # (M, n_units), likewise: a delta for each row of J
    double* r                   # (M,) J'r is the gradient
    double* G_weights           # (M, M) J J', the weights' part, the lower triangle,
    double* G_biases            # and the biases'; NULL without
    # memory of normal.pyx
    double* F                   # (P, P) or (M, M): the factor
    double* c                   # (P,) the penalty's part of the gradient
    double* t                   # (M,)
    double* rows                # (n_rows, the widest layer)
    double* W                   # (P,) four vectors of marquardt.pyx
    double* trial
    double* step
    double* bend
    # memory of gauss_newton.pyx
    double* losses              # of each block,
    double* counts              # and its targets that count
    char* transposed
    char* elsewhere             # (2, P): W moved along a direction, and W
    char* sums                  # gradients of the leaves, or of a super-block's blocks
    double* leaf_A              # (n_leaves - 1, P, P)
    double* J                   # (super_rows n_out, P)
    char* scratch
    Py_ssize_t worker_bytes

cdef class GaussNewton:
    cdef System system
    cdef Workspace space
    cdef int prepare(self, Job* job, Py_ssize_t n_rows, bint dual, bint bend) except -1

cdef void linearise(System* s, const real* parameters) noexcept nogil
cdef void bending(System* s, double h, const real* parameters, const double* v,
                  double* out) noexcept nogil
