"""Each vectorised loop and each update rule at a given level, on flat arrays.

`run_NAME` calls the member NAME of that level's table in core/simd after checking the arrays'
lengths; simd.h and updates.h say what each computes.  This file promises no arithmetic of its own.
"""

from libc.stdint cimport int64_t

from cbackprop.core.simd cimport dispatch, updates
from cbackprop.core.simd.dispatch cimport (
    cbp_simd_f32, cbp_simd_f64, cbp_two_layers_f32, cbp_two_layers_f64
)
from cbackprop.core.simd.updates cimport cbp_updates_f32, cbp_updates_f64

ctypedef fused real:
    double
    float


cdef const cbp_simd_f64* _f64(str name) except NULL:
    encoded = name.encode()
    cdef const cbp_simd_f64* table = dispatch.table_f64(encoded)
    if not name or table == NULL:
        raise ValueError(f"no level {name!r} here")
    return table


cdef const cbp_simd_f32* _f32(str name) except NULL:
    encoded = name.encode()
    cdef const cbp_simd_f32* table = dispatch.table_f32(encoded)
    if not name or table == NULL:
        raise ValueError(f"no level {name!r} here")
    return table


cdef const cbp_updates_f64* _rules_f64(str name) except NULL:
    encoded = name.encode()
    cdef const cbp_updates_f64* table = updates.table_f64(encoded)
    if not name or table == NULL:
        raise ValueError(f"no level {name!r} here")
    return table


cdef const cbp_updates_f32* _rules_f32(str name) except NULL:
    encoded = name.encode()
    cdef const cbp_updates_f32* table = updates.table_f32(encoded)
    if not name or table == NULL:
        raise ValueError(f"no level {name!r} here")
    return table


cdef int _same(Py_ssize_t length, Py_ssize_t expected) except -1:
    if length != expected:
        raise ValueError(f"length {length}, expected {expected}")
    return 0


cdef inline real* _at(real[::1] x) noexcept:
    return &x[0] if x.shape[0] > 0 else NULL


cdef inline const real* _const_at(const real[::1] x) noexcept:
    return &x[0] if x.shape[0] > 0 else NULL


def lanes(str level, bint wide):
    """Elements in the widest vector of `level`: of doubles if `wide`, else of floats."""
    return _f64(level).lanes if wide else _f32(level).lanes


def run_activate(str level, int activation, const real[::1] h, real[::1] z):
    _same(z.shape[0], h.shape[0])
    if real is double:
        _f64(level).activate(activation, _const_at(h), _at(z), h.shape[0])
    else:
        _f32(level).activate(activation, _const_at(h), _at(z), h.shape[0])


def run_activate_keeping(str level, int activation, const real[::1] h, real[::1] z,
                         real[::1] slope):
    _same(z.shape[0], h.shape[0])
    _same(slope.shape[0], h.shape[0])
    if real is double:
        _f64(level).activate_keeping(activation, _const_at(h), _at(z), _at(slope), h.shape[0])
    else:
        _f32(level).activate_keeping(activation, _const_at(h), _at(z), _at(slope), h.shape[0])


def run_delta_output(str level, int activation, const real[::1] Y, const real[::1] Y_hat,
                     real[::1] delta):
    cdef Py_ssize_t n = Y.shape[0]
    _same(Y_hat.shape[0], n)
    _same(delta.shape[0], n)
    if real is double:
        return _f64(level).delta_output(activation, _const_at(Y), _const_at(Y_hat), _at(delta), n)
    else:
        return _f32(level).delta_output(activation, _const_at(Y), _const_at(Y_hat), _at(delta), n)


def run_delta_output_weighted(str level, int activation, const real[::1] weight,
                              const real[::1] Y, const real[::1] Y_hat, real[::1] delta,
                              Py_ssize_t cols):
    cdef Py_ssize_t rows = weight.shape[0]
    _same(Y.shape[0], rows * cols)
    _same(Y_hat.shape[0], rows * cols)
    _same(delta.shape[0], rows * cols)
    if real is double:
        return _f64(level).delta_output_weighted(activation, _const_at(weight), _const_at(Y),
                                                 _const_at(Y_hat), _at(delta), rows, cols)
    else:
        return _f32(level).delta_output_weighted(activation, _const_at(weight), _const_at(Y),
                                                 _const_at(Y_hat), _at(delta), rows, cols)


