"""L-BFGS, one iteration at a time, on a function given by its evaluations.

    d = -H g                            the two loops, Nocedal (Math. Comp. 35, 1980)
    W+ = W + a d                        a by linesearch.pyx
    s = W+ - W,  y = g+ - g             a pair of the newest ``memory`` ones

H is the inverse BFGS matrix of the pairs over gamma I, gamma = s'y / y'y of the newest (Nocedal and
Wright, Numerical Optimization, 2nd ed., algorithms 7.4 and 7.5, eq. 7.20).  Without pairs gamma =
min(1, 1 / |g|), so that the first step has length 1 at most.  A pair with s'y <= eps y'y is skipped
(Byrd, Lu, Nocedal and Zhu, SIAM J. Sci. Comput. 16, 1995, section 3).  s is the actual change of W,
after rounding.

When a search along -H g fails, the pairs are dropped and -g is tried (the same paper's code).  When
no step satisfies the conditions, as at a kink, the lowest point with a sufficient decrease is
taken.  A loss never exceeds the lowest one so far by more than ``loss_rounding`` times that.

State.  All of it belongs to the caller, so that W, ``vectors`` and ``numbers`` from a checkpoint
continue bitwise identically; all zeros are the initial state.

    vectors     (2 memory + 1, P)   s of slot i in row i, its y in row memory + i, then the gradient
    numbers     (n_numbers,)        see lbfgs.pxd
    scratch     (n_scratch, P)      nothing in it is kept

When the function has changed, set ``numbers[KNOWN]`` to 0, so that loss and gradient are evaluated
again.  ``numbers[COUNT]`` = 0 drops the pairs too.  A step is completed or not done: W, vectors and
numbers are written only after the last evaluation.

Vectors have the network's dtype, every scalar is double.  This file knows no networks.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.float cimport DBL_EPSILON, DBL_MIN
from libc.math cimport INFINITY, fabs, isfinite, sqrt
from libc.string cimport memcpy

from cbackprop.core.linalg cimport elementwise
from cbackprop.core.quasi_newton.linesearch cimport TRY, LineSearch, Verdict, begin_search, tell
from cbackprop.core.data.rows cimport memory_of
from cbackprop.core.linalg.vectors cimport axpy, dot, largest_absolute, scale


cpdef Py_ssize_t n_vectors(Py_ssize_t memory) noexcept nogil:
    """Rows of ``vectors``: s and y of each pair, and the gradient."""
    return 2 * memory + 1


cpdef Py_ssize_t n_numbers(Py_ssize_t memory) noexcept nogil:
    """Entries of ``numbers``."""
    return RHO + memory


cpdef Py_ssize_t n_scratch() noexcept nogil:
    """Rows of ``scratch``."""
    return 5


def evaluations_of(numbers):
    """Evaluations of the function in the last iteration."""
    return int(numbers[EVALUATIONS])


cdef bint sound(const double* numbers, Py_ssize_t memory) noexcept nogil:
    """Whether ``numbers``, which may be untrusted, refer only to existing slots."""
    cdef double count = numbers[COUNT]
    cdef double head = numbers[HEAD]
    return (0.0 <= count <= memory and count == <double><Py_ssize_t>count
            and 0.0 <= head < memory and head == <double><Py_ssize_t>head)


cdef inline double evaluate(const Function* function, const real* W, real* gradient,
                            int* abandoned) noexcept nogil:
    if real is double:
        return function.f64(function.context, W, gradient, abandoned)
    else:
        return function.f32(function.context, W, gradient, abandoned)


cdef inline void add(const real* x, double a, const real* y, real* out,
                     Py_ssize_t P) noexcept nogil:
    """out = x + a y"""
    memcpy(out, x, P * sizeof(real))
    axpy(a, y, out, P)


cdef double direction(const real* vectors, const double* numbers, Py_ssize_t memory,
                      Py_ssize_t count, const real* g, real* d, Py_ssize_t P) noexcept nogil:
    """d = -H g with the newest ``count`` pairs, g not zero; returns g'd."""
    cdef:
        double[MOST_MEMORY] along
        double gamma = numbers[GAMMA]
        double size
        Py_ssize_t newest = <Py_ssize_t>numbers[HEAD] + memory - 1
        Py_ssize_t k, i
        const real* s
        const real* y
    memcpy(d, g, P * sizeof(real))
    for k in range(count):
        i = (newest - k) % memory
        s, y = vectors + i * P, vectors + (memory + i) * P
        along[k] = numbers[RHO + i] * dot(s, <const real*>d, P)
        axpy(-along[k], y, d, P)
    if count == 0:
        # Scale by the largest entry first, so that no square overflows.
        size = largest_absolute(g, P)
        scale(1.0 / size, d, P)
        gamma = 1.0 / max(1.0 / size, sqrt(dot(<const real*>d, <const real*>d, P)))
    scale(-gamma, d, P)
    for k in range(count - 1, -1, -1):
        i = (newest - k) % memory
        s, y = vectors + i * P, vectors + (memory + i) * P
        axpy(-along[k] - numbers[RHO + i] * dot(y, <const real*>d, P), s, d, P)
    return dot(g, <const real*>d, P)


