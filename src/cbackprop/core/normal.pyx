"""The damped normal equations of a Gauss-Newton system, and what else is asked of its matrix.

    (J'J + R + mu D) s = -(J'r + c)         R: the penalty's ridge, c = R W;  D: 1 or diag(J'J)

With fewer residuals than parameters, and D = 1, by the dual.  With L = R + mu, constant over the
weights and over the biases, the solution is

    s = -L^-1 (J' t + c)          (J L^-1 J' + 1) t = r - J L^-1 c

whose matrix has the size of r.  J' t is backpropagation from the deltas summed with t; J v is
a V delta, layer by layer (gauss_newton.pyx).
"""

from libc.string cimport memcpy

from cbackprop.core cimport elementwise, product
from cbackprop.core.backprop cimport layer_rows
from cbackprop.core.gauss_newton cimport System
from cbackprop.core.lapack cimport cholesky, cholesky_solve, trace_of_inverse
from cbackprop.core.plan cimport Layer, Net
from cbackprop.core.vectors cimport axpy, dot

# Of the largest entry of diag(J'J): no less is taken for D.  The parameters of a saturated unit
# have next to no derivative, and undamped would go anywhere.
cdef double LEAST_SCALING = 1e-8


cdef double ridge_of(const System* s, const Damping* damping, const double* W,
                     double* gradient) noexcept nogil:
    """The penalty of W beside the summed loss; with ``gradient`` its own, R W, is written there."""
    cdef const Net* net = s.job.net
    cdef const Layer* layer
    cdef Py_ssize_t i, j, n
    cdef double total = 0.0
    for i in range(net.n_layers):
        layer = &net.layers[i]
        n = layer.n_in * layer.n_out
        if damping.ridge_weights != 0:
            total += 0.5 * damping.ridge_weights * dot(W + layer.W, W + layer.W, n)
        if layer.b >= 0 and damping.ridge_biases != 0:
            total += 0.5 * damping.ridge_biases * dot(W + layer.b, W + layer.b, layer.n_out)
        if gradient != NULL:
            for j in range(n):
                gradient[layer.W + j] = damping.ridge_weights * W[layer.W + j]
            if layer.b >= 0:
                for j in range(layer.n_out):
                    gradient[layer.b + j] = damping.ridge_biases * W[layer.b + j]
    return total


cdef double least_scaling(const System* s) noexcept nogil:
    """No entry of D is smaller."""
    cdef double largest = 0.0
    cdef Py_ssize_t i
    for i in range(s.P):
        largest = max(largest, s.A[i * (s.P + 1)])
    return LEAST_SCALING * largest


cdef void copy_lower(const double* A, Py_ssize_t n, double* F) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        memcpy(F + i * n, A + i * n, (i + 1) * sizeof(double))


cdef bint factorise(System* s, const Damping* damping) noexcept nogil:
    """The Cholesky factor of the damped matrix into F; False where it has none."""
    cdef:
        const Net* net = s.job.net
        const Layer* layer
        Py_ssize_t M = s.M
        Py_ssize_t P = s.P
        Py_ssize_t i, j
        double of_weights = damping.mu + damping.ridge_weights
        double of_biases = damping.mu + damping.ridge_biases
        double share, least
    if s.dual:
        # Times L's entry of the biases, so that nothing is divided by a small mu.
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
    copy_lower(s.A, P, s.F)
    least = least_scaling(s) if damping.diagonal else 0.0
    for i in range(net.n_layers):
        layer = &net.layers[i]
        for j in range(layer.n_in * layer.n_out):
            s.F[(layer.W + j) * (P + 1)] += damping.ridge_weights
        if layer.b >= 0:
            for j in range(layer.n_out):
                s.F[(layer.b + j) * (P + 1)] += damping.ridge_biases
    for i in range(P):
        s.F[i * (P + 1)] += damping.mu * (
            max(s.A[i * (P + 1)], least) if damping.diagonal else 1.0)
    return cholesky(P, s.F)


