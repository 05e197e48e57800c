/* Register tiles of one width: the innermost loops of a product.
 * This file promises not to choose: product.h says which tile runs where.
 */

/* Row i of a tile, from the address of row 0 or row 4 and strides in bytes: few registers, and no
 * address that must be moved by itself. */
CBP_INLINE T *WN(row)(const char *row0, const char *row4, const int i, ptrdiff_t one,
                      ptrdiff_t three)
{
    const char *row = i < 4 ? row0 : row4;
    return (T *)(row + (i % 4 == 3 ? three : i % 4 * one));
}

/* `tiles` times MR rows of C, NV vectors across; the panel's last vector begins at column `last` and
 * may overlap the one before it (both are loaded before either is stored).  KS > 1: sum p goes to
 * accumulator p mod KS, which hides the multiply-adds' latency where MR * NV is small. */
CBP_INLINE void WN(panel)(const int MR, const int NV, const int KS, const FN(job) *job, const T *A,
                          const T *B, T *C, const T *bias, ptrdiff_t last, ptrdiff_t tiles)
{
    const ptrdiff_t k = job->k;
    const T alpha = job->alpha, beta = job->beta;
    const char *A0 = (const char *)A;
    char *C0 = (char *)C;
    /* Opaque: else GCC makes two loops of one, and more registers than there are. */
    ptrdiff_t a1 = job->rsa * SIZE, c1 = job->ldc * SIZE, a3 = 3 * a1, c3 = 3 * c1;
    ptrdiff_t next_a = job->csa * SIZE, next_b = job->ldb * SIZE;
    CBP_OPAQUE(a1);
    CBP_OPAQUE(a3);
    CBP_OPAQUE(next_a);
    CBP_OPAQUE(next_b);
#define COLUMN(v) ((v) < NV - 1 ? (v) * W : NV == 1 ? 0 : last)
    for (; tiles > 0; tiles--) {
        V sum[4][8][4]; /* KS, MR, NV */
        const char *a = A0, *a4 = A0 + 4 * a1, *b = (const char *)B;
        char *c4;
        ptrdiff_t p = k;
        CBP_UNROLL
        for (int s = 0; s < KS; s++) {
            CBP_UNROLL
            for (int i = 0; i < MR; i++) {
                CBP_UNROLL
                for (int v = 0; v < NV; v++)
                    sum[s][i][v] = WN(set)(0);
            }
        }
        if (bias != NULL) {
            CBP_UNROLL
            for (int i = 0; i < MR; i++) {
                CBP_UNROLL
                for (int v = 0; v < NV; v++)
                    sum[0][i][v] = WN(load)(bias + COLUMN(v));
            }
        }
#define STEP(s)                                                                                    \
    {                                                                                              \
        V row[4];                                                                                  \
        CBP_UNROLL                                                                                 \
        for (int v = 0; v < NV; v++)                                                               \
            row[v] = WN(load)((const T *)b + COLUMN(v));                                           \
        CBP_UNROLL                                                                                 \
        for (int i = 0; i < MR; i++) {                                                             \
            const V x = WN(set)(*WN(row)(a, a4, i, a1, a3));                                       \
            CBP_UNROLL                                                                             \
            for (int v = 0; v < NV; v++)                                                           \
                sum[s][i][v] += x * row[v];                                                        \
        }                                                                                          \
        a += next_a;                                                                               \
        a4 += next_a;                                                                              \
        b += next_b;                                                                               \
    }
        for (; p >= KS; p -= KS) {
            CBP_UNROLL
            for (int s = 0; s < KS; s++)
                STEP(s)
        }
        if (KS > 1)
            for (; p > 0; p--)
                STEP(0)
#undef STEP
        CBP_UNROLL
        for (int s = KS / 2; s > 0; s /= 2) {
            CBP_UNROLL
            for (int t = 0; t < s; t++) {
                CBP_UNROLL
                for (int i = 0; i < MR; i++) {
                    CBP_UNROLL
                    for (int v = 0; v < NV; v++)
                        sum[t][i][v] += sum[t + s][i][v];
                }
            }
        }
        CBP_OPAQUE(c1);
        CBP_OPAQUE(c3);
        CBP_OPAQUE(last);
        c4 = C0 + 4 * c1;
#define STORE(OLD, NEW)                                                                            \
    CBP_UNROLL                                                                                     \
    for (int i = 0; i < MR; i++) {                                                                 \
        T *c = WN(row)(C0, c4, i, c1, c3);                                                         \
        V old[4];                                                                                  \
        CBP_UNROLL                                                                                 \
        for (int v = 0; v < NV; v++)                                                               \
            old[v] = OLD(c + COLUMN(v));                                                           \
        CBP_UNROLL                                                                                 \
        for (int v = 0; v < NV; v++)                                                               \
            WN(store)(c + COLUMN(v), NEW(old[v], sum[0][i][v]));                                   \
    }
#define NONE(x) WN(set)(0)
#define SUM(old, sum) (sum)
#define SCALED(old, sum) (alpha * (sum))
#define ADDED(old, sum) ((old) + alpha * (sum))
#define BOTH(old, sum) (beta * (old) + alpha * (sum))
        if (beta == 0 && alpha == 1)
            STORE(NONE, SUM)
        else if (beta == 0)
            STORE(NONE, SCALED)
        else if (beta == 1)
            STORE(WN(load), ADDED)
        else
            STORE(WN(load), BOTH)
#undef STORE
#undef NONE
#undef SUM
#undef SCALED
#undef ADDED
#undef BOTH
        A0 += MR * a1;
        C0 += MR * c1;
    }
#undef COLUMN
}

