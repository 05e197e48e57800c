"""The optimisers' update rules, elementwise, on any run of the flat parameter vector.

    SGD         W -= lr g
    momentum    v = mu v - lr g;   W += v
    Nesterov    v = mu v - lr g;   W += mu v - lr g
    Adam        m = beta_1 m + (1 - beta_1) g;   v = beta_2 v + (1 - beta_2) g^2
                W -= a m / (c sqrt(v) + epsilon)
    AMSGrad     the same with the largest v so far
    NAdam       m and v as Adam's;   W -= (a_g g + a m) / (c sqrt(v) + epsilon)
    iRPROP+     a step size for each parameter, from the gradient's signs

g is the gradient of the mean loss and of the penalty (l2/2) |W|^2 + l1 |W|_1, clipped on request.
With ``shared_l2``, l2 is divided by the rows of the step: scikit-learn's convention, in which the
strength depends on the batch size and is larger in a short last batch.  Penalty and decoupled
decay, W *= 1 - lr weight_decay before the step, apply only to weights: biases are not penalised.
The elementwise loops are in simd/updates_rules.h, without contraction into FMA: each is bitwise
identical to its NumPy version, wherever a run begins or ends.
"""

from libc.math cimport pow, sqrt

from cbackprop.core.gradient.plan cimport Layer
from cbackprop.core.simd cimport updates
from cbackprop.core.linalg.vectors cimport dot, sum_of_absolutes

cdef enum:                      # Rule.loop
    NO_LOOP
    SGD
    MOMENTUM
    NESTEROV
    ADAM
    AMSGRAD
    NADAM
    RPROP

cdef enum:                      # indices into Rule.option
    MU
    BETA_1
    BETA_2
    EPSILON
    FOLDED                      # Adam's epsilon beside the biased sqrt(v)
    MOMENTUM_DECAY
    INCREASE
    DECREASE
    LEAST
    MOST
    N_OPTIONS

cdef enum:                      # indices into Rule.factor
    A                           # Adam's and NAdam's, of m
    C                           # and of sqrt(v)
    A_G                         # NAdam's, of g
    PRODUCT                     # and mu_1 ... mu_t
    N_FACTORS

cdef dict PLACES = {
    "momentum": MU,
    "beta_1": BETA_1,
    "beta_2": BETA_2,
    "epsilon": EPSILON,
    "folded": FOLDED,
    "momentum_decay": MOMENTUM_DECAY,
    "increase": INCREASE,
    "decrease": DECREASE,
    "least": LEAST,
    "most": MOST,
}
if <int>N_OPTIONS > <int>MOST_OPTIONS or <int>N_FACTORS > <int>MOST_FACTORS:
    raise ImportError("Rule.option or Rule.factor is too short")

# The rules by name: the kind, the loop of an elementwise rule, and the options, which are all
# required.
cdef tuple OF_STEPS = ("weight_decay", "max_norm")
cdef tuple OF_ADAM = ("beta_1", "beta_2", "epsilon", "folded", *OF_STEPS)
cdef tuple OF_MARQUARDT = (
    "mu", "mu_increase", "mu_decrease", "mu_max", "nielsen", "diagonal", "geodesic", "dual",
    "gradient_tolerance", "step_tolerance", "counts_rows", "weight_mean",
)
cdef dict TABLE = {
    "sgd": (ELEMENTWISE, SGD, OF_STEPS),
    "momentum": (ELEMENTWISE, MOMENTUM, ("momentum", *OF_STEPS)),
    "nesterov": (ELEMENTWISE, NESTEROV, ("momentum", *OF_STEPS)),
    "adam": (ELEMENTWISE, ADAM, OF_ADAM),
    "amsgrad": (ELEMENTWISE, AMSGRAD, OF_ADAM),
    "nadam": (ELEMENTWISE, NADAM, ("beta_1", "beta_2", "epsilon", "momentum_decay", *OF_STEPS)),
    "rprop": (ELEMENTWISE, RPROP, ("increase", "decrease", "least", "most")),
    "lbfgs": (LBFGS, NO_LOOP, (
        "memory", "gradient_tolerance", "loss_tolerance", "step_tolerance", "max_line_search",
        "sufficient_decrease", "curvature",
    )),
    "levenberg_marquardt": (MARQUARDT, NO_LOOP, OF_MARQUARDT),
    "bayesian_regularization": (EVIDENCE, NO_LOOP, OF_MARQUARDT),
}

RULES = {name: wanted for name, (_, _, wanted) in TABLE.items()}


