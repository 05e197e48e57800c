"""The update rules at the level that `dispatch` chose; other compiled modules cimport `f64`, `f32`.

The `run_*` functions are the tests' way to every rule at every level.  This module promises no
state: that belongs to the solver.
"""

from cbackprop.core.simd.dispatch import level as _level_in_use

ctypedef fused real:
    double
    float

f64 = cbp_updates_level_f64(_level_in_use().encode())
f32 = cbp_updates_level_f32(_level_in_use().encode())


cdef const cbp_updates_f64* _f64(str name) except NULL:
    encoded = name.encode()
    cdef const cbp_updates_f64* table = cbp_updates_level_f64(encoded)
    if not name or table == NULL:
        raise ValueError(f"no level {name!r} here")
    return table


cdef const cbp_updates_f32* _f32(str name) except NULL:
    encoded = name.encode()
    cdef const cbp_updates_f32* table = cbp_updates_level_f32(encoded)
    if not name or table == NULL:
        raise ValueError(f"no level {name!r} here")
    return table


cdef int _same(Py_ssize_t length, Py_ssize_t expected) except -1:
    if length != expected:
        raise ValueError(f"the vectors differ in length: {length} and {expected}")
    return 0


cdef inline real* _at(real[::1] x) noexcept:
    return &x[0] if x.shape[0] > 0 else NULL


cdef inline const real* _const_at(const real[::1] x) noexcept:
    return &x[0] if x.shape[0] > 0 else NULL


def run_sgd(str level, double lr, const real[::1] g, real[::1] W):
    """W -= lr g"""
    _same(W.shape[0], g.shape[0])
    if real is double:
        _f64(level).sgd(lr, _const_at(g), _at(W), g.shape[0])
    else:
        _f32(level).sgd(<float>lr, _const_at(g), _at(W), g.shape[0])


def run_momentum(str level, double lr, double mu, const real[::1] g, real[::1] v, real[::1] W,
                 bint nesterov=False):
    """v = mu v - lr g;  W += v, or with `nesterov` W += mu v - lr g"""
    cdef Py_ssize_t n = g.shape[0]
    _same(v.shape[0], n)
    _same(W.shape[0], n)
    if real is double:
        if nesterov:
            _f64(level).nesterov(lr, mu, _const_at(g), _at(v), _at(W), n)
        else:
            _f64(level).momentum(lr, mu, _const_at(g), _at(v), _at(W), n)
    else:
        if nesterov:
            _f32(level).nesterov(<float>lr, <float>mu, _const_at(g), _at(v), _at(W), n)
        else:
            _f32(level).momentum(<float>lr, <float>mu, _const_at(g), _at(v), _at(W), n)


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
            _f64(level).adam(a, c, epsilon, beta_1, beta_2, 1 - beta_1, 1 - beta_2,
                             _const_at(g), _at(m), _at(v), _at(W), n)
        else:
            _f64(level).amsgrad(a, c, epsilon, beta_1, beta_2, 1 - beta_1, 1 - beta_2,
                                _const_at(g), _at(m), _at(v), _at(v_max), _at(W), n)
    else:
        if v_max is None:
            _f32(level).adam(<float>a, <float>c, <float>epsilon, <float>beta_1, <float>beta_2,
                             <float>(1 - beta_1), <float>(1 - beta_2), _const_at(g), _at(m),
                             _at(v), _at(W), n)
        else:
            _f32(level).amsgrad(<float>a, <float>c, <float>epsilon, <float>beta_1, <float>beta_2,
                                <float>(1 - beta_1), <float>(1 - beta_2), _const_at(g), _at(m),
                                _at(v), _at(v_max), _at(W), n)


def run_rprop(str level, double increase, double decrease, double least, double most, bint worse,
              const real[::1] g, real[::1] g_before, real[::1] step, real[::1] move, real[::1] W):
    """One step of iRPROP+; g_before, step, move and W are changed."""
    cdef Py_ssize_t n = g.shape[0]
    _same(g_before.shape[0], n)
    _same(step.shape[0], n)
    _same(move.shape[0], n)
    _same(W.shape[0], n)
    if real is double:
        _f64(level).rprop(increase, decrease, least, most, worse, _const_at(g), _at(g_before),
                          _at(step), _at(move), _at(W), n)
    else:
        _f32(level).rprop(<float>increase, <float>decrease, <float>least, <float>most, worse,
                          _const_at(g), _at(g_before), _at(step), _at(move), _at(W), n)


def run_penalty(str level, double l2, double l1, const real[::1] W, real[::1] g):
    """g += l2 W + l1 sign(W)"""
    _same(g.shape[0], W.shape[0])
    if real is double:
        _f64(level).penalty(l2, l1, _const_at(W), _at(g), W.shape[0])
    else:
        _f32(level).penalty(<float>l2, <float>l1, _const_at(W), _at(g), W.shape[0])


def run_scale(str level, double factor, real[::1] x):
    """x *= factor"""
    if real is double:
        _f64(level).scale(factor, _at(x), x.shape[0])
    else:
        _f32(level).scale(<float>factor, _at(x), x.shape[0])
