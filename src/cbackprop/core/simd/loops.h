/* Loops over elements, for one dtype and level; W is LANES here.
 * simd.h says what each computes.  This file promises not to multiply matrices.
 *
 * A loop's body and its tail run the same expressions on vectors of the same width, so an element's
 * bits do not depend on its place.  Arrays may be the same (in place) where simd.h says so.
 */

CBP_INLINE void FN(activate_loop)(const int activation, const T *h, T *z, ptrdiff_t n)
{
    for (; n >= W; n -= W, h += W, z += W)
        WN(store)(z, WN(act)(activation, WN(load)(h)));
    if (n > 0)
        WN(store_part)(z, WN(act)(activation, WN(load_part)(h, n)), n);
}

/* One copy of the function for body and tail, since these are long. */
#define VALUES(code, act)                                                                          \
    case code:                                                                                     \
        for (ptrdiff_t i = 0; i < n; i += W)                                                       \
            WN(store_up_to)(z + i, WN(act)(WN(load_up_to)(h + i, n - i)), n - i);                  \
        break;
#define VALUES_OF(code, act)                                                                       \
    case code:                                                                                     \
        for (ptrdiff_t i = 0; i < n; i += W) {                                                     \
            V unused;                                                                              \
            WN(store_up_to)(z + i, WN(act)(WN(load_up_to)(h + i, n - i), &unused), n - i);         \
        }                                                                                          \
        break;
#define VALUES_AND_SLOPES(code, act)                                                               \
    case code:                                                                                     \
        for (ptrdiff_t i = 0; i < n; i += W) {                                                     \
            V steep;                                                                               \
            WN(store_up_to)(z + i, WN(act)(WN(load_up_to)(h + i, n - i), &steep), n - i);          \
            WN(store_up_to)(slope + i, steep, n - i);                                              \
        }                                                                                          \
        break;

static void FN(activate)(int activation, const T *h, T *z, ptrdiff_t n)
{
    switch (activation) {
    case CBP_SIGMOID: FN(activate_loop)(CBP_SIGMOID, h, z, n); break;
    case CBP_TANH: FN(activate_loop)(CBP_TANH, h, z, n); break;
    case CBP_RELU: FN(activate_loop)(CBP_RELU, h, z, n); break;
        CBP_SLOPE_FROM_OUTPUT(VALUES)
        CBP_SLOPE_KEPT(VALUES_OF)
    default:
        if (h != z)
            FN(activate_loop)(CBP_IDENTITY, h, z, n);
    }
}

CBP_INLINE void FN(times_derivative_loop)(const int activation, const T *Z, T *delta, ptrdiff_t n)
{
    for (; n >= W; n -= W, Z += W, delta += W)
        WN(store)(delta, WN(load)(delta) * WN(derivative)(activation, WN(load)(Z)));
    if (n > 0)
        WN(store_part)(delta,
                       WN(load_part)(delta, n) * WN(derivative)(activation, WN(load_part)(Z, n)),
                       n);
}

static void FN(times_derivative)(int activation, const T *Z, T *delta, ptrdiff_t n)
{
    if (activation == CBP_IDENTITY)
        return;
#define LOOP(a) FN(times_derivative_loop)(a, Z, delta, n)
    FOR_EACH_ACTIVATION(LOOP, LOOP(activation))
#undef LOOP
}

static void FN(activate_keeping)(int activation, const T *h, T *z, T *slope, ptrdiff_t n)
{
    switch (activation) {
        CBP_SLOPE_KEPT(VALUES_AND_SLOPES)
    default:
        FN(activate)(activation, h, z, n);
        for (ptrdiff_t i = 0; i < n; i++)
            slope[i] = 1;
        FN(times_derivative)(activation, z, slope, n);
    }
}
#undef VALUES
#undef VALUES_OF
#undef VALUES_AND_SLOPES

/* ROWS rows of out = (delta W_T) act'(Z) with K outputs; n >= W, the last vector may overlap the one
 * before it */
