"""J'J from the factors of J's rows, with fewer multiplications than by J itself.

A row of J is a_l' delta_lk in layer l (factors.pyx), so layers l and m give the block

    (J'J)_(p i)(q j) = sum_n  a_lp a_mq  C_ij         C = sum_k delta_lk' delta_mk
                     = U'V           U_n(pq) = a_lp a_mq,  V_n(ij) = C_ij

one product over the rows, however many outputs there are.  Within one layer p, q and q, p are the
same column of U, and i, j and j, i of V: a quarter of the n_in^2 n_out^2 sums remains, while the
symmetry of J'J alone would leave half.  An entry of U'V occurs in J'J once, twice or four times
(``unpack_rows``).

The columns of U and V are computed and used in pieces, tile by tile of U'V; a tile adds its rows in
order.  If computing them would cost more than it saves, with one output and few inputs, U and V are
the rows of J themselves, also in pieces; for the squared error followed by their residuals, [J r]'
[J r], whose last row is J'r.  This file knows no threads.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.string cimport memcpy

from cbackprop.core.linalg cimport elementwise, product
from cbackprop.core.gauss_newton.factors cimport (
    deltas_of,
    elementwise_output,
    inputs_of,
    inputs_per_row,
    n_targets,
    width_of,
)
from cbackprop.core.gradient.plan cimport Layer
from cbackprop.core.simd.dispatch cimport f64

# The columns of U and V.  A segment is a run of columns with the same p or i.
cdef enum:
    TWO_LAYERS      # U: p of the layer with fewer inputs, all q.  V: i of the upper one, all j
    OF_OUTPUTS      # the same; C_kj = delta_kk delta_kj, the outputs being elementwise
    ONE_LAYER       # U: p, q <= p.  V: i, j <= i
    OUTPUTS         # U: the same.  V: k = k alone, the outputs being elementwise
    ONE_UNIT        # U: p.  V: q, with C in it: a square, for C is a number
    ROWS            # U, V: J of all layers, K = 1, or [J r]; a segment is an input's part of it

cdef enum:
    PIECE = 64      # rows of a piece of U and V
    SIDE = 128      # columns of a tile, at least one segment
    LINE = 8        # doubles of a cache line
    MAKING = 8      # multiplications in the time to compute a column of U or V

# A diagonal tile of J'J is computed in strips of this many rows, which end at the diagonal or a
# little beyond.
cdef Py_ssize_t STRIP = 8 if f64.lanes == 8 else 4


cdef inline const Layer* inner_of(const Net* net, const Pair* pair) noexcept nogil:
    """The layer whose inputs form U's segments, the longer ones."""
    return &net.layers[pair.lower if pair.upper_outside else pair.upper]


cdef inline const Layer* outer_of(const Net* net, const Pair* pair) noexcept nogil:
    return &net.layers[pair.upper if pair.upper_outside else pair.lower]


cdef Py_ssize_t before(const Net* net, const Pair* pair, bint of_v,
                       Py_ssize_t segment) noexcept nogil:
    """Columns before a segment."""
    cdef Py_ssize_t i
    if pair.form == ROWS:
        i = 0
        while segment > 0 and segment >= width_of(&net.layers[i]):
            segment -= width_of(&net.layers[i])
            i += 1
            if i == net.n_layers:
                return net.n_parameters + segment       # the residuals' 0, or the 1 after it
        return net.layers[i].W + segment * net.layers[i].n_out
    if pair.form == ONE_UNIT or (pair.form == OUTPUTS and of_v):
        return segment
    if pair.form == ONE_LAYER or pair.form == OUTPUTS:
        return segment * (segment + 1) // 2
    return segment * (net.layers[pair.lower].n_out if of_v else width_of(inner_of(net, pair)))


cdef Py_ssize_t n_segments(const Net* net, const Pair* pair, bint of_v) noexcept nogil:
    if pair.form == ROWS:
        return inputs_per_row(net) + pair.residuals
    if of_v and pair.form != ONE_UNIT:
        return net.layers[pair.upper].n_out
    return width_of(outer_of(net, pair))


cdef Segments next_segments(const Net* net, const Pair* pair, bint of_v,
                            Py_ssize_t first) noexcept nogil:
    """As many segments as fit in SIDE columns, but at least one."""
    cdef Segments found
    cdef Py_ssize_t last = first + 1
    found.first, found.at = first, before(net, pair, of_v, first)
    while (last < n_segments(net, pair, of_v)
           and before(net, pair, of_v, last + 1) - found.at <= SIDE):
        last += 1
    found.count, found.n = last - first, before(net, pair, of_v, last) - found.at
    return found


