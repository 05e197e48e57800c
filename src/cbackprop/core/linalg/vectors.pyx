"""Sums and updates over flat vectors, in double for both dtypes and in one order.

    dot                 x'y
    sum_of_absolutes    |x_1| + ... + |x_n|
    largest_absolute    max |x_i|
    axpy                y := a x + y
    scale               x := a x

Element i of a sum belongs to lane i mod 8; the lanes are added halves first.  So a sum depends only
on the elements, not on their alignment or on the instruction set.  BLAS level 1 guarantees neither,
and sums float32 in float32.  The eight lanes are two or four vector registers; loops over a whole
parameter vector are bound by memory, so there are no versions for instruction sets.
"""

from libc.math cimport fabs


cdef inline double joined(const double* lane) noexcept nogil:
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]))


cdef double dot(const real* x, const real* y, Py_ssize_t n) noexcept nogil:
    """x'y; with float32 the products are exact."""
    cdef double[8] lane
    cdef Py_ssize_t whole = n // 8 * 8
    cdef Py_ssize_t i, j
    for j in range(8):
        lane[j] = 0.0
    for i in range(0, whole, 8):
        for j in range(8):
            lane[j] += <double>x[i + j] * <double>y[i + j]
    for j in range(n - whole):
        lane[j] += <double>x[whole + j] * <double>y[whole + j]
    return joined(lane)


cdef double sum_of_absolutes(const real* x, Py_ssize_t n) noexcept nogil:
    """|x|_1; finite only if every x is."""
    cdef double[8] lane
    cdef Py_ssize_t whole = n // 8 * 8
    cdef Py_ssize_t i, j
    for j in range(8):
        lane[j] = 0.0
    for i in range(0, whole, 8):
        for j in range(8):
            lane[j] += fabs(<double>x[i + j])
    for j in range(n - whole):
        lane[j] += fabs(<double>x[whole + j])
    return joined(lane)


cdef double largest_absolute(const real* x, Py_ssize_t n) noexcept nogil:
    """max |x_i|, 0 for n = 0; NaN is ignored."""
    cdef double[8] lane
    cdef double here
    cdef Py_ssize_t whole = n // 8 * 8
    cdef Py_ssize_t i, j
    for j in range(8):
        lane[j] = 0.0
    for i in range(0, whole, 8):
        for j in range(8):
            here = fabs(<double>x[i + j])
            lane[j] = here if here > lane[j] else lane[j]
    for j in range(n - whole):
        here = fabs(<double>x[whole + j])
        lane[j] = here if here > lane[j] else lane[j]
    here = 0.0
    for j in range(8):
        here = lane[j] if lane[j] > here else here
    return here


cdef void axpy(double a, const real* x, real* y, Py_ssize_t n) noexcept nogil:
    """y := a x + y; with float32 rounded once, at the end."""
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = <real>(<double>y[i] + a * <double>x[i])


cdef void scale(double a, real* x, Py_ssize_t n) noexcept nogil:
    """x := a x"""
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = <real>(a * <double>x[i])


# --- called from Python: the tests' way in --------------------------------------------------------

def run_sums(const real[::1] x not None, const real[::1] y not None):
    """(x'y, |x|_1, max |x_i|)"""
    cdef Py_ssize_t n = x.shape[0]
    if y.shape[0] != n:
        raise ValueError("x and y differ in length")
    if n == 0:
        return 0.0, 0.0, 0.0
    return dot(&x[0], &y[0], n), sum_of_absolutes(&x[0], n), largest_absolute(&x[0], n)


def run_axpy(double a, const real[::1] x not None, real[::1] y not None):
    """y := a x + y"""
    if x.shape[0] != y.shape[0]:
        raise ValueError("x and y differ in length")
    if x.shape[0] > 0:
        axpy(a, &x[0], &y[0], x.shape[0])


def run_scale(double a, real[::1] x not None):
    """x := a x"""
    if x.shape[0] > 0:
        scale(a, &x[0], x.shape[0])
