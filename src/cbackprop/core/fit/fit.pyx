"""One call of fit: its settings, slice after slice, snapshots, publication.

The loop (epochs.pyx) runs without the GIL in slices of about 50 ms.  Between two slices Python's
signals are checked, the parameters are published to the network and the caller is told how far it
has come.  Where Python has a say in each epoch (a callback, a metric of its own), a slice ends with
the epoch.

State.  A ``State`` (state.pyx) is a trainer's place in time; with it ``run_fit`` goes on exactly
where the last call ended, in the middle of an epoch if need be.  The parameters are worked on in a
private copy: the network's own array only ever holds whole steps.

Failure.  A snapshot is kept from the start of each slice or epoch, whichever is longer, and from
the start of the call until its first epoch has read every row.  A NaN or an infinity in the data
brings back the start of the call; a non-finite loss or parameter brings back the last snapshot.
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
    MOST_STALLED = 100          # evaluations of L-BFGS that bring nothing before it stops

# No loss is accepted above the lowest so far by more than this part of it: the value of Hager and
# Zhang (SIAM J. Optim. 16, 2005).
cdef double LOSS_ROUNDING = 1e-6

cdef double SLICE = 0.04        # seconds; a slice ends with the first epoch after this,
cdef double LONGEST = 0.06      # or in the middle of an epoch after this
cdef double CLOCK_EVERY = 20e-6  # seconds of steps between two looks at the clock

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


cdef class FitCall:
    """One call's loop with everything it borrows."""
    cdef FitLoop loop
    cdef Plan plan
    cdef State state
    cdef Objective objective
    cdef object parameters              # the network's own, written between slices,
    cdef char* published                # and where they stand
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
        cdef FitLoop* c = &self.loop
        cdef Net* net = &plan.net
        cdef Py_ssize_t parameter_bytes = net.n_parameters * net.itemsize
        cdef Py_ssize_t i, most_rows
        cdef int threads
        cdef double step_seconds
        cdef Evaluation evaluation
        cdef const int64_t[::1] of_rows
        cdef Objective objective = settings["objective"]
        cdef RuleSettings rule = settings["rule"]
        cdef StoppingSettings stopping = settings["stopping"]
        cdef tuple evaluations = settings["evaluations"]
        # Whose step is solved from a system of equations instead of made from a gradient.
        cdef bint of_system = rule.rule.kind in (MARQUARDT, EVIDENCE)
        cdef Py_ssize_t batch_rows = settings["batch_rows"]
        cdef Py_ssize_t epochs = settings["epochs"]
        cdef int most_threads = settings["most_threads"]
        weight, subset = settings["weight"], settings["subset"]
        order, rate, custom = settings["order"], settings["rate"], settings["custom"]
        scaling, target_scaling = settings["scaling"], settings["target_scaling"]
        shift, scale = (None, None) if scaling is None else scaling
        self.plan, self.state, self.parameters = plan, state, parameters
        self.objective, self.evaluations = objective, evaluations
        objective.fit_to(net)
        self.X = row_source(X, net.itemsize, shift, scale)
        shift, scale = (None, None) if target_scaling is None else target_scaling
        self.Y = row_source(Y, net.itemsize, shift, scale)
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
        if stopping is not None:
            c.stopping = stopping.stopping
            c.stopping.numbers = <double*>self.borrow(state.stopping, "stopping",
                                                   N_REMEMBERED * sizeof(double))
            if c.stopping.keep_best:
                c.best = self.borrow(state.best_parameters, "best_parameters", parameter_bytes)
        else:
            c.stopping.plateau_patience = -1.0
        if c.rule.kind == LBFGS:
            self.read_lbfgs(rule.options)
        if of_system:
            self.read_marquardt(rule.options)
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

        threads = worthwhile_threads(
            net, batch_rows * (1 + net.n_parameters // 8 if of_system else 1), most_threads)
        for evaluation in evaluations:
            if evaluation is not None:
                threads = max(threads, worthwhile_threads(net, evaluation.held_out.n_rows,
                                                          most_threads))
        most_rows = c.n_rows if c.wants_norm else batch_rows
        self.space = workspace_for(net, most_rows, threads, not of_system)
        self.interrupts = Interrupts()
        self.interrupts.also = settings["listen"]
        c.job.net, c.job.goal = net, &objective.goal
        c.job.to = &self.space.buffers
        c.job.X, c.job.Y = &self.X.rows, &self.Y.rows
        c.job.interrupt = &self.interrupts.interrupt
        c.job.check = True
        c.job.active = threads
        c.job.norm = NAN
        for i in range(2):
            evaluation = evaluations[i]
            if evaluation is not None:
                if evaluation.plan is not plan or evaluation.objective is not objective:
                    raise ValueError("an evaluation is of the same plan and objective")
                evaluation.prepare(threads, self.space.buffers.parameters)
                c.held_out[i] = &evaluation.held_out
                evaluation.held_out.job.interrupt = &self.interrupts.interrupt
                evaluation.held_out.job.active = threads
        if custom is not None:
            self.custom = PythonLoss(plan, custom, batch_rows, threads)
            self.custom.space.buffers.parameters = self.space.buffers.parameters
            c.asked = &self.custom.asked
        if of_system:
            self.gauss_newton = GaussNewton()
            self.gauss_newton.prepare(&c.job, c.n_rows, rule.options["dual"],
                                      c.marquardt.bends)
            c.system = &self.gauss_newton.system
            if rule.options["counts_rows"]:
                c.system.weight_mean = c.marquardt.weight_mean

        step_seconds = 0.2e-6 + net.flops_per_row * batch_rows / 20e9
        c.few = fused_steps.takes(&c.job, &c.rule, batch_rows)
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
                if c.held_out[i] != NULL:
                    c.held_out[i].job.team = c.job.team

    cdef char* borrow(self, array, str name, Py_ssize_t n_bytes) except? NULL:
        """The memory of an array of the state, which the snapshot takes in."""
        cdef char* memory = memory_of(array, name, n_bytes, True)
        self.restorable.append((<size_t>memory, n_bytes))
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

    cdef int take_memory(self, Py_ssize_t parameter_bytes, Py_ssize_t epochs, columns) except -1:
        """One slab: the order of the rows, the records of a slice, its rates, the snapshot."""
        cdef FitLoop* c = &self.loop
        cdef Py_ssize_t order_bytes = (
            (c.n_rows * sizeof(int64_t) + 63) // 64 * 64 if c.shuffled else 0)
        cdef Py_ssize_t kept_bytes = parameter_bytes
        cdef Py_ssize_t scratch_bytes = (1 + (
            n_scratch() if c.rule.kind == LBFGS else 0)) * parameter_bytes
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
        if self.loop.job.team != NULL:
            team.stop(self.loop.job.team)
        PyMem_RawFree(self.memory)

    cdef int copy_all(self, bint back) except -1:
        """Parameters and what the rule and the stopping remember: into the snapshot, or back."""
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
        self.kept_epoch = self.loop.epoch
        self.kept_position = self.loop.position
        self.kept_loss_sum = self.loop.loss_sum
        self.kept_unit_sum = self.loop.unit_sum
        self.kept_records = self.recorded
        return 0

    cdef int roll_back(self) except -1:
        """Bring the snapshot back."""
        self.copy_all(True)
        self.loop.epoch = self.kept_epoch
        self.loop.position = self.kept_position
        self.loop.loss_sum = self.kept_loss_sum
        self.loop.unit_sum = self.kept_unit_sum
        self.loop.n_records = 0
        return 0

    cdef int publish(self) except -1:
        """The last whole step becomes the network's and the trainer's."""
        cdef FitLoop* c = &self.loop
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
        cdef FitLoop* c = &self.loop
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
        """The scheduled rates of the epochs that the slice may make."""
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

    cdef int hear(self, hook) except -1:
        """Python's part of an epoch's end: its own values first, then the stopping rules."""
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
        """The parameters of the best epoch become the network's."""
        cdef Py_ssize_t n_bytes = self.plan.net.n_parameters * self.plan.net.itemsize
        if self.loop.best != NULL and self.loop.stopping.numbers[0] != 0:
            memcpy(self.space.buffers.parameters, self.loop.best, n_bytes)
            self.publish()
        return 0


def worth_a_team(Plan plan, Py_ssize_t rows):
    """Whether a batch of ``rows`` rows repays more than one thread."""
    return worthwhile_threads(&plan.net, rows, 2) > 1


def numbers_of_marquardt():
    """How many numbers Levenberg-Marquardt keeps in the state."""
    return N_NUMBERS


def run_fit(Plan plan, State state, parameters, X, Y, dict settings, *, dict records, threads_now,
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
        evaluations : tuple of two
            Validation and test: an Evaluation or None.
        stopping : StoppingSettings or None
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
        listen : callable or None
            Called without arguments now and then; what it raises leaves the training at a whole
            step.
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
    cdef FitCall run = FitCall(plan, state, parameters, X, Y, settings, tuple(records))
    cdef FitLoop* c = &run.loop
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
                    if c.held_out[i] != NULL:
                        c.held_out[i].job.active = active
            outcome = run.slice()
            if outcome == DIVERGED:
                # A step fails the loss, an epoch's end the parameters: either way the last one
                # done.
                batches_done = (c.position + c.batch_rows - 1) // c.batch_rows
                failure = ("diverged", c.epoch, max(batches_done - 1, 0), c.rule.learning_rate)
            elif outcome == BAD_ROWS:
                failure = ("rows",)
            elif outcome == BAD_HELD_OUT:
                failure = ("validation rows" if c.held_out[0] != NULL and c.held_out[0].job.bad
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
