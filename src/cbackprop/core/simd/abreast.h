/* Products whose C has at most half a vector's columns: several multiply-adds in one of 64 bytes.
 *
 * If A's rows are contiguous, T = 2, 4, 8 (, 16) terms of a sum are side by side in a vector, for
 * up to W / T columns: lane T j + h has term h of column j.  T neighbours of A are loaded once and
 * repeated through the vector; B is copied so that T of its rows are interleaved into one, and at
 * the end neighbouring lanes are added.  If A's columns are contiguous, two rows of C, of W / 2
 * columns, are side by side: lane 2 j + h has column j of row h.
 *
 * This file promises not to choose: product.h says what runs where.
 */
#define HN(name) CBP_JOIN_WIDTH(name, 32, DTYPE, LEVEL)
#if SIZE == 8
#define LANES_FROM(x, numbers) (V)_mm512_permutexvar_pd((__m512i)(numbers), (__m512d)(x))
#else
#define LANES_FROM(x, numbers) (V)_mm512_permutexvar_ps((__m512i)(numbers), (__m512)(x))
#endif

/* x[0] ... x[T - 1] x[0] ... */
CBP_INLINE V WN(load_terms)(const int TERMS, const T *x)
{
    if (TERMS == W)
        return WN(load)(x);
#if SIZE == 8
    return TERMS == 2 ? (V)_mm512_broadcast_f64x2(_mm_loadu_pd(x))
                      : (V)_mm512_broadcast_f64x4(_mm256_loadu_pd(x));
#else
    if (TERMS == 2) {
        double pair;
        memcpy(&pair, x, sizeof pair);
        return (V)_mm512_set1_pd(pair);
    }
    return TERMS == 4 ? (V)_mm512_broadcast_f32x4(_mm_loadu_ps(x))
                      : (V)_mm512_broadcast_f32x8(_mm256_loadu_ps(x));
#endif
}

/* The same for a row's last terms, fewer than T, and zeros; nothing else is read. */
CBP_INLINE V WN(load_last_terms)(const int TERMS, const T *x, ptrdiff_t terms)
{
    return LANES_FROM(WN(load_part)(x, terms), WN(lane_numbers)() & (TERMS - 1));
}

/* T rows, folded: row after row, W / T columns each */
CBP_INLINE V WN(in_rows)(const int TERMS, V folded)
{
    enum { PART = 16 / SIZE };
    const int COLUMNS = W / TERMS;
    BITS from[W];
    M numbers;
    if (TERMS == W)
        return folded;
    CBP_UNROLL
    for (int i = 0; i < W; i++) {
        const int row = i / COLUMNS, column = i % COLUMNS;
        from[i] = TERMS >= PART ? (row / PART * COLUMNS + column) * PART + row % PART
                                : column / 2 * PART + 2 * row + column % 2;
    }
    memcpy(&numbers, from, sizeof numbers);
    return LANES_FROM(folded, numbers);
}

/* x[0] y[0] x[1] y[1] ... */
CBP_INLINE V WN(interleaved)(V x, V y)
{
    const M lane = WN(lane_numbers)(), from = (lane >> 1) + (lane & 1) * W;
#if SIZE == 8
    return (V)_mm512_permutex2var_pd((__m512d)x, (__m512i)from, (__m512d)y);
#else
    return (V)_mm512_permutex2var_ps((__m512)x, (__m512i)from, (__m512)y);
#endif
}

/* Rows of C that are not contiguous, or that are narrow and updated */
CBP_INLINE void WN(rows_apart)(const int TERMS, const FN(job) *job, ptrdiff_t rows, ptrdiff_t n,
                               const T *sums, T *C)
{
    const T alpha = job->alpha, beta = job->beta;
    for (ptrdiff_t i = 0; i < rows; i++, sums += W / TERMS, C += job->ldc) {
        if (n == W / TERMS && alpha == 1 && beta == 0)
            memcpy(C, sums, W / TERMS * SIZE);
        else
            for (ptrdiff_t j = 0; j < n; j++)
                C[j] = beta == 0 ? alpha * sums[j] : FN(combine)(beta, C[j], alpha, sums[j]);
    }
}

static CBP_NOINLINE void WN(finish_apart)(int terms, const FN(job) *job, ptrdiff_t rows,
                                          ptrdiff_t n, const T *sums, T *C)
{
    switch (terms) {
    case 2: WN(rows_apart)(2, job, rows, n, sums, C); break;
    case 4: WN(rows_apart)(4, job, rows, n, sums, C); break;
    case 8: WN(rows_apart)(8, job, rows, n, sums, C); break;
    default: WN(rows_apart)(W, job, rows, n, sums, C); break;
    }
}

