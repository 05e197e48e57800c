"""Computes J'J and J'e over row blocks, for Gauss-Newton steps.

Forward and backward passes over blocks of rows give J'e and the factors of J's rows (factors.pyx);
sums of products of these give J'J (gram.pyx), for one output's squared error also J'e, or J J'
(dual.pyx).  J is never stored, not even in part.

By leaves (small sums): a leaf is a run of blocks whose sums accumulate in order; the leaves, whose
number depends only on the rows, are added by the pairwise tree.  By tiles: for a super-block of
rows first the factors, blocks of rows in parallel, then fixed tiles of the sums in parallel, rows
in order inside a tile.  Either way the result is bitwise independent of the threads.

This file knows no solver; damped.pyx and levenberg_marquardt.pyx use the sums.
"""

from cpython.mem cimport PyMem_RawCalloc
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from cbackprop.core.linalg cimport elementwise
from cbackprop.core.gradient.backprop cimport backprop, forward, transpose_weights
from cbackprop.core.gradient.batch cimport (
    copy_parameters,
    loss_of,
    pairwise_sum,
    worthwhile_threads,
)
from cbackprop.core.gauss_newton.dual cimport GRAM_ROWS, gram_rows, gram_scratch
from cbackprop.core.gauss_newton.factors cimport (
    Factors,
    block_factors,
    deltas_per_row,
    inputs_per_row,
    width_of,
)
from cbackprop.core.gauss_newton.gram cimport add_products, residuals_row, unpack_rows
from cbackprop.core.gradient.job cimport leave, of_worker, share_out
from cbackprop.core.gradient.objective cimport Objective
from cbackprop.core.gradient.plan cimport Net, Plan
from cbackprop.core.gradient.interrupts cimport Interrupts
from cbackprop.core.data.rows cimport RowSource, memory_of, read_rows
from cbackprop.core.gradient.targets cimport read_targets
from cbackprop.core.team cimport team
from cbackprop.core.gradient.workspace cimport LINE, Workspace, workspace_for

cdef extern from *:
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    STRIP = 1024                # of the leaves' sums, added by one task

# Up to this many bytes of sums, each leaf has its own.
cdef Py_ssize_t LARGEST_LEAF_SUMS = 256 * 1024
cdef Py_ssize_t MOST_LEAVES = 16
cdef Py_ssize_t LEAF_ROWS = 256
# The size of a leaf's block and its factors, by far the smallest part of the work.
cdef Py_ssize_t LEAF_BLOCK = 64
cdef Py_ssize_t TILED_BLOCK = 32
# The size of a super-block's factors and gradients, which stay in the last-level cache.
cdef Py_ssize_t SUPER_BYTES = 8 * 1024 * 1024
# Up to this many bytes, a trial's activations are kept for the next system if it is accepted.
cdef Py_ssize_t KEPT_BYTES = 1024 * 1024


