/* Register tiles of one width: the innermost loops of a product.
 * This file promises not to choose: product.h decides which tile is used.
 */

/* The element in row i of a tile, from the address of row 0 or row 4 and strides in bytes: few
 * registers, and no separate address to advance for each row. */
CBP_INLINE T WN(in_row)(const char *row0, const char *row4, const int i, ptrdiff_t one,
                        ptrdiff_t three)
{
    const char *row = i < 4 ? row0 : row4;
    return *(const T *)(row + (i % 4 == 3 ? three : i % 4 * one));
}

/* The new value of a vector of C */
CBP_INLINE V WN(finished)(const int how, T alpha, V sum, T beta, V C)
{
    return how == PLAIN    ? sum
           : how == SCALED ? alpha * sum
           : how == ADDED  ? C + alpha * sum
                           : WN(combine)(beta, C, alpha, sum);
}

/* What else a tile does: nothing; it copies the panel of B that it reads; or it copies rows of
 * another panel and prefetches the next tile's C. */
#define READING 0
#define PACKING 1
#define COPYING 2

/* How a tile's columns end: with a vector, which may overlap the one before it (of two that overlap,
 * both are loaded before either is stored); with a part of the only vector; or with half a vector,
 * which may overlap the only whole one.  The last two only with 64 bytes: there a multiply-add
 * costs one or two of 32 bytes, depending on the CPU, and never more than those that it
 * replaces. */
#define WHOLE 0
#define PART 1
#define AND_HALF 2
#if BYTES == 64
#define HN(name) CBP_JOIN_WIDTH(name, 32, DTYPE, LEVEL)
#else
#define HN(name) WN(name)
#endif
#define HV HN(vector)

CBP_INLINE HV WN(low_half)(V x)
{
#if BYTES == 64 && SIZE == 8
    return (HV)_mm512_castpd512_pd256((__m512d)x);
#elif BYTES == 64
    return (HV)_mm512_castps512_ps256((__m512)x);
#else
    return x;
#endif
}

/* A panel of B, two or three vectors across, that is being copied: its next row, and where the
 * second and the last vector of a row begin (with two vectors, `middle` is the first again). */
typedef struct WN(copy) {
    const T *from;
    T *to;
    ptrdiff_t step, width, middle, last;
    ptrdiff_t every; /* COPYING: terms of the product for each row */
} WN(copy);

CBP_INLINE void WN(copy_row)(const T *from, T *to, ptrdiff_t ahead, ptrdiff_t middle,
                             ptrdiff_t last)
{
    const V first = WN(load)(from), second = WN(load)(from + middle);
    const V third = WN(load)(from + last);
    CBP_PREFETCH(from + ahead);
    CBP_PREFETCH(from + ahead + (3 * W - 1));
    WN(store)(to, first);
    WN(store)(to + middle, second);
    WN(store)(to + last, third);
}

/* `tiles` times MR rows of C, NV vectors across; the last of them begins at column `last` where the
 * edge is WHOLE, has W + last columns where it is PART, and half a vector more begins there where it
 * is AND_HALF.  KS > 1: term p goes to accumulator p mod KS, which hides the multiply-adds' latency
 * where MR is small. */
