/* The activations by their codes, on one vector of a width, and their slopes.
 * This file promises not to loop: loops.h, output.h and step.h do.
 */

/* relu as in simd.h, but with 0.01 h below 0; NaN stays NaN. */
CBP_INLINE V WN(leaky_relu)(V h)
{
    return WN(select)(WN(less)(WN(set)(0), h), h, h * (T)0.01);
}

CBP_INLINE V WN(elu)(V h)
{
    const V below = WN(expm1_negative)(WN(from_bits)(WN(bits)(h) | SIGN_BIT));
    return WN(select)(WN(less)(WN(set)(0), h), h, below);
}

/* h / (1 + |h|); h is bounded by 2^60, where the result is 1, to avoid infinity over infinity. */
CBP_INLINE V WN(softsign)(V h)
{
    const T farthest = (T)1152921504606846976.0;
    const V x = WN(at_most)(WN(set)(farthest), WN(at_least)(WN(set)(-farthest), h));
    return x / (WN(from_bits)(WN(bits)(x) & ~SIGN_BIT) + (T)1);
}

/* act' from the activation's output z; NaN if that is impossible.  Opaque: Clang would
 * fuse the 1 - ... with a following product, in different ways at different places. */
CBP_INLINE V WN(derivative)(const int activation, V z)
{
    const V one = WN(set)(1), zero = WN(set)(0);
    V result = one;
    if (activation == CBP_SIGMOID)
        result = z * (one - z);
    else if (activation == CBP_TANH)
        result = one - z * z;
    else if (activation == CBP_RELU) /* NaN stays NaN */
        result = WN(select)(WN(less)(zero, z), one, WN(at_least)(zero, z));
    else if (activation == CBP_EXP || activation == CBP_KEPT)
        result = z;
    else if (activation == CBP_LEAKY_RELU) /* as relu's, plus 0.01 */
        result = WN(select)(WN(less)(zero, z), one, WN(at_least)(zero, z) + (T)0.01);
    else if (activation == CBP_ELU)
        result = WN(select)(WN(less)(zero, z), one, z + one);
    else if (activation == CBP_SOFTSIGN) {
        const V rest = one - WN(from_bits)(WN(bits)(z) & ~SIGN_BIT);
        result = rest * rest;
    }
    else if (activation != CBP_IDENTITY)
        result = WN(from_bits)(WN(inside)(W)); /* ones in all bits are NaN */
    CBP_OPAQUE_VECTOR(result);
    return result;
}

/* act(h), and *slope = act'(h), of any activation but softmax: one function, for steps whose
 * activation is not a compile-time constant */
static CBP_NOINLINE V WN(act_and_slope)(int activation, V h, V *slope)
{
    V z = h;
    switch (activation) {
#define CASE(code, function) case code: return WN(function)(h, slope);
    CBP_SLOPE_KEPT(CASE)
#undef CASE
#define CASE(code, function) case code: z = WN(function)(h); break;
    CBP_SLOPE_FROM_OUTPUT(CASE)
#undef CASE
    case CBP_EXP: z = WN(exp)(h); break;
    default: break;
    }
    *slope = WN(derivative)(activation, z);
    return z;
}

CBP_INLINE V WN(act)(const int activation, V h)
{
    V slope;
    switch (activation) {
    case CBP_IDENTITY: return h;
    case CBP_SIGMOID: return WN(sigmoid)(h);
    case CBP_TANH: return WN(tanh)(h);
    case CBP_RELU: return WN(from_bits)(WN(bits)(h) & ~WN(less)(h, WN(set)(0))); /* NaN stays */
    case CBP_EXP: return WN(exp)(h);
    default: return WN(act_and_slope)(activation, h, &slope);
    }
}

#undef ROUNDER
#undef EXPONENT_BIAS
#undef MANTISSA_BITS
#undef SIGN_BIT
#undef LN2_HIGH
#undef LN2_LOW
#undef LN2_HIGH_SHORT
#undef LN2_LOW_LONG
#undef LOG2_E
#undef LOWEST
#undef HIGHEST
#undef LIFT
#undef LIFTED
#undef LIFTING
#undef ENTRIES
#undef LOOK_UP
#undef SHIFT
