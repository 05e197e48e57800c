"""A batch of any size: its gradient is a fixed tree sum over row blocks, shared out to a team.

By leaves (narrow networks).  A block of rows goes forward and back in one pass (backprop.pyx); a
leaf is a run of blocks whose gradients accumulate in order; a batch is the pairwise tree over its
leaves that splits n leaves at the largest power of two below n.  An aligned subtree is a task.

By tiles (wide networks).  For a super-block of rows: blocks in parallel for activations and deltas,
then the gradient products in parallel by fixed tiles of the parameters, rows in order inside a
tile.

Either way each sum has one order, whoever computes it: the bits do not depend on the threads.  A
step is left between blocks when ``beat.stop`` or ``bad`` is set; what it has computed is then
discarded, and the parameters have not been written.
"""

cimport cython
from libc.string cimport memcpy

from cbackprop.core cimport elementwise, product
from cbackprop.core.backprop cimport (
    backprop,
    forward,
    hidden_delta,
    layer_rows,
    output_delta,
    transpose_weights,
)
from cbackprop.core.plan cimport Layer, Plan, Tile
from cbackprop.core.pulse cimport Pulse, check_beat
from cbackprop.core.rows cimport RowSource, memory_of, read_rows
from cbackprop.core.rules cimport SGD, apply_rule
from cbackprop.core.team cimport team
from cbackprop.core.team.team cimport cbp_task
from cbackprop.core.workspace cimport Workspace, workspace_for

# A team is worth its start and its waking when a batch takes longer than this, at a rate that one
# core of the last ten years reaches.
cdef double WORTH_SECONDS = 60e-6
cdef double FLOPS_PER_SECOND = 20e9


cdef int worthwhile_threads(const Net* net, Py_ssize_t rows, int n_threads) noexcept nogil:
    """How many of ``n_threads`` a batch of ``rows`` rows repays."""
    if net.flops_per_row * rows / FLOPS_PER_SECOND < WORTH_SECONDS:
        return 1
    return n_threads


def set_worthwhile(double seconds):
    """Set from how many estimated seconds of a batch on a team is used; returns what it was.

    For tests, which want threads on batches that do not repay them.
    """
    global WORTH_SECONDS
    before = WORTH_SECONDS
    WORTH_SECONDS = seconds
    return before


cdef inline bint leave(Job* job, int worker) noexcept nogil:
    """Whether to abandon the step; the calling thread listens for signals here."""
    if worker == 0:
        check_beat(job.beat)
    return job.beat.stop or job.bad


cdef inline char* of_worker(const Job* job, char* region, int worker) noexcept nogil:
    return region + worker * job.to.worker_bytes


cdef double pairwise_sum(const double* x, Py_ssize_t n) noexcept nogil:
    """The sum of x, split at the largest power of two below n, as the tree of leaves is."""
    cdef Py_ssize_t half = 1
    if n <= 2:
        return 0.0 if n <= 0 else x[0] if n == 1 else x[0] + x[1]
    while 2 * half < n:
        half *= 2
    return pairwise_sum(x, half) + pairwise_sum(x + half, n - half)


cdef void share_out(Job* job, cbp_task task, Py_ssize_t n_tasks) noexcept nogil:
    """Run tasks 0 .. n_tasks - 1, by the team where there is one and more than one task."""
    cdef Py_ssize_t i
    if job.team == NULL or job.active < 2 or n_tasks < 2:
        for i in range(n_tasks):
            task(job, i, 0)
    else:
        team.run(job.team, task, job, n_tasks, job.active)


# --- the forward pass: blocks ---------------------------------------------------------------------