cdef Py_ssize_t leading(Py_ssize_t n) noexcept nogil:
    """An odd number of whole cache lines, since rows of 2^k bytes would share few sets of L1."""
    return ((n + LINE - 1) // LINE | 1) * LINE


cdef void describe(const Net* net, int form, Py_ssize_t upper, Py_ssize_t lower, bint residuals,
                   Pair* pair) noexcept nogil:
    pair.form, pair.upper, pair.lower, pair.residuals = form, upper, lower, residuals
    pair.upper_outside = width_of(&net.layers[upper]) <= width_of(&net.layers[lower])
    pair.n_u = before(net, pair, False, n_segments(net, pair, False))
    pair.n_v = before(net, pair, True, n_segments(net, pair, True))
    pair.ld = (pair.n_v + 3) // 4 * 4


cdef int form_of(const Net* net, Py_ssize_t upper, Py_ssize_t lower) noexcept nogil:
    cdef bint separate = upper == net.n_layers - 1 and elementwise_output(net)
    if upper != lower:
        return OF_OUTPUTS if separate and n_targets(net) > 1 else TWO_LAYERS
    if net.layers[upper].n_out == 1:
        return ONE_UNIT
    return OUTPUTS if separate else ONE_LAYER


cdef class Gram:
    """The products from which J'J of a network is assembled."""

    def __dealloc__(self):
        PyMem_RawFree(self.sums.pairs)
        PyMem_RawFree(self.sums.parts)

    cdef int prepare(self, const Net* net, bint residuals) except -1:
        """residuals : whether J'r is the gradient; ``sums`` tells if it is computed with J'J"""
        cdef:
            Sums* sums = &self.sums
            Py_ssize_t layers = net.n_layers
            Py_ssize_t upper, lower, i
            Py_ssize_t P = net.n_parameters
            double cost = 0.0
            bint counted
            Pair* pair
            Segments u, v
        sums.n_pairs = layers * (layers + 1) // 2
        sums.pairs = <Pair*>PyMem_RawMalloc(sums.n_pairs * sizeof(Pair))
        if sums.pairs == NULL:
            raise MemoryError("no memory for the products of J'J")
        i = 0
        for upper in range(layers):
            for lower in range(upper + 1):
                pair = &sums.pairs[i]
                describe(net, form_of(net, upper, lower), upper, lower, False, pair)
                cost += pair.n_u * pair.n_v + MAKING * (pair.n_u + pair.n_v)
                i += 1
        if n_targets(net) == 1 and P * (P / 2.0 + MAKING) < cost:
            sums.n_pairs = 1
            sums.residuals = residuals
            describe(net, ROWS, 0, 0, residuals, sums.pairs)
        for i in range(sums.n_pairs):
            sums.pairs[i].at = sums.size
            sums.size += (sums.pairs[i].n_u * sums.pairs[i].ld + LINE - 1) // LINE * LINE
        # Counted first, then written.
        for counted in (False, True):
            if counted:
                sums.parts = <Part*>PyMem_RawMalloc(sums.n_parts * sizeof(Part))
                if sums.parts == NULL:
                    raise MemoryError("no memory for the products of J'J")
            sums.n_parts = 0
            for i in range(sums.n_pairs):
                pair = &sums.pairs[i]
                v.first = v.count = 0
                while v.first + v.count < n_segments(net, pair, True):
                    v = next_segments(net, pair, True, v.first + v.count)
                    u.first = u.count = 0
                    while u.first + u.count < n_segments(net, pair, False):
                        u = next_segments(net, pair, False, u.first + u.count)
                        if pair.form == ROWS and u.first < v.first:
                            continue
                        if counted:
                            sums.parts[sums.n_parts].pair = i
                            sums.parts[sums.n_parts].u, sums.parts[sums.n_parts].v = u, v
                        sums.n_parts += 1
                        sums.scratch = max(sums.scratch,
                                           PIECE * (leading(u.n) + leading(v.n) + 1))
        return 0


# --- U and V --------------------------------------------------------------------------------------

cdef void rows_of_J(const Net* net, const Segments* part, const Factors* factors, Py_ssize_t row,
                    Py_ssize_t rows, double* to, Py_ssize_t ld) noexcept nogil:
    """Some columns of J (rows, part.n), ld apart; for one output."""
    cdef Py_ssize_t i, n_a, n_d, first, last
    cdef Py_ssize_t before_layer = 0
    for i in range(net.n_layers):
        n_a, n_d = width_of(&net.layers[i]), net.layers[i].n_out
        first = max(<Py_ssize_t>0, part.first - before_layer)
        last = min(n_a, part.first + part.count - before_layer)
        if first < last:
            elementwise.outer_sums(<const double*>inputs_of(net, factors, i, row), n_a, n_a,
                                   <const double*>deltas_of(net, factors, i, row), n_d, n_d, 1,
                                   False, first, last - first, rows, to, ld)
            to += (last - first) * n_d
        before_layer += n_a
    if part.first + part.count > before_layer:
        for i in range(rows):
            to[i * ld] = factors.residuals[row + i]


cdef void add_square(Py_ssize_t n, Py_ssize_t rows, const double* J, Py_ssize_t ld_J, double beta,
                     double* to, Py_ssize_t ld) noexcept nogil:
    """to (n, n) = beta to + J'J up to the diagonal, or a little beyond; J (rows, n)."""
    cdef const double* no_bias = NULL
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t m
    while i < n:
        m = min(STRIP, n - i)
        elementwise.product(m, i + m, rows, <double>1.0, J + i, 1, ld_J, J, ld_J, beta, to + i * ld,
                            ld, no_bias)
        i += m


cdef const double* left_factor(const Net* net, const Pair* pair, const Segments* u,
                               const Factors* factors, Py_ssize_t row, Py_ssize_t rows,
                               double* to, Py_ssize_t* ld) noexcept nogil:
    """Columns u of U (rows, u.n), ld apart; written to ``to`` unless they already exist."""
    cdef:
        const double* a = inputs_of(net, factors, outer_of(net, pair) - net.layers, row)
        const double* b = inputs_of(net, factors, inner_of(net, pair) - net.layers, row)
        Py_ssize_t n_a = width_of(outer_of(net, pair))
        Py_ssize_t n_b = width_of(inner_of(net, pair))
    if pair.form == ONE_UNIT:
        ld[0] = n_a
        return a + u.at
    ld[0] = leading(u.n)
    if pair.form == ROWS:
        rows_of_J(net, u, factors, row, rows, to, ld[0])
        return to
    elementwise.outer_sums(a, n_a, n_a, b, n_b, n_b, 1, pair.upper == pair.lower, u.first, u.count,
                           rows, to, ld[0])
    return to


cdef void right_factor(const Net* net, const Pair* pair, const Segments* v, const Factors* factors,
                       Py_ssize_t row, Py_ssize_t rows, double* to, Py_ssize_t ld,
                       double* column) noexcept nogil:
    """Columns v of V (rows, v.n), ld apart.

    column : (rows,), scratch memory
    """
    cdef:
        const double* delta = deltas_of(net, factors, pair.upper, row)
        const double* epsilon = deltas_of(net, factors, pair.lower, row)
        Py_ssize_t K = n_targets(net)
        Py_ssize_t n_d = net.layers[pair.upper].n_out
        Py_ssize_t n_e = net.layers[pair.lower].n_out
        Py_ssize_t n_a = width_of(&net.layers[pair.upper])
        Py_ssize_t n, k
    if pair.form == ROWS:
        rows_of_J(net, v, factors, row, rows, to, ld)
    elif pair.form == TWO_LAYERS or pair.form == ONE_LAYER:
        elementwise.outer_sums(delta, K * n_d, n_d, epsilon, K * n_e, n_e, K,
                               pair.form == ONE_LAYER, v.first, v.count, rows, to, ld)
    elif pair.form == OF_OUTPUTS:
        for k in range(v.count):
            elementwise.outer_sums(delta + (v.first + k) * (K + 1), K * K, 1,
                                   epsilon + (v.first + k) * n_e, K * n_e, n_e, 1, False, 0, 1,
                                   rows, to + k * n_e, ld)
    elif pair.form == OUTPUTS:
        for n in range(rows):
            for k in range(v.count):
                to[n * ld + k] = delta[n * K * K + (v.first + k) * (K + 1)] ** 2
    else:
        for n in range(rows):
            column[n] = 0.0
            for k in range(K):
                column[n] += delta[n * K + k] ** 2
        elementwise.outer_sums(<const double*>inputs_of(net, factors, pair.upper, row), n_a, n_a,
                               <const double*>column, 1, 1, 1, False, v.first, v.count, rows, to,
                               ld)


cdef void add_products(const Net* net, const Sums* sums, const Part* part, const Factors* factors,
                       Py_ssize_t row, Py_ssize_t rows, double beta, double* scratch,
                       double* to) noexcept nogil:
    """A tile of the sums = beta times itself + U'V of ``rows`` rows from ``row``.

    scratch : (sums.scratch,)
    to : (sums.size,), all of the sums
    """
    cdef:
        const Pair* pair = &sums.pairs[part.pair]
        const double* U
        double* V = scratch + PIECE * leading(part.u.n)
        double* tile = to + pair.at + part.u.at * pair.ld + part.v.at
        Py_ssize_t ld_v = leading(part.v.n)
        Py_ssize_t last = row + rows
        Py_ssize_t n, ld_u
    while row < last:
        n = min(<Py_ssize_t>PIECE, last - row)
        right_factor(net, pair, &part.v, factors, row, n, V, ld_v, V + PIECE * ld_v)
        if pair.form == ROWS and part.u.first == part.v.first:
            add_square(part.v.n, n, V, ld_v, beta, tile, pair.ld)
        else:
            U = left_factor(net, pair, &part.u, factors, row, n, scratch, &ld_u)
            product.weight_gradient(part.u.n, part.v.n, n, <double>1.0, U, ld_u, <const double*>V,
                                    ld_v, beta, tile, pair.ld)
        beta = 1.0
        row += n


# --- the sums' places in J'J ----------------------------------------------------------------------

cdef void unpack_one_layer(const Pair* pair, const double* of, Py_ssize_t p, Py_ssize_t n_out,
                           Py_ssize_t P, double* A) noexcept nogil:
    """Rows (p, i) of a layer's own block, up to J'J's diagonal."""
    cdef Py_ssize_t i, j, q
    cdef const double* sums
    cdef double* to
    for i in range(n_out):
        for q in range(p + 1):
            to = A + i * P + q * n_out
            if pair.form == ONE_UNIT:
                to[0] = of[p * pair.ld + q]
                continue
            sums = of + (p * (p + 1) // 2 + q) * pair.ld
            if pair.form == OUTPUTS:
                for j in range(n_out if q < p else i + 1):
                    to[j] = sums[i] if i == j else 0.0
                continue
            memcpy(to, sums + i * (i + 1) // 2, (i + 1) * sizeof(double))
            if q < p:
                for j in range(i + 1, n_out):
                    to[j] = sums[j * (j + 1) // 2 + i]


cdef const double* residuals_row(const Sums* sums, const double* of) noexcept nogil:
    """J'r (P,), where ``sums.residuals`` is set."""
    return of + (sums.pairs[0].n_u - 1) * sums.pairs[0].ld


cdef void unpack_rows(const Net* net, const Sums* sums, const double* of, Py_ssize_t i,
                      Py_ssize_t p, Py_ssize_t P, double* A) noexcept nogil:
    """J'J's rows of layer i's input p, (p, 0), (p, 1), ..., up to the diagonal.

    of : (sums.size,) the sums
    A : (P, P)
    """
    cdef:
        const Layer* layer = &net.layers[i]
        const Layer* lower
        const Pair* pair
        const double* U_V
        double* rows = A + (layer.W + p * layer.n_out) * P
        Py_ssize_t j, k, n, q, width
    if sums.pairs[0].form == ROWS:
        for k in range(layer.n_out):
            n = layer.W + p * layer.n_out + k
            memcpy(A + n * P, of + n * sums.pairs[0].ld, (n + 1) * sizeof(double))
        return
    for j in range(i):
        lower = &net.layers[j]
        width = width_of(lower)
        pair = &sums.pairs[i * (i + 1) // 2 + j]
        for k in range(layer.n_out):
            for q in range(width):
                n = p * width + q if pair.upper_outside else q * width_of(layer) + p
                U_V = of + pair.at + n * pair.ld + k * lower.n_out
                memcpy(rows + k * P + lower.W + q * lower.n_out, U_V,
                       lower.n_out * sizeof(double))
    pair = &sums.pairs[i * (i + 1) // 2 + i]
    unpack_one_layer(pair, of + pair.at, p, layer.n_out, P, rows + layer.W)
