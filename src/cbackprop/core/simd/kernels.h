/* All loops of one dtype and level, and their table.
 * The including file sets T, SIZE (bytes of T), BITS (the integer of that size), DTYPE and TABLE.
 */
#if VECTOR_BYTES == 0
#define LANES 1
#else
#define LANES (VECTOR_BYTES / SIZE)
#endif

/* The arguments of a product for its tiles, named as in simd.h */
typedef struct FN(job) {
    ptrdiff_t k, rsa, csa, ldb, ldc;
    T alpha, beta;
} FN(job);

/* beta x + alpha y, as in vec.h */
CBP_INLINE T FN(combine)(T beta, T x, T alpha, T y)
{
    T scaled = beta * x;
    CBP_OPAQUE_VECTOR(scaled);
    return scaled + alpha * y;
}

/* FOUR(name): for vectors of four elements, if there are any */
#if SIZE == 4 && VECTOR_BYTES >= 16
#define FOUR(name) CBP_JOIN_WIDTH(name, 16, DTYPE, LEVEL)
#elif SIZE == 8 && VECTOR_BYTES >= 32
#define FOUR(name) CBP_JOIN_WIDTH(name, 32, DTYPE, LEVEL)
#endif

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

/* The widest vectors that the hidden units fill, except for a remainder: CALL(bytes) at that width.
 * 64 bytes only where there are three such vectors: one row of 16 doubles takes 0.8 of the time in
 * narrower ones on Zen 4, four rows 1.4. */
#if VECTOR_BYTES == 0
#define BY_WIDTH(n, rows, CALL) CALL(0)
#elif VECTOR_BYTES == 16
#define BY_WIDTH(n, rows, CALL) CALL(16)
#else
#define HALF_OR_LESS(n, CALL) ((n) >= 32 / SIZE ? CALL(32) : CALL(16))
#if VECTOR_BYTES == 32
#define BY_WIDTH(n, rows, CALL) HALF_OR_LESS(n, CALL)
#else
#define BY_WIDTH(n, rows, CALL)                                                                    \
    ((n) >= 64 / SIZE && (n) * (rows) >= 3 * 64 / SIZE ? CALL(64) : HALF_OR_LESS(n, CALL))
#endif
#endif

static ptrdiff_t FN(steps)(const NET *net, const T *X, const T *Y, const int64_t *order,
                           ptrdiff_t rows, ptrdiff_t n_steps, T alpha, T *scratch, double *squares,
                           double *each)
{
#define CALL(bytes)                                                                                \
    CBP_JOIN_WIDTH(steps, bytes, DTYPE, LEVEL)                                                     \
    (net, X, Y, order, rows, n_steps, alpha, scratch, squares, each)
    return BY_WIDTH(net->n_hidden, rows, CALL);
#undef CALL
}

static ptrdiff_t FN(steps_scratch)(ptrdiff_t n_hidden, ptrdiff_t n_out, ptrdiff_t rows)
{
#define CALL(bytes)                                                                                \
    CBP_JOIN_WIDTH(step_scratch, bytes, DTYPE, LEVEL)(n_hidden, n_out, rows, NULL, NULL)
    return BY_WIDTH(n_hidden, rows, CALL);
#undef CALL
}
#undef BY_WIDTH
#undef HALF_OR_LESS

const TABLE FN(cbp) = {
    FN(activate),
    FN(activate_keeping),
    FN(delta_output),
    FN(delta_output_weighted),
    FN(squared_error),
    FN(squared_error_weighted),
    FN(times_derivative),
    FN(delta_hidden),
    FN(output),
    FN(loss),
    FN(element_weights),
    FN(column_sums),
    FN(fill_rows),
    FN(transpose),
    FN(add),
    FN(all_finite),
    FN(gather_f64),
    FN(gather_f32),
    FN(affine_rows),
    FN(outer_sums),
    FN(product),
    FN(steps),
    FN(steps_scratch),
    LANES,
};
#undef LANES
#undef FOUR
