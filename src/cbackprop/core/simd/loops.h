/* Loops over elements, for one dtype and level; W is LANES here.
 * simd.h says what each computes.  This file promises not to multiply matrices.
 *
 * A loop's body and its tail run the same expressions on vectors of the same width, so an element's
 * bits do not depend on its place.  Arrays may be the same (in place) where simd.h says so.
 */

/* ------------------------------------------------------------------------------------------------
 * exp: x = k ln 2 + r, |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 q(r), q minimax (Remez, relative to
 * exp).  k is rounded by adding 1.5 * 2^(mantissa bits), which also leaves k in the sum's low bits.
 * ln 2 is fdlibm's two parts (e_exp.c, e_expf.c): k times the high part is exact, which accuracy
 * without FMA needs.  The order of q's terms (Estrin) is for speed only.
 */
#if SIZE == 8
#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52 */
#define EXPONENT_BIAS 1023
#define MANTISSA_BITS 52
#define SIGN_BIT INT64_MIN
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define LOG2_E 1.44269504088896340736
#define LOWEST (-750.0) /* exp is 0 there, and the first scale below still normal */
#else
#define ROUNDER 12582912.0f /* 1.5 * 2^23 */
#define EXPONENT_BIAS 127
#define MANTISSA_BITS 23
#define SIGN_BIT INT32_MIN
#define LN2_HIGH 6.9314575195e-01f
#define LN2_LOW 1.4286067653e-06f
#define LOG2_E 1.44269504088896340736f
#define LOWEST (-110.0f)
#endif

/* exp(r) - 1, relative error about one unit in the last place */
CBP_INLINE V FN(expm1_reduced)(V r)
{
    const V r2 = r * r;
#if SIZE == 8
    const V r4 = r2 * r2;
    const V q01 = r * 0.16666666666666413 + 0.5000000000000011;
    const V q23 = r * 0.008333333333494461 + 0.041666666666530155;
    const V q45 = r * 0.00019841269506578688 + 0.0013888888943630114;
    const V q67 = r * 2.7557586373840165e-06 + 2.480149309890655e-05;
    const V q89 = r * 2.5000061602835666e-08 + 2.763024837921144e-07;
    const V q = ((q89 * r4) + (q67 * r2 + q45)) * r4 + (q23 * r2 + q01);
#else
    const V q01 = r * 0.16666520631709497f + 0.49999993447796487f;
    const V q23 = r * 0.00836871687972814f + 0.041668388045313996f;
    const V q = (r2 * 0.0013814598646664034f + q23) * r2 + q01;
#endif
    return r2 * q + r;
}

/* exp(-|x|) in [0, 1], subnormal results rounded once */
CBP_INLINE V FN(exp_minus_abs)(V x)
{
    enum { LIFT = 64 }; /* 2^(k + LIFT) is normal for every k; 2^-LIFT then rounds */
    const T rounder = ROUNDER + EXPONENT_BIAS + LIFT;
    x = WN(at_least)(WN(set)(LOWEST), WN(from_bits)(WN(bits)(x) | SIGN_BIT));
    const V sum = x * LOG2_E + rounder;
    const V k = sum - rounder;
    const V r = (x - k * LN2_HIGH) - k * LN2_LOW;
    const V scale = WN(from_bits)(WN(bits)(sum) << MANTISSA_BITS);
    return (FN(expm1_reduced)(r) + (T)1) * scale * (T)5.42101086242752217e-20;
}

/* sigma(x) = 1 / (1 + exp(-x)); for x < 0 that is e / (1 + e) with e = exp(x): no overflow, and the
 * relative error stays small however small the result */
CBP_INLINE V FN(sigmoid)(V x)
{
    const V e = FN(exp_minus_abs)(x);
    return WN(select)(WN(less)(x, WN(set)(0)), e, WN(set)(1)) / (e + (T)1);
}

/* tanh |x| = -m / (2 + m), m = exp(-2|x|) - 1 = 2^k (exp(r) - 1) + (2^k - 1): nothing cancels */
CBP_INLINE V FN(tanh)(V x)
{
    const T rounder = ROUNDER + EXPONENT_BIAS;
    const V y = WN(at_least)(WN(set)(-40), WN(from_bits)(WN(bits)(x) | SIGN_BIT) * (T)2);
    const V sum = y * LOG2_E + rounder;
    const V k = sum - rounder;
    const V r = (y - k * LN2_HIGH) - k * LN2_LOW;
    const V scale = WN(from_bits)(WN(bits)(sum) << MANTISSA_BITS);
    const V m = scale * FN(expm1_reduced)(r) + (scale - (T)1);
    const V z = m / (m + (T)2);
    const M sign = WN(bits)(x) & SIGN_BIT;
    return WN(from_bits)((WN(bits)(z) & ~SIGN_BIT) | sign);
}

