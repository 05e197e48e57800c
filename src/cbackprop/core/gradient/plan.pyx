"""How a network is laid out in memory and its work divided.

A ``Plan`` knows sizes and offsets, never parameters: the place of each W and b in the flat
parameter vector, how many rows a block, a leaf and a super-block hold, and which of the two
partitions of a gradient's work is used (docs/design.md, "One idea"):

leaves  passes over blocks of rows; runs of blocks are leaves, a batch is a tree over leaves
tiles   activations and deltas by blocks of rows; then gradient products by tiles of the parameters

All of it, and so the order of every floating-point sum, depends only on the shape, the dtype and
the instruction set, not on the number of threads.
"""

from libc.stdlib cimport calloc, free

from cbackprop.core.linalg cimport blas
from cbackprop.core.simd.dispatch cimport CBP_KEPT, cbp_keeps_slope, cbp_of_outputs_only, f64

cdef extern from *:
    Py_ssize_t PY_SSIZE_T_MAX

# Above this many bytes of parameters a private gradient for each task costs more (a pass over it
# for each leaf) than a second phase does: tiles.  784-30-10 in float64 (190 KB) is faster by
# leaves, 784-100-10 in float32 (318 KB) by tiles.
cdef Py_ssize_t LARGEST_LEAF_GRADIENT = 256 * 1024
# Transposed copies of W are kept for delta W^T where n_out is below this (all of them in a net by
# leaves, where they are small).
cdef Py_ssize_t TRANSPOSE_BELOW = 32


# AVX2: a W with at least this many weights is cut into eight tiles, if their shorter side is not
# below that, and multiplied by BLAS, which copies both factors of each.  784 x 1024 with 512 rows
# takes 0.80 to 0.96 of the time of the register tiles' own 31 (float32: 0.90 to 1.00; the less, the
# busier the machine), 1000 x 1000 0.79 (0.93); 400 x 600 would take 0.9 to 1.0 (1.1), a step of
# 4000-160-2 0.95 (1.08).  Two or four tiles take less still, and keep two or four threads busy.
cdef Py_ssize_t LEAST_FOR_BLAS = 512 * 1024
cdef Py_ssize_t SHORTEST_FOR_BLAS = 192


# Up to this many outputs, fused steps on 3 or 4 and on 2 rows are faster (0.5 to 0.9 of the time,
# over networks of 8 to 1,000 hidden units); on one row they are faster with any number (0.3 to
# 0.7).
cdef Py_ssize_t FOUR_ROWS_OUTPUTS = 12
cdef Py_ssize_t TWO_ROWS_OUTPUTS = 32


