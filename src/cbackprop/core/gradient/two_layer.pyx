"""The two-layer sigmoid network without biases, on whole arrays: equations (1) and (2).

    H = X W1     Z = sigma(H)     O = Z W2     Y_hat = sigma(O)     L = 1/(2N) sum (Y - Y_hat)^2

    delta_O = -(Y - Y_hat) * sigma'(O)
    grad W2 = 1/N  Z^T delta_O                  (1)
    delta_H = (delta_O W2^T) * sigma'(H)
    grad W1 = 1/N  X^T delta_H                  (2)

It follows the derivation line by line; training uses backprop.pyx, which does the same block by
block for any network.  two_layer.py checks arguments; here only memory safety is checked.
"""

from cbackprop.core.linalg cimport blas, elementwise
from cbackprop.core.simd.dispatch cimport CBP_SIGMOID
from cbackprop.core.linalg.types cimport real


cdef void hidden_delta(Py_ssize_t N, Py_ssize_t n_hidden, Py_ssize_t n_out, const real* delta_O,
                       const real* W2, const real* Z, real* delta_H) noexcept nogil:
    """delta_H (N, n_hidden) = (delta_O W2^T) * Z (1 - Z)."""
    blas.gemm(False, True, N, n_hidden, n_out, <real>1, delta_O, n_out, W2, n_out, <real>0, delta_H,
              n_hidden)
    elementwise.times_sigma_prime(CBP_SIGMOID, Z, delta_H, N * n_hidden)


def delta_hidden(const real[:, ::1] delta_O, const real[:, ::1] W2, const real[:, ::1] Z,
                 real[:, ::1] out):
    """out (N, n_hidden) = (delta_O W2^T) * Z (1 - Z).

    delta_O (N, n_out), W2 (n_hidden, n_out), Z (N, n_hidden); ``out`` shares no memory with them.
    """
    cdef Py_ssize_t N = delta_O.shape[0]
    cdef Py_ssize_t n_out = delta_O.shape[1]
    cdef Py_ssize_t n_hidden = W2.shape[0]
    if (W2.shape[1] != n_out or Z.shape[0] != N or Z.shape[1] != n_hidden
            or out.shape[0] != N or out.shape[1] != n_hidden):
        raise ValueError("the shapes of delta_O, W2, Z and out do not fit together")
    if not (blas.fits(N) and blas.fits(n_out) and blas.fits(n_hidden)):
        raise ValueError("a size is beyond what this BLAS counts with")
    if N == 0 or n_hidden == 0 or n_out == 0:
        out[:, :] = 0
        return
    with nogil:
        hidden_delta(N, n_hidden, n_out, &delta_O[0, 0], &W2[0, 0], &Z[0, 0], &out[0, 0])


def gradients(const real[:, ::1] X, const real[:, ::1] Y, const real[:, ::1] W1,
              const real[:, ::1] W2, real[:, ::1] grad_W1, real[:, ::1] grad_W2,
              real[:, ::1] Z, real[:, ::1] Y_hat, real[:, ::1] delta_H):
    """Equations (1) and (2); returns L.

    X (N, n_in), Y (N, n_out), W1 (n_in, n_hidden), W2 (n_hidden, n_out), none of them empty.
    Written: grad_W1, grad_W2, Z, Y_hat (which becomes delta_O) and delta_H.
    """
    cdef:
        Py_ssize_t N = X.shape[0]
        Py_ssize_t n_in = X.shape[1]
        Py_ssize_t n_hidden = W1.shape[1]
        Py_ssize_t n_out = W2.shape[1]
        double squares
        real one_over_N
        real* delta_O
    if (N < 1 or n_in < 1 or n_hidden < 1 or n_out < 1
            or Y.shape[0] != N or Y.shape[1] != n_out or W1.shape[0] != n_in
            or W2.shape[0] != n_hidden
            or grad_W1.shape[0] != n_in or grad_W1.shape[1] != n_hidden
            or grad_W2.shape[0] != n_hidden or grad_W2.shape[1] != n_out
            or Z.shape[0] != N or Z.shape[1] != n_hidden
            or Y_hat.shape[0] != N or Y_hat.shape[1] != n_out
            or delta_H.shape[0] != N or delta_H.shape[1] != n_hidden):
        raise ValueError("the shapes do not fit together")
    if not (blas.fits(N) and blas.fits(n_in) and blas.fits(n_hidden) and blas.fits(n_out)):
        raise ValueError("a size is beyond what this BLAS counts with")
    one_over_N = <real>(1.0 / N)
    with nogil:
        # H = X W1, Z = sigma(H)
        blas.gemm(False, False, N, n_hidden, n_in, <real>1, &X[0, 0], n_in, &W1[0, 0], n_hidden,
                  <real>0, &Z[0, 0], n_hidden)
        elementwise.sigma(CBP_SIGMOID, <const real*>&Z[0, 0], &Z[0, 0], N * n_hidden)
        # O = Z W2, Y_hat = sigma(O)
        blas.gemm(False, False, N, n_out, n_hidden, <real>1, <const real*>&Z[0, 0], n_hidden,
                  &W2[0, 0], n_out, <real>0, &Y_hat[0, 0], n_out)
        elementwise.sigma(CBP_SIGMOID, <const real*>&Y_hat[0, 0], &Y_hat[0, 0], N * n_out)
        # delta_O = -(Y - Y_hat) * sigma'(O), overwrites Y_hat
        delta_O = &Y_hat[0, 0]
        squares = elementwise.delta_O(CBP_SIGMOID, &Y[0, 0], <const real*>delta_O, delta_O,
                                      N * n_out)
        # (1)  grad W2 = 1/N Z^T delta_O
        blas.gemm(True, False, n_hidden, n_out, N, one_over_N, <const real*>&Z[0, 0], n_hidden,
                  <const real*>delta_O, n_out, <real>0, &grad_W2[0, 0], n_out)
        # delta_H = (delta_O W2^T) * sigma'(H)
        hidden_delta(N, n_hidden, n_out, <const real*>delta_O, &W2[0, 0], <const real*>&Z[0, 0],
                     &delta_H[0, 0])
        # (2)  grad W1 = 1/N X^T delta_H
        blas.gemm(True, False, n_in, n_hidden, N, one_over_N, &X[0, 0], n_in,
                  <const real*>&delta_H[0, 0], n_hidden, <real>0, &grad_W1[0, 0], n_hidden)
    return squares / (2.0 * N)
