from cbackprop.core.linalg.types cimport real

cdef enum:
    MOST_MEMORY = 100           # pairs; more than is ever useful

# The loss at W; writes the gradient.  If ``abandoned`` is set, both are undefined.
ctypedef double (*evaluate_f64)(void* context, const double* W, double* gradient,
                                int* abandoned) noexcept nogil
ctypedef double (*evaluate_f32)(void* context, const float* W, float* gradient,
                                int* abandoned) noexcept nogil

ctypedef struct Function:
    void* context
    evaluate_f64 f64            # the one for the dtype in use
    evaluate_f32 f32

ctypedef struct Settings:
    Py_ssize_t memory           # pairs kept, 1 .. MOST_MEMORY
    int max_line_search         # evaluations of one search, at least 1
    int max_stalled             # evaluations in a row without a new LOWEST or SMALLEST
    double gradient_tolerance   # stop when max |g_i| is at most this
    double loss_tolerance       # stop when the loss fell by at most this fraction; 0: never
    double step_tolerance       # stop when |s| is at most this times 1 + |W|; 0: never
    double loss_rounding        # relative noise of a loss; 0: no loss above the last is accepted
    double sufficient_decrease  # c1, in (0, 1/2)
    double curvature            # c2, in (c1, 1)

ctypedef enum Outcome:
    MOVED
    CONVERGED_GRADIENT          # also without a step, if W was such a point already
    CONVERGED_LOSS
    CONVERGED_STEP
    NO_DESCENT                  # at the level of rounding errors
    ABANDONED                   # nothing has changed
    NOT_FINITE                  # loss or gradient are not finite at W, or nowhere near it

cdef enum:                      # the entries of ``numbers``
    KNOWN                       # 1: LOSS and the gradient in ``vectors`` are those of W; else 0
    LOSS
    ITERATIONS                  # steps made since the state was zero
    EVALUATIONS                 # of the last call
    COUNT                       # pairs kept
    HEAD                        # the slot of the next pair
    GAMMA                       # s'y / y'y of the newest pair
    LOWEST                      # the lowest loss seen since KNOWN was 0
    SMALLEST                    # the smallest max |g_i| since then
    STALLED                     # evaluations since either improved
    RHO                         # 1 / s'y of slot i at RHO + i

cpdef Py_ssize_t n_vectors(Py_ssize_t memory) noexcept nogil
cpdef Py_ssize_t n_numbers(Py_ssize_t memory) noexcept nogil
cpdef Py_ssize_t n_scratch() noexcept nogil
cdef bint sound(const double* numbers, Py_ssize_t memory) noexcept nogil

cdef Outcome lbfgs_step(const Settings* settings, const Function* function, real* W,
                        real* vectors, double* numbers, real* scratch,
                        Py_ssize_t P) noexcept nogil
