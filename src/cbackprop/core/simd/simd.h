/* The tables of vectorised loops: one per dtype, one function pointer per loop.
 *
 * Everything is row-major and contiguous unless a stride is given; sizes may be 0.  No function
 * allocates, fails or writes a global.  NaN in gives NaN out.  The result for one element does not
 * depend on its position, on alignment or on n; a sum's order depends on the sizes alone.
 *
 * This header promises not to know about networks: it has arrays, never layers.
 */
#ifndef CBP_SIMD_H
#define CBP_SIMD_H

#include <stddef.h>
#include <stdint.h>

/* Activations.  CBP_EXP and CBP_SOFTMAX are for an output layer only: `output` and `loss` know
 * them.  CBP_KEPT is not an activation: it marks an array of slopes passed instead of outputs.
 *
 * With z = act(h), each is within 4 units in the last place of its true value, and so is its slope
 * except as stated.  The limits at the infinities are those of the formulas; sin is NaN there.
 *
 *                 value                      slope
 *     leaky_relu  h > 0 ? h : 0.01 h         z > 0 ? 1 : 0.01
 *     elu         h > 0 ? h : exp(h) - 1     z > 0 ? 1 : z + 1
 *     softplus    log(1 + exp(h))            1 / (1 + exp(-h))
 *     silu        h s, s = 1 / (1 + exp(-h)) s (1 + h (1 - s)); from -1.8 to -0.7, where it
 *                                            crosses 0, within 1.5 units of 1/4
 *     gelu        h Phi(h), by erf           Phi(h) + h phi(h); from -1.8 to -0.3, where it crosses
 *                                            0, within 2.5 units of 1/4
 *     softsign    h / (1 + |h|)              (1 - |z|)^2
 *     gaussian    exp(-h^2)                  -2 h z
 *     sine        sin h                      cos h; both to |h| = 2^22.  Up to 2^48 they are right
 *                                            for an argument within one unit of h's last place;
 *                                            beyond, those of 2^48 or -2^48
 *
 * A slope computed from z is that of the rounded z. */
enum {
    CBP_IDENTITY = 0,
    CBP_SIGMOID = 1,
    CBP_TANH = 2,
    CBP_RELU = 3,
    CBP_EXP = 4,
    CBP_SOFTMAX = 5,
    CBP_LEAKY_RELU = 6,
    CBP_ELU = 7,
    CBP_SOFTPLUS = 8,
    CBP_SILU = 9,
    CBP_GELU = 10,
    CBP_SOFTSIGN = 11,
    CBP_GAUSSIAN = 12,
    CBP_SINE = 13,
    CBP_KEPT /* the last: all codes of activations are below it */
};

/* CASE(code, function) for each activation beyond the first four that a hidden layer may have: those
 * whose slope is computed from the output, and those whose layer keeps it, because it is a function
 * of h and not, or not accurately, of z; their function gives both. */
#define CBP_SLOPE_FROM_OUTPUT(CASE)                                                                \
    CASE(CBP_LEAKY_RELU, leaky_relu)                                                               \
    CASE(CBP_ELU, elu)                                                                             \
    CASE(CBP_SOFTSIGN, softsign)
#define CBP_SLOPE_KEPT(CASE)                                                                       \
    CASE(CBP_SOFTPLUS, softplus)                                                                   \
    CASE(CBP_SILU, silu)                                                                           \
    CASE(CBP_GELU, gelu)                                                                           \
    CASE(CBP_GAUSSIAN, gaussian)                                                                   \
    CASE(CBP_SINE, sine)

/* Whether a layer keeps the slope: `activate_keeping` computes it, and `times_derivative` and
 * `delta_hidden` then take it as the z of CBP_KEPT. */
static inline int cbp_keeps_slope(int activation)
{
#define CASE(code, function) || activation == code
    return 0 CBP_SLOPE_KEPT(CASE);
#undef CASE
}

/* Whether each output depends on one input */
static inline int cbp_is_elementwise(int activation)
{
    return activation != CBP_SOFTMAX;
}

/* Whether it is for an output layer only */
static inline int cbp_of_outputs_only(int activation)
{
    return activation == CBP_EXP || activation == CBP_SOFTMAX;
}

enum {
    CBP_SQUARED_ERROR = 0,
    CBP_CROSS_ENTROPY = 1,
    CBP_POISSON = 2,
    CBP_ABSOLUTE_ERROR = 3,
    CBP_HUBER = 4,
    CBP_QUANTILE = 5,
    CBP_GIVEN = 6,
    CBP_LOG_COSH = 7,
    CBP_GAMMA = 8
};

