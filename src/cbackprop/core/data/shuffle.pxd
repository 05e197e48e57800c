from libc.stdint cimport int64_t, uint64_t

# Sizes for data that are read from a file; docs/data.md explains the choice.
cdef enum:
    BLOCK_ROWS = 4_096
    WINDOW_BLOCKS = 16

cdef void permutation(uint64_t seed, uint64_t epoch, Py_ssize_t n, int64_t* order) noexcept nogil

cdef void window_permutation(uint64_t seed, uint64_t epoch, Py_ssize_t n, Py_ssize_t block_rows,
                             Py_ssize_t window_blocks, int64_t* order) noexcept nogil
