/* The losses with weighted elements, for one dtype and level; W is LANES here.
 * docs/mathematics.md has the formulas.  This file promises to sum only: 1/N enters elsewhere.
 *
 * All elements of an array go through the same statements, a whole vector or the last part of one at
 * a time; after the array's end every weight is 0.  The loss, the activation and whether there are
 * weights are tested for each vector, by branches that never change: a loop for each
 * combination would give half a hundred loops per table.  Squared errors, with or without row
 * weights, have faster loops (loops.h).
 */
CBP_INLINE V FN(weights)(const T *weight, ptrdiff_t i, ptrdiff_t n)
{
    if (weight != NULL)
        return WN(load_up_to)(weight + i, n);
    return n >= W ? WN(set)(1) : WN(from_bits)(WN(bits)(WN(set)(1)) & WN(inside)(n));
}

/* log cosh d, and *slope = tanh d.  With m = exp(-|d|) - 1 and n = exp(-2|d|) - 1 = m (2 + m),
 *     log cosh d = 2 atanh tanh(|d| / 2)^2,        tanh(|d| / 2) = -m / (2 + m)
 *                = |d| + log(1 + n / 2) = |d| + 2 atanh(n / (4 + n)),   tanh |d| = -n / (2 + n)
 * the first for |d| < 1, since it keeps its relative accuracy down to d = 0; both arguments of
 * atanh are within 1/3. */
CBP_INLINE V FN(log_cosh)(V d, V *slope)
{
    const M sign = WN(bits)(d) & WN(bits)(WN(set)((T)-0.0));
    const V minus_a = WN(from_bits)(WN(bits)(d) | WN(bits)(WN(set)((T)-0.0)));
    const V m = WN(expm1_negative)(minus_a);
    const V m2 = m + (T)2;
    V n = m * m2;
    CBP_OPAQUE_VECTOR(n);
    const M small = WN(less)(WN(set)(-1), minus_a);
    const V quotient = WN(select)(small, m * m, n) / WN(select)(small, m2 * m2, n + (T)4);
    const V tanh_a = n / (n + (T)2); /* with the opposite sign */
    *slope = WN(from_bits)((WN(bits)(tanh_a) & ~WN(bits)(WN(set)((T)-0.0))) | sign);
    return WN(atanh_twice)(quotient) - WN(select)(small, WN(set)(0), minus_a);
}

/* g = dl/dp of a loss of the network's output p, and l as *part times *factor */
CBP_INLINE V FN(loss_slope)(int loss, T parameter, V y, V p, V *part, V *factor)
{
    const V d = p - y, zero = WN(set)(0);
    V g;
    *factor = d;
    if (loss == CBP_SQUARED_ERROR) {
        *factor = d * (T)0.5;
        g = d;
    }
    else if (loss == CBP_HUBER) {
        g = WN(at_least)(WN(set)(-parameter), WN(at_most)(WN(set)(parameter), d));
        *factor = d - g * (T)0.5;
    }
    else if (loss == CBP_GIVEN) {
        *factor = zero;
        g = y;
    }
    else if (loss == CBP_LOG_COSH) {
        *factor = WN(set)(1);
        *part = FN(log_cosh)(d, &g);
        return g;
    }
    else {
        const int quantile = loss == CBP_QUANTILE;
        const V above = WN(set)(quantile ? 1 - parameter : 1);
        const V below = WN(set)(quantile ? -parameter : -1);
        g = WN(select)(WN(less)(zero, d), above, WN(select)(WN(less)(d, zero), below, d));
    }
    *part = g;
    return g;
}

static double FN(output_loss)(int loss, int activation, T parameter, const T *weight, const T *Y,
                              const T *Y_hat, T *delta, ptrdiff_t n)
{
    FN(lanes) lanes = {0}, none = {0};
    for (ptrdiff_t i = 0; i < n; i += W) {
        const V w = FN(weights)(weight, i, n - i), p = WN(load_up_to)(Y_hat + i, n - i);
        V part, factor;
        const V y = WN(load_up_to)(Y + i, n - i);
        const V g = FN(loss_slope)(loss, parameter, y, p, &part, &factor);
        FN(add_product)(&lanes, 1, w, part, factor);
        if (delta != NULL)
            WN(store_up_to)(delta + i, g * w * WN(derivative)(activation, p), n - i);
    }
    return FN(total)(lanes, none);
}

