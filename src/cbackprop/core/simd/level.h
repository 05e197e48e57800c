/* One instruction set: the loops for double, then for float.
 * The including file sets LEVEL, VECTOR_BYTES, REGISTERS and the compiler's target.
 */
#define FN(name) CBP_JOIN(name, DTYPE, LEVEL)

#define T double
#define BITS int64_t
#define DTYPE f64
#define TABLE cbp_simd_f64
#define NET cbp_two_layers_f64
#define SIZE 8
#include "kernels.h"
#undef T
#undef BITS
#undef DTYPE
#undef TABLE
#undef NET
#undef SIZE

#define T float
#define BITS int32_t
#define DTYPE f32
#define TABLE cbp_simd_f32
#define NET cbp_two_layers_f32
#define SIZE 4
#include "kernels.h"
