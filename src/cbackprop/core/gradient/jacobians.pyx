"""Derivatives of Y_hat by the inputs and by the parameters, a block of rows at a time.

For output k of row n, backpropagation (backprop.pyx) starts from the derivative of y_hat by O
instead of that of the loss, and nothing is summed over rows:

    delta_O = d y_hat_k / d O                        row k of sigma's Jacobian
    delta_H = (delta_O W2^T) * sigma'(H)
    d y_hat_k / d x  = delta_H W1^T                  jacobian
    d y_hat_k / d W2 = z^T delta_O                   parameter_jacobian, (1) of one row
    d y_hat_k / d W1 = x^T delta_H                   (2) of one row
    d y_hat_k / d b  = delta

input_gradient starts from sum_k g_k d y_hat_k / d O.  Scaling is linear: the targets' is a factor
of the start, the inputs' a factor of W1's rows.

A block of rows is a task of the team; rows are independent, so results are bitwise independent of
threads.  This file promises to know no loss.
"""

from cpython.mem cimport PyMem_RawMalloc
from libc.string cimport memcpy, memset

from cbackprop.core.linalg cimport elementwise, product
from cbackprop.core.gradient.backprop cimport (
    forward,
    hidden_delta,
    layer_rows,
    sigma_prime_source,
    transpose_weights,
)
from cbackprop.core.gradient.batch cimport copy_parameters, worthwhile_threads
from cbackprop.core.gradient.plan cimport Layer, Net, Plan
from cbackprop.core.gradient.interrupts cimport Interrupt, Interrupts, stopped
from cbackprop.core.data.rows cimport Rows, RowSource, memory_of, read_rows
from cbackprop.core.simd.dispatch cimport CBP_EXP, CBP_IDENTITY, CBP_SOFTMAX
from cbackprop.core.team cimport team
from cbackprop.core.linalg.types cimport real
from cbackprop.core.gradient.workspace cimport LINE, Workspace

cdef extern from *:
    Py_ssize_t PY_SSIZE_T_MAX

# The size of a block's part of a parameter Jacobian, written once for each output: it fits L2.
cdef Py_ssize_t PARAMETER_BLOCK_BYTES = 256 * 1024

ctypedef struct Job:
    const Net* net
    const Rows* X
    const Rows* G               # NULL: one derivative for each output
    const void* factor          # (n_out,) a factor for each output, or NULL: 1
    bint by_parameters
    Py_ssize_t block_rows
    Py_ssize_t starts           # backward passes per row: n_out, or 1 with G
    Py_ssize_t width            # derivatives from one start: P or n_in
    Interrupt* interrupt
    int bad                     # a NaN or an infinity was found in X or G
    char* parameters            # (P,) a copy
    char* transposed
    char* W1_T                  # (n_hidden, n_in), with the inputs' scale
    char* scratch
    Py_ssize_t worker_bytes
    void* out                   # (N, starts, width)


cdef void start(const Job* job, Py_ssize_t k, const real* G, Py_ssize_t rows,
                real* delta_O) noexcept nogil:
    """delta_O (rows, n_out) = the unit vector of output k, or G; each output times its factor."""
    cdef Py_ssize_t n_out = job.net.layers[job.net.n_layers - 1].n_out
    cdef const real* factor = <const real*>job.factor
    cdef Py_ssize_t n, j
    if G != NULL:
        memcpy(delta_O, G, rows * n_out * sizeof(real))
    else:
        memset(delta_O, 0, rows * n_out * sizeof(real))
        for n in range(rows):
            delta_O[n * n_out + k] = 1
    if factor != NULL:
        for n in range(rows):
            for j in range(n_out):
                delta_O[n * n_out + j] *= factor[j]


cdef void times_output_derivative(int activation, const real* Y_hat, Py_ssize_t rows,
                                  Py_ssize_t n_out, real* delta_O) noexcept nogil:
    """Each row g of delta_O becomes g J, where J = d y_hat / d O is taken from y_hat.

    J is diagonal, sigma'(O), except for softmax: J_kj = y_hat_k (1_{kj} - y_hat_j).
    """
    cdef Py_ssize_t n, j
    cdef real* g
    cdef const real* y_hat
    cdef double mean
    if activation == CBP_SOFTMAX:
        for n in range(rows):
            g, y_hat = delta_O + n * n_out, Y_hat + n * n_out
            mean = 0.0
            for j in range(n_out):
                mean += <double>g[j] * y_hat[j]
            for j in range(n_out):
                g[j] = <real>((g[j] - mean) * y_hat[j])
    elif activation == CBP_EXP:
        for j in range(rows * n_out):
            # An overflowed output must not affect the others: 0 times it is taken as 0.
            delta_O[j] = delta_O[j] * Y_hat[j] if delta_O[j] != 0 else 0
    elif activation != CBP_IDENTITY:
        elementwise.times_sigma_prime(activation, Y_hat, delta_O, rows * n_out)


