/* C = beta C + alpha A B for small matrices: which tiles, of which width; simd.h has the formula.
 * Included once per dtype and level, after the tiles.  It promises not to block for caches: large
 * products belong to BLAS.
 */
#define AT(bytes, name) CBP_JOIN_WIDTH(name, bytes, DTYPE, LEVEL)
#if VECTOR_BYTES == 0
#define NARROWEST 1
#else
#define NARROWEST (16 / SIZE) /* elements of the narrowest vector */
#endif

/* n >= NARROWEST: the width that wastes least */
static void FN(panels)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B, T *C,
                       const T *bias)
{
#if VECTOR_BYTES == 0
    AT(0, panels)(job, m, n, A, B, C, bias);
#else
#if VECTOR_BYTES >= 64
    enum { FULL = 64 / SIZE, HALF = 32 / SIZE };
    if (n == FULL || n > FULL + HALF)
        AT(64, panels)(job, m, n, A, B, C, bias);
    else if (n > HALF)
        AT(64, edge_panel)(job, m, n, A, B, C, bias);
    else
#endif
#if VECTOR_BYTES >= 32
        if (n >= 32 / SIZE)
        AT(32, panels)(job, m, n, A, B, C, bias);
    else
#endif
        AT(16, panels)(job, m, n, A, B, C, bias);
#endif
}

/* C (rows, n) = beta C + start + sums^T, sums (n, stride) */
CBP_INLINE void FN(store_transposed)(const int n, ptrdiff_t rows, const T *sums,
                                     const ptrdiff_t stride, T beta, const T *start, T *C,
                                     ptrdiff_t ldc)
{
    if (beta == 0)
        for (ptrdiff_t i = 0; i < rows; i++)
            CBP_UNROLL
            for (int j = 0; j < n; j++)
                C[i * ldc + j] = start[j] + sums[j * stride + i];
    else
        for (ptrdiff_t i = 0; i < rows; i++)
            CBP_UNROLL
            for (int j = 0; j < n; j++)
                C[i * ldc + j] = beta * C[i * ldc + j] + sums[j * stride + i];
}

#ifdef FOUR
/* The same for n >= 4 and any rows, four by four.  The last columns may overlap those before them:
 * the sums they update are read first. */
CBP_INLINE void FN(store_fours)(const int scaled, ptrdiff_t n, ptrdiff_t rows, const T *sums,
                                const ptrdiff_t stride, T beta, const T *start, T *C,
                                ptrdiff_t ldc)
{
    const ptrdiff_t last = n - 4;
    for (; rows >= 4; rows -= 4, sums += 4, C += 4 * ldc) {
        FOUR(vector) old[4], row[4];
        CBP_UNROLL
        for (int r = 0; r < 4; r++)
            old[r] = FOUR(load)(scaled ? C + r * ldc + last : start + last);
        for (ptrdiff_t j = 0; j < last; j += 4) {
            FOUR(columns)(sums + j * stride, stride, row);
            CBP_UNROLL
            for (int r = 0; r < 4; r++) {
                T *c = C + r * ldc + j;
                FOUR(store)(c, scaled ? FOUR(combine)(beta, FOUR(load)(c), 1, row[r])
                                      : FOUR(load)(start + j) + row[r]);
            }
        }
        FOUR(columns)(sums + last * stride, stride, row);
        CBP_UNROLL
        for (int r = 0; r < 4; r++)
            FOUR(store)(C + r * ldc + last,
                        scaled ? FOUR(combine)(beta, old[r], 1, row[r]) : old[r] + row[r]);
    }
    for (; rows > 0; rows--, sums++, C += ldc)
        for (ptrdiff_t j = 0; j < n; j++)
            C[j] = scaled ? FN(combine)(beta, C[j], 1, sums[j * stride])
                          : start[j] + sums[j * stride];
}
#endif

#if VECTOR_BYTES > 0
/* A's columns contiguous and C narrow: C^T = B^T A^T by the same tiles, a vector along m, in pieces
 * whose result lies in a buffer until it is stored transposed.  m >= NARROWEST, n <= 24. */
