"""One step of a trainer's solver from a gradient computed elsewhere.

It is the step that a fit makes when it has a batch's complete gradient (batch.pyx, ``whole_step``):
penalty, clipping, update rule.  It works on a copy of the parameters, and saves the rule's memory
to restore it if a parameter is not finite afterwards.  Parameters, memory and position change
within one call that handles no signals: Ctrl-C finds a complete step or none.

This file knows no rule's formula and no data.
"""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport NAN
from libc.string cimport memcpy

from cbackprop.core.linalg cimport elementwise

from cbackprop.core.data.rows cimport memory_of
from cbackprop.core.fit.early_stopping cimport (
    N_REMEMBERED,
    Stopping,
    StoppingSettings,
    judge,
    plateau_rate,
)
from cbackprop.core.fit.state cimport State
from cbackprop.core.gradient.batch cimport whole_step
from cbackprop.core.gradient.job cimport Job
from cbackprop.core.gradient.plan cimport Plan
from cbackprop.core.gradient.update_rules cimport Rule, RuleSettings, begin_step, penalty_of
from cbackprop.core.gradient.workspace cimport Buffers
from cbackprop.core.linalg.types cimport real
from cbackprop.core.team cimport team


cdef bint make_step(Job* job, Rule* rule, double loss, real* gradient, real* parameters,
                    double* penalty) noexcept nogil:
    """Make the step, compute the penalty after it; return whether the parameters are finite."""
    job.gradient = gradient
    begin_step(rule)
    whole_step(job, rule, loss, gradient, parameters)
    penalty[0] = penalty_of(rule, job.net, <const real*>parameters)
    return elementwise.all_finite(<const real*>parameters, job.net.n_parameters)


cdef class StepCall:
    """One step and everything it borrows."""
    cdef Plan plan
    cdef State state
    cdef object parameters              # the network's own
    cdef char* published                # their address
    cdef Rule rule
    cdef Job job
    cdef Buffers buffers
    cdef char* slab                     # parameters, gradient, and the rule's saved memory
    cdef Py_ssize_t parameter_bytes
    cdef Py_ssize_t vector_bytes
    cdef Py_ssize_t number_bytes
    cdef double penalty

    def __cinit__(self, Plan plan not None, State state not None, parameters, gradient,
                  RuleSettings settings not None):
        cdef Py_ssize_t n_bytes = plan.net.n_parameters * plan.net.itemsize
        cdef const char* given = memory_of(gradient, "gradient", n_bytes, False)
        self.plan, self.state, self.rule = plan, state, settings.rule
        self.rule.n_parameters = plan.net.n_parameters
        self.parameters, self.parameter_bytes = parameters, n_bytes
        self.published = memory_of(parameters, "parameters", n_bytes, True)
        if state.vectors is not None:
            self.vector_bytes = state.vectors.nbytes
            self.rule.vectors = memory_of(state.vectors, "vectors", self.vector_bytes, True)
        if state.numbers is not None:
            self.number_bytes = state.numbers.nbytes
            self.rule.numbers = <double*>memory_of(state.numbers, "numbers", self.number_bytes,
                                                   True)
        self.slab = <char*>PyMem_RawMalloc(2 * n_bytes + self.vector_bytes + self.number_bytes)
        if self.slab == NULL:
            raise MemoryError("no memory for a copy of the parameters and of the solver's memory")
        self.buffers.parameters, self.buffers.gradient = self.slab, self.slab + n_bytes
        self.job.net, self.job.to, self.job.norm = &plan.net, &self.buffers, NAN
        memcpy(self.buffers.parameters, self.published, n_bytes)
        memcpy(self.buffers.gradient, given, n_bytes)
        self.copy_memory(False)

    def __dealloc__(self):
        PyMem_RawFree(self.slab)

    cdef void copy_memory(self, bint back) noexcept:
        """Save the rule's memory, or restore it."""
        cdef char* kept = self.slab + 2 * self.parameter_bytes
        cdef char* live = <char*>self.rule.vectors
        if self.vector_bytes > 0:
            memcpy(live if back else kept, kept if back else live, self.vector_bytes)
        kept += self.vector_bytes
        live = <char*>self.rule.numbers
        if self.number_bytes > 0:
            memcpy(live if back else kept, kept if back else live, self.number_bytes)

    cdef bint step(self, double rate, double loss) noexcept:
        """Make the step; False: a parameter is not finite after it, and the state is unchanged."""
        cdef bint good
        self.rule.learning_rate = rate
        with nogil:
            if self.job.net.itemsize == 8:
                good = make_step(&self.job, &self.rule, loss, <double*>self.buffers.gradient,
                                 <double*>self.buffers.parameters, &self.penalty)
            else:
                good = make_step(&self.job, &self.rule, loss, <float*>self.buffers.gradient,
                                 <float*>self.buffers.parameters, &self.penalty)
        if not good:
            self.copy_memory(True)
        return good

    cdef int publish(self) except -1:
        """Copy the step to the network and the trainer."""
        with cython.critical_section(self.parameters):
            memcpy(self.published, self.buffers.parameters, self.parameter_bytes)
        self.state.epoch += 1
        self.state.position = 0
        self.state.loss_sum = self.state.unit_sum = 0.0
        return 0


def is_finite(Plan plan not None, gradient):
    """Whether all of gradient (P,), of the network's dtype, is finite."""
    cdef Py_ssize_t P = plan.net.n_parameters
    cdef const char* g = memory_of(gradient, "gradient", P * plan.net.itemsize, False)
    if plan.net.itemsize == 8:
        return elementwise.all_finite(<const double*>g, P)
    return elementwise.all_finite(<const float*>g, P)


def run_step(Plan plan not None, State state not None, parameters, gradient,
             RuleSettings settings not None, double rate, double loss, StoppingSettings stopping,
             dict columns, dict records):
    """Make one step, which counts as an epoch.

    Parameters
    ----------
    parameters : ndarray (P,)
        The network's own; written once, with the complete step.
    gradient : ndarray (P,)
        In the network's dtype, finite; not modified.
    settings : RuleSettings
        The settings of a rule that needs the gradient and, at most, the loss.
    rate : float
        The learning rate before any reduction; NaN if the rule has none.
    loss : float
        The mean loss that belongs to the gradient, without the penalty; NaN if unknown.
    stopping : StoppingSettings or None
        The settings of rate reduction on a plateau of the loss.
    columns : dict of array.array("d")
        One number is appended to each: to loss, learning_rate, seconds, penalty and gradient_norm
        their values, to others NaN.
    records : dict
        Receives these columns.

    Returns
    -------
    float or None
        None if the step was made.  Else a parameter was not finite after a step with this learning
        rate, and everything is as before.
    """
    cdef double began = team.clock()
    cdef Py_ssize_t epoch = state.epoch
    cdef StepCall call = StepCall(plan, state, parameters, gradient, settings)
    cdef Stopping plateau
    if stopping is not None:
        plateau = stopping.stopping
        plateau.numbers = <double*>memory_of(state.stopping, "stopping",
                                             N_REMEMBERED * sizeof(double), True)
        rate = plateau_rate(&plateau, rate)
    if not call.step(rate, loss):
        return rate
    call.publish()
    if stopping is not None:
        # Only the plateau is checked: there is no monitored value.
        judge(&plateau, epoch, loss, 0.0, rate, 0, <const double*>NULL, <double*>NULL)
    values = {"loss": loss, "learning_rate": rate, "penalty": call.penalty,
              "gradient_norm": call.job.norm, "seconds": team.clock() - began}
    for name, column in columns.items():
        column.append(values.get(name, NAN))
    records.update(columns)
    return None
