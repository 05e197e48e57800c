/* All loops of one dtype and level, and their table.
 * The including file sets T, SIZE (bytes of T), BITS (the integer of that size), DTYPE and TABLE.
 */
#if VECTOR_BYTES == 0
#define LANES 1
#else
#define LANES (VECTOR_BYTES / SIZE)
#endif

/* One product as its tiles see it; simd.h names the parts. */
typedef struct FN(job) {
    ptrdiff_t k, rsa, csa, ldb, ldc;
    T alpha, beta;
} FN(job);

/* beta x + alpha y, as vec.h's */
CBP_INLINE T FN(combine)(T beta, T x, T alpha, T y)
{
    T scaled = beta * x;
    CBP_OPAQUE_VECTOR(scaled);
    return scaled + alpha * y;
}

/* The tiles of every width, 0 meaning one element; with the widest the loops over elements. */
#if VECTOR_BYTES == 0
#define BYTES 0
#include "width.h"
#undef BYTES
#else
#define BYTES 16
#include "width.h"
#undef BYTES
#if VECTOR_BYTES >= 32
#define BYTES 32
#include "width.h"
#undef BYTES
#endif
#if VECTOR_BYTES >= 64
#define BYTES 64
#include "width.h"
#undef BYTES
#endif
#endif

#include "product.h"

const TABLE FN(cbp) = {
    FN(activate),
    FN(delta_output),
    FN(delta_output_weighted),
    FN(squared_error),
    FN(squared_error_weighted),
    FN(times_derivative),
    FN(column_sums),
    FN(fill_rows),
    FN(transpose),
    FN(add),
    FN(all_finite),
    FN(gather_f64),
    FN(gather_f32),
    FN(affine_rows),
    FN(product),
    LANES,
};
#undef LANES
