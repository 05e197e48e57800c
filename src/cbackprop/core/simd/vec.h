/* A vector of W elements of T, by GNU vectors, or one element where W is 1.
 * Included once per dtype and width; promises never to become a library of vector functions.
 *
 * V is the vector, M the integers of its size (masks are all ones or all zeros).
 */
#define WN(name) CBP_JOIN_WIDTH(name, BYTES, DTYPE, LEVEL)
#define V WN(vector)
#define M WN(mask)

#if W > 1
typedef T V __attribute__((vector_size(W * sizeof(T))));
typedef BITS M __attribute__((vector_size(W * sizeof(T))));
typedef T WN(unaligned) __attribute__((vector_size(W * sizeof(T)), aligned(1), may_alias));

CBP_INLINE V WN(load)(const T *x) { return *(const WN(unaligned) *)x; }
CBP_INLINE void WN(store)(T *x, V v) { *(WN(unaligned) *)x = v; }
CBP_INLINE V WN(set)(T x) { return x - (V){0}; } /* x - 0 is x, -0 too */
CBP_INLINE M WN(bits)(V v) { return (M)v; }
CBP_INLINE V WN(from_bits)(M m) { return (V)m; }
CBP_INLINE M WN(less)(V a, V b) { return (M)(a < b); }
#else
typedef T V;
typedef BITS M;

CBP_INLINE V WN(load)(const T *x) { return *x; }
CBP_INLINE void WN(store)(T *x, V v) { *x = v; }
CBP_INLINE V WN(set)(T x) { return x; }
CBP_INLINE M WN(bits)(V v) { M m; memcpy(&m, &v, sizeof m); return m; }
CBP_INLINE V WN(from_bits)(M m) { V v; memcpy(&v, &m, sizeof v); return v; }
CBP_INLINE M WN(less)(V a, V b) { return -(M)(a < b); }
#endif

/* mask ? a : b */
CBP_INLINE V WN(select)(M mask, V a, V b)
{
    return WN(from_bits)((mask & WN(bits)(a)) | (~mask & WN(bits)(b)));
}

/* a where x's sign bit is set, else b */
CBP_INLINE V WN(by_sign)(V x, V a, V b)
{
#if BYTES == 64 && SIZE == 8
    return (V)_mm512_mask_blend_pd(_mm512_movepi64_mask((__m512i)x), (__m512d)b, (__m512d)a);
#elif BYTES == 64
    return (V)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)x), (__m512)b, (__m512)a);
#elif BYTES == 32 && SIZE == 8
    return (V)_mm256_blendv_pd((__m256d)b, (__m256d)a, (__m256d)x);
#elif BYTES == 32
    return (V)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)x);
#elif BYTES == 16 && VECTOR_BYTES > 16 && SIZE == 8
    return (V)_mm_blendv_pd((__m128d)b, (__m128d)a, (__m128d)x);
#elif BYTES == 16 && VECTOR_BYTES > 16
    return (V)_mm_blendv_ps((__m128)b, (__m128)a, (__m128)x);
#else
    return WN(select)(WN(bits)(x) >> (8 * SIZE - 1), a, b);
#endif
}

/* beta x + alpha y.  The compiler could fuse either product with the sum; here it is alpha y. */
CBP_INLINE V WN(combine)(T beta, V x, T alpha, V y)
{
    V scaled = beta * x;
    CBP_OPAQUE_VECTOR(scaled);
    return scaled + alpha * y;
}

/* x86's min and max return their second operand if either is NaN. */
#if BYTES == 64 && SIZE == 8
#define EXTREME(which, limit, x) (V)_mm512_##which##_pd((__m512d)(limit), (__m512d)(x))
#elif BYTES == 64
#define EXTREME(which, limit, x) (V)_mm512_##which##_ps((__m512)(limit), (__m512)(x))
#elif BYTES == 32 && SIZE == 8
#define EXTREME(which, limit, x) (V)_mm256_##which##_pd((__m256d)(limit), (__m256d)(x))
#elif BYTES == 32
#define EXTREME(which, limit, x) (V)_mm256_##which##_ps((__m256)(limit), (__m256)(x))
#elif BYTES == 16 && VECTOR_BYTES > 16 && SIZE == 8
#define EXTREME(which, limit, x) (V)_mm_##which##_pd((__m128d)(limit), (__m128d)(x))
#elif BYTES == 16 && VECTOR_BYTES > 16
#define EXTREME(which, limit, x) (V)_mm_##which##_ps((__m128)(limit), (__m128)(x))
#else
#define max_beyond(limit, x) WN(less)(x, limit)
#define min_beyond(limit, x) WN(less)(limit, x)
#define EXTREME(which, limit, x) WN(select)(which##_beyond(limit, x), limit, x)
#endif

/* x, but at least low, or at most high; NaN stays NaN. */
CBP_INLINE V WN(at_least)(V low, V x) { return EXTREME(max, low, x); }
CBP_INLINE V WN(at_most)(V high, V x) { return EXTREME(min, high, x); }
#undef EXTREME
#undef max_beyond
#undef min_beyond

