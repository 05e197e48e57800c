/* C = beta C + alpha A B for small matrices: which tiles, of which width; simd.h has the formula.
 * Included once per dtype and level, after the tiles.  It promises not to block for caches: large
 * products belong to BLAS.
 */
#if VECTOR_BYTES > 0
#define NARROWEST (16 / (IS_DOUBLE ? 8 : 4)) /* elements of the narrowest vector */
#else
#define NARROWEST 1
#endif
#if IS_DOUBLE
#define TILE(name, bytes) CBP_JOIN_WIDTH(name, bytes, DTYPE, LEVEL)
#endif

/* n >= NARROWEST: the width that wastes least.  A 64-byte multiply-add is taken to cost 5/3 of a
 * narrower one: 2 where the units have 32 bytes, 1 where they have 64. */
static void FN(panels)(const FN(job) *job, ptrdiff_t m, ptrdiff_t n, const T *A, const T *B, T *C,
                       const T *bias)
{
#if VECTOR_BYTES == 0
    CBP_JOIN_WIDTH(panels, 1, DTYPE, LEVEL)(job, m, n, A, B, C, bias);
#elif IS_DOUBLE
#if VECTOR_BYTES >= 64
    if (n >= 8 && 5 * ((n + 7) / 8) <= 3 * ((n + 3) / 4)) {
        CBP_JOIN_WIDTH(panels, 8, DTYPE, LEVEL)(job, m, n, A, B, C, bias);
        return;
    }
#endif
#if VECTOR_BYTES >= 32
    if (n >= 4) {
        CBP_JOIN_WIDTH(panels, 4, DTYPE, LEVEL)(job, m, n, A, B, C, bias);
        return;
    }
#endif
    CBP_JOIN_WIDTH(panels, 2, DTYPE, LEVEL)(job, m, n, A, B, C, bias);
#else
#if VECTOR_BYTES >= 64
    if (n >= 16 && 5 * ((n + 15) / 16) <= 3 * ((n + 7) / 8)) {
        CBP_JOIN_WIDTH(panels, 16, DTYPE, LEVEL)(job, m, n, A, B, C, bias);
        return;
    }
#endif
#if VECTOR_BYTES >= 32
    if (n >= 8) {
        CBP_JOIN_WIDTH(panels, 8, DTYPE, LEVEL)(job, m, n, A, B, C, bias);
        return;
    }
#endif
    CBP_JOIN_WIDTH(panels, 4, DTYPE, LEVEL)(job, m, n, A, B, C, bias);
#endif
}