/* Up to T rows of C, n columns each, from one vector */
CBP_INLINE void WN(finish_terms)(const int TERMS, const FN(job) *job, int dense, ptrdiff_t rows,
                                 ptrdiff_t n, V sums, T *C)
{
    if (!dense) {
        CBP_ALIGNED(T, each[W]);
        WN(store)(each, sums);
        WN(finish_apart)(TERMS, job, rows, n, each, C);
        return;
    }
    if (n < W / TERMS) {
        const M used = (M)((WN(lane_numbers)() & (W / TERMS - 1)) < (BITS)n);
        sums *= job->alpha;
#if SIZE == 8
        sums = (V)_mm512_maskz_compress_pd(_mm512_movepi64_mask((__m512i)used), (__m512d)sums);
#else
        sums = (V)_mm512_maskz_compress_ps(_mm512_movepi32_mask((__m512i)used), (__m512)sums);
#endif
        WN(store_part)(C, sums, rows * n);
        return;
    }
    if (job->beta == 0)
        sums *= job->alpha;
    else
        sums = WN(combine)(job->beta, WN(load_up_to)(C, rows * n), job->alpha, sums);
    if (rows == TERMS)
        WN(store)(C, sums);
    else
        WN(store_part)(C, sums, rows * n);
}

/* `tiles` times MR rows of C; or, unless WHOLE, `rows` of them once, the last repeated.  packed: B as
 * a vector for every T terms; start: the initial value of the sums. */
CBP_INLINE void WN(terms_abreast)(const int TERMS, const int MR, const int WHOLE,
                                  const FN(job) *job, ptrdiff_t n, const T *A, const T *packed,
                                  T *C, const T *start, ptrdiff_t rows, ptrdiff_t tiles)
{
    const int STORED = MR < TERMS ? MR : TERMS; /* rows in a vector, at the end */
    const ptrdiff_t k = job->k, rest = k % TERMS;
    const int dense = job->ldc == n && (n == W / TERMS || job->beta == 0);
    const V first = WN(load)(start);
    ptrdiff_t a1 = job->rsa * SIZE, a3 = 3 * a1;
    const char *A0 = (const char *)A, *A4 = A0 + 4 * a1;
    CBP_OPAQUE(a1); /* as in tile.h */
    CBP_OPAQUE(a3);
    CBP_OPAQUE(A4);
    for (; tiles > 0; tiles--, A0 += MR * a1, A4 += MR * a1) {
        V sum[8];
        const char *a = A0, *a4 = A4, *each[8];
        const T *b = packed;
        CBP_UNROLL
        for (int i = 0; i < MR; i++) {
            sum[i] = first;
            each[i] = A0 + (i < rows ? i : rows - 1) * a1;
        }
#define ROW(i) (const T *)(!WHOLE ? each[i] : (i < 4 ? a : a4) + (i % 4 == 3 ? a3 : i % 4 * a1))
        for (ptrdiff_t p = k; p >= TERMS; p -= TERMS) {
            V row = WN(load)(b);
            CBP_OPAQUE_VECTOR(row); /* one load, not one for each row */
            CBP_UNROLL
            for (int i = 0; i < MR; i++) {
                sum[i] += WN(load_terms)(TERMS, ROW(i)) * row;
                each[i] += TERMS * SIZE;
            }
            a += TERMS * SIZE;
            a4 += TERMS * SIZE;
            b += W;
        }
        if (rest > 0) {
            const V row = WN(load)(b);
            CBP_UNROLL
            for (int i = 0; i < MR; i++)
                sum[i] += WN(load_last_terms)(TERMS, ROW(i), rest) * row;
        }
#undef ROW
#define FOLD(d)                                                                                    \
    if (d < TERMS) {                                                                               \
        CBP_UNROLL                                                                                 \
        for (int i = 0; i < MR; i += 2 * d)                                                        \
            sum[i] = WN(fold)(d, sum[i], sum[i + d < MR ? i + d : i]);                             \
    }
        FOLD(1) /* unrolled: a loop over d would keep the sums in memory */
        FOLD(2)
        FOLD(4)
        FOLD(8)
#undef FOLD
        CBP_UNROLL
        for (int i = 0; i < MR; i += STORED) {
            const ptrdiff_t left = WHOLE || rows - i > STORED ? STORED : rows - i;
            if (WHOLE || left > 0)
                WN(finish_terms)(TERMS, job, dense, left, n, WN(in_rows)(TERMS, sum[i]), C);
            C += STORED * job->ldc;
        }
    }
}

