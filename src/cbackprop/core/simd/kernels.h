/* All loops of one dtype and level, and their table.
 * The including file sets T, BITS (the integer of T's size), DTYPE, TABLE and IS_DOUBLE.
 */
#if VECTOR_BYTES == 0
#define LANES 1
#elif IS_DOUBLE
#define LANES (VECTOR_BYTES / 8)
#else
#define LANES (VECTOR_BYTES / 4)
#endif

/* One product as its tiles see it; simd.h names the parts. */
typedef struct FN(job) {
    ptrdiff_t k, rsa, csa, ldb, ldc;
    T alpha, beta;
} FN(job);

/* Tiles of every width from LANES down to 16 bytes; LANES last, for the loops. */
#if VECTOR_BYTES >= 16
#if IS_DOUBLE
#define W 2
#else
#define W 4
#endif
#include "width.h"
#undef W
#endif
#if VECTOR_BYTES >= 32
#if IS_DOUBLE
#define W 4
#else
#define W 8
#endif
#include "width.h"
#undef W
#endif
#if VECTOR_BYTES >= 64
#if IS_DOUBLE
#define W 8
#else
#define W 16
#endif
#include "width.h"
#undef W
#endif
#if VECTOR_BYTES == 0
#define W 1
#include "width.h"
#undef W
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
