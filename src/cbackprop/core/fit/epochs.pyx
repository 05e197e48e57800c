"""A slice of a training: steps and epochs, until its time, the epochs or the records are used up.

An epoch consists of an order of the rows, steps, validation, an entry in the record, and the
stopping rules.  All state is in the ``FitLoop`` (loop.pxd).  Nothing is allocated here, and the GIL
is not held: when Python must be called, the slice ends.
"""

from libc.math cimport INFINITY, NAN, isfinite, sqrt
from libc.stdint cimport uint64_t

from cbackprop.core.linalg cimport elementwise

from cbackprop.core.gradient cimport fused_steps
from cbackprop.core.gradient.batch cimport gradient_of, training_step, unit_loss_of
from cbackprop.core.fit.loop cimport (
    ALPHA,
    BAD_ROWS,
    BAD_HELD_OUT,
    BETA,
    DAMPING,
    DIVERGED,
    EFFECTIVE,
    EPOCH_DONE,
    FINISHED,
    INTERRUPTED,
    LEARNING_RATE,
    LOSS,
    NEEDS_ORDER,
    NORM,
    PENALTY,
    REJECTED,
    RUNNING,
    TOOK,
    UNIT_LOSS,
    VALIDATION_LOSS,
)
from cbackprop.core.fit.evaluation cimport OUTPUTS, HeldOut, evaluate_rows
from cbackprop.core.fit.iterations cimport lbfgs_iteration, marquardt_iteration, turned_down
from cbackprop.core.gauss_newton.levenberg_marquardt cimport ALPHA as AT_ALPHA
from cbackprop.core.gauss_newton.levenberg_marquardt cimport BETA as AT_BETA
from cbackprop.core.gauss_newton.levenberg_marquardt cimport GAMMA as AT_GAMMA
from cbackprop.core.gauss_newton.levenberg_marquardt cimport MU as AT_MU
from cbackprop.core.gauss_newton.levenberg_marquardt cimport REJECTED as AT_REJECTED
from cbackprop.core.fit.python_loss cimport ask_python
from cbackprop.core.gradient.update_rules cimport (
    EVIDENCE,
    LBFGS,
    add_penalty,
    penalty_of,
    share_penalty,
)
from cbackprop.core.data.shuffle cimport (
    BLOCK_ROWS,
    WINDOW_BLOCKS,
    permutation,
    window_permutation,
)
from cbackprop.core.team cimport team
from cbackprop.core.linalg.vectors cimport dot
from cbackprop.core.fit.early_stopping cimport (
    EPOCHS,
    NOT_YET,
    SECONDS,
    STEPS,
    Reason,
    judge,
    plateau_rate,
)


cdef double look(FitLoop* c) noexcept nogil:
    """Read the clock; divide the time since the last reading among the epochs that ended since."""
    cdef double now = team.clock()
    cdef double each
    cdef double* took = c.columns[TOOK]
    cdef Py_ssize_t i
    if c.timed < c.n_records:
        each = (now - c.looked) / (c.n_records - c.timed)
        for i in range(c.timed, c.n_records):
            took[i] += each
        c.timed = c.n_records
    elif c.n_records < c.most_records:
        c.columns[TOOK][c.n_records] += now - c.looked
    c.looked = now
    return now


cdef double rate_of(const FitLoop* c) noexcept nogil:
    """The learning rate of the current epoch."""
    return plateau_rate(&c.stopping, c.rate if c.rates == NULL else c.rates[c.n_records])


cdef Outcome find_order(FitLoop* c) noexcept nogil:
    """Set the order of the epoch's rows; NEEDS_ORDER if the caller supplies it."""
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


