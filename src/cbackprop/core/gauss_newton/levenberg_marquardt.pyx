"""One Levenberg-Marquardt step, on request with Bayesian regularisation.

    (J'J + R + mu D) s = -(J'r + R W)

mu grows until the objective, loss plus penalty, is lower at W + s; then it shrinks.

Marquardt's rule (SIAM J. Appl. Math. 11, 1963; factors and first value as in Hagan and Menhaj,
IEEE Trans. Neural Networks 5, 1994): mu times ``increase`` or ``decrease``.  Nielsen's (Damping
parameter in Marquardt's method, IMM-REP-1999-05): by the quality of the quadratic model.

Geodesic acceleration (Transtrum and Sethna, arXiv:1201.5885): add to the step v half of the
solution for the residuals' second derivative along v, from a finite difference of length 0.1.

Evidence (MacKay, Neural Computation 4, 1992; Foresee and Hagan, ICNN 1997): minimise (alpha / 2)
|W|^2 + (beta / 2) sum e^2, with alpha and beta re-estimated before each step:

    gamma = P - alpha trace (beta J'J + alpha)^-1
    alpha = gamma / |W|^2             beta = (targets - gamma) / sum e^2

All are sums over the rows, in double.  Weights have the mean 1; if they are numbers of rows (a
weight of 2 is a row twice), sums and the number of targets are ``weight_mean`` times as large.
This file knows no networks and no rows.
"""

from libc.math cimport INFINITY, isfinite, pow, sqrt
from libc.string cimport memcpy

from cbackprop.core.linalg cimport elementwise
from cbackprop.core.gauss_newton.damped cimport (
    Damping,
    effective_parameters,
    factorise,
    least_scaling,
    ridge_of,
    solve,
    solve_for,
    times_matrix,
)
from cbackprop.core.linalg.vectors cimport axpy, dot, largest_absolute

# The smallest mu; below it rounding errors dominate the factor.
cdef double LEAST_MU = 1e-20
# The finite difference along a step, and the largest ratio of half the acceleration to it: the
# values of the paper.
cdef double BEND_STEP = 0.1
cdef double MOST_BEND = 0.75


EVIDENCE = {"alpha": ALPHA, "beta": BETA, "gamma": GAMMA}     # indices into ``numbers``


cdef void weigh_evidence(System* s, const double* W, double weight_mean,
                         double* numbers) noexcept nogil:
    """Set alpha and beta for the next step; gamma is that of the previous ones."""
    cdef double squares = 2.0 * weight_mean * s.loss
    cdef double length = dot(W, W, s.P)
    cdef double gamma = s.P
    if numbers[BETA] != 0:
        gamma = effective_parameters(s, numbers[ALPHA] / (weight_mean * numbers[BETA]))
        if gamma < 0:
            return                  # rounding errors: keep the previous ones
    numbers[GAMMA] = gamma
    numbers[ALPHA] = gamma / length if length > 0 else 1.0
    numbers[BETA] = (s.measured - gamma) / squares if squares > 0 else 0.0
    if not 0 < numbers[BETA] < INFINITY:
        numbers[BETA] = 1.0
    if not 0 < numbers[ALPHA] < INFINITY:
        numbers[ALPHA] = 1.0


cdef double largest_diagonal(const System* s) noexcept nogil:
    cdef double largest = 0.0
    cdef Py_ssize_t i
    if s.dual:
        for i in range(s.M):
            largest = max(largest, s.G_weights[i * (s.M + 1)])
    else:
        for i in range(s.P):
            largest = max(largest, s.A[i * (s.P + 1)])
    return largest


cdef bint accelerate(System* s, bend_at bend, double* v, double* work) noexcept nogil:
    """v += a / 2; False if a is too long for that.

    The residuals' second derivative is 2/h ((r(W + h v) - r(W)) / h - J v); a solves for J' times
    it.
    """
    cdef Py_ssize_t i
    cdef double h = BEND_STEP
    bend(s, h, v, s.bend)
    times_matrix(s, v, work)
    for i in range(s.P):
        s.bend[i] = 2.0 / h * (s.bend[i] / h - work[i])
    solve_for(s, s.bend, work)
    if not 2.0 * sqrt(dot(<const double*>work, <const double*>work, s.P)) <= (
            MOST_BEND * sqrt(dot(<const double*>v, <const double*>v, s.P))):
        return False
    axpy(0.5, <const double*>work, v, s.P)
    return True


