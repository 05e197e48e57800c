"""The formulas as functions that call the vectorised loops of the instruction set in use.

Each function is one elementwise step of the mathematics (docs/mathematics.md); the loops are in
core/simd.  Arrays are flat with n elements unless rows and columns are named.
"""

from libc.stdint cimport int64_t

from cbackprop.core.simd cimport dispatch
from cbackprop.core.linalg.types cimport real


cdef inline void sigma(int activation, const real* H, real* Z, Py_ssize_t n) noexcept nogil:
    """Z = sigma(H).  Z may be H."""
    if real is double:
        dispatch.f64.activate(activation, H, Z, n)
    else:
        dispatch.f32.activate(activation, H, Z, n)


cdef inline void sigma_keeping(int activation, const real* H, real* Z, real* slope,
                               Py_ssize_t n) noexcept nogil:
    """Z = sigma(H) and slope = sigma'(H).  Z may be H; slope overlaps neither."""
    if real is double:
        dispatch.f64.activate_keeping(activation, H, Z, slope, n)
    else:
        dispatch.f32.activate_keeping(activation, H, Z, slope, n)


cdef inline void times_slope(const real* slope, real* delta, Py_ssize_t n) noexcept nogil:
    """delta *= sigma'(H), as stored by ``sigma_keeping``."""
    times_sigma_prime(dispatch.CBP_KEPT, slope, delta, n)


cdef inline double delta_O(int activation, const real* Y, const real* Y_hat, real* delta,
                                Py_ssize_t n) noexcept nogil:
    """delta_O = -(Y - Y_hat) * sigma'(O); returns the sum of (Y - Y_hat)^2."""
    if real is double:
        return dispatch.f64.delta_output(activation, Y, Y_hat, delta, n)
    else:
        return dispatch.f32.delta_output(activation, Y, Y_hat, delta, n)


cdef inline double delta_O_weighted(int activation, const real* weight, const real* Y,
                                         const real* Y_hat, real* delta, Py_ssize_t rows,
                                         Py_ssize_t columns) noexcept nogil:
    """delta_O and the sum of squares, with row i multiplied by weight[i]."""
    if real is double:
        return dispatch.f64.delta_output_weighted(activation, weight, Y, Y_hat, delta, rows,
                                                  columns)
    else:
        return dispatch.f32.delta_output_weighted(activation, weight, Y, Y_hat, delta, rows,
                                                  columns)


cdef inline double squared_error(const real* Y, const real* Y_hat, Py_ssize_t n) noexcept nogil:
    """The sum of (Y - Y_hat)^2."""
    if real is double:
        return dispatch.f64.squared_error(Y, Y_hat, n)
    else:
        return dispatch.f32.squared_error(Y, Y_hat, n)


