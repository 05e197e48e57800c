"""Gradient descent through the epochs: shuffle, mini-batches, update rule, validation.

The loop runs without the GIL in slices of about 50 ms.  Between two slices Python's signals are
checked, the parameters are published to the network and the caller is told how far it has come.

State.  A ``State`` is a trainer's place in time; with it ``descend`` goes on exactly where the last
call ended, in the middle of an epoch if need be.  The parameters are worked on in a private copy:
the network's own array only ever holds whole steps.

Failure.  A snapshot is kept from the start of each slice or epoch, whichever is longer, and from
the start of the call until its first epoch has read every row.  A NaN or an infinity in the data
brings back the start of the call; a non-finite loss or parameter brings back the last snapshot.
This file knows no solver's formula (rules.pyx) and no gradient (batch.pyx).
"""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from cbackprop.core cimport elementwise, few_rows
from cbackprop.core.batch cimport (
    Job,
    copy_parameters,
    squares_of,
    training_step,
    worthwhile_threads,
)
from cbackprop.core.plan cimport Net, Plan
from cbackprop.core.pulse cimport Pulse
from cbackprop.core.rows cimport RowSource, memory_of
from cbackprop.core.rules cimport MOMENTUM, NESTEROV, SGD, Rule
from cbackprop.core.shuffle cimport permutation
from cbackprop.core.team cimport team
from cbackprop.core.types cimport real
from cbackprop.core.workspace cimport Workspace, workspace_for

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    MOST_RECORDS = 16_384       # epochs whose losses one slice can hold

cdef double SLICE = 0.04        # seconds; a slice ends with the first epoch after this,
cdef double LONGEST = 0.06      # or in the middle of an epoch after this
cdef double CLOCK_EVERY = 20e-6  # seconds of steps between two looks at the clock

cdef enum Outcome:
    RUNNING
    FINISHED
    INTERRUPTED
    NEEDS_ORDER
    BAD_ROWS
    BAD_VALIDATION
    DIVERGED


cdef class State:
    """Where a trainer stands.

    Attributes
    ----------
    epoch : int
        Whole epochs done.
    position : int
        Rows of the epoch under way that are done; the epoch's own validation may still be missing.
    squares : float
        Their sum of (Y - Y_hat)^2, each taken before its step.
    n_rows, batch_rows : int
        Of the epoch under way.
    velocity : ndarray or None
        Of the momentum rules; flat, of the network's dtype.
    """
    cdef public Py_ssize_t epoch
    cdef public Py_ssize_t position
    cdef public double squares
    cdef public Py_ssize_t n_rows
    cdef public Py_ssize_t batch_rows
    cdef public object velocity

    def __reduce__(self):
        return _restore_state, (self.epoch, self.position, self.squares, self.n_rows,
                                self.batch_rows, self.velocity)


def _restore_state(epoch, position, squares, n_rows, batch_rows, velocity):
    cdef State state = State()
    state.epoch, state.position, state.squares = epoch, position, squares
    state.n_rows, state.batch_rows, state.velocity = n_rows, batch_rows, velocity
    return state


ctypedef struct Course:
    Job job
    Job validation
    Rule rule
    bint validates
    Py_ssize_t n_rows
    Py_ssize_t batch_rows
    Py_ssize_t n_validation
    Py_ssize_t n_out
    # the place in time
    Py_ssize_t epoch
    Py_ssize_t position
    double squares
    Py_ssize_t last_epoch
    Py_ssize_t steps_left       # negative: without limit
    # shuffling
    bint shuffled
    bint supplied
    uint64_t seed
    int64_t* order
    Py_ssize_t order_epoch      # whose order it is; -1: none yet
    # the clock
    double slice_end
    double forced_end
    Py_ssize_t clock_every
    Py_ssize_t countdown
    bint few                    # steps by few_rows.pyx
    # what it has seen
    int checks_left             # epochs until every row has been checked
    Py_ssize_t n_records
    Py_ssize_t most_records
    double* losses
    double* validation_losses


