"""The calls from Python that do not train: predictions, a loss, its gradient.

Each sets up its memory, runs once over all rows (batch.pyx) without the GIL, and reports a NaN or
an infinity in the rows by its return value.
"""

cimport cython

from cbackprop.core.gradient.batch cimport (
    copy_parameters,
    gradient_of,
    loss_of,
    pairwise_sum,
    worthwhile_threads,
)
from cbackprop.core.gradient.job cimport Job
from cbackprop.core.gradient.objective cimport Objective
from cbackprop.core.gradient.plan cimport Plan
from cbackprop.core.gradient.interrupts cimport Interrupts
from cbackprop.core.data.rows cimport RowSource, memory_of, row_source
from cbackprop.core.simd.dispatch cimport CBP_GIVEN
from cbackprop.core.team cimport team
from cbackprop.core.gradient.workspace cimport Workspace, workspace_for


# A work space of up to this many bytes is kept for the plan's next call.
cdef Py_ssize_t LARGEST_SPARE = 32 * 1024


cdef Workspace take_workspace(Plan plan, Py_ssize_t n_rows, int threads, bint backward):
    """A work space for one call: the plan's spare one, if it fits.

    Setting up and freeing another would take a tenth of ``predict`` for one row.
    """
    cdef Workspace spare
    with cython.critical_section(plan):
        spare, plan.spare = plan.spare, None
    if (spare is None or spare.most_rows != n_rows or spare.buffers.n_workers != threads
            or spare.backward != backward):
        spare = workspace_for(&plan.net, n_rows, threads, backward)
    return spare


@cython.freelist(4)
cdef class Call:
    """One call's job and everything it borrows: sources, work space, team."""
    cdef Job job
    cdef RowSource X
    cdef RowSource Y
    cdef RowSource weight
    cdef Workspace space
    cdef Interrupts interrupts
    cdef Plan plan
    cdef Objective objective

    cdef int lay_out(self, Plan plan, Objective objective, parameters, X, Y, weight, int n_threads,
                     scaling, target_scaling, bint backward) except -1:
        cdef Py_ssize_t n_rows
        cdef int threads
        shift, scale = (None, None) if scaling is None else scaling
        self.plan, self.objective = plan, objective
        if objective is not None:
            objective.fit_to(&plan.net)
            self.job.goal = &objective.goal
        self.X = row_source(X, plan.net.itemsize, shift, scale)
        n_rows = self.X.rows.n_rows
        if self.X.rows.n_columns != plan.net.layers[0].n_in:
            raise ValueError("X has not the network's number of inputs")
        if Y is not None:
            shift, scale = (None, None) if target_scaling is None else target_scaling
            self.Y = row_source(Y, plan.net.itemsize, shift, scale)
            if (self.Y.rows.n_rows != n_rows
                    or self.Y.rows.n_columns != plan.net.layers[plan.net.n_layers - 1].n_out):
                raise ValueError("Y has not X's rows or not the network's number of outputs")
            self.job.Y = &self.Y.rows
        if weight is not None:
            self.weight = row_source(weight.reshape(-1, 1), plan.net.itemsize, None, None)
            if self.weight.rows.n_rows != n_rows:
                raise ValueError("sample_weight has not X's rows")
            self.job.weight = &self.weight.rows
        threads = worthwhile_threads(&plan.net, n_rows, max(1, n_threads))
        self.space = take_workspace(plan, n_rows, threads, backward)
        copy_parameters(plan, parameters, self.space.buffers.parameters)
        self.interrupts = Interrupts()
        self.job.net = &plan.net
        self.job.to = &self.space.buffers
        self.job.X = &self.X.rows
        self.job.interrupt = &self.interrupts.interrupt
        self.job.check = True
        self.job.active = threads
        if threads > 1:
            self.job.team = team.start(threads)
            if self.job.team == NULL:
                raise MemoryError("no memory for a team of threads")
        return 0

    def __dealloc__(self):
        if self.job.team != NULL:
            team.stop(self.job.team)

    cdef int finish(self) except -1:
        """Stop the team, keep a small work space and re-raise what a signal handler raised."""
        cdef team.cbp_team* crew = self.job.team
        self.job.team = NULL
        if self.space.n_bytes <= LARGEST_SPARE:
            with cython.critical_section(self.plan):
                self.plan.spare = self.space
        if crew != NULL:
            with nogil:
                team.stop(crew)
        return self.interrupts.reraise()


cdef Call new_call(Plan plan, Objective objective, parameters, X, Y, weight, int n_threads, scaling,
                   target_scaling, bint backward):
    """Make a ``Call``; packing arguments for a constructor costs noticeable time for one row."""
    cdef Call call = Call.__new__(Call)
    call.lay_out(plan, objective, parameters, X, Y, weight, n_threads, scaling, target_scaling,
                 backward)
    return call


