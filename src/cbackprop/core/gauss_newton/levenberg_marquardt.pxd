from cbackprop.core.gauss_newton.system cimport System

# The summed loss at W, of what the caller trains on, or infinity where it is more than ``enough``;
# W may be rounded to the network's dtype.
ctypedef double (*loss_at)(void* context, double* W, double enough, int* abandoned) noexcept nogil
ctypedef void (*bend_at)(System* s, double h, const double* v, double* out) noexcept nogil

ctypedef struct Settings:
    double mu                   # the first
    double increase             # of mu, after a step that was not taken
    double decrease             # after one that was
    double most                 # no step is tried with a larger one
    bint nielsen
    bint diagonal
    bint bends                  # geodesic acceleration
    bint bayesian
    double gradient_tolerance
    double step_tolerance
    double l2
    double weight_mean          # of the rows, where their weights count rows; else 1

ctypedef enum Outcome:
    MOVED
    CONVERGED_GRADIENT          # without a step
    CONVERGED_STEP              # with one, or without
    MU_MAX                      # no step lowers the objective
    ABANDONED                   # nothing has changed
    NOT_FINITE                  # the loss at W

cdef enum:                      # the entries of ``numbers``
    MU                          # 0: none yet
    NU                          # Nielsen's factor
    LOSS                        # the summed loss at W, after the step
    NORM                        # of the objective's gradient (of the mean), before it
    REJECTED                    # trials of the last step
    ALPHA                       # precision of the parameters,
    BETA                        # and of the targets
    GAMMA                       # effective number of parameters
    N_NUMBERS

cdef Outcome marquardt_step(const Settings* settings, System* s, void* context, loss_at loss,
                            bend_at bend, double* W, double* numbers) noexcept nogil
