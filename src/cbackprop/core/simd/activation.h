/* The exponential, sigmoid and tanh on one vector of a width.
 * This file promises not to loop: loops.h, output.h and step.h do.
 *
 * exp(-|x|): -|x| = k ln 2 / ENTRIES + r; 2^(k / ENTRIES) = 2^(k div ENTRIES) times a table's entry;
 * exp(r) = 1 + r + r^2 q(r), q minimax (Remez, relative to exp).  k is rounded by adding
 * 1.5 * 2^(mantissa bits), which also leaves k in the sum's low bits.  ln 2 is fdlibm's two parts
 * (e_exp.c, e_expf.c): k times the high part is exact, which accuracy without FMA needs.
 *
 * With AVX-512 one instruction looks up a table of 16 entries in registers: |r| is smaller and q
 * shorter (Tang, ACM TOMS 15, 1989; a sigmoid takes 0.73 of the time).  An entry's
 * rounding error would cost half an ULP, so its logarithm is added to r.  Elsewhere there is one
 * entry, 1, the order of q's terms (Estrin) is for speed only, and a sigmoid, which ends in a
 * division anyway, uses exp(r) as a fraction instead: 0.71 of the time with AVX2, 0.83 in float32.
 *
 * The exponential is kept times 2^LIFT, so that it is normal for every k; the final division of a
 * sigmoid removes the factor and rounds a subnormal result once.  For a positive number it is kept
 * times 2^-LIFT, so that only the final product of exp can overflow.  The factor is added to k:
 * the number that rounds it is larger or smaller by LIFT.
 *
 * logarithm.h, smooth.h and sine.h use the constants of T too; slope.h undefines them.
 */
#define LIFT 64
#define LIFTED ((T)18446744073709551616.0) /* 2^LIFT */
#if SIZE == 8
#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52 */
#define EXPONENT_BIAS 1023
#define MANTISSA_BITS 52
#define SIGN_BIT INT64_MIN
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define LOG2_E 1.44269504088896340736
#define LOWEST (-750.0) /* a sigmoid is 0 there, and the lifted exponential still normal */
#define HIGHEST 710.0   /* exp is infinite there */
#else
#define ROUNDER 12582912.0f /* 1.5 * 2^23 */
#define EXPONENT_BIAS 127
#define MANTISSA_BITS 23
#define SIGN_BIT INT32_MIN
#define LN2_HIGH 6.9314575195e-01f
#define LN2_LOW 1.4286067653e-06f
/* 12 bits, since k / ENTRIES has 12 too: their product is exact even without FMA */
#define LN2_HIGH_SHORT 6.93115234375e-01f
#define LN2_LOW_LONG 3.1946184995e-05f
#define LOG2_E 1.44269504088896340736f
#define LOWEST (-110.0f)
#define HIGHEST 89.0f
#endif

/* exp(r) - 1 - r for |r| <= ln 2 / 2 */
CBP_INLINE V WN(expm1_beyond)(V r)
{
    const V r2 = r * r;
#if SIZE == 8
    const V r4 = r2 * r2;
    const V q01 = r * 0.16666666666666413 + 0.5000000000000011;
    const V q23 = r * 0.008333333333494461 + 0.041666666666530155;
    const V q45 = r * 0.00019841269506578688 + 0.0013888888943630114;
    const V q67 = r * 2.7557586373840165e-06 + 2.480149309890655e-05;
    const V q89 = r * 2.5000061602835666e-08 + 2.763024837921144e-07;
    const V q = ((q89 * r4) + (q67 * r2 + q45)) * r4 + (q23 * r2 + q01);
#else
    const V q01 = r * 0.16666520631709497f + 0.49999993447796487f;
    const V q23 = r * 0.00836871687972814f + 0.041668388045313996f;
    const V q = (r2 * 0.0013814598646664034f + q23) * r2 + q01;
#endif
    return r2 * q;
}

/* exp(r) - 1 for |r| <= ln 2 / 2, relative error about one unit in the last place */
CBP_INLINE V WN(expm1_reduced)(V r) { return WN(expm1_beyond)(r) + r; }

#if BYTES == 64 && SIZE == 8
#define ENTRIES 16
#define LOOK_UP(table, i)                                                                          \
    (V)_mm512_permutex2var_pd(_mm512_load_pd(table), (__m512i)(i), _mm512_load_pd((table) + 8))
#elif BYTES == 64
#define ENTRIES 16
#define LOOK_UP(table, i) (V)_mm512_permutexvar_ps((__m512i)(i), _mm512_load_ps(table))
#else
#define ENTRIES 1
#endif

