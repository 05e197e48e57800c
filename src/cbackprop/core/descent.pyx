"""Training through the epochs: shuffle, mini-batches, update rule, validation, stopping.

The loop runs without the GIL in slices of about 50 ms.  Between two slices Python's signals are
checked, the parameters are published to the network and the caller is told how far it has come.
Where Python has a say in each epoch (a callback, a metric of its own), a slice ends with the epoch.

State.  A ``State`` is a trainer's place in time; with it ``descend`` goes on exactly where the last
call ended, in the middle of an epoch if need be.  The parameters are worked on in a private copy:
the network's own array only ever holds whole steps.

Failure.  A snapshot is kept from the start of each slice or epoch, whichever is longer, and from
the start of the call until its first epoch has read every row.  A NaN or an infinity in the data
brings back the start of the call; a non-finite loss or parameter brings back the last snapshot.
This file knows no solver's formula (rules.pyx, lbfgs.pyx), no gradient (batch.pyx) and no rule of
stopping (watch.pyx).
"""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport INFINITY, NAN, isfinite, sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from cbackprop.core cimport elementwise, few_rows
from cbackprop.core.batch cimport (
    Job,
    copy_parameters,
    gradient_of,
    loss_of,
    training_step,
    unit_loss_of,
    worthwhile_threads,
)
from cbackprop.core.exam cimport OUTPUTS, Exam, Sheet, sit
from cbackprop.core.lbfgs cimport (
    ABANDONED,
    KNOWN,
    MOVED,
    NOT_FINITE,
    lbfgs_step,
    n_numbers,
    n_scratch,
    n_vectors,
    sound,
)
from cbackprop.core.lbfgs cimport LOSS as LBFGS_LOSS
from cbackprop.core.lbfgs cimport NO_DESCENT as LBFGS_NO_DESCENT
from cbackprop.core.lbfgs cimport Function as LbfgsFunction
from cbackprop.core.lbfgs cimport Outcome as LbfgsOutcome
from cbackprop.core.lbfgs cimport Settings as LbfgsSettings
from cbackprop.core.objective cimport Objective
from cbackprop.core.plan cimport Net, Plan
from cbackprop.core.pulse cimport Pulse
from cbackprop.core.rows cimport RowSource, memory_of, read_rows
from cbackprop.core.rules cimport (
    LBFGS,
    Rule,
    RuleSettings,
    add_penalty,
    penalty_of,
    share_penalty,
)
from cbackprop.core.shuffle cimport (
    BLOCK_ROWS,
    WINDOW_BLOCKS,
    permutation,
    window_permutation,
)
from cbackprop.core.team cimport team
from cbackprop.core.types cimport real
from cbackprop.core.vectors cimport dot
from cbackprop.core.watch cimport (
    CALLBACK,
    CONVERGED,
    EARLY_STOPPING,
    EPOCHS,
    N_WATCHED,
    NO_DESCENT,
    NOT_YET,
    SECONDS,
    STEPS,
    TARGET_LOSS,
    Reason,
    Watch,
    WatchSettings,
    judge,
    plateau_rate,
)
from cbackprop.core.workspace cimport Buffers, Workspace, workspace_for

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    MOST_RECORDS = 16_384       # epochs that one slice can record,
    MOST_RATES = 1_024          # and with a schedule
    MOST_STALLED = 100          # evaluations of L-BFGS that bring nothing before it stops

# No loss is accepted above the lowest so far by more than this part of it: the value of Hager and
# Zhang (SIAM J. Optim. 16, 2005).
cdef double LOSS_ROUNDING = 1e-6

cdef double SLICE = 0.04        # seconds; a slice ends with the first epoch after this,
cdef double LONGEST = 0.06      # or in the middle of an epoch after this
cdef double CLOCK_EVERY = 20e-6  # seconds of steps between two looks at the clock

cdef enum Outcome:
    RUNNING
    FINISHED
    INTERRUPTED
    NEEDS_ORDER
    EPOCH_DONE                  # Python's turn
    BAD_ROWS
    BAD_SHEET                   # of validation or test
    DIVERGED
    FAILED                      # an exception from a loss in Python

cdef enum:                      # columns of the record, in the order of COLUMNS
    LOSS
    LEARNING_RATE
    TOOK
    PENALTY
    NORM
    UNIT_LOSS
    VALIDATION_LOSS             # three of each sheet
    VALIDATION_METRIC
    VALIDATION_UNIT_LOSS
    TEST_LOSS
    TEST_METRIC
    TEST_UNIT_LOSS
    N_COLUMNS

COLUMNS = ("loss", "learning_rate", "seconds", "penalty", "gradient_norm", "loss_in_units",
           "validation_loss", "validation_metric", "validation_loss_in_units",
           "test_loss", "test_metric", "test_loss_in_units")

NUMBERS = {name: number for number, name in enumerate(COLUMNS)}

REASONS = {
    EPOCHS: "epochs",
    SECONDS: "seconds",
    TARGET_LOSS: "target_loss",
    EARLY_STOPPING: "early_stopping",
    CALLBACK: "callback",
    CONVERGED: "converged",
    NO_DESCENT: "no_descent",
    STEPS: "steps",
}


