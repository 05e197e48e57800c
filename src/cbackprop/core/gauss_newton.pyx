"""J'J and J'e over row blocks: what a Gauss-Newton step is solved from.

J has a row for each row n and output k: the derivative of the weighted residual of y_hat_nk by the
parameters, made by the lines of backpropagation from another start (derivatives.pyx):

    squared error       J'J = sum_nk w_nk j_nk' j_nk        j_nk = d y_hat_nk / d parameters
    cross-entropy, Poisson: the generalised Gauss-Newton matrix (Schraudolph, Neural Computation 14,
    2002), J'J = sum_n J_O' (d2l/dO2) J_O, by a root B of d2l/dO2 = B B'
        sigmoid         B = sqrt(y_hat (1 - y_hat))
        softmax         B = diag(q) (I - q q'),  q = sqrt(y_hat); times the root of sum_k y_k
        Poisson         B = sqrt(y_hat)

J'e is the gradient, by the four lines themselves.  J is never stored whole.

By leaves (small P): a leaf is a run of blocks whose J'J accumulate in order; the leaves, whose
number the rows alone decide, are joined by the pairwise tree.  By tiles: for a super-block of rows
first J, blocks of rows in parallel, then J'J by fixed tiles of its lower triangle, rows in order
inside a tile: one accumulator, however many threads.  Either way the bits do not depend on the
threads.

The dual, for fewer rows of J than parameters: J J' is P times smaller than J'J, and needs no J.  A
row of J is, layer by layer, an outer product a' delta, so

    (J J')_mm' = sum over layers  (a_m a_m' + 1) (delta_m delta_m')         1: the bias

This file knows no solver: what is done with the sums is normal.pyx's and marquardt.pyx's.
"""

from cpython.mem cimport PyMem_RawCalloc
from libc.math cimport sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from cbackprop.core cimport blas, elementwise, product
from cbackprop.core.backprop cimport (
    backprop,
    forward,
    hidden_delta,
    layer_rows,
    transpose_weights,
)
from cbackprop.core.batch cimport (
    copy_parameters,
    pairwise_sum,
    read_targets,
    worthwhile_threads,
)
from cbackprop.core.derivatives cimport (
    delta_below_output,
    parameter_rows,
    times_output_derivative,
)
from cbackprop.core.objective cimport Goal, Objective
from cbackprop.core.plan cimport Layer, Net, Plan
from cbackprop.core.pulse cimport Pulse, check_beat
from cbackprop.core.rows cimport RowSource, memory_of, read_rows
from cbackprop.core.simd cimport dispatch
from cbackprop.core.simd.dispatch cimport (
    CBP_CROSS_ENTROPY,
    CBP_POISSON,
    CBP_SOFTMAX,
    CBP_SQUARED_ERROR,
)
from cbackprop.core.team cimport team
from cbackprop.core.team.team cimport cbp_task
from cbackprop.core.workspace cimport Workspace, workspace_for

cdef extern from *:
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    LINE = 64                   # bytes of a cache line
    # J'J is updated by strips of so many of its rows: each ends at the diagonal, or little beyond.
    # At P = 61 with AVX2 a system by 8, 16, 24 rows takes 1.3, 1.05, 1.09 times as long.
    STRIP = 12

# Up to this many bytes of J'J each leaf has one of its own.
cdef Py_ssize_t LARGEST_LEAF_MATRIX = 256 * 1024
cdef Py_ssize_t MOST_LEAVES = 16
cdef Py_ssize_t LEAF_ROWS = 256
# A block of J is read back while it is in L1 or near it; a super-block's from the last cache.
cdef Py_ssize_t BLOCK_BYTES = 64 * 1024
cdef Py_ssize_t SUPER_BYTES = 8 * 1024 * 1024


cdef inline bint leave(System* s, int worker) noexcept nogil:
    """Whether to abandon the call; the calling thread listens for signals here."""
    if worker == 0:
        check_beat(s.job.beat)
    return s.job.beat.stop or s.job.bad


