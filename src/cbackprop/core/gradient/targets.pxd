from cbackprop.core.gradient.job cimport Job
from cbackprop.core.linalg.types cimport real

cdef const real* read_targets(Job* job, Py_ssize_t row, Py_ssize_t rows, int worker, real* buffer,
                              int* bad, const real** weight) noexcept nogil
cdef void unit_loss(Job* job, Py_ssize_t block, const real* Y, const real* Y_hat,
                    const real* weight, Py_ssize_t rows, int worker) noexcept nogil
