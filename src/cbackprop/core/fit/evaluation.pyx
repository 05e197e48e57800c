"""Validation and test rows: their loss, and a metric from the same forward pass.

    accuracy    the share of rows whose class is right: the largest output, or one output's half
    R2          1 - sum (y - y_hat)^2 / sum (y - mean y)^2, the mean over the outputs

Rows with a missing target are left out of accuracy, missing targets out of R2.  If a column of
targets is constant, R2 is 1 if predicted exactly and else 0 (as scikit-learn's ``r2_score``).
"""

from libc.math cimport isnan
from libc.stdint cimport int64_t

import numpy as np

from cbackprop.core.linalg cimport elementwise
from cbackprop.core.gradient.batch cimport loss_of, unit_loss_of
from cbackprop.core.gradient.plan cimport Layer
from cbackprop.core.data.rows cimport memory_of, read_rows
from cbackprop.core.gradient.workspace cimport workspace_for

METRICS = {None: NO_METRIC, "accuracy": ACCURACY, "r2": R2, "outputs": OUTPUTS}


cdef class Evaluation:
    """Rows that are evaluated after each epoch.

    Parameters
    ----------
    X, Y : arrays
        As for ``RowSource``; shapes are checked here.
    weight : ndarray (N,) of float64, optional
    rows : ndarray of int64, optional
        Which rows; None is all.
    metric : None, "accuracy", "r2" or "outputs"
    outputs : ndarray (n_rows, n_out) of the network's dtype, optional
        Receives Y_hat; every metric needs it.
    """

    def __cinit__(self, Plan plan not None, Objective objective not None, X, Y, *, weight=None,
                  rows=None, metric=None, outputs=None, scaling=None, target_scaling=None):
        cdef:
            HeldOut* held_out = &self.held_out
            const Layer* last = &plan.net.layers[plan.net.n_layers - 1]
            Py_ssize_t i
            const int64_t[::1] order
            const double[::1] weights
        shift, scale = (None, None) if scaling is None else scaling
        self.X = RowSource(X, plan.net.itemsize, shift, scale)
        shift, scale = (None, None) if target_scaling is None else target_scaling
        self.Y = RowSource(Y, plan.net.itemsize, shift, scale)
        if (self.X.rows.n_rows != self.Y.rows.n_rows
                or self.X.rows.n_columns != plan.net.layers[0].n_in
                or self.Y.rows.n_columns != last.n_out):
            raise ValueError("X and Y have the same rows and the network's columns")
        self.plan, self.objective, self.rows = plan, objective, rows
        held_out.n_rows = self.X.rows.n_rows
        if rows is not None:
            order = rows
            held_out.n_rows = order.shape[0]
            for i in range(held_out.n_rows):
                if not 0 <= order[i] < self.X.rows.n_rows:
                    raise ValueError("rows holds row numbers")
            held_out.job.order = &order[0] if held_out.n_rows > 0 else NULL
        if held_out.n_rows < 1:
            raise ValueError("at least one row")
        held_out.weight = held_out.n_rows
        if weight is not None:
            weights = weight
            self.weight = RowSource(weight.reshape(-1, 1), plan.net.itemsize)
            if self.weight.rows.n_rows != self.X.rows.n_rows:
                raise ValueError("one weight for each row")
            held_out.job.weight = &self.weight.rows
            held_out.weight = 0.0
            for i in range(held_out.n_rows):
                held_out.weight += weights[order[i] if rows is not None else i]
        held_out.metric = METRICS[metric]
        if held_out.metric != NO_METRIC:
            held_out.job.out = memory_of(outputs, "outputs",
                                      held_out.n_rows * last.n_out * plan.net.itemsize, True)
            self.outputs = outputs
        self.sums = np.zeros(3 * last.n_out)
        held_out.sums = &self.sums[0]
        held_out.job.net = &plan.net
        held_out.job.goal = &objective.goal
        held_out.job.X, held_out.job.Y = &self.X.rows, &self.Y.rows
        held_out.job.check = True

    cdef int prepare(self, int threads, char* parameters) except -1:
        """Allocate the memory for a call with ``threads`` threads."""
        self.space = workspace_for(&self.plan.net, self.held_out.n_rows, threads, False)
        self.space.buffers.parameters = parameters
        self.held_out.job.to = &self.space.buffers
        return 0