/* Rows of a tile for each number of vectors, as the registers allow */
#if REGISTERS >= 32
#define PANELS(PANEL)                                                                              \
    PANEL(1, 1) PANEL(2, 1) PANEL(3, 1) PANEL(4, 1) PANEL(5, 1) PANEL(6, 1) PANEL(7, 1)            \
    PANEL(8, 1) PANEL(1, 2) PANEL(2, 2) PANEL(3, 2) PANEL(4, 2) PANEL(5, 2) PANEL(6, 2)            \
    PANEL(7, 2) PANEL(8, 2) PANEL(1, 3) PANEL(2, 3) PANEL(3, 3) PANEL(4, 3) PANEL(5, 3)            \
    PANEL(6, 3) PANEL(7, 3) PANEL(8, 3) PANEL(1, 4) PANEL(2, 4) PANEL(3, 4) PANEL(4, 4)            \
    PANEL(5, 4) PANEL(6, 4)
#define MOST_ROWS {8, 8, 8, 6}
#define MOST_VECTORS 4
#else
#define PANELS(PANEL)                                                                              \
    PANEL(1, 1) PANEL(2, 1) PANEL(3, 1) PANEL(4, 1) PANEL(5, 1) PANEL(6, 1) PANEL(7, 1)            \
    PANEL(8, 1) PANEL(1, 2) PANEL(2, 2) PANEL(3, 2) PANEL(4, 2) PANEL(5, 2) PANEL(6, 2)            \
    PANEL(1, 3) PANEL(2, 3) PANEL(3, 3) PANEL(4, 3)
#define MOST_ROWS {8, 6, 4}
#define MOST_VECTORS 3
#endif

#define PANEL(MR, NV)                                                                              \
    static void WN(panel_##MR##x##NV)(const FN(job) *job, const T *A, const T *B, T *C,            \
                                      const T *bias, ptrdiff_t last, ptrdiff_t tiles)              \
    {                                                                                              \
        WN(panel)(MR, NV, MR * NV <= 2 ? 4 : MR * NV <= 4 ? 2 : 1, job, A, B, C, bias, last,       \
                  tiles);                                                                          \
    }
PANELS(PANEL)
#undef PANEL

/* C (m, n) in panels of columns and tiles of rows, each as even as can be; n >= W */
static void WN(panels)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B, T *C,
                       const T *bias)
{
    typedef void (*panel_function)(const FN(job) *, const T *, const T *, T *, const T *,
                                   ptrdiff_t, ptrdiff_t);
    static const int most_rows[] = MOST_ROWS;
    static const panel_function function[MOST_VECTORS][8] = {
#define PANEL(MR, NV) [NV - 1][MR - 1] = WN(panel_##MR##x##NV),
        PANELS(PANEL)
#undef PANEL
    };
    const ptrdiff_t vectors = (n + W - 1) / W, panels = (vectors + MOST_VECTORS - 1) / MOST_VECTORS;
    ptrdiff_t column = 0;
    for (ptrdiff_t q = 0; q < panels; q++) {
        /* The wider panels come last: there are never fewer than W columns left. */
        const ptrdiff_t nv = vectors / panels + (q >= panels - vectors % panels);
        const ptrdiff_t last = (q < panels - 1 ? nv * W : n - column) - W;
        const ptrdiff_t tiles = (m + most_rows[nv - 1] - 1) / most_rows[nv - 1];
        const ptrdiff_t mr = m / tiles, more = m % tiles;
        const T *b = B + column, *start = bias == NULL ? NULL : bias + column;
        T *c = C + column;
        if (more > 0)
            function[nv - 1][mr](job, A, b, c, start, last, more);
        function[nv - 1][mr - 1](job, A + more * (mr + 1) * job->rsa, b,
                                 c + more * (mr + 1) * job->ldc, start, last, tiles - more);
        column += nv * W;
    }
}
#undef PANELS
#undef MOST_ROWS
#undef MOST_VECTORS