/* 0, 1, 2, ... */
CBP_INLINE M WN(lane_numbers)(void)
{
#if W == 16
    return (M){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif W == 8
    return (M){0, 1, 2, 3, 4, 5, 6, 7};
#elif W == 4
    return (M){0, 1, 2, 3};
#elif W == 2
    return (M){0, 1};
#else
    return 0;
#endif
}

/* All ones in the first n lanes, zeros after them */
CBP_INLINE M WN(inside)(ptrdiff_t n)
{
#if W > 1
    return (M)(WN(lane_numbers)() < (BITS)n);
#else
    return -(M)(n > 0);
#endif
}

/* The first n < W elements of x, zeros after them; nothing else is read. */
CBP_INLINE V WN(load_part)(const T *x, ptrdiff_t n)
{
#if BYTES == 64 && SIZE == 8
    return (V)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), x);
#elif BYTES == 64
    return (V)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
#elif BYTES == 32 && SIZE == 8
    return (V)_mm256_maskload_pd(x, (__m256i)WN(inside)(n));
#elif BYTES == 32
    return (V)_mm256_maskload_ps(x, (__m256i)WN(inside)(n));
#elif W == 4
    return n == 1 ? (V){x[0]} : n == 2 ? (V){x[0], x[1]} : n == 3 ? (V){x[0], x[1], x[2]} : (V){0};
#elif W == 2
    return n == 1 ? (V){x[0]} : (V){0};
#else
    (void)x, (void)n;
    return 0;
#endif
}

/* Store the first n < W elements; nothing else is written. */
CBP_INLINE void WN(store_part)(T *x, V v, ptrdiff_t n)
{
#if BYTES == 64 && SIZE == 8
    _mm512_mask_storeu_pd(x, (__mmask8)((1u << n) - 1), (__m512d)v);
#elif BYTES == 64
    _mm512_mask_storeu_ps(x, (__mmask16)((1u << n) - 1), (__m512)v);
#elif W > 1
    /* AVX's masked stores are slow on several CPUs. */
    CBP_UNROLL
    for (int i = 0; i < W - 1; i++)
        if (i < n)
            x[i] = v[i];
#else
    (void)x, (void)v, (void)n;
#endif
}

/* The same for the first n elements of an array, at most a whole vector */
CBP_INLINE V WN(load_up_to)(const T *x, ptrdiff_t n)
{
    return n >= W ? WN(load)(x) : WN(load_part)(x, n);
}

CBP_INLINE void WN(store_up_to)(T *x, V v, ptrdiff_t n)
{
    if (n >= W)
        WN(store)(x, v);
    else
        WN(store_part)(x, v, n);
}

#if W == 4
#if defined(__clang__)
#define LANES_OF(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define LANES_OF(a, b, i, j, k, l) __builtin_shuffle(a, b, (M){i, j, k, l})
#endif
/* The columns of four rows of four, `step` apart */
CBP_INLINE void WN(columns)(const T *x, ptrdiff_t step, V *column)
{
    const V a = WN(load)(x), b = WN(load)(x + step);
    const V c = WN(load)(x + 2 * step), d = WN(load)(x + 3 * step);
#if SIZE == 8 /* within 16 bytes first, which is cheap */
    const V ab = LANES_OF(a, b, 0, 4, 2, 6), ab_odd = LANES_OF(a, b, 1, 5, 3, 7);
    const V cd = LANES_OF(c, d, 0, 4, 2, 6), cd_odd = LANES_OF(c, d, 1, 5, 3, 7);
    column[0] = LANES_OF(ab, cd, 0, 1, 4, 5), column[1] = LANES_OF(ab_odd, cd_odd, 0, 1, 4, 5);
    column[2] = LANES_OF(ab, cd, 2, 3, 6, 7), column[3] = LANES_OF(ab_odd, cd_odd, 2, 3, 6, 7);
#else
    const V ab = LANES_OF(a, b, 0, 4, 1, 5), ab_high = LANES_OF(a, b, 2, 6, 3, 7);
    const V cd = LANES_OF(c, d, 0, 4, 1, 5), cd_high = LANES_OF(c, d, 2, 6, 3, 7);
    column[0] = LANES_OF(ab, cd, 0, 1, 4, 5), column[1] = LANES_OF(ab, cd, 2, 3, 6, 7);
    column[2] = LANES_OF(ab_high, cd_high, 0, 1, 4, 5);
    column[3] = LANES_OF(ab_high, cd_high, 2, 3, 6, 7);
#endif
}
#undef LANES_OF
#endif

/* The largest element, if none is NaN */
CBP_INLINE T WN(largest)(V v)
{
#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#if BYTES == 64 && SIZE == 8
    return _mm512_reduce_max_pd((__m512d)v);
#elif BYTES == 64
    return _mm512_reduce_max_ps((__m512)v);
#elif W == 8
    const T a = LARGER(v[0], v[4]), b = LARGER(v[1], v[5]), c = LARGER(v[2], v[6]),
            d = LARGER(v[3], v[7]), ab = LARGER(a, b), cd = LARGER(c, d);
    return LARGER(ab, cd);
#elif W == 4
    const T a = LARGER(v[0], v[2]), b = LARGER(v[1], v[3]);
    return LARGER(a, b);
#elif W == 2
    return LARGER(v[0], v[1]);
#else
    return v;
#endif
#undef LARGER
}

/* The sum of the elements, halves first */
CBP_INLINE T WN(sum)(V v)
{
#if BYTES == 64 && SIZE == 8
    return _mm512_reduce_add_pd((__m512d)v);
#elif BYTES == 64
    return _mm512_reduce_add_ps((__m512)v);
#elif W == 8
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
#elif W == 4
    return (v[0] + v[2]) + (v[1] + v[3]);
#elif W == 2
    return v[0] + v[1];
#else
    return v;
#endif
}
