"""The gradient of a batch of any size: a fixed tree sum over row blocks, computed by a team.

By leaves (narrow networks).  Each block of rows is passed forward and backward at once
(backprop.pyx); a leaf is a run of blocks whose gradients accumulate in order; a batch is the
pairwise tree over its leaves that splits n leaves at the largest power of two below n.  An aligned
subtree is a task.

By tiles (wide networks).  For a super-block of rows: first activations and deltas, blocks in
parallel; then the gradient products, fixed tiles of the parameters in parallel, with rows in order
inside a tile.

Either way each sum has a fixed order, so the result is bitwise independent of the threads.  A step
is abandoned between blocks if ``interrupt.stop`` or ``bad`` is set; its results are then discarded,
and the parameters are unchanged.
"""

cimport cython
from libc.math cimport INFINITY, sqrt
from libc.string cimport memcpy, memset

from cbackprop.core.linalg cimport elementwise, product
from cbackprop.core.gradient.backprop cimport (
    backprop,
    forward,
    hidden_delta,
    layer_rows,
    output_delta,
    output_loss,
    transpose_weights,
)
from cbackprop.core.gradient.job cimport leave, of_worker, share_out
from cbackprop.core.gradient.plan cimport Layer, Tile
from cbackprop.core.data.rows cimport memory_of, read_rows
from cbackprop.core.gradient.update_rules cimport (
    Rule,
    add_penalty,
    apply_everywhere,
    apply_rule,
    begin_step,
    clip,
    end_step,
    meet_loss,
    penalty_of,
)
from cbackprop.core.gradient.targets cimport read_targets, unit_loss
from cbackprop.core.linalg.vectors cimport dot
from cbackprop.core.gradient.workspace cimport LINE

# Starting and waking a team pays if a batch takes longer than this, at a rate that one core of the
# last ten years reaches.
cdef double WORTH_SECONDS = 60e-6
cdef double FLOPS_PER_SECOND = 20e9


cdef int worthwhile_threads(const Net* net, Py_ssize_t rows, int n_threads) noexcept nogil:
    """How many of ``n_threads`` threads pay for a batch of ``rows`` rows."""
    if net.flops_per_row * rows / FLOPS_PER_SECOND < WORTH_SECONDS:
        return 1
    return n_threads


def set_worthwhile(double seconds):
    """Set the estimated seconds of a batch from which a team is used; returns the old value.

    For tests, which need threads on small batches.
    """
    global WORTH_SECONDS
    before = WORTH_SECONDS
    WORTH_SECONDS = seconds
    return before


cdef int copy_parameters(Plan plan, parameters, char* to) except -1:
    """A consistent copy of the live parameters, since a fit publishes them in one copy too."""
    cdef Py_ssize_t n_bytes = plan.net.n_parameters * plan.net.itemsize
    cdef const char* live = memory_of(parameters, "parameters", n_bytes, False)
    with cython.critical_section(parameters):
        memcpy(to, live, n_bytes)
    return 0


cdef double pairwise_sum(const double* x, Py_ssize_t n) noexcept nogil:
    """The sum of x, split at the largest power of two below n, like the tree of leaves."""
    cdef Py_ssize_t half = 1
    if n <= 2:
        return 0.0 if n <= 0 else x[0] if n == 1 else x[0] + x[1]
    while 2 * half < n:
        half *= 2
    return pairwise_sum(x, half) + pairwise_sum(x + half, n - half)


# --- the forward pass: blocks ---------------------------------------------------------------------

cdef void to_units(const Job* job, Py_ssize_t rows, real* Y_hat) noexcept nogil:
    """Y_hat := Y_hat / scale + shift, column by column."""
    cdef Py_ssize_t i, j, n_out = job.net.layers[job.net.n_layers - 1].n_out
    cdef const real* scale = <const real*>job.output_scale
    cdef const real* shift = <const real*>job.output_shift
    for i in range(rows):
        for j in range(n_out):
            Y_hat[i * n_out + j] = Y_hat[i * n_out + j] / scale[j] + shift[j]


cdef void watch_sum(Job* job, double loss, int worker) noexcept nogil:
    """Set ``job.beyond`` once the loss of the finished blocks exceeds ``job.enough``.

    Another worker's sum may be outdated, which can only make it smaller.
    """
    cdef double total = 0.0
    cdef int i
    (<double*>(job.sums + worker * LINE))[0] += loss
    for i in range(job.active):
        total += (<double*>(job.sums + i * LINE))[0]
    if total > job.enough:
        job.beyond = True


