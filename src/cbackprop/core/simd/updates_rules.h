/* The update rules for one dtype and level; updates.h has the formulas.
 * The including file sets T, SQRT (the root of a T), DTYPE and TABLE.  Plain loops without a branch:
 * the compiler vectorises them, and without contraction a vector element rounds as a scalar does.
 */

static void FN(sgd)(T lr, const T *RESTRICT g, T *RESTRICT W, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        W[i] = W[i] - lr * g[i];
}

static void FN(momentum)(T lr, T mu, const T *RESTRICT g, T *RESTRICT v, T *RESTRICT W, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        v[i] = mu * v[i] - lr * g[i];
        W[i] = W[i] + v[i];
    }
}

static void FN(nesterov)(T lr, T mu, const T *RESTRICT g, T *RESTRICT v, T *RESTRICT W, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        const T step = lr * g[i];
        v[i] = mu * v[i] - step;
        W[i] = W[i] + (mu * v[i] - step);
    }
}

static void FN(adam)(T a, T c, T epsilon, T beta_1, T beta_2, T one_minus_beta_1,
                     T one_minus_beta_2, const T *RESTRICT g, T *RESTRICT m, T *RESTRICT v,
                     T *RESTRICT W, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        m[i] = beta_1 * m[i] + one_minus_beta_1 * g[i];
        v[i] = beta_2 * v[i] + one_minus_beta_2 * (g[i] * g[i]);
        W[i] = W[i] - a * m[i] / (SQRT(v[i]) * c + epsilon);
    }
}

static void FN(nadam)(T a_g, T a_m, T c, T epsilon, T beta_1, T beta_2, T one_minus_beta_1,
                      T one_minus_beta_2, const T *RESTRICT g, T *RESTRICT m, T *RESTRICT v,
                      T *RESTRICT W, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        m[i] = beta_1 * m[i] + one_minus_beta_1 * g[i];
        v[i] = beta_2 * v[i] + one_minus_beta_2 * (g[i] * g[i]);
        W[i] = W[i] - (a_g * g[i] + a_m * m[i]) / (SQRT(v[i]) * c + epsilon);
    }
}

static void FN(amsgrad)(T a, T c, T epsilon, T beta_1, T beta_2, T one_minus_beta_1,
                        T one_minus_beta_2, const T *RESTRICT g, T *RESTRICT m, T *RESTRICT v,
                        T *RESTRICT v_max, T *RESTRICT W, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        m[i] = beta_1 * m[i] + one_minus_beta_1 * g[i];
        v[i] = beta_2 * v[i] + one_minus_beta_2 * (g[i] * g[i]);
        v_max[i] = v_max[i] > v[i] ? v_max[i] : v[i];
        W[i] = W[i] - a * m[i] / (SQRT(v_max[i]) * c + epsilon);
    }
}

/* -1, 0 or 1; NaN if not finite.  By arithmetic, since GCC turns nested ?: into branches. */
static inline T FN(sign)(T x)
{
    const T above = x > 0 ? 1 : 0, below = x < 0 ? 1 : 0;
    return (above - below) + (x - x);
}

static void FN(rprop)(T increase, T decrease, T least, T most, int worse, const T *RESTRICT g,
                      T *RESTRICT g_before, T *RESTRICT step, T *RESTRICT move, T *RESTRICT W,
                      ptrdiff_t n)
{
    const T back = worse ? -1 : 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const T direction = FN(sign)(g[i]), before = move[i];
        /* From the signs: the product of two small gradients may be 0. */
        const T agreement = FN(sign)(g_before[i]) * direction;
        /* 1 and 0, which select exactly as factors. */
        const T turned = agreement < 0 ? 1 : 0, onward = 1 - turned;
        const T factor = onward * (agreement > 0 ? increase : 1) + turned * decrease;
        const T grown = step[i] * factor, bounded = grown > least ? grown : least;
        step[i] = bounded < most ? bounded : most;
        const T forward = -direction * step[i];
        W[i] = W[i] + (onward * forward + turned * (back * before));
        move[i] = onward * forward + turned * before;
        g_before[i] = onward * g[i];
    }
}

static void FN(penalty)(T l2, T l1, const T *RESTRICT W, T *RESTRICT g, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        g[i] = g[i] + (l2 * W[i] + l1 * FN(sign)(W[i]));
}

static void FN(scale)(T factor, T *x, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = x[i] * factor;
}

const TABLE FN(cbp_updates) = {
    FN(sgd), FN(momentum), FN(nesterov), FN(adam), FN(nadam), FN(amsgrad), FN(rprop), FN(penalty),
    FN(scale),
};
