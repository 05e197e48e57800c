from cbackprop.core.gradient.job cimport Job
from cbackprop.core.gradient.plan cimport Net
from cbackprop.core.gradient.update_rules cimport Rule
from cbackprop.core.linalg.types cimport real

cdef bint takes(const Job* job, const Rule* rule, Py_ssize_t batch_rows) noexcept nogil

cdef Py_ssize_t training_steps(Job* job, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t n_steps,
                               const Rule* rule, real* parameters, double* squares,
                               double* each) noexcept nogil