def run_squared_error(str level, const real[::1] Y, const real[::1] Y_hat):
    _same(Y_hat.shape[0], Y.shape[0])
    if real is double:
        return _f64(level).squared_error(_const_at(Y), _const_at(Y_hat), Y.shape[0])
    else:
        return _f32(level).squared_error(_const_at(Y), _const_at(Y_hat), Y.shape[0])


def run_squared_error_weighted(str level, const real[::1] weight, const real[::1] Y,
                               const real[::1] Y_hat, Py_ssize_t cols):
    cdef Py_ssize_t rows = weight.shape[0]
    _same(Y.shape[0], rows * cols)
    _same(Y_hat.shape[0], rows * cols)
    if real is double:
        return _f64(level).squared_error_weighted(_const_at(weight), _const_at(Y),
                                                  _const_at(Y_hat), rows, cols)
    else:
        return _f32(level).squared_error_weighted(_const_at(weight), _const_at(Y),
                                                  _const_at(Y_hat), rows, cols)


def run_times_derivative(str level, int activation, const real[::1] Z, real[::1] delta):
    _same(delta.shape[0], Z.shape[0])
    if real is double:
        _f64(level).times_derivative(activation, _const_at(Z), _at(delta), Z.shape[0])
    else:
        _f32(level).times_derivative(activation, _const_at(Z), _at(delta), Z.shape[0])


def run_delta_hidden(str level, int activation, const real[::1] delta, Py_ssize_t ld,
                     Py_ssize_t rows, int n_out, const real[::1] W_T, const real[::1] Z,
                     real[::1] out):
    cdef Py_ssize_t n_hidden = W_T.shape[0] // max(n_out, 1)
    _same(W_T.shape[0], n_out * n_hidden)
    _same(Z.shape[0], rows * n_hidden)
    _same(out.shape[0], rows * n_hidden)
    if (not 1 <= n_out <= 2 or rows < 0 or ld < n_out
            or rows > 0 and delta.shape[0] < (rows - 1) * ld + n_out
            or n_hidden < lanes(level, sizeof(real) == 8)):
        raise ValueError("sizes that the loop does not take")
    if real is double:
        _f64(level).delta_hidden(activation, _const_at(delta), ld, rows, n_out, _const_at(W_T),
                                 n_hidden, _const_at(Z), _at(out))
    else:
        _f32(level).delta_hidden(activation, _const_at(delta), ld, rows, n_out, _const_at(W_T),
                                 n_hidden, _const_at(Z), _at(out))


def run_output(str level, int activation, const real[::1] raw, real[::1] Y_hat, Py_ssize_t rows):
    cdef Py_ssize_t cols = raw.shape[0] // max(rows, 1)
    _same(raw.shape[0], rows * cols)
    _same(Y_hat.shape[0], rows * cols)
    if real is double:
        _f64(level).output(activation, _const_at(raw), _at(Y_hat), rows, cols)
    else:
        _f32(level).output(activation, _const_at(raw), _at(Y_hat), rows, cols)


def run_loss(str level, int loss, int activation, double parameter, const real[::1] Y,
             const real[::1] P, Py_ssize_t rows, const real[::1] weight=None,
             real[::1] delta=None):
    """The sum of weighted losses; ``weight`` and ``delta`` may be None."""
    cdef Py_ssize_t cols = Y.shape[0] // max(rows, 1)
    cdef const real* weights = NULL
    cdef real* deltas = NULL
    _same(Y.shape[0], rows * cols)
    _same(P.shape[0], rows * cols)
    if weight is not None:
        _same(weight.shape[0], rows * cols)
        weights = _const_at(weight)
    if delta is not None:
        _same(delta.shape[0], rows * cols)
        deltas = _at(delta)
    if real is double:
        return _f64(level).loss(loss, activation, parameter, weights, _const_at(Y), _const_at(P),
                                deltas, rows, cols)
    else:
        return _f32(level).loss(loss, activation, <float>parameter, weights, _const_at(Y),
                                _const_at(P), deltas, rows, cols)