cdef void forward_block(Job* job, Py_ssize_t block, int worker,
                        const real* parameters) noexcept nogil:
    """Task: a block's Y_hat into ``out``, or its sum of (Y - Y_hat)^2 into ``losses``."""
    cdef:
        const Net* net = job.net
        const Layer* last = &net.layers[net.n_layers - 1]
        Py_ssize_t first = block * net.block_rows
        Py_ssize_t rows = min(net.block_rows, job.count - first)
        int* bad = &job.bad if job.check else NULL
        const real* X
        const real* Y
        const real* Y_hat
        const real* weight
    if leave(job, worker):
        return
    first += job.start
    X = read_rows(job.X, job.order, first, rows, <real*>of_worker(job, job.to.X, worker), bad)
    Y_hat = forward(net, parameters, X, rows, <real*>of_worker(job, job.to.Z, worker), rows, 0)
    if job.Y == NULL:
        memcpy(<real*>job.out + first * last.n_out, Y_hat, rows * last.n_out * sizeof(real))
        return
    Y = read_rows(job.Y, job.order, first, rows, <real*>of_worker(job, job.to.Y, worker), bad)
    if job.weight == NULL:
        job.to.losses[block] = elementwise.squared_error(Y, Y_hat, rows * last.n_out)
    else:
        weight = read_rows(job.weight, job.order, first, rows,
                           <real*>of_worker(job, job.to.weight, worker), NULL)
        job.to.losses[block] = elementwise.squared_error_weighted(weight, Y, Y_hat, rows,
                                                                  last.n_out)


cdef void forward_block_f64(void* job, ptrdiff_t task, int worker) noexcept nogil:
    forward_block(<Job*>job, task, worker, <const double*>(<Job*>job).to.parameters)


cdef void forward_block_f32(void* job, ptrdiff_t task, int worker) noexcept nogil:
    forward_block(<Job*>job, task, worker, <const float*>(<Job*>job).to.parameters)


cdef double squares_of(Job* job, Py_ssize_t start, Py_ssize_t count,
                       const real* parameters) noexcept nogil:
    """The sum of (Y - Y_hat)^2 over rows start .. start + count; or, with ``job.Y`` NULL, Y_hat.

    parameters : those of the job's buffers
    """
    cdef Py_ssize_t n_blocks = (count + job.net.block_rows - 1) // job.net.block_rows
    job.start, job.count = start, count
    if real is double:
        share_out(job, forward_block_f64, n_blocks)
    else:
        share_out(job, forward_block_f32, n_blocks)
    return 0.0 if job.Y == NULL else pairwise_sum(job.to.losses, n_blocks)


# --- the gradient by leaves -----------------------------------------------------------------------

cdef void leaf(Job* job, Py_ssize_t first, Py_ssize_t last, int worker, const real* parameters,
               double beta, real* gradient) noexcept nogil:
    """Rows first .. last of the batch, block after block: gradient = beta gradient + their sum."""
    cdef:
        const Net* net = job.net
        int* bad = &job.bad if job.check else NULL
        real* X_buffer = <real*>of_worker(job, job.to.X, worker)
        real* Y_buffer = <real*>of_worker(job, job.to.Y, worker)
        real* Z = <real*>of_worker(job, job.to.Z, worker)
        real* delta = <real*>of_worker(job, job.to.delta, worker)
        const real* X
        const real* Y
        const real* weight = NULL
        Py_ssize_t rows, row
    while first < last:
        rows = min(net.block_rows, last - first)
        row = job.start + first
        X = read_rows(job.X, job.order, row, rows, X_buffer, bad)
        Y = read_rows(job.Y, job.order, row, rows, Y_buffer, bad)
        if job.weight != NULL:
            weight = read_rows(job.weight, job.order, row, rows,
                               <real*>of_worker(job, job.to.weight, worker), NULL)
        if job.bad:
            return
        job.to.losses[first // net.block_rows] = backprop(
            net, parameters, <const real*>job.to.transposed, X, Y, weight, rows, Z, delta, rows,
            job.alpha, beta, gradient)
        beta = 1.0
        first += rows
        if first < last and leave(job, worker):
            return


cdef inline real* slot_of(const Job* job, Py_ssize_t task, const real* parameters) noexcept nogil:
    """Where the sum of task ``task`` goes: the gradient itself is slot 0."""
    if task == 0:
        return <real*>job.gradient
    return <real*>job.to.slots + (task - 1) * job.net.n_parameters


