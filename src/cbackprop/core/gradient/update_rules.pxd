from cbackprop.core.gradient.plan cimport Net
from cbackprop.core.linalg.types cimport real

ctypedef enum RuleKind:
    ELEMENTWISE                 # one of the loops of update_rules.pyx
    LBFGS                       # core/quasi_newton/lbfgs.pyx,
    MARQUARDT                   # core/gauss_newton/levenberg_marquardt.pyx,
    EVIDENCE                    # the same with Bayesian regularisation's penalty

cdef enum:
    MOST_OPTIONS = 16
    MOST_FACTORS = 4

ctypedef struct Rule:
    RuleKind kind
    int loop                    # of an elementwise rule: its loop (update_rules.pyx)
    double option[MOST_OPTIONS]  # its options
    double weight_decay
    double max_norm             # 0: no clipping
    double l1
    double l2
    double shared_l2            # if not 0: l2 is this divided by a step's rows
    bint fusable                # the rule is only W -= lr g
    bint whole                  # needs the full gradient before the first parameter changes
    void* vectors               # (n_vectors, n_parameters) of the network's dtype, or NULL
    double* numbers             # the rule's memory in single numbers, or NULL
    Py_ssize_t n_parameters
    # the current step
    double learning_rate
    double factor[MOST_FACTORS]  # factors that depend on its number
    int worse                   # RProp: the loss has risen

cdef class RuleSettings:
    cdef Rule rule
    cdef readonly str name
    cdef readonly dict options

cdef void share_penalty(Rule* rule, Py_ssize_t rows) noexcept nogil
cdef void begin_step(Rule* rule) noexcept nogil
cdef void meet_loss(Rule* rule, double loss) noexcept nogil
cdef void end_step(Rule* rule, double loss) noexcept nogil
cdef void apply_rule(const Rule* rule, bint weights, Py_ssize_t first, Py_ssize_t n,
                     real* gradient, real* parameters) noexcept nogil
cdef void apply_everywhere(const Rule* rule, const Net* net, real* gradient,
                           real* parameters) noexcept nogil
cdef void add_penalty(const Rule* rule, const Net* net, const real* parameters,
                      real* gradient) noexcept nogil
cdef double penalty_of(const Rule* rule, const Net* net, const real* parameters) noexcept nogil
cdef void clip(const Rule* rule, double norm, real* gradient, Py_ssize_t n) noexcept nogil