cdef void share_out(System* s, cbp_task task, Py_ssize_t n_tasks) noexcept nogil:
    """Run tasks 0 .. n_tasks - 1, by the team where there is one and more than one task."""
    cdef Py_ssize_t i
    if s.job.team == NULL or s.job.active < 2 or n_tasks < 2:
        for i in range(n_tasks):
            task(s, i, 0)
    else:
        team.run(s.job.team, task, s, n_tasks, s.job.active)


cdef inline char* buffer_of(const System* s, char* region, int worker) noexcept nogil:
    """A worker's region of the job's workspace."""
    return region + worker * s.job.to.worker_bytes


# --- a block of J ---------------------------------------------------------------------------------

cdef void start(const Goal* goal, int activation, Py_ssize_t k, const real* Y, const real* Y_hat,
                const real* weight, Py_ssize_t rows, Py_ssize_t n_out,
                real* delta_O) noexcept nogil:
    """delta_O (rows, n_out) from which the lines of backpropagation make row (n, k) of J."""
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
        root = 1 if weight == NULL else weight[n if goal.plain else n * n_out + k]
        share = Y_hat[n * n_out + k]
        if goal.loss == CBP_CROSS_ENTROPY:
            root *= share * (1 - share)
        elif goal.loss == CBP_POISSON:
            root *= share
        delta_O[n * n_out + k] = <real>sqrt(root)
    if goal.loss == CBP_SQUARED_ERROR:
        times_output_derivative(activation, Y_hat, rows, n_out, delta_O)


cdef void delta_of_output(System* s, Py_ssize_t k, const real* Y, const real* Y_hat,
                          const real* weight, Py_ssize_t rows, const real* parameters,
                          const real* Z, real* delta) noexcept nogil:
    """Every layer's delta of the block's rows (n, k) of J."""
    cdef:
        const Net* net = s.job.net
        const Goal* goal = s.job.goal
        const Layer* last = &net.layers[net.n_layers - 1]
        Py_ssize_t i = net.n_layers - 1
    start(goal, last.activation, k, Y, Y_hat, weight, rows, s.n_out,
          layer_rows(delta, last, rows, 0))
    if last.W_T >= 0 and last.activation != CBP_SOFTMAX:
        delta_below_output(net, k, <const real*>s.transposed, rows, Z, delta)
        i -= 1
    while i > 0:
        hidden_delta(net, i, parameters, <const real*>s.transposed, rows, Z, delta, rows, 0)
        i -= 1


cdef double how_many(const System* s, const real* weight, Py_ssize_t rows) noexcept nogil:
    """How many of the block's targets count; their weights' sum where they count rows."""
    cdef Py_ssize_t i, n
    cdef Py_ssize_t none = 0
    cdef double total = 0.0
    if weight == NULL:
        return rows * s.n_out
    n = rows if s.job.goal.plain else rows * s.n_out
    if s.weight_mean > 0:
        for i in range(n):
            total += weight[i]
        return s.weight_mean * total * (s.n_out if s.job.goal.plain else 1)
    for i in range(n):
        none += weight[i] == 0
    return (n - none) * (s.n_out if s.job.goal.plain else 1)


