from cbackprop.core.gradient.plan cimport Net

cdef enum:
    LINE = 64                   # bytes of a cache line, and of the widest vector

ctypedef struct Buffers:        # each on its own cache lines; elements of the network's dtype
    int n_workers
    Py_ssize_t worker_bytes     # distance between two workers' regions
    Py_ssize_t n_slots
    char* parameters            # (P,) a copy, with which the call computes
    char* transposed            # (n_transposed,)
    char* gradient              # (P,) also slot 0
    char* slots                 # (n_slots - 1, P): the sums of tasks 1, 2, ...
    char* super_X               # (super_rows, n_in): tiles
    char* super_Y
    char* super_Z               # (super_rows, n_kept)
    char* super_delta         # (super_rows, n_units)
    double* losses              # one for each block of a batch
    double* unit_losses         # likewise, in the targets' units
    char* X                     # worker 0's: (block_rows, n_in)
    char* Y
    char* weight                # (block_rows,)
    char* element_weight        # 2 x (block_rows, n_out)
    char* Z                     # (block_rows, n_kept)
    char* delta                 # (block_rows, n_units)
    char* stack                 # (depth, P): partial sums of the tree
    char* few                   # scratch memory of fused_steps.pyx
    Py_ssize_t gathered_rows    # capacity of X and Y in rows
    Py_ssize_t leaves_per_task  # a power of two: an aligned subtree is a task

cdef class Workspace:
    cdef Buffers buffers
    cdef char* slab
    cdef Py_ssize_t n_bytes
    cdef Py_ssize_t most_rows   # the rows it was laid out for
    cdef bint backward
    cdef char* lay(self, char** region, Py_ssize_t bytes) except? NULL

cdef Workspace workspace_for(const Net* net, Py_ssize_t most_rows, int n_workers, bint backward)
