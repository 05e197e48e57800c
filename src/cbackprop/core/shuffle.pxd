from libc.stdint cimport int64_t, uint64_t

cdef void permutation(uint64_t seed, uint64_t epoch, Py_ssize_t n, int64_t* order) noexcept nogil