cdef void block(System* s, Py_ssize_t first, Py_ssize_t rows, int worker, double beta,
                real* gradient, double* J, const real* parameters) noexcept nogil:
    """Loss, gradient = beta gradient + the block's, and J (rows n_out, P) of a block of rows.

    J : not in the dual, which keeps what J is made of instead
    """
    cdef:
        Job* job = s.job
        const Net* net = job.net
        const Layer* last = &net.layers[net.n_layers - 1]
        int* bad = &job.bad if job.check else NULL
        real* Z = <real*>buffer_of(s, job.to.Z, worker)
        real* delta = <real*>(s.scratch + worker * s.worker_bytes)
        real* rows_of_J = delta + rows * net.n_units
        Py_ssize_t width = s.n_out * s.P
        Py_ssize_t k
        const real* X
        const real* Y
        const real* weight
        real* Y_hat
    X = read_rows(job.X, job.order, first, rows, <real*>buffer_of(s, job.to.X, worker), bad)
    Y = read_targets(job, first, rows, worker, <real*>buffer_of(s, job.to.Y, worker), bad, &weight)
    if job.bad:
        return
    s.counts[first // s.block_rows] = how_many(s, weight, rows)
    s.losses[first // s.block_rows] = backprop(
        net, job.goal, parameters, <const real*>s.transposed, X, Y, weight, rows, Z, delta, rows,
        1.0, beta, gradient)
    Y_hat = layer_rows(Z, last, rows, 0)
    if job.goal.linear:
        elementwise.output_sigma(last.activation, <const real*>Y_hat, Y_hat, rows, s.n_out)
    if s.dual:
        keep(s, first, rows, X, Y, <const real*>Y_hat, weight, <const real*>Z)
    if real is double:
        rows_of_J = J
    for k in range(s.n_out):
        delta_of_output(s, k, Y, <const real*>Y_hat, weight, rows, parameters, <const real*>Z,
                        delta)
        if s.dual:
            keep_delta(s, first, rows, k, <const real*>delta)
        else:
            parameter_rows(net, X, <const real*>Z, <const real*>delta, rows, width,
                           rows_of_J + k * s.P)
    if real is float:
        if not s.dual:
            dispatch.f64.gather_f32(<const char*>rows_of_J, width * sizeof(float), NULL, rows,
                                    width, J)


cdef void rank_update(System* s, const double* J, Py_ssize_t rows, double beta,
                      double* A) noexcept nogil:
    """A = beta A + J'J in the lower triangle, J (rows, P)."""
    cdef Py_ssize_t P = s.P
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t m
    cdef const double* no_bias = NULL
    while i < P:
        m = min(<Py_ssize_t>STRIP, P - i)
        elementwise.product(m, i + m, rows, <double>1.0, J + i, 1, P, J, P, beta, A + i * P, P,
                            no_bias)
        i += m


# --- by leaves ------------------------------------------------------------------------------------

cdef inline double* matrix_of(System* s, Py_ssize_t leaf) noexcept nogil:
    return s.A if leaf == 0 else s.leaf_A + (leaf - 1) * s.P * s.P


cdef void leaf_of(System* s, Py_ssize_t leaf, int worker, const real* parameters) noexcept nogil:
    """Task: gradient and J'J of one leaf's rows, block after block."""
    cdef:
        Py_ssize_t first = leaf * s.leaf_rows
        Py_ssize_t last = min(first + s.leaf_rows, s.n_rows)
        Py_ssize_t rows
        # Behind the block's deltas, and where those are not double behind its J.
        Py_ssize_t before = (s.block_rows * s.job.net.n_units * sizeof(real)
                             + (0 if sizeof(real) == 8 else s.block_rows * s.n_out * s.P * 4))
        double* J = <double*>(s.scratch + worker * s.worker_bytes + (before + LINE - 1)
                              // LINE * LINE)
        double beta = 0.0
    while first < last:
        if leave(s, worker):
            return
        rows = min(s.block_rows, last - first)
        block(s, first, rows, worker, beta, <real*>s.sums + leaf * s.P, J, parameters)
        if s.job.bad:
            return
        rank_update(s, J, rows * s.n_out, beta, matrix_of(s, leaf))
        beta = 1.0
        first += rows


cdef void leaf_f64(void* system, ptrdiff_t task, int worker) noexcept nogil:
    leaf_of(<System*>system, task, worker, <const double*>(<System*>system).job.to.parameters)


cdef void leaf_f32(void* system, ptrdiff_t task, int worker) noexcept nogil:
    leaf_of(<System*>system, task, worker, <const float*>(<System*>system).job.to.parameters)


cdef void join_strip(void* system, ptrdiff_t task, int worker) noexcept nogil:
    """Task: the pairwise sum over the leaves of a strip of J'J's rows."""
    cdef:
        System* s = <System*>system
        Py_ssize_t at = task * STRIP * s.P
        Py_ssize_t n = min(STRIP, s.P - task * STRIP) * s.P
        Py_ssize_t step = 1
        Py_ssize_t i
    while step < s.n_leaves:
        i = 0
        while i + step < s.n_leaves:
            elementwise.add(<const double*>(matrix_of(s, i + step) + at), matrix_of(s, i) + at, n)
            i += 2 * step
        step *= 2


cdef void join_gradients(System* s, const real* parameters) noexcept nogil:
    """The same of the leaves' gradients."""
    cdef Py_ssize_t step = 1
    cdef Py_ssize_t i
    cdef real* sums = <real*>s.sums
    while step < s.n_leaves:
        i = 0
        while i + step < s.n_leaves:
            elementwise.add(<const real*>(sums + (i + step) * s.P), sums + i * s.P, s.P)
            i += 2 * step
        step *= 2


# --- by tiles, and the dual's first phase ---------------------------------------------------------

cdef void block_of(System* s, Py_ssize_t index, int worker, const real* parameters) noexcept nogil:
    """Task: one block of the super-block, its gradient into a place of its own."""
    cdef:
        Py_ssize_t first = index * s.block_rows
        Py_ssize_t rows = min(s.block_rows, s.super_count - first)
    if not leave(s, worker):
        block(s, s.super_start + first, rows, worker, 0.0, <real*>s.sums + (index + 1) * s.P,
              s.J + first * s.n_out * s.P, parameters)


cdef void block_f64(void* system, ptrdiff_t task, int worker) noexcept nogil:
    block_of(<System*>system, task, worker, <const double*>(<System*>system).job.to.parameters)


cdef void block_f32(void* system, ptrdiff_t task, int worker) noexcept nogil:
    block_of(<System*>system, task, worker, <const float*>(<System*>system).job.to.parameters)


cdef void tile(void* system, ptrdiff_t task, int worker) noexcept nogil:
    """Task: A += J'J of the super-block, in one tile of the lower triangle."""
    cdef:
        System* s = <System*>system
        Py_ssize_t P = s.P
        Py_ssize_t row = 0
        Py_ssize_t first, column
    # Row by row of the triangle: task 0 is (0, 0), then (1, 0), (1, 1), (2, 0) ...
    while (row + 1) * (row + 2) // 2 <= task:
        row += 1
    first, column = row * s.side, (task - row * (row + 1) // 2) * s.side
    product.weight_gradient(
        min(s.side, P - first), min(s.side, P - column), s.super_count * s.n_out, <double>1.0,
        <const double*>s.J + first, P, <const double*>s.J + column, P,
        <double>(0.0 if s.super_start == 0 else 1.0), s.A + first * P + column, P)


cdef void super_blocks(System* s, const real* parameters) noexcept nogil:
    """Every super-block: first its blocks, then the tiles of J'J."""
    cdef:
        Py_ssize_t n_tiles = (s.P + s.side - 1) // s.side
        Py_ssize_t n_blocks, i
        real* sums = <real*>s.sums
    memset(sums, 0, s.P * sizeof(real))
    s.super_start = 0
    while s.super_start < s.n_rows:
        s.super_count = min(s.super_rows, s.n_rows - s.super_start)
        n_blocks = (s.super_count + s.block_rows - 1) // s.block_rows
        if real is double:
            share_out(s, block_f64, n_blocks)
        else:
            share_out(s, block_f32, n_blocks)
        if s.job.beat.stop or s.job.bad:
            return
        for i in range(n_blocks):
            elementwise.add(<const real*>(sums + (i + 1) * s.P), sums, s.P)
        if not s.dual:
            share_out(s, tile, n_tiles * (n_tiles + 1) // 2)
            check_beat(s.job.beat)
        s.super_start += s.super_count


# --- the dual -------------------------------------------------------------------------------------

cdef void as_doubles(const real* x, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t step,
                     double* out) noexcept nogil:
    """Row i of x (rows, columns) to i step of out."""
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(columns):
            out[i * step + j] = x[i * columns + j]


cdef void keep(System* s, Py_ssize_t first, Py_ssize_t rows, const real* X, const real* Y,
               const real* Y_hat, const real* weight, const real* Z) noexcept nogil:
    """What the block's rows of J are made of: X and every Z, and the residuals."""
    cdef:
        const Net* net = s.job.net
        const Layer* layer
        Py_ssize_t n_in = net.layers[0].n_in
        Py_ssize_t i, n, k
        double w
    as_doubles(X, rows, n_in, n_in, s.X + first * n_in)
    for i in range(net.n_layers):
        layer = &net.layers[i]
        as_doubles(<const real*>layer_rows(<real*>Z, layer, rows, 0), rows, layer.n_out,
                   layer.n_out, layer_rows(s.Z, layer, s.n_rows, first))
    for n in range(rows):
        for k in range(s.n_out):
            i = n * s.n_out + k
            w = 1.0 if weight == NULL else weight[n if s.job.goal.plain else i]
            s.r[first * s.n_out + i] = sqrt(w) * (<double>Y_hat[i] - <double>Y[i])


cdef void keep_delta(System* s, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t k,
                     const real* delta) noexcept nogil:
    """The deltas of rows (n, k) of J."""
    cdef const Net* net = s.job.net
    cdef const Layer* layer
    cdef Py_ssize_t i
    for i in range(net.n_layers):
        layer = &net.layers[i]
        as_doubles(<const real*>layer_rows(<real*>delta, layer, rows, 0), rows, layer.n_out,
                   s.n_out * layer.n_out,
                   layer_rows(s.D, layer, s.M, first * s.n_out + k))


cdef void gram_rows(void* system, ptrdiff_t task, int worker) noexcept nogil:
    """Task: some rows of J J', by the identity above."""
    cdef:
        System* s = <System*>system
        const Net* net = s.job.net
        const Layer* layer
        Py_ssize_t K = s.n_out
        Py_ssize_t M = s.M
        Py_ssize_t first = task * STRIP
        Py_ssize_t rows = min(STRIP, s.n_rows - first)
        Py_ssize_t columns = first + rows
        double* inputs = <double*>(s.scratch + worker * s.worker_bytes)
        double* deltas = inputs + STRIP * s.n_rows
        const double* A
        const double* D
        double* to
        double one = 1.0
        Py_ssize_t i, m, n
    if leave(s, worker):
        return
    for i in range(net.n_layers):
        layer = &net.layers[i]
        A = s.X if i == 0 else layer_rows(s.Z, &net.layers[i - 1], s.n_rows, 0)
        D = layer_rows(s.D, layer, M, 0)
        blas.gemm(False, True, rows, columns, layer.n_in, one, A + first * layer.n_in, layer.n_in,
                  A, layer.n_in, <double>0.0, inputs, columns)
        blas.gemm(False, True, rows * K, columns * K, layer.n_out, one,
                  D + first * K * layer.n_out, layer.n_out, D, layer.n_out, <double>0.0, deltas,
                  columns * K)
        for m in range(rows * K):
            to = s.G_weights + (first * K + m) * M
            for n in range(columns * K):
                to[n] = ((0.0 if i == 0 else to[n])
                         + inputs[(m // K) * columns + n // K] * deltas[m * columns * K + n])
            if layer.b >= 0:
                to = s.G_biases + (first * K + m) * M
                for n in range(columns * K):
                    to[n] = (0.0 if i == 0 else to[n]) + deltas[m * columns * K + n]


# --- called by solvers ----------------------------------------------------------------------------

cdef void linearise(System* s, const real* parameters) noexcept nogil:
    """Loss, gradient, and J'J or J J', of all rows at the job's parameters.

    What ``job.bad`` or ``job.beat.stop`` report makes them meaningless.
    """
    cdef Py_ssize_t n_blocks = (s.n_rows + s.block_rows - 1) // s.block_rows
    cdef Py_ssize_t i
    s.job.start, s.job.count = 0, s.n_rows
    transpose_weights(s.job.net, parameters, <real*>s.transposed)
    if s.by_leaves:
        if real is double:
            share_out(s, leaf_f64, s.n_leaves)
        else:
            share_out(s, leaf_f32, s.n_leaves)
        if s.job.beat.stop or s.job.bad:
            return
        share_out(s, join_strip, (s.P + STRIP - 1) // STRIP)
        join_gradients(s, parameters)
    else:
        super_blocks(s, parameters)
        if s.job.beat.stop or s.job.bad:
            return
        if s.dual:
            share_out(s, gram_rows, (s.n_rows + STRIP - 1) // STRIP)
    for i in range(s.P):
        s.g[i] = (<real*>s.sums)[i]
    s.loss = s.job.goal.factor * pairwise_sum(s.losses, n_blocks)
    s.measured = pairwise_sum(s.counts, n_blocks)


cdef void bending(System* s, double h, const real* parameters, const double* v,
                  double* out) noexcept nogil:
    """out (P,) = J' (r(W + h v) - r(W)), r the weighted residuals of the squared error, W = s.W.

    By the four lines with 2 Y_hat(W) - Y_hat(W + h v) in the place of Y.

    parameters : the job's, of a trial; not read
    """
    cdef:
        Job* job = s.job
        const Net* net = job.net
        real* moved = <real*>s.elsewhere
        real* W = moved + s.P
        real* Z = <real*>buffer_of(s, job.to.Z, 0)
        real* Y_buffer = <real*>buffer_of(s, job.to.Y, 0)
        real* delta = <real*>s.scratch
        real* gradient = <real*>s.sums
        Py_ssize_t first = 0
        Py_ssize_t rows, i
        double beta = 0.0
        const real* X
        const real* weight
        const real* Y_hat
    for i in range(s.P):
        W[i] = <real>s.W[i]
        moved[i] = <real>(s.W[i] + h * v[i])
    while first < s.n_rows and not leave(s, 0):
        rows = min(s.block_rows, s.n_rows - first)
        X = read_rows(job.X, job.order, first, rows, <real*>buffer_of(s, job.to.X, 0), NULL)
        read_targets(job, first, rows, 0, Y_buffer, NULL, &weight)      # the weight is wanted
        Y_hat = forward(net, <const real*>moved, X, rows, Z, rows, 0, False)
        for i in range(rows * s.n_out):
            Y_buffer[i] = -Y_hat[i]
        Y_hat = forward(net, <const real*>W, X, rows, Z, rows, 0, False)
        for i in range(rows * s.n_out):
            Y_buffer[i] += 2 * Y_hat[i]
        backprop(net, job.goal, <const real*>W, <const real*>s.transposed, X, <const real*>Y_buffer,
                 weight, rows, Z, delta, rows, 1.0, beta, gradient)
        beta = 1.0
        first += rows
    for i in range(s.P):
        out[i] = gradient[i]


cdef Py_ssize_t even_side(Py_ssize_t P) noexcept nogil:
    """The side of J'J's tiles: about eight by eight of them, of 32 to 192 rows."""
    cdef Py_ssize_t side = (P // 8 + 15) // 16 * 16
    return max(<Py_ssize_t>32, min(<Py_ssize_t>192, side))


cdef class GaussNewton:
    """A system and its memory."""

    cdef int prepare(self, Job* job, Py_ssize_t n_rows, bint dual, bint bend) except -1:
        """Take the memory for systems of so many rows.

        job : everything but the batch at hand is set, its workspace too
        dual : whether the solver can use J J', where it is the smaller
        bend : whether ``bending`` will be called
        """
        cdef:
            System* s = &self.system
            const Net* net = job.net
            Workspace space = Workspace()
            Py_ssize_t P = net.n_parameters
            Py_ssize_t size = net.itemsize
            Py_ssize_t K = net.layers[net.n_layers - 1].n_out
            Py_ssize_t widest = 1
            Py_ssize_t row_bytes, n_sums, block_bytes, i, side
        for i in range(net.n_layers):
            widest = max(widest, net.layers[i].n_out)
        s.job, s.P, s.n_rows, s.n_out, s.M = job, P, n_rows, K, n_rows * K
        s.dual = dual and s.M < P
        row_bytes = K * P * sizeof(double)
        s.by_leaves = not s.dual and P * P * <Py_ssize_t>sizeof(double) <= LARGEST_LEAF_MATRIX
        # The job's own blocks are no shorter.
        s.block_rows = max(<Py_ssize_t>8, min(BLOCK_BYTES // row_bytes // 8 * 8, net.block_rows))
        if s.dual or not s.by_leaves:
            s.block_rows = min(<Py_ssize_t>32, net.block_rows)
        s.block_rows = min(s.block_rows, min(net.block_rows, n_rows))
        if s.by_leaves:
            s.leaf_rows = max(LEAF_ROWS, (n_rows + MOST_LEAVES - 1) // MOST_LEAVES)
            s.leaf_rows = (s.leaf_rows + s.block_rows - 1) // s.block_rows * s.block_rows
            s.n_leaves = n_sums = (n_rows + s.leaf_rows - 1) // s.leaf_rows
        else:
            s.super_rows = 512 if s.dual else max(
                s.block_rows, min(SUPER_BYTES // row_bytes, <Py_ssize_t>512) // s.block_rows
                * s.block_rows)
            s.super_rows = min(s.super_rows, n_rows)
            n_sums = 1 + (s.super_rows + s.block_rows - 1) // s.block_rows
            s.side = even_side(P)
        # A worker's part: deltas, J in the network's dtype, J; or two strips of products.
        block_bytes = s.block_rows * net.n_units * size + LINE
        if s.dual:
            block_bytes = max(block_bytes, STRIP * (n_rows + K * s.M) * <Py_ssize_t>sizeof(double))
        else:
            if size == 4:
                block_bytes += s.block_rows * K * P * size
            if s.by_leaves:
                block_bytes += s.block_rows * row_bytes
        s.worker_bytes = (block_bytes + LINE - 1) // LINE * LINE + LINE
        side = s.M if s.dual else P
        if side > 0 and side > PY_SSIZE_T_MAX // 64 // side:
            raise MemoryError("the system of equations is larger than memory can be")
        for _ in range(2):
            space.n_bytes = 0
            if s.dual:
                space.lay(<char**>&s.X, n_rows * net.layers[0].n_in * sizeof(double))
                space.lay(<char**>&s.Z, n_rows * net.n_units * sizeof(double))
                space.lay(<char**>&s.D, s.M * net.n_units * sizeof(double))
                space.lay(<char**>&s.r, s.M * sizeof(double))
                space.lay(<char**>&s.t, s.M * sizeof(double))
                space.lay(<char**>&s.rows, n_rows * widest * sizeof(double))
                space.lay(<char**>&s.G_weights, s.M * s.M * sizeof(double))
                if net.layers[0].b >= 0:
                    space.lay(<char**>&s.G_biases, s.M * s.M * sizeof(double))
            else:
                space.lay(<char**>&s.A, P * P * sizeof(double))
            space.lay(<char**>&s.F, side * side * sizeof(double))
            space.lay(<char**>&s.g, P * sizeof(double))
            space.lay(<char**>&s.c, P * sizeof(double))
            space.lay(<char**>&s.W, P * sizeof(double))
            space.lay(<char**>&s.trial, P * sizeof(double))
            space.lay(<char**>&s.step, P * sizeof(double))
            space.lay(<char**>&s.bend, P * sizeof(double))
            i = (n_rows + s.block_rows - 1) // s.block_rows
            space.lay(<char**>&s.losses, i * sizeof(double))
            space.lay(<char**>&s.counts, i * sizeof(double))
            space.lay(&s.transposed, net.n_transposed * size)
            space.lay(&s.sums, n_sums * P * size)
            if bend:
                space.lay(&s.elsewhere, 2 * P * size)
            if s.by_leaves:
                space.lay(<char**>&s.leaf_A, (s.n_leaves - 1) * P * P * sizeof(double))
            elif not s.dual:
                space.lay(<char**>&s.J, s.super_rows * row_bytes)
            space.lay(&s.scratch, job.to.n_workers * s.worker_bytes)
            if space.slab == NULL:
                # Zeros: above the diagonal nothing is ever written, though a sum may pass over it.
                space.slab = <char*>PyMem_RawCalloc(space.n_bytes + LINE, 1)
                if space.slab == NULL:
                    raise MemoryError(f"no {space.n_bytes} bytes for the system of equations")
        self.space = space
        return 0


def memory_needed(Plan plan, Py_ssize_t n_rows, bint dual):
    """About how many bytes a system takes: its two matrices and the blocks of J."""
    P = <object>plan.net.n_parameters
    K = plan.net.layers[plan.net.n_layers - 1].n_out
    M = n_rows * K
    if dual and M < P:
        return 8 * (3 * M * M + (M + n_rows) * plan.net.n_units)
    return 8 * (2 * P * P) + min(SUPER_BYTES + 256 * K * P * 8, 512 * K * P * 8)


# --- called from Python: the posterior, and the tests ---------------------------------------------

def system(Plan plan not None, Objective objective not None, parameters, X, Y, sample_weight,
           A, g, int n_threads, scaling=None, target_scaling=None, rows=None, bint dual=False):
    """A (P, P) = J'J in the lower triangle, or J J' (M, M) with ``dual``, and g (P,) = J'e.

    rows : ndarray of int64, optional
        Which rows; all without.

    All float64, sums over the rows; returns (sum of l, targets that count), or None where X or Y
    holds a NaN or an infinity.
    """
    cdef:
        Job job
        RowSource X_rows, Y_rows, weight_rows
        GaussNewton owner = GaussNewton()
        System* s = &owner.system
        Pulse pulse = Pulse()
        Workspace space
        Py_ssize_t n_rows, n, i, j
        int threads
        double* to
        const int64_t[::1] order
    memset(&job, 0, sizeof(Job))
    shift, scale = (None, None) if scaling is None else scaling
    X_rows = RowSource(X, plan.net.itemsize, shift, scale)
    shift, scale = (None, None) if target_scaling is None else target_scaling
    Y_rows = RowSource(Y, plan.net.itemsize, shift, scale)
    n_rows = X_rows.rows.n_rows
    if (n_rows < 1 or Y_rows.rows.n_rows != n_rows
            or X_rows.rows.n_columns != plan.net.layers[0].n_in
            or Y_rows.rows.n_columns != plan.net.layers[plan.net.n_layers - 1].n_out):
        raise ValueError("X and Y have the same rows, and the network's columns")
    if sample_weight is not None:
        weight_rows = RowSource(sample_weight.reshape(-1, 1), plan.net.itemsize)
        if weight_rows.rows.n_rows != n_rows:
            raise ValueError("one weight for each row")
        job.weight = &weight_rows.rows
    if rows is not None:
        order = rows
        n_rows = order.shape[0]
        for i in range(n_rows):
            if not 0 <= order[i] < X_rows.rows.n_rows:
                raise ValueError("rows holds row numbers")
        if n_rows < 1:
            raise ValueError("at least one row")
        job.order = &order[0]
    objective.fit_to(&plan.net)
    threads = worthwhile_threads(&plan.net, n_rows * plan.net.n_parameters, max(1, n_threads))
    space = workspace_for(&plan.net, n_rows, threads, False)
    copy_parameters(plan, parameters, space.buffers.parameters)
    job.net, job.goal, job.to = &plan.net, &objective.goal, &space.buffers
    job.X, job.Y = &X_rows.rows, &Y_rows.rows
    job.beat, job.check, job.active = &pulse.beat, True, threads
    owner.prepare(&job, n_rows, dual, False)
    n = s.M if s.dual else s.P
    to = <double*>memory_of(A, "A", n * n * sizeof(double), True)
    memory_of(g, "g", s.P * sizeof(double), True)
    if threads > 1:
        job.team = team.start(threads)
        if job.team == NULL:
            raise MemoryError("no memory for a team of threads")
    with nogil:
        if plan.net.itemsize == 8:
            linearise(s, <const double*>job.to.parameters)
        else:
            linearise(s, <const float*>job.to.parameters)
        if job.team != NULL:
            team.stop(job.team)
    pulse.reraise()
    if job.bad:
        return None
    for i in range(n):
        for j in range(i + 1):
            if s.dual:
                to[i * n + j] = s.G_weights[i * n + j]
                if s.G_biases != NULL:
                    to[i * n + j] += s.G_biases[i * n + j]
            else:
                to[i * n + j] = s.A[i * n + j]
    memcpy(memory_of(g, "g", s.P * sizeof(double), True), s.g, s.P * sizeof(double))
    return s.loss, s.measured
