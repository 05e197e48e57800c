# The data of a call on rows, and the distribution of its tasks, shared by several files.

from libc.stdint cimport int64_t

from cbackprop.core.gradient.objective cimport Goal
from cbackprop.core.gradient.plan cimport Net
from cbackprop.core.gradient.interrupts cimport Interrupt, stopped
from cbackprop.core.data.rows cimport Rows
from cbackprop.core.gradient.update_rules cimport Rule
from cbackprop.core.team cimport team
from cbackprop.core.team.team cimport cbp_task, cbp_team
from cbackprop.core.gradient.workspace cimport Buffers

ctypedef struct Job:
    const Net* net
    const Buffers* to
    const Rows* X
    const Goal* goal            # NULL: predict
    const Rows* Y               # NULL: predict, or ``given``
    const Rows* weight          # NULL, or one column
    const void* given           # NULL, or (count, n_out): dL/dY_hat of the batch's rows
    const int64_t* order        # NULL, or the epoch's row order
    Interrupt* interrupt
    cbp_team* team              # NULL: this thread alone
    int active                  # threads that may take part
    bint check                  # look for NaN and infinities while reading
    int bad                     # one was found
    # the current batch
    Py_ssize_t start
    Py_ssize_t count
    double alpha                # 1/N, or -learning_rate / N in a fused step
    double beta
    void* gradient
    const Rule* rule            # tiles: applied to a tile when its gradient is complete; or NULL
    Py_ssize_t super_start
    Py_ssize_t super_count
    double norm                 # of the gradient, after a step with the full gradient
    void* out                   # NULL, or (count, n_out): Y_hat
    void* kept                  # NULL, or (count, n_kept): loss_of's activations, slopes
    double enough               # 0, or: loss_of may return infinity once its sum exceeds this
    char* sums                  # with ``enough``: each worker's sum, a cache line apart
    bint beyond                 # a sum has exceeded ``enough``
    const void* output_shift    # of the network's dtype: out = Y_hat / scale + shift; or NULL
    const void* output_scale


cdef inline bint leave(const Job* job, int worker) noexcept nogil:
    """Whether to abandon the call; checked between blocks."""
    return stopped(job.interrupt, worker) or job.bad


cdef inline char* of_worker(const Job* job, char* region, int worker) noexcept nogil:
    """A worker's part of the workspace."""
    return region + worker * job.to.worker_bytes


cdef inline void share_out(const Job* job, cbp_task task, void* context,
                           Py_ssize_t n_tasks) noexcept nogil:
    """Run tasks 0 .. n_tasks - 1, by the team if there is one and more than one task."""
    cdef Py_ssize_t i
    if job.team == NULL or job.active < 2 or n_tasks < 2:
        for i in range(n_tasks):
            task(context, i, 0)
    else:
        team.run(job.team, task, context, n_tasks, job.active)
