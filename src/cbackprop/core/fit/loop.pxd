# The state of a running fit: set up by its call (fit.pyx), read and written without the GIL by the
# loop over epochs (epochs.pyx) and the solvers' iterations (iterations.pyx).

from libc.stdint cimport int64_t, uint64_t

from cbackprop.core.gradient.job cimport Job
from cbackprop.core.fit.evaluation cimport HeldOut
from cbackprop.core.quasi_newton.lbfgs cimport Settings as LbfgsSettings
from cbackprop.core.gauss_newton.levenberg_marquardt cimport Settings as MarquardtSettings
from cbackprop.core.fit.python_loss cimport Asked
from cbackprop.core.gradient.update_rules cimport Rule
from cbackprop.core.gauss_newton.system cimport System
from cbackprop.core.fit.early_stopping cimport Reason, Stopping

ctypedef enum Outcome:         # of a slice, or of a step
    RUNNING
    FINISHED
    INTERRUPTED
    NEEDS_ORDER
    EPOCH_DONE                  # Python's turn
    BAD_ROWS                    # a NaN or an infinity
    BAD_HELD_OUT                # the same in the validation or test rows
    DIVERGED
    FAILED                      # an exception from a loss in Python

cdef enum:                      # columns of the record, in the order of COLUMNS
    LOSS
    LEARNING_RATE
    TOOK
    PENALTY
    NORM
    UNIT_LOSS
    VALIDATION_LOSS             # three for validation, and three for test
    VALIDATION_METRIC
    VALIDATION_UNIT_LOSS
    TEST_LOSS
    TEST_METRIC
    TEST_UNIT_LOSS
    DAMPING                     # of Levenberg-Marquardt
    REJECTED
    ALPHA                       # of Bayesian regularisation
    BETA
    EFFECTIVE
    N_COLUMNS

ctypedef struct FitLoop:
    Job job
    Rule rule
    Stopping stopping
    HeldOut* held_out[2]        # validation and test, or NULL
    Py_ssize_t n_rows           # of an epoch
    Py_ssize_t batch_rows
    Py_ssize_t n_out
    bint in_python              # Python is called at every epoch's end
    bint wants_norm             # of the whole gradient, after each epoch
    double unit                 # from the loss to the targets' units, if a single factor; else 0
    double rate                 # the learning rate, if constant
    double* rates               # of the slice's epochs, or NULL
    char* best                  # (n_parameters,) the best parameters so far, or NULL
    # the position
    Py_ssize_t epoch
    Py_ssize_t position
    double loss_sum
    double unit_sum
    Py_ssize_t last_epoch
    Py_ssize_t steps_left       # negative: without limit
    Reason reason
    # solvers whose epoch is an iteration
    Outcome refused             # why an evaluation was abandoned
    LbfgsSettings lbfgs
    char* W                     # (n_parameters,) the point, while others are evaluated
    char* scratch
    bint recognised             # loss and gradient in the state are of these rows
    MarquardtSettings marquardt
    System* system
    # a loss in Python; NULL where the loss is the core's
    Asked* asked
    # shuffling
    bint shuffled
    bint supplied
    bint window
    uint64_t seed
    const int64_t* subset       # which rows an epoch visits; NULL: all
    int64_t* order
    Py_ssize_t order_epoch      # the epoch of the current order; -1: none yet
    # the clock
    double slice_end
    double forced_end
    double deadline
    double looked               # when the clock was read last
    Py_ssize_t timed            # records whose seconds are known
    Py_ssize_t clock_every
    Py_ssize_t countdown
    bint few                    # steps by fused_steps.pyx
    # checks and records
    int checks_left             # epochs until every row has been checked
    Py_ssize_t n_records
    Py_ssize_t most_records
    double* columns[N_COLUMNS]  # NULL: not wanted