cdef void forward_block(Job* job, Py_ssize_t block, int worker,
                        const real* parameters) noexcept nogil:
    """Task: a block's Y_hat into ``out``, its sum of (Y - Y_hat)^2 or l into ``losses``, or both.

    With a loss that is computed from O, ``out`` receives O.
    """
    cdef:
        const Net* net = job.net
        const Layer* last = &net.layers[net.n_layers - 1]
        Py_ssize_t first = block * net.block_rows
        Py_ssize_t rows = min(net.block_rows, job.count - first)
        int* bad = &job.bad if job.check else NULL
        real* Z = <real*>of_worker(job, job.to.Z, worker)
        Py_ssize_t capacity = rows
        Py_ssize_t at = 0
        const real* X
        const real* Y
        const real* Y_hat
        const real* weight
        real* out
    if leave(job, worker) or job.beyond:
        return
    if job.kept != NULL:
        Z, capacity, at = <real*>job.kept, job.count, first
    X = read_rows(job.X, job.order, job.start + first, rows,
                  <real*>of_worker(job, job.to.X, worker), bad)
    Y_hat = forward(net, parameters, X, rows, Z, capacity, at, job.Y != NULL and job.goal.linear,
                    job.kept != NULL)
    if job.out != NULL:
        out = <real*>job.out + first * last.n_out
        memcpy(out, Y_hat, rows * last.n_out * sizeof(real))
        if job.output_scale != NULL:
            to_units(job, rows, out)
    if job.Y != NULL:
        Y = read_targets(job, job.start + first, rows, worker,
                         <real*>of_worker(job, job.to.Y, worker), bad, &weight)
        job.to.losses[block] = output_loss(net, job.goal, Y, Y_hat, weight, rows)
        unit_loss(job, block, Y, Y_hat, weight, rows, worker)
        if job.enough > 0:
            watch_sum(job, job.to.losses[block], worker)


cdef void forward_block_task(void* job, ptrdiff_t task, int worker) noexcept nogil:
    if (<Job*>job).net.itemsize == 8:
        forward_block(<Job*>job, task, worker, <const double*>(<Job*>job).to.parameters)
    else:
        forward_block(<Job*>job, task, worker, <const float*>(<Job*>job).to.parameters)


cdef double loss_of(Job* job, Py_ssize_t start, Py_ssize_t count,
                    const real* parameters) noexcept nogil:
    """The sum of (Y - Y_hat)^2 or l over rows start .. start + count; with ``job.Y`` NULL, only
    Y_hat.

    parameters : those of the job's buffers
    """
    cdef Py_ssize_t n_blocks = (count + job.net.block_rows - 1) // job.net.block_rows
    job.start, job.count = start, count
    job.beyond = False
    if job.enough > 0:
        memset(job.sums, 0, job.active * LINE)
    share_out(job, forward_block_task, job, n_blocks)
    if job.beyond:
        return INFINITY
    return 0.0 if job.Y == NULL else pairwise_sum(job.to.losses, n_blocks)


# --- the gradient by leaves -----------------------------------------------------------------------

cdef void leaf(Job* job, Py_ssize_t first, Py_ssize_t last, int worker, const real* parameters,
               double beta, real* gradient) noexcept nogil:
    """Rows first .. last of the batch, block by block: gradient = beta gradient + their sum."""
    cdef:
        const Net* net = job.net
        const Layer* output = &net.layers[net.n_layers - 1]
        int* bad = &job.bad if job.check else NULL
        real* X_buffer = <real*>of_worker(job, job.to.X, worker)
        real* Y_buffer = <real*>of_worker(job, job.to.Y, worker)
        real* Z = <real*>of_worker(job, job.to.Z, worker)
        real* delta = <real*>of_worker(job, job.to.delta, worker)
        const real* X
        const real* Y
        const real* weight
        Py_ssize_t block = first // net.block_rows
        Py_ssize_t rows, row
    while first < last:
        rows = min(net.block_rows, last - first)
        row = job.start + first
        X = read_rows(job.X, job.order, row, rows, X_buffer, bad)
        Y = read_targets(job, row, rows, worker, Y_buffer, bad, &weight)
        if job.bad:
            return
        job.to.losses[block] = backprop(
            net, job.goal, parameters, <const real*>job.to.transposed, X, Y, weight, rows, Z,
            delta, rows, job.alpha, beta, gradient)
        unit_loss(job, block, Y, <const real*>layer_rows(Z, output, rows, 0), weight, rows, worker)
        beta = 1.0
        first += rows
        block += 1
        if first < last and leave(job, worker):
            return


