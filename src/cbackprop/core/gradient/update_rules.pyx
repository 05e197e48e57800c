"""The optimisers' update rules, elementwise, on any run of the flat parameter vector.

    SGD         W -= lr g
    momentum    v = mu v - lr g;   W += v
    Nesterov    v = mu v - lr g;   W += mu v - lr g
    Adam        m = beta_1 m + (1 - beta_1) g;   v = beta_2 v + (1 - beta_2) g^2
                W -= a m / (c sqrt(v) + epsilon)
    AMSGrad     the same with the largest v so far
    iRPROP+     a step size for each parameter, by the gradient's sign alone

g is the gradient of the mean loss and of the penalty (l2/2) |W|^2 + l1 |W|_1, clipped on request.
With ``shared_l2`` l2 is that over the rows of the step: scikit-learn's meaning, by which the
strength depends on the batch size, and a short last batch has more of it.
Penalty and decoupled decay, W *= 1 - lr weight_decay before the step, are the weights' alone:
biases are free.  The elementwise loops stand in simd/updates_rules.h, without contraction into FMA:
each equals its NumPy twin to the bit, wherever a run begins or ends.
"""

from libc.math cimport pow, sqrt

from cbackprop.core.gradient.plan cimport Layer
from cbackprop.core.simd cimport updates
from cbackprop.core.linalg.vectors cimport dot, sum_of_absolutes

KINDS = {
    "sgd": SGD,
    "momentum": MOMENTUM,
    "nesterov": NESTEROV,
    "adam": ADAM,
    "amsgrad": AMSGRAD,
    "rprop": RPROP,
    "lbfgs": LBFGS,
    "levenberg_marquardt": MARQUARDT,
    "bayesian_regularization": EVIDENCE,
}


cdef class RuleSettings:
    """A rule's settings, as the core reads them.

    Parameters
    ----------
    kind : str
        A key of ``KINDS``.
    l1, l2 : float
    **options : float
        Those of the rule: momentum, beta_1, beta_2, epsilon, folded, increase, decrease, least,
        most, weight_decay, max_norm; L-BFGS and Levenberg-Marquardt read their own from
        ``options``.
    l2_shared : bool
        Whether l2 is divided by the rows of each step; L-BFGS and Levenberg-Marquardt do not look
        at it.
    """

    def __init__(self, str kind, *, double l1=0.0, double l2=0.0, bint l2_shared=False,
                 **options):
        cdef Rule* rule = &self.rule
        self.kind, self.options = kind, options
        rule.kind = KINDS[kind]
        rule.l1, rule.l2, rule.shared_l2 = l1, l2, l2 if l2_shared else 0.0
        rule.momentum = options.get("momentum", 0.0)
        rule.beta_1, rule.beta_2 = options.get("beta_1", 0.0), options.get("beta_2", 0.0)
        rule.epsilon, rule.folded = options.get("epsilon", 0.0), options.get("folded", False)
        rule.increase, rule.decrease = options.get("increase", 0.0), options.get("decrease", 0.0)
        rule.least, rule.most = options.get("least", 0.0), options.get("most", 0.0)
        rule.weight_decay = options.get("weight_decay", 0.0)
        rule.max_norm = options.get("max_norm", 0.0)
        rule.fusable = (rule.kind == SGD and l1 == 0 and l2 == 0 and rule.weight_decay == 0
                        and rule.max_norm == 0)
        rule.whole = rule.kind in (RPROP, LBFGS, MARQUARDT, EVIDENCE) or rule.max_norm > 0


cdef void share_penalty(Rule* rule, Py_ssize_t rows) noexcept nogil:
    """Set l2 for a step on so many rows, where it depends on them."""
    if rule.shared_l2 != 0:
        rule.l2 = rule.shared_l2 / rows


cdef void begin_step(Rule* rule) noexcept nogil:
    """What the step's number decides; nothing is counted yet, for a step may be abandoned.

    Adam (Kingma and Ba, ICLR 2015), t the step from 1: with b_i = 1 - beta_i^t, Algorithm 1 is
    a = lr / b_1, c = 1 / sqrt(b_2); the folded form a = lr sqrt(b_2) / b_1, c = 1 has another
    epsilon.
    """
    cdef double t, b_1, b_2
    if rule.kind == ADAM or rule.kind == AMSGRAD:
        t = rule.numbers[0] + 1
        b_1, b_2 = 1 - pow(rule.beta_1, t), 1 - pow(rule.beta_2, t)
        if rule.folded:
            rule.a, rule.c = rule.learning_rate * sqrt(b_2) / b_1, 1
        else:
            rule.a, rule.c = rule.learning_rate / b_1, 1 / sqrt(b_2)


cdef void end_step(Rule* rule, double loss) noexcept nogil:
    """Count the step.

    loss : of the step's rows with the penalty; only RProp looks
    """
    if rule.kind == ADAM or rule.kind == AMSGRAD:
        rule.numbers[0] += 1
    elif rule.kind == RPROP:
        rule.numbers[0], rule.numbers[1] = loss, 1


