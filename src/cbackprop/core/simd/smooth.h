/* The activations whose slopes are computed with the values, on one vector of a width: softplus,
 * silu, gaussian and gelu; sine.h has the fifth.  This file promises not to loop.
 *
 * Each returns act(h) and sets *slope.  exp(-|h|) and exp(-h^2) are kept times 2^LIFT until the last
 * product, which rounds a subnormal result once.  |h| is bounded where value and slope have reached
 * 0 or their limits, so that no infinity is multiplied by 0; NaN stays NaN.
 *
 * The value must be the same with and without the slope, whatever products the compiler fuses with
 * sums: no product is both a term of the value and used for the slope, and if either of two
 * products could be fused, or one with two sums, it is opaque.
 */
#if SIZE == 8
#define FARTHEST (-752.0)     /* 752 exp(-752) rounds to 0 */
#define GAUSSIAN_FARTHEST 27.4 /* 2 a exp(-a^2) rounds to 0 */
#define GELU_FARTHEST 38.7     /* a phi(a) rounds to 0 */
#define CENTRE 5.5
#define UPPER_HALF ((BITS)0xfffffffff8000000) /* 26 of 53 digits */
#else
#define FARTHEST LOWEST
#define GAUSSIAN_FARTHEST 10.4f
#define GELU_FARTHEST 14.6f
#define CENTRE 5
#define UPPER_HALF ((BITS)0xfffff000) /* 12 of 24 digits */
#endif

/* max(h, 0) + log(1 + exp(-|h|)) and sigma(h) */
CBP_INLINE V WN(softplus)(V h, V *slope)
{
    const V lifted = WN(exp_minus_abs)(h);
    const V e = lifted * (1 / LIFTED);
    /* Both are e where 1 + e is 1 and half of e may lose a digit. */
    const M tiny = WN(less)(lifted, WN(set)(1));
    V sigma;
    const V log_part = WN(log1p_and_sigma)(e, &sigma);
    sigma = WN(select)(tiny, e, sigma);
    *slope = WN(by_sign)(h, sigma, (T)1 - sigma);
    return WN(at_least)(WN(set)(0), h) + WN(select)(tiny, e, log_part);
}

/* With a = |h|, e = exp(-a), p = sigma(a) = 1 / (1 + e), s = sigma(-a) = e p and t = a s:
 *     h < 0    value  -t     slope s (1 - a p) = s (t - (a - 1))
 *     else     value  h p    slope p (1 + t)
 * a - 1 is exact near the slope's zero at -1.278. */
CBP_INLINE V WN(silu)(V h, V *slope)
{
    const V minus_a = WN(at_least)(WN(set)(FARTHEST), WN(from_bits)(WN(bits)(h) | SIGN_BIT));
    const V a = -minus_a;
    const V e = WN(exp_lifted)(minus_a, WN(set)(LIFTING(LIFT)));
    const V p = LIFTED / (e + LIFTED);
    const V s = e * p; /* lifted */
    V t = (a * s) * (1 / LIFTED);
    CBP_OPAQUE_VECTOR(t);
    const V below = (s * (t - (a - (T)1))) * (1 / LIFTED);
    *slope = WN(by_sign)(h, below, p * t + p);
    return WN(by_sign)(h, -t, h * p);
}

/* 2^LIFT exp(-scale a^2), scale 1 or 1/2: a^2 is the square of its upper half, exact, and the rest,
 * both without and with FMA (Dekker, Numerische Mathematik 18, 1971).  The rounding error of the
 * square alone would be multiplied by the size of the exponent. */
CBP_INLINE V WN(exp_minus_square)(T scale, V a)
{
    const V upper = WN(from_bits)(WN(bits)(a) & UPPER_HALF);
    const V square = (upper * upper) * -scale;
    V rest = ((a + upper) * -scale) * (a - upper);
    CBP_OPAQUE_VECTOR(rest);
    return WN(exp_of)(1, square, rest, WN(set)(LIFTING(LIFT)));
}

CBP_INLINE V WN(gaussian)(V h, V *slope)
{
    const V a = WN(at_most)(WN(set)(GAUSSIAN_FARTHEST), WN(from_bits)(WN(bits)(h) & ~SIGN_BIT));
    const V e = WN(exp_minus_square)(1, a);
    const V steep = (a * e) * (2 / LIFTED);
    *slope = WN(by_sign)(h, steep, -steep);
    return e * (1 / LIFTED);
}