typedef void (*WN(terms_tile))(const FN(job) *, ptrdiff_t, const T *, const T *, T *, const T *,
                               ptrdiff_t, ptrdiff_t);
#define TILE(name, TERMS, MR, WHOLE)                                                               \
    static void WN(name)(const FN(job) *job, ptrdiff_t n, const T *A, const T *packed, T *C,       \
                         const T *start, ptrdiff_t rows, ptrdiff_t tiles)                          \
    {                                                                                              \
        WN(terms_abreast)(TERMS, MR, WHOLE, job, n, A, packed, C, start, rows, tiles);             \
    }
#define TILES(TERMS)                                                                               \
    TILE(terms_##TERMS##x2, TERMS, 2, 0)                                                           \
    TILE(terms_##TERMS##x4, TERMS, 4, 0)                                                           \
    TILE(terms_##TERMS##x8, TERMS, 8, 0)                                                           \
    TILE(terms_##TERMS##x8s, TERMS, 8, 1)
#define NAMES(TERMS)                                                                               \
    {WN(terms_##TERMS##x2), WN(terms_##TERMS##x4), WN(terms_##TERMS##x8), WN(terms_##TERMS##x8s)},
TILES(2)
TILES(4)
TILES(8)
#if W == 16
TILES(16)
#endif
/* By T = 2, 4, 8, 16: for up to 2, 4 or 8 rows, and for groups of eight rows */
static const WN(terms_tile) WN(terms_tiles)[][4] = {
    NAMES(2)
    NAMES(4)
    NAMES(8)
#if W == 16
    NAMES(16)
#endif
};
#undef TILE
#undef TILES
#undef NAMES

/* C (m, n) of an A with contiguous rows, m > 0, 0 < n <= W / 2 */
static CBP_NOINLINE void WN(product_by_terms)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n,
                                              const T *A, const T *B, T *C, const T *bias)
{
    enum { VECTORS = 128 };
    CBP_ALIGNED(T, packed[VECTORS * W]);
    CBP_ALIGNED(T, start[W]);
    const int which = n > W / 4 ? 0 : n > W / 8 ? 1 : n > W / 16 ? 2 : 3;
    const ptrdiff_t terms = (ptrdiff_t)2 << which, most = VECTORS * terms, rest = m % 8;
    const WN(terms_tile) *tile = WN(terms_tiles)[which];
    const M term = WN(lane_numbers)() & (BITS)(terms - 1);
    const M column = WN(lane_numbers)() >> (which + 1);
    const M used = (M)(column < (BITS)n), from = term * (BITS)n + column;
    const T *last = A + (m - rest) * job->rsa;
    FN(job) piece = *job;
    ptrdiff_t left = job->k;
    WN(store)(start, WN(set)(0));
    if (bias != NULL)
        for (ptrdiff_t j = 0; j < n; j++)
            start[j * terms] = bias[j];
    do {
        T *to = packed;
        ptrdiff_t p = piece.k = left < most ? left : most;
#define PACK(x) WN(store)(to, WN(from_bits)(WN(bits)(LANES_FROM(x, from)) & used))
        if (job->ldb == n) {
            for (; p >= terms; p -= terms, B += terms * n, to += W)
                PACK(WN(load_up_to)(B, terms * n));
            if (p > 0)
                PACK(WN(load_part)(B, p * n));
        }
        else
            for (; p > 0; p -= terms, B += terms * job->ldb, to += W) {
                if (terms == 2 && p > 1) {
                    const V x = WN(load_part)(B, n), y = WN(load_part)(B + job->ldb, n);
                    WN(store)(to, WN(interleaved)(x, y));
                    continue;
                }
                WN(store)(to, WN(set)(0));
                for (ptrdiff_t i = 0; i < terms && i < p; i++)
                    for (ptrdiff_t j = 0; j < n; j++)
                        to[j * terms + i] = B[i * job->ldb + j];
            }
#undef PACK
        tile[3](&piece, n, A, packed, C, start, 8, m / 8);
        if (rest > 0)
            tile[rest > 4 ? 2 : rest > 2](&piece, n, last, packed, C + (m - rest) * job->ldc, start,
                                          rest, 1);
        A += piece.k;
        last += piece.k;
        left -= piece.k;
        piece.beta = 1;
        WN(store)(start, WN(set)(0));
    } while (left > 0);
}

/* Two rows of C, W / 2 columns, from the lanes of both; or the second alone */
CBP_INLINE void WN(finish_rows)(const FN(job) *job, V sums, ptrdiff_t second_alone, T *C)
{
    enum { n = W / 2 };
    const T alpha = job->alpha, beta = job->beta;
    const M column = WN(lane_numbers)() & (n - 1), second = (M)(WN(lane_numbers)() >= n) & 1;
    HN(vector) row[2];
    sums = LANES_FROM(sums, 2 * column + second);
    if (job->ldc == n && !second_alone) {
        WN(store)(C, beta == 0 ? alpha * sums : WN(combine)(beta, WN(load)(C), alpha, sums));
        return;
    }
    memcpy(row, &sums, sizeof row);
    for (ptrdiff_t i = second_alone; i < 2; i++) {
        T *c = C + i * job->ldc;
        HN(store)(c, beta == 0 ? alpha * row[i]
                               : HN(combine)(beta, HN(load)(c), alpha, row[i]));
    }
}

/* `tiles` times 2 MR rows of C, two at a time; or, with `odd`, one row less: the last two then
 * start at the previous row, whose sums are computed twice and stored once. */
CBP_INLINE void WN(rows_abreast)(const int MR, const FN(job) *job, const T *A, const T *B, T *C,
                                 ptrdiff_t odd, ptrdiff_t tiles)
{
    const ptrdiff_t k = job->k, ldc = job->ldc, last = 2 * (MR - 1) - odd;
    ptrdiff_t next_a = job->csa, next_b = job->ldb;
    CBP_OPAQUE(next_a); /* as in tile.h */
    CBP_OPAQUE(next_b);
    for (; tiles > 0; tiles--, A += 2 * MR, C += 2 * MR * ldc) {
        V sum[8];
        const T *a = A, *b = B;
        CBP_UNROLL
        for (int i = 0; i < MR; i++)
            sum[i] = WN(set)(0);
        for (ptrdiff_t p = k; p > 0; p--, a += next_a, b += next_b) {
            V row = LANES_FROM(WN(load_part)(b, W / 2), WN(lane_numbers)() >> 1);
            CBP_OPAQUE_VECTOR(row);
            CBP_UNROLL
            for (int i = 0; i < MR; i++)
                sum[i] += WN(load_terms)(2, a + (i < MR - 1 ? 2 * i : last)) * row;
        }
        CBP_UNROLL
        for (int i = 0; i < MR; i++) {
            const ptrdiff_t first = i < MR - 1 ? 2 * i : last;
            WN(finish_rows)(job, sum[i], i == MR - 1 ? odd : 0, C + first * ldc);
        }
    }
}

#define MOST 8
#define FOR_EACH_SIZE(TILE) TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8)
#define TILE(MR)                                                                                   \
    static void WN(rows_abreast_##MR)(const FN(job) *job, const T *A, const T *B, T *C,            \
                                      ptrdiff_t odd, ptrdiff_t tiles)                              \
    {                                                                                              \
        WN(rows_abreast)(MR, job, A, B, C, odd, tiles);                                            \
    }
FOR_EACH_SIZE(TILE)
#undef TILE
static void (*const WN(rows_tiles)[MOST + 1])(const FN(job) *, const T *, const T *, T *,
                                              ptrdiff_t, ptrdiff_t) = {
#define TILE(MR) [MR] = WN(rows_abreast_##MR),
    FOR_EACH_SIZE(TILE)
#undef TILE
};

/* C (m, W / 2) of an A with contiguous columns, m > 1; tiles as equal as possible, the larger
 * first */
static CBP_NOINLINE void WN(product_by_rows)(const FN(job) *job, ptrdiff_t m, const T *A,
                                             const T *B, T *C)
{
    const ptrdiff_t twos = (m + 1) / 2, tiles = (twos + MOST - 1) / MOST, odd = m % 2;
    const ptrdiff_t size = twos / tiles, larger = twos % tiles, others = tiles - larger - odd;
    ptrdiff_t i = 2 * larger * (size + 1);
    if (larger > 0)
        WN(rows_tiles)[size + 1](job, A, B, C, 0, larger);
    WN(rows_tiles)[size](job, A + i, B, C + i * job->ldc, 0, others);
    i += 2 * others * size;
    if (odd)
        WN(rows_tiles)[size](job, A + i, B, C + i * job->ldc, 1, 1);
}
#undef HN
#undef LANES_FROM
#undef MOST
#undef FOR_EACH_SIZE
