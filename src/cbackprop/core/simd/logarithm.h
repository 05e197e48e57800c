/* The logarithm on one vector of a width, for the losses.  This file promises not to loop.
 *
 * 2 atanh z = 2 z + 2 z t q(t), t = z^2 <= 1/9, q minimax (Remez, relative to atanh).
 */
CBP_INLINE V WN(atanh_twice)(V z)
{
    const V twice = z + z, t = z * z, t2 = t * t;
#if SIZE == 8
    const V t4 = t2 * t2;
    const V q01 = t * 0.19999999998023973 + 0.3333333333333885;
    const V q23 = t * 0.11111096448004752 + 0.1428571452908614;
    const V q45 = t * 0.07682145912466043 + 0.09091407153837135;
    const V q67 = t * 0.049513290603085264 + 0.06793173901603412;
    const V q = ((t4 * 0.08870043268312666) + (q67 * t2 + q45)) * t4 + (q23 * t2 + q01);
#else
    const V q01 = t * 0.20010763194675066f + 0.33333208150996385f;
    const V q23 = t * 0.14005965821375022f + 0.1400090889614503f;
    const V q = q23 * t2 + q01;
#endif
    return (twice * t) * q + twice;
}

/* log x for a normal x > 0 (not for an infinite one): x = 2^k m, sqrt 1/2 <= m < sqrt 2, and
 * log m = 2 atanh((m - 1) / (m + 1)) */
CBP_INLINE V WN(log)(V x)
{
#if SIZE == 8
    const BITS sqrt_half = 0x3fe6a09e667f3bcd, rounder = 0x4338000000000000;
#else
    const BITS sqrt_half = 0x3f3504f3, rounder = 0x4b400000;
#endif
    const M above = WN(bits)(x) - sqrt_half;
    const V k = WN(from_bits)((above >> MANTISSA_BITS) + rounder) - ROUNDER;
    const V m = WN(from_bits)((above & (((BITS)1 << MANTISSA_BITS) - 1)) + sqrt_half);
    const V log_m = WN(atanh_twice)((m - (T)1) / (m + (T)1));
    return k * LN2_HIGH + (k * LN2_LOW + log_m);
}

/* log x for any finite x > 0: a subnormal one is lifted first */
CBP_INLINE V WN(log_of_any)(V x)
{
#if SIZE == 8
    const T smallest_normal = 2.2250738585072014e-308;
#else
    const T smallest_normal = 1.1754943508222875e-38f;
#endif
    const M subnormal = WN(less)(x, WN(set)(smallest_normal));
    const V log_x = WN(log)(WN(select)(subnormal, x * LIFTED, x));
    return log_x - WN(select)(subnormal, WN(set)((T)(LIFT * 0.6931471805599453)), WN(set)(0));
}

/* log(1 + x) for x >= 0, with a small relative error even for tiny x: the rounding error of 1 + x
 * is corrected to first order (Kahan). */
CBP_INLINE V WN(log1p)(V x)
{
    const V sum = x + (T)1;
    return WN(log)(sum) + (x - (sum - (T)1)) / sum;
}

/* log(1 + e) and *sigma = e / (1 + e) for 0 <= e <= 1: log(1 + e) = 2 atanh(e / (2 + e)), and one
 * division gives both quotients. */
CBP_INLINE V WN(log1p_and_sigma)(V e, V *sigma)
{
    const V e1 = e + (T)1, e2 = e + (T)2;
    const V quotient = e / (e1 * e2);
    *sigma = quotient * e2;
    return WN(atanh_twice)(quotient * e1);
}

/* The same where e = exp(-|x|) */
CBP_INLINE V WN(log1p_exp_minus_abs)(V x, V *sigma)
{
    return WN(log1p_and_sigma)(WN(exp_minus_abs)(x) * (1 / LIFTED), sigma);
}