cdef void block(System* s, Py_ssize_t first, Py_ssize_t rows, int worker, double beta,
                real* gradient, const Factors* to, Py_ssize_t at,
                const real* parameters) noexcept nogil:
    """A block's loss, gradient = beta gradient + the block's, and factors, stored from ``at``."""
    s.losses[first // s.block_rows] = block_factors(
        s.job, parameters, <const real*>s.transposed, first, rows, worker, s.weight_mean,
        <real*>(s.scratch + worker * s.worker_bytes), beta,
        NULL if s.sums.residuals else gradient, to, at, s.counts + first // s.block_rows)


cdef inline Py_ssize_t deltas_bytes(const System* s) noexcept nogil:
    """The part of a worker's scratch memory for a block's deltas."""
    return (s.block_rows * s.job.net.n_units * s.job.net.itemsize + LINE - 1) // LINE * LINE


# --- by leaves ------------------------------------------------------------------------------------

cdef inline double* sums_of(System* s, Py_ssize_t leaf) noexcept nogil:
    return s.F if leaf == 0 else s.leaf_sums + (leaf - 1) * s.sums.size


cdef void leaf_of(System* s, Py_ssize_t leaf, int worker, const real* parameters) noexcept nogil:
    """Task: gradient and sums of one leaf's rows, block by block."""
    cdef:
        const Net* net = s.job.net
        Py_ssize_t first = leaf * s.leaf_rows
        Py_ssize_t last = min(first + s.leaf_rows, s.n_rows)
        Py_ssize_t i, rows
        Factors factors
        double* scratch = <double*>(s.scratch + worker * s.worker_bytes + deltas_bytes(s))
        double beta = 0.0
    factors.capacity = s.block_rows
    factors.inputs = scratch + s.sums.scratch
    factors.deltas = factors.inputs + s.block_rows * inputs_per_row(net)
    factors.residuals = NULL
    if s.sums.residuals:
        factors.residuals = factors.deltas + s.block_rows * deltas_per_row(net)
    while first < last:
        if leave(s.job, worker):
            return
        rows = min(s.block_rows, last - first)
        block(s, first, rows, worker, beta, <real*>s.gradients + leaf * s.P, &factors, 0,
              parameters)
        if s.job.bad:
            return
        for i in range(s.sums.n_parts):
            add_products(net, s.sums, &s.sums.parts[i], &factors, 0, rows, beta, scratch,
                         sums_of(s, leaf))
        beta = 1.0
        first += rows


cdef void leaf_task(void* system, ptrdiff_t task, int worker) noexcept nogil:
    if (<System*>system).job.net.itemsize == 8:
        leaf_of(<System*>system, task, worker, <const double*>(<System*>system).job.to.parameters)
    else:
        leaf_of(<System*>system, task, worker, <const float*>(<System*>system).job.to.parameters)


cdef void join_strip(void* system, ptrdiff_t task, int worker) noexcept nogil:
    """Task: one strip of the pairwise sum over the leaves' sums."""
    cdef:
        System* s = <System*>system
        Py_ssize_t at = task * STRIP
        Py_ssize_t n = min(<Py_ssize_t>STRIP, s.sums.size - at)
        Py_ssize_t step = 1
        Py_ssize_t i
    while step < s.n_leaves:
        i = 0
        while i + step < s.n_leaves:
            elementwise.add(<const double*>(sums_of(s, i + step) + at), sums_of(s, i) + at, n)
            i += 2 * step
        step *= 2


cdef void join_gradients(System* s, const real* parameters) noexcept nogil:
    """The same for the leaves' gradients."""
    cdef Py_ssize_t step = 1
    cdef Py_ssize_t i
    cdef real* gradients = <real*>s.gradients
    while step < s.n_leaves:
        i = 0
        while i + step < s.n_leaves:
            elementwise.add(<const real*>(gradients + (i + step) * s.P), gradients + i * s.P, s.P)
            i += 2 * step
        step *= 2


# --- by tiles, and the dual's first phase ---------------------------------------------------------

cdef void block_of(System* s, Py_ssize_t index, int worker, const real* parameters) noexcept nogil:
    """Task: one block of the super-block, with its own place for the gradient."""
    cdef:
        Py_ssize_t first = index * s.block_rows
        Py_ssize_t rows = min(s.block_rows, s.super_count - first)
    if not leave(s.job, worker):
        block(s, s.super_start + first, rows, worker, 0.0, <real*>s.gradients + (index + 1) * s.P,
              &s.factors, first + (s.super_start if s.dual else 0), parameters)


cdef void block_task(void* system, ptrdiff_t task, int worker) noexcept nogil:
    if (<System*>system).job.net.itemsize == 8:
        block_of(<System*>system, task, worker, <const double*>(<System*>system).job.to.parameters)
    else:
        block_of(<System*>system, task, worker, <const float*>(<System*>system).job.to.parameters)


cdef void tile(void* system, ptrdiff_t task, int worker) noexcept nogil:
    """Task: the super-block's products in one tile of the sums."""
    cdef System* s = <System*>system
    if not leave(s.job, worker):
        add_products(s.job.net, s.sums, &s.sums.parts[task], &s.factors, 0, s.super_count,
                     0.0 if s.super_start == 0 else 1.0,
                     <double*>(s.scratch + worker * s.worker_bytes), s.F)


cdef void super_blocks(System* s, const real* parameters) noexcept nogil:
    """Every super-block: first its blocks, then the tiles of the sums."""
    cdef:
        Py_ssize_t n_blocks, i
        real* gradients = <real*>s.gradients
    memset(gradients, 0, s.P * sizeof(real))
    s.super_start = 0
    while s.super_start < s.n_rows:
        s.super_count = min(s.super_rows, s.n_rows - s.super_start)
        n_blocks = (s.super_count + s.block_rows - 1) // s.block_rows
        share_out(s.job, block_task, s, n_blocks)
        if s.job.interrupt.stop or s.job.bad:
            return
        if not s.sums.residuals:
            for i in range(n_blocks):
                elementwise.add(<const real*>(gradients + (i + 1) * s.P), gradients, s.P)
        if not s.dual:
            share_out(s.job, tile, s, s.sums.n_parts)
            if s.job.interrupt.stop:
                return
        s.super_start += s.super_count


# --- called by solvers ----------------------------------------------------------------------------

cdef void unpack(void* system, ptrdiff_t task, int worker) noexcept nogil:
    """Task: J'J's rows for one input of a layer, from the sums."""
    cdef:
        System* s = <System*>system
        const Net* net = s.job.net
        Py_ssize_t i = 0
    while task >= width_of(&net.layers[i]):
        task -= width_of(&net.layers[i])
        i += 1
    unpack_rows(net, s.sums, s.F, i, task, s.P, s.A)


cdef void linearise(System* s, const real* parameters) noexcept nogil:
    """Loss, gradient, and J'J or J J', of all rows at the job's parameters.

    If ``job.bad`` or ``job.interrupt.stop`` is set, they are undefined.
    """
    cdef Py_ssize_t n_blocks = (s.n_rows + s.block_rows - 1) // s.block_rows
    cdef Py_ssize_t i
    s.job.start, s.job.count = 0, s.n_rows
    if s.job.kept != NULL and not s.forward_done:
        loss_of(s.job, 0, s.n_rows, parameters)
        if s.job.interrupt.stop or s.job.bad:
            return
    transpose_weights(s.job.net, parameters, <real*>s.transposed)
    if s.by_leaves:
        share_out(s.job, leaf_task, s, s.n_leaves)
        if s.job.interrupt.stop or s.job.bad:
            return
        share_out(s.job, join_strip, s, (s.sums.size + STRIP - 1) // STRIP)
        if not s.sums.residuals:
            join_gradients(s, parameters)
    else:
        super_blocks(s, parameters)
        if s.job.interrupt.stop or s.job.bad:
            return
    if s.dual:
        share_out(s.job, gram_rows, s, (s.n_rows + GRAM_ROWS - 1) // GRAM_ROWS)
    elif s.by_leaves:
        for i in range(inputs_per_row(s.job.net)):      # too little for a team
            unpack(s, i, 0)
    else:
        share_out(s.job, unpack, s, inputs_per_row(s.job.net))
    if s.sums.residuals:
        memcpy(s.g, residuals_row(s.sums, s.F), s.P * sizeof(double))
    else:
        for i in range(s.P):
            s.g[i] = (<real*>s.gradients)[i]
    s.loss = s.job.goal.factor * pairwise_sum(s.losses, n_blocks)
    s.measured = pairwise_sum(s.counts, n_blocks)


cdef void bending(System* s, double h, const real* parameters, const double* v,
                  double* out) noexcept nogil:
    """out (P,) = J' (r(W + h v) - r(W)), r the weighted residuals of the squared error, W = s.W.

    It is the gradient with 2 Y_hat(W) - Y_hat(W + h v) instead of Y.

    parameters : the job's, from a trial; not read
    """
    cdef:
        Job* job = s.job
        const Net* net = job.net
        real* moved = <real*>s.elsewhere
        real* W = moved + s.P
        real* Z = <real*>of_worker(job, job.to.Z, 0)
        real* Y_buffer = <real*>of_worker(job, job.to.Y, 0)
        real* delta = <real*>s.scratch
        real* gradient = <real*>s.gradients
        Py_ssize_t first = 0
        Py_ssize_t rows, i
        double beta = 0.0
        const real* X
        const real* weight
        const real* Y_hat
    for i in range(s.P):
        W[i] = <real>s.W[i]
        moved[i] = <real>(s.W[i] + h * v[i])
    while first < s.n_rows and not leave(job, 0):
        rows = min(s.block_rows, s.n_rows - first)
        X = read_rows(job.X, job.order, first, rows, <real*>of_worker(job, job.to.X, 0), NULL)
        read_targets(job, first, rows, 0, Y_buffer, NULL, &weight)      # the weight is wanted
        Y_hat = forward(net, <const real*>moved, X, rows, Z, rows, 0, False, False)
        for i in range(rows * s.n_out):
            Y_buffer[i] = -Y_hat[i]
        Y_hat = forward(net, <const real*>W, X, rows, Z, rows, 0, False, False)
        for i in range(rows * s.n_out):
            Y_buffer[i] += 2 * Y_hat[i]
        backprop(net, job.goal, <const real*>W, <const real*>s.transposed, X, <const real*>Y_buffer,
                 weight, rows, Z, delta, rows, 1.0, beta, gradient)
        beta = 1.0
        first += rows
    for i in range(s.P):
        out[i] = gradient[i]


cdef class GaussNewton:
    """The Gauss-Newton system and its memory."""

    cdef int prepare(self, Job* job, Py_ssize_t n_rows, bint dual, bint bend) except -1:
        """Allocate the memory for systems of ``n_rows`` rows.

        job : everything but the current batch is set, including its workspace
        dual : whether the solver can use J J', if it is smaller
        bend : whether ``bending`` will be called
        """
        cdef:
            System* s = &self.system
            const Net* net = job.net
            Workspace space = Workspace()
            Py_ssize_t P = net.n_parameters
            Py_ssize_t size = net.itemsize
            Py_ssize_t K = net.layers[net.n_layers - 1].n_out
            Py_ssize_t of_factors = inputs_per_row(net) + deltas_per_row(net) + K
            Py_ssize_t widest = 1
            Py_ssize_t n_gradients, n_doubles, i, side
        for i in range(net.n_layers):
            widest = max(widest, net.layers[i].n_out)
        s.job, s.P, s.n_rows, s.n_out, s.M = job, P, n_rows, K, n_rows * K
        s.dual = dual and s.M < P
        side = s.M if s.dual else P
        if side > 0 and side > PY_SSIZE_T_MAX // 64 // side:
            raise MemoryError("the system of equations is larger than memory can be")
        self.gram = Gram()
        if not s.dual:
            self.gram.prepare(net, job.goal.squared)
        s.sums = &self.gram.sums
        s.by_leaves = (not s.dual
                       and s.sums.size * <Py_ssize_t>sizeof(double) <= LARGEST_LEAF_SUMS)
        s.block_rows = min(LEAF_BLOCK if s.by_leaves else TILED_BLOCK, min(net.block_rows, n_rows))
        if s.by_leaves:
            s.leaf_rows = max(LEAF_ROWS, (n_rows + MOST_LEAVES - 1) // MOST_LEAVES)
            s.leaf_rows = (s.leaf_rows + s.block_rows - 1) // s.block_rows * s.block_rows
            s.n_leaves = n_gradients = (n_rows + s.leaf_rows - 1) // s.leaf_rows
            n_doubles = s.sums.scratch + s.block_rows * of_factors
        else:
            i = SUPER_BYTES // (of_factors * <Py_ssize_t>sizeof(double)
                                + P * size // s.block_rows)
            if s.dual:
                i = 512
            s.super_rows = min(max(i, <Py_ssize_t>512) // s.block_rows * s.block_rows, n_rows)
            s.super_rows = max(s.super_rows, s.block_rows)
            n_gradients = 1 + (s.super_rows + s.block_rows - 1) // s.block_rows
            n_doubles = gram_scratch(s) if s.dual else s.sums.scratch
            s.factors.capacity = n_rows if s.dual else s.super_rows
        # A block's deltas, followed by a leaf's memory; a tile and J J' use all of it.
        s.worker_bytes = n_doubles * sizeof(double)
        if s.by_leaves:
            s.worker_bytes += deltas_bytes(s)
        s.worker_bytes = (max(s.worker_bytes, deltas_bytes(s)) + LINE - 1) // LINE * LINE + LINE
        for _ in range(2):
            space.n_bytes = 0
            if s.dual:
                space.lay(<char**>&s.t, s.M * sizeof(double))
                space.lay(<char**>&s.rows, n_rows * widest * sizeof(double))
                space.lay(<char**>&s.G_weights, s.M * s.M * sizeof(double))
                if net.layers[0].b >= 0:
                    space.lay(<char**>&s.G_biases, s.M * s.M * sizeof(double))
            else:
                space.lay(<char**>&s.A, P * P * sizeof(double))
            if not s.by_leaves:
                i = s.factors.capacity * sizeof(double)
                space.lay(<char**>&s.factors.inputs, i * inputs_per_row(net))
                space.lay(<char**>&s.factors.deltas, i * deltas_per_row(net))
                if s.dual or s.sums.residuals:
                    space.lay(<char**>&s.factors.residuals, i * K)
            # The sums are at most P P numbers, except for the padding of their rows.
            space.lay(<char**>&s.F, max(side * side, s.sums.size) * sizeof(double))
            space.lay(<char**>&s.g, P * sizeof(double))
            space.lay(<char**>&s.c, P * sizeof(double))
            space.lay(<char**>&s.W, P * sizeof(double))
            space.lay(<char**>&s.trial, P * sizeof(double))
            space.lay(<char**>&s.step, P * sizeof(double))
            space.lay(<char**>&s.bend, P * sizeof(double))
            i = (n_rows + s.block_rows - 1) // s.block_rows
            space.lay(<char**>&s.losses, i * sizeof(double))
            space.lay(<char**>&s.counts, i * sizeof(double))
            if n_rows * net.n_kept * size <= KEPT_BYTES:
                space.lay(&s.kept, n_rows * net.n_kept * size)
            space.lay(&s.loss_sums, job.to.n_workers * LINE)
            space.lay(&s.transposed, net.n_transposed * size)
            space.lay(&s.gradients, n_gradients * P * size)
            if bend:
                space.lay(&s.elsewhere, 2 * P * size)
            if s.by_leaves:
                space.lay(<char**>&s.leaf_sums,
                          (s.n_leaves - 1) * s.sums.size * sizeof(double))
            space.lay(&s.scratch, job.to.n_workers * s.worker_bytes)
            if space.slab == NULL:
                # Zeros, since nothing is written above the diagonal, though sums may read it.
                space.slab = <char*>PyMem_RawCalloc(space.n_bytes + LINE, 1)
                if space.slab == NULL:
                    raise MemoryError(f"no {space.n_bytes} bytes for the system of equations")
        self.space = space
        job.kept = s.kept           # where loss_of keeps the activations, or NULL
        job.sums = s.loss_sums
        return 0


def memory_needed(Plan plan, Py_ssize_t n_rows, bint dual):
    """The approximate bytes of a system: its two matrices, and the factors of J's rows."""
    P = <object>plan.net.n_parameters
    K = plan.net.layers[plan.net.n_layers - 1].n_out
    M = n_rows * K
    per_row = inputs_per_row(&plan.net) + deltas_per_row(&plan.net) + K
    if dual and M < P:
        return 8 * (3 * M * M + n_rows * per_row)
    return 8 * 2 * P * P + min(2 * SUPER_BYTES, 8 * n_rows * per_row)


# --- called from Python: the posterior, and the tests ---------------------------------------------

def system(Plan plan not None, Objective objective not None, parameters, X, Y, sample_weight,
           A, g, int n_threads, scaling=None, target_scaling=None, rows=None, bint dual=False):
    """A (P, P) = J'J in the lower triangle, or J J' (M, M) with ``dual``, and g (P,) = J'e.

    rows : ndarray of int64, optional
        Which rows; None is all.

    All are float64 sums over the rows; returns (sum of l, number of targets), or None if X or Y
    holds a NaN or an infinity.
    """
    cdef:
        Job job
        RowSource X_rows, Y_rows, weight_rows
        GaussNewton owner = GaussNewton()
        System* s = &owner.system
        Interrupts interrupts = Interrupts()
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
    job.interrupt, job.check, job.active = &interrupts.interrupt, True, threads
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
    interrupts.reraise()
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