CBP_INLINE void WN(panel)(const int MR, const int NV, const int edge, const int KS, const int doing,
                          const FN(job) *job, const T *A, const T *B, T *C, const T *bias,
                          ptrdiff_t last, ptrdiff_t tiles, const WN(copy) *copy)
{
    const ptrdiff_t k = job->k, ldc = job->ldc;
    const T alpha = job->alpha, beta = job->beta;
    const char *A0 = (const char *)A;
    /* Opaque: else GCC splits the loop in two and runs out of registers. */
    ptrdiff_t a1 = job->rsa * SIZE, a3 = 3 * a1;
    ptrdiff_t next_a = job->csa * SIZE, next_b = job->ldb * SIZE;
    CBP_OPAQUE(a1);
    CBP_OPAQUE(a3);
    CBP_OPAQUE(next_a);
    CBP_OPAQUE(next_b);
    const WN(copy) copying = doing == READING ? (WN(copy)){0} : *copy;
    const ptrdiff_t ahead = 4 * copying.step;
    const T *from = copying.from;
    T *to = copying.to;
#define COLUMN(v) ((v) < NV - 1 ? (v) * W : NV == 1 ? 0 : last)
#define LOAD(x) (edge == PART ? WN(load_part)(x, W + last) : WN(load)(x))
    for (; tiles > 0; tiles--) {
        V sum[4][8][4]; /* KS, MR, NV */
        HV half[4][8];
        const char *a = A0, *a4 = A0 + 4 * a1, *b = (const char *)B;
        ptrdiff_t p = k;
        CBP_UNROLL
        for (int s = 0; s < KS; s++) {
            CBP_UNROLL
            for (int i = 0; i < MR; i++) {
                CBP_UNROLL
                for (int v = 0; v < NV; v++)
                    sum[s][i][v] = WN(set)(0);
                if (edge == AND_HALF)
                    half[s][i] = HN(set)(0);
            }
        }
        if (doing == COPYING) {
            CBP_UNROLL
            for (int i = MR; i < 2 * MR; i++) {
                CBP_PREFETCH(C + i * ldc);
                CBP_PREFETCH(C + i * ldc + last + W - 1);
            }
        }
        if (bias != NULL) {
            CBP_UNROLL
            for (int i = 0; i < MR; i++) {
                CBP_UNROLL
                for (int v = 0; v < NV; v++)
                    sum[0][i][v] = LOAD(bias + COLUMN(v));
                if (edge == AND_HALF)
                    half[0][i] = HN(load)(bias + last);
            }
        }
#define STEP(s)                                                                                    \
    {                                                                                              \
        V row[4];                                                                                  \
        HV rest = HN(set)(0);                                                                      \
        CBP_UNROLL                                                                                 \
        for (int v = 0; v < NV; v++)                                                               \
            row[v] = LOAD((const T *)b + COLUMN(v));                                               \
        if (edge == AND_HALF)                                                                      \
            rest = HN(load)((const T *)b + last);                                                  \
        if (doing == PACKING) {                                                                    \
            CBP_PREFETCH(b + 16 * next_b);                                                         \
            CBP_PREFETCH(b + 16 * next_b + (last + W - 1) * SIZE);                                 \
            CBP_UNROLL                                                                             \
            for (int v = 0; v < NV; v++)                                                           \
                WN(store)(to + COLUMN(v), row[v]);                                                 \
            to += last + W;                                                                        \
        }                                                                                          \
        if (MR == 2) { /* one load, not two */                                                     \
            CBP_UNROLL                                                                             \
            for (int v = 0; v < NV; v++)                                                           \
                CBP_OPAQUE_VECTOR(row[v]);                                                         \
        }                                                                                          \
        CBP_UNROLL                                                                                 \
        for (int i = 0; i < MR; i++) {                                                             \
            V x = WN(set)(WN(in_row)(a, a4, i, a1, a3));                                           \
            if (edge == AND_HALF) /* one load here, too */                                         \
                CBP_OPAQUE_VECTOR(x);                                                              \
            CBP_UNROLL                                                                             \
            for (int v = 0; v < NV; v++)                                                           \
                sum[s][i][v] += x * row[v];                                                        \
            if (edge == AND_HALF)                                                                  \
                half[s][i] += WN(low_half)(x) * rest;                                              \
        }                                                                                          \
        a += next_a;                                                                               \
        a4 += next_a;                                                                              \
        b += next_b;                                                                               \
    }
        while (doing == COPYING && p > 0) {
            ptrdiff_t terms = p < copying.every ? p : copying.every;
            WN(copy_row)(from, to, ahead, copying.middle, copying.last);
            from += copying.step;
            to += copying.width;
            CBP_OPAQUE(from); /* and these: else GCC recomputes addresses from a counter */
            CBP_OPAQUE(to);
            for (p -= terms; terms > 0; terms--) {
                STEP(0)
                CBP_OPAQUE(a);
                CBP_OPAQUE(b);
            }
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
        for (int i = 0; i < MR; i++) {
            CBP_UNROLL
            for (int v = 0; v < NV; v++) {
                if (KS == 4)
                    sum[0][i][v] += sum[2][i][v], sum[1][i][v] += sum[3][i][v];
                if (KS >= 2)
                    sum[0][i][v] += sum[1][i][v];
            }
            if (edge == AND_HALF && KS == 4)
                half[0][i] += half[2][i], half[1][i] += half[3][i];
            if (edge == AND_HALF && KS >= 2)
                half[0][i] += half[1][i];
        }
#define STORE(how)                                                                                 \
    CBP_UNROLL                                                                                     \
    for (int i = 0; i < MR; i++, C += ldc) {                                                       \
        const int adds = how == ADDED || how == COMBINED;                                          \
        V out[4];                                                                                  \
        HV end = HN(set)(0);                                                                       \
        if (edge == AND_HALF)                                                                      \
            end = HN(finished)(how, alpha, half[0][i], beta,                                       \
                               adds ? HN(load)(C + last) : HN(set)(0));                            \
        CBP_UNROLL                                                                                 \
        for (int v = 0; v < NV; v++)                                                               \
            out[v] = WN(finished)(how, alpha, sum[0][i][v], beta,                                  \
                                  adds ? LOAD(C + COLUMN(v)) : WN(set)(0));                        \
        CBP_UNROLL                                                                                 \
        for (int v = 0; v < NV; v++)                                                               \
            if (edge == PART)                                                                      \
                WN(store_part)(C, out[v], W + last);                                               \
            else                                                                                   \
                WN(store)(C + COLUMN(v), out[v]);                                                  \
        if (edge == AND_HALF)                                                                      \
            HN(store)(C + last, end);                                                              \
    }
        if (beta == 0 && alpha == 1)
            STORE(PLAIN)
        else if (beta == 0)
            STORE(SCALED)
        else if (beta == 1)
            STORE(ADDED)
        else
            STORE(COMBINED)
#undef STORE
        A0 += MR * a1;
    }
#undef COLUMN
#undef LOAD
}

/* PANEL(MR, NV) for every tile: the rows that the registers allow for each number of vectors.  A
 * width below the widest has few vectors: wider rows of C take the widest. */
#define ROWS_1_TO_4(PANEL, NV) PANEL(1, NV) PANEL(2, NV) PANEL(3, NV) PANEL(4, NV)
#define ROWS_1_TO_6(PANEL, NV) ROWS_1_TO_4(PANEL, NV) PANEL(5, NV) PANEL(6, NV)
#define ROWS_1_TO_8(PANEL, NV) ROWS_1_TO_6(PANEL, NV) PANEL(7, NV) PANEL(8, NV)
#define MOST_ROWS_1 8
#if REGISTERS >= 32 && BYTES == VECTOR_BYTES
#define MOST_ROWS_2 8
#define MOST_ROWS_3 8
#define MOST_ROWS_4 6
#define PANELS_1_2(PANEL) ROWS_1_TO_8(PANEL, 1) ROWS_1_TO_8(PANEL, 2)
#define PANELS_3(PANEL) ROWS_1_TO_8(PANEL, 3)
#define PANELS_4(PANEL) ROWS_1_TO_6(PANEL, 4)
#else
#if defined(__clang__) || VECTOR_BYTES < 32 /* Clang spills; SSE2 multiplies in a register */
#define MOST_ROWS_2 5
#define MOST_ROWS_3 3
#else
#define MOST_ROWS_2 6
#define MOST_ROWS_3 4
#endif
#define PANELS_1_2(PANEL) ROWS_1_TO_8(PANEL, 1) ROWS_1_TO_6(PANEL, 2)
#define PANELS_3(PANEL) ROWS_1_TO_4(PANEL, 3)
#endif
#if BYTES < VECTOR_BYTES && BYTES <= 16
#define MOST_VECTORS 2
#define PANELS(PANEL) PANELS_1_2(PANEL)
#elif BYTES < VECTOR_BYTES || REGISTERS < 32
#define MOST_VECTORS 3
#define PANELS(PANEL) PANELS_1_2(PANEL) PANELS_3(PANEL)
#else
#define MOST_VECTORS 4
#define PANELS(PANEL) PANELS_1_2(PANEL) PANELS_3(PANEL) PANELS_4(PANEL)
#endif

/* KS depends on m alone: 4 for one row, 2 for two rows, else 1.  So all elements of a product
 * are summed in one order, and equal rows of A give equal rows of C. */
#define PANEL(MR, NV)                                                                              \
    static void WN(panel_##MR##x##NV)(const FN(job) *job, const T *A, const T *B, T *C,            \
                                      const T *bias, ptrdiff_t last, ptrdiff_t tiles)              \
    {                                                                                              \
        WN(panel)(MR, NV, WHOLE, MR == 1 ? 4 : 1, READING, job, A, B, C, bias, last, tiles, NULL); \
    }
PANELS(PANEL)
#undef PANEL
#define TWO_ROWS(NV)                                                                               \
    static void WN(two_rows_x##NV)(const FN(job) *job, const T *A, const T *B, T *C,               \
                                   const T *bias, ptrdiff_t last, ptrdiff_t tiles)                 \
    {                                                                                              \
        WN(panel)(2, NV, WHOLE, 2, READING, job, A, B, C, bias, last, tiles, NULL);                \
    }
TWO_ROWS(1)
TWO_ROWS(2)
#if MOST_VECTORS >= 3
TWO_ROWS(3)
#endif
#if MOST_VECTORS >= 4
TWO_ROWS(4)
#endif
#undef TWO_ROWS

typedef void (*WN(panel_function))(const FN(job) *, const T *, const T *, T *, const T *, ptrdiff_t,
                                   ptrdiff_t);

/* The tiles of a number of vectors, by their rows, and the tile of two rows only */
typedef struct WN(tiles) {
    ptrdiff_t most;
    WN(panel_function) two_rows, panel[8];
} WN(tiles);

static const WN(tiles) WN(tiles_of)[MOST_VECTORS + 1] = {
#define PANEL(MR, NV) [NV].panel[MR - 1] = WN(panel_##MR##x##NV),
    PANELS(PANEL)
#undef PANEL
#define TILES(NV) [NV].most = MOST_ROWS_##NV, [NV].two_rows = WN(two_rows_x##NV),
    TILES(1)
    TILES(2)
#if MOST_VECTORS >= 3
    TILES(3)
#endif
#if MOST_VECTORS >= 4
    TILES(4)
#endif
#undef TILES
};

/* One panel of columns: whole tiles, then the rows that remain; if those are less than half a tile,
 * they share the last whole tile, so that both are at least half a tile and two rows. */
CBP_INLINE void WN(rows)(const WN(tiles) *by, const FN(job) *job, ptrdiff_t m, const T *A,
                         const T *B, T *C, const T *bias, ptrdiff_t last)
{
    const ptrdiff_t most = by->most;
    ptrdiff_t tiles, rest, first = 0;
    if (most == 8) /* without a division */
        tiles = m / 8, rest = m % 8;
    else
        tiles = m / most, rest = m % most;
    if (m == 2) {
        by->two_rows(job, A, B, C, bias, last, 1);
        return;
    }
    if (tiles > 0 && rest > 0 && 2 * rest < most) {
        first = (most + 1) / 2;
        rest += most - first;
        tiles--;
    }
    if (tiles > 0) {
        by->panel[most - 1](job, A, B, C, bias, last, tiles);
        A += tiles * most * job->rsa;
        C += tiles * most * job->ldc;
    }
    if (first > 0) {
        by->panel[first - 1](job, A, B, C, bias, last, 1);
        A += first * job->rsa;
        C += first * job->ldc;
    }
    if (rest > 0)
        by->panel[rest - 1](job, A, B, C, bias, last, 1);
}

/* One panel of one piece: which terms and columns.  The pieces, and in each the panels, are as
 * equal as possible; the wider panels come last, and there are never fewer than W columns left. */
typedef struct WN(place) {
    ptrdiff_t p, k, terms, pieces; /* the piece's first term, its terms, those left, pieces left */
    ptrdiff_t column, across, width, columns, vectors, panels; /* the same of the panel */
} WN(place);

CBP_INLINE void WN(choose_panel)(WN(place) *at)
{
    at->across = at->panels == 1 ? at->vectors : at->vectors / at->panels;
    at->width = at->panels == 1 ? at->columns : at->across * W;
}

CBP_INLINE void WN(choose_piece)(WN(place) *at, ptrdiff_t n)
{
    at->k = at->pieces == 1 ? at->terms : at->terms / at->pieces;
    at->column = 0;
    at->columns = n;
    at->vectors = (n + W - 1) / W;
    at->panels = (at->vectors + MOST_VECTORS - 1) / MOST_VECTORS;
    WN(choose_panel)(at);
}

/* To the next panel; 0 after the last */
CBP_INLINE int WN(go_on)(WN(place) *at, ptrdiff_t n)
{
    at->column += at->width;
    at->columns -= at->width;
    at->vectors -= at->across;
    if (--at->panels > 0) {
        WN(choose_panel)(at);
        return 1;
    }
    at->p += at->k;
    at->terms -= at->k;
    if (--at->pieces == 0)
        return 0;
    WN(choose_piece)(at, n);
    return 1;
}

#if VECTOR_BYTES == 32 && BYTES == 32
#include "packed.h"
#endif

/* C (m, n), n >= W */
static void WN(panels)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B, T *C,
                       const T *bias)
{
    WN(place) at = {.terms = job->k, .pieces = 1};
#if VECTOR_BYTES == 32 && BYTES == 32
    if (WN(packing_pays)(job, m, n)) {
        WN(packed_panels)(job, m, n, A, B, C, bias);
        return;
    }
#endif
    if (n <= MOST_VECTORS * W) { /* one panel */
        WN(rows)(&WN(tiles_of)[(n + W - 1) / W], job, m, A, B, C, bias, n - W);
        return;
    }
    WN(choose_piece)(&at, n);
    do {
        const T *b = bias == NULL ? NULL : bias + at.column;
        WN(rows)(&WN(tiles_of)[at.across], job, m, A, B + at.column, C + at.column, b,
                 at.width - W);
    } while (WN(go_on)(&at, n));
}

