/* The activations whose slopes come with the values, on one vector of a width: softplus, silu,
 * gaussian and gelu; sine.h has the fifth.  This file promises not to loop.
 *
 * Each returns act(h) and sets *slope.  exp(-|h|) and exp(-h^2) are kept times 2^LIFT until the last
 * product, which rounds a subnormal result once.  |h| is bounded where value and slope have become 0
 * or their limits, so that no infinity meets a 0; NaN stays.
 *
 * Where a compiler fuses a product with a sum, the value must come out the same with its slope and
 * without: no product here is both an addend of the value and used for the slope.
 */
#if SIZE == 8
#define FARTHEST (-752.0)     /* 752 exp(-752) rounds to 0 */
#define GAUSSIAN_FARTHEST 27.4 /* 2 a exp(-a^2) rounds to 0 */
#define GELU_FARTHEST 38.7     /* a phi(a) rounds to 0 */
#define UPPER_HALF ((BITS)0xfffffffff8000000) /* 26 of 53 digits */
#else
#define FARTHEST LOWEST
#define GAUSSIAN_FARTHEST 10.4f
#define GELU_FARTHEST 14.6f
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

/* With a = |h|, e = exp(-a), p = sigma(a) = 1 / (1 + e), so that sigma(-a) = e p:
 *     h < 0    value -a e p    slope  e p (1 - a p) = e p p (e - (a - 1))
 *     else     value  h p      slope  p (1 + a e p)
 * a - 1 is exact near the slope's zero at -1.278. */
CBP_INLINE V WN(silu)(V h, V *slope)
{
    const V minus_a = WN(at_least)(WN(set)(FARTHEST), WN(from_bits)(WN(bits)(h) | SIGN_BIT));
    const V a = -minus_a;
    const V e = WN(exp_lifted)(minus_a, WN(set)(LIFTING(LIFT)));
    const V p = LIFTED / (e + LIFTED);
    const V sigma = e * p;
    const V t = (a * sigma) * (1 / LIFTED);
    const V below = (sigma * p) * (e * (1 / LIFTED) - (a - (T)1));
    *slope = WN(by_sign)(h, below * (1 / LIFTED), p + p * t);
    return WN(by_sign)(h, -t, h * p);
}

/* 2^LIFT exp(-scale a^2), scale 1 or 1/2: a^2 is the square of its upper half, exact, and the rest,
 * both without and with FMA (Dekker, Numerische Mathematik 18, 1971).  The square alone, rounded,
 * would cost as many units as the exponent is large. */
CBP_INLINE V WN(exp_minus_square)(T scale, V a)
{
    const V upper = WN(from_bits)(WN(bits)(a) & UPPER_HALF);
    const V square = (upper * upper) * -scale;
    const V rest = ((a + upper) * -scale) * (a - upper);
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

/* Phi(-a) exp(a^2 / 2) = erfcx(a / sqrt 2) / 2 for 0 <= a <= GELU_FARTHEST: a fraction whose
 * coefficients are all positive, so that nothing cancels.  Fitted to the relative error, by least
 * squares in 60 digits, the fraction's denominator and each point's weight from the round before
 * (Lawson), at 120 points that are Chebyshev's in (a - 4) / (a + 4); relative error 2^-59.9, float32
 * 2^-27.3. */
CBP_INLINE V WN(phi_scaled)(V a)
{
    const V a2 = a * a;
#if SIZE == 8
    const V p_even = ((((a2 * 2.2383100226806716e-07 + 0.00010645170928253596) * a2 +
                     0.007117145016870584) * a2 + 0.13197646732206625) * a2 + 0.679422799430981)
                     * a2 + 0.5;
    const V p_odd = (((a2 * 6.9666584095476e-06 + 0.0010387164328721785) * a2 +
                    0.03564420437172116) * a2 + 0.35720196170831814) * a2 + 0.8278047388022863;
    const V q_even = ((((a2 * 1.7462822949098237e-05 + 0.002621138803117343) * a2 +
                     0.0919155211341117) * a2 + 0.9796867254060948) * a2 + 2.8164506121291213) *
                     a2 + 1.0;
    const V q_odd = ((((a2 * 5.610611190240016e-07 + 0.0002673959254862131) * a2 +
                    0.018105749666933724) * a2 + 0.3481279151045729) * a2 + 2.000820884162258) *
                    a2 + 2.453494038407438;
#else
    const V p_even = (a2 * 0.00413135951384902f + 0.18353503942489624f) * a2 + 0.5f;
    const V p_odd = a2 * 0.0407344289124012f + 0.43869927525520325f;
    const V q_even = (a2 * 0.10211238265037537f + 1.2037479877471924f) * a2 + 1.0f;
    const V q_odd = (a2 * 0.010355666279792786f + 0.47026243805885315f) * a2 + 1.6752835512161255f;
#endif
    return (a * p_odd + p_even) / (a * q_odd + q_even);
}

/* With a = |h|, Phi(-a) = exp(-a^2 / 2) phi_scaled(a) and h phi(h) = +-exp(-a^2 / 2) a / sqrt(2 pi):
 *     h < 0    value -a Phi(-a)         slope  -d
 *     else     value  h (1 - Phi(-a))   slope 1 + d,   d = exp(-a^2 / 2) (a / sqrt(2 pi) - ...) */
CBP_INLINE V WN(gelu)(V h, V *slope)
{
    const V a = WN(at_most)(WN(set)(GELU_FARTHEST), WN(from_bits)(WN(bits)(h) & ~SIGN_BIT));
    const V e = WN(exp_minus_square)((T)0.5, a);
    const V scaled = WN(phi_scaled)(a);
    const V d = (a * (T)0.3989422804014327 - scaled) * e;
    const V phi = e * scaled;
    *slope = WN(by_sign)(h, d * (-1 / LIFTED), d * (1 / LIFTED) + (T)1);
    return WN(by_sign)(h, (a * phi) * (-1 / LIFTED), h * ((T)1 - phi * (1 / LIFTED)));
}

#undef FARTHEST
#undef GAUSSIAN_FARTHEST
#undef GELU_FARTHEST
#undef UPPER_HALF