def run_element_weights(str level, bint missing, real[::1] weight, real[::1] Y, Py_ssize_t rows,
                        const real[::1] row_weight=None, const real[::1] column_weight=None):
    """``row_weight`` and ``column_weight`` may be None."""
    cdef Py_ssize_t cols = weight.shape[0] // max(rows, 1)
    cdef const real* by_row = NULL
    cdef const real* by_column = NULL
    _same(weight.shape[0], rows * cols)
    _same(Y.shape[0], rows * cols)
    if row_weight is not None:
        _same(row_weight.shape[0], rows)
        by_row = _const_at(row_weight)
    if column_weight is not None:
        _same(column_weight.shape[0], cols)
        by_column = _const_at(column_weight)
    if real is double:
        _f64(level).element_weights(by_row, by_column, _at(Y), missing, _at(weight), rows, cols)
    else:
        _f32(level).element_weights(by_row, by_column, _at(Y), missing, _at(weight), rows, cols)


def run_column_sums(str level, double alpha, const real[::1] delta, Py_ssize_t rows, double beta,
                    real[::1] out):
    cdef Py_ssize_t cols = out.shape[0]
    _same(delta.shape[0], rows * cols)
    if real is double:
        _f64(level).column_sums(alpha, _const_at(delta), rows, cols, beta, _at(out))
    else:
        _f32(level).column_sums(<float>alpha, _const_at(delta), rows, cols, <float>beta, _at(out))


def run_fill_rows(str level, const real[::1] b, Py_ssize_t rows, real[::1] H):
    _same(H.shape[0], rows * b.shape[0])
    if real is double:
        _f64(level).fill_rows(_const_at(b), rows, b.shape[0], _at(H))
    else:
        _f32(level).fill_rows(_const_at(b), rows, b.shape[0], _at(H))


def run_transpose(str level, const real[::1] W, Py_ssize_t rows, Py_ssize_t cols, real[::1] W_T):
    _same(W.shape[0], rows * cols)
    _same(W_T.shape[0], rows * cols)
    if real is double:
        _f64(level).transpose(_const_at(W), rows, cols, _at(W_T))
    else:
        _f32(level).transpose(_const_at(W), rows, cols, _at(W_T))


def run_add(str level, const real[::1] x, real[::1] y):
    _same(y.shape[0], x.shape[0])
    if real is double:
        _f64(level).add(_const_at(x), _at(y), x.shape[0])
    else:
        _f32(level).add(_const_at(x), _at(y), x.shape[0])


def run_all_finite(str level, const real[::1] x):
    if real is double:
        return bool(_f64(level).all_finite(_const_at(x), x.shape[0]))
    else:
        return bool(_f32(level).all_finite(_const_at(x), x.shape[0]))


def run_gather(str level, const unsigned char[::1] source, Py_ssize_t offset,
               Py_ssize_t row_stride, bint wide, const int64_t[::1] index, real[::1] out,
               Py_ssize_t rows):
    """out[i,:] = row index[i] (or i) of doubles (`wide`) or floats; row 0 is at `offset` bytes."""
    cdef Py_ssize_t cols = out.shape[0] // rows if rows > 0 else 0
    cdef Py_ssize_t i, row, start, size = cols * (8 if wide else 4)
    cdef const int64_t* chosen = NULL
    _same(out.shape[0], rows * cols)
    if index is not None:
        _same(index.shape[0], rows)
        if rows > 0:
            chosen = &index[0]
    for i in range(rows):
        row = i if chosen == NULL else <Py_ssize_t>chosen[i]
        start = offset + row * row_stride
        if start < 0 or start + size > source.shape[0]:
            raise ValueError(f"row {row} lies outside the source")
    if out.shape[0] == 0:
        return
    if real is double:
        if wide:
            _f64(level).gather_f64(<const char*>&source[0] + offset, row_stride, chosen, rows,
                                   cols, &out[0])
        else:
            _f64(level).gather_f32(<const char*>&source[0] + offset, row_stride, chosen, rows,
                                   cols, &out[0])
    else:
        if wide:
            _f32(level).gather_f64(<const char*>&source[0] + offset, row_stride, chosen, rows,
                                   cols, &out[0])
        else:
            _f32(level).gather_f32(<const char*>&source[0] + offset, row_stride, chosen, rows,
                                   cols, &out[0])