#undef ROUNDER
#undef EXPONENT_BIAS
#undef MANTISSA_BITS
#undef SIGN_BIT
#undef LN2_HIGH
#undef LN2_LOW
#undef LOG2_E
#undef LOWEST

CBP_INLINE V FN(act)(const int activation, V h)
{
    switch (activation) {
    case CBP_SIGMOID: return FN(sigmoid)(h);
    case CBP_TANH: return FN(tanh)(h);
    case CBP_RELU: return WN(from_bits)(WN(bits)(h) & ~WN(less)(h, WN(set)(0))); /* NaN stays */
    default: return h;
    }
}

/* act' from the activation's output z.  Opaque: Clang would fuse the 1 - ... with a product that
 * follows, here in one way and there in another. */
CBP_INLINE V FN(derivative)(const int activation, V z)
{
    const V one = WN(set)(1);
    V result = one;
    if (activation == CBP_SIGMOID)
        result = z * (one - z);
    else if (activation == CBP_TANH)
        result = one - z * z;
    else if (activation == CBP_RELU) /* NaN stays NaN */
        result = WN(select)(WN(less)(WN(set)(0), z), one, WN(at_least)(WN(set)(0), z));
    CBP_OPAQUE_VECTOR(result);
    return result;
}

/* Calls LOOP(activation) with a constant, so that each activation has a loop of its own. */
#define FOR_EACH_ACTIVATION(LOOP)                                                                  \
    switch (activation) {                                                                          \
    case CBP_SIGMOID: LOOP(CBP_SIGMOID); break;                                                    \
    case CBP_TANH: LOOP(CBP_TANH); break;                                                          \
    case CBP_RELU: LOOP(CBP_RELU); break;                                                          \
    default: LOOP(CBP_IDENTITY); break;                                                            \
    }

CBP_INLINE void FN(activate_loop)(const int activation, const T *h, T *z, ptrdiff_t n)
{
    for (; n >= W; n -= W, h += W, z += W)
        WN(store)(z, FN(act)(activation, WN(load)(h)));
    if (n > 0)
        WN(store_part)(z, FN(act)(activation, WN(load_part)(h, n)), n);
}

static void FN(activate)(int activation, const T *h, T *z, ptrdiff_t n)
{
    if (activation == CBP_IDENTITY && h == z)
        return;
#define LOOP(a) FN(activate_loop)(a, h, z, n)
    FOR_EACH_ACTIVATION(LOOP)
#undef LOOP
}

CBP_INLINE void FN(times_derivative_loop)(const int activation, const T *Z, T *delta, ptrdiff_t n)
{
    for (; n >= W; n -= W, Z += W, delta += W)
        WN(store)(delta, WN(load)(delta) * FN(derivative)(activation, WN(load)(Z)));
    if (n > 0)
        WN(store_part)(delta,
                       WN(load_part)(delta, n) * FN(derivative)(activation, WN(load_part)(Z, n)),
                       n);
}

static void FN(times_derivative)(int activation, const T *Z, T *delta, ptrdiff_t n)
{
    if (activation == CBP_IDENTITY)
        return;
#define LOOP(a) FN(times_derivative_loop)(a, Z, delta, n)
    FOR_EACH_ACTIVATION(LOOP)
#undef LOOP
}

/* ------------------------------------------------------------------------------------------------
 * Sums in double.  Two sets of lanes take the vectors in turn, so the order depends on n alone.
 */
#if W == 1
typedef double FN(wide);
#else
typedef double FN(wide) __attribute__((vector_size(VECTOR_BYTES)));
#endif
#define WIDE FN(wide)
#if SIZE == 8 || W == 1
typedef struct FN(lanes) { WIDE sum; } FN(lanes);

CBP_INLINE void FN(add_square)(FN(lanes) *lanes, const int weighted, V weight, V d)
{
    const WIDE wide = d;
    lanes->sum += (weighted ? wide * weight : wide) * wide;
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

CBP_INLINE void FN(add_square)(FN(lanes) *lanes, const int weighted, V weight, V d)
{
    WIDE low, high, weight_low, weight_high;
    FN(widen)(d, &low, &high);
    FN(widen)(weight, &weight_low, &weight_high);
    lanes->sum += (weighted ? low * weight_low : low) * low;
    lanes->high += (weighted ? high * weight_high : high) * high;
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
    FN(add_square)(lanes, weighted, w, d);
    if (!deltas)
        return;
    V out = activation == CBP_IDENTITY ? d : d * FN(derivative)(activation, p);
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
    FOR_EACH_ACTIVATION(LOOP)
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
    FOR_EACH_ACTIVATION(LOOP)
#undef LOOP
    return sum;
}

/* Rows' weights, repeated for each column in pieces of a fixed length */
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
 * column_sums.  Wide rows: registers across, rows in order.  Rows narrower than a vector: the flat
 * array is read in vectors; `cols` of them repeat the same columns, so each has its own lanes.
 */
CBP_INLINE void FN(store_sum)(T alpha, V sum, T beta, T *out)
{
    WN(store)(out, beta == 0 ? alpha * sum : WN(combine)(beta, WN(load)(out), alpha, sum));
}

CBP_INLINE void FN(column_sums_panel)(const int vectors, T alpha, const T *delta, ptrdiff_t rows,
                                      ptrdiff_t cols, T beta, T *out)
{
    V sum[4];
    CBP_UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = WN(set)(0);
    for (ptrdiff_t i = 0; i < rows; i++, delta += cols) {
        CBP_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v] += WN(load)(delta + v * W);
    }
    CBP_UNROLL
    for (int v = 0; v < vectors; v++)
        FN(store_sum)(alpha, sum[v], beta, out + v * W);
}

