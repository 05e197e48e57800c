"""Symmetric positive definite systems through SciPy's LAPACK: the only cimport of cython_lapack.

    A = L L^T        A x = b        trace A^-1 = |L^-1|^2

A and L are row-major (n, n); only the lower triangle is read and written.  LAPACK is column-major:
its upper triangle is our lower one.  This file promises to stay a thin wrapper.
"""

from libc.math cimport isfinite
from scipy.linalg.cython_lapack cimport dpotrf, dpotrs, dtrtri

from cbackprop.core.linalg.blas cimport fits
from cbackprop.core.linalg.vectors cimport dot

ctypedef int lapack_int


cdef bint cholesky(Py_ssize_t n, double* A) noexcept nogil:
    """A := L; False if A is not positive definite or not finite."""
    cdef char* lower = b"U"
    cdef lapack_int size = <lapack_int>n
    cdef lapack_int info = 0
    cdef Py_ssize_t i
    dpotrf(lower, &size, A, &size, &info)
    if info != 0:
        return False
    # OpenBLAS does not report a NaN pivot.
    for i in range(n):
        if not isfinite(A[i * n + i]):
            return False
    return True


cdef void cholesky_solve(Py_ssize_t n, const double* L, double* b) noexcept nogil:
    """b := A^-1 b, using A's factor."""
    cdef char* lower = b"U"
    cdef lapack_int size = <lapack_int>n
    cdef lapack_int one = 1
    cdef lapack_int info = 0
    dpotrs(lower, &size, &one, <double*>L, &size, b, &size, &info)


cdef double trace_of_inverse(Py_ssize_t n, double* L) noexcept nogil:
    """The trace of A^-1, using A's factor, which is overwritten."""
    cdef char* lower = b"U"
    cdef char* general = b"N"
    cdef lapack_int size = <lapack_int>n
    cdef lapack_int info = 0
    cdef Py_ssize_t i
    cdef double total = 0.0
    dtrtri(lower, general, &size, L, &size, &info)
    for i in range(n):
        total += dot(<const double*>(L + i * n), <const double*>(L + i * n), i + 1)
    return total


# --- called from Python: the tests' way in --------------------------------------------------------

cdef int check_square(double[:, ::1] A) except -1:
    if A.shape[0] != A.shape[1] or A.shape[0] < 1 or not fits(A.shape[0]):
        raise ValueError("a square matrix that LAPACK can count is needed")
    return 0


def factor(double[:, ::1] A not None):
    """A := L in the lower triangle; returns whether the factor exists."""
    check_square(A)
    return bool(cholesky(A.shape[0], &A[0, 0]))


def solve(double[:, ::1] L not None, double[::1] b not None):
    """b := A^-1 b"""
    check_square(L)
    if b.shape[0] != L.shape[0]:
        raise ValueError("b has not the matrix's size")
    cholesky_solve(L.shape[0], &L[0, 0], &b[0])


def inverse_trace(double[:, ::1] L not None):
    """The trace of A^-1; L is overwritten."""
    check_square(L)
    return trace_of_inverse(L.shape[0], &L[0, 0])