/* The same where Y_hat is softmax(O): delta = p (g - sum g p), by rows */
static double FN(output_loss_softmax)(int loss, T parameter, const T *weight, const T *Y,
                                      const T *Y_hat, T *delta, ptrdiff_t rows, ptrdiff_t cols)
{
    FN(lanes) lanes = {0}, none = {0};
    for (ptrdiff_t row = 0; row < rows; row++) {
        const ptrdiff_t end = (row + 1) * cols;
        V dots = WN(set)(0), part, factor;
        for (ptrdiff_t i = end - cols; i < end; i += W) {
            const V w = FN(weights)(weight, i, end - i), p = WN(load_up_to)(Y_hat + i, end - i);
            const V y = WN(load_up_to)(Y + i, end - i);
            const V g = FN(loss_slope)(loss, parameter, y, p, &part, &factor);
            FN(add_product)(&lanes, 1, w, part, factor);
            dots += g * w * p;
        }
        if (delta == NULL)
            continue;
        const V dot = WN(set)(WN(sum)(dots));
        for (ptrdiff_t i = end - cols; i < end; i += W) {
            const V w = FN(weights)(weight, i, end - i), p = WN(load_up_to)(Y_hat + i, end - i);
            const V y = WN(load_up_to)(Y + i, end - i);
            const V g = FN(loss_slope)(loss, parameter, y, p, &part, &factor);
            WN(store_up_to)(delta + i, p * (g * w - dot), end - i);
        }
    }
    return FN(total)(lanes, none);
}

/* l = max(O, 0) - y O + log(1 + exp(-|O|)), delta = sigma(O) - y.  For either sign of O both are
 * written so that nothing cancels where y is 0 or 1: with s = sigma(-|O|),
 *     O < 0    l = y |O| + log1p(...)          delta = s - y
 *     else     l = (1 - y) |O| + log1p(...)    delta = (1 - y) - s */
static double FN(cross_entropy_sigmoid)(const T *weight, const T *Y, const T *O, T *delta,
                                        ptrdiff_t n)
{
    FN(lanes) lanes = {0}, none = {0};
    for (ptrdiff_t i = 0; i < n; i += W) {
        const V w = FN(weights)(weight, i, n - i);
        const V y = WN(load_up_to)(Y + i, n - i), o = WN(load_up_to)(O + i, n - i);
        const V rest = (T)1 - y;
        V s;
        const V log_part = WN(log1p_exp_minus_abs)(o, &s);
        const V l = WN(by_sign)(o, y, rest) * WN(at_least)(-o, o) + log_part;
        FN(add_product)(&lanes, 1, w, l, WN(set)(1));
        if (delta != NULL)
            WN(store_up_to)(delta + i, WN(by_sign)(o, s - y, rest - s) * w, n - i);
    }
    return FN(total)(lanes, none);
}

/* l = y log y - y O - y + exp(O), the first term 0 where y is; delta = exp(O) - y.  Where exp(O)
 * overflows for certain, both are infinite: exp's last product, fused with "- y", would be finite if
 * y is near the largest number. */
static double FN(poisson)(const T *weight, const T *Y, const T *O, T *delta, ptrdiff_t n)
{
    FN(lanes) lanes = {0}, none = {0};
    for (ptrdiff_t i = 0; i < n; i += W) {
        const V w = FN(weights)(weight, i, n - i);
        const V y = WN(load_up_to)(Y + i, n - i), o = WN(load_up_to)(O + i, n - i);
        const V log_y = WN(select)(WN(less)(WN(set)(0), y), WN(log)(y), y);
        const V infinite = WN(set)(INFINITY);
        const M beyond = WN(exp_overflows)(o);
        const V d = WN(select)(beyond, infinite, WN(exp)(o) - y);
        const V l = WN(select)(beyond, infinite, y * (log_y - o) + d);
        FN(add_product)(&lanes, 1, w, l, WN(set)(1));
        if (delta != NULL)
            WN(store_up_to)(delta + i, d * w, n - i);
    }
    return FN(total)(lanes, none);
}

/* l = exp(t) - 1 - t and delta = 1 - exp(t) with t = log y - O: half the deviance of the gamma
 * distribution with mean exp(O).  For |t| <= ln 2 / 2, l is the exponential's series without its
 * first terms, so that nothing cancels at its minimum, t = 0.  y = 0, as for a missing target,
 * gives t = 0 (but NaN if O is not finite). */