/* Rounds k, times ENTRIES, and leaves it with an exponent's bias and `lift` in the low bits; a table
 * of powers has the bias and LIFT already. */
#if ENTRIES > 1
#define LIFTING(lift) (ROUNDER + ENTRIES * ((lift) - LIFT))
#else
#define LIFTING(lift) (ROUNDER + EXPONENT_BIAS + (lift))
#endif

#if ENTRIES > 1
#define SHIFT (MANTISSA_BITS - 4) /* k's low bits: below the exponent */
/* 2^(j / ENTRIES) as bits, LIFT in the exponent, minus j where k's low bits will be added; and the
 * excess of the exact power's logarithm */
static const CBP_ALIGNED(BITS, WN(powers)[ENTRIES]) = {
#if SIZE == 8
    0x43f0000000000000, 0x43efb5586cf9890f, 0x43ef72b83c7d517b, 0x43ef387a6e756238,
    0x43ef06fe0a31b715, 0x43eedea64c123422, 0x43eebfdad5362a27, 0x43eeab07dd485429,
    0x43eea09e667f3bcd, 0x43eea11473eb0187, 0x43eeace5422aa0db, 0x43eec49182a3f090,
    0x43eee89f995ad3ad, 0x43ef199bdd85529c, 0x43ef5818dcfba487, 0x43efa4afa2a490da,
#else
    0x5f800000, 0x5f7daac3, 0x5f7b95c2, 0x5f79c3d3, 0x5f7837f0, 0x5f76f532, 0x5f75fed7, 0x5f75583f,
    0x5f7504f3, 0x5f7508a4, 0x5f75672a, 0x5f76248c, 0x5f7744fd, 0x5f78ccdf, 0x5f7ac0c7, 0x5f7d257d,
#endif
};
static const CBP_ALIGNED(T, WN(remainders)[ENTRIES]) = {
#if SIZE == 8
    0, 8.189317638195514e-17, -2.7939114859515731e-17, 7.8265732586360756e-17,
    3.3484623336251523e-17, 3.7508542013031269e-17, 1.9572585293112037e-17, 5.6864809579117402e-17,
    -6.8358086576619227e-17, -2.3591094770850052e-17, 5.1548301170786785e-17, 1.5341410053603724e-17,
    4.8751605262270615e-17, 1.6854872906289732e-17, 1.7901269076045133e-17, -5.5450656186394272e-17,
#else
    0, 4.62854697e-8f, -1.19921572e-8f, 4.72978225e-8f,
    3.19341804e-8f, 3.62105725e-8f, -3.09907212e-8f, -7.47521319e-9f,
    1.71142712e-8f, -3.04768347e-8f, 5.23333424e-9f, 6.1075916e-9f,
    -1.47196055e-8f, -5.25879514e-9f, -6.12825984e-9f, 5.1406092e-9f,
#endif
};

/* exp(r) - 1 for |r| <= ln 2 / (2 ENTRIES) */
CBP_INLINE V WN(expm1_table)(V r)
{
    const V r2 = r * r;
#if SIZE == 8
    const V q01 = r * 0.1666666666440903 + 0.499999999999996;
    const V q23 = r * 0.008333472196912972 + 0.041666666693460994;
    const V q = (r2 * 0.001388859165238647 + q23) * r2 + q01;
#else
    const V q = r * 0.16666718560608188f + 0.5000161897115994f;
#endif
    return r2 * q + r;
}
#endif

/* 2^lift exp(x), or with in_two 2^lift exp(x + low), for a sum from LOWEST to HIGHEST; rounder is
 * LIFTING(lift).  low is at most a unit of half of x's digits. */
CBP_INLINE V WN(exp_of)(const int in_two, V x, V low, V rounder)
{
    const V whole = in_two ? x + low : x;
#if ENTRIES > 1
#if SIZE == 8
    const T high_part = LN2_HIGH / ENTRIES, low_part = LN2_LOW / ENTRIES;
#else
    const T high_part = LN2_HIGH_SHORT / ENTRIES, low_part = LN2_LOW_LONG / ENTRIES;
#endif
    const V sum = whole * (LOG2_E * ENTRIES) + rounder;
    const V k = sum - rounder;
    const V rest = LOOK_UP(WN(remainders), sum) - k * low_part;
    V r = (x - k * high_part) + rest;
    if (in_two)
        r += low;
    const M power = WN(bits)(LOOK_UP((const T *)WN(powers), sum));
    const V scale = WN(from_bits)(power + (WN(bits)(sum) << SHIFT));
    return WN(expm1_table)(r) * scale + scale;
#else
    const V sum = whole * LOG2_E + rounder;
    const V k = sum - rounder;
    V r = (x - k * LN2_HIGH) - k * LN2_LOW;
    if (in_two)
        r += low;
    const V scale = WN(from_bits)(WN(bits)(sum) << MANTISSA_BITS);
    return WN(expm1_reduced)(r) * scale + scale;
#endif
}

