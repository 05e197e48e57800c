/* sin and cos on one vector of a width.  This file promises not to loop.
 *
 * h = k pi/2 + r, |r| <= pi/4.  pi/2 is split into parts of 31 digits and a rest, so that the parts
 * times k are exact for |k| < 2^22, with FMA and without (Cody and Waite 1980); where a difference
 * is small, near a multiple of pi/2, it is exact.  float32 is reduced in float64, with two parts.
 * k is rounded as in the exponential.  sin r = r + r^3 s(r^2) and cos r = 1 - r^2/2 + r^4 c(r^2), s
 * and c minimax for |r| <= 1.02 pi/4 (Lawson, relative errors 2^-57.5 and 2^-63.5; float32 2^-27.7
 * and 2^-32.7).
 */
#define HALF_PI_1 1.5707963267341256
#if SIZE == 8
#define HALF_PI_2 6.07710050359346e-11
#define HALF_PI_3 2.9127320548227e-20
#define HALF_PI_4 1.2706558760139879e-29
#else
#define HALF_PI_2 6.077100506506192e-11
#endif
#define TWO_OVER_PI 0.6366197723675814
#define SINE_FARTHEST ((T)281474976710656.0) /* 2^48 */

#if SIZE == 4
/* Halves of a vector as doubles; with one element a vector, that */
#if W == 1
typedef double WN(doubles);
#define PARTS 1
#else
typedef double WN(doubles) __attribute__((vector_size(W * 4)));
typedef float WN(half) __attribute__((vector_size(W * 2)));
#define PARTS 2
#endif
#endif

/* h - k pi/2; *quadrant: k in its last two digits */
CBP_INLINE V WN(quadrant)(V h, M *quadrant)
{
#if SIZE == 8
    const V sum = h * TWO_OVER_PI + ROUNDER;
    const V k = sum - ROUNDER;
    *quadrant = WN(bits)(sum);
    return (((h - k * HALF_PI_1) - k * HALF_PI_2) - k * HALF_PI_3) - k * HALF_PI_4;
#else
    const double rounder = 6755399441055744.0; /* 1.5 * 2^52 */
#if W == 1
    WN(doubles) wide[1] = {(double)h};
#else
    union { V whole; WN(half) half[2]; } r, turn;
    WN(doubles) wide[2];
    r.whole = h;
    wide[0] = __builtin_convertvector(r.half[0], WN(doubles));
    wide[1] = __builtin_convertvector(r.half[1], WN(doubles));
#endif
    WN(doubles) turns[PARTS];
    CBP_UNROLL
    for (int i = 0; i < PARTS; i++) {
        const WN(doubles) k = (wide[i] * TWO_OVER_PI + rounder) - rounder;
        wide[i] = (wide[i] - k * HALF_PI_1) - k * HALF_PI_2;
        turns[i] = k - ((k * 0.25 + rounder) - rounder) * 4.0; /* -2 to 2 */
    }
#if W == 1
    *quadrant = WN(bits)((T)turns[0] + ROUNDER);
    return (T)wide[0];
#else
    r.half[0] = __builtin_convertvector(wide[0], WN(half));
    r.half[1] = __builtin_convertvector(wide[1], WN(half));
    turn.half[0] = __builtin_convertvector(turns[0], WN(half));
    turn.half[1] = __builtin_convertvector(turns[1], WN(half));
    *quadrant = WN(bits)(turn.whole + ROUNDER);
    return r.whole;
#endif
#endif
}

/* sin h, and *slope = cos h */
CBP_INLINE V WN(sine)(V h, V *slope)
{
    /* h - h: NaN for an infinity */
    const V bounded = WN(at_most)(WN(set)(SINE_FARTHEST), WN(at_least)(WN(set)(-SINE_FARTHEST), h));
    M quadrant;
    const V r = WN(quadrant)(bounded + (h - h), &quadrant);
    const V r2 = r * r, r4 = r2 * r2;
#if SIZE == 8
    const V s01 = r2 * 0.008333333333319653 - 0.1666666666666662;
    const V s23 = r2 * 2.755731291319539e-06 - 0.00019841269827578447;
    const V s45 = r2 * 1.5889662067132262e-10 - 2.5050635537730615e-08;
    const V s = (s45 * r4 + s23) * r4 + s01;
    const V c01 = 0.041666666666666574 - r2 * 0.0013888888888869532;
    const V c23 = 2.4801587286634856e-05 - r2 * 2.755731353522302e-07;
    const V c45 = 2.0875612924372533e-09 - r2 * 1.1353971016772956e-11;
    const V c = (c45 * r4 + c23) * r4 + c01;
#else
    const V s = (r2 * -0.00019502188661135733f + 0.008332064375281334f) * r2 - 0.16666653752326965f;
    const V c = (r2 * 2.4418251996394247e-05f - 0.001388718606904149f) * r2 + 0.04166664183139801f;
#endif
    const V sin_r = (r * r2) * s + r;
    const V cos_r = (T)1 - (r2 * (T)0.5 - r4 * c);
    const M odd = -(quadrant & 1);
    const M turned = quadrant << (8 * SIZE - 2), turned_next = (quadrant + 1) << (8 * SIZE - 2);
    *slope = WN(from_bits)(WN(bits)(WN(select)(odd, sin_r, cos_r)) ^ (turned_next & SIGN_BIT));
    return WN(from_bits)(WN(bits)(WN(select)(odd, cos_r, sin_r)) ^ (turned & SIGN_BIT));
}

#undef HALF_PI_1
#undef HALF_PI_2
#undef HALF_PI_3
#undef HALF_PI_4
#undef TWO_OVER_PI
#undef SINE_FARTHEST
#undef PARTS
