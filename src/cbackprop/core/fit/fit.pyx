"""One call of fit: its settings, slice after slice, snapshots, publication.

The loop (epochs.pyx) runs without the GIL in slices of about 50 ms.  Between two slices Python's
signals are checked, the parameters are published to the network and the caller is told the
progress.  If Python code runs after each epoch (a callback, a custom metric), a slice ends with the
epoch.

State.  A ``State`` (state.pyx) is a trainer's position in its training; with it ``run_fit``
continues exactly where the last call ended, if necessary in the middle of an epoch.  The loop works
on a private copy of the parameters: the network's own array only ever holds complete steps.

Failure.  A snapshot is kept from the start of each slice or epoch, whichever is longer, and from
the start of the call until its first epoch has read every row.  A NaN or an infinity in the data
restores the start of the call; a non-finite loss or parameter restores the last snapshot.
This file knows no solver's formula (update_rules.pyx, iterations.pyx), no gradient (batch.pyx) and
no rule of stopping (early_stopping.pyx).
"""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport NAN
from libc.stdint cimport int64_t
from libc.string cimport memcpy

import numpy as np

from cbackprop.core.gradient cimport fused_steps
from cbackprop.core.gradient.batch cimport copy_parameters, worthwhile_threads
from cbackprop.core.fit.loop cimport (
    BAD_ROWS,
    BAD_HELD_OUT,
    DIVERGED,
    EPOCH_DONE,
    FAILED,
    FINISHED,
    INTERRUPTED,
    N_COLUMNS,
    NEEDS_ORDER,
    RUNNING,
    TOOK,
    FitLoop,
    Outcome,
)
from cbackprop.core.fit.evaluation cimport Evaluation
from cbackprop.core.gauss_newton.assemble cimport GaussNewton
from cbackprop.core.quasi_newton.lbfgs cimport Settings as LbfgsSettings
from cbackprop.core.quasi_newton.lbfgs cimport n_numbers, n_scratch, n_vectors, sound
from cbackprop.core.gauss_newton.levenberg_marquardt cimport N_NUMBERS
from cbackprop.core.gauss_newton.levenberg_marquardt cimport Settings as MarquardtSettings
from cbackprop.core.gradient.objective cimport Objective
from cbackprop.core.gradient.plan cimport Net, Plan
from cbackprop.core.gradient.interrupts cimport Interrupts
from cbackprop.core.fit.python_loss cimport PythonLoss
from cbackprop.core.data.rows cimport RowSource, memory_of, row_source
from cbackprop.core.gradient.update_rules cimport EVIDENCE, LBFGS, MARQUARDT, RuleSettings
from cbackprop.core.fit.epochs cimport judge_epoch, look, run_slice
from cbackprop.core.fit.state cimport State
from cbackprop.core.team cimport team
from cbackprop.core.fit.early_stopping cimport (
    CALLBACK,
    CONVERGED,
    EARLY_STOPPING,
    EPOCHS,
    GRADIENT_TOLERANCE,
    N_REMEMBERED,
    NO_DESCENT,
    NO_STEP,
    NOT_YET,
    SECONDS,
    STEP_TOLERANCE,
    STEPS,
    TARGET_LOSS,
    StoppingSettings,
)
from cbackprop.core.gradient.workspace cimport Workspace, workspace_for

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    MOST_RECORDS = 16_384       # epochs that one slice can record,
    MOST_RATES = 1_024          # and with a schedule
    MOST_STALLED = 100          # evaluations of L-BFGS without progress before it stops
    MOST_BORROWED = 4           # arrays of a state

# L-BFGS accepts no loss above the lowest so far by more than this fraction of it: the value of
# Hager and Zhang (SIAM J. Optim. 16, 2005).
cdef double LOSS_ROUNDING = 1e-6

cdef double SLICE = 0.04        # seconds; a slice ends with the first epoch after this,
cdef double LONGEST = 0.06      # or in the middle of an epoch after this
cdef double CLOCK_EVERY = 20e-6  # seconds of steps between two clock readings

