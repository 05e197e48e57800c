"""The optimisers' update rules, elementwise, on any run of the flat parameter vector.

    SGD         W -= lr g
    momentum    v = mu v - lr g;   W += v
    Nesterov    v = mu v - lr g;   W += mu v - lr g

Without contraction into FMA: each equals its NumPy twin to the bit, wherever a run begins or ends.
"""

from cbackprop.core.simd cimport updates


cdef void apply_rule(const Rule* rule, Py_ssize_t first, Py_ssize_t n, const real* gradient,
                     real* parameters) noexcept nogil:
    """One step for parameters[first : first + n] and the velocity that belongs to them.

    gradient, parameters : (n_parameters,), the whole vectors
    """
    cdef:
        real lr = <real>rule.learning_rate
        real mu = <real>rule.momentum
        const real* g = gradient + first
        real* W = parameters + first
        real* v = <real*>rule.velocity + first if rule.velocity != NULL else NULL
    if real is double:
        if rule.kind == SGD:
            updates.f64.sgd(lr, g, W, n)
        elif rule.kind == MOMENTUM:
            updates.f64.momentum(lr, mu, g, v, W, n)
        elif rule.kind == NESTEROV:
            updates.f64.nesterov(lr, mu, g, v, W, n)
    else:
        if rule.kind == SGD:
            updates.f32.sgd(lr, g, W, n)
        elif rule.kind == MOMENTUM:
            updates.f32.momentum(lr, mu, g, v, W, n)
        elif rule.kind == NESTEROV:
            updates.f32.nesterov(lr, mu, g, v, W, n)
