/* The activations of an output layer, for one dtype and level; W is LANES here.
 * This file promises to know nothing of losses: loss.h does.
 *
 * softmax: p = exp(O - max O) / sum exp(O - max O), by rows.  The last vector of a row's
 * exponentials, which may be partial, stays in a register: loading after AVX-512's masked stores is
 * slow.
 */

#define NARROW 16

/* The largest element of a row of n > 0; NaN may be ignored. */
CBP_INLINE T FN(row_max)(const T *x, ptrdiff_t n)
{
    const ptrdiff_t part = (n - 1) % W + 1;
    V most = WN(select)(WN(inside)(part), WN(load_up_to)(x, part), WN(set)(x[0]));
    for (ptrdiff_t j = part; j < n; j += W)
        most = WN(at_least)(most, WN(load)(x + j));
    return WN(largest)(most);
}

/* The columns of n <= W rows, W elements each; 0 where there is no row; and back. */
CBP_INLINE void FN(take_columns)(const T *rows, ptrdiff_t n, ptrdiff_t cols, T *columns)
{
    ptrdiff_t k = 0;
    do { /* cols > 0: the compiler sees that the first column is written */
        for (ptrdiff_t r = 0; r < W; r++)
            columns[k * W + r] = r < n ? rows[r * cols + k] : 0;
    } while (++k < cols);
}

CBP_INLINE void FN(give_columns)(const T *columns, ptrdiff_t n, ptrdiff_t cols, T *rows)
{
    for (ptrdiff_t r = 0; r < n; r++)
        for (ptrdiff_t k = 0; k < cols; k++)
            rows[r * cols + k] = columns[k * W + r];
}

CBP_INLINE V FN(largest_column)(const T *columns, ptrdiff_t cols)
{
    V most = WN(load)(columns);
    for (ptrdiff_t k = W; k < cols * W; k += W)
        most = WN(at_least)(most, WN(load)(columns + k));
    return most;
}

CBP_INLINE void FN(softmax_narrow)(const T *O, T *Y_hat, ptrdiff_t n, ptrdiff_t cols)
{
    T columns[NARROW * W];
    const ptrdiff_t end = cols * W;
    FN(take_columns)(O, n, cols, columns);
    const V most = FN(largest_column)(columns, cols);
    V sum = WN(set)(0);
    for (ptrdiff_t k = 0; k < end; k += W) {
        const V e = WN(exp)(WN(load)(columns + k) - most);
        WN(store)(columns + k, e);
        sum += e;
    }
    const V scale = (T)1 / sum;
    for (ptrdiff_t k = 0; k < end; k += W)
        WN(store)(columns + k, WN(load)(columns + k) * scale);
    FN(give_columns)(columns, n, cols, Y_hat);
}

static void FN(softmax_wide)(const T *O, T *Y_hat, ptrdiff_t cols)
{
    const V most = WN(set)(FN(row_max)(O, cols));
    V sum = WN(set)(0);
    ptrdiff_t j = 0;
    for (; j + W < cols; j += W) {
        const V e = WN(exp)(WN(load)(O + j) - most);
        WN(store)(Y_hat + j, e);
        sum += e;
    }
    const ptrdiff_t part = cols - j;
    const V last = WN(exp)(WN(load_up_to)(O + j, part) - most);
    sum += WN(from_bits)(WN(bits)(last) & WN(inside)(part));
    const T scale = 1 / WN(sum)(sum);
    WN(store_up_to)(Y_hat + j, last * scale, part);
    for (j -= W; j >= 0; j -= W)
        WN(store)(Y_hat + j, WN(load)(Y_hat + j) * scale);
}

static void FN(output)(int activation, const T *O, T *Y_hat, ptrdiff_t rows, ptrdiff_t cols)
{
    if (activation == CBP_EXP)
        FN(activate_loop)(CBP_EXP, O, Y_hat, rows * cols);
    else if (activation != CBP_SOFTMAX)
        FN(activate)(activation, O, Y_hat, rows * cols);
    else if (cols > NARROW)
        for (; rows > 0; rows--, O += cols, Y_hat += cols)
            FN(softmax_wide)(O, Y_hat, cols);
    else if (cols > 0) {
        for (; rows >= W; rows -= W, O += W * cols, Y_hat += W * cols)
            FN(softmax_narrow)(O, Y_hat, W, cols);
        if (rows > 0)
            FN(softmax_narrow)(O, Y_hat, rows, cols);
    }
}