cdef double predicted(const System* s, const Damping* damping, const double* step) noexcept nogil:
    """The decrease of the objective predicted by the quadratic model."""
    cdef double total = 0.0
    cdef Py_ssize_t i
    cdef double D = 1.0
    cdef double least = least_scaling(s) if damping.diagonal else 0.0
    for i in range(s.P):
        if damping.diagonal:
            D = max(s.A[i * (s.P + 1)], least)
        total += step[i] * (damping.mu * D * step[i] - s.g[i] - s.c[i])
    return 0.5 * total


cdef Outcome marquardt_step(const Settings* settings, System* s, void* context, loss_at loss,
                            bend_at bend, double* W, double* numbers) noexcept nogil:
    """Move W to the first trial that lowers the objective.

    s : linearised at W
    W : (P,), values of the network's dtype; written if a step is accepted
    numbers : (N_NUMBERS,), initially 0; written except for ABANDONED and NOT_FINITE
    bend : NULL, or the function for geodesic acceleration
    """
    cdef:
        double[N_NUMBERS] now
        Damping damping
        Py_ssize_t P = s.P
        double N = s.n_rows
        double scale = 1.0 / settings.weight_mean   # of mu, which can damp beta J'J
        double before, after, at_trial, quality, length
        double largest
        int abandoned = 0
        bint taken = False
        bint small = False
        Outcome outcome = MOVED
        Py_ssize_t i
    if not isfinite(s.loss) or not elementwise.all_finite(<const double*>s.g, P):
        return NOT_FINITE
    memcpy(now, numbers, sizeof(now))
    damping.diagonal = settings.diagonal
    damping.ridge_weights, damping.ridge_biases = N * settings.l2, 0.0
    if settings.bayesian:
        weigh_evidence(s, W, settings.weight_mean, now)
        scale /= now[BETA]
        damping.ridge_weights = damping.ridge_biases = now[ALPHA] * scale
    before = s.loss + ridge_of(s, &damping, W, s.c)
    if now[MU] == 0:
        now[MU], now[NU] = settings.mu, 2.0
        if settings.nielsen and not settings.diagonal:
            largest = largest_diagonal(s)
            now[MU] *= largest if largest > 0 else 1.0
    for i in range(P):
        s.step[i] = s.g[i] + s.c[i]
    now[NORM] = sqrt(dot(<const double*>s.step, <const double*>s.step, P)) / N
    now[LOSS], now[REJECTED] = s.loss, 0
    if largest_absolute(<const double*>s.step, P) <= settings.gradient_tolerance * N:
        memcpy(numbers, now, sizeof(now))
        return CONVERGED_GRADIENT
    length = sqrt(dot(<const double*>W, <const double*>W, P))
    while not taken and outcome == MOVED:
        damping.mu = now[MU] * scale
        quality = -1.0
        if factorise(s, &damping):
            solve(s, &damping, s.step)
            if bend == NULL or accelerate(s, bend, s.step, s.trial):
                for i in range(P):
                    s.trial[i] = W[i] + s.step[i]
                if elementwise.all_finite(<const double*>s.trial, P):
                    at_trial = loss(context, s.trial, before, &abandoned)
                    if abandoned:
                        return ABANDONED
                    after = at_trial + ridge_of(s, &damping, s.trial, NULL)
                    taken = after < before          # false if it is NaN
                    if settings.nielsen and taken:
                        quality = (before - after) / predicted(s, &damping, s.step)
                    small = (sqrt(dot(<const double*>s.step, <const double*>s.step, P))
                             <= settings.step_tolerance * (settings.step_tolerance + length))
                    if small:
                        outcome = CONVERGED_STEP
        if s.job.interrupt.stop:
            return ABANDONED
        if taken:
            if not settings.nielsen:
                now[MU] *= settings.decrease
            else:
                now[MU] *= max(1.0 / 3.0, 1.0 - pow(2.0 * quality - 1.0, 3))
                now[NU] = 2.0
            now[MU] = max(now[MU], LEAST_MU)
        else:
            now[REJECTED] += 1
            if settings.nielsen:
                now[MU] *= now[NU]
                now[NU] *= 2.0
            else:
                now[MU] *= settings.increase
            if outcome == MOVED and now[MU] > settings.most:
                outcome = MU_MAX
    if taken:
        memcpy(W, s.trial, P * sizeof(double))
        now[LOSS] = at_trial
    if outcome == MU_MAX:
        now[MU] = 0.0                               # another fit starts with the initial mu
    memcpy(numbers, now, sizeof(now))
    return outcome
