ctypedef struct Layer:
    Py_ssize_t n_in             # W (n_in, n_out)
    Py_ssize_t n_out
    Py_ssize_t W                # where W starts in the flat parameter vector
    Py_ssize_t b                # where b starts; negative without biases
    Py_ssize_t W_T              # where W's transpose starts, if kept; else negative
    Py_ssize_t Z                # units of the previous layers: its offset in a block's activations
    Py_ssize_t slope            # the same offset for its sigma'(H), if kept; else negative
    int activation

ctypedef struct Tile:           # a rectangle of one layer's W
    Py_ssize_t layer
    Py_ssize_t row
    Py_ssize_t column
    Py_ssize_t n_rows
    Py_ssize_t n_columns

ctypedef struct Net:
    Py_ssize_t n_layers
    Layer* layers
    Py_ssize_t n_parameters
    Py_ssize_t n_units          # of all layers: a row's activations
    Py_ssize_t n_kept           # a row's activations, and the slopes that layers keep
    Py_ssize_t n_transposed
    Py_ssize_t block_rows
    Py_ssize_t leaf_rows        # leaves: a multiple of block_rows
    Py_ssize_t super_rows       # tiles: a multiple of block_rows
    bint tiled
    Py_ssize_t few_rows         # batches of up to this many rows use fused_steps.pyx
    Py_ssize_t n_tiles
    Tile* tiles
    double flops_per_row        # forward and backward
    int itemsize

cdef class Plan:
    cdef Net net
    cdef readonly tuple sizes
    cdef readonly tuple activations
    cdef readonly bint bias
    cdef readonly str dtype
    cdef readonly bint may_thread_blas  # a product can be large enough for BLAS to start threads
    cdef object spare           # for evaluate.pyx: a small work space of an earlier call, or None
    cdef void choose_rows(self)
    cdef Py_ssize_t most_few_rows(self)
    cdef int choose_tiles(self) except -1