def predict(Plan plan not None, parameters, X, out, int n_threads, scaling=None,
            output_scaling=None):
    """out (N, n_out) = Y_hat.  False: X holds a NaN or an infinity, and ``out`` is undefined.

    scaling, output_scaling : pairs (shift, scale) of arrays of the network's dtype, or None
    """
    cdef Call call = new_call(plan, None, parameters, X, None, None, n_threads, scaling, None,
                              False)
    cdef Py_ssize_t n_rows = call.X.rows.n_rows
    cdef Py_ssize_t n_out = plan.net.layers[plan.net.n_layers - 1].n_out
    if n_rows == 0:
        return True
    call.job.out = memory_of(out, "out", n_rows * n_out * plan.net.itemsize, True)
    if output_scaling is not None:
        shift, scale = output_scaling
        call.job.output_shift = memory_of(shift, "shift", n_out * plan.net.itemsize, False)
        call.job.output_scale = memory_of(scale, "scale", n_out * plan.net.itemsize, False)
    with nogil:
        if plan.net.itemsize == 8:
            loss_of(&call.job, 0, n_rows, <const double*>call.job.to.parameters)
        else:
            loss_of(&call.job, 0, n_rows, <const float*>call.job.to.parameters)
    call.finish()
    return not call.job.bad


cdef double total_weight(weight, Py_ssize_t n_rows) except -1:
    """N, or the sum of the weights."""
    cdef const double[::1] w
    if weight is None:
        return n_rows
    w = weight
    return pairwise_sum(&w[0], w.shape[0])


def loss(Plan plan not None, Objective objective not None, parameters, X, Y, sample_weight,
         int n_threads, scaling=None, target_scaling=None):
    """L = 1/N sum l; weighted: sum w_i l_i / sum w_i.

    None: X or Y holds a NaN or an infinity.
    """
    cdef Call call = new_call(plan, objective, parameters, X, Y, sample_weight, n_threads, scaling,
                              target_scaling, False)
    cdef Py_ssize_t n_rows = call.X.rows.n_rows
    cdef double N = total_weight(sample_weight, n_rows)
    cdef double total
    with nogil:
        if plan.net.itemsize == 8:
            total = loss_of(&call.job, 0, n_rows, <const double*>call.job.to.parameters)
        else:
            total = loss_of(&call.job, 0, n_rows, <const float*>call.job.to.parameters)
    call.finish()
    return None if call.job.bad else objective.goal.factor * total / N


def gradient(Plan plan not None, Objective objective not None, parameters, X, Y, sample_weight, out,
             int n_threads, scaling=None, target_scaling=None, bint summed=False):
    """out (P,) = the gradient of L; returns L.

    summed : L is the weighted sum over the rows instead of the mean
    None: X or Y holds a NaN or an infinity, and ``out`` is undefined.
    """
    cdef Call call = new_call(plan, objective, parameters, X, Y, sample_weight, n_threads, scaling,
                              target_scaling, True)
    cdef Py_ssize_t n_rows = call.X.rows.n_rows
    cdef double N = 1.0 if summed else total_weight(sample_weight, n_rows)
    cdef double total
    cdef char* to = memory_of(out, "out", plan.net.n_parameters * plan.net.itemsize, True)
    with nogil:
        if plan.net.itemsize == 8:
            total = gradient_of(&call.job, 0, n_rows, 1.0 / N, <double*>to)
        else:
            total = gradient_of(&call.job, 0, n_rows, 1.0 / N, <float*>to)
    call.finish()
    return None if call.job.bad else objective.goal.factor * total / N


def backward(Plan plan not None, parameters, X, dL_dY_hat, out, int n_threads, scaling=None):
    """out (P,) = sum_n sum_k dL/dy_hat_nk dy_hat_nk/dparameters.

    dL_dY_hat : C-contiguous array (N, n_out) of the network's dtype
    False: X holds a NaN or an infinity, and ``out`` is undefined. """
    cdef Call call = new_call(plan, Objective(CBP_GIVEN), parameters, X, None, None, n_threads,
                              scaling, None, True)
    cdef Py_ssize_t n_rows = call.X.rows.n_rows
    cdef Py_ssize_t n_out = plan.net.layers[plan.net.n_layers - 1].n_out
    cdef char* to = memory_of(out, "out", plan.net.n_parameters * plan.net.itemsize, True)
    call.job.given = memory_of(dL_dY_hat, "dL_dY_hat", n_rows * n_out * plan.net.itemsize, False)
    with nogil:
        if plan.net.itemsize == 8:
            gradient_of(&call.job, 0, n_rows, 1.0, <double*>to)
        else:
            gradient_of(&call.job, 0, n_rows, 1.0, <float*>to)
    call.finish()
    return not call.job.bad