cdef void search_along(const Function* function, LineSearch* search, const real* W,
                       const real* d, real* trial, real** gradients, int* evaluations,
                       int* abandoned, Py_ssize_t P) noexcept nogil:
    """Evaluate along d until the search ends; gradients[1] is then the one at ``search.best``.

    trial, gradients[0], gradients[1] : (P,), overwritten
    """
    cdef Verdict verdict = TRY
    cdef double step, loss, slope
    while verdict == TRY:
        step = search.step
        loss = slope = INFINITY
        add(W, step, d, trial, P)
        if elementwise.all_finite(<const real*>trial, P):
            loss = evaluate(function, <const real*>trial, gradients[0], abandoned)
            if abandoned[0]:
                return
            evaluations[0] += 1
            # Finite only if the whole gradient is.
            slope = dot(<const real*>gradients[0], d, P)
        verdict = tell(search, loss, slope)
        if search.best.step == step:
            gradients[0], gradients[1] = gradients[1], gradients[0]


cdef void keep_pair(const real* s, const real* y, real* vectors, double* numbers,
                    Py_ssize_t memory, Py_ssize_t P) noexcept nogil:
    """Replace the oldest pair by this one, if its curvature is positive."""
    cdef double sy = dot(s, y, P)
    cdef double yy = dot(y, y, P)
    cdef Py_ssize_t head = <Py_ssize_t>numbers[HEAD]
    # Below DBL_MIN the reciprocal may overflow.
    if not (sy > DBL_EPSILON * yy and sy >= DBL_MIN and yy >= DBL_MIN):
        return
    memcpy(vectors + head * P, s, P * sizeof(real))
    memcpy(vectors + (memory + head) * P, y, P * sizeof(real))
    numbers[RHO + head] = 1.0 / sy
    numbers[GAMMA] = sy / yy
    numbers[HEAD] = (head + 1) % memory
    numbers[COUNT] = min(numbers[COUNT] + 1.0, <double>memory)


cdef Outcome stop_test(const Settings* settings, double size, double before, double after,
                       double moved, double length, double stalled) noexcept nogil:
    """The step's outcome, from max |g_i|, the losses before and after it, |s| and |W|."""
    if size <= settings.gradient_tolerance:
        return CONVERGED_GRADIENT
    if (settings.loss_tolerance > 0.0
            and before - after <= settings.loss_tolerance * max(fabs(before), fabs(after))):
        return CONVERGED_LOSS
    if settings.step_tolerance > 0.0 and moved <= settings.step_tolerance * (1.0 + length):
        return CONVERGED_STEP
    return NO_DESCENT if stalled >= settings.max_stalled else MOVED


