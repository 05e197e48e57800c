from libc.stdint cimport int64_t

from cbackprop.core.plan cimport Net, Plan
from cbackprop.core.pulse cimport Beat
from cbackprop.core.rows cimport Rows
from cbackprop.core.rules cimport Rule
from cbackprop.core.team.team cimport cbp_team
from cbackprop.core.types cimport real
from cbackprop.core.workspace cimport Buffers

ctypedef struct Job:
    const Net* net
    const Buffers* to
    const Rows* X
    const Rows* Y               # NULL: predict
    const Rows* weight          # NULL, or one column
    const int64_t* order        # NULL, or the epoch's order of the rows
    Beat* beat
    cbp_team* team              # NULL: this thread alone
    int active                  # threads that may take part
    bint check                  # look for NaN and infinities while reading
    int bad                     # one was met
    # of the batch at hand
    Py_ssize_t start
    Py_ssize_t count
    double alpha                # 1/N, or -learning_rate / N in a fused step
    double beta
    void* gradient
    const Rule* rule            # tiles: applied to a tile when its gradient is whole; or NULL
    Py_ssize_t super_start
    Py_ssize_t super_count
    void* out                   # predict: (N, n_out)

cdef double gradient_of(Job* job, Py_ssize_t start, Py_ssize_t count, double alpha,
                        real* gradient) noexcept nogil
cdef double training_step(Job* job, Py_ssize_t start, Py_ssize_t count, const Rule* rule,
                          real* parameters) noexcept nogil
cdef double squares_of(Job* job, Py_ssize_t start, Py_ssize_t count,
                       const real* parameters) noexcept nogil
cdef int worthwhile_threads(const Net* net, Py_ssize_t rows, int n_threads) noexcept nogil
cdef int copy_parameters(Plan plan, parameters, char* to) except -1