cdef inline real* slot_of(const Job* job, Py_ssize_t task, const real* parameters) noexcept nogil:
    """The slot for the sum of task ``task``; slot 0 is the gradient itself."""
    if task == 0:
        return <real*>job.gradient
    return <real*>job.to.slots + (task - 1) * job.net.n_parameters


cdef void subtree(Job* job, Py_ssize_t task, int worker, const real* parameters) noexcept nogil:
    """Task: the sum over an aligned run of leaves, into slot ``task``.

    It works like a binary counter: after leaf i, as many sums are added as i + 1 has factors of
    two, and at the end all that are left, the last first.  Sum 0 is the slot itself, sum d > 0 the
    worker's stack[d - 1].
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


cdef void subtree_task(void* job, ptrdiff_t task, int worker) noexcept nogil:
    if (<Job*>job).net.itemsize == 8:
        subtree(<Job*>job, task, worker, <const double*>(<Job*>job).to.parameters)
    else:
        subtree(<Job*>job, task, worker, <const float*>(<Job*>job).to.parameters)


cdef void tree(Job* job, const real* parameters) noexcept nogil:
    """The batch's gradient by leaves: subtrees by the team, their roots added in order."""
    cdef:
        Py_ssize_t task_rows = job.to.leaves_per_task * job.net.leaf_rows
        Py_ssize_t n_tasks = (job.count + task_rows - 1) // task_rows
        Py_ssize_t step = 1
        Py_ssize_t i
    share_out(job, subtree_task, job, n_tasks)
    while step < n_tasks and not (job.interrupt.stop or job.bad):
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
        Py_ssize_t at = (job.super_start + first) // net.block_rows
        const real* X
        const real* Y
        const real* Y_hat
        const real* weight
    if leave(job, worker):
        return
    X = read_rows(job.X, job.order, row, rows,
                  <real*>job.to.super_X + first * net.layers[0].n_in, bad)
    Y = read_targets(job, row, rows, worker, <real*>job.to.super_Y + first * n_out, bad, &weight)
    Y_hat = forward(net, parameters, X, rows, Z, capacity, first, job.goal.linear, True)
    job.to.losses[at] = output_delta(net, job.goal, Y, weight, rows, <const real*>Z, delta,
                                     capacity, first)
    unit_loss(job, at, Y, Y_hat, weight, rows, worker)
    for i in range(net.n_layers - 1, 0, -1):
        hidden_delta(net, i, parameters, <const real*>job.to.transposed, rows, <const real*>Z,
                     delta, capacity, first)


cdef void tile_gradient(Job* job, Py_ssize_t index, int worker, real* parameters) noexcept nogil:
    """Task: (1) or (2) for one tile of a W: grad W = beta grad W + alpha A^T delta.

    The tile at row 0 and column 0 includes the layer's bias.  After the batch's last super-block
    the update rule is applied to the finished tile.
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
        tile_step(job, index, parameters)


cdef void tile_step(Job* job, Py_ssize_t index, real* parameters) noexcept nogil:
    """Task: the update rule on one tile of a W, and on the bias that belongs to it."""
    cdef:
        const Tile* tile = &job.net.tiles[index]
        const Layer* layer = &job.net.layers[tile.layer]
        real* gradient = <real*>job.gradient
        Py_ssize_t at = layer.W + tile.row * layer.n_out + tile.column
        Py_ssize_t i
    if tile.n_columns == layer.n_out:
        apply_rule(job.rule, True, at, tile.n_rows * layer.n_out, gradient, parameters)
    else:
        for i in range(tile.n_rows):
            apply_rule(job.rule, True, at + i * layer.n_out, tile.n_columns, gradient, parameters)
    if layer.b >= 0 and tile.row == 0 and tile.column == 0:
        apply_rule(job.rule, False, layer.b, layer.n_out, gradient, parameters)


cdef void tile_step_task(void* job, ptrdiff_t task, int worker) noexcept nogil:
    if (<Job*>job).net.itemsize == 8:
        tile_step(<Job*>job, task, <double*>(<Job*>job).to.parameters)
    else:
        tile_step(<Job*>job, task, <float*>(<Job*>job).to.parameters)


cdef void tiled_block_task(void* job, ptrdiff_t task, int worker) noexcept nogil:
    if (<Job*>job).net.itemsize == 8:
        tiled_block(<Job*>job, task, worker, <const double*>(<Job*>job).to.parameters)
    else:
        tiled_block(<Job*>job, task, worker, <const float*>(<Job*>job).to.parameters)


cdef void tile_gradient_task(void* job, ptrdiff_t task, int worker) noexcept nogil:
    if (<Job*>job).net.itemsize == 8:
        tile_gradient(<Job*>job, task, worker, <double*>(<Job*>job).to.parameters)
    else:
        tile_gradient(<Job*>job, task, worker, <float*>(<Job*>job).to.parameters)


cdef void super_blocks(Job* job, double beta, const real* parameters) noexcept nogil:
    """The batch's gradient by tiles, one super-block of rows after another.

    The products of a super-block are never interrupted: with a rule, or fused, they write
    parameters, and a step must be completed or not begun.
    """
    cdef Py_ssize_t block_rows = job.net.block_rows
    cdef Py_ssize_t n_blocks
    job.super_start = 0
    while job.super_start < job.count:
        job.super_count = min(job.net.super_rows, job.count - job.super_start)
        job.beta = beta
        n_blocks = (job.super_count + block_rows - 1) // block_rows
        share_out(job, tiled_block_task, job, n_blocks)
        if job.interrupt.stop or job.bad:
            return
        share_out(job, tile_gradient_task, job, job.net.n_tiles)
        beta = 1.0
        job.super_start += job.super_count


# --- a batch --------------------------------------------------------------------------------------

cdef double gradient_of(Job* job, Py_ssize_t start, Py_ssize_t count, double alpha,
                        real* gradient) noexcept nogil:
    """gradient = alpha * the sum over rows start .. start + count; returns sum (Y - Y_hat)^2 or l.

    If ``job.bad`` or ``job.interrupt.stop`` is set, both are undefined.
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