cdef Outcome run_slice(Course* c, real* parameters) noexcept nogil:
    """Steps until the slice, the epochs or the records end, or something is wrong.

    A step that is left in its middle is discarded whole: parameters, velocity and place in time are
    those of the last whole step.
    """
    cdef Py_ssize_t rows, steps
    cdef double now, squares
    # An epoch that did not fit into one slice ends its last one: the next begins with a snapshot.
    cdef bint due = c.position > 0
    while c.epoch < c.last_epoch and c.n_records < c.most_records:
        if c.shuffled and c.order_epoch != c.epoch:
            if c.supplied:
                return NEEDS_ORDER
            permutation(c.seed, <uint64_t>c.epoch, c.n_rows, c.order)
            c.order_epoch = c.epoch
        while c.position < c.n_rows:
            if c.steps_left == 0:
                return FINISHED
            rows = min(c.batch_rows, c.n_rows - c.position)
            squares = 0.0
            if c.few:
                steps = min(c.countdown, (c.n_rows - c.position) // rows)
                if 0 < c.steps_left < steps:
                    steps = c.steps_left
                steps = few_rows.training_steps(&c.job, c.position, rows, steps, &c.rule,
                                                parameters, &c.squares)
            else:
                steps = 1
                squares = training_step(&c.job, c.position, rows, &c.rule, parameters)
            if c.job.bad:
                return BAD_ROWS
            if c.job.beat.stop:
                return INTERRUPTED
            c.squares += squares
            c.position += steps * rows
            c.steps_left -= steps
            if not isfinite(c.squares):
                return DIVERGED
            c.countdown -= steps
            if c.countdown <= 0:
                c.countdown = c.clock_every
                now = team.clock()
                due = due or now >= c.slice_end
                if now >= c.forced_end and c.position < c.n_rows:
                    return RUNNING
        if not elementwise.all_finite(<const real*>parameters, c.job.net.n_parameters):
            return DIVERGED
        if c.validates:
            squares = squares_of(&c.validation, 0, c.n_validation, <const real*>parameters)
            if c.validation.bad:
                return BAD_VALIDATION
            if c.validation.beat.stop:
                return INTERRUPTED
            c.validation.check = False
            c.validation_losses[c.n_records] = squares / (2.0 * c.n_validation)
        c.losses[c.n_records] = c.squares / (2.0 * c.n_rows)
        c.n_records += 1
        c.epoch += 1
        c.position = 0
        c.squares = 0.0
        if c.checks_left > 0:
            c.checks_left -= 1
            c.job.check = c.checks_left > 0
        if due:
            return RUNNING
    return FINISHED if c.epoch >= c.last_epoch else RUNNING


cdef class Descent:
    """One call's loop with everything it borrows."""
    cdef Course course
    cdef Plan plan
    cdef State state
    cdef object parameters              # the network's own, written between slices,
    cdef char* published                # and where they stand
    cdef RowSource X
    cdef RowSource Y
    cdef RowSource validation_X
    cdef RowSource validation_Y
    cdef Workspace space
    cdef Workspace validation_space
    cdef Pulse pulse
    cdef char* memory
    # the snapshot
    cdef char* kept_parameters
    cdef char* kept_velocity
    cdef Py_ssize_t kept_epoch
    cdef Py_ssize_t kept_position
    cdef double kept_squares
    cdef Py_ssize_t kept_records        # epochs recorded by this call when it was taken
    cdef Py_ssize_t recorded
    cdef tuple place                    # the state's position as the call found it

    def __cinit__(self, Plan plan not None, State state not None, parameters, X, Y, validation,
                  str kind, double learning_rate, double momentum, Py_ssize_t batch_rows, order,
                  Py_ssize_t epochs, Py_ssize_t steps, int most_threads, scaling):
        cdef Course* c = &self.course
        cdef Net* net = &plan.net
        cdef Py_ssize_t parameter_bytes = net.n_parameters * net.itemsize
        cdef Py_ssize_t order_bytes
        cdef int threads
        cdef double step_seconds
        cdef char* at
        shift, scale = (None, None) if scaling is None else scaling
        self.plan, self.state, self.parameters = plan, state, parameters
        self.X = RowSource(X, net.itemsize, shift, scale)
        self.Y = RowSource(Y, net.itemsize)
        c.n_rows, c.batch_rows = self.X.rows.n_rows, batch_rows
        c.n_out = net.layers[net.n_layers - 1].n_out
        self.check_rows(self.X, self.Y)
        if batch_rows < 1 or epochs < 0:
            raise ValueError("batch_rows is at least 1 and epochs at least 0")
        threads = worthwhile_threads(net, min(batch_rows, c.n_rows), most_threads)
        if validation is not None:
            self.validation_X = RowSource(validation[0], net.itemsize, shift, scale)
            self.validation_Y = RowSource(validation[1], net.itemsize)
            self.check_rows(self.validation_X, self.validation_Y)
            c.validates = True
            c.n_validation = self.validation_X.rows.n_rows
            threads = max(threads, worthwhile_threads(net, c.n_validation, most_threads))

        c.rule.kind = {"sgd": SGD, "momentum": MOMENTUM, "nesterov": NESTEROV}[kind]
        c.rule.learning_rate, c.rule.momentum = learning_rate, momentum
        self.published = memory_of(parameters, "parameters", parameter_bytes, True)
        if c.rule.kind != SGD:
            c.rule.velocity = memory_of(state.velocity, "the velocity", parameter_bytes, True)

        # A whole batch is read in place: its sum does not gain from another order.
        c.shuffled = order is not None and batch_rows < c.n_rows
        c.supplied = c.shuffled and not isinstance(order, int)
        c.order_epoch = -1
        if c.shuffled:
            if c.n_rows >= <Py_ssize_t>0xFFFFFFFF:
                raise ValueError("no more than 2^32 - 2 rows can be shuffled")
            if not c.supplied:
                c.seed = order

        # A place in the middle of an epoch counts only for the same rows and batches.
        self.place = state.position, state.squares, state.n_rows, state.batch_rows
        c.epoch = state.epoch
        if state.n_rows == c.n_rows and state.batch_rows == batch_rows:
            c.position, c.squares = state.position, state.squares
        c.last_epoch = c.epoch + min(epochs, PY_SSIZE_T_MAX - c.epoch)
        c.steps_left = steps
        c.checks_left = 1 if c.position == 0 else 2
        step_seconds = 0.2e-6 + net.flops_per_row * min(batch_rows, c.n_rows) / 20e9
        c.few = few_rows.takes(net, &c.rule, min(batch_rows, c.n_rows))
        c.clock_every = max(<Py_ssize_t>1, min(<Py_ssize_t>256, <Py_ssize_t>(
            (10 if c.few else 1) * CLOCK_EVERY / step_seconds)))
        c.countdown = c.clock_every

        self.space = workspace_for(net, min(batch_rows, c.n_rows), threads, True)
        self.pulse = Pulse()
        c.job.net = net
        c.job.to = &self.space.buffers
        c.job.X, c.job.Y = &self.X.rows, &self.Y.rows
        c.job.beat = &self.pulse.beat
        c.job.check = True
        c.job.active = threads
        if c.validates:
            self.validation_space = workspace_for(net, c.n_validation, threads, False)
            self.validation_space.buffers.parameters = self.space.buffers.parameters
            c.validation = c.job
            c.validation.to = &self.validation_space.buffers
            c.validation.X, c.validation.Y = &self.validation_X.rows, &self.validation_Y.rows
        order_bytes = (c.n_rows * sizeof(int64_t) + 63) // 64 * 64 if c.shuffled else 0
        c.most_records = max(<Py_ssize_t>1, min(epochs, <Py_ssize_t>MOST_RECORDS))
        self.memory = <char*>PyMem_RawMalloc(order_bytes + 2 * c.most_records * sizeof(double)
                                             + 2 * parameter_bytes)
        if self.memory == NULL:
            raise MemoryError("no memory for the order of the rows and a snapshot")
        at = self.memory
        if c.shuffled:
            c.order = <int64_t*>at
            c.job.order = c.order
        at += order_bytes
        c.losses, c.validation_losses = <double*>at, <double*>at + c.most_records
        at += 2 * c.most_records * sizeof(double)
        self.kept_parameters, self.kept_velocity = at, at + parameter_bytes
        copy_parameters(plan, parameters, self.space.buffers.parameters)
        self.keep()
        if threads > 1:
            c.job.team = team.start(threads)
            if c.job.team == NULL:
                raise MemoryError("no memory for a team of threads")
            c.validation.team = c.job.team

    def __dealloc__(self):
        if self.course.job.team != NULL:
            team.stop(self.course.job.team)
        PyMem_RawFree(self.memory)

    cdef int check_rows(self, RowSource X, RowSource Y) except -1:
        if (X.rows.n_rows < 1 or Y.rows.n_rows != X.rows.n_rows
                or X.rows.n_columns != self.plan.net.layers[0].n_in
                or Y.rows.n_columns != self.course.n_out):
            raise ValueError("X and Y have the same rows, at least one, and the network's columns")
        return 0

    cdef void keep(self) noexcept:
        """Take the snapshot."""
        cdef Py_ssize_t n_bytes = self.plan.net.n_parameters * self.plan.net.itemsize
        memcpy(self.kept_parameters, self.space.buffers.parameters, n_bytes)
        if self.course.rule.velocity != NULL:
            memcpy(self.kept_velocity, self.course.rule.velocity, n_bytes)
        self.kept_epoch = self.course.epoch
        self.kept_position = self.course.position
        self.kept_squares = self.course.squares
        self.kept_records = self.recorded

    cdef void roll_back(self) noexcept:
        """Bring the snapshot back."""
        cdef Py_ssize_t n_bytes = self.plan.net.n_parameters * self.plan.net.itemsize
        memcpy(self.space.buffers.parameters, self.kept_parameters, n_bytes)
        if self.course.rule.velocity != NULL:
            memcpy(self.course.rule.velocity, self.kept_velocity, n_bytes)
        self.course.epoch = self.kept_epoch
        self.course.position = self.kept_position
        self.course.squares = self.kept_squares
        self.course.n_records = 0

    cdef int publish(self) except -1:
        """The last whole step becomes the network's and the trainer's."""
        with cython.critical_section(self.parameters):
            memcpy(self.published, self.space.buffers.parameters,
                   self.plan.net.n_parameters * self.plan.net.itemsize)
        self.state.epoch = self.course.epoch
        self.state.position = self.course.position
        self.state.squares = self.course.squares
        self.state.n_rows, self.state.batch_rows = self.course.n_rows, self.course.batch_rows
        return 0

    cdef void never_called(self):
        """The state's place is again what the call found; parameters are rolled back already."""
        cdef State state = self.state
        state.position, state.squares, state.n_rows, state.batch_rows = self.place

    cdef int record(self, losses, validation_losses) except -1:
        """Hand the slice's epochs on to the caller's arrays."""
        cdef Py_ssize_t n_bytes = self.course.n_records * sizeof(double)
        losses.frombytes((<char*>self.course.losses)[:n_bytes])
        if self.course.validates:
            validation_losses.frombytes((<char*>self.course.validation_losses)[:n_bytes])
        self.recorded += self.course.n_records
        self.course.n_records = 0
        return 0

    cdef int take_order(self, order) except -1:
        """The order that the caller supplies for the epoch to come: a checked permutation."""
        cdef const int64_t[::1] of_rows = order(self.course.epoch)
        if of_rows.shape[0] != self.course.n_rows:
            raise ValueError("a supplied order has one number for each row")
        for i in range(of_rows.shape[0]):
            if not 0 <= of_rows[i] < self.course.n_rows:
                raise ValueError("a supplied order holds row numbers")
        memcpy(self.course.order, &of_rows[0], self.course.n_rows * sizeof(int64_t))
        self.course.order_epoch = self.course.epoch
        return 0

    cdef Outcome slice(self) noexcept:
        cdef Course* c = &self.course
        cdef Outcome outcome
        cdef double now = team.clock()
        c.slice_end, c.forced_end = now + SLICE, now + LONGEST
        self.pulse.beat.due = now + LONGEST
        with nogil:
            if c.job.net.itemsize == 8:
                outcome = run_slice(c, <double*>c.job.to.parameters)
            else:
                outcome = run_slice(c, <float*>c.job.to.parameters)
        return outcome


def worth_a_team(Plan plan, Py_ssize_t rows):
    """Whether a batch of ``rows`` rows repays more than one thread."""
    return worthwhile_threads(&plan.net, rows, 2) > 1


def descend(Plan plan, State state, parameters, X, Y, validation, str kind, double learning_rate,
            double momentum, Py_ssize_t batch_rows, order, Py_ssize_t epochs, int most_threads,
            threads_now, scaling, losses, validation_losses, on_slice,
            Py_ssize_t steps=-1):
    """Train for ``epochs`` epochs, the rest of one under way counted as the first.

    Parameters
    ----------
    parameters : ndarray (P,)
        The network's own; written between slices, always to a whole step.
    X, Y, validation : arrays, arrays, None or a pair of arrays
        As ``RowSource`` takes them; shapes are checked here, finiteness while they are first read.
    kind : {"sgd", "momentum", "nesterov"}
    batch_rows : int
        Rows of a mini-batch; the last one of an epoch may be shorter.
    order : None, int or callable
        Rows in order; a seed, whose permutation of each epoch is used; or ``order(epoch)``.
    most_threads : int
    threads_now : callable
        How many of them may be used; asked before each slice where there is a team.
    losses, validation_losses : array.array("d")
        Appended to, one number an epoch.
    on_slice : callable or None
        ``on_slice(epochs_recorded)`` after each slice; what it raises ends the training at a whole
        step.
    steps : int
        Leave after so many steps (negative: without limit).

    Returns
    -------
    None, or what went wrong: "rows" or "validation rows" (a NaN or an infinity; everything is as it
    was before the call) or ("diverged", epoch, step), both counted from 0 (the snapshot is back).
    """
    cdef Descent run = Descent(plan, state, parameters, X, Y, validation, kind, learning_rate,
                               momentum, batch_rows, order, epochs, steps, most_threads, scaling)
    cdef Course* c = &run.course
    cdef Outcome outcome = RUNNING
    cdef Py_ssize_t batches_done
    cdef Py_ssize_t given = len(losses)
    failure = None
    try:
        while outcome == RUNNING or outcome == NEEDS_ORDER:
            if outcome == NEEDS_ORDER:
                run.take_order(order)
            if c.job.team != NULL:
                c.job.active = c.validation.active = max(1, min(most_threads, threads_now()))
            outcome = run.slice()
            if outcome == DIVERGED:
                # A step fails the loss, an epoch's end the parameters: either way the last one
                # done.
                batches_done = (c.position + c.batch_rows - 1) // c.batch_rows
                failure = ("diverged", c.epoch, max(batches_done - 1, 0))
            elif outcome == BAD_ROWS:
                failure = "rows"
            elif outcome == BAD_VALIDATION:
                failure = "validation rows"
            if failure is not None:
                run.roll_back()
                run.publish()
                if outcome != DIVERGED:
                    run.never_called()
                del losses[given + run.kept_records:]
                del validation_losses[given + run.kept_records:]
            else:
                run.publish()
                run.record(losses, validation_losses)
                if c.position == 0 and c.checks_left == 0:
                    run.keep()
                if outcome == INTERRUPTED:
                    run.pulse.reraise()
                PyErr_CheckSignals()
                if on_slice is not None:
                    on_slice(run.recorded)
    finally:
        with nogil:
            if c.job.team != NULL:
                team.stop(c.job.team)
        c.job.team = NULL
    return failure