#if BYTES == 64
/* Tiles with an edge: a part of one vector, or a vector and a half. */
#define EDGE(name, rows, MR, edge, KS)                                                             \
    static void WN(name##_##rows)(const FN(job) *job, const T *A, const T *B, T *C, const T *bias, \
                                  ptrdiff_t last, ptrdiff_t tiles)                                 \
    {                                                                                              \
        WN(panel)(MR, 1, edge, KS, READING, job, A, B, C, bias, last, tiles, NULL);                \
    }
#define EDGE_TILES(name, edge)                                                                     \
    EDGE(name, 1, 1, edge, 4)                                                                      \
    EDGE(name, two, 2, edge, 2)                                                                    \
    EDGE(name, 2, 2, edge, 1)                                                                      \
    EDGE(name, 3, 3, edge, 1)                                                                      \
    EDGE(name, 4, 4, edge, 1)                                                                      \
    EDGE(name, 5, 5, edge, 1)                                                                      \
    EDGE(name, 6, 6, edge, 1)                                                                      \
    EDGE(name, 7, 7, edge, 1)                                                                      \
    EDGE(name, 8, 8, edge, 1)                                                                      \
    static const WN(tiles) WN(name##_tiles) = {                                                    \
        8,                                                                                         \
        WN(name##_two),                                                                            \
        {WN(name##_1), WN(name##_2), WN(name##_3), WN(name##_4), WN(name##_5), WN(name##_6),       \
         WN(name##_7), WN(name##_8)}};
EDGE_TILES(part, PART)
EDGE_TILES(half, AND_HALF)
#undef EDGE_TILES
#undef EDGE

/* C (m, n), n < W; or W < n <= 3/2 W */
static void WN(edge_panel)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B,
                           T *C, const T *bias)
{
    if (n < W)
        WN(rows)(&WN(part_tiles), job, m, A, B, C, bias, n - W);
    else
        WN(rows)(&WN(half_tiles), job, m, A, B, C, bias, n - W / 2);
}
#endif
#undef READING
#undef PACKING
#undef COPYING
#undef WHOLE
#undef PART
#undef AND_HALF
#undef HN
#undef HV
#undef ROWS_1_TO_4
#undef ROWS_1_TO_6
#undef ROWS_1_TO_8
#undef MOST_ROWS_1
#undef MOST_ROWS_2
#undef MOST_ROWS_3
#undef MOST_ROWS_4
#undef PANELS_1_2
#undef PANELS_3
#undef PANELS_4
#undef PANELS
#undef MOST_VECTORS

#if W > 1
/* Half of the lanes of two vectors added to the other half, a's sums before b's: neighbours within 16
 * bytes (d < PART), where shuffles are cheap, or neighbouring 16 bytes.  Folding vectors two by two
 * thus gives one vector of their sums, in order. */
CBP_INLINE V WN(fold)(const int d, V a, V b)
{
    enum { PART = 16 / SIZE, PARTS = W / PART };
#if defined(__clang__)
    V x = a, y = a;
    CBP_UNROLL
    for (int i = 0; i < W; i++) {
        const int within = i % PART, part = i / PART;
        const int second = d < PART ? within >= PART / 2 : part >= PARTS / 2;
        const int from = d < PART ? i - within + within * 2 % PART
                                  : part * 2 % PARTS * PART + within;
        x[i] = second ? b[from] : a[from];
        y[i] = second ? b[from + (d < PART ? 1 : PART)] : a[from + (d < PART ? 1 : PART)];
    }
    return x + y;
#else
    const M lane = WN(lane_numbers)();
    const M within = lane & (PART - 1), part = lane - within;
    const M from = d < PART ? part + (2 * within & (PART - 1)) : (2 * part & (W - 1)) + within;
    const M second = (M)(d < PART ? within >= PART / 2 : part >= W / 2) & W;
    return __builtin_shuffle(a, b, from + second) +
           __builtin_shuffle(a, b, from + second + (d < PART ? 1 : PART));
#endif
}
#endif

#if W > 1 && BYTES <= 32
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
    *C = beta == 0 ? start + alpha * total : FN(combine)(beta, *C, alpha, total);
}
/* Element r n + j of sums = sum_p a_r[p] b_j[p] for the rows r < GROUP of A, the last of `rows`
 * repeated, and the columns j < n, `apart` elements from each other: a vector along p for each sum,
 * then folds.  GROUP * n is 4, 8 or 12. */
CBP_INLINE void WN(dot_group)(const int GROUP, const int n, const T *A, ptrdiff_t rsa,
                              ptrdiff_t rows, ptrdiff_t k, const T *b, ptrdiff_t apart, V *sums)
{
    const ptrdiff_t whole = k - k % W;
    const T *a[8];
    V sum[12], x[3];
    CBP_UNROLL
    for (int r = 0; r < GROUP; r++)
        a[r] = A + (r < rows ? r : rows - 1) * rsa;
    CBP_UNROLL
    for (int i = 0; i < GROUP * n; i++)
        sum[i] = WN(set)(0);
    for (ptrdiff_t p = 0; p < whole; p += W) {
        CBP_UNROLL
        for (int j = 0; j < n; j++)
            x[j] = WN(load)(b + j * apart + p);
        CBP_UNROLL
        for (int r = 0; r < GROUP; r++) {
            const V y = WN(load)(a[r] + p);
            CBP_UNROLL
            for (int j = 0; j < n; j++)
                sum[r * n + j] += y * x[j];
        }
    }
    if (whole < k) { /* the last W terms, without those already added */
        const M mask = (M)(WN(lane_numbers)() >= (BITS)(W - (k - whole)));
        CBP_UNROLL
        for (int j = 0; j < n; j++)
            x[j] = WN(from_bits)(WN(bits)(WN(load)(b + j * apart + k - W)) & mask);
        CBP_UNROLL
        for (int r = 0; r < GROUP; r++) {
            const V y = WN(from_bits)(WN(bits)(WN(load)(a[r] + k - W)) & mask);
            CBP_UNROLL
            for (int j = 0; j < n; j++)
                sum[r * n + j] += y * x[j];
        }
    }
#define FOLD(d, first, most)                                                                       \
    if (d < (most < W ? most : W)) {                                                               \
        CBP_UNROLL                                                                                 \
        for (int i = first; i < first + most; i += 2 * d)                                          \
            sum[i] = WN(fold)(d, sum[i], sum[i + d]);                                              \
    }
#define FOLD_ALL(first, most)                                                                      \
    FOLD(1, first, most) /* unrolled: a loop over d would keep the sums in memory */               \
    FOLD(2, first, most)                                                                           \
    FOLD(4, first, most)                                                                           \
    if (most < W)                                                                                  \
        sum[first] = WN(fold)(most, sum[first], sum[first]);                                       \
    CBP_UNROLL                                                                                     \
    for (int i = first; i < first + most; i += W)                                                  \
        sums[i / W] = sum[i];
    if (GROUP * n >= 8) {
        FOLD_ALL(0, 8)
    }
    if (GROUP * n == 4) {
        FOLD_ALL(0, 4)
    }
    if (GROUP * n == 12) {
        FOLD_ALL(8, 4)
    }
#undef FOLD_ALL
#undef FOLD
}

/* C (m, n) = beta C + start + alpha A [b_0 ... b_(n-1)], k >= W */
CBP_INLINE void WN(dots_columns)(const int n, const FN(job) *job, ptrdiff_t m, ptrdiff_t k,
                                 const T *A, const T *b, ptrdiff_t apart, T beta, const T *start,
                                 T *C)
{
    const int GROUP = n == 1 ? 8 : 4;
    const ptrdiff_t rsa = job->rsa, ldc = job->ldc;
    const T alpha = job->alpha;
    T starts[16];
    V sums[6];
    CBP_UNROLL
    for (int i = 0; i < 6; i++)
        sums[i] = WN(set)(0);
    CBP_UNROLL
    for (int i = 0; i < GROUP * n; i++)
        starts[i] = start[i % n];
    while (m > 0) {
        const ptrdiff_t rows = m < GROUP ? m : GROUP;
        if (n == 1 && rows <= 4)
            WN(dot_group)(4, 1, A, rsa, rows, k, b, apart, sums);
        else if (rows < GROUP)
            WN(dot_group)(GROUP, n, A, rsa, rows, k, b, apart, sums);
        else /* the same with constants */
            WN(dot_group)(GROUP, n, A, rsa, GROUP, k, b, apart, sums);
        if (beta == 0 && ldc == n && rows == GROUP) {
            CBP_UNROLL
            for (int i = 0; i < GROUP * n; i += W) {
                const V out = WN(load)(starts + i) + alpha * sums[i / W];
                memcpy(C + i, &out, (GROUP * n - i < W ? GROUP * n - i : W) * sizeof(T));
            }
        }
        else {
            T each[16];
            CBP_UNROLL
            for (int i = 0; i < GROUP * n; i += W)
                WN(store)(each + i, sums[i / W]);
            for (ptrdiff_t r = 0; r < rows; r++) {
                CBP_UNROLL
                for (int j = 0; j < n; j++) {
                    T *c = C + r * ldc + j;
                    *c = beta == 0 ? starts[j] + alpha * each[r * n + j]
                                   : FN(combine)(beta, *c, alpha, each[r * n + j]);
                }
            }
        }
        m -= rows;
        A += rows * rsa;
        C += rows * ldc;
    }
}

static void WN(dots)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const T *A,
                     const T *b, ptrdiff_t apart, T beta, const T *start, T *C)
{
    if (m == 1 && n == 1)
        WN(dot)(job->alpha, k, A, b, beta, start[0], C);
    else if (n == 1)
        WN(dots_columns)(1, job, m, k, A, b, apart, beta, start, C);
    else if (n == 2)
        WN(dots_columns)(2, job, m, k, A, b, apart, beta, start, C);
    else
        WN(dots_columns)(3, job, m, k, A, b, apart, beta, start, C);
}
#endif