cdef class State:
    """Where a trainer stands.

    Attributes
    ----------
    epoch : int
        Whole epochs done.
    position : int
        Rows of the epoch under way that are done; the epoch's own validation may still be missing.
    loss_sum, unit_sum : float
        What their losses sum to, each taken before its step, and the same in the targets' units.
    n_rows, batch_rows : int
        Of the epoch under way.
    kind : str
        Of the rule that the vectors and numbers belong to.
    vectors : ndarray (k, n_parameters) or None
        What the rule remembers, of the network's dtype.
    numbers : ndarray of float64 or None
    watch : ndarray (16,) of float64 or None
        What early stopping and a falling learning rate remember (core/watch.pyx).
    best_parameters : ndarray (n_parameters,) or None
    """
    cdef public Py_ssize_t epoch
    cdef public Py_ssize_t position
    cdef public double loss_sum
    cdef public double unit_sum
    cdef public Py_ssize_t n_rows
    cdef public Py_ssize_t batch_rows
    cdef public str kind
    cdef public object vectors
    cdef public object numbers
    cdef public object watch
    cdef public object best_parameters

    def __cinit__(self):
        self.kind = ""

    def as_dict(self):
        """All of it by name."""
        return {
            "epoch": self.epoch, "position": self.position, "loss_sum": self.loss_sum,
            "unit_sum": self.unit_sum, "n_rows": self.n_rows, "batch_rows": self.batch_rows,
            "kind": self.kind, "vectors": self.vectors, "numbers": self.numbers,
            "watch": self.watch, "best_parameters": self.best_parameters,
        }

    def __reduce__(self):
        return restore_state, (self.as_dict(),)


def restore_state(dict values):
    """The state whose ``as_dict`` is ``values``."""
    cdef State state = State()
    for name, value in values.items():
        setattr(state, name, value)
    return state


ctypedef struct Course:
    Job job
    Rule rule
    Watch watch
    Sheet* sheets[2]            # validation and test, or NULL
    Py_ssize_t n_rows           # of an epoch
    Py_ssize_t batch_rows
    Py_ssize_t n_out
    bint in_python              # every epoch's end is Python's too
    bint wants_norm             # of the whole gradient, after each epoch
    double unit                 # every column's unit, where one number is; else 0
    double rate                 # the learning rate where it is constant
    double* rates               # of the slice's epochs, or NULL
    char* best                  # (n_parameters,) the best parameters so far, or NULL
    # the place in time
    Py_ssize_t epoch
    Py_ssize_t position
    double loss_sum
    double unit_sum
    Py_ssize_t last_epoch
    Py_ssize_t steps_left       # negative: without limit
    Reason reason
    # L-BFGS
    LbfgsSettings lbfgs
    char* W                     # (n_parameters,) the point, while others are evaluated
    char* scratch
    bint recognised             # loss and gradient in the state are of these rows
    Outcome refused             # why an evaluation was given up
    # a loss in Python
    void* descent               # the owner; NULL where the loss is the core's
    const Buffers* forward      # of a forward pass
    char* Y                     # (batch_rows, n_out) of the network's dtype
    char* Y_hat
    char* dL_dY_hat
    # shuffling
    bint shuffled
    bint supplied
    bint window
    uint64_t seed
    const int64_t* subset       # which rows an epoch visits; NULL: all
    int64_t* order
    Py_ssize_t order_epoch      # whose order it is; -1: none yet
    # the clock
    double slice_end
    double forced_end
    double deadline
    double looked               # at the clock, last
    Py_ssize_t timed            # the records that have their seconds
    Py_ssize_t clock_every
    Py_ssize_t countdown
    bint few                    # steps by few_rows.pyx
    # what it has seen
    int checks_left             # epochs until every row has been checked
    Py_ssize_t n_records
    Py_ssize_t most_records
    double* columns[N_COLUMNS]  # NULL: not wanted


cdef inline double look(Course* c) noexcept nogil:
    """The time.  The epochs that ended since the last look share what has passed."""
    cdef double now = team.clock()
    cdef double each
    if c.timed < c.n_records:
        each = (now - c.looked) / (c.n_records - c.timed)
        while c.timed < c.n_records:
            c.columns[TOOK][c.timed] += each
            c.timed += 1
    elif c.n_records < c.most_records:
        c.columns[TOOK][c.n_records] += now - c.looked
    c.looked = now
    return now


cdef double rate_of(const Course* c) noexcept nogil:
    """The learning rate of the epoch under way."""
    return plateau_rate(&c.watch, c.rate if c.rates == NULL else c.rates[c.n_records])


cdef Outcome find_order(Course* c) noexcept nogil:
    """The order of the epoch's rows; NEEDS_ORDER where the caller supplies it."""
    cdef Py_ssize_t i
    if not c.shuffled or c.order_epoch == c.epoch:
        return RUNNING
    if c.supplied:
        return NEEDS_ORDER
    if c.window:
        window_permutation(c.seed, <uint64_t>c.epoch, c.n_rows, BLOCK_ROWS, WINDOW_BLOCKS,
                           c.order)
    else:
        permutation(c.seed, <uint64_t>c.epoch, c.n_rows, c.order)
    if c.subset != NULL:
        for i in range(c.n_rows):
            c.order[i] = c.subset[c.order[i]]
    c.order_epoch = c.epoch
    return RUNNING