/* activate               z = act(h) of an activation that a hidden layer may have; z may be h
 * activate_keeping       the same, and slope = act'(h), which overlaps neither
 * delta_output           delta = (Y_hat - Y) * act'(Y_hat), which is -(Y - Y_hat) * act'; the
 *                        derivative is taken from the output; delta may be Y_hat; returns
 *                        sum (Y - Y_hat)^2, accumulated in double
 * delta_output_weighted  the same, row i times weight[i] in delta and in the sum
 * squared_error          sum (Y - Y_hat)^2, accumulated in double
 * squared_error_weighted sum_i weight[i] * sum_j (Y - Y_hat)[i,j]^2
 * times_derivative       delta *= act'(Z): sigmoid Z (1 - Z), tanh 1 - Z^2, relu Z > 0, identity 1,
 *                        the others as above, CBP_KEPT Z itself; here and wherever a slope is
 *                        computed from outputs it is NaN if that is impossible (cbp_keeps_slope)
 * delta_hidden           out = (delta W_T) act'(Z): delta (rows, n_out), its rows ld apart; W_T (n_out,
 *                        n_hidden), Z and out (rows, n_hidden); n_out 1 or 2, n_hidden >= lanes.
 *                        product and times_derivative in one pass
 * output                 Y_hat = sigma(O) for any activation; Y_hat may be O.  softmax goes by rows:
 *                        the order of its sum depends on cols alone, and a NaN or an infinite
 *                        maximum makes the whole row NaN
 * loss                   sum_ij weight_ij l(Y_ij, P_ij), accumulated in double, and, unless delta is
 *                        NULL, delta = its derivative with respect to O; weight NULL: ones.  P is O
 *                        for CBP_CROSS_ENTROPY (sigmoid, softmax), CBP_POISSON (exp; Y >= 0) and
 *                        CBP_GAMMA (exp; Y > 0 and not subnormal), Y_hat for the others; delta may
 *                        be P.  An output that keeps its slope is passed as CBP_IDENTITY, and delta
 *                        is multiplied by the slope afterwards.  parameter: the threshold of
 *                        CBP_HUBER, the quantile of CBP_QUANTILE.  CBP_GIVEN: Y is dl/dY_hat, and
 *                        the sum 0.  CBP_LOG_COSH: l = log cosh(Y_hat - Y).  CBP_GAMMA: l = Y
 *                        exp(-O) + O - log Y - 1, half the deviance; where Y is 0, as for a
 *                        missing target, l and delta are 0.  Softmax's cross-entropy weights the
 *                        terms of its sum over classes.  Formulas: docs/mathematics.md
 * element_weights        weight_ij = row_weight_i * column_weight_j, either NULL: ones; `missing`:
 *                        where Y_ij is NaN, weight_ij = Y_ij = 0, else Y is unchanged
 * column_sums            out = beta * out + alpha * sums of delta's columns; beta == 0 does not
 *                        read out
 * fill_rows              every row of H = b
 * transpose              W_T (cols, rows) = transpose of W (rows, cols)
 * add                    y += x
 * all_finite             1 if no element is NaN or infinite, else 0
 * gather_f64/f32         out[i,:] = source row index[i], cast; index NULL: rows 0, 1, 2, ...;
 *                        source rows are contiguous doubles/floats at any stride and alignment
 * affine_rows            X[i,j] = (X[i,j] - shift[j]) * scale[j]
 * outer_sums             row i of out holds, one after the other, the segments of p in first .. first
 *                        + count - 1: sum_k A[i,k,p] D[i,k,j] for j in 0 .. n_d - 1, or with `lower`
 *                        in 0 .. p.  A[i] (n_sums, n_a) begins at i a_step, D[i] (n_sums, n_d) at
 *                        i d_step, out's rows at i step; n_sums >= 1, k in order
 * product                C[i,j] = beta C[i,j] + alpha sum_p A[i rsa + p csa] B[p ldb + j];
 *                        beta == 0 does not read C.  The sum's order depends only on the sizes
 *                        and which strides are 1; equal rows of A give equal rows of C.  A (m, k)
 *                        is rsa = lda, csa = 1; its transpose rsa = 1, csa = lda.  bias != NULL
 *                        (length n) requires alpha = 1 and beta = 0, and is added to each row.  C
 *                        overlaps no input.
 * steps                  n_steps steps of plain SGD, each on the next `rows` of the rows of X and Y
 *                        (1 to 4; order: NULL, or which), with alpha = -learning_rate / rows, on a
 *                        network with one hidden layer; adds each step's sum (Y - Y_hat)^2, from
 *                        before the step, to *squares; ends after a step that makes it infinite or
 *                        NaN; returns the steps made.  each != NULL (length n_steps, rows > 1):
 *                        every step is on the same rows, the first ones; each gets the steps' sums
 *                        and *squares the last; a parameter that becomes infinite or NaN ends it
 *                        too
 * steps_scratch          elements of the scratch memory that `steps` needs; its contents must be
 *                        finite
 * lanes                  elements in the widest vector of this level
 */
#define CBP_TWO_LAYERS(T)                                                                          \
    ptrdiff_t n_in, n_hidden, n_out;                                                               \
    int hidden_activation, output_activation;                                                      \
    T *W1, *b1, *W2, *b2; /* (n_in, n_hidden), (n_hidden, n_out); both b NULL: no biases */