def run_affine_rows(str level, const real[::1] shift, const real[::1] scale, real[::1] X,
                    Py_ssize_t rows):
    cdef Py_ssize_t cols = shift.shape[0]
    _same(scale.shape[0], cols)
    _same(X.shape[0], rows * cols)
    if real is double:
        _f64(level).affine_rows(_const_at(shift), _const_at(scale), rows, cols, _at(X))
    else:
        _f32(level).affine_rows(_const_at(shift), _const_at(scale), rows, cols, _at(X))


def run_outer_sums(str level, const real[:, :, ::1] A, const real[:, :, ::1] D, bint lower,
                   Py_ssize_t first, Py_ssize_t count, real[::1] out, Py_ssize_t step):
    """Row i of out: sum_k A[i, k, p] D[i, k, j] for p in first .. first + count - 1, j <= p."""
    cdef Py_ssize_t rows = A.shape[0], n_sums = A.shape[1], n_a = A.shape[2]
    cdef Py_ssize_t n_d = D.shape[2]
    # Of a row of out
    cdef Py_ssize_t n = (count * (2 * first + count + 1)) // 2 if lower else count * n_d
    _same(D.shape[0], rows)
    _same(D.shape[1], n_sums)
    if min(n_sums, n_a, n_d) < 1 or first < 0 or count < 0 or first + count > n_a:
        raise ValueError("first or count is too large, or a side empty")
    if lower and n_a != n_d:
        raise ValueError("lower wants square products")
    if step < n or rows > 0 and (rows - 1) * step + n > out.shape[0]:
        raise ValueError("step or out is too short")
    if rows == 0:
        return
    if real is double:
        _f64(level).outer_sums(&A[0, 0, 0], n_sums * n_a, n_a, &D[0, 0, 0], n_sums * n_d, n_d,
                               n_sums, lower, first, count, rows, _at(out), step)
    else:
        _f32(level).outer_sums(&A[0, 0, 0], n_sums * n_a, n_a, &D[0, 0, 0], n_sums * n_d, n_d,
                               n_sums, lower, first, count, rows, _at(out), step)


def run_product(str level, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, double alpha,
                const real[::1] A, Py_ssize_t rsa, Py_ssize_t csa, const real[::1] B,
                Py_ssize_t ldb, double beta, real[::1] C, Py_ssize_t ldc,
                const real[::1] bias=None):
    """C[i ldc + j] = beta C[i ldc + j] + alpha sum_p A[i rsa + p csa] B[p ldb + j] (+ bias[j])."""
    cdef const real* start = NULL
    if min(m, n, k) < 0 or rsa < 0 or csa < 0 or ldb < n or ldc < n:
        raise ValueError("a negative size or stride, or a leading dimension below n")
    if m > 0 and k > 0 and (m - 1) * rsa + (k - 1) * csa >= A.shape[0]:
        raise ValueError("A is too short")
    if n > 0 and k > 0 and (k - 1) * ldb + n > B.shape[0]:
        raise ValueError("B is too short")
    if m > 0 and n > 0 and (m - 1) * ldc + n > C.shape[0]:
        raise ValueError("C is too short")
    if bias is not None:
        _same(bias.shape[0], n)
        if alpha != 1 or beta != 0:
            raise ValueError("a bias needs alpha = 1 and beta = 0")
        start = _const_at(bias)
    if real is double:
        _f64(level).product(m, n, k, alpha, _const_at(A), rsa, csa, _const_at(B), ldb, beta,
                            _at(C), ldc, start)
    else:
        _f32(level).product(m, n, k, <float>alpha, _const_at(A), rsa, csa, _const_at(B), ldb,
                            <float>beta, _at(C), ldc, start)


