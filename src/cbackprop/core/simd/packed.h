/* Products that copy B, a panel at a time, and read the copy, whose rows follow each other.
 *
 * Each tile of rows reads the panel of B again.  If the panel does not stay in L1, because it is
 * long or its rows, a power of two apart, fall on the same few cache sets, or if vectors cross
 * cache lines, the first tile copies it while reading, and the others read the copy.  Of 3,000
 * products of 8 to 128 rows on Zen 3 a fifth use it, and take 0.89 of the time, 0.54 at best.
 *
 * A panel of a large B is outside the caches, a line or two for each of its rows, and the first
 * tile waits for them.  There the tiles of one panel copy the next panel's rows between their terms
 * (64 x 784 x 1024: 0.90 of the time in float64, 0.94 in float32; if B is in a near cache 1.01,
 * with few rows 1.2).
 *
 * A long sum is computed in pieces, all panels of one piece before the next, so that a piece's part
 * of A stays in L2 (64 x 784 x 1024 in float64: 0.88 of the time).  LONGEST times a panel's columns
 * is 37 KB, read in order: more than L1, yet faster than reading and writing C once more.  In a
 * transposed A each term is in its own line, and pieces of LONGEST_TRANSPOSED keep it in L1 for the
 * next tile (144 x 176 with 512 terms in float64: 0.96 of the time in four pieces instead of three;
 * float32 1.03).
 *
 * Included by tile.h for vectors of 32 bytes if there are no longer ones; with 64, panels three
 * vectors across in pieces of 200 took 0.96 to 1.09 of the time on Zen 5.  This file promises the
 * same sums as the tiles that read B itself, in pieces.
 */
#define LONGEST 400
#define LONGEST_TRANSPOSED (SIZE == 8 ? 128 : 176)
#define FAR_B (3 << 20) /* bytes of a large B */
#define FAR_C (512 << 10)

/* It depends only on sizes and strides.  Two or more vectors across, and m such that `rows` never
 * gets one or two rows, which it would add in another order. */
static int WN(packing_pays)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n)
{
    const ptrdiff_t stride = job->ldb * SIZE, bytes = job->k * stride;
    if (bytes <= 32 * 1024 || m < MOST_ROWS_2 + 3 || n <= W || job->ldb <= MOST_VECTORS * W)
        return 0;
    return m * n * job->k > 100000 * W ||
           (stride % BYTES != 0 && bytes > 48 * 1024 && n > 2 * MOST_VECTORS * W);
}

/* A panel without copied rows yet */
CBP_INLINE WN(copy) WN(copy_of)(const WN(place) *at, const T *B, ptrdiff_t ldb, T *to)
{
    return (WN(copy)){.from = B + at->p * ldb + at->column,
                      .to = to,
                      .step = ldb,
                      .width = at->width,
                      .middle = at->across == 3 ? W : 0,
                      .last = at->width - W};
}

static void WN(copy_rows)(const WN(copy) *copy, ptrdiff_t first, ptrdiff_t rows)
{
    for (ptrdiff_t p = first; p < rows; p++)
        WN(copy_row)(copy->from + p * copy->step, copy->to + p * copy->width, 8 * copy->step,
                     copy->middle, copy->last);
}

/* Separate functions, since beside other loops the tiles would not get all registers. */
#define PANELS_OF(NV)                                                                              \
    static CBP_NOINLINE void WN(packing_x##NV)(const FN(job) *job, const T *A, const T *B, T *C,   \
                                               const T *bias, ptrdiff_t last,                      \
                                               const WN(copy) *copy)                               \
    {                                                                                              \
        WN(panel)(MOST_ROWS_##NV, NV, WHOLE, 1, PACKING, job, A, B, C, bias, last, 1, copy);       \
    }                                                                                              \
    static CBP_NOINLINE void WN(copying_x##NV)(const FN(job) *job, const T *A, const T *B, T *C,   \
                                               const T *bias, ptrdiff_t last, ptrdiff_t tiles,     \
                                               const WN(copy) *copy)                               \
    {                                                                                              \
        WN(panel)(MOST_ROWS_##NV, NV, WHOLE, 1, COPYING, job, A, B, C, bias, last, tiles, copy);   \
    }                                                                                              \
    static CBP_NOINLINE void WN(rows_x##NV)(const FN(job) *job, ptrdiff_t m, const T *A,           \
                                            const T *B, T *C, const T *bias, ptrdiff_t last)       \
    {                                                                                              \
        WN(rows)(&WN(tiles_of)[NV], job, m, A, B, C, bias, last);                                  \
    }
PANELS_OF(2)
PANELS_OF(3)
#undef PANELS_OF

static void WN(packed_panels)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B,
                              T *C, const T *bias)
{
    CBP_ALIGNED(T, buffers[2][LONGEST * MOST_VECTORS * W]);
    const ptrdiff_t longest = job->csa == 1 ? LONGEST : LONGEST_TRANSPOSED, ldb = job->ldb;
    const int far = job->k * ldb * SIZE > FAR_B, far_C = m * job->ldc * SIZE > FAR_C;
    T *packed = buffers[0], *other = buffers[1];
    WN(place) at = {.terms = job->k, .pieces = (job->k + longest - 1) / longest}, next;
    WN(copy) copy;
    int more = 1;
    WN(choose_piece)(&at, n);
    copy = WN(copy_of)(&at, B, ldb, packed);
    if (far)
        WN(copy_rows)(&copy, 0, at.k);
    for (next = at; more; at = next) {
        const int two = at.across == 2;
        const ptrdiff_t most = two ? MOST_ROWS_2 : MOST_ROWS_3, last = at.width - W;
        const T *a = A + at.p * job->csa, *b = at.p == 0 && bias != NULL ? bias + at.column : NULL;
        T *c = C + at.column, *swap = packed;
        FN(job) piece = *job;
        ptrdiff_t done = 0, tiles = (m - 3) / most; /* `rows` gets three rows or more */
        piece.k = at.k;
        if (at.p > 0)
            piece.beta = 1; /* the next terms of the same sums */
        if (!far) {
            copy = WN(copy_of)(&at, B, ldb, packed);
            (two ? WN(packing_x2) : WN(packing_x3))(&piece, a, copy.from, c, b, last, &copy);
            done = most;
            tiles--;
        }
        piece.ldb = at.width;
        more = WN(go_on)(&next, n);
        if (far && more) {
            ptrdiff_t each;
            if (tiles > next.k)
                tiles = next.k;
            each = next.k / tiles;
            copy = WN(copy_of)(&next, B, ldb, other);
            copy.every = (at.k + each - 1) / each;
        }
        else { /* no next panel, but C is still to be fetched: copy one row repeatedly */
            copy.from = packed;
            copy.to = other;
            copy.step = copy.width = 0;
            copy.every = at.k;
            if (!(far_C && piece.beta != 0))
                tiles = 0;
        }
        if (tiles > 0)
            (two ? WN(copying_x2) : WN(copying_x3))(&piece, a + done * job->rsa, packed,
                                                    c + done * job->ldc, b, last, tiles, &copy);
        if (far && more)
            WN(copy_rows)(&copy, tiles * ((at.k + copy.every - 1) / copy.every), next.k);
        done += tiles * most;
        (two ? WN(rows_x2) : WN(rows_x3))(&piece, m - done, a + done * job->rsa, packed,
                                          c + done * job->ldc, b, last);
        if (far) {
            packed = other;
            other = swap;
        }
    }
}
#undef LONGEST
#undef LONGEST_TRANSPOSED
#undef FAR_B
#undef FAR_C
