from cbackprop.core.gradient.plan cimport Net
from cbackprop.core.linalg.types cimport real

ctypedef enum RuleKind:
    GRADIENT_ONLY               # no step: the gradient itself is wanted
    SGD
    MOMENTUM
    NESTEROV
    ADAM
    AMSGRAD
    RPROP
    LBFGS                       # not elementwise: core/quasi_newton/lbfgs.pyx,
    MARQUARDT                   # core/gauss_newton/levenberg_marquardt.pyx,
    EVIDENCE                    # and the same with the evidence's penalty

ctypedef struct Rule:
    RuleKind kind
    double momentum
    double beta_1
    double beta_2
    double epsilon
    bint folded                 # Adam's epsilon beside the biased sqrt(v)
    double increase
    double decrease
    double least
    double most
    double weight_decay
    double max_norm             # 0: no clipping
    double l1
    double l2
    double shared_l2            # not 0: l2 is this over a step's rows
    bint fusable                # W -= lr g and nothing else
    bint whole                  # wants the whole gradient before the first parameter moves
    void* vectors               # (n_vectors, n_parameters) of the network's dtype, or NULL
    double* numbers             # Adam: steps done; RProp: the loss before, whether there was one
    Py_ssize_t n_parameters
    # of the step at hand
    double learning_rate
    double a                    # Adam's two factors
    double c
    int worse                   # RProp: the loss has risen

cdef class RuleSettings:
    cdef Rule rule
    cdef readonly str kind
    cdef readonly dict options

cdef void share_penalty(Rule* rule, Py_ssize_t rows) noexcept nogil
cdef void begin_step(Rule* rule) noexcept nogil
cdef void end_step(Rule* rule, double loss) noexcept nogil
cdef void apply_rule(const Rule* rule, bint weights, Py_ssize_t first, Py_ssize_t n,
                     real* gradient, real* parameters) noexcept nogil
cdef void apply_everywhere(const Rule* rule, const Net* net, real* gradient,
                           real* parameters) noexcept nogil
cdef void add_penalty(const Rule* rule, const Net* net, const real* parameters,
                      real* gradient) noexcept nogil
cdef double penalty_of(const Rule* rule, const Net* net, const real* parameters) noexcept nogil
cdef void clip(const Rule* rule, double norm, real* gradient, Py_ssize_t n) noexcept nogil
