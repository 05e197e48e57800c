from cbackprop.core.gradient.job cimport Job
from cbackprop.core.linalg.types cimport real
from cbackprop.core.gradient.workspace cimport Buffers, Workspace

ctypedef enum Answer:
    ANSWERED
    BAD                         # a NaN or an infinity in the rows
    STOPPED                     # by a signal
    RAISED                      # an exception, stored in the owner

ctypedef struct Asked:          # a loss in Python
    void* owner
    const Buffers* forward      # of a forward pass
    Py_ssize_t n_out
    char* Y                     # (batch_rows, n_out) of the network's dtype
    char* Y_hat
    char* dL_dY_hat

cdef class PythonLoss:
    cdef Asked asked
    cdef object function
    cdef object Y
    cdef object Y_hat
    cdef object dL_dY_hat
    cdef object error
    cdef Workspace space

cdef Answer ask_python(const Asked* asked, Job* job, Py_ssize_t start, Py_ssize_t rows,
                       const real* parameters, double* total) noexcept nogil
