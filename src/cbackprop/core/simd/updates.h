/* The update rules, once per dtype and level; compiled without contraction, so that each equals its
 * NumPy twin to the bit.  This header promises not to hold a solver's state.
 *
 * sgd       W -= lr * g
 * momentum  v = mu * v - lr * g;  W += v
 * nesterov  v = mu * v - lr * g;  W += mu * v - lr * g
 *
 * g, v and W have length n and do not overlap.
 */
#ifndef CBP_UPDATES_H
#define CBP_UPDATES_H

#include <stddef.h>

#define CBP_UPDATES_TABLE(T)                                                                       \
    void (*sgd)(T lr, const T *g, T *W, ptrdiff_t n);                                              \
    void (*momentum)(T lr, T mu, const T *g, T *v, T *W, ptrdiff_t n);                             \
    void (*nesterov)(T lr, T mu, const T *g, T *v, T *W, ptrdiff_t n);

typedef struct cbp_updates_f64 { CBP_UPDATES_TABLE(double) } cbp_updates_f64;
typedef struct cbp_updates_f32 { CBP_UPDATES_TABLE(float) } cbp_updates_f32;

/* A level's table; NULL if the name is unknown, the level not compiled or the CPU without it. */
const cbp_updates_f64 *cbp_updates_level_f64(const char *level);
const cbp_updates_f32 *cbp_updates_level_f32(const char *level);

#endif