CBP_INLINE void FN(column_sums_narrow)(const int cols, T alpha, const T *delta, ptrdiff_t rows,
                                       T beta, T *out)
{
    const int repeats = cols == 1 ? 4 : cols < 4 ? 2 : 1; /* independent sums hide latency */
    const int vectors = cols * repeats;
    const ptrdiff_t n = rows * cols;
    T lanes[8 * W], sums[8];
    V sum[8];
    ptrdiff_t i = 0;
    CBP_UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = WN(set)(0);
    for (; i + vectors * W <= n; i += vectors * W) {
        CBP_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v] += WN(load)(delta + i + v * W);
    }
    for (int j = 0; j < cols; j++)
        sums[j] = 0;
    if (i > 0) {
        CBP_UNROLL
        for (int v = 0; v < vectors; v++)
            WN(store)(lanes + v * W, sum[v]);
        for (int v = 0; v < vectors * W; v += cols)
            for (int j = 0; j < cols; j++)
                sums[j] += lanes[v + j];
    }
    for (; i < n; i += cols)
        for (int j = 0; j < cols; j++)
            sums[j] += delta[i + j];
    for (int j = 0; j < cols; j++)
        out[j] = beta == 0 ? alpha * sums[j] : FN(combine)(beta, out[j], alpha, sums[j]);
}

static void FN(column_sums)(T alpha, const T *delta, ptrdiff_t rows, ptrdiff_t cols, T beta, T *out)
{
    ptrdiff_t j = 0;
    if (cols < W) {
        switch (cols) {
        case 1: FN(column_sums_narrow)(1, alpha, delta, rows, beta, out); return;
        case 2: FN(column_sums_narrow)(2, alpha, delta, rows, beta, out); return;
        case 3: FN(column_sums_narrow)(3, alpha, delta, rows, beta, out); return;
        case 4: FN(column_sums_narrow)(4, alpha, delta, rows, beta, out); return;
        case 5: FN(column_sums_narrow)(5, alpha, delta, rows, beta, out); return;
        case 6: FN(column_sums_narrow)(6, alpha, delta, rows, beta, out); return;
        case 7: FN(column_sums_narrow)(7, alpha, delta, rows, beta, out); return;
        default: break;
        }
    }
    for (; j + 4 * W <= cols; j += 4 * W)
        FN(column_sums_panel)(4, alpha, delta + j, rows, cols, beta, out + j);
    for (; j + W <= cols; j += W)
        FN(column_sums_panel)(1, alpha, delta + j, rows, cols, beta, out + j);
    if (j < cols) {
        const ptrdiff_t part = cols - j;
        V sum = WN(set)(0);
        for (ptrdiff_t i = 0; i < rows; i++)
            sum += WN(load_part)(delta + i * cols + j, part);
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
    enum { BLOCK = 8 }; /* a cache line of doubles each way */
    for (ptrdiff_t i0 = 0; i0 < rows; i0 += BLOCK) {
        const ptrdiff_t i1 = i0 + BLOCK < rows ? i0 + BLOCK : rows;
        for (ptrdiff_t j = 0; j < cols; j++)
            for (ptrdiff_t i = i0; i < i1; i++)
                W_T[j * rows + i] = W_in[i * cols + j];
    }
}

static void FN(add)(const T *x, T *y, ptrdiff_t n)
{
    for (; n >= W; n -= W, x += W, y += W)
        WN(store)(y, WN(load)(y) + WN(load)(x));
    if (n > 0)
        WN(store_part)(y, WN(load_part)(y, n) + WN(load_part)(x, n), n);
}

/* x - x is 0 if x is finite, else NaN; a sum keeps NaN. */
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

/* Rows of another place, maybe of the other dtype, maybe unaligned */
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
#undef FOR_EACH_ACTIVATION
#undef WIDE