cdef void subtree(Job* job, Py_ssize_t task, int worker, const real* parameters) noexcept nogil:
    """Task: the sum over an aligned run of leaves, into slot ``task``.

    A binary counter: after leaf i, as many sums are joined as i + 1 has factors of two, and in the
    end all that are left, the last first.  Sum 0 is the slot itself, sum d > 0 the worker's
    stack[d - 1].
    """
    cdef:
        const Net* net = job.net
        Py_ssize_t P = net.n_parameters
        Py_ssize_t leaf_rows = net.leaf_rows
        Py_ssize_t first = task * job.to.leaves_per_task * leaf_rows
        Py_ssize_t last = min(first + job.to.leaves_per_task * leaf_rows, job.count)
        real* slot = slot_of(job, task, parameters)
        real* stack = <real*>of_worker(job, job.to.stack, worker)
        Py_ssize_t depth = 0
        Py_ssize_t done = 0
        Py_ssize_t joins
    while first < last:
        if leave(job, worker):
            return
        leaf(job, first, min(first + leaf_rows, last), worker, parameters, 0.0,
             slot if depth == 0 else stack + (depth - 1) * P)
        first += leaf_rows
        depth += 1
        done += 1
        joins = done
        while depth > 1 and (joins % 2 == 0 or first >= last):
            depth -= 1
            joins //= 2
            elementwise.add(<const real*>(stack + (depth - 1) * P),
                            slot if depth == 1 else stack + (depth - 2) * P, P)


cdef void subtree_f64(void* job, ptrdiff_t task, int worker) noexcept nogil:
    subtree(<Job*>job, task, worker, <const double*>(<Job*>job).to.parameters)


cdef void subtree_f32(void* job, ptrdiff_t task, int worker) noexcept nogil:
    subtree(<Job*>job, task, worker, <const float*>(<Job*>job).to.parameters)


cdef void tree(Job* job, const real* parameters) noexcept nogil:
    """The batch's gradient by leaves: subtrees by the team, their roots joined in order."""
    cdef:
        Py_ssize_t task_rows = job.to.leaves_per_task * job.net.leaf_rows
        Py_ssize_t n_tasks = (job.count + task_rows - 1) // task_rows
        Py_ssize_t step = 1
        Py_ssize_t i
    if real is double:
        share_out(job, subtree_f64, n_tasks)
    else:
        share_out(job, subtree_f32, n_tasks)
    while step < n_tasks and not (job.beat.stop or job.bad):
        i = 0
        while i + step < n_tasks:
            elementwise.add(<const real*>slot_of(job, i + step, parameters),
                            slot_of(job, i, parameters), job.net.n_parameters)
            i += 2 * step
        step *= 2


# --- the gradient by tiles ------------------------------------------------------------------------

cdef void tiled_block(Job* job, Py_ssize_t block, int worker,
                      const real* parameters) noexcept nogil:
    """Task: activations and deltas of one block of the super-block."""
    cdef:
        const Net* net = job.net
        Py_ssize_t capacity = job.super_count
        Py_ssize_t first = block * net.block_rows
        Py_ssize_t rows = min(net.block_rows, job.super_count - first)
        Py_ssize_t row = job.start + job.super_start + first
        Py_ssize_t n_out = net.layers[net.n_layers - 1].n_out
        Py_ssize_t i
        int* bad = &job.bad if job.check else NULL
        real* Z = <real*>job.to.super_Z
        real* delta = <real*>job.to.super_delta
        const real* X
        const real* Y
        const real* weight = NULL
    if leave(job, worker):
        return
    X = read_rows(job.X, job.order, row, rows,
                  <real*>job.to.super_X + first * net.layers[0].n_in, bad)
    Y = read_rows(job.Y, job.order, row, rows, <real*>job.to.super_Y + first * n_out, bad)
    if job.weight != NULL:
        weight = read_rows(job.weight, job.order, row, rows,
                           <real*>of_worker(job, job.to.weight, worker), NULL)
    forward(net, parameters, X, rows, Z, capacity, first)
    job.to.losses[(job.super_start + first) // net.block_rows] = output_delta(
        net, Y, weight, rows, <const real*>Z, delta, capacity, first)
    for i in range(net.n_layers - 1, 0, -1):
        hidden_delta(net, i, parameters, <const real*>job.to.transposed, rows, <const real*>Z,
                     delta, capacity, first)