def run_steps(str level, Py_ssize_t n_in, Py_ssize_t n_hidden, Py_ssize_t n_out,
              int hidden_activation, int output_activation, bint bias, const real[::1] X,
              const real[::1] Y, const int64_t[::1] order, Py_ssize_t rows, double alpha,
              real[::1] parameters, real[::1] scratch, double[::1] each=None):
    """Steps over all rows of X, or of ``order``; returns (steps made, their sum of squares).

    parameters : W1, b1, W2, b2, flat; modified
    each : that many steps on the first rows; receives their sums, of which the last is returned
    """
    cdef cbp_two_layers_f64 net_64
    cdef cbp_two_layers_f32 net_32
    cdef Py_ssize_t n_rows = X.shape[0] // max(n_in, 1)
    cdef Py_ssize_t b1 = n_in * n_hidden
    cdef Py_ssize_t W2 = b1 + (n_hidden if bias else 0)
    cdef Py_ssize_t b2 = W2 + n_hidden * n_out
    cdef Py_ssize_t n_steps, i, made
    cdef const int64_t* chosen = NULL
    cdef double squares = 0
    cdef double* sums = NULL
    if min(n_in, n_hidden, n_out) < 1 or not 1 <= rows <= 4:
        raise ValueError("every size is at least 1, and rows 1 to 4")
    _same(X.shape[0], n_rows * n_in)
    _same(Y.shape[0], n_rows * n_out)
    _same(parameters.shape[0], b2 + (n_out if bias else 0))
    n_steps = n_rows // rows
    if order is not None:
        n_steps = order.shape[0] // rows
        for i in range(order.shape[0]):
            if not 0 <= order[i] < n_rows:
                raise ValueError("the order names a row that is not there")
        if n_steps > 0:
            chosen = &order[0]
    if each is not None:
        if rows < 2:
            raise ValueError("steps on the same rows are of two or more")
        n_steps = min(n_steps, <Py_ssize_t>1) * each.shape[0]
    if n_steps == 0:
        return 0, 0.0
    if each is not None:
        sums = &each[0]
    if real is double:
        _same(scratch.shape[0], _f64(level).steps_scratch(n_hidden, n_out, rows))
        net_64.n_in, net_64.n_hidden, net_64.n_out = n_in, n_hidden, n_out
        net_64.hidden_activation = hidden_activation
        net_64.output_activation = output_activation
        net_64.W1, net_64.W2 = &parameters[0], &parameters[W2]
        net_64.b1 = &parameters[b1] if bias else NULL
        net_64.b2 = &parameters[b2] if bias else NULL
        made = _f64(level).steps(&net_64, _const_at(X), _const_at(Y), chosen, rows, n_steps, alpha,
                                 _at(scratch), &squares, sums)
    else:
        _same(scratch.shape[0], _f32(level).steps_scratch(n_hidden, n_out, rows))
        net_32.n_in, net_32.n_hidden, net_32.n_out = n_in, n_hidden, n_out
        net_32.hidden_activation = hidden_activation
        net_32.output_activation = output_activation
        net_32.W1, net_32.W2 = &parameters[0], &parameters[W2]
        net_32.b1 = &parameters[b1] if bias else NULL
        net_32.b2 = &parameters[b2] if bias else NULL
        made = _f32(level).steps(&net_32, _const_at(X), _const_at(Y), chosen, rows, n_steps,
                                 <float>alpha, _at(scratch), &squares, sums)
    return made, squares


def steps_scratch(str level, bint wide, Py_ssize_t n_hidden, Py_ssize_t n_out, Py_ssize_t rows):
    """Elements of scratch memory that `run_steps` needs."""
    if min(n_hidden, n_out) < 1 or not 1 <= rows <= 4:
        raise ValueError("every size is at least 1, and rows 1 to 4")
    if wide:
        return _f64(level).steps_scratch(n_hidden, n_out, rows)
    return _f32(level).steps_scratch(n_hidden, n_out, rows)


# ------------------------------------------------------------------------------------------------
# The update rules

def run_sgd(str level, double lr, const real[::1] g, real[::1] W):
    """W -= lr g"""
    _same(W.shape[0], g.shape[0])
    if real is double:
        _rules_f64(level).sgd(lr, _const_at(g), _at(W), g.shape[0])
    else:
        _rules_f32(level).sgd(<float>lr, _const_at(g), _at(W), g.shape[0])


def run_momentum(str level, double lr, double mu, const real[::1] g, real[::1] v, real[::1] W,
                 bint nesterov=False):
    """v = mu v - lr g;  W += v, or with `nesterov` W += mu v - lr g"""
    cdef Py_ssize_t n = g.shape[0]
    _same(v.shape[0], n)
    _same(W.shape[0], n)
    if real is double:
        if nesterov:
            _rules_f64(level).nesterov(lr, mu, _const_at(g), _at(v), _at(W), n)
        else:
            _rules_f64(level).momentum(lr, mu, _const_at(g), _at(v), _at(W), n)
    else:
        if nesterov:
            _rules_f32(level).nesterov(<float>lr, <float>mu, _const_at(g), _at(v), _at(W), n)
        else:
            _rules_f32(level).momentum(<float>lr, <float>mu, _const_at(g), _at(v), _at(W), n)