cdef Py_ssize_t even_piece(Py_ssize_t length, Py_ssize_t wanted) noexcept nogil:
    """The multiple of 16, near ``wanted``, that divides ``length`` into even pieces."""
    cdef Py_ssize_t pieces = (length + wanted // 2) // max(wanted, <Py_ssize_t>1)
    if pieces <= 1:
        return length
    return ((length + pieces - 1) // pieces + 15) // 16 * 16


cdef bint cut_for_blas(const Layer* layer, Py_ssize_t* n_rows,
                       Py_ssize_t* n_columns) noexcept nogil:
    """Whether W is multiplied by BLAS; n_rows, n_columns: its eight nearly square tiles."""
    n_rows[0], n_columns[0] = layer.n_in, layer.n_out
    for _ in range(3):
        if n_rows[0] > n_columns[0]:
            n_rows[0] = ((n_rows[0] + 1) // 2 + 3) // 4 * 4
        else:
            n_columns[0] = ((n_columns[0] + 1) // 2 + 3) // 4 * 4
    return (f64.lanes == 4 and layer.n_in * layer.n_out >= LEAST_FOR_BLAS
            and min(n_rows[0], n_columns[0]) >= SHORTEST_FOR_BLAS)


cdef class Plan:
    """The layout of one network.

    Parameters
    ----------
    sizes : tuple of int
        n_in, hidden sizes, n_out; at least two, each at least 1.
    activations : tuple of int
        One code for each layer of weights, the output's last.
    bias : bool
    dtype : {"float64", "float32"}
    block_rows, leaf_rows, super_rows : int, optional
        Override the chosen ones (for tests).  The latter two are multiples of the first.
    partition : {"leaves", "tiles"}, optional
        Override the chosen one (for tests).
    few_rows : int, optional
        Override the chosen bound (for tests): 0 to 4, and 0 unless there is one hidden layer.

    Raises
    ------
    OverflowError
        A size or the number of parameters is beyond what BLAS or the machine counts with.
    ValueError
        Anything else is out of range.
    """

    def __cinit__(self, tuple sizes, tuple activations, bint bias, str dtype, *,
                  Py_ssize_t block_rows=0, Py_ssize_t leaf_rows=0, Py_ssize_t super_rows=0,
                  partition=None, Py_ssize_t few_rows=-1):
        cdef:
            Py_ssize_t i, n_in, n_out
            Layer* layer
            Net* net = &self.net
            object total = 0
            object units = 0
        if len(sizes) < 2 or len(activations) != len(sizes) - 1:
            raise ValueError("a network needs at least two sizes and one activation for each layer "
                             "of weights")
        if dtype not in ("float64", "float32"):
            raise ValueError(f"unknown dtype {dtype!r}")
        self.sizes, self.activations, self.bias, self.dtype = sizes, activations, bias, dtype
        for i in range(len(activations)):
            # The codes end before CBP_KEPT, which is not an activation.
            if (not 0 <= activations[i] < CBP_KEPT
                    or (i < len(activations) - 1 and cbp_of_outputs_only(activations[i]))):
                raise ValueError(f"unknown activation code {activations[i]}")
            if sizes[i] < 1 or sizes[i + 1] < 1:
                raise ValueError("every size is at least 1")
            total += sizes[i] * sizes[i + 1] + (sizes[i + 1] if bias else 0)
            units += sizes[i + 1]
        # A block holds at most 2048 rows of activations, deltas and inputs, whose count must not
        # overflow.
        if (total * 8 > PY_SSIZE_T_MAX // 64 or (units + sizes[0]) * 8 * 4096 > PY_SSIZE_T_MAX // 64
                or not all([size <= PY_SSIZE_T_MAX and blas.fits(size) for size in sizes])):
            raise OverflowError(f"sizes {sizes} give more parameters than can be counted")

        net.itemsize = 8 if dtype == "float64" else 4
        net.n_layers = len(activations)
        net.layers = <Layer*>calloc(net.n_layers, sizeof(Layer))
        if net.layers == NULL:
            raise MemoryError
        net.n_parameters = total
        net.tiled = (total * net.itemsize > LARGEST_LEAF_GRADIENT if partition is None
                     else partition == "tiles")
        total = 0
        for i in range(net.n_layers):
            layer = &net.layers[i]
            layer.n_in, layer.n_out = n_in, n_out = sizes[i], sizes[i + 1]
            layer.activation = activations[i]
            layer.W = total
            total += n_in * n_out
            layer.b = total if bias else -1
            total += n_out if bias else 0
            layer.Z = net.n_units
            net.n_units += n_out
            layer.slope = -1
            layer.W_T = -1
            if i > 0 and (not net.tiled or n_out < TRANSPOSE_BELOW):
                layer.W_T = net.n_transposed
                net.n_transposed += n_in * n_out
            net.flops_per_row += (6.0 if i else 4.0) * n_in * n_out + 40.0 * n_out
        # Slopes follow the activations of all layers.
        net.n_kept = net.n_units
        for i in range(net.n_layers):
            layer = &net.layers[i]
            if cbp_keeps_slope(layer.activation):
                layer.slope = net.n_kept
                net.n_kept += layer.n_out
        self.choose_rows()
        if block_rows:
            net.block_rows = net.leaf_rows = net.super_rows = block_rows
        if leaf_rows:
            net.leaf_rows = leaf_rows
        if super_rows:
            net.super_rows = super_rows
        if (net.block_rows < 1 or not blas.fits(net.super_rows)
                or net.leaf_rows % net.block_rows or net.super_rows % net.block_rows):
            raise ValueError("leaf_rows and super_rows are multiples of block_rows")
        self.choose_tiles()
        total = max(net.block_rows, net.super_rows)
        self.may_thread_blas = any([total * sizes[i] * sizes[i + 1] > blas.THREADED_ABOVE
                                    for i in range(net.n_layers)])
        net.few_rows = self.most_few_rows() if few_rows < 0 else few_rows
        if not 0 <= net.few_rows <= (
                4 if net.n_layers == 2 and not cbp_of_outputs_only(net.layers[1].activation)
                else 0):
            raise ValueError("few_rows is 0 to 4, and 0 unless there is one hidden layer")

    def __dealloc__(self):
        free(self.net.layers)
        free(self.net.tiles)

    def __reduce__(self):
        return Plan, (self.sizes, self.activations, self.bias, self.dtype)

    cdef void choose_rows(self):
        """Choose the rows of a block, a leaf and a super-block.

        A block's inputs, activations and deltas share L2 with the weights; with fewer than 32 rows
        the products reuse too little data.
        """
        cdef:
            Net* net = &self.net
            Py_ssize_t row_bytes = (
                (net.layers[0].n_in + net.n_kept + net.n_units) * net.itemsize)
            Py_ssize_t parameter_bytes = net.n_parameters * net.itemsize
            Py_ssize_t rows = 32
        if net.tiled:
            # Few, so that several threads share a batch of 64 or 128 rows; weights larger than L2
            # are read once per block, so a block then has more rows.
            rows = 32 if parameter_bytes <= 1024 * 1024 else 64
            net.block_rows = rows
            # The activations and deltas of a super-block are read back by the gradient products:
            # with 512 rows they stay in the last-level cache (784-1024-10 by 1024 rows: 12 %
            # slower).
            net.super_rows = 512
            net.leaf_rows = rows
        else:
            while rows < 256 and 2 * rows * row_bytes <= 192 * 1024:
                rows *= 2
            net.block_rows = rows
            net.leaf_rows = max(4 * rows, 256)
            net.super_rows = rows

    cdef Py_ssize_t most_few_rows(self):
        """The largest batch in rows for fused_steps.pyx; 0: none."""
        cdef Net* net = &self.net
        if (net.n_layers != 2 or net.tiled
                or cbp_of_outputs_only(net.layers[1].activation)):
            return 0
        n_out = net.layers[1].n_out
        return 4 if n_out <= FOUR_ROWS_OUTPUTS else 2 if n_out <= TWO_ROWS_OUTPUTS else 1

    cdef int choose_tiles(self) except -1:
        """Cut each W into tiles: some 32 near-squares of 8,192 weights or more, or eight for BLAS.

        A product copies its factors once, so large, square tiles copy least; many tiles keep many
        threads busy to the end.
        """
        cdef:
            Net* net = &self.net
            Layer* layer
            Py_ssize_t i, area, side, n_rows, n_columns, row, column, count
            int writing
        for writing in range(2):
            count = 0
            for i in range(net.n_layers):
                layer = &net.layers[i]
                if not cut_for_blas(layer, &n_rows, &n_columns):
                    area = max(<Py_ssize_t>8_192, layer.n_in * layer.n_out // 32)
                    side = 1
                    while side * side < area:
                        side += 1
                    # Columns first: whole vectors, and a remainder that is not too narrow.
                    n_columns = even_piece(layer.n_out, side)
                    n_rows = even_piece(layer.n_in, max(<Py_ssize_t>1, area // n_columns))
                for row in range(0, layer.n_in, n_rows):
                    for column in range(0, layer.n_out, n_columns):
                        if writing:
                            net.tiles[count].layer = i
                            net.tiles[count].row = row
                            net.tiles[count].column = column
                            net.tiles[count].n_rows = min(n_rows, layer.n_in - row)
                            net.tiles[count].n_columns = min(n_columns, layer.n_out - column)
                        count += 1
            if not writing:
                net.n_tiles = count
                net.tiles = <Tile*>calloc(count, sizeof(Tile))
                if net.tiles == NULL:
                    raise MemoryError
        return 0

    @property
    def n_parameters(self):
        return self.net.n_parameters

    @property
    def block_rows(self):
        return self.net.block_rows

    @property
    def leaf_rows(self):
        return self.net.leaf_rows

    @property
    def super_rows(self):
        return self.net.super_rows

    @property
    def partition(self):
        return "tiles" if self.net.tiled else "leaves"

    @property
    def few_rows(self):
        return self.net.few_rows

    @property
    def tiles(self):
        """(layer, row, column, n_rows, n_columns) of every tile."""
        return [(self.net.tiles[i].layer, self.net.tiles[i].row, self.net.tiles[i].column,
                 self.net.tiles[i].n_rows, self.net.tiles[i].n_columns)
                for i in range(self.net.n_tiles)]