cdef void apply_rule(const Rule* rule, bint weights, Py_ssize_t first, Py_ssize_t n,
                     real* gradient, real* parameters) noexcept nogil:
    """One step for parameters[first : first + n] and the vectors that belong to them.

    weights : whether they are weights: subject to penalty and decay
    gradient, parameters : (n_parameters,), the whole vectors; the penalty's is added to the first
    """
    cdef:
        real lr = <real>rule.learning_rate
        real mu = <real>rule.momentum
        real beta_1 = <real>rule.beta_1
        real beta_2 = <real>rule.beta_2
        real rest_1 = <real>(1 - rule.beta_1)
        real rest_2 = <real>(1 - rule.beta_2)
        real* g = gradient + first
        real* W = parameters + first
        real* v = <real*>rule.vectors + first if rule.vectors != NULL else NULL
        Py_ssize_t P = rule.n_parameters
    if weights and not rule.whole and (rule.l1 != 0 or rule.l2 != 0):
        if real is double:
            updates.f64.penalty(rule.l2, rule.l1, W, g, n)
        else:
            updates.f32.penalty(<float>rule.l2, <float>rule.l1, W, g, n)
    if weights and rule.weight_decay != 0:
        if real is double:
            updates.f64.scale(1 - rule.learning_rate * rule.weight_decay, W, n)
        else:
            updates.f32.scale(<float>(1 - rule.learning_rate * rule.weight_decay), W, n)
    if real is double:
        if rule.kind == SGD:
            updates.f64.sgd(lr, g, W, n)
        elif rule.kind == MOMENTUM:
            updates.f64.momentum(lr, mu, g, v, W, n)
        elif rule.kind == NESTEROV:
            updates.f64.nesterov(lr, mu, g, v, W, n)
        elif rule.kind == ADAM:
            updates.f64.adam(rule.a, rule.c, rule.epsilon, beta_1, beta_2, rest_1, rest_2, g, v,
                             v + P, W, n)
        elif rule.kind == AMSGRAD:
            updates.f64.amsgrad(rule.a, rule.c, rule.epsilon, beta_1, beta_2, rest_1, rest_2, g, v,
                                v + P, v + 2 * P, W, n)
        elif rule.kind == RPROP:
            updates.f64.rprop(rule.increase, rule.decrease, rule.least, rule.most, rule.worse, g,
                              v, v + P, v + 2 * P, W, n)
    else:
        if rule.kind == SGD:
            updates.f32.sgd(lr, g, W, n)
        elif rule.kind == MOMENTUM:
            updates.f32.momentum(lr, mu, g, v, W, n)
        elif rule.kind == NESTEROV:
            updates.f32.nesterov(lr, mu, g, v, W, n)
        elif rule.kind == ADAM:
            updates.f32.adam(<float>rule.a, <float>rule.c, <float>rule.epsilon, beta_1, beta_2,
                             rest_1, rest_2, g, v, v + P, W, n)
        elif rule.kind == AMSGRAD:
            updates.f32.amsgrad(<float>rule.a, <float>rule.c, <float>rule.epsilon, beta_1, beta_2,
                                rest_1, rest_2, g, v, v + P, v + 2 * P, W, n)
        elif rule.kind == RPROP:
            updates.f32.rprop(<float>rule.increase, <float>rule.decrease, <float>rule.least,
                              <float>rule.most, rule.worse, g, v, v + P, v + 2 * P, W, n)


cdef void apply_everywhere(const Rule* rule, const Net* net, real* gradient,
                           real* parameters) noexcept nogil:
    """One step for all parameters."""
    cdef Py_ssize_t i
    cdef const Layer* layer
    if rule.l1 == 0 and rule.l2 == 0 and rule.weight_decay == 0:
        apply_rule(rule, False, 0, net.n_parameters, gradient, parameters)
        return
    for i in range(net.n_layers):
        layer = &net.layers[i]
        apply_rule(rule, True, layer.W, layer.n_in * layer.n_out, gradient, parameters)
        if layer.b >= 0:
            apply_rule(rule, False, layer.b, layer.n_out, gradient, parameters)


cdef void add_penalty(const Rule* rule, const Net* net, const real* parameters,
                      real* gradient) noexcept nogil:
    """g += l2 W + l1 sign(W), for the weights."""
    cdef Py_ssize_t i, n
    cdef const Layer* layer
    if rule.l1 == 0 and rule.l2 == 0:
        return
    for i in range(net.n_layers):
        layer = &net.layers[i]
        n = layer.n_in * layer.n_out
        if real is double:
            updates.f64.penalty(rule.l2, rule.l1, parameters + layer.W, gradient + layer.W, n)
        else:
            updates.f32.penalty(<float>rule.l2, <float>rule.l1, parameters + layer.W,
                                gradient + layer.W, n)


cdef double penalty_of(const Rule* rule, const Net* net, const real* parameters) noexcept nogil:
    """(l2/2) |W|^2 + l1 |W|_1."""
    cdef Py_ssize_t i, n
    cdef const Layer* layer
    cdef double total = 0.0
    for i in range(net.n_layers):
        layer = &net.layers[i]
        n = layer.n_in * layer.n_out
        if rule.l2 != 0:
            total += 0.5 * rule.l2 * dot(parameters + layer.W, parameters + layer.W, n)
        if rule.l1 != 0:
            total += rule.l1 * sum_of_absolutes(parameters + layer.W, n)
    return total


cdef void clip(const Rule* rule, double norm, real* gradient, Py_ssize_t n) noexcept nogil:
    """g *= max_norm / |g| where |g| is larger."""
    if rule.max_norm > 0 and norm > rule.max_norm:
        if real is double:
            updates.f64.scale(rule.max_norm / norm, gradient, n)
        else:
            updates.f32.scale(<float>(rule.max_norm / norm), gradient, n)
