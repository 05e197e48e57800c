"""Connects solvers whose epoch is one iteration on all rows to a fit.

    L-BFGS                  lbfgs.pyx, on loss and gradient by batch.pyx
    Levenberg-Marquardt     levenberg_marquardt.pyx, on the Gauss-Newton system by assemble.pyx
    and Bayesian regularisation

The epoch's loss is that at the point reached by the iteration.  This file knows no formula.
"""

from libc.math cimport sqrt
from libc.string cimport memcpy

from cbackprop.core.gradient.batch cimport gradient_of, loss_of, unit_loss_of
from cbackprop.core.fit.loop cimport BAD_ROWS, DIVERGED, FAILED, INTERRUPTED, RUNNING
from cbackprop.core.gauss_newton.assemble cimport bending, linearise
from cbackprop.core.quasi_newton.lbfgs cimport (
    ABANDONED,
    KNOWN,
    LOSS,
    MOVED,
    NO_DESCENT,
    NOT_FINITE,
    lbfgs_step,
)
from cbackprop.core.quasi_newton.lbfgs cimport Function as LbfgsFunction
from cbackprop.core.quasi_newton.lbfgs cimport Outcome as LbfgsOutcome
from cbackprop.core.gauss_newton.levenberg_marquardt cimport ABANDONED as MARQUARDT_ABANDONED
from cbackprop.core.gauss_newton.levenberg_marquardt cimport (
    CONVERGED_GRADIENT,
    CONVERGED_STEP,
    MU_MAX,
    N_NUMBERS,
    NORM,
)
from cbackprop.core.gauss_newton.levenberg_marquardt cimport LOSS as MARQUARDT_LOSS
from cbackprop.core.gauss_newton.levenberg_marquardt cimport MOVED as MARQUARDT_MOVED
from cbackprop.core.gauss_newton.levenberg_marquardt cimport NOT_FINITE as MARQUARDT_NOT_FINITE
from cbackprop.core.gauss_newton.levenberg_marquardt cimport Outcome as MarquardtOutcome
from cbackprop.core.gauss_newton.levenberg_marquardt cimport bend_at, loss_at, marquardt_step
from cbackprop.core.fit.python_loss cimport ANSWERED, BAD, STOPPED, ask_python
from cbackprop.core.gradient.update_rules cimport add_penalty, penalty_of
from cbackprop.core.gauss_newton.system cimport System
from cbackprop.core.linalg.vectors cimport dot
from cbackprop.core.fit.early_stopping cimport (
    CONVERGED,
    GRADIENT_TOLERANCE,
    NO_STEP,
    STEP_TOLERANCE,
)
from cbackprop.core.fit.early_stopping cimport NO_DESCENT as STOPPED_DESCENDING

# The relative amount by which the order of addition may change a sum of losses, at most.
cdef double ROUNDING = 1e-6


cdef Outcome turned_down(FitLoop* c, int answer) noexcept nogil:
    """The outcome of a step for an answer of ``ask_python``."""
    if answer == ANSWERED:
        return RUNNING
    return BAD_ROWS if answer == BAD else INTERRUPTED if answer == STOPPED else FAILED


# --- L-BFGS ---------------------------------------------------------------------------------------

cdef double evaluate(FitLoop* c, const real* W, real* gradient, int* abandoned) noexcept nogil:
    """Loss and gradient at W, including the penalty.

    The job reads its parameters from the workspace, so W is copied there.
    """
    cdef Py_ssize_t n = c.n_rows
    cdef double total
    memcpy(c.job.to.parameters, W, c.job.net.n_parameters * sizeof(real))
    if c.asked != NULL:
        c.refused = turned_down(c, ask_python(c.asked, &c.job, 0, n, W, &total))
        if c.refused == RUNNING:
            gradient_of(&c.job, 0, n, 1.0, gradient)
    else:
        c.refused = RUNNING
        total = gradient_of(&c.job, 0, n, 1.0 / n, gradient)
    if c.refused == RUNNING:
        c.refused = BAD_ROWS if c.job.bad else INTERRUPTED if c.job.interrupt.stop else RUNNING
    if c.refused != RUNNING:
        abandoned[0] = 1
        return 0.0
    add_penalty(&c.rule, c.job.net, W, gradient)
    return c.job.goal.factor * total / n + penalty_of(&c.rule, c.job.net, W)


cdef double evaluate_f64(void* context, const double* W, double* gradient,
                         int* abandoned) noexcept nogil:
    return evaluate(<FitLoop*>context, W, gradient, abandoned)


cdef double evaluate_f32(void* context, const float* W, float* gradient,
                         int* abandoned) noexcept nogil:
    return evaluate(<FitLoop*>context, W, gradient, abandoned)