typedef struct cbp_two_layers_f64 { CBP_TWO_LAYERS(double) } cbp_two_layers_f64;
typedef struct cbp_two_layers_f32 { CBP_TWO_LAYERS(float) } cbp_two_layers_f32;

#define CBP_SIMD_TABLE(T, NET)                                                                          \
    void (*activate)(int activation, const T *h, T *z, ptrdiff_t n);                               \
    void (*activate_keeping)(int activation, const T *h, T *z, T *slope, ptrdiff_t n);             \
    double (*delta_output)(int activation, const T *Y, const T *Y_hat, T *delta, ptrdiff_t n);     \
    double (*delta_output_weighted)(int activation, const T *weight, const T *Y, const T *Y_hat,   \
                                    T *delta, ptrdiff_t rows, ptrdiff_t cols);                     \
    double (*squared_error)(const T *Y, const T *Y_hat, ptrdiff_t n);                              \
    double (*squared_error_weighted)(const T *weight, const T *Y, const T *Y_hat, ptrdiff_t rows,  \
                                     ptrdiff_t cols);                                              \
    void (*times_derivative)(int activation, const T *Z, T *delta, ptrdiff_t n);                   \
    void (*delta_hidden)(int activation, const T *delta, ptrdiff_t ld, ptrdiff_t rows, int n_out,  \
                         const T *W_T, ptrdiff_t n_hidden, const T *Z, T *out);                    \
    void (*output)(int activation, const T *O, T *Y_hat, ptrdiff_t rows, ptrdiff_t cols);          \
    double (*loss)(int loss, int activation, T parameter, const T *weight, const T *Y, const T *P, \
                   T *delta, ptrdiff_t rows, ptrdiff_t cols);                                      \
    void (*element_weights)(const T *row_weight, const T *column_weight, T *Y, int missing,        \
                            T *weight, ptrdiff_t rows, ptrdiff_t cols);                            \
    void (*column_sums)(T alpha, const T *delta, ptrdiff_t rows, ptrdiff_t cols, T beta, T *out);  \
    void (*fill_rows)(const T *b, ptrdiff_t rows, ptrdiff_t cols, T *H);                           \
    void (*transpose)(const T *W, ptrdiff_t rows, ptrdiff_t cols, T *W_T);                         \
    void (*add)(const T *x, T *y, ptrdiff_t n);                                                    \
    int (*all_finite)(const T *x, ptrdiff_t n);                                                    \
    void (*gather_f64)(const char *source, ptrdiff_t row_stride_bytes, const int64_t *index,       \
                       ptrdiff_t rows, ptrdiff_t cols, T *out);                                    \
    void (*gather_f32)(const char *source, ptrdiff_t row_stride_bytes, const int64_t *index,       \
                       ptrdiff_t rows, ptrdiff_t cols, T *out);                                    \
    void (*affine_rows)(const T *shift, const T *scale, ptrdiff_t rows, ptrdiff_t cols, T *X);     \
    void (*outer_sums)(const T *A, ptrdiff_t a_step, ptrdiff_t n_a, const T *D, ptrdiff_t d_step,  \
                       ptrdiff_t n_d, ptrdiff_t n_sums, int lower, ptrdiff_t first,                \
                       ptrdiff_t count, ptrdiff_t rows, T *out, ptrdiff_t step);                   \
    void (*product)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, T alpha, const T *A, ptrdiff_t rsa,     \
                    ptrdiff_t csa, const T *B, ptrdiff_t ldb, T beta, T *C, ptrdiff_t ldc,         \
                    const T *bias);                                                                \
    ptrdiff_t (*steps)(const NET *net, const T *X, const T *Y, const int64_t *order,               \
                       ptrdiff_t rows, ptrdiff_t n_steps, T alpha, T *scratch, double *squares,    \
                       double *each);                                                              \
    ptrdiff_t (*steps_scratch)(ptrdiff_t n_hidden, ptrdiff_t n_out, ptrdiff_t rows);               \
    int lanes;

typedef struct cbp_simd_f64 { CBP_SIMD_TABLE(double, cbp_two_layers_f64) } cbp_simd_f64;
typedef struct cbp_simd_f32 { CBP_SIMD_TABLE(float, cbp_two_layers_f32) } cbp_simd_f32;

/* The tables in use: NULL until cbp_choose. */
extern const cbp_simd_f64 *cbp_f64;
extern const cbp_simd_f32 *cbp_f32;

/* Set the tables to the level of that name, or to this CPU's best for NULL or "".
 * Returns the level's name; NULL, and nothing set, if the name is unknown or the CPU lacks it. */
const char *cbp_choose(const char *level);

/* A level's table; NULL if the name is unknown, the level not compiled or the CPU without it. */
const cbp_simd_f64 *cbp_level_f64(const char *level);
const cbp_simd_f32 *cbp_level_f32(const char *level);

#endif
