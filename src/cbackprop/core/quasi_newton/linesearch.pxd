ctypedef struct Point:          # on the line: phi(step) and phi'(step)
    double step
    double loss
    double slope

ctypedef enum Verdict:
    TRY                         # evaluate at ``step`` and tell
    ACCEPTED                    # ``best`` satisfies the conditions
    EXHAUSTED                   # nothing does; ``best`` is the lowest point met, or step 0

ctypedef struct LineSearch:
    double step                 # where to evaluate next
    Point best                  # the accepted point, or of the low enough ones the lowest
    int evaluations
    bint met_finite             # a trial was finite
    # conditions
    double decrease             # c1
    double steepest             # min(c2, 1 - 2 c1) |phi'(0)|
    double rounding             # differences of losses up to this are rounding
    double ceiling              # among them no loss above this is low enough
    int most_evaluations
    # the bracket
    Point start
    Point before                # the last ``low``
    Point low                   # low enough, and beyond it phi still falls
    Point high                  # too high, or phi rises: the first acceptable step is below it
    bint bracketed

cdef void begin_search(LineSearch* search, double loss, double slope, double step, double decrease,
                       double curvature, double rounding, double ceiling,
                       int most_evaluations) noexcept nogil
cdef Verdict tell(LineSearch* search, double loss, double slope) noexcept nogil
