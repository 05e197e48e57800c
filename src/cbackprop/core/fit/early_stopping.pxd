from cbackprop.core.linalg.types cimport real

cpdef enum:
    N_REMEMBERED = 16           # numbers in a trainer's state and in checkpoints

ctypedef enum Reason:           # why a fit ended
    NOT_YET
    EPOCHS
    SECONDS
    TARGET_LOSS
    EARLY_STOPPING
    CALLBACK
    CONVERGED
    NO_DESCENT
    STEPS
    GRADIENT_TOLERANCE
    STEP_TOLERANCE
    NO_STEP                     # mu has reached its largest value

ctypedef struct Stopping:
    int monitored               # a column of the record; negative: nothing is monitored
    bint maximise
    double patience
    double min_delta
    Py_ssize_t start_epoch
    bint keep_best
    bint from_best              # patience counts from the best value, not the last improvement
    double divisor              # of the learning rate when patience ends; 0: the fit stops
    double least_rate           # the fit also stops at a rate of at most this
    double target_loss          # negative infinity: none
    # the plateau that lowers the learning rate; patience negative: none
    double plateau_factor
    double plateau_patience
    double plateau_delta
    double plateau_minimum
    double* numbers             # (N_REMEMBERED,)

cdef class StoppingSettings:
    cdef Stopping stopping

cdef double plateau_rate(const Stopping* stopping, double rate) noexcept nogil
cdef Reason judge(const Stopping* stopping, Py_ssize_t epoch, double loss, double monitored,
                  double rate, Py_ssize_t n_parameters, const real* parameters,
                  real* best) noexcept nogil