cdef void times_output_slope(const Net* net, const real* Z, Py_ssize_t rows,
                             real* delta) noexcept nogil:
    """Multiply the output layer's rows of ``delta`` by d y_hat / d O.

    Z : of a block after a forward pass with slopes
    """
    cdef:
        const Layer* last = &net.layers[net.n_layers - 1]
        int activation
        const real* source = sigma_prime_source(last, Z, rows, 0, &activation)
    times_output_derivative(activation, source, rows, last.n_out, layer_rows(delta, last, rows, 0))


cdef void delta_below_output(const Net* net, Py_ssize_t k, const real* transposed, Py_ssize_t rows,
                             const real* Z, real* delta) noexcept nogil:
    """hidden_delta from the output layer if delta_O is 0 except in column k: an outer product.

    It takes n_out times less work than the product, which dominates if outputs outnumber inputs.
    """
    cdef:
        const Layer* upper = &net.layers[net.n_layers - 1]
        const Layer* lower = &net.layers[net.n_layers - 2]
        const real* no_bias = NULL
        const real* delta_k = layer_rows(delta, upper, rows, 0) + k
        const real* w_k = transposed + upper.W_T + k * upper.n_in
        real* delta_H = layer_rows(delta, lower, rows, 0)
        real one = 1
        int activation
        const real* source = sigma_prime_source(lower, Z, rows, 0, &activation)
    if activation != CBP_IDENTITY and elementwise.joins_delta_H(upper.n_in, 1, net.itemsize):
        elementwise.delta_H(activation, delta_k, upper.n_out, rows, 1, w_k, upper.n_in, source,
                            delta_H)
        return
    elementwise.product(rows, upper.n_in, 1, one, delta_k, upper.n_out, 1, w_k, upper.n_in,
                        <real>0, delta_H, upper.n_in, no_bias)
    if activation != CBP_IDENTITY:
        elementwise.times_sigma_prime(activation, source, delta_H, rows * lower.n_out)


cdef void parameter_rows(const Net* net, const real* X, const real* Z, const real* delta,
                         Py_ssize_t rows, Py_ssize_t step, real* out) noexcept nogil:
    """(1) and (2) for each row: row n's grad W = a_n^T delta_n and grad b = delta_n.

    Z, delta : all layers', for a block of ``rows`` rows
    out : row n's (P,) is at n step
    """
    cdef:
        const Layer* layer
        const real* a
        const real* layer_delta
        Py_ssize_t i, n
    for i in range(net.n_layers):
        layer = &net.layers[i]
        a = X if i == 0 else layer_rows(<real*>Z, &net.layers[i - 1], rows, 0)
        layer_delta = layer_rows(<real*>delta, layer, rows, 0)
        elementwise.outer_sums(a, layer.n_in, layer.n_in, <const real*>layer_delta, layer.n_out,
                               layer.n_out, 1, False, 0, layer.n_in, rows, out + layer.W, step)
        if layer.b >= 0:
            for n in range(rows):
                memcpy(out + n * step + layer.b, layer_delta + n * layer.n_out,
                       layer.n_out * sizeof(real))


