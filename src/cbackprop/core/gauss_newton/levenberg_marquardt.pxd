from cbackprop.core.gauss_newton.system cimport System

# The summed loss at W over the caller's rows, or infinity if it exceeds ``enough``; W may be
# rounded to the network's dtype.
ctypedef double (*loss_at)(void* context, double* W, double enough, int* abandoned) noexcept nogil
ctypedef void (*bend_at)(System* s, double h, const double* v, double* out) noexcept nogil

ctypedef struct Settings:
    double mu                   # the initial mu
    double increase             # factor of mu after a rejected step
    double decrease             # factor after an accepted one
    double most                 # the largest mu that is tried
    bint nielsen
    bint diagonal
    bint bends                  # geodesic acceleration
    bint bayesian
    double gradient_tolerance
    double step_tolerance
    double l2
    double weight_mean          # of the rows, if weights are numbers of rows; else 1

ctypedef enum Outcome:
    MOVED
    CONVERGED_GRADIENT          # without a step
    CONVERGED_STEP              # with one, or without
    MU_MAX                      # no step lowers the objective
    ABANDONED                   # the state is unchanged
    NOT_FINITE                  # at W

cdef enum:                      # the entries of ``numbers``
    MU                          # 0: none yet
    NU                          # Nielsen's factor
    LOSS                        # the summed loss at W, after the step
    NORM                        # of the objective's gradient (mean), before the step
    REJECTED                    # rejected trials of the last step
    ALPHA                       # precision of the parameters
    BETA                        # precision of the targets
    GAMMA                       # effective number of parameters
    N_NUMBERS

cdef Outcome marquardt_step(const Settings* settings, System* s, void* context, loss_at loss,
                            bend_at bend, double* W, double* numbers) noexcept nogil