cdef void tile_gradient(Job* job, Py_ssize_t index, int worker, real* parameters) noexcept nogil:
    """Task: (1) or (2) for one tile of a W: grad W = beta grad W + alpha A^T delta.

    The tile at row 0 and column 0 takes the layer's bias with it.  After the batch's last
    super-block the update rule is applied to what the task has just made.
    """
    cdef:
        const Net* net = job.net
        const Tile* tile = &net.tiles[index]
        const Layer* layer = &net.layers[tile.layer]
        bint with_bias = layer.b >= 0 and tile.row == 0 and tile.column == 0
        real* gradient = <real*>job.gradient
        const real* A
        const real* delta = layer_rows(<real*>job.to.super_delta, layer, job.super_count, 0)
        Py_ssize_t at = layer.W + tile.row * layer.n_out + tile.column
        Py_ssize_t i
    if tile.layer > 0:
        A = layer_rows(<real*>job.to.super_Z, &net.layers[tile.layer - 1], job.super_count, 0)
    elif job.X.in_place and job.order == NULL:
        A = <const real*>(job.X.data + (job.start + job.super_start) * job.X.row_stride)
    else:
        A = <const real*>job.to.super_X
    product.weight_gradient(tile.n_rows, tile.n_columns, job.super_count, <real>job.alpha,
                            A + tile.row, layer.n_in, delta + tile.column, layer.n_out,
                            <real>job.beta, gradient + at, layer.n_out)
    if with_bias:
        elementwise.column_sums(<real>job.alpha, delta, job.super_count, layer.n_out,
                                <real>job.beta, gradient + layer.b)
    if job.rule != NULL and job.super_start + job.super_count == job.count:
        if tile.n_columns == layer.n_out:
            apply_rule(job.rule, at, tile.n_rows * layer.n_out, <const real*>gradient, parameters)
        else:
            for i in range(tile.n_rows):
                apply_rule(job.rule, at + i * layer.n_out, tile.n_columns, <const real*>gradient,
                           parameters)
        if with_bias:
            apply_rule(job.rule, layer.b, layer.n_out, <const real*>gradient, parameters)


cdef void tiled_block_f64(void* job, ptrdiff_t task, int worker) noexcept nogil:
    tiled_block(<Job*>job, task, worker, <const double*>(<Job*>job).to.parameters)


cdef void tiled_block_f32(void* job, ptrdiff_t task, int worker) noexcept nogil:
    tiled_block(<Job*>job, task, worker, <const float*>(<Job*>job).to.parameters)


cdef void tile_gradient_f64(void* job, ptrdiff_t task, int worker) noexcept nogil:
    tile_gradient(<Job*>job, task, worker, <double*>(<Job*>job).to.parameters)


cdef void tile_gradient_f32(void* job, ptrdiff_t task, int worker) noexcept nogil:
    tile_gradient(<Job*>job, task, worker, <float*>(<Job*>job).to.parameters)


cdef void super_blocks(Job* job, double beta, const real* parameters) noexcept nogil:
    """The batch's gradient by tiles, one super-block of rows after the other.

    The products of a super-block are not left in their middle: with a rule, or fused, they write
    parameters, and a step is whole or not done.
    """
    cdef Py_ssize_t block_rows = job.net.block_rows
    cdef Py_ssize_t n_blocks
    job.super_start = 0
    while job.super_start < job.count:
        job.super_count = min(job.net.super_rows, job.count - job.super_start)
        job.beta = beta
        n_blocks = (job.super_count + block_rows - 1) // block_rows
        if real is double:
            share_out(job, tiled_block_f64, n_blocks)
        else:
            share_out(job, tiled_block_f32, n_blocks)
        if job.beat.stop or job.bad:
            return
        if real is double:
            share_out(job, tile_gradient_f64, job.net.n_tiles)
        else:
            share_out(job, tile_gradient_f32, job.net.n_tiles)
        beta = 1.0
        job.super_start += job.super_count


# --- a batch --------------------------------------------------------------------------------------