COLUMNS = ("loss", "learning_rate", "seconds", "penalty", "gradient_norm", "loss_in_units",
           "validation_loss", "validation_metric", "validation_loss_in_units",
           "test_loss", "test_metric", "test_loss_in_units",
           "mu", "rejected", "alpha", "beta", "effective_parameters")

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
    GRADIENT_TOLERANCE: "gradient_tolerance",
    STEP_TOLERANCE: "step_tolerance",
    NO_STEP: "mu_max",
}


ctypedef struct Borrowed:       # an array of the state to which the loop writes
    char* memory
    Py_ssize_t n_bytes

ctypedef struct Place:          # in time
    Py_ssize_t epoch
    Py_ssize_t position
    double loss_sum
    double unit_sum


cdef class FitCall:
    """One call's loop and everything it borrows."""
    cdef FitLoop loop
    cdef Plan plan
    cdef State state
    cdef Objective objective
    cdef object parameters              # the network's own, written between slices
    cdef char* published                # their address
    cdef RowSource X
    cdef RowSource Y
    cdef RowSource weight
    cdef object subset
    cdef tuple evaluations
    cdef object schedule
    cdef Workspace space
    cdef Interrupts interrupts
    cdef char* memory
    cdef PythonLoss custom
    cdef GaussNewton gauss_newton
    # the snapshot: the parameters and what is borrowed, in this order
    cdef char* kept
    cdef Borrowed[MOST_BORROWED] borrowed
    cdef int n_borrowed
    cdef Place kept_place
    cdef Py_ssize_t kept_records        # epochs recorded by this call when it was taken
    cdef Py_ssize_t recorded
    # the state's position at the start of the call
    cdef Place found
    cdef Py_ssize_t found_n_rows
    cdef Py_ssize_t found_batch_rows

    def __cinit__(self, Plan plan not None, State state not None, parameters, X, Y,
                  dict settings not None, tuple columns not None):
        self.plan, self.state, self.parameters = plan, state, parameters
        self.read_data(X, Y, settings)
        self.read_rows(settings["weight"], settings["subset"], settings["batch_rows"])
        self.read_rule(settings["rule"])
        self.read_stopping(settings["stopping"])
        self.read_columns(columns, settings)
        self.read_order(settings["order"], settings["window"])
        self.find_place(settings["epochs"], settings["steps"], settings["max_seconds"])
        self.lay_out(settings["evaluations"], settings["most_threads"])
        self.interrupts.also = settings["listen"]
        self.join_evaluations()
        if settings["custom"] is not None:
            self.join_python_loss(settings["custom"])
        if self.solves_a_system():
            self.join_gauss_newton(settings["rule"])
        self.set_clock()
        self.read_rate(settings["rate"])
        self.take_memory(columns)
        copy_parameters(plan, parameters, self.space.buffers.parameters)
        self.keep()
        self.start_team()

    cdef bint solves_a_system(self) noexcept:
        """Whether a step solves a system of equations instead of using a gradient."""
        return self.loop.rule.kind == MARQUARDT or self.loop.rule.kind == EVIDENCE

    cdef Py_ssize_t step_rows(self) noexcept:
        """The rows of the largest step."""
        return min(self.loop.batch_rows, self.loop.n_rows)

    cdef int read_data(self, X, Y, dict settings) except -1:
        """Read X and Y with their scalings, and the objective."""
        cdef FitLoop* c = &self.loop
        cdef Net* net = &self.plan.net
        scaling, target_scaling = settings["scaling"], settings["target_scaling"]
        shift, scale = (None, None) if scaling is None else scaling
        self.X = row_source(X, net.itemsize, shift, scale)
        shift, scale = (None, None) if target_scaling is None else target_scaling
        self.Y = row_source(Y, net.itemsize, shift, scale)
        c.n_rows, c.n_out = self.X.rows.n_rows, net.layers[net.n_layers - 1].n_out
        if (self.Y.rows.n_rows != c.n_rows or self.X.rows.n_columns != net.layers[0].n_in
                or self.Y.rows.n_columns != c.n_out):
            raise ValueError("X and Y have the same rows, and the network's columns")
        self.objective = settings["objective"]
        self.objective.fit_to(net)
        c.unit = settings["unit"]
        return 0

    cdef int read_rows(self, weight, subset, Py_ssize_t batch_rows) except -1:
        """Read the row weights, the rows of an epoch, and the rows of a step."""
        cdef FitLoop* c = &self.loop
        cdef const int64_t[::1] of_rows
        cdef Py_ssize_t i
        if weight is not None:
            self.weight = RowSource(weight.reshape(-1, 1), self.plan.net.itemsize)
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
        if c.n_rows < 1 or batch_rows < 1:
            raise ValueError("at least one row and one in a batch")
        c.batch_rows = batch_rows
        return 0

    cdef int read_rule(self, RuleSettings settings) except -1:
        """Read the update rule and its memory in the state."""
        cdef FitLoop* c = &self.loop
        cdef State state = self.state
        c.rule = settings.rule
        c.rule.n_parameters = self.plan.net.n_parameters
        if state.vectors is not None:
            c.rule.vectors = self.borrow(state.vectors, "vectors", state.vectors.nbytes)
        if state.numbers is not None:
            c.rule.numbers = <double*>self.borrow(state.numbers, "numbers", state.numbers.nbytes)
        if c.rule.kind == LBFGS:
            self.read_lbfgs(settings.options)
        elif self.solves_a_system():
            self.read_marquardt(settings.options)
        return 0

    cdef int read_stopping(self, StoppingSettings settings) except -1:
        """Read the stopping rules and their memory in the state."""
        cdef FitLoop* c = &self.loop
        cdef State state = self.state
        if settings is None:
            c.stopping.plateau_patience = -1.0
            return 0
        c.stopping = settings.stopping
        c.stopping.numbers = <double*>self.borrow(state.stopping, "stopping",
                                                  N_REMEMBERED * sizeof(double))
        if c.stopping.keep_best:
            c.best = self.borrow(state.best_parameters, "best_parameters", self.parameter_bytes())
        return 0

    cdef int read_columns(self, tuple columns, dict settings) except -1:
        """Read which columns are recorded, as far as the steps depend on it."""
        cdef FitLoop* c = &self.loop
        c.in_python = settings["in_python"]
        if "gradient_norm" in columns:
            c.wants_norm = c.batch_rows < c.n_rows
            c.rule.whole = c.rule.whole or not c.wants_norm
        if c.wants_norm and settings["custom"] is not None:
            raise ValueError("dL/dY_hat is given for a batch, not for the whole gradient")
        return 0

    cdef int read_order(self, order, bint window) except -1:
        """Read the order in which an epoch visits its rows.

        A full batch is read in place: another order would not improve its sum.
        """
        cdef FitLoop* c = &self.loop
        c.shuffled = order is not None and c.batch_rows < c.n_rows
        c.supplied = c.shuffled and not isinstance(order, int)
        c.window = window
        c.order_epoch = -1
        if c.shuffled:
            if c.n_rows >= <Py_ssize_t>0xFFFFFFFF:
                raise ValueError("no more than 2^32 - 2 rows can be shuffled")
            if not c.supplied:
                c.seed = order
        return 0

    cdef int find_place(self, Py_ssize_t epochs, Py_ssize_t steps, double max_seconds) except -1:
        """Set where the call begins, and its limits.

        A position in the middle of an epoch is valid only for the same rows and batches.
        """
        cdef FitLoop* c = &self.loop
        cdef State state = self.state
        if epochs < 0:
            raise ValueError("no fewer than 0 epochs")
        self.found = Place(state.epoch, state.position, state.loss_sum, state.unit_sum)
        self.found_n_rows, self.found_batch_rows = state.n_rows, state.batch_rows
        c.epoch = state.epoch
        if state.n_rows == c.n_rows and state.batch_rows == c.batch_rows:
            c.position, c.loss_sum, c.unit_sum = state.position, state.loss_sum, state.unit_sum
        c.last_epoch = c.epoch + min(epochs, PY_SSIZE_T_MAX - c.epoch)
        c.steps_left = steps
        c.checks_left = 1 if c.position == 0 else 2
        c.deadline = team.clock() + max_seconds
        return 0

    cdef int lay_out(self, tuple evaluations, int most_threads) except -1:
        """Set up the threads, the work space, and the job for the steps."""
        cdef FitLoop* c = &self.loop
        cdef Net* net = &self.plan.net
        cdef Py_ssize_t step_rows = self.step_rows()
        cdef bint of_system = self.solves_a_system()
        cdef Evaluation evaluation
        # In J'J, a row costs about as much as this many rows of backpropagation.
        cdef int threads = worthwhile_threads(
            net, step_rows * (1 + net.n_parameters // 8 if of_system else 1), most_threads)
        self.evaluations = evaluations
        for evaluation in evaluations:
            if evaluation is not None:
                threads = max(threads, worthwhile_threads(net, evaluation.held_out.n_rows,
                                                          most_threads))
        self.space = workspace_for(net, c.n_rows if c.wants_norm else step_rows, threads,
                                   not of_system)
        self.interrupts = Interrupts()
        c.job.net, c.job.goal = net, &self.objective.goal
        c.job.to = &self.space.buffers
        c.job.X, c.job.Y = &self.X.rows, &self.Y.rows
        c.job.interrupt = &self.interrupts.interrupt
        c.job.check = True
        c.job.active = threads
        c.job.norm = NAN
        return 0

    cdef int join_evaluations(self) except -1:
        """Let validation and test rows share the job's parameters, threads and interrupts."""
        cdef FitLoop* c = &self.loop
        cdef Evaluation evaluation
        cdef int i
        for i in range(2):
            evaluation = self.evaluations[i]
            if evaluation is not None:
                if evaluation.plan is not self.plan or evaluation.objective is not self.objective:
                    raise ValueError("an evaluation is of the same plan and objective")
                evaluation.prepare(c.job.active, self.space.buffers.parameters)
                c.held_out[i] = &evaluation.held_out
                evaluation.held_out.job.interrupt = &self.interrupts.interrupt
                evaluation.held_out.job.active = c.job.active
        return 0

    cdef int join_python_loss(self, function) except -1:
        """Set up a loss in Python, which reads the job's parameters."""
        self.custom = PythonLoss(self.plan, function, self.step_rows(), self.loop.job.active)
        self.custom.space.buffers.parameters = self.space.buffers.parameters
        self.loop.asked = &self.custom.asked
        return 0

    cdef int join_gauss_newton(self, RuleSettings settings) except -1:
        """Set up the system of equations that Levenberg-Marquardt solves."""
        cdef FitLoop* c = &self.loop
        self.gauss_newton = GaussNewton()
        self.gauss_newton.prepare(&c.job, c.n_rows, settings.options["dual"], c.marquardt.bends)
        c.system = &self.gauss_newton.system
        if settings.options["counts_rows"]:
            c.system.weight_mean = c.marquardt.weight_mean
        return 0

    cdef int set_clock(self) except -1:
        """Set the number of steps between clock readings, and whether one call makes many."""
        cdef FitLoop* c = &self.loop
        cdef Py_ssize_t step_rows = self.step_rows()
        cdef double step_seconds = 0.2e-6 + self.plan.net.flops_per_row * step_rows / 20e9
        c.few = fused_steps.takes(&c.job, &c.rule, step_rows)
        c.clock_every = max(<Py_ssize_t>1, min(<Py_ssize_t>256, <Py_ssize_t>(
            (10 if c.few else 1) * CLOCK_EVERY / step_seconds)))
        c.countdown = c.clock_every
        return 0

    cdef int read_rate(self, rate) except -1:
        """Read the learning rate: a constant, or a schedule."""
        if callable(rate):
            self.schedule = rate
        else:
            self.loop.rate = rate
        return 0

    cdef int start_team(self) except -1:
        """Start the threads, if there is more than one."""
        cdef FitLoop* c = &self.loop
        cdef int i
        if c.job.active > 1:
            c.job.team = team.start(c.job.active)
            if c.job.team == NULL:
                raise MemoryError("no memory for a team of threads")
            for i in range(2):
                if c.held_out[i] != NULL:
                    c.held_out[i].job.team = c.job.team
        return 0

    cdef Py_ssize_t parameter_bytes(self) noexcept:
        return self.plan.net.n_parameters * self.plan.net.itemsize

    cdef char* borrow(self, array, str name, Py_ssize_t n_bytes) except? NULL:
        """The memory of an array of the state, which is added to the snapshot."""
        cdef char* memory = memory_of(array, name, n_bytes, True)
        self.borrowed[self.n_borrowed] = Borrowed(memory, n_bytes)
        self.n_borrowed += 1
        return memory

    cdef int read_lbfgs(self, dict options) except -1:
        """Its settings, and a state that fits them."""
        cdef LbfgsSettings* to = &self.loop.lbfgs
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
                or not sound(self.loop.rule.numbers, to.memory)):
            raise ValueError("the state is not one of L-BFGS with this memory")
        return 0

    cdef int read_marquardt(self, dict options) except -1:
        """Its settings, and a state that fits them."""
        cdef MarquardtSettings* to = &self.loop.marquardt
        to.mu, to.most = options["mu"], options["mu_max"]
        to.increase, to.decrease = options["mu_increase"], options["mu_decrease"]
        to.nielsen, to.diagonal = options["nielsen"], options["diagonal"]
        to.bends, to.bayesian = options["geodesic"], self.loop.rule.kind == EVIDENCE
        to.gradient_tolerance = options["gradient_tolerance"]
        to.step_tolerance = options["step_tolerance"]
        to.l2 = self.loop.rule.l2
        to.weight_mean = options["weight_mean"]
        if self.state.numbers is None or len(self.state.numbers) != N_NUMBERS:
            raise ValueError("the state is not one of Levenberg-Marquardt")
        return 0

    cdef int take_memory(self, tuple columns) except -1:
        """Allocate one slab: the order of the rows, a slice's records and rates, the snapshot."""
        cdef FitLoop* c = &self.loop
        cdef Py_ssize_t order_bytes = (
            (c.n_rows * sizeof(int64_t) + 63) // 64 * 64 if c.shuffled else 0)
        cdef Py_ssize_t kept_bytes = self.parameter_bytes()
        cdef Py_ssize_t scratch_bytes = (1 + (
            n_scratch() if c.rule.kind == LBFGS else 0)) * self.parameter_bytes()
        cdef Py_ssize_t record_bytes
        cdef char* at
        cdef int i
        for i in range(self.n_borrowed):
            kept_bytes += self.borrowed[i].n_bytes
        c.most_records = max(<Py_ssize_t>1, min(
            c.last_epoch - c.epoch,
            <Py_ssize_t>(MOST_RECORDS if self.schedule is None else MOST_RATES)))
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
        c.W, c.scratch = at, at + self.parameter_bytes()
        self.kept = at + scratch_bytes
        self.published = memory_of(self.parameters, "parameters", self.parameter_bytes(), True)
        return 0

    def __dealloc__(self):
        if self.loop.job.team != NULL:
            team.stop(self.loop.job.team)
        PyMem_RawFree(self.memory)

    cdef void copy_all(self, bint back) noexcept:
        """Copy parameters and the memory of rule and stopping into the snapshot, or back."""
        cdef char* live = self.space.buffers.parameters
        cdef char* at = self.kept
        cdef Py_ssize_t n_bytes = self.parameter_bytes()
        cdef int i
        memcpy(live if back else at, at if back else live, n_bytes)
        for i in range(self.n_borrowed):
            at += n_bytes
            live, n_bytes = self.borrowed[i].memory, self.borrowed[i].n_bytes
            memcpy(live if back else at, at if back else live, n_bytes)

    cdef void keep(self) noexcept:
        """Take the snapshot."""
        cdef FitLoop* c = &self.loop
        self.copy_all(False)
        self.kept_place = Place(c.epoch, c.position, c.loss_sum, c.unit_sum)
        self.kept_records = self.recorded

    cdef void roll_back(self) noexcept:
        """Restore the snapshot."""
        cdef FitLoop* c = &self.loop
        cdef Place* to = &self.kept_place
        self.copy_all(True)
        c.epoch, c.position = to.epoch, to.position
        c.loss_sum, c.unit_sum = to.loss_sum, to.unit_sum
        c.n_records = 0

    cdef int publish(self) except -1:
        """Copy the last complete step to the network and the trainer."""
        cdef FitLoop* c = &self.loop
        with cython.critical_section(self.parameters):
            memcpy(self.published, self.space.buffers.parameters, self.parameter_bytes())
        self.state.epoch, self.state.position = c.epoch, c.position
        self.state.loss_sum, self.state.unit_sum = c.loss_sum, c.unit_sum
        self.state.n_rows, self.state.batch_rows = c.n_rows, c.batch_rows
        return 0

    cdef void never_called(self) noexcept:
        """Restore the state's position at the start; parameters are already rolled back."""
        self.state.position, self.state.loss_sum = self.found.position, self.found.loss_sum
        self.state.unit_sum = self.found.unit_sum
        self.state.n_rows, self.state.batch_rows = self.found_n_rows, self.found_batch_rows

    cdef int record(self, dict records) except -1:
        """Append the slice's epochs to the caller's arrays."""
        cdef FitLoop* c = &self.loop
        cdef Py_ssize_t n_bytes = c.n_records * sizeof(double)
        # The current epoch's seconds so far are stored after those of the complete epochs.
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
        """Get the caller's order for the next epoch and check that it is a permutation."""
        cdef FitLoop* c = &self.loop
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
        """Get the scheduled rates of the epochs that the slice may reach."""
        cdef FitLoop* c = &self.loop
        cdef Py_ssize_t n = min(c.most_records, c.last_epoch - c.epoch)
        rates = np.ascontiguousarray(self.schedule(np.arange(c.epoch, c.epoch + n)),
                                     dtype=np.float64)
        memcpy(c.rates, memory_of(rates, "rates", n * sizeof(double), False), n * sizeof(double))
        return 0

    cdef Outcome slice(self) except? DIVERGED:
        cdef FitLoop* c = &self.loop
        cdef Outcome outcome
        cdef double now
        if c.rates != NULL:
            self.take_rates()
        now = team.clock()
        c.slice_end, c.forced_end = now + SLICE, now + LONGEST
        c.looked = now
        self.interrupts.interrupt.due = now + LONGEST
        with nogil:
            if c.job.net.itemsize == 8:
                outcome = run_slice(c, <double*>c.job.to.parameters)
            else:
                outcome = run_slice(c, <float*>c.job.to.parameters)
            look(c)
        return outcome

    cdef void use_threads(self, int active) noexcept:
        """Let ``active`` threads of the team take part from now on."""
        cdef FitLoop* c = &self.loop
        cdef int i
        c.job.active = max(1, active)
        for i in range(2):
            if c.held_out[i] != NULL:
                c.held_out[i].job.active = c.job.active

    cdef tuple failure_of(self, Outcome outcome):
        """The failure in a slice, as returned by ``run_fit``, or None."""
        cdef FitLoop* c = &self.loop
        cdef Py_ssize_t batches_done
        if outcome == DIVERGED:
            # A step reports the loss, an epoch's end the parameters: in both cases the last step
            # done.
            batches_done = (c.position + c.batch_rows - 1) // c.batch_rows
            return "diverged", c.epoch, max(batches_done - 1, 0), c.rule.learning_rate
        if outcome == BAD_ROWS:
            return ("rows",)
        if outcome == BAD_HELD_OUT:
            if c.held_out[0] != NULL and c.held_out[0].job.bad:
                return ("validation rows",)
            return ("test rows",)
        return None

    cdef int hear(self, hook) except -1:
        """Python's part of an epoch's end: first its own values, then the stopping rules."""
        cdef FitLoop* c = &self.loop
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
        """Copy the parameters of the best epoch to the network."""
        cdef Py_ssize_t n_bytes = self.plan.net.n_parameters * self.plan.net.itemsize
        if self.loop.best != NULL and self.loop.stopping.numbers[0] != 0:
            memcpy(self.space.buffers.parameters, self.loop.best, n_bytes)
            self.publish()
        return 0


def worth_a_team(Plan plan, Py_ssize_t rows):
    """Whether more than one thread pays for a batch of ``rows`` rows."""
    return worthwhile_threads(&plan.net, rows, 2) > 1


def numbers_of_marquardt():
    """How many numbers Levenberg-Marquardt keeps in the state."""
    return N_NUMBERS


def run_fit(Plan plan, State state, parameters, X, Y, dict settings, *, dict records, threads_now,
            hook=None, on_slice=None):
    """Train for ``epochs`` epochs; the rest of an interrupted one counts as the first.

    Parameters
    ----------
    parameters : ndarray (P,)
        The network's own; written between slices, always with a complete step.
    X, Y : arrays
        As for ``RowSource``; shapes are checked here, finiteness while they are first read.
    settings : dict
        All of the following; parsing them as arguments would cost a short fit noticeable time.
        objective, rule : Objective, RuleSettings
        rate : float or callable
            A callable returns the rates of an array of epochs.
        weight : ndarray (N,) or None
            Row weights in the network's dtype, with mean 1.
        subset : ndarray of int64 or None
            The rows of an epoch.
        evaluations : tuple of two
            Validation and test: an Evaluation or None.
        stopping : StoppingSettings or None
        unit : float
            The single factor to the targets' units, or 0.
        order : None, int or callable
            None: rows in their own order; a seed for each epoch's permutation; or ``order(epoch)``.
        window : bool
            Shuffle within windows.
        batch_rows, epochs, steps, max_seconds, most_threads
            Rows of a mini-batch, and limits; steps negative: none.
        scaling, target_scaling : pair (shift, scale) or None
        custom : callable or None
            The loss in Python, ``custom(Y, Y_hat)``.
        listen : callable or None
            Called without arguments from time to time; an exception ends the training at a complete
            step.
        in_python : bool
            Whether Python code runs after each epoch.
    records : dict of array.array("d")
        The columns to record, from ``COLUMNS``; one number per epoch is appended.
    threads_now : callable
        Returns how many threads may be used; called before each slice if there is a team.
    hook : object, optional
        ``hook.measure(epoch, values)`` returns values that Python computes, as a dict, and
        ``hook.tell(epoch)`` whether to stop, after each epoch; needs ``in_python``.
    on_slice : callable, optional
        ``on_slice(epochs_recorded, last)`` after each slice; an exception ends the training at a
        complete step.

    Returns
    -------
    tuple
        ("stopped", reason), or a failure: ("rows",), ("validation rows",) or ("test rows",) for a
        NaN or an infinity, after which everything is as before the call; ("diverged", epoch, step,
        learning rate), both counted from 0, after which the snapshot is restored.
    """
    cdef FitCall run = FitCall(plan, state, parameters, X, Y, settings, tuple(records))
    cdef FitLoop* c = &run.loop
    cdef Outcome outcome = RUNNING
    cdef Py_ssize_t given = len(records["loss"])
    failure = None
    try:
        while outcome in (RUNNING, NEEDS_ORDER, EPOCH_DONE):
            if outcome == NEEDS_ORDER:
                run.take_order(settings["order"])
            if c.job.team != NULL:
                run.use_threads(min(settings["most_threads"], threads_now()))
            outcome = run.slice()
            failure = run.failure_of(outcome)
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
                run.interrupts.reraise()
            if outcome == FAILED:
                error, run.custom.error = run.custom.error, None
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