cdef Outcome lbfgs_step(const Settings* settings, const Function* function, real* W,
                        real* vectors, double* numbers, real* scratch,
                        Py_ssize_t P) noexcept nogil:
    """One iteration: move W to the point that the line search finds.

    W : (P,)
    vectors, numbers, scratch : as described at the top; none overlaps another or W

    After a step ``numbers`` holds W's loss, ``vectors`` its gradient, and ``numbers[ITERATIONS]``
    is incremented.  Without a step W and the pairs are unchanged: always with ABANDONED and
    NOT_FINITE, sometimes with CONVERGED_GRADIENT and NO_DESCENT.
    """
    cdef:
        Py_ssize_t memory = settings.memory
        Py_ssize_t count = <Py_ssize_t>numbers[COUNT]
        real* d = scratch
        real* trial = scratch + P
        real* start_gradient = scratch + 4 * P
        real* gradients[2]
        real* kept = vectors + 2 * memory * P
        const real* g = kept
        double loss = numbers[LOSS]
        double lowest = numbers[LOWEST]
        double smallest = numbers[SMALLEST]
        double stalled = numbers[STALLED]
        double size, slope, rounding, moved
        int evaluations = 0
        int abandoned = 0
        bint searched = False
        bint met_finite = False
        LineSearch search
    gradients[0], gradients[1] = scratch + 2 * P, scratch + 3 * P
    if numbers[KNOWN] == 0.0:
        g = start_gradient
        loss = evaluate(function, <const real*>W, start_gradient, &abandoned)
        if abandoned:
            return ABANDONED
        if not (isfinite(loss) and elementwise.all_finite(g, P)):
            return NOT_FINITE
        evaluations = 1
        lowest, smallest, stalled = loss, largest_absolute(g, P), 0.0
    size = largest_absolute(g, P)
    search.best.step = 0.0
    if size > settings.gradient_tolerance:
        rounding = settings.loss_rounding * fabs(lowest)
        while True:
            slope = direction(<const real*>vectors, numbers, memory, count, g, d, P)
            if -INFINITY < slope < 0.0:
                begin_search(&search, loss, slope, 1.0, settings.sufficient_decrease,
                             settings.curvature, rounding, lowest + rounding,
                             settings.max_line_search)
                search_along(function, &search, <const real*>W, <const real*>d, trial, gradients,
                             &evaluations, &abandoned, P)
                if abandoned:
                    return ABANDONED
                searched, met_finite = True, met_finite or search.met_finite
            if search.best.step > 0.0 or count == 0:
                break
            count = 0
        if searched and not met_finite:
            return NOT_FINITE
    numbers[EVALUATIONS] = evaluations
    if search.best.step == 0.0:
        if numbers[KNOWN] == 0.0:
            memcpy(kept, g, P * sizeof(real))
            numbers[KNOWN], numbers[LOSS], numbers[STALLED] = 1.0, loss, stalled
            numbers[LOWEST], numbers[SMALLEST] = lowest, smallest
        return NO_DESCENT if size > settings.gradient_tolerance else CONVERGED_GRADIENT

    add(<const real*>W, search.best.step, <const real*>d, trial, P)
    add(<const real*>trial, -1.0, <const real*>W, d, P)                         # s
    add(<const real*>gradients[1], -1.0, g, gradients[0], P)                    # y
    memcpy(W, trial, P * sizeof(real))
    memcpy(kept, gradients[1], P * sizeof(real))
    numbers[COUNT] = count
    keep_pair(<const real*>d, <const real*>gradients[0], vectors, numbers, memory, P)
    moved = sqrt(dot(<const real*>d, <const real*>d, P))
    size = largest_absolute(<const real*>kept, P)
    stalled = 0.0 if search.best.loss < lowest or size < smallest else stalled + evaluations
    numbers[KNOWN], numbers[LOSS], numbers[STALLED] = 1.0, search.best.loss, stalled
    numbers[LOWEST], numbers[SMALLEST] = min(lowest, search.best.loss), min(smallest, size)
    numbers[ITERATIONS] += 1.0
    return stop_test(settings, size, loss, search.best.loss, moved,
                     sqrt(dot(<const real*>W, <const real*>W, P)), stalled)


# --- called from Python: the tests' way in --------------------------------------------------------

OUTCOMES = ("moved", "converged: gradient", "converged: loss", "converged: step", "no descent",
            "abandoned", "not finite")


cdef class Callback:
    """A Python function ``W -> (loss, gradient)`` as a Function; what it raised is in ``error``."""
    cdef object function
    cdef object like            # an ndarray of the kind passed to the function
    cdef Py_ssize_t P
    cdef object error

    def __cinit__(self, function, like):
        self.function, self.like, self.P, self.error = function, like, like.shape[0], None


