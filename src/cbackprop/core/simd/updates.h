/* The update rules, once per dtype and level; compiled without contraction, so that each is
 * bitwise identical to its NumPy version.  This header promises not to hold a solver's state.
 *
 * sgd       W -= lr g
 * momentum  v = mu v - lr g;  W += v
 * nesterov  v = mu v - lr g;  W += mu v - lr g
 * adam      m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) (g g)
 *           W -= a m / (sqrt(v) c + epsilon)
 *           Kingma and Ba, ICLR 2015.  At step t = 1, 2, ..., Algorithm 1 is
 *           a = lr / (1 - beta_1^t), c = 1 / sqrt(1 - beta_2^t); its folded form, given below the
 *           algorithm, with another epsilon, is a = lr sqrt(1 - beta_2^t) / (1 - beta_1^t), c = 1.
 *           The 1 - beta are arguments: rounded to float, they are not 1 minus a rounded beta.
 * nadam     m and v as in adam;  W -= (a_g g + a_m m) / (sqrt(v) c + epsilon)
 *           Dozat, ICLR workshop 2016, as in PyTorch: with mu_t = beta_1 (1 - 0.96^(0.004 t) / 2)
 *           at step t, a_g = lr (1 - mu_t) / (1 - mu_1 ... mu_t), a_m = lr mu_(t+1) / (1 - mu_1 ...
 *           mu_(t+1)), c = 1 / sqrt(1 - beta_2^t)
 * amsgrad   as adam, with v_max = max(v_max, v) under the root (Reddi, Kale and Kumar, ICLR 2018)
 * rprop     iRPROP+ (Igel and Huesken, Neurocomputing 50, 2003); by the sign of g_before g:
 *             > 0   step *= increase;  move = -sign(g) step;  W += move
 *             = 0                      move = -sign(g) step;  W += move
 *             < 0   step *= decrease;  if `worse`, W -= move;  g := 0
 *           with least <= step <= most, and then g_before = g.  `worse`: the loss is above that of
 *           the previous step.  After g := 0 the next `move` is set before it is read.  A
 *           non-finite g gives NaN in W.
 * penalty   g += l2 W + l1 sign(W);  sign(0) = 0
 * scale     x *= factor
 *
 * All vectors have length n and do not overlap.  An element's result depends only on its own
 * numbers, so a vector may be cut into runs anywhere.
 */
#ifndef CBP_UPDATES_H
#define CBP_UPDATES_H

#include <stddef.h>

#define CBP_UPDATES_TABLE(T)                                                                       \
    void (*sgd)(T lr, const T *g, T *W, ptrdiff_t n);                                              \
    void (*momentum)(T lr, T mu, const T *g, T *v, T *W, ptrdiff_t n);                             \
    void (*nesterov)(T lr, T mu, const T *g, T *v, T *W, ptrdiff_t n);                             \
    void (*adam)(T a, T c, T epsilon, T beta_1, T beta_2, T one_minus_beta_1, T one_minus_beta_2,  \
                 const T *g, T *m, T *v, T *W, ptrdiff_t n);                                       \
    void (*nadam)(T a_g, T a_m, T c, T epsilon, T beta_1, T beta_2, T one_minus_beta_1,            \
                  T one_minus_beta_2, const T *g, T *m, T *v, T *W, ptrdiff_t n);                  \
    void (*amsgrad)(T a, T c, T epsilon, T beta_1, T beta_2, T one_minus_beta_1,                   \
                    T one_minus_beta_2, const T *g, T *m, T *v, T *v_max, T *W, ptrdiff_t n);      \
    void (*rprop)(T increase, T decrease, T least, T most, int worse, const T *g, T *g_before,     \
                  T *step, T *move, T *W, ptrdiff_t n);                                            \
    void (*penalty)(T l2, T l1, const T *W, T *g, ptrdiff_t n);                                    \
    void (*scale)(T factor, T *x, ptrdiff_t n);

typedef struct cbp_updates_f64 { CBP_UPDATES_TABLE(double) } cbp_updates_f64;
typedef struct cbp_updates_f32 { CBP_UPDATES_TABLE(float) } cbp_updates_f32;

/* A level's table; NULL if the name is unknown, the level not compiled or the CPU without it. */
const cbp_updates_f64 *cbp_updates_level_f64(const char *level);
const cbp_updates_f32 *cbp_updates_level_f32(const char *level);

#endif
