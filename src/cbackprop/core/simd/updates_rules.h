/* The update rules of one level, for double and float; updates.h has the formulas.
 * The including file sets LEVEL and the compiler's target.  Plain loops: the compiler vectorises
 * them, and without contraction a vector element rounds as a scalar does.
 */
#include "updates.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define RESTRICT __restrict
#else
#define RESTRICT restrict
#endif
#define JOIN_(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)

#define RULES(T, DTYPE)                                                                            \
    static void JOIN(sgd, DTYPE, LEVEL)(T lr, const T *RESTRICT g, T *RESTRICT W, ptrdiff_t n)     \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < n; i++)                                                          \
            W[i] = W[i] - lr * g[i];                                                               \
    }                                                                                              \
    static void JOIN(momentum, DTYPE, LEVEL)(T lr, T mu, const T *RESTRICT g, T *RESTRICT v,       \
                                             T *RESTRICT W, ptrdiff_t n)                           \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            v[i] = mu * v[i] - lr * g[i];                                                          \
            W[i] = W[i] + v[i];                                                                    \
        }                                                                                          \
    }                                                                                              \
    static void JOIN(nesterov, DTYPE, LEVEL)(T lr, T mu, const T *RESTRICT g, T *RESTRICT v,       \
                                             T *RESTRICT W, ptrdiff_t n)                           \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            const T step = lr * g[i];                                                              \
            v[i] = mu * v[i] - step;                                                               \
            W[i] = W[i] + (mu * v[i] - step);                                                      \
        }                                                                                          \
    }                                                                                              \
    const JOIN(cbp, updates, DTYPE) JOIN(cbp_updates, DTYPE, LEVEL) = {                            \
        JOIN(sgd, DTYPE, LEVEL),                                                                   \
        JOIN(momentum, DTYPE, LEVEL),                                                              \
        JOIN(nesterov, DTYPE, LEVEL),                                                              \
    };

RULES(double, f64)
RULES(float, f32)