def run_adam(str level, double a, double c, double epsilon, double beta_1, double beta_2,
             const real[::1] g, real[::1] m, real[::1] v, real[::1] W, real[::1] v_max=None):
    """One step of Adam, or with `v_max` of AMSGrad; m, v, v_max and W are changed."""
    cdef Py_ssize_t n = g.shape[0]
    _same(m.shape[0], n)
    _same(v.shape[0], n)
    _same(W.shape[0], n)
    if v_max is not None:
        _same(v_max.shape[0], n)
    if real is double:
        if v_max is None:
            _rules_f64(level).adam(a, c, epsilon, beta_1, beta_2, 1 - beta_1, 1 - beta_2,
                                   _const_at(g), _at(m), _at(v), _at(W), n)
        else:
            _rules_f64(level).amsgrad(a, c, epsilon, beta_1, beta_2, 1 - beta_1, 1 - beta_2,
                                      _const_at(g), _at(m), _at(v), _at(v_max), _at(W), n)
    else:
        if v_max is None:
            _rules_f32(level).adam(<float>a, <float>c, <float>epsilon, <float>beta_1,
                                   <float>beta_2, <float>(1 - beta_1), <float>(1 - beta_2),
                                   _const_at(g), _at(m), _at(v), _at(W), n)
        else:
            _rules_f32(level).amsgrad(<float>a, <float>c, <float>epsilon, <float>beta_1,
                                      <float>beta_2, <float>(1 - beta_1), <float>(1 - beta_2),
                                      _const_at(g), _at(m), _at(v), _at(v_max), _at(W), n)


def run_nadam(str level, double a_g, double a_m, double c, double epsilon, double beta_1,
              double beta_2, const real[::1] g, real[::1] m, real[::1] v, real[::1] W):
    """One step of NAdam; m, v and W are changed."""
    cdef Py_ssize_t n = g.shape[0]
    _same(m.shape[0], n)
    _same(v.shape[0], n)
    _same(W.shape[0], n)
    if real is double:
        _rules_f64(level).nadam(a_g, a_m, c, epsilon, beta_1, beta_2, 1 - beta_1, 1 - beta_2,
                                _const_at(g), _at(m), _at(v), _at(W), n)
    else:
        _rules_f32(level).nadam(<float>a_g, <float>a_m, <float>c, <float>epsilon, <float>beta_1,
                                <float>beta_2, <float>(1 - beta_1), <float>(1 - beta_2),
                                _const_at(g), _at(m), _at(v), _at(W), n)


def run_rprop(str level, double increase, double decrease, double least, double most, bint worse,
              const real[::1] g, real[::1] g_before, real[::1] step, real[::1] move, real[::1] W):
    """One step of iRPROP+; g_before, step, move and W are changed."""
    cdef Py_ssize_t n = g.shape[0]
    _same(g_before.shape[0], n)
    _same(step.shape[0], n)
    _same(move.shape[0], n)
    _same(W.shape[0], n)
    if real is double:
        _rules_f64(level).rprop(increase, decrease, least, most, worse, _const_at(g),
                                _at(g_before), _at(step), _at(move), _at(W), n)
    else:
        _rules_f32(level).rprop(<float>increase, <float>decrease, <float>least, <float>most, worse,
                                _const_at(g), _at(g_before), _at(step), _at(move), _at(W), n)


def run_penalty(str level, double l2, double l1, const real[::1] W, real[::1] g):
    """g += l2 W + l1 sign(W)"""
    _same(g.shape[0], W.shape[0])
    if real is double:
        _rules_f64(level).penalty(l2, l1, _const_at(W), _at(g), W.shape[0])
    else:
        _rules_f32(level).penalty(<float>l2, <float>l1, _const_at(W), _at(g), W.shape[0])


def run_scale(str level, double factor, real[::1] x):
    """x *= factor"""
    if real is double:
        _rules_f64(level).scale(factor, _at(x), x.shape[0])
    else:
        _rules_f32(level).scale(<float>factor, _at(x), x.shape[0])
