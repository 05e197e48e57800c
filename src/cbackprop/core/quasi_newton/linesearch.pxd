ctypedef struct Point:          # on the line: phi(step) and phi'(step)
    double step
    double loss
    double slope

ctypedef enum Verdict:
    TRY                         # evaluate at ``step`` and call ``tell``
    ACCEPTED                    # ``best`` satisfies the conditions
    EXHAUSTED                   # no point does; ``best`` is the lowest one found, or step 0

ctypedef struct LineSearch:
    double step                 # where to evaluate next
    Point best                  # the accepted point, or the lowest of those low enough
    int evaluations
    bint met_finite             # a trial was finite
    # conditions
    double decrease             # c1
    double steepest             # min(c2, 1 - 2 c1) |phi'(0)|
    double rounding             # differences of losses up to this are rounding
    double ceiling              # within rounding, no loss above this is low enough
    int most_evaluations
    # the bracket
    Point start
    Point before                # the previous ``low``
    Point low                   # low enough, and phi still falls there
    Point high                  # too high, or phi rises: the first acceptable step is below it
    bint bracketed

cdef void begin_search(LineSearch* search, double loss, double slope, double step, double decrease,
                       double curvature, double rounding, double ceiling,
                       int most_evaluations) noexcept nogil
cdef Verdict tell(LineSearch* search, double loss, double slope) noexcept nogil