#if W > 1
/* Lane l: a[l] + a[l ^ d] where bit d of l is 0, b[l] + b[l ^ d] where it is 1 */
CBP_INLINE V WN(fold)(V a, V b, const int d)
{
#if defined(__clang__)
    V x = a, y = a;
    CBP_UNROLL
    for (int i = 0; i < W; i++) {
        x[i] = i & d ? b[i] : a[i];
        y[i] = i & d ? b[i ^ d] : a[i ^ d];
    }
    return x + y;
#else
    const M lane = WN(lane_numbers)();
    const M second = (M)((lane & d) != 0) & W;
    return __builtin_shuffle(a, b, lane + second) + __builtin_shuffle(a, b, (lane ^ d) + second);
#endif
}

/* *C = beta *C + start + alpha sum_p a[p] b[p], k >= W */
CBP_INLINE void WN(dot)(T alpha, ptrdiff_t k, const T *a, const T *b, T beta, T start, T *C)
{
    V sum[4];
    T total = 0;
    ptrdiff_t p = 0;
    CBP_UNROLL
    for (int s = 0; s < 4; s++)
        sum[s] = WN(set)(0);
    for (; p + 4 * W <= k; p += 4 * W) {
        CBP_UNROLL
        for (int s = 0; s < 4; s++)
            sum[s] += WN(load)(a + p + s * W) * WN(load)(b + p + s * W);
    }
    for (; p + W <= k; p += W)
        sum[0] += WN(load)(a + p) * WN(load)(b + p);
    sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    for (int i = 0; i < W; i++)
        total += sum[0][i];
    for (; p < k; p++)
        total += a[p] * b[p];
    *C = beta == 0 ? start + alpha * total : beta * *C + alpha * total;
}
/* C[i ldc] = beta C[i ldc] + start + alpha sum_p A[i rsa + p] b[p], k >= W: rows in groups, a vector
 * along p for each, then one transposition that adds.  Rows that are missing repeat the last; one or
 * two rows go by themselves. */
static void WN(dots)(const FN(job) *job, ptrdiff_t m, ptrdiff_t k, const T *A, const T *b, T beta,
                     T start, T *C)
{
    enum { GROUP = W > 8 ? 8 : W < 4 ? 4 : W, FOLDED = GROUP < W ? GROUP : W };
    const ptrdiff_t rsa = job->rsa, ldc = job->ldc, whole = k - k % W;
    const M mask = (M)(WN(lane_numbers)() >= (BITS)(W - k % W));
    if (m <= 2) {
        for (ptrdiff_t i = 0; i < m; i++)
            WN(dot)(job->alpha, k, A + i * rsa, b, beta, start, C + i * ldc);
        return;
    }
    for (ptrdiff_t i = 0; i < m; i += GROUP) {
        const ptrdiff_t rows = m - i < GROUP ? m - i : GROUP;
        const T *a[GROUP];
        V sum[GROUP];
        T sums[GROUP];
        CBP_UNROLL
        for (int r = 0; r < GROUP; r++) {
            a[r] = A + (i + (r < rows ? r : rows - 1)) * rsa;
            sum[r] = WN(set)(0);
        }
        for (ptrdiff_t p = 0; p < whole; p += W) {
            const V x = WN(load)(b + p);
            CBP_UNROLL
            for (int r = 0; r < GROUP; r++)
                sum[r] += WN(load)(a[r] + p) * x;
        }
        if (whole < k) { /* the last W, without those that were there already */
            const V x = WN(from_bits)(WN(bits)(WN(load)(b + k - W)) & mask);
            CBP_UNROLL
            for (int r = 0; r < GROUP; r++)
                sum[r] += WN(from_bits)(WN(bits)(WN(load)(a[r] + k - W)) & mask) * x;
        }
        CBP_UNROLL
        for (int g = 0; g < GROUP; g += FOLDED) {
            CBP_UNROLL
            for (int d = 1; d < FOLDED; d *= 2) {
                CBP_UNROLL
                for (int r = 0; r < FOLDED; r += 2 * d)
                    sum[g + r] = WN(fold)(sum[g + r], sum[g + r + d], d);
            }
            CBP_UNROLL
            for (int d = FOLDED; d < W; d *= 2)
                sum[g] = WN(fold)(sum[g], sum[g], d);
            memcpy(sums + g, &sum[g], FOLDED * sizeof(T));
        }
        for (ptrdiff_t r = 0; r < rows; r++, C += ldc)
            *C = beta == 0 ? start + job->alpha * sums[r] : beta * *C + job->alpha * sums[r];
    }
}
#endif