cdef Outcome run_slice(Course* c, real* parameters) noexcept nogil:
    """Steps until the slice, the epochs or the records end, or something is wrong.

    A step that is left in its middle is discarded whole: parameters, state and place in time are
    those of the last whole step.
    """
    cdef Py_ssize_t rows, steps
    cdef double now
    cdef Outcome outcome
    # An epoch that did not fit into one slice ends its last one: the next begins with a snapshot.
    cdef bint due = c.position > 0
    while c.epoch < c.last_epoch and c.n_records < c.most_records:
        outcome = find_order(c)
        if outcome != RUNNING:
            return outcome
        c.rule.learning_rate = rate_of(c)
        while c.position < c.n_rows:
            if c.steps_left == 0:
                c.reason = STEPS
                return FINISHED
            rows = min(c.batch_rows, c.n_rows - c.position)
            if c.few:
                steps = min(c.countdown, (c.n_rows - c.position) // rows)
                if 0 < c.steps_left < steps:
                    steps = c.steps_left
                steps = few_rows.training_steps(&c.job, c.position, rows, steps, &c.rule,
                                                parameters, &c.loss_sum)
                if c.job.bad:
                    return BAD_ROWS
            else:
                steps = 1
                outcome = one_step(c, rows, parameters)
                if outcome != RUNNING:
                    return outcome
            c.position += steps * rows
            c.steps_left -= steps
            if not isfinite(c.loss_sum):
                return DIVERGED
            c.countdown -= steps
            if c.countdown <= 0:
                c.countdown = c.clock_every
                now = look(c)
                due = due or now >= c.slice_end
                if now >= c.deadline:
                    c.reason = SECONDS
                    if c.position < c.n_rows:
                        return FINISHED
                if now >= c.forced_end and c.position < c.n_rows:
                    return RUNNING
        outcome = end_epoch(c, parameters)
        if outcome != RUNNING:
            return outcome
        if c.reason != NOT_YET:
            return FINISHED
        if due:
            return RUNNING
    if c.epoch >= c.last_epoch:
        c.reason = EPOCHS
        return FINISHED
    return RUNNING


cdef Outcome one_step(Course* c, Py_ssize_t rows, real* parameters) noexcept nogil:
    """One step of the rule on the next ``rows`` rows, its loss added to the epoch's."""
    cdef double total
    cdef double penalty = 0.0
    cdef Outcome outcome
    if c.rule.kind == LBFGS:
        return lbfgs_iteration(c, parameters)
    if c.rule.shared_l2 != 0:
        # A penalty that belongs to the batch is part of the batch's loss.
        share_penalty(&c.rule, rows)
        penalty = rows * penalty_of(&c.rule, c.job.net, <const real*>parameters)
    if c.descent != NULL:
        outcome = ask_python(c, rows, <const real*>parameters, &total)
        if outcome != RUNNING:
            return outcome
        training_step(&c.job, c.position, rows, &c.rule, parameters)
    else:
        total = training_step(&c.job, c.position, rows, &c.rule, parameters)
    if c.job.bad:
        return BAD_ROWS
    if c.job.beat.stop:
        return INTERRUPTED
    c.loss_sum += total + penalty / c.job.goal.factor
    if c.job.goal.units != NULL:
        c.unit_sum += unit_loss_of(&c.job, rows)
    return RUNNING


cdef Outcome ask_python(Course* c, Py_ssize_t rows, const real* parameters,
                        double* total) noexcept nogil:
    """Y_hat of the batch, the loss in Python, and its derivative as the job's ``given``."""
    cdef Job forward = c.job
    cdef int* bad = &c.job.bad if c.job.check else NULL
    cdef const real* Y
    forward.to = c.forward
    forward.Y, forward.given, forward.weight, forward.out = NULL, NULL, NULL, c.Y_hat
    loss_of(&forward, c.position, rows, parameters)
    Y = read_rows(c.job.Y, c.job.order, c.position, rows, <real*>c.Y, bad)
    if Y != <const real*>c.Y:
        memcpy(c.Y, Y, rows * c.n_out * sizeof(real))
    if forward.bad or c.job.bad:
        c.job.bad = 1
        return BAD_ROWS
    if c.job.beat.stop:
        return INTERRUPTED
    if not call_python(c, rows, total):
        return FAILED
    c.job.given = c.dL_dY_hat
    return RUNNING


cdef bint call_python(Course* c, Py_ssize_t rows, double* total) noexcept with gil:
    cdef Descent run = <Descent>c.descent
    cdef Py_ssize_t n_bytes = rows * c.n_out * c.job.net.itemsize
    try:
        loss, dL_dY_hat = run.custom(run.custom_Y[:rows].copy(), run.custom_Y_hat[:rows].copy())
        total[0] = <double>loss * rows
        memcpy(c.dL_dY_hat, memory_of(dL_dY_hat, "dL_dY_hat", n_bytes, False), n_bytes)
    except BaseException as error:
        run.custom_error = error
        return False
    return True


# --- L-BFGS: an epoch is an iteration -------------------------------------------------------------

cdef double evaluate(Course* c, const real* W, real* gradient, int* abandoned) noexcept nogil:
    """Loss and gradient at W, the penalty's included.

    The job reads its parameters where the workspace has them, so W goes there.
    """
    cdef Py_ssize_t n = c.n_rows
    cdef double total
    memcpy(c.job.to.parameters, W, c.job.net.n_parameters * sizeof(real))
    if c.descent != NULL:
        c.refused = ask_python(c, n, W, &total)
        if c.refused == RUNNING:
            gradient_of(&c.job, 0, n, 1.0, gradient)
    else:
        c.refused = RUNNING
        total = gradient_of(&c.job, 0, n, 1.0 / n, gradient)
    if c.refused == RUNNING:
        c.refused = BAD_ROWS if c.job.bad else INTERRUPTED if c.job.beat.stop else RUNNING
    if c.refused != RUNNING:
        abandoned[0] = 1
        return 0.0
    add_penalty(&c.rule, c.job.net, W, gradient)
    return c.job.goal.factor * total / n + penalty_of(&c.rule, c.job.net, W)


cdef double evaluate_f64(void* context, const double* W, double* gradient,
                         int* abandoned) noexcept nogil:
    return evaluate(<Course*>context, W, gradient, abandoned)


cdef double evaluate_f32(void* context, const float* W, float* gradient,
                         int* abandoned) noexcept nogil:
    return evaluate(<Course*>context, W, gradient, abandoned)


cdef Outcome lbfgs_iteration(Course* c, real* parameters) noexcept nogil:
    """One iteration on all rows.  The epoch's loss is that of the point it has reached."""
    cdef:
        Py_ssize_t P = c.job.net.n_parameters
        double* numbers = c.rule.numbers
        real* W = <real*>c.W
        const real* gradient = <const real*>c.rule.vectors + 2 * c.lbfgs.memory * P
        LbfgsFunction function
        LbfgsOutcome outcome
        double loss
        int abandoned = 0
    function.context = <void*>c
    function.f64, function.f32 = evaluate_f64, evaluate_f32
    memcpy(W, parameters, P * sizeof(real))
    if not c.recognised and numbers[KNOWN] != 0:
        # Another call's rows or parameters: then the loss is another.
        loss = evaluate(c, <const real*>W, <real*>c.job.to.gradient, &abandoned)
        if abandoned:
            return c.refused
        if loss != numbers[LBFGS_LOSS]:
            numbers[KNOWN] = 0
    c.recognised = True
    outcome = lbfgs_step(&c.lbfgs, &function, W, <real*>c.rule.vectors, numbers,
                         <real*>c.scratch, P)
    memcpy(parameters, W, P * sizeof(real))
    if outcome == ABANDONED:
        return c.refused
    if outcome == NOT_FINITE:
        return DIVERGED
    if outcome != MOVED:
        c.reason = NO_DESCENT if outcome == LBFGS_NO_DESCENT else CONVERGED
    if c.job.goal.units != NULL:
        gradient_of(&c.job, 0, c.n_rows, 1.0 / c.n_rows, <real*>c.job.to.gradient)
        if c.job.beat.stop:
            return INTERRUPTED
        c.unit_sum = unit_loss_of(&c.job, c.n_rows)
    c.loss_sum = ((numbers[LBFGS_LOSS] - penalty_of(&c.rule, c.job.net, <const real*>W))
                  * c.n_rows / c.job.goal.factor)
    c.job.norm = sqrt(dot(gradient, gradient, P))
    return RUNNING


cdef double whole_norm(Course* c, const real* parameters) noexcept nogil:
    """The norm of the gradient over all of the epoch's rows, with the penalty's."""
    cdef real* gradient = <real*>c.job.to.gradient
    gradient_of(&c.job, 0, c.n_rows, 1.0 / c.n_rows, gradient)
    share_penalty(&c.rule, c.n_rows)
    add_penalty(&c.rule, c.job.net, parameters, gradient)
    return sqrt(dot(<const real*>gradient, <const real*>gradient, c.job.net.n_parameters))


cdef Outcome end_epoch(Course* c, real* parameters) noexcept nogil:
    """The epoch's end: validation, the record, and whether to go on."""
    cdef:
        Py_ssize_t at = c.n_records
        Sheet* sheet
        double norm = c.job.norm
        double** column
        int i
    if not elementwise.all_finite(<const real*>parameters, c.job.net.n_parameters):
        return DIVERGED
    if c.wants_norm:
        norm = whole_norm(c, <const real*>parameters)
        if c.job.beat.stop:
            return INTERRUPTED
    for i in range(2):
        sheet = c.sheets[i]
        if sheet != NULL:
            sit(sheet, <const real*>parameters)
            if sheet.job.bad:
                return BAD_SHEET
            if sheet.job.beat.stop:
                return INTERRUPTED
            column = &c.columns[VALIDATION_LOSS + 3 * i]
            column[0][at] = sheet.loss
            if column[1] != NULL:
                column[1][at] = NAN if sheet.metric == OUTPUTS else sheet.value
            if column[2] != NULL:
                column[2][at] = sheet.unit_loss if c.unit == 0 else sheet.loss * c.unit
    c.columns[LOSS][at] = c.job.goal.factor * c.loss_sum / c.n_rows
    c.columns[LEARNING_RATE][at] = c.rule.learning_rate
    if c.columns[PENALTY] != NULL:
        c.columns[PENALTY][at] = penalty_of(&c.rule, c.job.net, <const real*>parameters)
    if c.columns[NORM] != NULL:
        c.columns[NORM][at] = norm
    if c.columns[UNIT_LOSS] != NULL:
        c.columns[UNIT_LOSS][at] = (c.unit_sum / c.n_rows if c.unit == 0
                                    else c.columns[LOSS][at] * c.unit)
    c.n_records += 1
    if c.n_records < c.most_records:
        c.columns[TOOK][c.n_records] = 0.0
    if c.position > c.batch_rows * c.clock_every or c.deadline < INFINITY or c.in_python:
        if look(c) >= c.deadline:
            c.reason = SECONDS
    c.epoch += 1
    c.position = 0
    c.loss_sum = c.unit_sum = 0.0
    if c.checks_left > 0:
        c.checks_left -= 1
        c.job.check = c.checks_left > 0
    if c.in_python:
        return EPOCH_DONE
    judge_epoch(c, parameters)
    return RUNNING


cdef void judge_epoch(Course* c, const real* parameters) noexcept nogil:
    """The stopping rules on the epoch that was recorded last."""
    cdef Py_ssize_t at = c.n_records - 1
    cdef int monitored = c.watch.monitored
    cdef Reason reason
    if c.watch.numbers == NULL:
        return
    reason = judge(&c.watch, c.epoch - 1, c.columns[LOSS][at],
                   c.columns[monitored][at] if monitored >= 0 else 0.0,
                   c.rule.learning_rate, c.job.net.n_parameters, parameters, <real*>c.best)
    if reason != NOT_YET:
        c.reason = reason


cdef class Descent:
    """One call's loop with everything it borrows."""
    cdef Course course
    cdef Plan plan
    cdef State state
    cdef Objective objective
    cdef object parameters              # the network's own, written between slices,
    cdef char* published                # and where they stand
    cdef RowSource X
    cdef RowSource Y
    cdef RowSource weight
    cdef object subset
    cdef tuple exams
    cdef object schedule
    cdef Workspace space
    cdef Pulse pulse
    cdef char* memory
    cdef object custom
    cdef object custom_Y
    cdef object custom_Y_hat
    cdef object custom_dL_dY_hat
    cdef object custom_error
    cdef Workspace custom_space
    # the snapshot: as much as ``restorable`` names, in its order
    cdef char* kept
    cdef list restorable                # (address, bytes)
    cdef Py_ssize_t kept_epoch
    cdef Py_ssize_t kept_position
    cdef double kept_loss_sum
    cdef double kept_unit_sum
    cdef Py_ssize_t kept_records        # epochs recorded by this call when it was taken
    cdef Py_ssize_t recorded
    cdef tuple place                    # the state's position as the call found it

    def __cinit__(self, Plan plan not None, State state not None, parameters, X, Y,
                  dict settings not None, tuple columns not None):
        cdef Course* c = &self.course
        cdef Net* net = &plan.net
        cdef Py_ssize_t parameter_bytes = net.n_parameters * net.itemsize
        cdef Py_ssize_t i, most_rows
        cdef int threads
        cdef double step_seconds
        cdef Exam exam
        cdef const int64_t[::1] of_rows
        cdef Objective objective = settings["objective"]
        cdef RuleSettings rule = settings["rule"]
        cdef WatchSettings watch = settings["watch"]
        cdef tuple exams = settings["exams"]
        cdef Py_ssize_t batch_rows = settings["batch_rows"]
        cdef Py_ssize_t epochs = settings["epochs"]
        cdef int most_threads = settings["most_threads"]
        weight, subset = settings["weight"], settings["subset"]
        order, rate, custom = settings["order"], settings["rate"], settings["custom"]
        scaling, target_scaling = settings["scaling"], settings["target_scaling"]
        if objective is None or rule is None:
            raise TypeError("objective and rule are needed")
        shift, scale = (None, None) if scaling is None else scaling
        self.plan, self.state, self.parameters = plan, state, parameters
        self.objective, self.exams, self.custom = objective, exams, custom
        objective.fit_to(net)
        self.X = RowSource(X, net.itemsize, shift, scale)
        shift, scale = (None, None) if target_scaling is None else target_scaling
        self.Y = RowSource(Y, net.itemsize, shift, scale)
        c.n_rows, c.batch_rows = self.X.rows.n_rows, batch_rows
        c.n_out = net.layers[net.n_layers - 1].n_out
        if (self.Y.rows.n_rows != c.n_rows or self.X.rows.n_columns != net.layers[0].n_in
                or self.Y.rows.n_columns != c.n_out):
            raise ValueError("X and Y have the same rows, and the network's columns")
        if weight is not None:
            self.weight = RowSource(weight.reshape(-1, 1), net.itemsize)
            if self.weight.rows.n_rows != c.n_rows:
                raise ValueError("one weight for each row")
            c.job.weight = &self.weight.rows
        if subset is not None:
            self.subset = of_rows = subset
            for i in range(of_rows.shape[0]):
                if not 0 <= of_rows[i] < c.n_rows:
                    raise ValueError("subset holds row numbers")
            c.n_rows = of_rows.shape[0]
            c.subset = c.job.order = &of_rows[0] if c.n_rows > 0 else NULL
        if c.n_rows < 1 or batch_rows < 1 or epochs < 0:
            raise ValueError("at least one row and one in a batch, and no fewer than 0 epochs")
        batch_rows = min(batch_rows, c.n_rows)

        c.rule = rule.rule
        c.rule.n_parameters = net.n_parameters
        self.published = memory_of(parameters, "parameters", parameter_bytes, True)
        self.restorable = []
        if state.vectors is not None:
            c.rule.vectors = self.borrow(state.vectors, "vectors", state.vectors.nbytes)
        if state.numbers is not None:
            c.rule.numbers = <double*>self.borrow(state.numbers, "numbers", state.numbers.nbytes)
        if watch is not None:
            c.watch = watch.watch
            c.watch.numbers = <double*>self.borrow(state.watch, "watch",
                                                   N_WATCHED * sizeof(double))
            if c.watch.keep_best:
                c.best = self.borrow(state.best_parameters, "best_parameters", parameter_bytes)
        else:
            c.watch.plateau_patience = -1.0
        if c.rule.kind == LBFGS:
            self.read_lbfgs(rule.options)
        c.in_python, c.unit = settings["in_python"], settings["unit"]
        c.wants_norm = "gradient_norm" in columns and c.batch_rows < c.n_rows
        if c.wants_norm and custom is not None:
            raise ValueError("dL/dY_hat is given for a batch, not for the whole gradient")
        if "gradient_norm" in columns and not c.wants_norm:
            c.rule.whole = True
        c.deadline = team.clock() + <double>settings["max_seconds"]

        # A whole batch is read in place: its sum does not gain from another order.
        c.shuffled = order is not None and batch_rows < c.n_rows
        c.supplied = c.shuffled and not isinstance(order, int)
        c.window = settings["window"]
        c.order_epoch = -1
        if c.shuffled:
            if c.n_rows >= <Py_ssize_t>0xFFFFFFFF:
                raise ValueError("no more than 2^32 - 2 rows can be shuffled")
            if not c.supplied:
                c.seed = order

        # A place in the middle of an epoch counts only for the same rows and batches.
        self.place = (state.position, state.loss_sum, state.unit_sum, state.n_rows,
                      state.batch_rows)
        c.epoch = state.epoch
        if state.n_rows == c.n_rows and state.batch_rows == c.batch_rows:
            c.position, c.loss_sum, c.unit_sum = state.position, state.loss_sum, state.unit_sum
        c.last_epoch = c.epoch + min(epochs, PY_SSIZE_T_MAX - c.epoch)
        c.steps_left = settings["steps"]
        c.checks_left = 1 if c.position == 0 else 2

        threads = worthwhile_threads(net, batch_rows, most_threads)
        for exam in exams:
            if exam is not None:
                threads = max(threads, worthwhile_threads(net, exam.sheet.n_rows, most_threads))
        most_rows = c.n_rows if c.wants_norm else batch_rows
        self.space = workspace_for(net, most_rows, threads, True)
        self.pulse = Pulse()
        c.job.net, c.job.goal = net, &objective.goal
        c.job.to = &self.space.buffers
        c.job.X, c.job.Y = &self.X.rows, &self.Y.rows
        c.job.beat = &self.pulse.beat
        c.job.check = True
        c.job.active = threads
        c.job.norm = NAN
        for i in range(2):
            exam = exams[i]
            if exam is not None:
                if exam.plan is not plan or exam.objective is not objective:
                    raise ValueError("an exam is of the same plan and objective")
                exam.prepare(threads, self.space.buffers.parameters)
                c.sheets[i] = &exam.sheet
                exam.sheet.job.beat = &self.pulse.beat
                exam.sheet.job.active = threads
        if custom is not None:
            self.custom_Y = np.empty((batch_rows, c.n_out), plan.dtype)
            self.custom_Y_hat = np.empty((batch_rows, c.n_out), plan.dtype)
            self.custom_dL_dY_hat = np.empty((batch_rows, c.n_out), plan.dtype)
            c.Y = memory_of(self.custom_Y, "Y", self.custom_Y.nbytes, True)
            c.Y_hat = memory_of(self.custom_Y_hat, "Y_hat", self.custom_Y.nbytes, True)
            c.dL_dY_hat = memory_of(self.custom_dL_dY_hat, "dL_dY_hat", self.custom_Y.nbytes, True)
            c.descent = <void*>self
            # A gradient by tiles has other buffers than a forward pass.
            self.custom_space = workspace_for(net, batch_rows, threads, False)
            self.custom_space.buffers.parameters = self.space.buffers.parameters
            c.forward = &self.custom_space.buffers

        step_seconds = 0.2e-6 + net.flops_per_row * batch_rows / 20e9
        c.few = few_rows.takes(&c.job, &c.rule, batch_rows)
        c.clock_every = max(<Py_ssize_t>1, min(<Py_ssize_t>256, <Py_ssize_t>(
            (10 if c.few else 1) * CLOCK_EVERY / step_seconds)))
        c.countdown = c.clock_every
        if callable(rate):
            self.schedule = rate
        else:
            c.rate = rate
        self.take_memory(parameter_bytes, epochs, columns)
        copy_parameters(plan, parameters, self.space.buffers.parameters)
        self.keep()
        if threads > 1:
            c.job.team = team.start(threads)
            if c.job.team == NULL:
                raise MemoryError("no memory for a team of threads")
            for i in range(2):
                if c.sheets[i] != NULL:
                    c.sheets[i].job.team = c.job.team

    cdef char* borrow(self, array, str name, Py_ssize_t n_bytes) except? NULL:
        """The memory of an array of the state, which the snapshot takes in."""
        cdef char* memory = memory_of(array, name, n_bytes, True)
        self.restorable.append((<size_t>memory, n_bytes))
        return memory

    cdef int read_lbfgs(self, dict options) except -1:
        """Its settings, and a state that fits them."""
        cdef LbfgsSettings* to = &self.course.lbfgs
        to.memory, to.max_line_search = options["memory"], options["max_line_search"]
        to.max_stalled = MOST_STALLED
        to.gradient_tolerance = options["gradient_tolerance"]
        to.loss_tolerance = options["loss_tolerance"]
        to.step_tolerance = options["step_tolerance"]
        to.sufficient_decrease = options["sufficient_decrease"]
        to.curvature = options["curvature"]
        to.loss_rounding = LOSS_ROUNDING
        if (len(self.state.vectors) != n_vectors(to.memory)
                or len(self.state.numbers) != n_numbers(to.memory)
                or not sound(self.course.rule.numbers, to.memory)):
            raise ValueError("the state is not one of L-BFGS with this memory")
        return 0

    cdef int take_memory(self, Py_ssize_t parameter_bytes, Py_ssize_t epochs, columns) except -1:
        """One slab: the order of the rows, the records of a slice, its rates, the snapshot."""
        cdef Course* c = &self.course
        cdef Py_ssize_t order_bytes = (
            (c.n_rows * sizeof(int64_t) + 63) // 64 * 64 if c.shuffled else 0)
        cdef Py_ssize_t kept_bytes = parameter_bytes
        cdef Py_ssize_t scratch_bytes = (
            (1 + n_scratch()) * parameter_bytes if c.rule.kind == LBFGS else 0)
        cdef Py_ssize_t record_bytes
        cdef char* at
        for _, size in self.restorable:
            kept_bytes += <Py_ssize_t>size
        c.most_records = max(<Py_ssize_t>1, min(
            epochs, <Py_ssize_t>(MOST_RECORDS if self.schedule is None else MOST_RATES)))
        if c.in_python:
            c.most_records = 1
        record_bytes = c.most_records * sizeof(double)
        self.memory = <char*>PyMem_RawMalloc(
            order_bytes + (len(columns) + 1) * record_bytes + scratch_bytes + kept_bytes)
        if self.memory == NULL:
            raise MemoryError("no memory for the order of the rows and a snapshot")
        at = self.memory
        if c.shuffled:
            c.order = <int64_t*>at
            c.job.order = c.order
        at += order_bytes
        for name in columns:
            c.columns[<int>NUMBERS[name]] = <double*>at
            at += record_bytes
        if self.schedule is not None:
            c.rates = <double*>at
        at += record_bytes
        c.columns[TOOK][0] = 0.0
        c.W, c.scratch = at, at + parameter_bytes
        self.kept = at + scratch_bytes
        return 0

    def __dealloc__(self):
        if self.course.job.team != NULL:
            team.stop(self.course.job.team)
        PyMem_RawFree(self.memory)

    cdef int copy_all(self, bint back) except -1:
        """Parameters and what the rule and the watch remember: into the snapshot, or back."""
        cdef Py_ssize_t n_bytes = self.plan.net.n_parameters * self.plan.net.itemsize
        cdef char* at = self.kept
        cdef char* live = self.space.buffers.parameters
        cdef size_t address
        memcpy(live if back else at, at if back else live, n_bytes)
        for address, n_bytes_of in self.restorable:
            at += n_bytes
            n_bytes = n_bytes_of
            live = <char*>address
            memcpy(live if back else at, at if back else live, n_bytes)
        return 0

    cdef int keep(self) except -1:
        """Take the snapshot."""
        self.copy_all(False)
        self.kept_epoch = self.course.epoch
        self.kept_position = self.course.position
        self.kept_loss_sum = self.course.loss_sum
        self.kept_unit_sum = self.course.unit_sum
        self.kept_records = self.recorded
        return 0

    cdef int roll_back(self) except -1:
        """Bring the snapshot back."""
        self.copy_all(True)
        self.course.epoch = self.kept_epoch
        self.course.position = self.kept_position
        self.course.loss_sum = self.kept_loss_sum
        self.course.unit_sum = self.kept_unit_sum
        self.course.n_records = 0
        return 0

    cdef int publish(self) except -1:
        """The last whole step becomes the network's and the trainer's."""
        cdef Course* c = &self.course
        with cython.critical_section(self.parameters):
            memcpy(self.published, self.space.buffers.parameters,
                   self.plan.net.n_parameters * self.plan.net.itemsize)
        self.state.epoch, self.state.position = c.epoch, c.position
        self.state.loss_sum, self.state.unit_sum = c.loss_sum, c.unit_sum
        self.state.n_rows, self.state.batch_rows = c.n_rows, c.batch_rows
        return 0

    cdef void never_called(self):
        """The state's place is again what the call found; parameters are rolled back already."""
        cdef State state = self.state
        (state.position, state.loss_sum, state.unit_sum, state.n_rows,
         state.batch_rows) = self.place

    cdef int record(self, dict records) except -1:
        """Hand the slice's epochs on to the caller's arrays."""
        cdef Course* c = &self.course
        cdef Py_ssize_t n_bytes = c.n_records * sizeof(double)
        # The epoch under way has its seconds so far behind the whole ones'.
        cdef double under_way = 0.0
        if c.n_records < c.most_records:
            under_way = c.columns[TOOK][c.n_records]
        for i in range(N_COLUMNS):
            if c.columns[i] != NULL:
                records[COLUMNS[i]].frombytes((<char*>c.columns[i])[:n_bytes])
        c.columns[TOOK][0] = under_way
        self.recorded += c.n_records
        c.n_records = c.timed = 0
        return 0

    cdef int take_order(self, order) except -1:
        """The order that the caller supplies for the epoch to come: a checked permutation."""
        cdef Course* c = &self.course
        cdef const int64_t[::1] of_rows = order(c.epoch)
        if of_rows.shape[0] != c.n_rows:
            raise ValueError("a supplied order has one number for each row")
        for i in range(of_rows.shape[0]):
            if not 0 <= of_rows[i] < c.n_rows:
                raise ValueError("a supplied order holds row numbers")
            c.order[i] = of_rows[i] if c.subset == NULL else c.subset[of_rows[i]]
        c.order_epoch = c.epoch
        return 0

    cdef int take_rates(self) except -1:
        """The scheduled rates of the epochs that the slice may make."""
        cdef Course* c = &self.course
        cdef Py_ssize_t n = min(c.most_records, c.last_epoch - c.epoch)
        rates = np.ascontiguousarray(self.schedule(np.arange(c.epoch, c.epoch + n)),
                                     dtype=np.float64)
        memcpy(c.rates, memory_of(rates, "rates", n * sizeof(double), False), n * sizeof(double))
        return 0

    cdef Outcome slice(self) except? DIVERGED:
        cdef Course* c = &self.course
        cdef Outcome outcome
        cdef double now
        if c.rates != NULL:
            self.take_rates()
        now = team.clock()
        c.slice_end, c.forced_end = now + SLICE, now + LONGEST
        c.looked = now
        self.pulse.beat.due = now + LONGEST
        with nogil:
            if c.job.net.itemsize == 8:
                outcome = run_slice(c, <double*>c.job.to.parameters)
            else:
                outcome = run_slice(c, <float*>c.job.to.parameters)
            look(c)
        return outcome

    cdef int hear(self, hook) except -1:
        """Python's part of an epoch's end: its own values first, then the stopping rules."""
        cdef Course* c = &self.course
        cdef Py_ssize_t at = c.n_records - 1
        values = {COLUMNS[i]: c.columns[i][at] for i in range(N_COLUMNS) if c.columns[i] != NULL}
        for name, value in hook.measure(c.epoch - 1, values).items():
            c.columns[<int>NUMBERS[name]][at] = value
        if c.job.net.itemsize == 8:
            judge_epoch(c, <const double*>c.job.to.parameters)
        else:
            judge_epoch(c, <const float*>c.job.to.parameters)
        return 0

    cdef int restore_best(self) except -1:
        """The parameters of the best epoch become the network's."""
        cdef Py_ssize_t n_bytes = self.plan.net.n_parameters * self.plan.net.itemsize
        if self.course.best != NULL and self.course.watch.numbers[0] != 0:
            memcpy(self.space.buffers.parameters, self.course.best, n_bytes)
            self.publish()
        return 0


def worth_a_team(Plan plan, Py_ssize_t rows):
    """Whether a batch of ``rows`` rows repays more than one thread."""
    return worthwhile_threads(&plan.net, rows, 2) > 1


def descend(Plan plan, State state, parameters, X, Y, dict settings, *, dict records, threads_now,
            hook=None, on_slice=None):
    """Train for ``epochs`` epochs, the rest of one under way counted as the first.

    Parameters
    ----------
    parameters : ndarray (P,)
        The network's own; written between slices, always to a whole step.
    X, Y : arrays
        As ``RowSource`` takes them; shapes are checked here, finiteness while they are first read.
    settings : dict
        All of these, whose parsing as arguments a short fit would notice.
        objective, rule : Objective, RuleSettings
        rate : float or callable
            Or the rates of an array of epochs.
        weight : ndarray (N,) or None
            Of the network's dtype, with mean 1.
        subset : ndarray of int64 or None
            The rows of an epoch.
        exams : tuple of two
            Validation and test: an Exam or None.
        watch : WatchSettings or None
        unit : float
            The one factor to the targets' units, or 0.
        order : None, int or callable
            Rows in order; a seed, whose permutation of each epoch is used; or ``order(epoch)``.
        window : bool
            Shuffle within windows.
        batch_rows, epochs, steps, max_seconds, most_threads
            Rows of a mini-batch, and limits; steps negative: none.
        scaling, target_scaling : pair (shift, scale) or None
        custom : callable or None
            The loss in Python, ``custom(Y, Y_hat)``.
        in_python : bool
            Whether Python has a say in each epoch.
    records : dict of array.array("d")
        The wanted columns, among ``COLUMNS``; appended to, one number an epoch.
    threads_now : callable
        How many threads may be used; asked before each slice where there is a team.
    hook : object, optional
        ``hook.measure(epoch, values)`` returns values that Python computes, as a dict, and
        ``hook.tell(epoch)`` whether to stop, after each epoch; needs ``in_python``.
    on_slice : callable, optional
        ``on_slice(epochs_recorded, last)`` after each slice; what it raises ends the training at a
        whole step.
    Returns
    -------
    tuple
        ("stopped", why), or what went wrong: ("rows",) or ("validation rows",) or ("test rows",),
        a NaN or an infinity: everything is as it was before the call; ("diverged", epoch, step,
        learning rate), both counted from 0: the snapshot is back.
    """
    cdef Descent run = Descent(plan, state, parameters, X, Y, settings, tuple(records))
    cdef Course* c = &run.course
    cdef Outcome outcome = RUNNING
    cdef Py_ssize_t batches_done
    cdef Py_ssize_t given = len(records["loss"])
    cdef int i
    cdef int active
    cdef int most_threads = settings["most_threads"]
    failure = None
    try:
        while outcome in (RUNNING, NEEDS_ORDER, EPOCH_DONE):
            if outcome == NEEDS_ORDER:
                run.take_order(settings["order"])
            if c.job.team != NULL:
                active = max(1, min(most_threads, threads_now()))
                c.job.active = active
                for i in range(2):
                    if c.sheets[i] != NULL:
                        c.sheets[i].job.active = active
            outcome = run.slice()
            if outcome == DIVERGED:
                # A step fails the loss, an epoch's end the parameters: either way the last one
                # done.
                batches_done = (c.position + c.batch_rows - 1) // c.batch_rows
                failure = ("diverged", c.epoch, max(batches_done - 1, 0), c.rule.learning_rate)
            elif outcome == BAD_ROWS:
                failure = ("rows",)
            elif outcome == BAD_SHEET:
                failure = ("validation rows" if c.sheets[0] != NULL and c.sheets[0].job.bad
                           else "test rows",)
            if failure is not None:
                run.roll_back()
                run.publish()
                if outcome != DIVERGED:
                    run.never_called()
                for column in records.values():
                    del column[given + run.kept_records:]
                break
            run.publish()
            if outcome == EPOCH_DONE:
                run.hear(hook)
            run.record(records)
            if outcome == EPOCH_DONE and hook.tell(c.epoch - 1):
                c.reason = CALLBACK
            if c.position == 0 and c.checks_left == 0:
                run.keep()
            if outcome == INTERRUPTED:
                run.pulse.reraise()
            if outcome == FAILED:
                error, run.custom_error = run.custom_error, None
                raise error
            PyErr_CheckSignals()
            if on_slice is not None:
                on_slice(run.recorded, c.reason != NOT_YET)
            if c.reason != NOT_YET:
                outcome = FINISHED
            elif outcome == EPOCH_DONE and c.epoch >= c.last_epoch:
                outcome, c.reason = FINISHED, EPOCHS
        if failure is None:
            run.restore_best()
    finally:
        with nogil:
            if c.job.team != NULL:
                team.stop(c.job.team)
        c.job.team = NULL
    return failure if failure is not None else ("stopped", REASONS[c.reason])