static void FN(product_transposed)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A,
                                   const T *B, T *C, const T *bias)
{
    enum { MOST = 128, LESS = 64 };
    static const T zeros[24] = {0};
    CBP_ALIGNED(T, sums[24 * LESS]);
    const T *start = bias == NULL ? zeros : bias;
    const T beta = job->beta;
    const ptrdiff_t ldc = job->ldc, piece = n < 8 ? MOST : LESS;
    FN(job) swapped = {job->k, 1, job->ldb, job->csa, piece, job->alpha, 0};
    ptrdiff_t pieces = (m + piece - 1) / piece;
    if (n == 1 && ldc == 1 && bias == NULL) {
        swapped.beta = beta;
        FN(panels)(&swapped, 1, m, B, A, C, NULL);
        return;
    }
    for (; pieces > 0; pieces--) {
        const ptrdiff_t rows = pieces == 1 ? m : m / pieces;
        FN(panels)(&swapped, n, rows, B, A, sums, NULL);
        switch (n) {
        case 1: FN(store_transposed)(1, rows, sums, MOST, beta, start, C, ldc); break;
        case 2: FN(store_transposed)(2, rows, sums, MOST, beta, start, C, ldc); break;
        case 3: FN(store_transposed)(3, rows, sums, MOST, beta, start, C, ldc); break;
#ifdef FOUR /* without it, n is below NARROWEST */
        default:
            if (beta == 0)
                FN(store_fours)(0, n, rows, sums, piece, beta, start, C, ldc);
            else
                FN(store_fours)(1, n, rows, sums, piece, beta, start, C, ldc);
#endif
        }
        m -= rows;
        A += rows;
        C += rows * ldc;
    }
}

/* A's rows contiguous and C narrow: dot products along p, in pieces if B's columns must
 * be copied.  n <= 3, k >= NARROWEST. */
static void FN(product_dots)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B,
                             T *C, const T *bias)
{
    enum { PIECE = 256 };
    static const T zeros[3] = {0};
    CBP_ALIGNED(T, columns[3 * PIECE]);
    T beta = job->beta;
    const T *start = bias == NULL ? zeros : bias;
    ptrdiff_t k = job->k, pieces = job->ldb == 1 ? 1 : (k + PIECE - 1) / PIECE;
    for (; pieces > 0; pieces--) {
        const ptrdiff_t length = pieces == 1 ? k : k / pieces;
        const T *b = B;
        if (job->ldb != 1) {
            b = columns;
            for (ptrdiff_t p = 0; p < length; p++)
                for (ptrdiff_t j = 0; j < n; j++)
                    columns[j * PIECE + p] = B[p * job->ldb + j];
        }
        /* Not 64 bytes: adding their lanes costs more than their width gains; where they pay,
         * abreast.h is used. */
#if VECTOR_BYTES >= 32
        if (length >= 32 / SIZE)
            AT(32, dots)(job, m, n, length, A, b, PIECE, beta, start, C);
        else
#endif
            AT(16, dots)(job, m, n, length, A, b, PIECE, beta, start, C);
        start = zeros;
        beta = 1;
        k -= length;
        A += length;
        B += length * job->ldb;
    }
}

/* Any strides, any sizes: products too small for a vector */
CBP_INLINE void FN(product_plain_columns)(const int n, const FN(job) *job, ptrdiff_t m, const T *A,
                                          const T *B, T *C, const T *bias)
{
    for (ptrdiff_t i = 0; i < m; i++, A += job->rsa, C += job->ldc) {
        T sum[4];
        const T *a = A, *b = B;
        CBP_UNROLL
        for (int j = 0; j < n; j++)
            sum[j] = bias == NULL ? 0 : bias[j];
        for (ptrdiff_t p = job->k; p > 0; p--, a += job->csa, b += job->ldb) {
            CBP_UNROLL
            for (int j = 0; j < n; j++)
                sum[j] += *a * b[j];
        }
        CBP_UNROLL
        for (int j = 0; j < n; j++)
            C[j] = job->beta == 0 ? job->alpha * sum[j]
                                  : FN(combine)(job->beta, C[j], job->alpha, sum[j]);
    }
}

static void FN(product_plain)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B,
                              T *C, const T *bias)
{
    switch (n) {
    case 1: FN(product_plain_columns)(1, job, m, A, B, C, bias); break;
    case 2: FN(product_plain_columns)(2, job, m, A, B, C, bias); break;
    default: FN(product_plain_columns)(3, job, m, A, B, C, bias); break;
    }
}
#endif

