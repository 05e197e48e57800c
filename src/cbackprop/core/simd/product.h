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

/* n >= NARROWEST: the width that wastes least.  A 64-byte multiply-add is taken to cost 5/3 of a
 * narrower one: it is 2 where the units have 32 bytes, 1 where they have 64. */
static void FN(panels)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B, T *C,
                       const T *bias)
{
#if VECTOR_BYTES == 0
    AT(0, panels)(job, m, n, A, B, C, bias);
#else
#if VECTOR_BYTES >= 64
    enum { FULL = 64 / SIZE, HALF = 32 / SIZE };
    if (n >= FULL && 5 * ((n + FULL - 1) / FULL) <= 3 * ((n + HALF - 1) / HALF))
        AT(64, panels)(job, m, n, A, B, C, bias);
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

#if VECTOR_BYTES > 0
/* A's columns contiguous and C narrow: (A^T-like) C^T = B^T A^T by the same tiles, a vector along m,
 * in pieces whose result lies in a buffer until it is stored transposed.  m >= NARROWEST. */
static void FN(product_transposed)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A,
                                   const T *B, T *C, const T *bias)
{
    enum { PIECE = 128, MOST_COLUMNS = 2 * LANES };
    T buffer[MOST_COLUMNS * PIECE];
    const ptrdiff_t pieces = (m + PIECE - 1) / PIECE;
    FN(job) swapped = {job->k, 1, job->ldb, job->csa, PIECE, job->alpha, 0};
    if (n == 1 && job->ldc == 1 && bias == NULL) {
        swapped.beta = job->beta;
        FN(panels)(&swapped, 1, m, B, A, C, NULL);
        return;
    }
    for (ptrdiff_t q = 0, i = 0; q < pieces; q++) {
        const ptrdiff_t length = m / pieces + (q < m % pieces);
        FN(panels)(&swapped, n, length, B, A + i, buffer, NULL);
        for (ptrdiff_t r = 0; r < length; r++) {
            T *c = C + (i + r) * job->ldc;
            for (ptrdiff_t j = 0; j < n; j++) {
                const T start = bias == NULL ? 0 : bias[j], sum = buffer[j * PIECE + r];
                c[j] = job->beta == 0 ? start + sum : job->beta * c[j] + sum;
            }
        }
        i += length;
    }
}

/* A's rows contiguous and C narrow: dot products along p, which is taken in pieces where B's columns
 * must be copied.  k >= NARROWEST. */
static void FN(product_dots)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B,
                             T *C, const T *bias)
{
    enum { PIECE = 512 };
    T column[PIECE];
    const int copy = job->ldb != 1;
    const ptrdiff_t k = job->k, pieces = copy ? (k + PIECE - 1) / PIECE : 1;
    ptrdiff_t p = 0;
    for (ptrdiff_t q = 0; q < pieces; q++) {
        const ptrdiff_t length = k / pieces + (q < k % pieces);
        for (ptrdiff_t j = 0; j < n; j++) {
            const T beta = q == 0 ? job->beta : 1, start = q == 0 && bias != NULL ? bias[j] : 0;
            const T *b = copy ? column : B + p;
            if (copy)
                for (ptrdiff_t r = 0; r < length; r++)
                    column[r] = B[(p + r) * job->ldb + j];
#if VECTOR_BYTES >= 64
            if (length >= 64 / SIZE)
                AT(64, dots)(job, m, length, A + p, b, beta, start, C + j);
            else
#endif
#if VECTOR_BYTES >= 32
                if (length >= 32 / SIZE)
                AT(32, dots)(job, m, length, A + p, b, beta, start, C + j);
            else
#endif
                AT(16, dots)(job, m, length, A + p, b, beta, start, C + j);
        }
        p += length;
    }
}
#endif

/* Any strides, any sizes: the few products too small for a vector */
static void FN(product_plain)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B,
                              T *C, const T *bias)
{
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            T sum = bias == NULL ? 0 : bias[j], *c = C + i * job->ldc + j;
            for (ptrdiff_t p = 0; p < job->k; p++)
                sum += A[i * job->rsa + p * job->csa] * B[p * job->ldb + j];
            *c = job->beta == 0 ? job->alpha * sum : job->beta * *c + job->alpha * sum;
        }
}

static void FN(product)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, T alpha, const T *A, ptrdiff_t rsa,
                        ptrdiff_t csa, const T *B, ptrdiff_t ldb, T beta, T *C, ptrdiff_t ldc,
                        const T *bias)
{
    const FN(job) job = {k, rsa, csa, ldb, ldc, alpha, beta};
    if (m == 0 || n == 0)
        return;
#if VECTOR_BYTES > 0
    if (rsa == 1 && n <= LANES / 2 && m >= NARROWEST && (n < NARROWEST || m >= LANES))
        FN(product_transposed)(&job, m, n, A, B, C, bias);
    else if (csa == 1 && n <= 3 && k >= NARROWEST)
        FN(product_dots)(&job, m, n, A, B, C, bias);
    else
#endif
        if (n >= NARROWEST)
        FN(panels)(&job, m, n, A, B, C, bias);
    else
        FN(product_plain)(&job, m, n, A, B, C, bias);
}
#undef AT
#undef NARROWEST