CBP_INLINE void FN(delta_hidden_rows)(const int activation, const int K, const int ROWS,
                                      const T *delta, ptrdiff_t ld, const T *W_T, ptrdiff_t n,
                                      const T *Z, T *out)
{
    V d[4][2], w[2];
    CBP_UNROLL
    for (int r = 0; r < ROWS; r++) {
        CBP_UNROLL
        for (int k = 0; k < K; k++)
            d[r][k] = WN(set)(delta[r * ld + k]);
    }
    for (ptrdiff_t j = 0; j < n; j += W) {
        if (j + W > n)
            j = n - W;
        CBP_UNROLL
        for (int k = 0; k < K; k++)
            w[k] = WN(load)(W_T + k * n + j);
        CBP_UNROLL
        for (int r = 0; r < ROWS; r++) {
            V sum = d[r][0] * w[0];
            if (K == 2) {
                CBP_OPAQUE_VECTOR(sum); /* rounded here, as in the product */
                sum += d[r][1] * w[1];
            }
            WN(store)(out + r * n + j,
                      sum * WN(derivative)(activation, WN(load)(Z + r * n + j)));
        }
    }
}

CBP_INLINE void FN(delta_hidden_loop)(const int activation, const int K, const T *delta,
                                      ptrdiff_t ld, ptrdiff_t rows, const T *W_T, ptrdiff_t n,
                                      const T *Z, T *out)
{
    for (; rows >= 4; rows -= 4, delta += 4 * ld, Z += 4 * n, out += 4 * n)
        FN(delta_hidden_rows)(activation, K, 4, delta, ld, W_T, n, Z, out);
    for (; rows > 0; rows--, delta += ld, Z += n, out += n)
        FN(delta_hidden_rows)(activation, K, 1, delta, ld, W_T, n, Z, out);
}

static void FN(delta_hidden)(int activation, const T *delta, ptrdiff_t ld, ptrdiff_t rows, int K,
                             const T *W_T, ptrdiff_t n, const T *Z, T *out)
{
#define LOOP_1(a) FN(delta_hidden_loop)(a, 1, delta, ld, rows, W_T, n, Z, out)
#define LOOP_2(a) FN(delta_hidden_loop)(a, 2, delta, ld, rows, W_T, n, Z, out)
    if (K == 1)
        FOR_EACH_ACTIVATION(LOOP_1, LOOP_1(activation))
    else
        FOR_EACH_ACTIVATION(LOOP_2, LOOP_2(activation))
#undef LOOP_1
#undef LOOP_2
}

/* ------------------------------------------------------------------------------------------------
 * Sums in double.  Two sets of lanes take alternate vectors, so the order depends only on n.
 */
#if W == 1
typedef double FN(wide);
#else
typedef double FN(wide) __attribute__((vector_size(VECTOR_BYTES)));
#endif
#define WIDE FN(wide)
#if SIZE == 8 || W == 1
typedef struct FN(lanes) { WIDE sum; } FN(lanes);

/* Adds a b, or weight a b, to the sum */
CBP_INLINE void FN(add_product)(FN(lanes) *lanes, const int weighted, V weight, V a, V b)
{
    lanes->sum += (weighted ? (WIDE)a * weight : (WIDE)a) * (WIDE)b;
}
#else
typedef struct FN(lanes) { WIDE sum, high; } FN(lanes);
typedef float FN(half) __attribute__((vector_size(VECTOR_BYTES / 2)));

CBP_INLINE void FN(widen)(V v, WIDE *low, WIDE *high)
{
    union { V whole; FN(half) half[2]; } u;
    u.whole = v;
    *low = __builtin_convertvector(u.half[0], WIDE);
    *high = __builtin_convertvector(u.half[1], WIDE);
}

CBP_INLINE void FN(add_product)(FN(lanes) *lanes, const int weighted, V weight, V a, V b)
{
    WIDE low, high, b_low, b_high, weight_low, weight_high;
    FN(widen)(a, &low, &high);
    FN(widen)(b, &b_low, &b_high);
    FN(widen)(weight, &weight_low, &weight_high);
    lanes->sum += (weighted ? low * weight_low : low) * b_low;
    lanes->high += (weighted ? high * weight_high : high) * b_high;
}
#endif

CBP_INLINE double FN(total)(FN(lanes) a, FN(lanes) b)
{
    WIDE sum = a.sum + b.sum;
#if SIZE == 4 && W > 1
    sum += a.high + b.high;
#endif
#if W == 1
    return sum;
#else
    double total = 0;
    for (size_t i = 0; i < VECTOR_BYTES / sizeof(double); i++)
        total += sum[i];
    return total;
#endif
}