cdef double gradient_of(Job* job, Py_ssize_t start, Py_ssize_t count, double alpha,
                        real* gradient) noexcept nogil:
    """gradient = alpha * the sum over rows start .. start + count; returns sum (Y - Y_hat)^2.

    What ``job.bad`` or ``job.beat.stop`` report makes both meaningless.
    """
    cdef const Net* net = job.net
    cdef const real* parameters = <const real*>job.to.parameters
    job.start, job.count, job.alpha, job.gradient, job.rule = start, count, alpha, gradient, NULL
    transpose_weights(net, parameters, <real*>job.to.transposed)
    if net.tiled:
        super_blocks(job, 0.0, parameters)
    else:
        tree(job, parameters)
    return pairwise_sum(job.to.losses, (count + net.block_rows - 1) // net.block_rows)


cdef double training_step(Job* job, Py_ssize_t start, Py_ssize_t count, const Rule* rule,
                          real* parameters) noexcept nogil:
    """One step of the rule on rows start .. start + count; returns their sum of (Y - Y_hat)^2.

    parameters : those of the job's buffers; untouched when ``job.beat.stop`` or ``job.bad`` is set

    Plain SGD on a batch that is one block (leaves) or one super-block (tiles) is fused: the
    gradient products subtract from the weights directly, W := W - learning_rate / N * A^T delta,
    and no gradient is stored.
    """
    cdef:
        const Net* net = job.net
        double one_over_N = 1.0 / count
        bint whole = count <= (net.super_rows if net.tiled else net.block_rows)
        real* gradient = <real*>job.to.gradient
        double squares
    if rule.kind == SGD and whole:
        job.start, job.count, job.alpha = start, count, -rule.learning_rate * one_over_N
        job.gradient, job.rule = parameters, NULL
        transpose_weights(net, <const real*>parameters, <real*>job.to.transposed)
        if net.tiled:
            super_blocks(job, 1.0, <const real*>parameters)
        else:
            leaf(job, 0, count, 0, <const real*>parameters, 1.0, parameters)
    elif net.tiled:
        job.start, job.count, job.alpha = start, count, one_over_N
        job.gradient, job.rule = gradient, rule
        transpose_weights(net, <const real*>parameters, <real*>job.to.transposed)
        super_blocks(job, 0.0, <const real*>parameters)
    else:
        squares = gradient_of(job, start, count, one_over_N, gradient)
        if not (job.beat.stop or job.bad):
            apply_rule(rule, 0, net.n_parameters, <const real*>gradient, parameters)
        return squares
    return pairwise_sum(job.to.losses, (count + net.block_rows - 1) // net.block_rows)


# --- called from Python ---------------------------------------------------------------------------

cdef int copy_parameters(Plan plan, parameters, char* to) except -1:
    """A copy of the live parameters: of whole steps, for a fit publishes in one go too."""
    cdef Py_ssize_t n_bytes = plan.net.n_parameters * plan.net.itemsize
    cdef const char* live = memory_of(parameters, "parameters", n_bytes, False)
    with cython.critical_section(parameters):
        memcpy(to, live, n_bytes)
    return 0


cdef class Call:
    """One call's job with everything it borrows: sources, work space, team."""
    cdef Job job
    cdef RowSource X
    cdef RowSource Y
    cdef RowSource weight
    cdef Workspace space
    cdef Pulse pulse
    cdef Plan plan

    def __cinit__(self, Plan plan not None, parameters, X, Y, weight, int n_threads, scaling,
                  bint backward):
        cdef Py_ssize_t n_rows
        cdef int threads
        shift, scale = (None, None) if scaling is None else scaling
        self.plan = plan
        self.X = RowSource(X, plan.net.itemsize, shift, scale)
        n_rows = self.X.rows.n_rows
        if self.X.rows.n_columns != plan.net.layers[0].n_in:
            raise ValueError("X has not the network's number of inputs")
        if Y is not None:
            self.Y = RowSource(Y, plan.net.itemsize)
            if (self.Y.rows.n_rows != n_rows
                    or self.Y.rows.n_columns != plan.net.layers[plan.net.n_layers - 1].n_out):
                raise ValueError("Y has not X's rows or not the network's number of outputs")
            self.job.Y = &self.Y.rows
        if weight is not None:
            self.weight = RowSource(weight.reshape(-1, 1), plan.net.itemsize)
            if self.weight.rows.n_rows != n_rows:
                raise ValueError("sample_weight has not X's rows")
            self.job.weight = &self.weight.rows
        threads = worthwhile_threads(&plan.net, n_rows, max(1, n_threads))
        self.space = workspace_for(&plan.net, n_rows, threads, backward)
        copy_parameters(plan, parameters, self.space.buffers.parameters)
        self.pulse = Pulse()
        self.job.net = &plan.net
        self.job.to = &self.space.buffers
        self.job.X = &self.X.rows
        self.job.beat = &self.pulse.beat
        self.job.check = True
        self.job.active = threads
        if threads > 1:
            self.job.team = team.start(threads)
            if self.job.team == NULL:
                raise MemoryError("no memory for a team of threads")

    def __dealloc__(self):
        if self.job.team != NULL:
            team.stop(self.job.team)

    cdef int finish(self) except -1:
        """Stop the team and give back what a signal handler raised."""
        cdef team.cbp_team* crew = self.job.team
        self.job.team = NULL
        if crew != NULL:
            with nogil:
                team.stop(crew)
        return self.pulse.reraise()


def predict(Plan plan, parameters, X, out, int n_threads, scaling=None):
    """out (N, n_out) = Y_hat.  False: X holds a NaN or an infinity, and ``out`` nothing of use."""
    cdef Call call = Call(plan, parameters, X, None, None, n_threads, scaling, False)
    cdef Py_ssize_t n_rows = call.X.rows.n_rows
    if n_rows == 0:
        return True
    call.job.out = memory_of(
        out, "out", n_rows * plan.net.layers[plan.net.n_layers - 1].n_out * plan.net.itemsize, True)
    with nogil:
        if plan.net.itemsize == 8:
            squares_of(&call.job, 0, n_rows, <const double*>call.job.to.parameters)
        else:
            squares_of(&call.job, 0, n_rows, <const float*>call.job.to.parameters)
    call.finish()
    return not call.job.bad


cdef double total_weight(weight, Py_ssize_t n_rows) except -1:
    """N, or the sum of the weights."""
    cdef const double[::1] w
    if weight is None:
        return n_rows
    w = weight
    return pairwise_sum(&w[0], w.shape[0])


def loss(Plan plan, parameters, X, Y, sample_weight, int n_threads, scaling=None):
    """L = 1/(2N) sum (Y - Y_hat)^2; weighted: sum w_i L_i / sum w_i.

    None: X or Y holds a NaN or an infinity.
    """
    cdef Call call = Call(plan, parameters, X, Y, sample_weight, n_threads, scaling, False)
    cdef Py_ssize_t n_rows = call.X.rows.n_rows
    cdef double N = total_weight(sample_weight, n_rows)
    cdef double squares
    with nogil:
        if plan.net.itemsize == 8:
            squares = squares_of(&call.job, 0, n_rows, <const double*>call.job.to.parameters)
        else:
            squares = squares_of(&call.job, 0, n_rows, <const float*>call.job.to.parameters)
    call.finish()
    return None if call.job.bad else squares / (2 * N)


def gradient(Plan plan, parameters, X, Y, sample_weight, out, int n_threads, scaling=None):
    """out (P,) = the gradient of L; returns L.

    None: X or Y holds a NaN or an infinity, and ``out`` nothing of use.
    """
    cdef Call call = Call(plan, parameters, X, Y, sample_weight, n_threads, scaling, True)
    cdef Py_ssize_t n_rows = call.X.rows.n_rows
    cdef double N = total_weight(sample_weight, n_rows)
    cdef double squares
    cdef char* to = memory_of(out, "out", plan.net.n_parameters * plan.net.itemsize, True)
    with nogil:
        if plan.net.itemsize == 8:
            squares = gradient_of(&call.job, 0, n_rows, 1.0 / N, <double*>to)
        else:
            squares = gradient_of(&call.job, 0, n_rows, 1.0 / N, <float*>to)
    call.finish()
    return None if call.job.bad else squares / (2 * N)