/* 2^lift exp(x) for LOWEST <= x <= HIGHEST; rounder is LIFTING(lift) */
CBP_INLINE V WN(exp_lifted)(V x, V rounder) { return WN(exp_of)(0, x, x, rounder); }

/* 2^LIFT exp(-|x|) */
CBP_INLINE V WN(exp_minus_abs)(V x)
{
    x = WN(at_least)(WN(set)(LOWEST), WN(from_bits)(WN(bits)(x) | SIGN_BIT));
    return WN(exp_lifted)(x, WN(set)(LIFTING(LIFT)));
}

CBP_INLINE V WN(exp)(V x)
{
    x = WN(at_most)(WN(set)(HIGHEST), WN(at_least)(WN(set)(LOWEST), x));
    const V rounder = WN(by_sign)(x, WN(set)(LIFTING(LIFT)), WN(set)(LIFTING(-LIFT)));
    return WN(exp_lifted)(x, rounder) * WN(by_sign)(x, WN(set)(1 / LIFTED), WN(set)(LIFTED));
}

/* Whether x is beyond the arguments that exp tells apart, all of which give infinity */
CBP_INLINE M WN(exp_overflows)(V x) { return WN(less)(WN(set)(HIGHEST), x); }

#if ENTRIES == 1
/* exp(-|x|) = up / down, down about 2^LIFT:  exp(r) = (a + r b) / (a - r b), where tanh(r/2) is
 * r b / a with a and b minimax in r^2 (rational Remez; relative error of exp(r) about 2^-60, float32
 * 2^-33) */
CBP_INLINE void WN(exp_fraction)(V x, V *up, V *down)
{
    const T rounder = LIFTING(LIFT);
    const V y = WN(at_least)(WN(set)(LOWEST), WN(from_bits)(WN(bits)(x) | SIGN_BIT));
    const V sum = y * LOG2_E + rounder;
    const V k = sum - rounder;
    const V r = (y - k * LN2_HIGH) - k * LN2_LOW;
    const V scale = WN(from_bits)(WN(bits)(sum) << MANTISSA_BITS);
    const V r2 = r * r;
#if SIZE == 8
    const V a = (r2 * 0.0009917322879156649 + 0.1111077985938012) * r2 + 1.0;
    const V b = (r2 * 3.3041202445594202e-05 + 0.013887232630236157) * r2 + 0.5;
#else
    const V a = r2 * 0.09997485443909671f + 1.0f;
    const V b = r2 * 0.008320823206331694f + 0.5f;
#endif
    *up = (a + r * b) * scale;
    *down = (a - r * b) * LIFTED;
}
#endif

/* sigma(x) = 1 / (1 + exp(-x)); for x < 0 that is e / (1 + e) with e = exp(x): no overflow, and a
 * small relative error even for tiny results.  Numerator and denominator are times 2^LIFT. */
CBP_INLINE V WN(sigmoid)(V x)
{
#if ENTRIES == 1
    V up, down;
    WN(exp_fraction)(x, &up, &down);
    return WN(by_sign)(x, up, down) / (up + down);
#else
    const V e = WN(exp_minus_abs)(x);
    return WN(by_sign)(x, e, WN(set)(LIFTED)) / (e + LIFTED);
#endif
}

/* exp(x) - 1 = 2^k (exp(r) - 1) + (2^k - 1) for x <= 0: nothing cancels */
CBP_INLINE V WN(expm1_negative)(V x)
{
    const T rounder = ROUNDER + EXPONENT_BIAS;
    const V y = WN(at_least)(WN(set)(-40), x);
    const V sum = y * LOG2_E + rounder;
    const V k = sum - rounder;
    const V r = (y - k * LN2_HIGH) - k * LN2_LOW;
    const V scale = WN(from_bits)(WN(bits)(sum) << MANTISSA_BITS);
    return scale * WN(expm1_reduced)(r) + (scale - (T)1);
}

/* tanh |x| = -m / (2 + m), m = exp(-2|x|) - 1 */
CBP_INLINE V WN(tanh)(V x)
{
    const V m = WN(expm1_negative)(WN(from_bits)(WN(bits)(x) | SIGN_BIT) * (T)2);
    const V z = m / (m + (T)2);
    const M sign = WN(bits)(x) & SIGN_BIT;
    return WN(from_bits)((WN(bits)(z) & ~SIGN_BIT) | sign);
}