/* One vector of delta = (Y_hat - Y) act'(Y_hat) weight and of the sum; `part` elements, or all */
CBP_INLINE void FN(delta_step)(const int activation, const int weighted, const int deltas,
                               const T *weight, const T *Y, const T *Y_hat, T *delta,
                               const int whole, ptrdiff_t part, FN(lanes) *lanes)
{
    const V p = whole ? WN(load)(Y_hat) : WN(load_part)(Y_hat, part);
    const V y = whole ? WN(load)(Y) : WN(load_part)(Y, part);
    const V w = !weighted ? WN(set)(1) : whole ? WN(load)(weight) : WN(load_part)(weight, part);
    const V d = p - y;
    FN(add_product)(lanes, weighted, w, d, d);
    if (!deltas)
        return;
    V out = activation == CBP_IDENTITY ? d : d * WN(derivative)(activation, p);
    if (weighted)
        out *= w;
    if (whole)
        WN(store)(delta, out);
    else
        WN(store_part)(delta, out, part);
}

CBP_INLINE double FN(delta_loop)(const int activation, const int weighted, const int deltas,
                                 const T *weight, const T *Y, const T *Y_hat, T *delta,
                                 ptrdiff_t n)
{
    FN(lanes) even = {0}, odd = {0};
    ptrdiff_t i = 0;
#define STEP(whole, lanes)                                                                         \
    FN(delta_step)(activation, weighted, deltas, weighted ? weight + i : NULL, Y + i, Y_hat + i,   \
                   deltas ? delta + i : NULL, whole, n - i, lanes)
    for (; i + 2 * W <= n; i += W) {
        STEP(1, &even);
        i += W;
        STEP(1, &odd);
    }
    if (i + W <= n) {
        STEP(1, &even);
        i += W;
    }
    if (i < n)
        STEP(0, &odd);
#undef STEP
    return FN(total)(even, odd);
}

static double FN(delta_output)(int activation, const T *Y, const T *Y_hat, T *delta, ptrdiff_t n)
{
    double sum;
#define LOOP(a) sum = FN(delta_loop)(a, 0, 1, NULL, Y, Y_hat, delta, n)
    FOR_EACH_ACTIVATION(LOOP, LOOP(activation))
#undef LOOP
    return sum;
}

static double FN(squared_error)(const T *Y, const T *Y_hat, ptrdiff_t n)
{
    return FN(delta_loop)(CBP_IDENTITY, 0, 0, NULL, Y, Y_hat, NULL, n);
}

static double FN(delta_loop_weighted)(int activation, const T *weight, const T *Y, const T *Y_hat,
                                      T *delta, ptrdiff_t n)
{
    double sum;
#define LOOP(a) sum = FN(delta_loop)(a, 1, 1, weight, Y, Y_hat, delta, n)
    if (delta == NULL)
        return FN(delta_loop)(CBP_IDENTITY, 1, 0, weight, Y, Y_hat, NULL, n);
    FOR_EACH_ACTIVATION(LOOP, LOOP(activation))
#undef LOOP
    return sum;
}

/* Row weights, repeated for each column in pieces of a fixed length */
static double FN(weighted)(int activation, const T *weight, const T *Y, const T *Y_hat, T *delta,
                           ptrdiff_t rows, ptrdiff_t cols)
{
    enum { PIECE = 256 };
    T repeated[PIECE];
    double sum = 0;
    ptrdiff_t done = 0, row = 0, column = 0;
    if (cols == 1)
        return FN(delta_loop_weighted)(activation, weight, Y, Y_hat, delta, rows);
    while (cols > 0 && row < rows) {
        int length = 0;
        while (length < PIECE && row < rows) {
            ptrdiff_t run = cols - column < PIECE - length ? cols - column : PIECE - length;
            for (ptrdiff_t j = 0; j < run; j++)
                repeated[length + j] = weight[row];
            length += (int)run;
            column += run;
            if (column == cols) {
                column = 0;
                row++;
            }
        }
        sum += FN(delta_loop_weighted)(activation, repeated, Y + done, Y_hat + done,
                                       delta == NULL ? NULL : delta + done, length);
        done += length;
    }
    return sum;
}

static double FN(delta_output_weighted)(int activation, const T *weight, const T *Y, const T *Y_hat,
                                        T *delta, ptrdiff_t rows, ptrdiff_t cols)
{
    return FN(weighted)(activation, weight, Y, Y_hat, delta, rows, cols);
}

static double FN(squared_error_weighted)(const T *weight, const T *Y, const T *Y_hat,
                                         ptrdiff_t rows, ptrdiff_t cols)
{
    return FN(weighted)(CBP_IDENTITY, weight, Y, Y_hat, NULL, rows, cols);
}

