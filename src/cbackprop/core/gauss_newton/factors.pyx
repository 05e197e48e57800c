"""The rows of J in factored form, from which J'J and J J' are computed without forming J.

J has a row for each row n and output k: the derivative of the weighted residual of y_hat_nk by the
parameters, computed by backpropagation from another start (jacobians.pyx):

    J'J = sum_nk w_nk c_nk j_nk' j_nk       c_nk: the loss's curvature, below

    from y_hat          j_nk = d y_hat_nk / d parameters        c = d2l/dy_hat2; squared error: 1
    from O              j_nk = d o_nk / d parameters            c = d2l/dO2

the generalised Gauss-Newton matrix (Schraudolph, Neural Computation 14, 2002).  Only softmax's
cross-entropy has a matrix as curvature, one per row, and uses a square root, d2l/dO2 = B B':

    B = diag(q) (I - q q'),  q = sqrt(y_hat); times the root of sum_k y_k

In each layer such a row is an outer product a' delta of the layer's inputs, which do not depend on
k, followed by 1 for the bias, and of its delta.  These factors are stored in double.  J'e is the
gradient by ordinary backpropagation, unless it is computed with the sums.  This file does not sum
such rows.
"""

from libc.math cimport sqrt
from libc.string cimport memcpy, memset

from cbackprop.core.linalg cimport elementwise
from cbackprop.core.gradient.backprop cimport (
    back,
    forward,
    hidden_delta,
    layer_rows,
    output_loss,
    slope_rows,
)
from cbackprop.core.gradient.jacobians cimport delta_below_output, times_output_slope
from cbackprop.core.gradient.job cimport of_worker
from cbackprop.core.gradient.objective cimport Goal
from cbackprop.core.data.rows cimport read_rows
from cbackprop.core.simd.dispatch cimport CBP_SIGMOID, CBP_SOFTMAX
from cbackprop.core.gradient.targets cimport read_targets

# No other Cython file knows losses by name.
cdef extern from "simd.h" nogil:
    enum:
        CBP_CROSS_ENTROPY
        CBP_POISSON
        CBP_LOG_COSH
        CBP_GAMMA


cdef inline real curvature(int loss, real y, real y_hat) noexcept nogil:
    """The second derivative of a loss, at least 0: c above.

        squared error       1
        cross-entropy       y_hat (1 - y_hat)                   of a sigmoid, from O
        Poisson             y_hat                               exp(O), from O
        log cosh            1 - tanh(d)^2 = 4 s (1 - s)         d = y_hat - y, s = sigma(-2 |d|)
        gamma               y / y_hat                           y exp(-O), from O

    The form with s keeps its relative accuracy where tanh(d) rounds to 1.
    """
    cdef real x
    if loss == CBP_CROSS_ENTROPY:
        return y_hat * (1 - y_hat)
    if loss == CBP_POISSON:
        return y_hat
    if loss == CBP_GAMMA:
        return y / y_hat
    if loss == CBP_LOG_COSH:
        x = 2 * (y_hat - y if y_hat < y else y - y_hat)
        elementwise.sigma(CBP_SIGMOID, &x, &x, 1)
        return 4 * x * (1 - x)
    return 1


cdef bint elementwise_output(const Net* net) noexcept nogil:
    """Whether the output layer's delta for row (n, k) of J is 0 except at k."""
    return net.layers[net.n_layers - 1].activation != CBP_SOFTMAX


cdef void start(const Goal* goal, int activation, Py_ssize_t k, const real* Y, const real* Y_hat,
                const real* weight, Py_ssize_t rows, Py_ssize_t n_out,
                real* delta_O) noexcept nogil:
    """delta_O (rows, n_out), from which backpropagation computes row (n, k) of J."""
    cdef Py_ssize_t n, j
    cdef real root, share
    cdef const real* p
    cdef real* d
    if goal.loss == CBP_CROSS_ENTROPY and activation == CBP_SOFTMAX:
        for n in range(rows):
            p, d = Y_hat + n * n_out, delta_O + n * n_out
            share = 0
            for j in range(n_out):
                share += Y[n * n_out + j] * (1 if weight == NULL else weight[n * n_out + j])
            root = <real>sqrt(share * p[k])
            for j in range(n_out):
                d[j] = -p[j] * root
            d[k] += root
        return
    memset(delta_O, 0, rows * n_out * sizeof(real))
    for n in range(rows):
        if weight == NULL and goal.squared:
            delta_O[n * n_out + k] = 1
            continue
        root = 1 if weight == NULL else weight[n if goal.plain else n * n_out + k]
        if root != 0:   # a curvature of 0 / 0 or of infinity is not to be multiplied by 0
            root *= curvature(goal.loss, Y[n * n_out + k], Y_hat[n * n_out + k])
        delta_O[n * n_out + k] = <real>sqrt(root)


cdef void deltas_for(const Job* job, Py_ssize_t k, const real* Y, const real* Y_hat,
                     const real* weight, Py_ssize_t rows, const real* parameters,
                     const real* transposed, const real* Z, real* delta) noexcept nogil:
    """Every layer's delta for the block's rows (n, k) of J."""
    cdef:
        const Net* net = job.net
        const Layer* last = &net.layers[net.n_layers - 1]
        Py_ssize_t i = net.n_layers - 1
    start(job.goal, last.activation, k, Y, Y_hat, weight, rows, last.n_out,
          layer_rows(delta, last, rows, 0))
    if not job.goal.linear:
        times_output_slope(net, Z, rows, delta)
    if last.W_T >= 0 and elementwise_output(net):
        delta_below_output(net, k, transposed, rows, Z, delta)
        i -= 1
    while i > 0:
        hidden_delta(net, i, parameters, transposed, rows, Z, delta, rows, 0)
        i -= 1


