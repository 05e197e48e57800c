"""The dual: J J', for fewer rows of J than parameters, and the step solved with it.

J J' is P / M times smaller per side than J'J, and is computed from the factors of J's rows
(factors.pyx) without J:

    (J J')_mm' = sum over layers  (a_m a_m' + 1) (delta_m delta_m')         1: the bias

With L = R + mu, constant over the weights and over the biases, (J'J + L) s = -(J'r + c) has the
solution

    s = -L^-1 (J' t + c)          (J L^-1 J' + 1) t = r - J L^-1 c

J' t is backpropagation from the deltas summed with t; J v is a V delta, layer by layer.
"""

from libc.string cimport memcpy

from cbackprop.core.linalg cimport blas, product
from cbackprop.core.gauss_newton.factors cimport deltas_of, inputs_of, width_of
from cbackprop.core.gradient.job cimport leave
from cbackprop.core.linalg.lapack cimport cholesky, cholesky_solve
from cbackprop.core.gradient.plan cimport Layer, Net
from cbackprop.core.linalg.vectors cimport axpy, dot


cdef Py_ssize_t gram_scratch(const System* s) noexcept nogil:
    """The doubles of scratch memory for a worker of ``gram_rows``."""
    return GRAM_ROWS * (s.n_rows + s.n_out * s.M)


cdef void gram_rows(void* system, ptrdiff_t task, int worker) noexcept nogil:
    """Task: J J' for GRAM_ROWS rows of the data, up to the diagonal."""
    cdef:
        System* s = <System*>system
        const Net* net = s.job.net
        const Layer* layer
        Py_ssize_t K = s.n_out
        Py_ssize_t M = s.M
        Py_ssize_t first = task * GRAM_ROWS
        Py_ssize_t rows = min(<Py_ssize_t>GRAM_ROWS, s.n_rows - first)
        Py_ssize_t columns = first + rows
        double* inputs = <double*>(s.scratch + worker * s.worker_bytes)
        double* deltas = inputs + GRAM_ROWS * s.n_rows
        const double* A
        const double* D
        double* to
        double one = 1.0
        Py_ssize_t i, m, n, width
    if leave(s.job, worker):
        return
    for i in range(net.n_layers):
        layer = &net.layers[i]
        width = width_of(layer)
        A = inputs_of(net, &s.factors, i, 0)
        D = deltas_of(net, &s.factors, i, 0)
        blas.gemm(False, True, rows, columns, layer.n_in, one, A + first * width, width, A, width,
                  <double>0.0, inputs, columns)
        blas.gemm(False, True, rows * K, columns * K, layer.n_out, one,
                  D + first * K * layer.n_out, layer.n_out, D, layer.n_out, <double>0.0, deltas,
                  columns * K)
        for m in range(rows * K):
            to = s.G_weights + (first * K + m) * M
            for n in range(columns * K):
                to[n] = ((0.0 if i == 0 else to[n])
                         + inputs[(m // K) * columns + n // K] * deltas[m * columns * K + n])
            if layer.b >= 0:
                to = s.G_biases + (first * K + m) * M
                for n in range(columns * K):
                    to[n] = (0.0 if i == 0 else to[n]) + deltas[m * columns * K + n]


cdef bint factorise_dual(System* s, double of_weights, double of_biases) noexcept nogil:
    """Compute the Cholesky factor of L_b (J L^-1 J' + 1) in F; False if it has none.

    L_b, L's entry for the biases, is a factor so that nothing is divided by a small mu.
    """
    cdef Py_ssize_t i, j
    cdef Py_ssize_t M = s.M
    cdef double share
    if s.G_biases == NULL:
        of_biases = of_weights
    share = of_biases / of_weights
    for i in range(M):
        for j in range(i + 1):
            s.F[i * M + j] = share * s.G_weights[i * M + j]
            if s.G_biases != NULL:
                s.F[i * M + j] += s.G_biases[i * M + j]
        s.F[i * M + i] += of_biases
    return cholesky(M, s.F)


cdef void solve_dual(System* s, double of_weights, double of_biases, double* step) noexcept nogil:
    """step = -(J'J + L)^-1 (J'r + c), after ``factorise_dual``; c is s.c."""
    cdef:
        const Net* net = s.job.net
        const Layer* layer
        bint penalised = False
        Py_ssize_t i, j
    if s.G_biases == NULL:
        of_biases = of_weights
    memcpy(s.t, s.factors.residuals, s.M * sizeof(double))
    for i in range(s.P):
        penalised = penalised or s.c[i] != 0
    if penalised:
        for i in range(net.n_layers):
            layer = &net.layers[i]
            for j in range(layer.n_in * layer.n_out):
                step[layer.W + j] = s.c[layer.W + j] / of_weights
            if layer.b >= 0:
                for j in range(layer.n_out):
                    step[layer.b + j] = s.c[layer.b + j] / of_biases
        subtract_J_times(s, step, s.t)
    cholesky_solve(s.M, s.F, s.t)                               # t / L of the biases
    J_transposed_times(s, s.t, step)
    for i in range(net.n_layers):
        layer = &net.layers[i]
        for j in range(layer.n_in * layer.n_out):
            step[layer.W + j] = -(of_biases * step[layer.W + j] + s.c[layer.W + j]) / of_weights
        if layer.b >= 0:
            for j in range(layer.n_out):
                step[layer.b + j] = -(step[layer.b + j] + s.c[layer.b + j] / of_biases)


cdef void J_transposed_times(System* s, const double* t, double* out) noexcept nogil:
    """out (P,) = J't: (1) and (2) of the deltas summed with t; a layer's biases follow its W."""
    cdef:
        const Net* net = s.job.net
        const Layer* layer
        const double* D
        double* summed
        Py_ssize_t i, j, k, n, m, width
    for i in range(net.n_layers):
        layer = &net.layers[i]
        width = width_of(layer)
        D = deltas_of(net, &s.factors, i, 0)
        for n in range(s.n_rows):
            summed = s.rows + n * layer.n_out
            for j in range(layer.n_out):
                summed[j] = 0.0
            for k in range(s.n_out):
                m = n * s.n_out + k
                axpy(t[m], D + m * layer.n_out, summed, layer.n_out)
        product.weight_gradient(width, layer.n_out, s.n_rows, <double>1.0,
                                <const double*>inputs_of(net, &s.factors, i, 0), width,
                                <const double*>s.rows, layer.n_out, <double>0.0, out + layer.W,
                                layer.n_out)


cdef void subtract_J_times(System* s, const double* v, double* t) noexcept nogil:
    """t (M,) -= J v"""
    cdef:
        const Net* net = s.job.net
        const Layer* layer
        const double* D
        const double* no_bias = NULL
        Py_ssize_t i, m
    for i in range(net.n_layers):
        layer = &net.layers[i]
        D = deltas_of(net, &s.factors, i, 0)
        product.affine(s.n_rows, width_of(layer), layer.n_out,
                       <const double*>inputs_of(net, &s.factors, i, 0), v + layer.W, no_bias,
                       s.rows)
        for m in range(s.M):
            t[m] -= dot(<const double*>(s.rows + m // s.n_out * layer.n_out),
                        D + m * layer.n_out, layer.n_out)