/* ------------------------------------------------------------------------------------------------
 * column_sums.  Wide rows: several registers across, and several rows at a time if one register
 * would be a chain of dependent sums.  Rows narrower than a vector: the flat array is read in
 * vectors, of which every `cols`-th, or each one if cols divides W, has the same columns; each has
 * its own lanes.
 */
CBP_INLINE void FN(store_sum)(T alpha, V sum, T beta, T *out)
{
    WN(store)(out, beta == 0 ? alpha * sum : WN(combine)(beta, WN(load)(out), alpha, sum));
}

CBP_INLINE void FN(column_sums_panel)(T alpha, const T *delta, ptrdiff_t rows, ptrdiff_t cols,
                                      T beta, T *out)
{
    V sum[4];
    CBP_UNROLL
    for (int v = 0; v < 4; v++)
        sum[v] = WN(set)(0);
    for (ptrdiff_t i = 0; i < rows; i++, delta += cols) {
        CBP_UNROLL
        for (int v = 0; v < 4; v++)
            sum[v] += WN(load)(delta + v * W);
    }
    CBP_UNROLL
    for (int v = 0; v < 4; v++)
        FN(store_sum)(alpha, sum[v], beta, out + v * W);
}

/* The sums of n <= W columns, four rows at a time */
CBP_INLINE V FN(column_sum)(const T *delta, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t n)
{
    V sum[4];
    CBP_UNROLL
    for (int r = 0; r < 4; r++)
        sum[r] = WN(set)(0);
    for (; rows >= 4; rows -= 4, delta += 4 * cols) {
        CBP_UNROLL
        for (int r = 0; r < 4; r++)
            sum[r] += WN(load_up_to)(delta + r * cols, n);
    }
    for (; rows > 0; rows--, delta += cols)
        sum[0] += WN(load_up_to)(delta, n);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

CBP_INLINE void FN(column_sums_narrow)(const int cols, T alpha, const T *delta, ptrdiff_t rows,
                                       T beta, T *out)
{
    enum { PART = W < 16 / SIZE ? W : 16 / SIZE };
    const int period = W % cols == 0 ? 1 : cols;
    const int vectors = period == 1 ? 4 : cols < 4 ? 2 * cols : cols; /* independent sums */
    ptrdiff_t n = rows * cols, n_lanes = n < period * W ? 0 : period * W;
    T lanes[8 * W], sums[8];
    V sum[8];
    CBP_UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = WN(set)(0);
    for (; n >= vectors * W; n -= vectors * W, delta += vectors * W) {
        CBP_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v] += WN(load)(delta + v * W);
    }
    for (; n >= period * W; n -= period * W, delta += period * W) {
        CBP_UNROLL
        for (int v = 0; v < period; v++)
            sum[v] += WN(load)(delta + v * W);
    }
    CBP_UNROLL
    for (int v = period; v < vectors; v++)
        sum[v % period] += sum[v];
#if W > 1
    if (period == 1) {
        sum[0] += WN(load_part)(delta, n);
        n = 0;
        n_lanes = W;
        if (cols <= PART) { /* neighbouring 16 bytes have the same columns */
            if (W >= 2 * PART)
                sum[0] = WN(fold)(PART, sum[0], sum[0]);
            if (W >= 4 * PART)
                sum[0] = WN(fold)(PART, sum[0], sum[0]);
            n_lanes = PART;
        }
    }
#endif
    for (int j = 0; j < cols; j++)
        sums[j] = 0;
    for (ptrdiff_t i = 0; i < n; i += cols)
        for (int j = 0; j < cols; j++)
            sums[j] += delta[i + j];
    CBP_UNROLL
    for (int v = 0; v < period; v++)
        WN(store)(lanes + v * W, sum[v]);
    for (ptrdiff_t i = 0; i < n_lanes; i += cols)
        for (int j = 0; j < cols; j++)
            sums[j] += lanes[i + j];
    for (int j = 0; j < cols; j++)
        out[j] = beta == 0 ? alpha * sums[j] : FN(combine)(beta, out[j], alpha, sums[j]);
}

