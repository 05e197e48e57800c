from cbackprop.core.gauss_newton.system cimport System

cdef enum:
    GRAM_ROWS = 12              # data rows of a task

cdef void gram_rows(void* system, ptrdiff_t task, int worker) noexcept nogil
cdef Py_ssize_t gram_scratch(const System* s) noexcept nogil
cdef bint factorise_dual(System* s, double of_weights, double of_biases) noexcept nogil
cdef void solve_dual(System* s, double of_weights, double of_biases, double* step) noexcept nogil