cdef void block_of_rows(Job* job, Py_ssize_t block, int worker,
                        const real* parameters) noexcept nogil:
    """Task: every derivative of one block of rows."""
    cdef:
        const Net* net = job.net
        const Layer* first = &net.layers[0]
        const Layer* last = &net.layers[net.n_layers - 1]
        Py_ssize_t row = block * job.block_rows
        Py_ssize_t rows = min(job.block_rows, job.X.n_rows - row)
        Py_ssize_t step = job.starts * job.width
        real* X_buffer = <real*>(job.scratch + worker * job.worker_bytes)
        real* G_buffer = X_buffer + job.block_rows * first.n_in
        real* Z = G_buffer + job.block_rows * last.n_out
        real* delta = Z + job.block_rows * net.n_kept
        real* dX = delta + job.block_rows * net.n_units
        real* out = <real*>job.out + row * step
        const real* X
        const real* G = NULL
        bint one_column = (job.G == NULL and last.W_T >= 0 and last.activation != CBP_SOFTMAX)
        Py_ssize_t k, i, n
    if stopped(job.interrupt, worker) or job.bad:
        return
    X = read_rows(job.X, NULL, row, rows, X_buffer, &job.bad)
    if job.G != NULL:
        G = read_rows(job.G, NULL, row, rows, G_buffer, &job.bad)
    forward(net, parameters, X, rows, Z, rows, 0, False, True)
    for k in range(job.starts):
        if stopped(job.interrupt, worker) or job.bad:
            return
        start(job, k, G, rows, layer_rows(delta, last, rows, 0))
        times_output_slope(net, <const real*>Z, rows, delta)
        i = net.n_layers - 1
        if one_column:
            delta_below_output(net, k, <const real*>job.transposed, rows, <const real*>Z, delta)
            i -= 1
        while i > 0:
            hidden_delta(net, i, parameters, <const real*>job.transposed, rows, <const real*>Z,
                         delta, rows, 0)
            i -= 1
        if job.by_parameters:
            parameter_rows(net, X, <const real*>Z, <const real*>delta, rows, step,
                           out + k * job.width)
        else:
            product.delta_W_T(rows, first.n_in, first.n_out,
                              <const real*>layer_rows(delta, first, rows, 0),
                              parameters + first.W, <const real*>job.W1_T, dX)
            for n in range(rows):
                memcpy(out + n * step + k * job.width, dX + n * job.width,
                       job.width * sizeof(real))


cdef void block_of_rows_task(void* job, ptrdiff_t task, int worker) noexcept nogil:
    if (<Job*>job).net.itemsize == 8:
        block_of_rows(<Job*>job, task, worker, <const double*>(<Job*>job).parameters)
    else:
        block_of_rows(<Job*>job, task, worker, <const float*>(<Job*>job).parameters)


cdef void all_blocks(Job* job, team.cbp_team* crew, int threads,
                     const real* parameters) noexcept nogil:
    """Compute the transposes, then every block."""
    cdef:
        const Layer* first = &job.net.layers[0]
        const real* scale = <const real*>job.X.scale
        real* W1_T = <real*>job.W1_T
        Py_ssize_t n_blocks = (job.X.n_rows + job.block_rows - 1) // job.block_rows
        Py_ssize_t i, j
    transpose_weights(job.net, parameters, <real*>job.transposed)
    if not job.by_parameters:
        elementwise.transpose(parameters + first.W, first.n_in, first.n_out, W1_T)
        if scale != NULL:
            for i in range(first.n_out):
                for j in range(first.n_in):
                    W1_T[i * first.n_in + j] *= scale[j]
    if crew == NULL:
        for i in range(n_blocks):
            block_of_rows_task(job, i, 0)
    else:
        team.run(crew, block_of_rows_task, job, n_blocks, threads)


