"""The update rules at the level that `dispatch` chose; other compiled modules cimport `f64`, `f32`.

The `run_*` functions are the tests' way to every rule at every level.  This module promises no
state: velocities belong to their solver.
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


def run_sgd(str level, double lr, const real[::1] g, real[::1] W):
    """W -= lr * g"""
    if W.shape[0] != g.shape[0]:
        raise ValueError("g and W differ in length")
    if g.shape[0] == 0:
        return
    if real is double:
        _f64(level).sgd(lr, &g[0], &W[0], g.shape[0])
    else:
        _f32(level).sgd(<float>lr, &g[0], &W[0], g.shape[0])


def run_momentum(str level, double lr, double mu, const real[::1] g, real[::1] v, real[::1] W,
                 bint nesterov=False):
    """v = mu * v - lr * g;  W += v, or with `nesterov` W += mu * v - lr * g"""
    if W.shape[0] != g.shape[0] or v.shape[0] != g.shape[0]:
        raise ValueError("g, v and W differ in length")
    if g.shape[0] == 0:
        return
    if real is double:
        if nesterov:
            _f64(level).nesterov(lr, mu, &g[0], &v[0], &W[0], g.shape[0])
        else:
            _f64(level).momentum(lr, mu, &g[0], &v[0], &W[0], g.shape[0])
    else:
        if nesterov:
            _f32(level).nesterov(<float>lr, <float>mu, &g[0], &v[0], &W[0], g.shape[0])
        else:
            _f32(level).momentum(<float>lr, <float>mu, &g[0], &v[0], &W[0], g.shape[0])