cdef void evaluate_rows(HeldOut* held_out, const real* parameters) noexcept nogil:
    """Compute loss and metric; undefined if the job is bad or stopped."""
    cdef:
        Job* job = &held_out.job
        const Layer* last = &job.net.layers[job.net.n_layers - 1]
        double total = loss_of(job, 0, held_out.n_rows, parameters)
    if job.bad or job.interrupt.stop:
        return
    held_out.loss = job.goal.factor * total / held_out.weight
    if job.goal.units != NULL:
        held_out.unit_loss = unit_loss_of(job, held_out.n_rows) / held_out.weight
    job.check = False
    if held_out.metric == NO_METRIC:
        return
    if job.goal.linear:
        elementwise.output_sigma(last.activation, <const real*>job.out, <real*>job.out,
                                 held_out.n_rows, last.n_out)
    if held_out.metric == ACCURACY:
        held_out.value = accuracy(held_out, <const real*>job.out)
    elif held_out.metric == R2:
        held_out.value = r2(held_out, <const real*>job.out)


cdef inline const real* targets(HeldOut* held_out, Py_ssize_t first, Py_ssize_t rows,
                                const real* Y_hat) noexcept nogil:
    return read_rows(held_out.job.Y, held_out.job.order, first, rows, <real*>held_out.job.to.Y,
                     NULL)


cdef Py_ssize_t class_of(const real* y, Py_ssize_t n) noexcept nogil:
    """The index of the first largest entry; for one output, whether it is at least a half."""
    cdef Py_ssize_t j, best = 0
    if n == 1:
        return y[0] >= 0.5
    for j in range(1, n):
        if y[j] > y[best]:
            best = j
    return best


cdef double accuracy(HeldOut* held_out, const real* Y_hat) noexcept nogil:
    cdef:
        Py_ssize_t n_out = held_out.job.net.layers[held_out.job.net.n_layers - 1].n_out
        Py_ssize_t first = 0
        Py_ssize_t right = 0
        Py_ssize_t counted = 0
        Py_ssize_t rows, i, j
        bint missing
        const real* Y
    while first < held_out.n_rows:
        rows = min(held_out.job.net.block_rows, held_out.n_rows - first)
        Y = targets(held_out, first, rows, Y_hat)
        for i in range(rows):
            missing = False
            for j in range(n_out):
                missing = missing or isnan(Y[i * n_out + j])
            if not missing:
                counted += 1
                right += class_of(Y + i * n_out, n_out) == class_of(
                    Y_hat + (first + i) * n_out, n_out)
        first += rows
    return <double>right / counted if counted > 0 else 0.0


cdef void find_variations(HeldOut* held_out, const real* Y_hat) noexcept nogil:
    """Each column's sum (y - mean y)^2, by Welford's updates (Technometrics 4, 1962)."""
    cdef:
        Py_ssize_t n_out = held_out.job.net.layers[held_out.job.net.n_layers - 1].n_out
        Py_ssize_t first = 0
        Py_ssize_t rows, i, j
        double* variation = held_out.sums
        double* mean = held_out.sums + n_out
        double* counted = held_out.sums + 2 * n_out
        double difference
        const real* Y
    for j in range(3 * n_out):
        held_out.sums[j] = 0.0
    while first < held_out.n_rows:
        rows = min(held_out.job.net.block_rows, held_out.n_rows - first)
        Y = targets(held_out, first, rows, Y_hat)
        for i in range(rows):
            for j in range(n_out):
                if not isnan(Y[i * n_out + j]):
                    counted[j] += 1
                    difference = Y[i * n_out + j] - mean[j]
                    mean[j] += difference / counted[j]
                    variation[j] += difference * (Y[i * n_out + j] - mean[j])
        first += rows
    held_out.known = True


cdef double r2(HeldOut* held_out, const real* Y_hat) noexcept nogil:
    cdef:
        Py_ssize_t n_out = held_out.job.net.layers[held_out.job.net.n_layers - 1].n_out
        Py_ssize_t first = 0
        Py_ssize_t rows, i, j
        double* residual = held_out.sums + n_out
        double difference
        double total = 0.0
        const real* Y
    if not held_out.known:
        find_variations(held_out, Y_hat)
    for j in range(n_out):
        residual[j] = 0.0
    while first < held_out.n_rows:
        rows = min(held_out.job.net.block_rows, held_out.n_rows - first)
        Y = targets(held_out, first, rows, Y_hat)
        for i in range(rows):
            for j in range(n_out):
                if not isnan(Y[i * n_out + j]):
                    difference = Y[i * n_out + j] - <double>Y_hat[(first + i) * n_out + j]
                    residual[j] += difference * difference
        first += rows
    for j in range(n_out):
        if held_out.sums[j] > 0:
            total += 1 - residual[j] / held_out.sums[j]
        else:
            total += residual[j] == 0
    return total / n_out