static double FN(gamma)(const T *weight, const T *Y, const T *O, T *delta, ptrdiff_t n)
{
    FN(lanes) lanes = {0}, none = {0};
    for (ptrdiff_t i = 0; i < n; i += W) {
        const V w = FN(weights)(weight, i, n - i);
        const V y = WN(load_up_to)(Y + i, n - i), o = WN(load_up_to)(O + i, n - i);
        const V t = WN(select)(WN(less)(WN(set)(0), y), WN(log_of_any)(y) - o, y + o * (T)0);
        const T near = (T)0.34657359;
        const M small = WN(less)(t, WN(set)(near)) & WN(less)(WN(set)(-near), t);
        const V series = WN(expm1_beyond)(t), grown = WN(exp)(t) - (T)1;
        const V l = WN(select)(small, series, grown - t);
        FN(add_product)(&lanes, 1, w, l, WN(set)(1));
        if (delta != NULL)
            WN(store_up_to)(delta + i, WN(select)(small, -t - series, -grown) * w, n - i);
    }
    return FN(total)(lanes, none);
}

/* softmax(O) = exp(d) / (1 + rest), d = O - max O: `rest` is the sum of a row's exponentials except
 * one that is 1, so that the logarithm of the sum keeps its relative accuracy.  With y multiplied
 * by its weight, l = y_sum log(1 + rest) - y_dot, y_dot = sum y d. */
typedef struct FN(softmax_sums) {
    V rest, ones, y_sum, y_dot; /* ones: how many exponentials are 1; they are not in rest yet */
} FN(softmax_sums);

/* y times its weight; opaque, so that the product is never fused with what follows */
CBP_INLINE V FN(target)(const T *weight, const T *Y, ptrdiff_t i, ptrdiff_t n)
{
    V y = WN(load_up_to)(Y + i, n);
    if (weight != NULL)
        y *= WN(load_up_to)(weight + i, n);
    CBP_OPAQUE_VECTOR(y);
    return y;
}

/* One more term; returns exp(d) */
CBP_INLINE V FN(softmax_add)(FN(softmax_sums) *sums, V d, V y)
{
    const V e = WN(exp)(d);
    const V one = WN(from_bits)(WN(bits)(WN(set)(1)) & ~WN(less)(d, WN(set)(0)));
    sums->rest += e - one; /* a NaN is in both */
    sums->ones += one;
    sums->y_sum += y;
    sums->y_dot += y * d;
    return e;
}

/* Completes rest, and adds l to the sum in the lanes where counted is 1 */
CBP_INLINE void FN(softmax_end)(FN(softmax_sums) *sums, V counted, FN(lanes) *lanes)
{
    sums->rest += sums->ones - (T)1;
    FN(add_product)(lanes, 1, counted, sums->y_sum, WN(log1p)(sums->rest));
    FN(add_product)(lanes, 1, counted, sums->y_dot, WN(set)(-1));
}

/* delta = p y_sum - y; for the largest p, from 1 - p = rest / (1 + rest), so that nothing cancels
 * if y is 1 too */
CBP_INLINE V FN(softmax_delta)(const FN(softmax_sums) *sums, V e, V y)
{
    const V each = sums->y_sum / (sums->rest + (T)1);
    V lost = sums->rest * each;
    CBP_OPAQUE_VECTOR(lost);
    return WN(select)(WN(less)(e, WN(set)(1)), e * each - y, (sums->y_sum - y) - lost);
}

/* n <= W rows of at most NARROW columns, one row per lane */
CBP_INLINE void FN(cross_entropy_narrow)(const T *weight, const T *Y, const T *O, T *delta,
                                         ptrdiff_t n, ptrdiff_t cols, FN(lanes) *lanes)
{
    T o[NARROW * W], y[NARROW * W], w[NARROW * W];
    const T *weights = weight == NULL ? NULL : w;
    const ptrdiff_t end = cols * W;
    FN(softmax_sums) sums = {WN(set)(0), WN(set)(0), WN(set)(0), WN(set)(0)};
    FN(take_columns)(O, n, cols, o);
    FN(take_columns)(Y, n, cols, y);
    if (weight != NULL)
        FN(take_columns)(weight, n, cols, w);
    const V most = FN(largest_column)(o, cols);
    for (ptrdiff_t k = 0; k < end; k += W) {
        const V e = FN(softmax_add)(&sums, WN(load)(o + k) - most, FN(target)(weights, y, k, W));
        WN(store)(o + k, e);
    }
    FN(softmax_end)(&sums, FN(weights)(NULL, 0, n), lanes);
    if (delta == NULL)
        return;
    for (ptrdiff_t k = 0; k < end; k += W)
        WN(store)(o + k, FN(softmax_delta)(&sums, WN(load)(o + k), FN(target)(weights, y, k, W)));
    FN(give_columns)(o, n, cols, delta);
}

