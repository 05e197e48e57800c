"""The time of each product and pass of a step, one after the other: what benchmarks/passes.py
shows.

The functions, shapes, blocks and tiles are those that a step of plain SGD uses, on one thread.  A
pass is repeated by itself, so its operands are in the caches at least as well as in a step: the
passes add up to less than a step, and the rest is calls, waiting and memory.

For measurements only; training never uses this file.
"""

from libc.string cimport memcpy

from cbackprop.core.linalg cimport elementwise, product
from cbackprop.core.gradient.backprop cimport (
    layer_rows,
    output_delta,
    sigma_prime_source,
    slope_rows,
)
from cbackprop.core.gradient.objective cimport Goal
from cbackprop.core.gradient.plan cimport Layer, Net, Plan, Tile
from cbackprop.core.data.rows cimport RowSource, memory_of
from cbackprop.core.simd.dispatch cimport CBP_IDENTITY, CBP_SQUARED_ERROR, cbp_of_outputs_only
from cbackprop.core.team cimport team
from cbackprop.core.linalg.types cimport real
from cbackprop.core.gradient.workspace cimport Workspace, workspace_for

cdef enum:
    TRANSPOSE
    AFFINE
    SIGMA
    DELTA_O
    GRADIENT
    DELTA_W_T
    SIGMA_PRIME
    DELTA_H                     # both in one

ctypedef struct Batch:
    const Net* net
    Goal goal
    const char* X               # (rows, n_in) of the network's dtype
    const char* Y
    Py_ssize_t rows
    char* Z
    char* delta
    char* transposed
    char* parameters


cdef void block_pass(const Batch* to, int kind, Py_ssize_t i, Py_ssize_t first, Py_ssize_t rows,
                     const real* parameters) noexcept nogil:
    """One pass of layer i for rows first .. first + rows of the batch."""
    cdef:
        const Net* net = to.net
        const Layer* layer = &net.layers[i]
        const Layer* lower = &net.layers[i - 1] if i > 0 else NULL
        # By leaves, the next block overwrites a block's activations; by tiles, all are kept.
        Py_ssize_t capacity = to.rows if net.tiled else rows
        Py_ssize_t at = first if net.tiled else 0
        real* Z = layer_rows(<real*>to.Z, layer, capacity, at)
        real* delta = layer_rows(<real*>to.delta, layer, capacity, at)
        const real* W = parameters + layer.W
        const real* W_T = NULL
        const real* b = parameters + layer.b if layer.b >= 0 else NULL
        const real* A
        const real* source
        const real* no_weight = NULL
        int activation
    if i == 0:
        A = <const real*>to.X + first * layer.n_in
    else:
        A = layer_rows(<real*>to.Z, lower, capacity, at)
    if kind == AFFINE:
        product.affine(rows, layer.n_in, layer.n_out, A, W, b, Z)
    elif kind == SIGMA:
        if layer.slope < 0:
            elementwise.sigma(layer.activation, Z, Z, rows * layer.n_out)
        else:
            elementwise.sigma_keeping(layer.activation, Z, Z,
                                      slope_rows(<real*>to.Z, layer, capacity, at),
                                      rows * layer.n_out)
    elif kind == DELTA_O:
        output_delta(net, &to.goal, <const real*>to.Y + first * layer.n_out, no_weight, rows,
                     <const real*>to.Z, <real*>to.delta, capacity, at)
    elif kind == DELTA_W_T:
        if layer.W_T >= 0:
            W_T = <const real*>to.transposed + layer.W_T
        product.delta_W_T(rows, layer.n_in, layer.n_out, delta, W, W_T,
                          layer_rows(<real*>to.delta, lower, capacity, at))
    elif kind == SIGMA_PRIME:
        source = sigma_prime_source(layer, <const real*>to.Z, capacity, at, &activation)
        elementwise.times_sigma_prime(activation, source, delta, rows * layer.n_out)
    elif kind == DELTA_H:
        source = sigma_prime_source(lower, <const real*>to.Z, capacity, at, &activation)
        elementwise.delta_H(activation, <const real*>delta, layer.n_out, rows, layer.n_out,
                            <const real*>to.transposed + layer.W_T, layer.n_in, source,
                            layer_rows(<real*>to.delta, lower, capacity, at))


cdef bint joined(const Net* net, Py_ssize_t i) noexcept nogil:
    """Whether a step goes from layer i's delta to the one below in one pass."""
    cdef const Layer* layer = &net.layers[i]
    return (layer.W_T >= 0 and net.layers[i - 1].activation != CBP_IDENTITY
            and elementwise.joins_delta_H(layer.n_in, layer.n_out, net.itemsize))


cdef void gradient_pass(const Batch* to, Py_ssize_t i, real* parameters) noexcept nogil:
    """(1) or (2) for layer i and the whole batch, as a fused step with a tiny learning rate."""
    cdef:
        const Net* net = to.net
        const Layer* layer = &net.layers[i]
        const Layer* lower = &net.layers[i - 1] if i > 0 else NULL
        const Tile* tile
        Py_ssize_t depth = to.rows if net.tiled else net.block_rows
        Py_ssize_t first, rows, t
        const real* A
        const real* delta
        real alpha = <real>-1e-12
    first = 0
    while first < to.rows:
        rows = min(depth, to.rows - first)
        A = (<const real*>to.X + first * layer.n_in if i == 0
             else layer_rows(<real*>to.Z, lower, rows, 0))
        delta = layer_rows(<real*>to.delta, layer, rows, 0)
        if not net.tiled:
            product.weight_gradient(layer.n_in, layer.n_out, rows, alpha, A, layer.n_in, delta,
                                    layer.n_out, <real>1, parameters + layer.W, layer.n_out)
        for t in range(net.n_tiles if net.tiled else 0):
            tile = &net.tiles[t]
            if tile.layer == i:
                product.weight_gradient(
                    tile.n_rows, tile.n_columns, rows, alpha, A + tile.row, layer.n_in,
                    delta + tile.column, layer.n_out, <real>1,
                    parameters + layer.W + tile.row * layer.n_out + tile.column, layer.n_out)
        first += rows


