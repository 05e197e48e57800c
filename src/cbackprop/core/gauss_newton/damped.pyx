"""The damped normal equations of a Gauss-Newton system, and other uses of its matrix.

    (J'J + R + mu D) s = -(J'r + c)         R: the penalty's ridge, c = R W;  D: 1 or diag(J'J)

With fewer residuals than parameters and D = 1, the dual is used (dual.pyx).
"""

from libc.string cimport memcpy

from cbackprop.core.gauss_newton.dual cimport factorise_dual, solve_dual
from cbackprop.core.linalg.lapack cimport cholesky, cholesky_solve, trace_of_inverse
from cbackprop.core.gradient.plan cimport Layer, Net
from cbackprop.core.linalg.vectors cimport axpy, dot

# The smallest entry of D, relative to the largest of diag(J'J).  The parameters of a saturated unit
# have almost zero derivatives, and their steps would be arbitrary without damping.
cdef double LEAST_SCALING = 1e-8


cdef double ridge_of(const System* s, const Damping* damping, const double* W,
                     double* gradient) noexcept nogil:
    """The penalty of W for the summed loss; ``gradient``, if not NULL, is set to R W."""
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
    """The smallest allowed entry of D."""
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
    """Compute the Cholesky factor of the damped matrix in F; False if it has none."""
    cdef:
        const Net* net = s.job.net
        const Layer* layer
        Py_ssize_t P = s.P
        Py_ssize_t i, j
        double least
    if s.dual:
        return factorise_dual(s, damping.mu + damping.ridge_weights,
                              damping.mu + damping.ridge_biases)
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
    cdef Py_ssize_t i
    if s.dual:
        solve_dual(s, damping.mu + damping.ridge_weights, damping.mu + damping.ridge_biases, step)
        return
    for i in range(s.P):
        step[i] = s.g[i] + s.c[i]
    solve_for(s, step, step)


cdef void times_matrix(const System* s, const double* v, double* out) noexcept nogil:
    """out (P,) = J'J v, from the lower triangle."""
    cdef Py_ssize_t i
    cdef Py_ssize_t P = s.P
    for i in range(P):
        out[i] = dot(<const double*>(s.A + i * P), v, i + 1)
    for i in range(P):
        axpy(v[i], <const double*>(s.A + i * P), out, i)


cdef double effective_parameters(System* s, double rho) noexcept nogil:
    """The effective number of parameters: trace of J'J (J'J + rho)^-1 (MacKay, 1992).

    rho : the ridge of every parameter; F is overwritten.  The result is negative if there is no
    factor.
    """
    cdef Damping damping
    cdef Py_ssize_t n = s.M if s.dual else s.P
    damping.mu, damping.diagonal = 0.0, False
    damping.ridge_weights = damping.ridge_biases = rho
    if not factorise(s, &damping):
        return -1.0
    # J J' has the nonzero eigenvalues of J'J.
    return n - rho * trace_of_inverse(n, s.F)