/* One row of any width */
static void FN(cross_entropy_wide)(const T *weight, const T *Y, const T *O, T *delta,
                                   ptrdiff_t cols, FN(lanes) *lanes)
{
    const V most = WN(set)(FN(row_max)(O, cols));
    FN(softmax_sums) sums = {WN(set)(0), WN(set)(0), WN(set)(0), WN(set)(0)};
    V e = WN(set)(0), y = e;
    for (ptrdiff_t j = 0; j < cols; j += W) {
        const ptrdiff_t n = cols - j;
        const V d = WN(load_up_to)(O + j, n) - most;
        y = FN(target)(weight, Y, j, n);
        /* exp(-1000) is 0 */
        e = FN(softmax_add)(&sums, n >= W ? d : WN(select)(WN(inside)(n), d, WN(set)(-1000)), y);
        if (delta != NULL && n > W) /* the last vector is kept in its register, as in output.h */
            WN(store)(delta + j, e);
    }
    sums.rest = WN(set)(WN(sum)(sums.rest));
    sums.ones = WN(set)(WN(sum)(sums.ones));
    sums.y_sum = WN(set)(WN(sum)(sums.y_sum));
    sums.y_dot = WN(set)(WN(sum)(sums.y_dot));
    FN(softmax_end)(&sums, FN(weights)(NULL, 0, 1), lanes);
    if (delta == NULL)
        return;
    ptrdiff_t j = (cols - 1) / W * W;
    WN(store_up_to)(delta + j, FN(softmax_delta)(&sums, e, y), cols - j);
    for (j -= W; j >= 0; j -= W) {
        e = WN(load)(delta + j);
        WN(store)(delta + j, FN(softmax_delta)(&sums, e, FN(target)(weight, Y, j, W)));
    }
}

static double FN(cross_entropy_softmax)(const T *weight, const T *Y, const T *O, T *delta,
                                        ptrdiff_t rows, ptrdiff_t cols)
{
    FN(lanes) lanes = {0}, none = {0};
    const ptrdiff_t step = cols <= NARROW ? W : 1;
    for (ptrdiff_t row = 0; row < rows; row += step) {
        const ptrdiff_t i = row * cols;
        const T *w = weight == NULL ? NULL : weight + i;
        T *delta_row = delta == NULL ? NULL : delta + i;
        if (cols > NARROW)
            FN(cross_entropy_wide)(w, Y + i, O + i, delta_row, cols, &lanes);
        else if (rows - row >= W)
            FN(cross_entropy_narrow)(w, Y + i, O + i, delta_row, W, cols, &lanes);
        else
            FN(cross_entropy_narrow)(w, Y + i, O + i, delta_row, rows - row, cols, &lanes);
    }
    return FN(total)(lanes, none);
}

static double FN(loss)(int loss, int activation, T parameter, const T *weight, const T *Y,
                       const T *P, T *delta, ptrdiff_t rows, ptrdiff_t cols)
{
    const ptrdiff_t n = rows * cols;
    if (n == 0)
        return 0;
    if (loss == CBP_POISSON)
        return FN(poisson)(weight, Y, P, delta, n);
    if (loss == CBP_GAMMA)
        return FN(gamma)(weight, Y, P, delta, n);
    if (loss != CBP_CROSS_ENTROPY)
        return activation == CBP_SOFTMAX
                   ? FN(output_loss_softmax)(loss, parameter, weight, Y, P, delta, rows, cols)
                   : FN(output_loss)(loss, activation, parameter, weight, Y, P, delta, n);
    return activation == CBP_SOFTMAX ? FN(cross_entropy_softmax)(weight, Y, P, delta, rows, cols)
                                     : FN(cross_entropy_sigmoid)(weight, Y, P, delta, n);
}

static void FN(element_weights)(const T *row_weight, const T *column_weight, T *Y, int missing,
                                T *weight, ptrdiff_t rows, ptrdiff_t cols)
{
    for (ptrdiff_t i = 0; i < rows; i++, weight += cols) {
        const T row = row_weight == NULL ? 1 : row_weight[i];
        for (ptrdiff_t j = 0; j < cols; j++)
            weight[j] = column_weight == NULL ? row : row * column_weight[j];
        if (!missing)
            continue;
        T *y = Y + i * cols;
        for (ptrdiff_t j = 0; j < cols; j++) {
            const int known = y[j] == y[j];
            weight[j] = known ? weight[j] : 0;
            y[j] = known ? y[j] : 0;
        }
    }
}