#if VECTOR_BYTES == 64
/* Whether several terms in one vector (abreast.h) pay for copying B: by the columns, the fewest
 * terms and the fewest terms of all rows.  Measured on Zen 5, beside the dot products and the
 * panels. */
CBP_INLINE int FN(pays_by_terms)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k)
{
#if SIZE == 8
    static const short least[][2] = {{0, 0}, {8, 1000}, {8, 192}, {64, 192}, {16, 576}};
#else
    static const short least[][2] = {{0, 0},   {64, 3000}, {2, 300}, {2, 700}, {5, 192},
                                     {8, 192}, {8, 192},   {8, 192}, {8, 500}};
#endif
    return n <= LANES / 2 && m > 2 && k >= least[n][0] && m * k >= least[n][1];
}

/* Half a vector's columns, and one or two more, both by terms: five multiply-adds instead of a
 * masked vector's eight, but twice as many folds. */
static CBP_NOINLINE void FN(product_split)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n,
                                           const T *A, const T *B, T *C, const T *bias)
{
    enum { HALF = LANES / 2 };
    AT(64, product_by_terms)(job, m, HALF, A, B, C, bias);
    AT(64, product_by_terms)(job, m, n - HALF, A, B + HALF, C + HALF,
                             bias == NULL ? NULL : bias + HALF);
}

/* Measured on Zen 5: 0.68 to 0.83 of the time; float64 0.8 to 0.95. */
CBP_INLINE int FN(pays_to_split)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k)
{
    return SIZE == 4 && (n == LANES / 2 + 1 || n == LANES / 2 + 2) && m >= 32 && k >= 64;
}
#endif

#if VECTOR_BYTES > 0
/* Whether C^T = B^T A^T is faster for an A with contiguous columns, because it fills vectors that
 * C's rows would not. */
CBP_INLINE int FN(pays_transposed)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k)
{
    if (n < NARROWEST)
        return m >= NARROWEST;
    if (VECTOR_BYTES < 32)
        return 0;
    if (n > LANES)
        return n <= LANES + LANES / 2 && m >= 2 * LANES && k >= 32;
    if (VECTOR_BYTES == 64 && n > LANES / 2)
        return n < LANES && m >= LANES && k >= 4;
    return n < 32 / SIZE && m >= LANES && k >= (VECTOR_BYTES == 64 ? 10 : 16);
}
#endif

static void FN(product)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, T alpha, const T *A, ptrdiff_t rsa,
                        ptrdiff_t csa, const T *B, ptrdiff_t ldb, T beta, T *C, ptrdiff_t ldc,
                        const T *bias)
{
    const FN(job) job = {k, rsa, csa, ldb, ldc, alpha, beta};
    if (m == 0 || n == 0)
        return;
#if VECTOR_BYTES == 0
    FN(panels)(&job, m, n, A, B, C, bias);
#else
    /* The choice follows measurements and depends only on the shapes and the level. */
    if (n <= 3 && m * n * k <= 32)
        FN(product_plain)(&job, m, n, A, B, C, bias);
#if VECTOR_BYTES == 64
    else if (csa == 1 && FN(pays_by_terms)(m, n, k))
        AT(64, product_by_terms)(&job, m, n, A, B, C, bias);
    else if (rsa == 1 && bias == NULL && n == LANES / 2 && m >= 8 && k >= 4)
        AT(64, product_by_rows)(&job, m, A, B, C);
#endif
    else if (rsa == 1 && FN(pays_transposed)(m, n, k))
        FN(product_transposed)(&job, m, n, A, B, C, bias);
    else if (csa == 1 && n <= 3 && k >= NARROWEST &&
             (n < NARROWEST ? m > 2 || n == 1 : VECTOR_BYTES >= 32 && m > 2 && k >= 64 / (n * n)))
        FN(product_dots)(&job, m, n, A, B, C, bias);
#if VECTOR_BYTES == 64
    else if (csa == 1 && FN(pays_to_split)(m, n, k))
        FN(product_split)(&job, m, n, A, B, C, bias);
#endif
    else if (n >= NARROWEST)
        FN(panels)(&job, m, n, A, B, C, bias);
    else
        FN(product_plain)(&job, m, n, A, B, C, bias);
#endif
}
#undef AT
#undef NARROWEST