cdef double unit_loss_of(const Job* job, Py_ssize_t count) noexcept nogil:
    """The sum of l in the targets' units over the last ``count`` rows computed."""
    return pairwise_sum(job.to.unit_losses, (count + job.net.block_rows - 1) // job.net.block_rows)


cdef double training_step(Job* job, Py_ssize_t start, Py_ssize_t count, Rule* rule,
                          real* parameters) noexcept nogil:
    """One step of the rule on rows start .. start + count; returns their sum of (Y - Y_hat)^2 or l.

    parameters : those of the job's buffers; unchanged if ``job.interrupt.stop`` or ``job.bad`` is
        set

    Plain SGD on a batch that is one block (leaves) or one super-block (tiles) is fused: the
    gradient products subtract from the weights directly, W := W - learning_rate / N * A^T delta,
    and no gradient is stored.  A rule that needs the full gradient first stores its norm in
    ``job.norm``.
    """
    cdef:
        const Net* net = job.net
        double one_over_N = 1.0 if job.given != NULL else 1.0 / count
        bint one_block = count <= (net.super_rows if net.tiled else net.block_rows)
        real* gradient = <real*>job.to.gradient
        double total
    begin_step(rule)
    if rule.fusable and one_block and not rule.whole:
        job.start, job.count, job.alpha = start, count, -rule.learning_rate * one_over_N
        job.gradient, job.rule = parameters, NULL
        transpose_weights(net, <const real*>parameters, <real*>job.to.transposed)
        if net.tiled:
            super_blocks(job, 1.0, <const real*>parameters)
        else:
            leaf(job, 0, count, 0, <const real*>parameters, 1.0, parameters)
    elif net.tiled and not rule.whole:
        job.start, job.count, job.alpha = start, count, one_over_N
        job.gradient, job.rule = gradient, rule
        transpose_weights(net, <const real*>parameters, <real*>job.to.transposed)
        super_blocks(job, 0.0, <const real*>parameters)
    else:
        total = gradient_of(job, start, count, one_over_N, gradient)
        if not (job.interrupt.stop or job.bad):
            whole_step(job, rule, job.goal.factor * total * one_over_N, gradient, parameters)
        return total
    if not (job.interrupt.stop or job.bad):
        end_step(rule, 0.0)
    return pairwise_sum(job.to.losses, (count + net.block_rows - 1) // net.block_rows)


cdef void whole_step(Job* job, Rule* rule, double loss, real* gradient,
                     real* parameters) noexcept nogil:
    """Apply the rule to all parameters, given the full gradient.

    loss : that of the gradient's rows
    """
    cdef const Net* net = job.net
    if rule.whole:
        add_penalty(rule, net, <const real*>parameters, gradient)
        loss += penalty_of(rule, net, <const real*>parameters)
        job.norm = sqrt(dot(<const real*>gradient, <const real*>gradient, net.n_parameters))
        clip(rule, job.norm, gradient, net.n_parameters)
        meet_loss(rule, loss)
    job.rule = rule
    if net.tiled:
        share_out(job, tile_step_task, job, net.n_tiles)
    else:
        apply_everywhere(rule, net, gradient, parameters)
    end_step(rule, loss)
