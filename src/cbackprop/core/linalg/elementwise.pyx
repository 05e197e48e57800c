"""The elementwise steps of section 2 as Python calls on flat arrays: sigmoid and delta_O.

Other compiled modules use the inline functions of elementwise.pxd; two_layer.py calls these after
checking its arguments.
"""

from cbackprop.core.simd.dispatch cimport CBP_SIGMOID


def sigmoid(const real[::1] x, real[::1] out):
    """out = 1 / (1 + exp(-x)).  Flat, of one length; out may be x."""
    if x.shape[0] != out.shape[0]:
        raise ValueError("x and out differ in length")
    if x.shape[0] == 0:
        return
    with nogil:
        sigma(CBP_SIGMOID, &x[0], &out[0], x.shape[0])


def delta_output(const real[::1] Y, const real[::1] Y_hat, real[::1] out):
    """out = -(Y - Y_hat) * Y_hat (1 - Y_hat).  Flat, of one length; out may be Y_hat."""
    if not Y.shape[0] == Y_hat.shape[0] == out.shape[0]:
        raise ValueError("Y, Y_hat and out differ in length")
    if Y.shape[0] == 0:
        return
    with nogil:
        <void>delta_O(CBP_SIGMOID, &Y[0], &Y_hat[0], &out[0], Y.shape[0])
