"""One call of fit before its first step: its settings, data, memory and threads.

Everything is read and checked, work space and snapshot are allocated and the team is started;
fit.pyx runs it.  This file makes no step and changes no state.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport NAN
from libc.stdint cimport int64_t

from cbackprop.core.gradient cimport fused_steps
from cbackprop.core.gradient.batch cimport copy_parameters, worthwhile_threads
from cbackprop.core.fit.loop cimport TOOK, FitLoop
from cbackprop.core.fit.evaluation cimport Evaluation
from cbackprop.core.gauss_newton.assemble cimport GaussNewton
from cbackprop.core.quasi_newton.lbfgs cimport Settings as LbfgsSettings
from cbackprop.core.quasi_newton.lbfgs cimport n_numbers, n_scratch, n_vectors, sound
from cbackprop.core.gauss_newton.levenberg_marquardt cimport N_NUMBERS
from cbackprop.core.gauss_newton.levenberg_marquardt cimport Settings as MarquardtSettings
from cbackprop.core.gradient.plan cimport Net, Plan
from cbackprop.core.gradient.interrupts cimport Interrupts
from cbackprop.core.fit.python_loss cimport PythonLoss
from cbackprop.core.data.rows cimport RowSource, memory_of, row_source
from cbackprop.core.gradient.update_rules cimport EVIDENCE, LBFGS, MARQUARDT, RuleSettings
from cbackprop.core.fit.state cimport State
from cbackprop.core.team cimport team
from cbackprop.core.fit.early_stopping cimport N_REMEMBERED, StoppingSettings
from cbackprop.core.gradient.workspace cimport workspace_for

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    MOST_RECORDS = 16_384       # epochs that one slice can record,
    MOST_RATES = 1_024          # and with a schedule
    MOST_STALLED = 100          # evaluations of L-BFGS without progress before it stops

# L-BFGS accepts no loss above the lowest so far by more than this fraction of it: the value of
# Hager and Zhang (SIAM J. Optim. 16, 2005).
cdef double LOSS_ROUNDING = 1e-6

cdef double CLOCK_EVERY = 20e-6  # seconds of steps between two clock readings

COLUMNS = ("loss", "learning_rate", "seconds", "penalty", "gradient_norm", "loss_in_units",
           "validation_loss", "validation_metric", "validation_loss_in_units",
           "test_loss", "test_metric", "test_loss_in_units",
           "mu", "rejected", "alpha", "beta", "effective_parameters")

NUMBERS = {name: number for number, name in enumerate(COLUMNS)}

cdef class FitSetup:
    """One call's loop and everything it borrows, ready to run.

    Settings are those of ``run_fit`` (fit.pyx).  What it reads is checked as far as the core could
    otherwise read or write memory that is not its own.
    """

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


def numbers_of_marquardt():
    """How many numbers Levenberg-Marquardt keeps in the state."""
    return N_NUMBERS
