"""The steps of backpropagation one by one, for Network.trace.

    X                                   read: cast, scaled, checked
    H = A W + b                         affine
    Z = sigma(H)                        activate
    delta_O, and the sum of the loss    output_delta

Each is the function that the compiled step calls, on blocks of the same rows, so results are
bitwise those of ``predict``.  The remaining products are in network/trace.py, in NumPy.  This file
promises to contain no formula, only calls.
"""

from libc.string cimport memcpy

from cbackprop.core.data.rows cimport RowSource, read_rows
from cbackprop.core.gradient cimport backprop
from cbackprop.core.gradient.jacobians cimport times_output_derivative
from cbackprop.core.gradient.objective cimport Objective
from cbackprop.core.gradient.plan cimport Plan
from cbackprop.core.linalg cimport elementwise, product
from cbackprop.core.linalg.types cimport real
from cbackprop.core.simd.dispatch cimport cbp_is_elementwise, cbp_keeps_slope


def read(array, real[:, ::1] out, scaling=None, bint check=True):
    """out = array, cast and, with a pair (shift, scale), scaled.

    array : as for ``RowSource``
    False: with ``check``, the array holds a NaN or an infinity.
    """
    shift, scale = (None, None) if scaling is None else scaling
    cdef:
        RowSource source = RowSource(array, sizeof(real), shift, scale)
        Py_ssize_t n = source.rows.n_rows
        int bad = 0
        const real* rows
    if out.shape[0] != n or out.shape[1] != source.rows.n_columns:
        raise ValueError("array and out differ in shape")
    if n == 0 or out.shape[1] == 0:
        return True
    with nogil:
        rows = read_rows(&source.rows, NULL, 0, n, &out[0, 0], &bad if check else NULL)
        if rows != &out[0, 0]:
            memcpy(&out[0, 0], rows, n * out.shape[1] * sizeof(real))
    return not bad


def affine(const real[:, ::1] A, const real[:, ::1] W, const real[::1] b, real[:, ::1] H,
           Py_ssize_t block_rows):
    """H (N, n_out) = A W + b, in blocks of rows; b may be None."""
    cdef:
        Py_ssize_t n_in = W.shape[0]
        Py_ssize_t n_out = W.shape[1]
        Py_ssize_t row = 0
        const real* bias = NULL
    if (A.shape[1] != n_in or H.shape[0] != A.shape[0] or H.shape[1] != n_out or block_rows < 1
            or (b is not None and b.shape[0] != n_out)):
        raise ValueError("the shapes of A, W, b and H do not fit together")
    if min(A.shape[0], n_in, n_out) == 0:
        raise ValueError("nothing to multiply")
    if b is not None:
        bias = &b[0]
    with nogil:
        while row < A.shape[0]:
            product.affine(min(block_rows, A.shape[0] - row), n_in, n_out, &A[row, 0], &W[0, 0],
                           bias, &H[row, 0])
            row += block_rows


def activate(int activation, const real[:, ::1] H, real[:, ::1] Z, real[:, ::1] sigma_prime):
    """Z = sigma(H) and sigma_prime = sigma'(H).

    For softmax, whose derivative is a matrix, only Z.
    """
    cdef Py_ssize_t n = H.shape[0] * H.shape[1]
    cdef Py_ssize_t i
    if not (H.shape[0] == Z.shape[0] == sigma_prime.shape[0]
            and H.shape[1] == Z.shape[1] == sigma_prime.shape[1]):
        raise ValueError("the arrays differ in shape")
    if n == 0:
        return
    with nogil:
        if cbp_keeps_slope(activation):
            elementwise.sigma_keeping(activation, &H[0, 0], &Z[0, 0], &sigma_prime[0, 0], n)
        else:
            elementwise.output_sigma(activation, &H[0, 0], &Z[0, 0], H.shape[0], H.shape[1])
        if cbp_is_elementwise(activation) and not cbp_keeps_slope(activation):
            for i in range(n):
                (&sigma_prime[0, 0])[i] = 1
            times_output_derivative(activation, <const real*>&Z[0, 0], H.shape[0], H.shape[1],
                                    &sigma_prime[0, 0])


def output_delta(Plan plan not None, Objective objective not None, real[:, ::1] Y,
                 const real[:, ::1] kept, const real[::1] row_weight, real[:, ::1] weight,
                 real[:, ::1] delta_O):
    """delta_O of the objective; returns the sum of its losses, N times L.

    plan : that of the last layer only
    Y : targets, each missing one overwritten with 0
    kept : (2 N, n_out), what a block keeps of the output layer: Y_hat, or O if the loss is computed
        from O, followed by sigma'(O)
    row_weight : (N,), or None
    weight : (N, n_out), overwritten with each element's weight
    """
    cdef:
        Py_ssize_t N = Y.shape[0]
        Py_ssize_t n_out = Y.shape[1]
        const real* of_rows = NULL
        double total
    objective.fit_to(&plan.net)
    if not (weight.shape[0] == delta_O.shape[0] == N and kept.shape[0] == 2 * N
            and kept.shape[1] == weight.shape[1] == delta_O.shape[1] == n_out):
        raise ValueError("the arrays differ in shape")
    if (plan.net.n_layers != 1 or plan.net.layers[0].n_out != n_out or N == 0
            or plan.net.itemsize != sizeof(real)
            or (row_weight is not None and row_weight.shape[0] != N)):
        raise ValueError("the plan or the weights do not go with Y")
    if row_weight is not None:
        of_rows = &row_weight[0]
    with nogil:
        elementwise.element_weights(of_rows, <const real*>objective.goal.column_weight, &Y[0, 0],
                                    objective.goal.missing, &weight[0, 0], N, n_out)
        total = backprop.output_delta(
            &plan.net, &objective.goal, &Y[0, 0],
            of_rows if objective.goal.plain else &weight[0, 0], N, &kept[0, 0], &delta_O[0, 0], N,
            0)
    return objective.goal.factor * total