cdef double call(Callback callback, const real* W, real* gradient) except? -1:
    cdef Py_ssize_t n_bytes = callback.P * sizeof(real)
    cdef const real[::1] result
    point = callback.like.copy()
    memcpy(memory_of(point, "W", n_bytes, True), W, n_bytes)
    loss, array = callback.function(point)
    if array is None:
        raise TypeError("the gradient is None; expected an array")
    result = array
    if result.shape[0] != callback.P:
        raise ValueError(f"the gradient has {result.shape[0]} entries; expected {callback.P}")
    memcpy(gradient, &result[0], n_bytes)
    return loss


cdef double call_f64(void* context, const double* W, double* gradient,
                     int* abandoned) noexcept with gil:
    try:
        return call(<Callback>context, W, gradient)
    except BaseException as error:
        (<Callback>context).error = error
        abandoned[0] = 1
        return 0.0


cdef double call_f32(void* context, const float* W, float* gradient,
                     int* abandoned) noexcept with gil:
    try:
        return call(<Callback>context, W, gradient)
    except BaseException as error:
        (<Callback>context).error = error
        abandoned[0] = 1
        return 0.0


def step(function, real[::1] W not None, real[:, ::1] vectors not None,
         double[::1] numbers not None,
         int max_line_search=20, int max_stalled=100, double gradient_tolerance=0.0,
         double loss_tolerance=0.0, double step_tolerance=0.0, double loss_rounding=1e-6,
         double sufficient_decrease=1e-4, double curvature=0.9):
    """One iteration on arrays that hold the whole state; returns the outcome's name.

    Parameters
    ----------
    function : callable
        ``function(W) -> (loss, gradient)``, the gradient of W's dtype.  Its exceptions are raised,
        and the state is unchanged.
    W : (P,)
    vectors : (n_vectors(memory), P)
    numbers : (n_numbers(memory),)
    """
    cdef:
        Py_ssize_t P = W.shape[0]
        Settings settings
        Function evaluated
        Outcome outcome
        real* scratch
        Callback callback
    settings.memory = (vectors.shape[0] - 1) // 2
    settings.max_line_search = max_line_search
    settings.max_stalled = max_stalled
    settings.gradient_tolerance = gradient_tolerance
    settings.loss_tolerance = loss_tolerance
    settings.step_tolerance = step_tolerance
    settings.loss_rounding = loss_rounding
    settings.sufficient_decrease = sufficient_decrease
    settings.curvature = curvature
    if (P < 1 or vectors.shape[1] != P or not 1 <= settings.memory <= MOST_MEMORY
            or vectors.shape[0] != n_vectors(settings.memory)
            or numbers.shape[0] != n_numbers(settings.memory)
            or not sound(&numbers[0], settings.memory)):
        raise ValueError("W, vectors and numbers are not one state")
    callback = Callback(function, W.base)
    evaluated.context = <void*>callback
    evaluated.f64, evaluated.f32 = call_f64, call_f32
    scratch = <real*>PyMem_RawMalloc(n_scratch() * P * sizeof(real))
    if scratch == NULL:
        raise MemoryError("no memory for five vectors")
    with nogil:
        outcome = lbfgs_step(&settings, &evaluated, &W[0], &vectors[0, 0], &numbers[0], scratch, P)
    PyMem_RawFree(scratch)
    if callback.error is not None:
        raise callback.error
    return OUTCOMES[outcome]


def minimize(function, W, Py_ssize_t memory=10, Py_ssize_t iterations=1000, **settings):
    """Iterate from W until the outcome is not "moved"; W itself is not written.

    Returns
    -------
    W, loss, iterations, evaluations, outcome
    """
    W = W.copy()
    size = n_vectors(memory) * W.nbytes
    vectors = memoryview(bytearray(size)).cast("B").cast(W.dtype.char, (n_vectors(memory), len(W)))
    numbers = memoryview(bytearray(8 * n_numbers(memory))).cast("d")
    evaluations, outcome = 0, "moved"
    while outcome == "moved" and numbers[ITERATIONS] < iterations:
        outcome = step(function, W, vectors, numbers, **settings)
        evaluations += int(numbers[EVALUATIONS])
    return W, numbers[LOSS], int(numbers[ITERATIONS]), evaluations, outcome