cdef class RuleSettings:
    """A rule's settings for the core.

    Parameters
    ----------
    name : str
        A key of ``RULES``.
    l1, l2 : float
    **options : float
        All options that ``RULES`` lists for the rule.
    l2_shared : bool
        Whether l2 is divided by the rows of each step; L-BFGS and Levenberg-Marquardt ignore it.

    Raises
    ------
    ValueError
        If the rule is unknown, or an option is missing or unknown.
    """

    def __init__(self, str name, *, double l1=0.0, double l2=0.0, bint l2_shared=False,
                 **options):
        cdef:
            Rule* rule = &self.rule
            tuple wanted
            str option
            int place
        if name not in TABLE:
            raise ValueError(f"unknown rule {name!r}; expected one of {', '.join(TABLE)}")
        rule.kind, rule.loop, wanted = TABLE[name]
        for option in wanted:
            if option not in options:
                raise ValueError(f"the rule {name} is given no option {option!r}; expected "
                                 f"{', '.join(wanted)}")
        if len(options) > len(wanted):
            unknown, = sorted(set(options).difference(wanted))[:1]
            raise ValueError(f"the rule {name} is given an unknown option {unknown!r}; expected "
                             f"{', '.join(wanted)}")
        self.name, self.options = name, options
        rule.l1, rule.l2, rule.shared_l2 = l1, l2, l2 if l2_shared else 0.0
        if rule.kind == ELEMENTWISE:
            for option in wanted:
                place = PLACES.get(option, N_OPTIONS)       # of OF_STEPS, which have none
                if place < N_OPTIONS:
                    rule.option[place] = options[option]
        if "weight_decay" in wanted:
            rule.weight_decay, rule.max_norm = options["weight_decay"], options["max_norm"]
        rule.fusable = (rule.kind == ELEMENTWISE and rule.loop == SGD and l1 == 0 and l2 == 0
                        and rule.weight_decay == 0 and rule.max_norm == 0)
        rule.whole = rule.kind != ELEMENTWISE or rule.loop == RPROP or rule.max_norm > 0

    def but(self, *, l2_shared=None, **options):
        """The same rule and penalties with some options replaced."""
        if l2_shared is None:
            l2_shared = self.rule.shared_l2 != 0
        return RuleSettings(self.name, l1=self.rule.l1, l2=self.rule.l2, l2_shared=l2_shared,
                            **{**self.options, **options})


cdef void share_penalty(Rule* rule, Py_ssize_t rows) noexcept nogil:
    """Set l2 for a step on ``rows`` rows, if it depends on them."""
    if rule.shared_l2 != 0:
        rule.l2 = rule.shared_l2 / rows


cdef void begin_step(Rule* rule) noexcept nogil:
    """Set the factors for the step's number; it is counted later, since a step may be abandoned.

    Adam (Kingma and Ba, ICLR 2015), t the step from 1: with b_i = 1 - beta_i^t, Algorithm 1 is
    a = lr / b_1, c = 1 / sqrt(b_2); the folded form a = lr sqrt(b_2) / b_1, c = 1 has another
    epsilon.

    NAdam (Dozat, ICLR 2016 workshop): a = lr mu_t+1 / (1 - mu_1 ... mu_t+1), c as in Algorithm 1
    and a_g = lr (1 - mu_t) / (1 - mu_1 ... mu_t), with ``mu_at`` for mu_t.
    """
    cdef double t, b_1, b_2, mu, next_mu
    if rule.loop == ADAM or rule.loop == AMSGRAD:
        t = rule.numbers[0] + 1
        b_1, b_2 = 1 - pow(rule.option[BETA_1], t), 1 - pow(rule.option[BETA_2], t)
        if rule.option[FOLDED]:
            rule.factor[A], rule.factor[C] = rule.learning_rate * sqrt(b_2) / b_1, 1
        else:
            rule.factor[A], rule.factor[C] = rule.learning_rate / b_1, 1 / sqrt(b_2)
    elif rule.loop == NADAM:
        t = rule.numbers[0] + 1
        mu, next_mu = mu_at(rule, t), mu_at(rule, t + 1)
        rule.factor[PRODUCT] = rule.numbers[1] * mu
        rule.factor[A] = rule.learning_rate * next_mu / (1 - rule.factor[PRODUCT] * next_mu)
        rule.factor[A_G] = rule.learning_rate * (1 - mu) / (1 - rule.factor[PRODUCT])
        rule.factor[C] = 1 / sqrt(1 - pow(rule.option[BETA_2], t))


