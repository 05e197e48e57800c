"""Row-major matrix products through SciPy's BLAS: the only cimport of scipy.linalg.cython_blas.

    C := alpha * op(A) op(B) + beta * C      A, B, C row-major with leading dimensions

BLAS is column-major.  A row-major matrix read column-major is its transpose, so the row-major
product is the column-major product with exchanged factors:

    C^T := alpha * op(B)^T op(A)^T + beta * C^T

This file promises to stay a thin wrapper: product.pyx chooses the algorithm.
"""

from libc.limits cimport INT_MAX
from scipy.linalg.cython_blas cimport dgemm, sgemm

ctypedef int blas_int

threaded_above = THREADED_ABOVE     # as Python sees it


cdef bint fits(Py_ssize_t size) noexcept nogil:
    """Whether a size can be passed to BLAS; checked once for each size of a network."""
    return 0 <= size <= INT_MAX


cdef void gemm(bint transpose_A, bint transpose_B, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
               real alpha, const real* A, Py_ssize_t lda, const real* B, Py_ssize_t ldb,
               real beta, real* C, Py_ssize_t ldc) noexcept nogil:
    """C (m, n) := alpha * op(A) (m, k) op(B) (k, n) + beta * C.

    ``op`` is the transpose if the flag is set; then A is stored (k, m), B is stored (n, k).
    With beta = 0 C is not read.  The sizes must have passed ``fits``.
    """
    cdef:
        char* op_A = b"T" if transpose_A else b"N"
        char* op_B = b"T" if transpose_B else b"N"
        blas_int rows = <blas_int>m
        blas_int columns = <blas_int>n
        blas_int inner = <blas_int>k
        # BLAS refuses a leading dimension of 0, which can occur if a size is 0.
        blas_int ld_A = <blas_int>(lda if lda > 0 else 1)
        blas_int ld_B = <blas_int>(ldb if ldb > 0 else 1)
        blas_int ld_C = <blas_int>(ldc if ldc > 0 else 1)
    if m == 0 or n == 0:
        return
    # cython_blas declares its read-only arguments without const.
    if real is double:
        dgemm(op_B, op_A, &columns, &rows, &inner, &alpha, <double*>B, &ld_B, <double*>A, &ld_A,
              &beta, C, &ld_C)
    else:
        sgemm(op_B, op_A, &columns, &rows, &inner, &alpha, <float*>B, &ld_B, <float*>A, &ld_A,
              &beta, C, &ld_C)


def product(bint transpose_A, bint transpose_B, double alpha, const real[:, ::1] A,
            const real[:, ::1] B, double beta, real[:, ::1] C):
    """C := alpha * op(A) op(B) + beta * C on whole row-major matrices, for the tests.

    Raises
    ------
    ValueError
        The shapes do not fit together, or a size is beyond BLAS.
    """
    cdef:
        Py_ssize_t m = A.shape[1] if transpose_A else A.shape[0]
        Py_ssize_t k = A.shape[0] if transpose_A else A.shape[1]
        Py_ssize_t n = B.shape[0] if transpose_B else B.shape[1]
        Py_ssize_t inner = B.shape[1] if transpose_B else B.shape[0]
        real* target
    if inner != k or C.shape[0] != m or C.shape[1] != n:
        raise ValueError(f"shapes do not fit: op(A) ({m}, {k}), op(B) ({inner}, {n}), "
                         f"C ({C.shape[0]}, {C.shape[1]})")
    if not (fits(m) and fits(n) and fits(k)):
        raise ValueError(f"a size of ({m}, {n}, {k}) is beyond what this BLAS counts with")
    if m == 0 or n == 0:
        return
    target = &C[0, 0]
    with nogil:
        gemm(transpose_A, transpose_B, m, n, k, <real>alpha, &A[0, 0] if k else target, A.shape[1],
             &B[0, 0] if k else target, B.shape[1], <real>beta, target, C.shape[1])