cdef double seconds_of(const Batch* to, int kind, Py_ssize_t i, Py_ssize_t times,
                       real* parameters) noexcept nogil:
    """The mean time in seconds of the pass on the whole batch, over ``times`` repetitions."""
    cdef const Net* net = to.net
    cdef const Layer* layer = &net.layers[i]
    cdef Py_ssize_t first
    cdef double begin = team.clock()
    for _ in range(times):
        if kind == TRANSPOSE:
            elementwise.transpose(parameters + layer.W, layer.n_in, layer.n_out,
                                  <real*>to.transposed + layer.W_T)
        elif kind == GRADIENT:
            gradient_pass(to, i, parameters)
        else:
            first = 0
            while first < to.rows:
                block_pass(to, kind, i, first, min(net.block_rows, to.rows - first),
                           <const real*>parameters)
                first += net.block_rows
    return (team.clock() - begin) / times


def passes(Plan plan not None, parameters, X, Y, double seconds):
    """Time every product and pass of a step on the batch X, Y.

    Parameters
    ----------
    parameters : ndarray (P,)
        Copied.
    X, Y : C-contiguous arrays of the plan's dtype
        By tiles, with at most the rows of a super-block; larger batches repeat it.
    seconds : float
        The approximate time for repeating each pass.

    Returns
    -------
    list of (formula, seconds, flops, units)
        In the order of a step; ``seconds`` is a pass's time, ``units`` the number of activations
        computed.
    """
    cdef:
        const Net* net = &plan.net
        RowSource rows_X = RowSource(X, net.itemsize)
        RowSource rows_Y = RowSource(Y, net.itemsize)
        Workspace space
        Batch to
        const Layer* layer
        Py_ssize_t i, N = rows_X.rows.n_rows
        Py_ssize_t last = net.n_layers - 1
        Py_ssize_t times
        int kind
        double took
        list wanted = []
        list found = []
    if (N < 1 or rows_Y.rows.n_rows != N or not rows_X.rows.in_place or not rows_Y.rows.in_place
            or rows_X.rows.n_columns != net.layers[0].n_in
            or rows_Y.rows.n_columns != net.layers[last].n_out):
        raise ValueError("X and Y have the same rows, and the network's columns and dtype")
    if cbp_of_outputs_only(net.layers[last].activation):
        raise ValueError("the passes of squared error with an elementwise output")
    if net.tiled and N > net.super_rows:
        raise ValueError("no more rows than a super-block's")
    space = workspace_for(net, N, 1, True)
    memcpy(space.buffers.parameters,
           memory_of(parameters, "parameters", net.n_parameters * net.itemsize, False),
           net.n_parameters * net.itemsize)
    to.net, to.rows = net, N
    to.goal.loss, to.goal.plain = CBP_SQUARED_ERROR, True
    to.X, to.Y = rows_X.rows.data, rows_Y.rows.data
    to.Z = space.buffers.super_Z if net.tiled else space.buffers.Z
    to.delta = space.buffers.super_delta if net.tiled else space.buffers.delta
    to.transposed, to.parameters = space.buffers.transposed, space.buffers.parameters
    for i in range(1, net.n_layers):
        if net.layers[i].W_T >= 0:
            wanted.append((TRANSPOSE, i, f"copy W{i + 1}^T"))
    for i in range(net.n_layers):
        wanted.append((AFFINE, i, f"Z{i} W{i + 1}" if i > 0 else "X W1"))
        if net.layers[i].activation != CBP_IDENTITY:
            wanted.append((SIGMA, i, f"Z{i + 1} = sigma(H{i + 1})" if i < last
                           else "Y_hat = sigma(O)"))
    wanted.append((DELTA_O, last, "delta_O"))
    for i in range(last, -1, -1):
        wanted.append((GRADIENT, i, f"grad W{i + 1}"))
        if i > 0 and joined(net, i):
            wanted.append((DELTA_H, i, f"delta_H{i}"))
        elif i > 0:
            wanted.append((DELTA_W_T, i, f"delta W{i + 1}^T"))
            if net.layers[i - 1].activation != CBP_IDENTITY:
                wanted.append((SIGMA_PRIME, i - 1, f"* sigma'(H{i})"))
    for kind, i, formula in wanted:
        layer = &net.layers[i]
        took = 0.0
        times = 1
        while took * times < seconds:  # the last run counts
            times = max(times, min(100 * times, <Py_ssize_t>(1.2 * seconds / took))) if took else 1
            if net.itemsize == 8:
                took = seconds_of(&to, kind, i, times, <double*>to.parameters)
            else:
                took = seconds_of(&to, kind, i, times, <float*>to.parameters)
        flops = 2.0 * N * layer.n_in * layer.n_out if kind in (
            AFFINE, GRADIENT, DELTA_W_T, DELTA_H) else 0.0
        units = N * layer.n_out if kind == SIGMA else 0
        found.append((formula, took, flops, units))
    return found
