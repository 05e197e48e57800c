"""The three matrix products of a layer, each by the method that is faster for its shape.

    H      = A W + b                 (rows, n_in) (n_in, n_out)
    grad_W = beta grad_W + alpha A^T delta
    out    = delta W^T               (rows, n_out) (n_out, n_in)

Two methods: BLAS (blas.pyx), and the register tiles of core/simd, which win if a side of the
product is small.  The choice changes the last bits, so it depends only on the shape, the dtype and
the instruction set; benchmarks/ measures both.
"""

from cbackprop.core.linalg cimport blas, elementwise
from cbackprop.core.simd.dispatch cimport f64


# Up to this many multiplications, by the width of the vectors, the register tiles are as fast as
# OpenBLAS 0.3.30 or faster.  AVX-512: 1.0 to 1.2 times as fast up to 256 x 1024 x 784, both dtypes;
# AVX2: 1.05 to 1.3 there, since they copy one factor where BLAS copies two; 16 bytes: 1.0 to 1.4 at
# 64^3, 0.8 (float32) at 128^3.  With few columns or rows they win at any size, up to twice.
cdef Py_ssize_t TILES_UP_TO = 1 << 28 if f64.lanes >= 4 else 1 << 18
# The same for A^T delta.  AVX2: 144 x 176 with 512 rows 1.07 and (float32) 1.2 times as fast, 256 x
# 256 with a row of A every 8 KB 0.91 and 0.96 times.
cdef Py_ssize_t TILES_UP_TO_TRANSPOSED = (
    1 << 28 if f64.lanes == 8 else 1 << 24 if f64.lanes == 4 else 1 << 18)


cdef inline bint tiles_win(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
                           Py_ssize_t up_to) noexcept nogil:
    """Whether the register tiles beat BLAS on C (m, n) = A (m, k) B (k, n).

    BLAS copies both factors into its own layout first, which pays when each is used often enough.
    """
    return m * n * k <= up_to or n < 24 or m < 8


cdef void affine(Py_ssize_t rows, Py_ssize_t n_in, Py_ssize_t n_out, const real* A, const real* W,
                 const real* b, real* H) noexcept nogil:
    """H (rows, n_out) = A (rows, n_in) W (n_in, n_out) + b (n_out); b may be NULL."""
    cdef real one = 1
    if tiles_win(rows, n_out, n_in, TILES_UP_TO):
        elementwise.product(rows, n_out, n_in, one, A, n_in, 1, W, n_out, <real>0, H, n_out, b)
    elif b == NULL:
        blas.gemm(False, False, rows, n_out, n_in, one, A, n_in, W, n_out, <real>0, H, n_out)
    else:
        elementwise.fill_rows(b, rows, n_out, H)
        blas.gemm(False, False, rows, n_out, n_in, one, A, n_in, W, n_out, one, H, n_out)


cdef void weight_gradient(Py_ssize_t n_in, Py_ssize_t n_out, Py_ssize_t rows, real alpha,
                          const real* A, Py_ssize_t lda, const real* delta, Py_ssize_t ld_delta,
                          real beta, real* grad_W, Py_ssize_t ld_grad) noexcept nogil:
    """grad_W (n_in, n_out) = beta grad_W + alpha A^T delta, or a tile of it.

    A (rows, n_in) and delta (rows, n_out) with leading dimensions lda and ld_delta; beta = 0 does
    not read grad_W.
    """
    cdef const real* no_bias = NULL
    if tiles_win(n_in, n_out, rows, TILES_UP_TO_TRANSPOSED):
        elementwise.product(n_in, n_out, rows, alpha, A, 1, lda, delta, ld_delta, beta, grad_W,
                            ld_grad, no_bias)
    else:
        blas.gemm(True, False, n_in, n_out, rows, alpha, A, lda, delta, ld_delta, beta, grad_W,
                  ld_grad)


cdef void delta_W_T(Py_ssize_t rows, Py_ssize_t n_in, Py_ssize_t n_out, const real* delta,
                    const real* W, const real* W_T, real* out) noexcept nogil:
    """out (rows, n_in) = delta (rows, n_out) W^T, W (n_in, n_out).

    W_T : W's transpose (n_out, n_in), or NULL if none is kept.  With it no factor is transposed;
    BLAS is slow with a transposed second factor if n_out is below about 32.
    """
    cdef:
        const real* no_bias = NULL
        real one = 1
    if W_T == NULL:
        blas.gemm(False, True, rows, n_in, n_out, one, delta, n_out, W, n_out, <real>0, out, n_in)
    elif tiles_win(rows, n_in, n_out, TILES_UP_TO):
        elementwise.product(rows, n_in, n_out, one, delta, n_out, 1, W_T, n_in, <real>0, out, n_in,
                            no_bias)
    else:
        blas.gemm(False, False, rows, n_in, n_out, one, delta, n_out, W_T, n_in, <real>0, out, n_in)
