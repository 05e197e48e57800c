from cbackprop.core.linalg.types cimport real

cdef enum:
    # OpenBLAS multiplies (m, k) by (k, n) with its own threads if m * n * k is larger.
    THREADED_ABOVE = 262_144

cdef bint fits(Py_ssize_t size) noexcept nogil

cdef void gemm(bint transpose_A, bint transpose_B, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
               real alpha, const real* A, Py_ssize_t lda, const real* B, Py_ssize_t ldb,
               real beta, real* C, Py_ssize_t ldc) noexcept nogil