cdef class Call:
    """One call and everything it borrows: sources, memory, signals."""
    cdef Job job
    cdef Plan plan
    cdef RowSource X
    cdef RowSource G
    cdef object borrowed
    cdef Workspace space
    cdef Interrupts interrupts

    def __cinit__(self, Plan plan not None, X, G, bint by_parameters, out, scaling, factor):
        cdef Job* job = &self.job
        cdef const Net* net = &plan.net
        cdef Py_ssize_t n_out = net.layers[net.n_layers - 1].n_out
        shift, scale = (None, None) if scaling is None else scaling
        self.plan, self.borrowed = plan, (out, factor)
        self.X = RowSource(X, net.itemsize, shift, scale)
        if self.X.rows.n_columns != net.layers[0].n_in:
            raise ValueError("X has not the network's number of inputs")
        if G is not None:
            self.G = RowSource(G, net.itemsize)
            if self.G.rows.n_rows != self.X.rows.n_rows or self.G.rows.n_columns != n_out:
                raise ValueError("G has not X's rows or not the network's number of outputs")
            job.G = &self.G.rows
        if factor is not None:
            job.factor = memory_of(factor, "factor", n_out * net.itemsize, False)
        job.net, job.X, job.by_parameters = net, &self.X.rows, by_parameters
        job.starts = n_out if G is None else 1
        job.width = net.n_parameters if by_parameters else net.layers[0].n_in
        # Python integers, since the product may overflow.
        job.out = memory_of(out, "out", <object>self.X.rows.n_rows * <object>job.starts
                            * <object>job.width * net.itemsize, True)
        self.interrupts = Interrupts()
        job.interrupt = &self.interrupts.interrupt

    cdef int lay_out(self, int threads) except -1:
        """Lay out the call's memory: the shared part, then each worker's block of rows."""
        cdef:
            Job* job = &self.job
            const Net* net = job.net
            Py_ssize_t size = net.itemsize
            Py_ssize_t n_in = net.layers[0].n_in
            Py_ssize_t n_out = net.layers[net.n_layers - 1].n_out
            Py_ssize_t row = 2 * n_in + n_out + net.n_kept + net.n_units
            Workspace space = Workspace()
        # Workers share no cache line.
        job.worker_bytes = (job.block_rows * row * size + LINE - 1) // LINE * LINE + LINE
        if job.worker_bytes > PY_SSIZE_T_MAX // 2 // threads:
            raise MemoryError("the network's work space is larger than memory can be")
        for _ in range(2):
            space.n_bytes = 0
            space.lay(&job.parameters, net.n_parameters * size)
            space.lay(&job.transposed, net.n_transposed * size)
            if not job.by_parameters:
                space.lay(&job.W1_T, n_in * net.layers[0].n_out * size)
            space.lay(&job.scratch, threads * job.worker_bytes)
            if space.slab == NULL:
                space.slab = <char*>PyMem_RawMalloc(space.n_bytes + LINE)
                if space.slab == NULL:
                    raise MemoryError(f"no {space.n_bytes} bytes for the network's work space")
        self.space = space
        return 0

    cdef bint run(self, parameters, int n_threads) except -1:
        """Fill ``out``; False if X or G holds a NaN or an infinity."""
        cdef:
            Job* job = &self.job
            const Net* net = job.net
            Py_ssize_t n_rows = job.X.n_rows
            Py_ssize_t rows = min(net.block_rows, n_rows)
            int threads
            team.cbp_team* crew = NULL
        if n_rows == 0:
            return True
        if job.by_parameters:
            # At least four rows, so that a large W is read from memory once for four rows.
            rows = min(rows, max(<Py_ssize_t>4, PARAMETER_BLOCK_BYTES
                                 // (job.starts * job.width * net.itemsize)))
        job.block_rows = rows
        threads = worthwhile_threads(net, n_rows * job.starts, max(1, n_threads))
        threads = <int>min(<Py_ssize_t>threads, (n_rows + rows - 1) // rows)
        self.lay_out(threads)
        copy_parameters(self.plan, parameters, job.parameters)
        if threads > 1:
            crew = team.start(threads)
            if crew == NULL:
                raise MemoryError("no memory for a team of threads")
        with nogil:
            if net.itemsize == 8:
                all_blocks(job, crew, threads, <const double*>job.parameters)
            else:
                all_blocks(job, crew, threads, <const float*>job.parameters)
            team.stop(crew)
        self.interrupts.reraise()
        return not job.bad


def jacobian(Plan plan, parameters, X, out, int n_threads, scaling=None, factor=None):
    """out (N, n_out, n_in) = d Y_hat / d X, output k multiplied by factor[k].

    False: X holds a NaN or an infinity, and ``out`` is undefined.
    """
    return Call(plan, X, None, False, out, scaling, factor).run(parameters, n_threads)


def input_gradient(Plan plan, parameters, X, G, out, int n_threads, scaling=None, factor=None):
    """out (N, n_in) = sum_k factor[k] G[n, k] d y_hat_nk / d x_n.

    False: X or G holds a NaN or an infinity, and ``out`` is undefined.
    """
    if G is None:
        raise ValueError("G is missing")
    return Call(plan, X, G, False, out, scaling, factor).run(parameters, n_threads)


def parameter_jacobian(Plan plan, parameters, X, out, int n_threads, scaling=None, factor=None):
    """out (N, n_out, P) = d Y_hat / d parameters, output k multiplied by factor[k].

    False: X holds a NaN or an infinity, and ``out`` is undefined.
    """
    return Call(plan, X, None, True, out, scaling, factor).run(parameters, n_threads)


def output_derivative(int activation, const real[:, ::1] Y_hat, real[:, ::1] out):
    """Multiply each row g of out (N, n_out) by d y_hat / d O, given Y_hat; for the tests."""
    if Y_hat.shape[0] != out.shape[0] or Y_hat.shape[1] != out.shape[1]:
        raise ValueError("Y_hat and out differ in shape")
    if out.shape[0] == 0 or out.shape[1] == 0:
        return
    with nogil:
        times_output_derivative(activation, &Y_hat[0, 0], out.shape[0], out.shape[1], &out[0, 0])
