"""Validation and test rows: their loss, and a metric from the same forward pass.

    accuracy    the share of rows whose class is right: the largest output, or one output's half
    R2          1 - sum (y - y_hat)^2 / sum (y - mean y)^2, the mean over the outputs

A row with a missing target has no accuracy, a missing target no part in R2.  Where a column of
targets is constant, R2 is 1 if it is met exactly and else 0 (as scikit-learn's ``r2_score``).
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


cdef class Exam:
    """Rows that are looked at after each epoch.

    Parameters
    ----------
    X, Y : arrays
        As ``RowSource`` takes them; shapes are checked here.
    weight : ndarray (N,) of float64, optional
    rows : ndarray of int64, optional
        Which rows; all without.
    metric : None, "accuracy", "r2" or "outputs"
    outputs : ndarray (n_rows, n_out) of the network's dtype, optional
        Takes Y_hat; wanted by every metric.
    """

    def __cinit__(self, Plan plan not None, Objective objective not None, X, Y, *, weight=None,
                  rows=None, metric=None, outputs=None, scaling=None, target_scaling=None):
        cdef:
            Sheet* sheet = &self.sheet
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
        sheet.n_rows = self.X.rows.n_rows
        if rows is not None:
            order = rows
            sheet.n_rows = order.shape[0]
            for i in range(sheet.n_rows):
                if not 0 <= order[i] < self.X.rows.n_rows:
                    raise ValueError("rows holds row numbers")
            sheet.job.order = &order[0] if sheet.n_rows > 0 else NULL
        if sheet.n_rows < 1:
            raise ValueError("at least one row")
        sheet.weight = sheet.n_rows
        if weight is not None:
            weights = weight
            self.weight = RowSource(weight.reshape(-1, 1), plan.net.itemsize)
            if self.weight.rows.n_rows != self.X.rows.n_rows:
                raise ValueError("one weight for each row")
            sheet.job.weight = &self.weight.rows
            sheet.weight = 0.0
            for i in range(sheet.n_rows):
                sheet.weight += weights[order[i] if rows is not None else i]
        sheet.metric = METRICS[metric]
        if sheet.metric != NO_METRIC:
            sheet.job.out = memory_of(outputs, "outputs",
                                      sheet.n_rows * last.n_out * plan.net.itemsize, True)
            self.outputs = outputs
        self.sums = np.zeros(3 * last.n_out)
        sheet.sums = &self.sums[0]
        sheet.job.net = &plan.net
        sheet.job.goal = &objective.goal
        sheet.job.X, sheet.job.Y = &self.X.rows, &self.Y.rows
        sheet.job.check = True

    cdef int prepare(self, int threads, char* parameters) except -1:
        """Take the memory for a call with so many threads."""
        self.space = workspace_for(&self.plan.net, self.sheet.n_rows, threads, False)
        self.space.buffers.parameters = parameters
        self.sheet.job.to = &self.space.buffers
        return 0


cdef void sit(Sheet* sheet, const real* parameters) noexcept nogil:
    """Loss and metric; meaningless when the job is bad or stopped."""
    cdef:
        Job* job = &sheet.job
        const Layer* last = &job.net.layers[job.net.n_layers - 1]
        double total = loss_of(job, 0, sheet.n_rows, parameters)
    if job.bad or job.beat.stop:
        return
    sheet.loss = job.goal.factor * total / sheet.weight
    if job.goal.units != NULL:
        sheet.unit_loss = unit_loss_of(job, sheet.n_rows) / sheet.weight
    job.check = False
    if sheet.metric == NO_METRIC:
        return
    if job.goal.linear:
        elementwise.output_sigma(last.activation, <const real*>job.out, <real*>job.out,
                                 sheet.n_rows, last.n_out)
    if sheet.metric == ACCURACY:
        sheet.value = accuracy(sheet, <const real*>job.out)
    elif sheet.metric == R2:
        sheet.value = r2(sheet, <const real*>job.out)


cdef inline const real* targets(Sheet* sheet, Py_ssize_t first, Py_ssize_t rows,
                                const real* Y_hat) noexcept nogil:
    return read_rows(sheet.job.Y, sheet.job.order, first, rows, <real*>sheet.job.to.Y, NULL)


cdef Py_ssize_t class_of(const real* y, Py_ssize_t n) noexcept nogil:
    """The largest entry, the first of equals; of one output whether it is at least a half."""
    cdef Py_ssize_t j, best = 0
    if n == 1:
        return y[0] >= 0.5
    for j in range(1, n):
        if y[j] > y[best]:
            best = j
    return best


cdef double accuracy(Sheet* sheet, const real* Y_hat) noexcept nogil:
    cdef:
        Py_ssize_t n_out = sheet.job.net.layers[sheet.job.net.n_layers - 1].n_out
        Py_ssize_t first = 0
        Py_ssize_t right = 0
        Py_ssize_t counted = 0
        Py_ssize_t rows, i, j
        bint missing
        const real* Y
    while first < sheet.n_rows:
        rows = min(sheet.job.net.block_rows, sheet.n_rows - first)
        Y = targets(sheet, first, rows, Y_hat)
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


cdef void find_variations(Sheet* sheet, const real* Y_hat) noexcept nogil:
    """Each column's sum (y - mean y)^2, by Welford's updates (Technometrics 4, 1962)."""
    cdef:
        Py_ssize_t n_out = sheet.job.net.layers[sheet.job.net.n_layers - 1].n_out
        Py_ssize_t first = 0
        Py_ssize_t rows, i, j
        double* variation = sheet.sums
        double* mean = sheet.sums + n_out
        double* counted = sheet.sums + 2 * n_out
        double difference
        const real* Y
    for j in range(3 * n_out):
        sheet.sums[j] = 0.0
    while first < sheet.n_rows:
        rows = min(sheet.job.net.block_rows, sheet.n_rows - first)
        Y = targets(sheet, first, rows, Y_hat)
        for i in range(rows):
            for j in range(n_out):
                if not isnan(Y[i * n_out + j]):
                    counted[j] += 1
                    difference = Y[i * n_out + j] - mean[j]
                    mean[j] += difference / counted[j]
                    variation[j] += difference * (Y[i * n_out + j] - mean[j])
        first += rows
    sheet.known = True


cdef double r2(Sheet* sheet, const real* Y_hat) noexcept nogil:
    cdef:
        Py_ssize_t n_out = sheet.job.net.layers[sheet.job.net.n_layers - 1].n_out
        Py_ssize_t first = 0
        Py_ssize_t rows, i, j
        double* residual = sheet.sums + n_out
        double difference
        double total = 0.0
        const real* Y
    if not sheet.known:
        find_variations(sheet, Y_hat)
    for j in range(n_out):
        residual[j] = 0.0
    while first < sheet.n_rows:
        rows = min(sheet.job.net.block_rows, sheet.n_rows - first)
        Y = targets(sheet, first, rows, Y_hat)
        for i in range(rows):
            for j in range(n_out):
                if not isnan(Y[i * n_out + j]):
                    difference = Y[i * n_out + j] - <double>Y_hat[(first + i) * n_out + j]
                    residual[j] += difference * difference
        first += rows
    for j in range(n_out):
        if sheet.sums[j] > 0:
            total += 1 - residual[j] / sheet.sums[j]
        else:
            total += residual[j] == 0
    return total / n_out
