"""One call of fit: slice after slice, snapshots, publication; setup.pyx has prepared it.

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
from libc.stdint cimport int64_t
from libc.string cimport memcpy

import numpy as np

from cbackprop.core.fit.setup import COLUMNS, NUMBERS
from cbackprop.core.gradient.batch cimport worthwhile_threads
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
from cbackprop.core.gradient.plan cimport Plan
from cbackprop.core.data.rows cimport memory_of
from cbackprop.core.fit.epochs cimport judge_epoch, look, run_slice
from cbackprop.core.fit.state cimport State
from cbackprop.core.team cimport team
from cbackprop.core.fit.early_stopping cimport (
    CALLBACK,
    CONVERGED,
    EARLY_STOPPING,
    EPOCHS,
    GRADIENT_TOLERANCE,
    NO_DESCENT,
    NO_STEP,
    NOT_YET,
    SECONDS,
    STEP_TOLERANCE,
    STEPS,
    TARGET_LOSS,
)
from cbackprop.core.fit.setup cimport FitSetup, Place

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef double SLICE = 0.04        # seconds; a slice ends with the first epoch after this,
cdef double LONGEST = 0.06      # or in the middle of an epoch after this

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


cdef class FitCall(FitSetup):
    """One call, set up: its slices, snapshots and what it publishes."""
    cdef Place kept_place
    cdef Py_ssize_t kept_records        # epochs recorded by this call when it was taken
    cdef Py_ssize_t recorded

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
    run.keep()
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
