# The Gauss-Newton system of a fit, shared by several files.

from cbackprop.core.gradient.job cimport Job
from cbackprop.core.gauss_newton.factors cimport Factors
from cbackprop.core.gauss_newton.gram cimport Sums

ctypedef struct System:
    Job* job                    # rows, targets, weights, goal, team and signals
    Py_ssize_t P
    Py_ssize_t n_rows
    Py_ssize_t n_out
    Py_ssize_t M                # rows of J: n_rows n_out
    double weight_mean          # of the rows, if weights are numbers of rows; else 0
    bint dual
    bint by_leaves
    bint forward_done           # the job has kept the activations at the current parameters
    Py_ssize_t block_rows
    Py_ssize_t leaf_rows        # leaves
    Py_ssize_t n_leaves
    Py_ssize_t super_rows       # tiles
    # the current super-block
    Py_ssize_t super_start
    Py_ssize_t super_count
    # what linearise computes, as sums over the rows
    double loss
    double measured             # the number of targets
    double* A                   # (P, P) J'J, the lower triangle; not in the dual
    double* g                   # (P,) the gradient
    # how: gram.pyx's products, and J's factors: of a super-block; in the dual of every row
    const Sums* sums
    Factors factors
    # the dual: the matrix's two parts
    double* G_weights           # (M, M) J J', the weights' part, the lower triangle
    double* G_biases            # the biases' part; NULL without biases
    # memory of damped.pyx and dual.pyx
    double* F                   # (P, P) or (M, M): the factor; earlier the first leaf's sums
    double* c                   # (P,) the penalty's part of the gradient
    double* t                   # (M,)
    double* rows                # (n_rows, the widest layer)
    double* W                   # (P,) four vectors of levenberg_marquardt.pyx
    double* trial
    double* step
    double* bend
    # memory of assemble.pyx
    char* kept                  # (n_rows, n_kept) for the job to keep, or NULL
    char* loss_sums             # the job's ``sums``
    double* losses              # of each block
    double* counts              # the number of targets of each block
    char* transposed
    char* elsewhere             # (2, P): W moved along a direction, and W
    char* gradients             # of the leaves, or of a super-block's blocks
    double* leaf_sums           # (n_leaves - 1, sums.size)
    char* scratch
    Py_ssize_t worker_bytes
