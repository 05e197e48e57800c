"""The line search: a step along a descent direction that satisfies the strong Wolfe conditions.

With phi(a) = L(W + a d), phi'(0) < 0 and 0 < c1 <= c2 < 1 a step a is accepted when

    phi(a) <= phi(0) + c1 a phi'(0)     the loss has decreased enough            (1)
    |phi'(a)| <= c2 |phi'(0)|           the slope has                            (2)

(Nocedal and Wright, Numerical Optimization, 2nd ed., eq. 3.7).  Near a minimum phi(a) - phi(0) is
rounding noise long before phi' is.  If the decrease required by (1) is less than that noise, it is
replaced by the approximate Wolfe conditions (Hager and Zhang, SIAM J. Optim. 16, 2005, section 4;
exact for a quadratic phi):

    phi(a) <= ceiling   and   phi'(a) <= (2 c1 - 1) phi'(0)                      (3)

The bracket (low, high): low is low enough by (1) or (3) and phi falls there more steeply than (2)
allows; high is not low enough, or phi rises there.  So an acceptable step lies between them (lemma
3.1 of the same book, with psi(a) = phi(a) - phi(0) - c1 a phi'(0)).  Until there is a high, steps
grow as in MINPACK-2's dcsrch (Moré and Thuente, ACM TOMS 20, 1994).  In the bracket the minimiser
of the cubic is tried (eq. 3.59), or the secant's zero of phi' if the losses are noise, at least a
tenth of the width from the ends.  (dcsrch also halves a bracket that shrinks too slowly; on the
functions of the tests this saved no evaluations.)

The caller evaluates phi: ``begin_search``, then ``tell`` with the values at ``step`` until the
verdict is not TRY.  A loss or slope that is not finite means that the step was too long.  This file
knows no vectors.
"""

from libc.math cimport INFINITY, fabs, isfinite, sqrt

# The factors by which a step may grow (dcsrch's xtrapl and xtrapu).
cdef double LEAST_GROWTH = 1.1
cdef double MOST_GROWTH = 4.0
# A trial keeps this fraction of the bracket's width from its ends.
cdef double MARGIN = 0.1


cdef void begin_search(LineSearch* search, double loss, double slope, double step, double decrease,
                       double curvature, double rounding, double ceiling,
                       int most_evaluations) noexcept nogil:
    """Begin with phi(0) = ``loss``, phi'(0) = ``slope`` < 0; the first trial is ``step`` > 0.

    decrease, curvature : c1 < 1/2 and c2 in [c1, 1); 1 - 2 c1 is used if smaller than c2, so that
        (2) implies the second half of (3)
    rounding : the noise of a difference of losses
    ceiling : at least ``loss``; the first half of (3)
    """
    search.step = step
    search.start.step, search.start.loss, search.start.slope = 0.0, loss, slope
    search.best = search.before = search.low = search.start
    search.evaluations = 0
    search.met_finite = search.bracketed = False
    search.decrease = decrease
    search.steepest = min(curvature, 1.0 - 2.0 * decrease) * fabs(slope)
    search.rounding, search.ceiling = rounding, ceiling
    search.most_evaluations = most_evaluations


cdef inline bint low_enough(const LineSearch* search, const Point* here) noexcept nogil:
    """(1), or the first half of (3)."""
    cdef double wanted = -search.decrease * here.step * search.start.slope
    if wanted > search.rounding:
        return here.loss <= search.start.loss - wanted
    return here.loss <= search.ceiling


cdef double longer_step(const LineSearch* search) noexcept nogil:
    """A step beyond low: the zero of the secant through the last two slopes, within limits."""
    cdef double width = search.low.step - search.before.step
    cdef double bend = search.low.slope - search.before.slope
    cdef double growth = MOST_GROWTH
    if bend > 0.0:
        growth = max(LEAST_GROWTH, min(MOST_GROWTH, -search.low.slope / bend))
    return search.low.step + growth * width


cdef double fraction_between(const LineSearch* search, double width) noexcept nogil:
    """The estimated minimiser of phi between low (0) and high (1); a half if unknown."""
    cdef double low = width * search.low.slope      # along the fraction
    cdef double high = width * search.high.slope
    cdef double rise = search.high.loss - search.low.loss
    cdef double d1, d2, denominator
    if fabs(rise) <= search.rounding:
        return low / (low - high) if high > 0.0 else 0.5
    d1 = low + high - 3.0 * rise
    d2 = d1 * d1 - low * high
    if not d2 >= 0.0:
        return 0.5
    d2 = sqrt(d2)
    denominator = high - low + 2.0 * d2
    return 1.0 - (high + d2 - d1) / denominator if denominator > 0.0 else 0.5


cdef double step_between(const LineSearch* search) noexcept nogil:
    """A step between low and high, by interpolation; a tenth of the way if high is not finite."""
    cdef double width = search.high.step - search.low.step
    cdef double fraction = MARGIN
    if isfinite(search.high.loss) and isfinite(search.high.slope):
        fraction = fraction_between(search, width)
        # NaN if something has overflowed.
        fraction = 0.5 if fraction != fraction else max(MARGIN, min(1.0 - MARGIN, fraction))
    return search.low.step + fraction * width


cdef Verdict tell(LineSearch* search, double loss, double slope) noexcept nogil:
    """Process phi and phi' at ``step``; returns what to do next."""
    cdef Point here
    cdef bint finite = isfinite(loss) and isfinite(slope)
    cdef bint enough
    here.step, here.loss, here.slope = search.step, loss, slope
    search.evaluations += 1
    search.met_finite = search.met_finite or finite
    enough = finite and low_enough(search, &here)
    if enough and fabs(slope) <= search.steepest:
        search.best = here
        return ACCEPTED
    if enough and loss < search.best.loss:
        search.best = here
    if enough and slope < 0.0:
        search.before, search.low = search.low, here
    else:
        search.high = here
        search.bracketed = True
    if search.evaluations >= search.most_evaluations:
        return EXHAUSTED
    search.step = step_between(search) if search.bracketed else longer_step(search)
    # There may be no number left between low and high, or none beyond low.
    if not search.low.step < search.step < (search.high.step if search.bracketed else INFINITY):
        return EXHAUSTED
    return TRY


# --- called from Python: the tests' way in --------------------------------------------------------

def search_line(phi, double step, double decrease=1e-4, double curvature=0.9, double rounding=0.0,
                int most_evaluations=20):
    """Search along ``phi(a) -> (loss, slope)``.

    Returns
    -------
    "accepted" or "exhausted", the best step or 0, evaluations

    Raises
    ------
    ValueError
        If the slope at 0 is not negative, or a constant is outside its limits.
    """
    cdef LineSearch search
    cdef Verdict verdict = TRY
    cdef double loss, slope
    loss, slope = phi(0.0)
    if not (slope < 0.0 and isfinite(loss) and isfinite(slope)):
        raise ValueError(f"phi(0) is {loss} with the slope {slope}; expected a finite descent")
    if not (0.0 < step and 0.0 < decrease <= curvature < 1.0 and decrease < 0.5
            and rounding >= 0.0):
        raise ValueError("expected step > 0, 0 < c1 <= c2 < 1, c1 < 1/2 and rounding >= 0")
    begin_search(&search, loss, slope, step, decrease, curvature, rounding, loss + rounding,
                 most_evaluations)
    while verdict == TRY:
        loss, slope = phi(search.step)
        verdict = tell(&search, loss, slope)
    outcome = "accepted" if verdict == ACCEPTED else "exhausted"
    return outcome, search.best.step, search.evaluations
