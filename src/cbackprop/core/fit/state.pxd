cdef class State:
    cdef public Py_ssize_t epoch
    cdef public Py_ssize_t position
    cdef public double loss_sum
    cdef public double unit_sum
    cdef public Py_ssize_t n_rows
    cdef public Py_ssize_t batch_rows
    cdef public str kind
    cdef public object vectors
    cdef public object numbers
    cdef public object stopping
    cdef public object best_parameters