cdef inline double squared_error_weighted(const real* weight, const real* Y, const real* Y_hat,
                                          Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    """The sum of weight[row] (Y - Y_hat)^2."""
    if real is double:
        return dispatch.f64.squared_error_weighted(weight, Y, Y_hat, rows, columns)
    else:
        return dispatch.f32.squared_error_weighted(weight, Y, Y_hat, rows, columns)


cdef inline void times_sigma_prime(int activation, const real* Z, real* delta,
                                  Py_ssize_t n) noexcept nogil:
    """delta *= sigma'(H), computed from the activation's output Z; for CBP_KEPT, Z is sigma'(H)."""
    if real is double:
        dispatch.f64.times_derivative(activation, Z, delta, n)
    else:
        dispatch.f32.times_derivative(activation, Z, delta, n)


cdef inline bint joins_delta_H(Py_ssize_t n_hidden, Py_ssize_t n_out,
                               int itemsize) noexcept nogil:
    """Whether ``delta_H`` supports these sizes; for more than two outputs use the product."""
    return n_out <= 2 and n_hidden >= (dispatch.f64.lanes if itemsize == 8 else dispatch.f32.lanes)


cdef inline void delta_H(int activation, const real* delta_O, Py_ssize_t ld, Py_ssize_t rows,
                         Py_ssize_t n_out, const real* W_T, Py_ssize_t n_hidden, const real* Z,
                         real* out) noexcept nogil:
    """out (rows, n_hidden) = (delta_O W^T) * sigma'(H) in one pass; requires ``joins_delta_H``.

    delta_O : (rows, n_out), with leading dimension ld
    """
    if real is double:
        dispatch.f64.delta_hidden(activation, delta_O, ld, rows, <int>n_out, W_T, n_hidden, Z, out)
    else:
        dispatch.f32.delta_hidden(activation, delta_O, ld, rows, <int>n_out, W_T, n_hidden, Z, out)


cdef inline void output_sigma(int activation, const real* raw, real* Y_hat, Py_ssize_t rows,
                              Py_ssize_t columns) noexcept nogil:
    """Y_hat = sigma(raw) of an output layer, exp and softmax included.  Y_hat may be raw."""
    if real is double:
        dispatch.f64.output(activation, raw, Y_hat, rows, columns)
    else:
        dispatch.f32.output(activation, raw, Y_hat, rows, columns)


cdef inline double loss_delta(int loss, int activation, real parameter, const real* weight,
                              const real* Y, const real* P, real* delta, Py_ssize_t rows,
                              Py_ssize_t columns) noexcept nogil:
    """delta = dL/dO, L the sum of weight l(Y, P), which is returned; no 1/N, no weight if NULL.

    P is O (the raw output) for cross-entropy and poisson, else Y_hat; delta may be P.
    """
    if real is double:
        return dispatch.f64.loss(loss, activation, parameter, weight, Y, P, delta, rows, columns)
    else:
        return dispatch.f32.loss(loss, activation, parameter, weight, Y, P, delta, rows, columns)


cdef inline double loss_only(int loss, int activation, real parameter, const real* weight,
                             const real* Y, const real* P, Py_ssize_t rows,
                             Py_ssize_t columns) noexcept nogil:
    """The sum of weight l(Y, P), as in loss_delta."""
    return loss_delta(loss, activation, parameter, weight, Y, P, <real*>NULL, rows, columns)


cdef inline void element_weights(const real* row_weight, const real* column_weight, real* Y,
                                 bint missing, real* weight, Py_ssize_t rows,
                                 Py_ssize_t columns) noexcept nogil:
    """weight (rows, columns) = row_weight * column_weight, NULL meaning ones.

    With ``missing``, a NaN in Y and its weight are set to 0.
    """
    if real is double:
        dispatch.f64.element_weights(row_weight, column_weight, Y, missing, weight, rows, columns)
    else:
        dispatch.f32.element_weights(row_weight, column_weight, Y, missing, weight, rows, columns)


cdef inline void column_sums(real alpha, const real* delta, Py_ssize_t rows, Py_ssize_t columns,
                             real beta, real* out) noexcept nogil:
    """out = beta * out + alpha * sum of the rows of delta: the gradient of a bias."""
    if real is double:
        dispatch.f64.column_sums(alpha, delta, rows, columns, beta, out)
    else:
        dispatch.f32.column_sums(alpha, delta, rows, columns, beta, out)


cdef inline void fill_rows(const real* b, Py_ssize_t rows, Py_ssize_t columns,
                           real* H) noexcept nogil:
    """Every row of H (rows, columns) becomes b."""
    if real is double:
        dispatch.f64.fill_rows(b, rows, columns, H)
    else:
        dispatch.f32.fill_rows(b, rows, columns, H)


cdef inline void transpose(const real* W, Py_ssize_t rows, Py_ssize_t columns,
                           real* W_T) noexcept nogil:
    """W_T (columns, rows) = W (rows, columns)^T."""
    if real is double:
        dispatch.f64.transpose(W, rows, columns, W_T)
    else:
        dispatch.f32.transpose(W, rows, columns, W_T)


cdef inline void add(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    """y += x."""
    if real is double:
        dispatch.f64.add(x, y, n)
    else:
        dispatch.f32.add(x, y, n)


cdef inline bint all_finite(const real* x, Py_ssize_t n) noexcept nogil:
    """Whether no element is NaN or infinite."""
    if real is double:
        return dispatch.f64.all_finite(x, n)
    else:
        return dispatch.f32.all_finite(x, n)


cdef inline void gather(bint from_double, const char* source, Py_ssize_t row_stride,
                        const int64_t* index, Py_ssize_t rows, Py_ssize_t columns,
                        real* out) noexcept nogil:
    """out[i] = row index[i] of the source, cast; without an index rows 0, 1, 2, ..."""
    if real is double:
        if from_double:
            dispatch.f64.gather_f64(source, row_stride, index, rows, columns, out)
        else:
            dispatch.f64.gather_f32(source, row_stride, index, rows, columns, out)
    else:
        if from_double:
            dispatch.f32.gather_f64(source, row_stride, index, rows, columns, out)
        else:
            dispatch.f32.gather_f32(source, row_stride, index, rows, columns, out)


cdef inline void affine_rows(const real* shift, const real* scale, Py_ssize_t rows,
                             Py_ssize_t columns, real* X) noexcept nogil:
    """X = (X - shift) * scale, column by column."""
    if real is double:
        dispatch.f64.affine_rows(shift, scale, rows, columns, X)
    else:
        dispatch.f32.affine_rows(shift, scale, rows, columns, X)


cdef inline void outer_sums(const real* A, Py_ssize_t a_step, Py_ssize_t n_a, const real* D,
                            Py_ssize_t d_step, Py_ssize_t n_d, Py_ssize_t n_sums, bint lower,
                            Py_ssize_t first, Py_ssize_t count, Py_ssize_t rows, real* out,
                            Py_ssize_t step) noexcept nogil:
    """For each row i, rows ``first`` .. of sum_k A[i, k]^T D[i, k] (n_a, n_d), at i step of out.

    A[i] (n_sums, n_a) and D[i] (n_sums, n_d) begin at i a_step and i d_step.  ``lower``: only the
    lower triangles of the square products, row after row.
    """
    if real is double:
        dispatch.f64.outer_sums(A, a_step, n_a, D, d_step, n_d, n_sums, lower, first, count, rows,
                                out, step)
    else:
        dispatch.f32.outer_sums(A, a_step, n_a, D, d_step, n_d, n_sums, lower, first, count, rows,
                                out, step)


cdef inline void product(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, real alpha, const real* A,
                         Py_ssize_t row_step, Py_ssize_t column_step, const real* B,
                         Py_ssize_t ldb, real beta, real* C, Py_ssize_t ldc,
                         const real* bias) noexcept nogil:
    """C = beta * C + alpha * A B (+ bias), by register tiles.

    A[i, p] is at i row_step + p column_step.
    """
    if real is double:
        dispatch.f64.product(m, n, k, alpha, A, row_step, column_step, B, ldb, beta, C, ldc, bias)
    else:
        dispatch.f32.product(m, n, k, alpha, A, row_step, column_step, B, ldb, beta, C, ldc, bias)
