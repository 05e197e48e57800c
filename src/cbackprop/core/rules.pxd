from cbackprop.core.types cimport real

ctypedef enum RuleKind:
    GRADIENT_ONLY               # no step: the gradient itself is wanted
    SGD
    MOMENTUM
    NESTEROV

ctypedef struct Rule:
    RuleKind kind
    double learning_rate
    double momentum
    void* velocity              # (n_parameters,) of the network's dtype, or NULL

cdef void apply_rule(const Rule* rule, Py_ssize_t first, Py_ssize_t n, const real* gradient,
                     real* parameters) noexcept nogil
