from libc.stdint cimport int64_t

from cbackprop.core.gradient.job cimport Job
from cbackprop.core.gradient.objective cimport Objective
from cbackprop.core.gradient.plan cimport Plan
from cbackprop.core.data.rows cimport RowSource
from cbackprop.core.linalg.types cimport real
from cbackprop.core.gradient.workspace cimport Workspace

ctypedef enum Metric:
    NO_METRIC
    ACCURACY
    R2
    OUTPUTS                     # Y_hat is kept for a Python metric

ctypedef struct HeldOut:          # one set of rows that is evaluated after each epoch
    Job job
    Py_ssize_t n_rows
    double weight               # the sum of the rows' weights
    Metric metric
    bint known                  # whether the first of the sums is known
    double* sums                # (3, n_out): sum (y - mean y)^2 of each column, and two to work on
    # the results
    double loss
    double unit_loss
    double value

cdef class Evaluation:
    cdef HeldOut held_out
    cdef RowSource X
    cdef RowSource Y
    cdef RowSource weight
    cdef Objective objective
    cdef Workspace space
    cdef object rows
    cdef object outputs
    cdef double[::1] sums
    cdef Plan plan
    cdef int prepare(self, int threads, char* parameters) except -1

cdef void evaluate_rows(HeldOut* held_out, const real* parameters) noexcept nogil