static void FN(column_sums)(T alpha, const T *delta, ptrdiff_t rows, ptrdiff_t cols, T beta, T *out)
{
    ptrdiff_t j = 0;
    if (cols < W || cols == 1) {
        switch (cols) {
        case 1: FN(column_sums_narrow)(1, alpha, delta, rows, beta, out); return;
        case 2: FN(column_sums_narrow)(2, alpha, delta, rows, beta, out); return;
        case 3: FN(column_sums_narrow)(3, alpha, delta, rows, beta, out); return;
        case 4: FN(column_sums_narrow)(4, alpha, delta, rows, beta, out); return;
        case 5: FN(column_sums_narrow)(5, alpha, delta, rows, beta, out); return;
        case 6: FN(column_sums_narrow)(6, alpha, delta, rows, beta, out); return;
        case 7: FN(column_sums_narrow)(7, alpha, delta, rows, beta, out); return;
        case 8: FN(column_sums_narrow)(8, alpha, delta, rows, beta, out); return;
        default: break;
        }
    }
    for (; j + 4 * W <= cols; j += 4 * W)
        FN(column_sums_panel)(alpha, delta + j, rows, cols, beta, out + j);
    for (; j + W <= cols; j += W)
        FN(store_sum)(alpha, FN(column_sum)(delta + j, rows, cols, W), beta, out + j);
    if (j < cols) {
        const ptrdiff_t part = cols - j;
        const V sum = FN(column_sum)(delta + j, rows, cols, part);
        const V old = beta == 0 ? WN(set)(0) : WN(load_part)(out + j, part);
        WN(store_part)(out + j, beta == 0 ? alpha * sum : WN(combine)(beta, old, alpha, sum), part);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Copies
 */
static void FN(fill_rows)(const T *b, ptrdiff_t rows, ptrdiff_t cols, T *H)
{
    const ptrdiff_t n = rows * cols;
    ptrdiff_t most = cols, filled = cols;
    if (n == 0)
        return;
    memcpy(H, b, (size_t)cols * sizeof(T));
    while (2 * most <= 512) /* whole rows that stay in L1 */
        most *= 2;
    while (filled < n) {
        ptrdiff_t length = filled < most ? filled : most;
        if (length > n - filled)
            length = n - filled;
        memcpy(H + filled, H, (size_t)length * sizeof(T));
        filled += length;
    }
}

static void FN(transpose)(const T *W_in, ptrdiff_t rows, ptrdiff_t cols, T *W_T)
{
    if (rows == 1 || cols == 1) {
        memcpy(W_T, W_in, (size_t)(rows * cols) * sizeof(T));
        return;
    }
#ifdef FOUR
    if (rows >= 4 && cols >= 4) { /* four by four; the last ones may overlap those before them */
        for (ptrdiff_t i = 0; i < rows; i += 4) {
            const ptrdiff_t r = i + 4 <= rows ? i : rows - 4;
            for (ptrdiff_t j = 0; j < cols; j += 4) {
                const ptrdiff_t c = j + 4 <= cols ? j : cols - 4;
                FOUR(vector) column[4];
                FOUR(columns)(W_in + r * cols + c, cols, column);
                CBP_UNROLL
                for (int l = 0; l < 4; l++)
                    FOUR(store)(W_T + (c + l) * rows + r, column[l]);
            }
        }
        return;
    }
#endif
    for (ptrdiff_t j = 0; j < cols; j++)
        for (ptrdiff_t i = 0; i < rows; i++)
            W_T[j * rows + i] = W_in[i * cols + j];
}

static void FN(add)(const T *x, T *y, ptrdiff_t n)
{
    for (; n >= W; n -= W, x += W, y += W)
        WN(store)(y, WN(load)(y) + WN(load)(x));
    if (n > 0)
        WN(store_part)(y, WN(load_part)(y, n) + WN(load_part)(x, n), n);
}

/* x - x is 0 if x is finite, else NaN, which remains in a sum. */
static int FN(all_finite)(const T *x, ptrdiff_t n)
{
    V a = WN(set)(0), b = a;
    for (; n >= 2 * W; n -= 2 * W, x += 2 * W) {
        const V x0 = WN(load)(x), x1 = WN(load)(x + W);
        a += x0 - x0;
        b += x1 - x1;
    }
    if (n >= W) {
        const V x0 = WN(load)(x);
        a += x0 - x0;
        n -= W;
        x += W;
    }
    if (n > 0) {
        const V x0 = WN(load_part)(x, n);
        b += x0 - x0;
    }
    a += b;
#if W == 1
    return a == 0;
#else
    T sum = 0;
    for (int i = 0; i < W; i++)
        sum += a[i];
    return sum == 0;
#endif
}

/* Rows from another array, possibly of the other dtype or unaligned */
#define GATHER(name, S)                                                                            \
    CBP_INLINE void FN(name##_row)(const char *row, ptrdiff_t cols, T *out)                        \
    {                                                                                              \
        for (ptrdiff_t j = 0; j < cols; j++) {                                                     \
            S x;                                                                                   \
            memcpy(&x, row + j * (ptrdiff_t)sizeof(S), sizeof(S));                                 \
            out[j] = (T)x;                                                                         \
        }                                                                                          \
    }                                                                                              \
    static void FN(name)(const char *source, ptrdiff_t row_stride_bytes, const int64_t *index,     \
                         ptrdiff_t rows, ptrdiff_t cols, T *out)                                   \
    {                                                                                              \
        if (index == NULL && row_stride_bytes == cols * (ptrdiff_t)sizeof(S)) {                    \
            FN(name##_row)(source, rows * cols, out);                                              \
            return;                                                                                \
        }                                                                                          \
        for (ptrdiff_t i = 0; i < rows; i++, out += cols) {                                        \
            const ptrdiff_t row = index == NULL ? i : (ptrdiff_t)index[i];                         \
            if (index != NULL && i + 8 < rows)                                                     \
                CBP_PREFETCH(source + (ptrdiff_t)index[i + 8] * row_stride_bytes);                 \
            FN(name##_row)(source + row * row_stride_bytes, cols, out);                            \
        }                                                                                          \
    }
GATHER(gather_f64, double)
GATHER(gather_f32, float)
#undef GATHER

static void FN(affine_rows)(const T *shift, const T *scale, ptrdiff_t rows, ptrdiff_t cols, T *X)
{
    for (ptrdiff_t i = 0; i < rows; i++, X += cols) {
        ptrdiff_t j = 0;
        for (; j + W <= cols; j += W)
            WN(store)(X + j, (WN(load)(X + j) - WN(load)(shift + j)) * WN(load)(scale + j));
        if (j < cols) {
            const ptrdiff_t part = cols - j;
            WN(store_part)(X + j,
                           (WN(load_part)(X + j, part) - WN(load_part)(shift + j, part)) *
                               WN(load_part)(scale + j, part),
                           part);
        }
    }
}

/* out[j] = x y[j], j < n */
CBP_INLINE void FN(scaled)(T x, const T *y, ptrdiff_t n, T *out)
{
    const V factor = WN(set)(x);
    ptrdiff_t j = 0;
    if (n < W) {
        for (; j < n; j++)
            out[j] = x * y[j];
        return;
    }
    for (; j + W <= n; j += W)
        WN(store)(out + j, factor * WN(load)(y + j));
    if (j < n) /* overlaps what has been written */
        WN(store)(out + n - W, factor * WN(load)(y + n - W));
}

/* out[j] = sum_k x[k x_step] y[k y_step + j], j < n; k in order */
CBP_INLINE void FN(segment)(const T *x, ptrdiff_t x_step, const T *y, ptrdiff_t y_step,
                            ptrdiff_t n_sums, ptrdiff_t n, T *out)
{
    if (n_sums == 1) {
        FN(scaled)(x[0], y, n, out);
        return;
    }
    if (n < W) {
        for (ptrdiff_t j = 0; j < n; j++) {
            T sum = x[0] * y[j];
            for (ptrdiff_t k = 1; k < n_sums; k++)
                sum += x[k * x_step] * y[k * y_step + j];
            out[j] = sum;
        }
        return;
    }
    for (ptrdiff_t j = 0; j < n; j += W) {
        if (j + W > n)
            j = n - W;
        V sum = WN(set)(x[0]) * WN(load)(y + j);
        for (ptrdiff_t k = 1; k < n_sums; k++)
            sum += WN(set)(x[k * x_step]) * WN(load)(y + k * y_step + j);
        WN(store)(out + j, sum);
    }
}

static void FN(outer_sums)(const T *A, ptrdiff_t a_step, ptrdiff_t n_a, const T *D, ptrdiff_t d_step,
                           ptrdiff_t n_d, ptrdiff_t n_sums, int lower, ptrdiff_t first,
                           ptrdiff_t count, ptrdiff_t rows, T *out, ptrdiff_t step)
{
    for (ptrdiff_t i = 0; i < rows; i++, A += a_step, D += d_step, out += step) {
        T *to = out;
        if (n_d == 1 && !lower) { /* one long segment */
            FN(segment)(D, 1, A + first, n_a, n_sums, count, to);
            continue;
        }
        for (ptrdiff_t p = first; p < first + count; p++) {
            const ptrdiff_t n = lower ? p + 1 : n_d;
            FN(segment)(A + p, n_a, D, n_d, n_sums, n, to);
            to += n;
        }
    }
}
#undef WIDE
