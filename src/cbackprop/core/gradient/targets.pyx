"""Prepares the targets of a block of rows for the loss: reading, weights, missing targets.

The weight of a target is one number per row (the plain objective) or per element: row weights times
output weights, 0 for a missing target.  The loss in the targets' units is the same loss with each
column's unit as a weight.  This file promises to know nothing of the network but its outputs.
"""

from libc.string cimport memcpy

from cbackprop.core.linalg cimport elementwise
from cbackprop.core.gradient.job cimport of_worker
from cbackprop.core.gradient.objective cimport Goal
from cbackprop.core.gradient.plan cimport Layer
from cbackprop.core.data.rows cimport read_rows


cdef const real* read_targets(Job* job, Py_ssize_t row, Py_ssize_t rows, int worker, real* buffer,
                              int* bad, const real** weight) noexcept nogil:
    """Y of ``rows`` rows from ``row``, or dL/dY_hat if that is given.

    buffer : (rows, n_out), used if Y cannot be read in place
    bad : NULL, or set to 1 if a NaN (that is not a missing target) or an infinity is found
    weight : set to NULL, or to the weights of rows (plain objective) or elements
    """
    cdef:
        const Goal* goal = job.goal
        Py_ssize_t n_out = job.net.layers[job.net.n_layers - 1].n_out
        real* elements = <real*>of_worker(job, job.to.element_weight, worker)
        const real* of_rows = NULL
        const real* Y
    weight[0] = NULL
    if job.given != NULL:
        return <const real*>job.given + (row - job.start) * n_out
    Y = read_rows(job.Y, job.order, row, rows, buffer, NULL if goal.missing else bad)
    if job.weight != NULL:
        of_rows = read_rows(job.weight, job.order, row, rows,
                            <real*>of_worker(job, job.to.weight, worker), NULL)
    if goal.plain:
        weight[0] = of_rows
        return Y
    if of_rows == NULL and goal.column_weight == NULL and not goal.missing:
        return Y
    if goal.missing and Y != buffer:
        memcpy(buffer, Y, rows * n_out * sizeof(real))  # its NaN are to become zeros
        Y = buffer
    elementwise.element_weights(of_rows, <const real*>goal.column_weight, <real*>Y, goal.missing,
                                elements, rows, n_out)
    if goal.missing and bad != NULL and not elementwise.all_finite(Y, rows * n_out):
        bad[0] = 1
    weight[0] = elements
    return Y


cdef void unit_loss(Job* job, Py_ssize_t block, const real* Y, const real* Y_hat,
                    const real* weight, Py_ssize_t rows, int worker) noexcept nogil:
    """The block's loss in the targets' units, if needed: each column times its unit."""
    cdef:
        const Goal* goal = job.goal
        const Layer* last = &job.net.layers[job.net.n_layers - 1]
        Py_ssize_t i, j, n_out = last.n_out
        const real* units = <const real*>goal.units
        real* elements = <real*>of_worker(job, job.to.element_weight, worker) + rows * n_out
    if goal.units == NULL or job.given != NULL:
        return
    for i in range(rows):
        for j in range(n_out):
            elements[i * n_out + j] = units[j] if weight == NULL else (
                units[j] * weight[i if goal.plain else i * n_out + j])
    job.to.unit_losses[block] = elementwise.loss_only(
        goal.loss, last.activation, <real>goal.parameter, <const real*>elements, Y, Y_hat, rows,
        n_out)
