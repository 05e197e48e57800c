from cbackprop.core.gradient.plan cimport Net

ctypedef struct Goal:           # the objective, for the block functions
    int loss                    # CBP_SQUARED_ERROR, ...
    double parameter            # Huber's threshold, the quantile
    double factor               # loss = factor * what the kernels sum
    bint squared                # half the squared error: J'e is its gradient
    bint only_grows             # no l is below 0: a sum over some rows is at most the total
    bint plain                  # unweighted squared error: the kernels of delta_O
    bint linear                 # the loss is computed from O: the last sigma is left out
    bint missing                # a NaN in Y is a missing target, with weight 0
    const void* column_weight   # (n_out,) of the network's dtype, or NULL
    const void* units           # (n_out,): factors to the targets' units; NULL: not needed

cdef class Objective:
    cdef Goal goal
    cdef object column_weight
    cdef object units
    cdef int fit_to(self, const Net* net) except -1
