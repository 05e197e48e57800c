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
#else
    return WN(select)(WN(bits)(x) >> (8 * SIZE - 1), a, b);
#endif
}

/* beta x + alpha y.  Of two products the compiler may fuse either with the sum: here alpha y. */
CBP_INLINE V WN(combine)(T beta, V x, T alpha, V y)
{
    V scaled = beta * x;
    CBP_OPAQUE_VECTOR(scaled);
    return scaled + alpha * y;
}

/* x, but at least low; NaN stays (x86's max returns its second operand then). */
CBP_INLINE V WN(at_least)(V low, V x)
{
#if BYTES == 64 && SIZE == 8
    return (V)_mm512_max_pd((__m512d)low, (__m512d)x);
#elif BYTES == 64
    return (V)_mm512_max_ps((__m512)low, (__m512)x);
#elif BYTES == 32 && SIZE == 8
    return (V)_mm256_max_pd((__m256d)low, (__m256d)x);
#elif BYTES == 32
    return (V)_mm256_max_ps((__m256)low, (__m256)x);
#else
    return WN(select)(WN(less)(x, low), low, x);
#endif
}

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

/* The first n < W elements of x, zeros behind them; nothing else is read. */
CBP_INLINE V WN(load_part)(const T *x, ptrdiff_t n)
{
#if BYTES == 64 && SIZE == 8
    return (V)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), x);
#elif BYTES == 64
    return (V)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
#elif BYTES == 32 && SIZE == 8
    return (V)_mm256_maskload_pd(x, (__m256i)(M)(WN(lane_numbers)() < (BITS)n));
#elif BYTES == 32
    return (V)_mm256_maskload_ps(x, (__m256i)(M)(WN(lane_numbers)() < (BITS)n));
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