cdef void copy_rows(const real* x, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t step,
                    double* to) noexcept nogil:
    """Copy row i of x (rows, columns) to i step of ``to``."""
    cdef Py_ssize_t i, j
    if real is double and step == columns:
        memcpy(to, x, rows * columns * sizeof(double))
        return
    for i in range(rows):       # rows are short: calling memcpy would take as long as copying
        for j in range(columns):
            to[i * step + j] = x[i * columns + j]


cdef void keep_inputs(const Net* net, const real* X, const real* Z, Py_ssize_t rows,
                      const Factors* to, Py_ssize_t at) noexcept nogil:
    cdef Py_ssize_t i, n, n_in, width
    cdef double* inputs
    for i in range(net.n_layers):
        n_in, width = net.layers[i].n_in, width_of(&net.layers[i])
        inputs = inputs_of(net, to, i, at)
        copy_rows(X if i == 0 else layer_rows(<real*>Z, &net.layers[i - 1], rows, 0), rows, n_in,
                  width, inputs)
        if width > n_in:
            for n in range(rows):
                inputs[n * width + n_in] = 1.0


cdef void keep_deltas(const Net* net, const real* delta, Py_ssize_t k, Py_ssize_t rows,
                      const Factors* to, Py_ssize_t at) noexcept nogil:
    cdef Py_ssize_t i, n_out
    for i in range(net.n_layers):
        n_out = net.layers[i].n_out
        copy_rows(<const real*>layer_rows(<real*>delta, &net.layers[i], rows, 0), rows, n_out,
                  n_targets(net) * n_out, deltas_of(net, to, i, at) + k * n_out)


cdef double how_many(const Job* job, double weight_mean, const real* weight,
                     Py_ssize_t rows) noexcept nogil:
    """The number of the block's targets, or their weights' sum if weights are numbers of rows."""
    cdef Py_ssize_t i, n
    cdef Py_ssize_t none = 0
    cdef Py_ssize_t n_out = n_targets(job.net)
    cdef double total = 0.0
    if weight == NULL:
        return rows * n_out
    n = rows if job.goal.plain else rows * n_out
    if weight_mean > 0:
        for i in range(n):
            total += weight[i]
        return weight_mean * total * (n_out if job.goal.plain else 1)
    for i in range(n):
        none += weight[i] == 0
    return (n - none) * (n_out if job.goal.plain else 1)


cdef double block_factors(Job* job, const real* parameters, const real* transposed,
                          Py_ssize_t first, Py_ssize_t rows, int worker, double weight_mean,
                          real* delta, double beta, real* gradient, const Factors* to,
                          Py_ssize_t at, double* measured) noexcept nogil:
    """A block's summed loss (returned), gradient = beta gradient + the block's, and factors.

    If ``job.bad`` is set, all are undefined.  If the job keeps activations, they are those at
    ``parameters``.

    delta : (rows, n_units), scratch memory
    gradient : NULL if J' times the residuals gives it
    at : the block's first row in ``to``
    measured : set to the number of targets
    """
    cdef:
        const Net* net = job.net
        const Layer* last = &net.layers[net.n_layers - 1]
        Py_ssize_t n_out = last.n_out
        int* bad = &job.bad if job.check else NULL
        real* Z = <real*>of_worker(job, job.to.Z, worker)
        Py_ssize_t i, k
        double loss
        double* residuals
        const real* X
        const real* Y
        const real* weight
        real* Y_hat
    X = read_rows(job.X, job.order, first, rows, <real*>of_worker(job, job.to.X, worker), bad)
    Y = read_targets(job, first, rows, worker, <real*>of_worker(job, job.to.Y, worker), bad,
                     &weight)
    if job.bad:
        return 0.0
    measured[0] = how_many(job, weight_mean, weight, rows)
    if job.kept == NULL:
        forward(net, parameters, X, rows, Z, rows, 0, job.goal.linear, True)
    else:
        for i in range(net.n_layers):
            memcpy(layer_rows(Z, &net.layers[i], rows, 0),
                   layer_rows(<real*>job.kept, &net.layers[i], job.count, first),
                   rows * net.layers[i].n_out * sizeof(real))
            if net.layers[i].slope >= 0:
                memcpy(slope_rows(Z, &net.layers[i], rows, 0),
                       slope_rows(<real*>job.kept, &net.layers[i], job.count, first),
                       rows * net.layers[i].n_out * sizeof(real))
    Y_hat = layer_rows(Z, last, rows, 0)
    if gradient == NULL:
        loss = output_loss(net, job.goal, Y, <const real*>Y_hat, weight, rows)
    else:
        loss = back(net, job.goal, parameters, transposed, X, Y, weight, rows, Z, delta, rows, 1.0,
                    beta, gradient)
    if job.goal.linear:
        elementwise.output_sigma(last.activation, <const real*>Y_hat, Y_hat, rows, n_out)
    if to.residuals != NULL:
        residuals = to.residuals + at * n_out
        for i in range(rows * n_out):
            residuals[i] = <double>Y_hat[i] - <double>Y[i]
        if weight != NULL:
            for i in range(rows * n_out):
                residuals[i] *= sqrt(<double>weight[i // n_out if job.goal.plain else i])
    keep_inputs(net, X, <const real*>Z, rows, to, at)
    for k in range(n_out):
        deltas_for(job, k, Y, <const real*>Y_hat, weight, rows, parameters, transposed,
                   <const real*>Z, delta)
        keep_deltas(net, <const real*>delta, k, rows, to, at)
    return loss