cdef void solve_for(System* s, const double* right, double* step) noexcept nogil:
    """step = -(the factorised matrix)^-1 right; not in the dual."""
    cdef Py_ssize_t i
    for i in range(s.P):
        step[i] = -right[i]
    cholesky_solve(s.P, s.F, step)


cdef void solve(System* s, const Damping* damping, double* step) noexcept nogil:
    """step = -(J'J + R + mu D)^-1 (J'r + c), after ``factorise``; c is s.c."""
    cdef:
        const Net* net = s.job.net
        const Layer* layer
        Py_ssize_t i, j
        double of_weights = damping.mu + damping.ridge_weights
        double of_biases = damping.mu + damping.ridge_biases
    if not s.dual:
        for i in range(s.P):
            step[i] = s.g[i] + s.c[i]
        solve_for(s, step, step)
        return
    if s.G_biases == NULL:
        of_biases = of_weights
    memcpy(s.t, s.r, s.M * sizeof(double))
    if damping.ridge_weights != 0 or damping.ridge_biases != 0:
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
    """out (P,) = J't: (1) and (2) of the deltas summed with t."""
    cdef:
        const Net* net = s.job.net
        const Layer* layer
        const double* A
        const double* D
        Py_ssize_t i, j, k, n, m
        Py_ssize_t rows = s.n_rows
    for i in range(net.n_layers):
        layer = &net.layers[i]
        A = s.X if i == 0 else layer_rows(s.Z, &net.layers[i - 1], rows, 0)
        D = layer_rows(s.D, layer, s.M, 0)
        for n in range(rows):
            for j in range(layer.n_out):
                s.rows[n * layer.n_out + j] = 0.0
            for k in range(s.n_out):
                m = n * s.n_out + k
                axpy(t[m], D + m * layer.n_out, s.rows + n * layer.n_out, layer.n_out)
        product.weight_gradient(layer.n_in, layer.n_out, rows, <double>1.0, A, layer.n_in,
                                <const double*>s.rows, layer.n_out, <double>0.0, out + layer.W,
                                layer.n_out)
        if layer.b >= 0:
            elementwise.column_sums(<double>1.0, <const double*>s.rows, rows, layer.n_out,
                                    <double>0.0, out + layer.b)


cdef void subtract_J_times(System* s, const double* v, double* t) noexcept nogil:
    """t (M,) -= J v"""
    cdef:
        const Net* net = s.job.net
        const Layer* layer
        const double* A
        const double* D
        const double* b
        Py_ssize_t i, m
    for i in range(net.n_layers):
        layer = &net.layers[i]
        A = s.X if i == 0 else layer_rows(s.Z, &net.layers[i - 1], s.n_rows, 0)
        D = layer_rows(s.D, layer, s.M, 0)
        b = v + layer.b if layer.b >= 0 else NULL
        product.affine(s.n_rows, layer.n_in, layer.n_out, A, v + layer.W, b, s.rows)
        for m in range(s.M):
            t[m] -= dot(<const double*>(s.rows + m // s.n_out * layer.n_out),
                        D + m * layer.n_out, layer.n_out)


cdef void times_matrix(const System* s, const double* v, double* out) noexcept nogil:
    """out (P,) = J'J v, from the lower triangle."""
    cdef Py_ssize_t i
    cdef Py_ssize_t P = s.P
    for i in range(P):
        out[i] = dot(<const double*>(s.A + i * P), v, i + 1)
    for i in range(P):
        axpy(v[i], <const double*>(s.A + i * P), out, i)


cdef double effective_parameters(System* s, double rho) noexcept nogil:
    """How many parameters the data determine: trace of J'J (J'J + rho)^-1 (MacKay, 1992).

    rho : the ridge of every parameter; F is overwritten.  Negative where there is no factor.
    """
    cdef Damping damping
    cdef Py_ssize_t n = s.M if s.dual else s.P
    damping.mu, damping.diagonal = 0.0, False
    damping.ridge_weights = damping.ridge_biases = rho
    if not factorise(s, &damping):
        return -1.0
    # J J' has the eigenvalues of J'J that are not 0.
    return n - rho * trace_of_inverse(n, s.F)
