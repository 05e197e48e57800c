/* The update rules of one instruction set, for double, then for float.
 * The including file sets LEVEL and the compiler's target, after <math.h>.
 */
#if defined(_MSC_VER) && !defined(__clang__)
#define RESTRICT __restrict
#else
#define RESTRICT restrict
#endif
#define JOIN_(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#define FN(name) JOIN(name, DTYPE, LEVEL)

#define T double
#define SQRT sqrt
#define DTYPE f64
#define TABLE cbp_updates_f64
#include "updates_rules.h"
#undef T
#undef SQRT
#undef DTYPE
#undef TABLE

#define T float
#define SQRT sqrtf
#define DTYPE f32
#define TABLE cbp_updates_f32
#include "updates_rules.h"