/* Phi(-a) = exp(-a^2 / 2) (1/2 + s(t)) / (1 + a) with t = (a - CENTRE) / (a + CENTRE), for 0 <= a <=
 * GELU_FARTHEST.  s is a polynomial, within [-0.1, 0], so that rounding errors in it, or of t, have
 * little effect.  It is fitted to the relative error of 1/2 + s, by weighted least squares in 60
 * digits at Chebyshev points in t, each point's weight repeatedly multiplied by its error (Lawson);
 * 2^-57.8, float32 2^-29.2. */
CBP_INLINE V WN(phi_numerator)(V a)
{
    const V t = (a - (T)CENTRE) / (a + (T)CENTRE);
    const V t2 = t * t;
#if SIZE == 8
    const V even = ((((((((((t2 * -1.0933206096918915e-09 + 6.047822659977085e-09) * t2 -
        4.279991892889339e-08) * t2 + 4.4854993244834565e-07) * t2 - 4.693787955025374e-06) * t2 +
        3.885870954485302e-05) * t2 - 8.14708177840621e-05) * t2 - 0.004252400927132662) * t2 -
        0.018229966319459914) * t2 - 0.02141363456770068) * t2 + 0.03618652602924515) * t2 -
        0.04277248883666873;
    const V odd = (((((((((t2 * -3.947432265606552e-09 + 3.4394126559617156e-08) * t2 -
        2.1478265481207128e-07) * t2 + 1.059591030319767e-06) * t2 - 4.84861171576307e-07) * t2 -
        9.055957474234281e-05) * t2 + 0.0011587134582364475) * t2 + 0.010221481362608609) * t2 +
        0.02430507846630142) * t2 + 0.0022150251247900713) * t2 - 0.08833898904448793;
#else
    const V even = ((((t2 * 0.00020367604156490415f - 0.001710235490463674f) * t2 -
        0.015157252550125122f) * t2 - 0.026402952149510384f) * t2 + 0.03103046305477619f) * t2 -
        0.03848417103290558f;
    const V odd = (((t2 * -4.2628729715943336e-05f + 0.006536591798067093f) * t2 +
        0.024535443633794785f) * t2 + 0.010002403520047665f) * t2 - 0.09155227988958359f;
#endif
    return t * odd + even;
}

/* With a = |h|, q = Phi(-a) and d = a phi(a) - q, where phi(a) = exp(-a^2 / 2) / sqrt(2 pi):
 *     h < 0    value  -a q     slope  -d
 *     else     value h - a q   slope 1 + d
 * and for a < 1/2, where that loses digits, with q = 1/2 - Phi(-a) and d = a phi(a) + q:
 *     h < 0    value h / 2 + a q     slope 1/2 - d
 *     else     value h / 2 + a q     slope 1/2 + d */
CBP_INLINE V WN(gelu)(V h, V *slope)
{
    const V zero = WN(set)(0), lifted_half = WN(set)((T)0.5 * LIFTED);
    const V a = WN(at_most)(WN(set)(GELU_FARTHEST), WN(from_bits)(WN(bits)(h) & ~SIGN_BIT));
    const M small = WN(less)(a, WN(set)((T)0.5));
    const V e = WN(exp_minus_square)((T)0.5, a);
    /* Exact, so that each sum below is rounded only once. */
    V half = e * (T)0.5;
    CBP_OPAQUE_VECTOR(half);
    V es = e * WN(phi_numerator)(a);
    CBP_OPAQUE_VECTOR(es);
    const V least = ((lifted_half - half) - es) + a * lifted_half;
    /* -q if it is to be subtracted */
    const V q = WN(select)(small, least, -es - half) / (a + (T)1);
    V aq = (a * q) * (1 / LIFTED);
    CBP_OPAQUE_VECTOR(aq);
    const V d = ((a * (T)0.3989422804014327) * e + q) * (1 / LIFTED);
    const V h_above = WN(at_least)(zero, h), one_above = WN(by_sign)(h, zero, WN(set)(1));
    *slope = WN(select)(small, WN(set)((T)0.5), one_above) + WN(by_sign)(h, -d, d);
    return WN(select)(small, h * (T)0.5, h_above) + aq;
}

#undef FARTHEST
#undef GAUSSIAN_FARTHEST
#undef GELU_FARTHEST
#undef CENTRE
#undef UPPER_HALF
