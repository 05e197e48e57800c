"""Steps on batches of one to four rows: many in one call of the SIMD kernel ``steps``.

A step on so few rows takes less time than the calls that ``batch.training_step`` makes for it.  For
plain SGD with one hidden layer core/simd/step.h makes complete steps, by the same four lines, and
combines (2) of one row with the next row's forward pass.  If a step is an epoch, one call also
makes many epochs (see epochs.pyx).  This file gathers the rows for it.  The choice changes the last
bits, so it depends only on the shape, the rule and the batch size.
"""

from libc.math cimport isfinite
from libc.stdint cimport int64_t

from cbackprop.core.gradient.plan cimport Layer
from cbackprop.core.data.rows cimport read_rows
from cbackprop.core.simd.dispatch cimport cbp_two_layers_f32, cbp_two_layers_f64, f32, f64


cdef bint takes(const Job* job, const Rule* rule, Py_ssize_t batch_rows) noexcept nogil:
    """Whether batches of up to ``batch_rows`` rows are fused."""
    return (batch_rows <= job.net.few_rows and rule.fusable and not rule.whole and job.goal.plain
            and job.weight == NULL and job.goal.units == NULL)


cdef Py_ssize_t training_steps(Job* job, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t n_steps,
                               const Rule* rule, real* parameters, double* squares,
                               double* each) noexcept nogil:
    """``n_steps`` steps, each on the next ``rows`` rows from ``start``; returns how many were made.

    Fewer are made if ``job.bad`` is set, or ``squares`` becomes infinite or NaN.

    parameters : those of the job's buffers
    squares : each step's sum of (Y - Y_hat)^2 is added
    each : NULL; or (n_steps,): all steps use the same rows, two or more, and store their sums here;
        ``squares`` is the last sum, and an infinite or NaN parameter ends the steps too
    """
    cdef:
        const Layer* hidden = &job.net.layers[0]
        const Layer* output = &job.net.layers[1]
        cbp_two_layers_f64 net_64
        cbp_two_layers_f32 net_32
        bint direct = job.X.in_place and job.Y.in_place and not job.check
        int* bad = &job.bad if job.check else NULL
        const int64_t* order = NULL
        const real* X
        const real* Y
        Py_ssize_t done = 0
        Py_ssize_t some, made, count
        double alpha = -rule.learning_rate * (1.0 / rows)
    if real is double:
        net_64.n_in, net_64.n_hidden, net_64.n_out = hidden.n_in, hidden.n_out, output.n_out
        net_64.hidden_activation = hidden.activation
        net_64.output_activation = output.activation
        net_64.W1, net_64.W2 = parameters + hidden.W, parameters + output.W
        net_64.b1 = parameters + hidden.b if hidden.b >= 0 else NULL
        net_64.b2 = parameters + output.b if output.b >= 0 else NULL
    else:
        net_32.n_in, net_32.n_hidden, net_32.n_out = hidden.n_in, hidden.n_out, output.n_out
        net_32.hidden_activation = hidden.activation
        net_32.output_activation = output.activation
        net_32.W1, net_32.W2 = parameters + hidden.W, parameters + output.W
        net_32.b1 = parameters + hidden.b if hidden.b >= 0 else NULL
        net_32.b2 = parameters + output.b if output.b >= 0 else NULL
    while done < n_steps:
        if direct:
            # The epoch's rows in place, or through the order.
            some = n_steps - done
            if job.order == NULL:
                X = <const real*>(job.X.data + start * job.X.row_stride)
                Y = <const real*>(job.Y.data + start * job.Y.row_stride)
            else:
                order = job.order + start
                X, Y = <const real*>job.X.data, <const real*>job.Y.data
        else:
            some = n_steps - done
            if each == NULL:
                some = min(some, job.to.gathered_rows // rows)
            count = rows if each != NULL else some * rows
            X = read_rows(job.X, job.order, start, count, <real*>job.to.X, bad)
            Y = read_rows(job.Y, job.order, start, count, <real*>job.to.Y, bad)
            if job.bad:
                return done
        if real is double:
            made = f64.steps(&net_64, X, Y, order, rows, some, alpha, <double*>job.to.few, squares,
                              each)
        else:
            made = f32.steps(&net_32, X, Y, order, rows, some, <float>alpha, <float*>job.to.few,
                             squares, each)
        done += made
        start += made * rows
        if each != NULL or not isfinite(squares[0]):
            return done
    return done
