from cbackprop.core.gradient.plan cimport Net

ctypedef struct Goal:           # what is minimised, as the block functions see it
    int loss                    # CBP_SQUARED_ERROR, ...
    double parameter            # Huber's threshold, the quantile
    double factor               # loss = factor * what the kernels sum
    bint squared                # half the squared error: J'e is its gradient
    bint only_grows             # no l is below 0: the sum of some rows is at most that of all
    bint plain                  # squared error, every element alike: the kernels of delta_O
    bint linear                 # the loss is taken from O: the last sigma is left off
    bint missing                # a NaN in Y is a target that counts nothing
    const void* column_weight   # (n_out,) of the network's dtype, or NULL
    const void* units           # (n_out,): a column's loss in the targets' units; NULL: not wanted

cdef class Objective:
    cdef Goal goal
    cdef object column_weight
    cdef object units
    cdef int fit_to(self, const Net* net) except -1
