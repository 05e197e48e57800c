from cbackprop.core.gradient.job cimport Job
from cbackprop.core.gradient.plan cimport Net, Plan
from cbackprop.core.gradient.update_rules cimport Rule
from cbackprop.core.linalg.types cimport real

cdef double gradient_of(Job* job, Py_ssize_t start, Py_ssize_t count, double alpha,
                        real* gradient) noexcept nogil
cdef double training_step(Job* job, Py_ssize_t start, Py_ssize_t count, Rule* rule,
                          real* parameters) noexcept nogil
cdef void whole_step(Job* job, Rule* rule, double loss, real* gradient,
                     real* parameters) noexcept nogil
cdef double loss_of(Job* job, Py_ssize_t start, Py_ssize_t count,
                    const real* parameters) noexcept nogil
cdef double unit_loss_of(const Job* job, Py_ssize_t count) noexcept nogil
cdef double pairwise_sum(const double* x, Py_ssize_t n) noexcept nogil
cdef int worthwhile_threads(const Net* net, Py_ssize_t rows, int n_threads) noexcept nogil
cdef int copy_parameters(Plan plan, parameters, char* to) except -1