cdef Outcome lbfgs_iteration(FitLoop* c, real* parameters) noexcept nogil:
    """One iteration on all rows.  The epoch's loss is that at the point reached."""
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
        # With the rows or parameters of another call, the loss must be recomputed.
        loss = evaluate(c, <const real*>W, <real*>c.job.to.gradient, &abandoned)
        if abandoned:
            return c.refused
        if loss != numbers[LOSS]:
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
        c.reason = STOPPED_DESCENDING if outcome == NO_DESCENT else CONVERGED
    if c.job.goal.units != NULL:
        gradient_of(&c.job, 0, c.n_rows, 1.0 / c.n_rows, <real*>c.job.to.gradient)
        if c.job.interrupt.stop:
            return INTERRUPTED
        c.unit_sum = unit_loss_of(&c.job, c.n_rows)
    c.loss_sum = ((numbers[LOSS] - penalty_of(&c.rule, c.job.net, <const real*>W))
                  * c.n_rows / c.job.goal.factor)
    c.job.norm = sqrt(dot(gradient, gradient, P))
    return RUNNING


# --- Levenberg-Marquardt, and Bayesian regularisation ---------------------------------------------

cdef double loss_f64(void* context, double* W, double enough, int* abandoned) noexcept nogil:
    cdef FitLoop* c = <FitLoop*>context
    return loss_elsewhere(c, W, enough, abandoned, <double*>c.job.to.parameters)


cdef double loss_f32(void* context, double* W, double enough, int* abandoned) noexcept nogil:
    cdef FitLoop* c = <FitLoop*>context
    return loss_elsewhere(c, W, enough, abandoned, <float*>c.job.to.parameters)


cdef double loss_elsewhere(FitLoop* c, double* W, double enough, int* abandoned,
                           real* parameters) noexcept nogil:
    """The summed loss at W, which is rounded in place to the network's dtype.

    A sum of nonnegative losses only grows: if that of some blocks exceeds ``enough``, so does the
    total.
    """
    cdef Py_ssize_t i
    cdef double total
    for i in range(c.job.net.n_parameters):
        parameters[i] = <real>W[i]
        W[i] = parameters[i]
    if c.job.goal.only_grows:
        c.job.enough = enough / c.job.goal.factor * (1.0 + ROUNDING)
    total = loss_of(&c.job, 0, c.n_rows, <const real*>parameters)
    c.job.enough = 0.0
    abandoned[0] = c.job.interrupt.stop
    return c.job.goal.factor * total


cdef void bend_f64(System* s, double h, const double* v, double* out) noexcept nogil:
    bending(s, h, <const double*>s.job.to.parameters, v, out)


cdef void bend_f32(System* s, double h, const double* v, double* out) noexcept nogil:
    bending(s, h, <const float*>s.job.to.parameters, v, out)


cdef Outcome marquardt_iteration(FitLoop* c, real* parameters) noexcept nogil:
    """One iteration on all rows."""
    cdef:
        System* s = c.system
        Py_ssize_t P = c.job.net.n_parameters
        double* numbers = c.rule.numbers
        double* W = s.W
        real* start = <real*>c.W
        loss_at loss
        bend_at bend = NULL
        MarquardtOutcome outcome
        double[N_NUMBERS] before
        Py_ssize_t i
    if real is double:
        loss = loss_f64
        if c.marquardt.bends:
            bend = bend_f64
    else:
        loss = loss_f32
        if c.marquardt.bends:
            bend = bend_f32
    linearise(s, <const real*>parameters)
    if c.job.bad:
        return BAD_ROWS
    if c.job.interrupt.stop:
        return INTERRUPTED
    memcpy(start, parameters, P * sizeof(real))
    memcpy(before, numbers, sizeof(before))
    for i in range(P):
        W[i] = parameters[i]
    outcome = marquardt_step(&c.marquardt, s, <void*>c, loss, bend, W, numbers)
    # The last trial was accepted, and the kept activations belong to it.
    s.forward_done = outcome == MARQUARDT_MOVED
    if outcome == MARQUARDT_ABANDONED or outcome == MARQUARDT_NOT_FINITE:
        memcpy(parameters, start, P * sizeof(real))
        return DIVERGED if outcome == MARQUARDT_NOT_FINITE else INTERRUPTED
    # The parameters hold the last trial, accepted or not.
    for i in range(P):
        parameters[i] = <real>W[i]
    if outcome == CONVERGED_GRADIENT:
        c.reason = GRADIENT_TOLERANCE
    elif outcome == CONVERGED_STEP:
        c.reason = STEP_TOLERANCE
    elif outcome == MU_MAX:
        c.reason = NO_STEP
    if c.job.goal.units != NULL:
        loss_of(&c.job, 0, c.n_rows, <const real*>parameters)
        if c.job.interrupt.stop:
            memcpy(parameters, start, P * sizeof(real))
            memcpy(numbers, before, sizeof(before))
            return INTERRUPTED
        c.unit_sum = unit_loss_of(&c.job, c.n_rows)
    c.loss_sum = numbers[MARQUARDT_LOSS] / c.job.goal.factor
    c.job.norm = numbers[NORM]
    return RUNNING
