from cbackprop.core.gauss_newton.system cimport System

ctypedef struct Damping:
    double mu                   # relative to the sums, not to the mean
    bint diagonal               # D = diag(J'J), else the identity
    double ridge_weights        # the penalty (ridge / 2) |W|^2, added to the summed loss
    double ridge_biases

cdef double ridge_of(const System* s, const Damping* damping, const double* W,
                     double* gradient) noexcept nogil
cdef bint factorise(System* s, const Damping* damping) noexcept nogil
cdef void solve(System* s, const Damping* damping, double* step) noexcept nogil
cdef void solve_for(System* s, const double* right, double* step) noexcept nogil
cdef double least_scaling(const System* s) noexcept nogil
cdef double effective_parameters(System* s, double rho) noexcept nogil
cdef void times_matrix(const System* s, const double* v, double* out) noexcept nogil