cdef double mu_at(const Rule* rule, double t) noexcept nogil:
    """NAdam's momentum in step t: from half of beta_1 up to beta_1."""
    return rule.option[BETA_1] * (1 - 0.5 * pow(0.96, t * rule.option[MOMENTUM_DECAY]))


cdef void meet_loss(Rule* rule, double loss) noexcept nogil:
    """Set what depends on the loss with the penalty, for rules that need it before the step."""
    if rule.loop == RPROP:
        rule.worse = rule.numbers[1] != 0 and loss > rule.numbers[0]


cdef void end_step(Rule* rule, double loss) noexcept nogil:
    """Count the step.

    loss : that of the step's rows with the penalty; only RProp uses it
    """
    if rule.loop == ADAM or rule.loop == AMSGRAD:
        rule.numbers[0] += 1
    elif rule.loop == NADAM:
        rule.numbers[0], rule.numbers[1] = rule.numbers[0] + 1, rule.factor[PRODUCT]
    elif rule.loop == RPROP:
        rule.numbers[0], rule.numbers[1] = loss, 1


cdef void apply_rule(const Rule* rule, bint weights, Py_ssize_t first, Py_ssize_t n,
                     real* gradient, real* parameters) noexcept nogil:
    """One step for parameters[first : first + n] and the corresponding parts of the vectors.

    weights : whether they are weights, with penalty and decay
    gradient, parameters : (n_parameters,), the whole vectors; the penalty's gradient is added to
    the first
    """
    cdef:
        real lr = <real>rule.learning_rate
        real* g = gradient + first
        real* W = parameters + first
        real* v = <real*>rule.vectors + first if rule.vectors != NULL else NULL
        Py_ssize_t P = rule.n_parameters
    # Its type is inferred and differs between the two specialisations of this function.
    if real is double:
        loops = updates.f64
    else:
        loops = updates.f32
    if weights and not rule.whole and (rule.l1 != 0 or rule.l2 != 0):
        loops.penalty(<real>rule.l2, <real>rule.l1, W, g, n)
    if weights and rule.weight_decay != 0:
        loops.scale(<real>(1 - rule.learning_rate * rule.weight_decay), W, n)
    if rule.loop == SGD:
        loops.sgd(lr, g, W, n)
    elif rule.loop == MOMENTUM:
        loops.momentum(lr, <real>rule.option[MU], g, v, W, n)
    elif rule.loop == NESTEROV:
        loops.nesterov(lr, <real>rule.option[MU], g, v, W, n)
    elif rule.loop == ADAM:
        loops.adam(<real>rule.factor[A], <real>rule.factor[C], <real>rule.option[EPSILON],
                   <real>rule.option[BETA_1], <real>rule.option[BETA_2],
                   <real>(1 - rule.option[BETA_1]), <real>(1 - rule.option[BETA_2]),
                   g, v, v + P, W, n)
    elif rule.loop == AMSGRAD:
        loops.amsgrad(<real>rule.factor[A], <real>rule.factor[C], <real>rule.option[EPSILON],
                      <real>rule.option[BETA_1], <real>rule.option[BETA_2],
                      <real>(1 - rule.option[BETA_1]), <real>(1 - rule.option[BETA_2]),
                      g, v, v + P, v + 2 * P, W, n)
    elif rule.loop == NADAM:
        loops.nadam(<real>rule.factor[A_G], <real>rule.factor[A], <real>rule.factor[C],
                    <real>rule.option[EPSILON], <real>rule.option[BETA_1],
                    <real>rule.option[BETA_2], <real>(1 - rule.option[BETA_1]),
                    <real>(1 - rule.option[BETA_2]), g, v, v + P, W, n)
    elif rule.loop == RPROP:
        loops.rprop(<real>rule.option[INCREASE], <real>rule.option[DECREASE],
                    <real>rule.option[LEAST], <real>rule.option[MOST], rule.worse,
                    g, v, v + P, v + 2 * P, W, n)


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
    if real is double:
        loops = updates.f64
    else:
        loops = updates.f32
    for i in range(net.n_layers):
        layer = &net.layers[i]
        n = layer.n_in * layer.n_out
        loops.penalty(<real>rule.l2, <real>rule.l1, parameters + layer.W, gradient + layer.W, n)


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
    """g *= max_norm / |g| if |g| is larger."""
    if real is double:
        loops = updates.f64
    else:
        loops = updates.f32
    if rule.max_norm > 0 and norm > rule.max_norm:
        loops.scale(<real>(rule.max_norm / norm), gradient, n)