cdef Outcome run_slice(FitLoop* c, real* parameters) noexcept nogil:
    """Make steps until the slice, the epochs or the records are used up, or a step fails.

    A step that is interrupted is discarded completely: parameters and state are those of the last
    complete step.
    """
    cdef Py_ssize_t rows, steps
    cdef double now
    cdef Outcome outcome
    # An epoch longer than a slice also ends its last slice, so that the next begins with a
    # snapshot.
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
                steps = some_steps(c, rows, parameters)
                if c.job.bad:
                    return BAD_ROWS
            else:
                steps = 1
                outcome = one_step(c, rows, parameters)
                if outcome != RUNNING:
                    return outcome
                c.position += rows
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


cdef Py_ssize_t some_steps(FitLoop* c, Py_ssize_t rows, real* parameters) noexcept nogil:
    """Make steps with fused_steps.pyx until the next clock reading; returns how many.

    They belong to one epoch; or each is an epoch, and all of these but the last are recorded.
    """
    cdef double* each = NULL
    cdef Py_ssize_t steps = c.countdown
    if epochs_are_steps(c):
        steps = min(steps, c.last_epoch - c.epoch, c.most_records - c.n_records)
        each = &c.columns[LOSS][c.n_records]
    else:
        steps = min(steps, (c.n_rows - c.position) // rows)
    if 0 < c.steps_left < steps:
        steps = c.steps_left
    steps = fused_steps.training_steps(&c.job, c.position, rows, steps, &c.rule, parameters,
                                    &c.loss_sum, each)
    c.position += rows if each != NULL else steps * rows
    if each != NULL and steps > 1:
        record_some(c, steps - 1)
    return steps


cdef void record_some(FitLoop* c, Py_ssize_t epochs) noexcept nogil:
    """Record epochs of one step each; their sums are already in the place of the losses."""
    cdef double* loss = c.columns[LOSS] + c.n_records
    cdef double* rate = c.columns[LEARNING_RATE] + c.n_records
    cdef double* took = c.columns[TOOK] + c.n_records
    cdef double factor = c.job.goal.factor
    cdef double N = <double>c.n_rows
    cdef double learning_rate = c.rule.learning_rate
    cdef Py_ssize_t i
    for i in range(epochs):
        loss[i] = factor * loss[i] / N
        rate[i] = learning_rate
        took[i + 1] = 0.0
    c.n_records += epochs
    c.epoch += epochs


cdef bint epochs_are_steps(const FitLoop* c) noexcept nogil:
    """Whether an epoch is one step, after which only its loss is recorded."""
    return (2 <= c.n_rows <= c.batch_rows and not c.job.check and c.rates == NULL
            and c.stopping.numbers == NULL and c.held_out[0] == NULL and c.held_out[1] == NULL
            and not c.in_python and not c.wants_norm and c.deadline == INFINITY
            and c.columns[PENALTY] == NULL and c.columns[NORM] == NULL
            and c.columns[UNIT_LOSS] == NULL)


cdef Outcome one_step(FitLoop* c, Py_ssize_t rows, real* parameters) noexcept nogil:
    """Make one step of the rule on the next ``rows`` rows and add its loss to the epoch's."""
    cdef double total
    cdef double penalty = 0.0
    cdef Outcome outcome
    if c.rule.kind == LBFGS:
        return lbfgs_iteration(c, parameters)
    if c.system != NULL:
        return marquardt_iteration(c, parameters)
    if c.rule.shared_l2 != 0:
        # A penalty that depends on the batch is part of the batch's loss.
        share_penalty(&c.rule, rows)
        penalty = rows * penalty_of(&c.rule, c.job.net, <const real*>parameters)
    if c.asked != NULL:
        outcome = turned_down(c, ask_python(c.asked, &c.job, c.position, rows,
                                            <const real*>parameters, &total))
        if outcome != RUNNING:
            return outcome
        training_step(&c.job, c.position, rows, &c.rule, parameters)
    else:
        total = training_step(&c.job, c.position, rows, &c.rule, parameters)
    if c.job.bad:
        return BAD_ROWS
    if c.job.interrupt.stop:
        return INTERRUPTED
    c.loss_sum += total + penalty / c.job.goal.factor
    if c.job.goal.units != NULL:
        c.unit_sum += unit_loss_of(&c.job, rows)
    return RUNNING


cdef double whole_norm(FitLoop* c, const real* parameters) noexcept nogil:
    """The norm of the gradient over all of the epoch's rows, including the penalty's."""
    cdef real* gradient = <real*>c.job.to.gradient
    gradient_of(&c.job, 0, c.n_rows, 1.0 / c.n_rows, gradient)
    share_penalty(&c.rule, c.n_rows)
    add_penalty(&c.rule, c.job.net, parameters, gradient)
    return sqrt(dot(<const real*>gradient, <const real*>gradient, c.job.net.n_parameters))


cdef Outcome end_epoch(FitLoop* c, real* parameters) noexcept nogil:
    """End an epoch: validate, record, and decide whether to continue."""
    cdef:
        Py_ssize_t at = c.n_records
        HeldOut* held_out
        double norm = c.job.norm
        double** column
        int i
    if not elementwise.all_finite(<const real*>parameters, c.job.net.n_parameters):
        return DIVERGED
    if c.wants_norm:
        norm = whole_norm(c, <const real*>parameters)
        if c.job.interrupt.stop:
            return INTERRUPTED
    for i in range(2):
        held_out = c.held_out[i]
        if held_out != NULL:
            evaluate_rows(held_out, <const real*>parameters)
            if held_out.job.bad:
                return BAD_HELD_OUT
            if held_out.job.interrupt.stop:
                return INTERRUPTED
            column = &c.columns[VALIDATION_LOSS + 3 * i]
            column[0][at] = held_out.loss
            if column[1] != NULL:
                column[1][at] = NAN if held_out.metric == OUTPUTS else held_out.value
            if column[2] != NULL:
                column[2][at] = held_out.unit_loss if c.unit == 0 else held_out.loss * c.unit
    c.columns[LOSS][at] = c.job.goal.factor * c.loss_sum / c.n_rows
    c.columns[LEARNING_RATE][at] = c.rule.learning_rate
    if c.system != NULL:
        record_iteration(c, at, <const real*>parameters)
    elif c.columns[PENALTY] != NULL:
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


cdef void record_iteration(FitLoop* c, Py_ssize_t at, const real* parameters) noexcept nogil:
    """Record the columns of Levenberg-Marquardt and of Bayesian regularisation."""
    cdef const double* numbers = c.rule.numbers
    c.columns[DAMPING][at], c.columns[REJECTED][at] = numbers[AT_MU], numbers[AT_REJECTED]
    if c.rule.kind == EVIDENCE:
        c.columns[ALPHA][at], c.columns[BETA][at] = numbers[AT_ALPHA], numbers[AT_BETA]
        c.columns[EFFECTIVE][at] = numbers[AT_GAMMA]
        c.columns[PENALTY][at] = (0.5 * numbers[AT_ALPHA] / numbers[AT_BETA] / c.n_rows
                                  / c.marquardt.weight_mean
                                  * dot(parameters, parameters, c.job.net.n_parameters))
    elif c.columns[PENALTY] != NULL:
        c.columns[PENALTY][at] = penalty_of(&c.rule, c.job.net, parameters)


cdef void judge_epoch(FitLoop* c, const real* parameters) noexcept nogil:
    """Apply the stopping rules to the epoch recorded last."""
    cdef Py_ssize_t at = c.n_records - 1
    cdef int monitored = c.stopping.monitored
    cdef Reason reason
    if c.stopping.numbers == NULL:
        return
    reason = judge(&c.stopping, c.epoch - 1, c.columns[LOSS][at],
                   c.columns[monitored][at] if monitored >= 0 else 0.0,
                   c.rule.learning_rate, c.job.net.n_parameters, parameters, <real*>c.best)
    if reason != NOT_YET:
        c.reason = reason
