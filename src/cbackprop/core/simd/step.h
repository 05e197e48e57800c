/* Whole steps of plain SGD on one to four rows, for one hidden layer; simd.h has the contract.
 *
 *     H = X W1 + b1                Z = sigma(H)                         step_inputs, step_sigma
 *     O = Z W2 + b2                Y_hat = sigma(O)                     step_output
 *     delta_O = -(Y - Y_hat) * sigma'(O)                                step_output
 *     delta_H = (delta_O W2^T) * sigma'(H)                              step_hidden
 *     W2 += alpha Z^T delta_O                                      (1)  step_gradient_2
 *     W1 += alpha X^T delta_H                                      (2)  step_update; one row: the
 *                                                                       next step's step_inputs
 *
 * Four rows are too few to pay for a call for each line, and with one row (2) would be a pass over
 * W1 for little arithmetic: so (2) of one row is done while the next row's H reads W1.  W2 is kept
 * transposed, in whole vectors along the hidden units, and copied back at the end; delta_H is
 * computed before (1) because it needs the W2 of the forward pass.  alpha multiplies the error,
 * once, while Y_hat's derivative is being computed: a step is a chain of dependent operations, and
 * this removes one of them for each delta.  The order of each sum depends only on the sizes.
 *
 * This file promises to stay one step: no epochs, no choice of rows, no rule but W += alpha g.
 */

/* The scratch memory; `slope` is for activations without their own loop.  Hidden quantities have
 * `padded` columns, whole vectors; those of the output are flat over rows and outputs. */
typedef struct WN(scratch) {
    T *Z, *step_H, *slope;          /* (rows, padded); step_H = alpha delta_H, slope = sigma'(H) */
    T *W2_T, *b1;                   /* (n_out, padded), (padded,): of the call */
    T *Y, *error, *O, *step_O;      /* (rows * n_out,); step_O = alpha delta_O */
    ptrdiff_t padded;
} WN(scratch);

/* NV vectors of columns of W1, all inputs, R rows: H = X W1 + bias.  PENDING (R is 1): (2) of the
 * previous step is still to do: W1 += before^T step comes first.  PART: there are n < W columns;
 * else the last vector begins at `last` and may overlap the previous one (both are loaded before
 * either is stored). */
CBP_INLINE void WN(step_panel)(const int R, const int NV, const int PART, const int PENDING,
                               ptrdiff_t n_in, T *W1, ptrdiff_t ld, ptrdiff_t n, ptrdiff_t last,
                               const T *const *x, const T *before, const T *step, const T *bias,
                               T *H, ptrdiff_t padded)
{
    const int KS = R * NV >= 4 ? 1 : R * NV >= 2 ? 2 : 4; /* sums, for an FMA's latency */
    V sum[4][4][4], move[4]; /* KS, R, NV */
    ptrdiff_t i = 0;
#define COLUMN(v) ((v) < NV - 1 ? (v) * W : NV == 1 ? 0 : last)
#define LOAD(from) (PART ? WN(load_part)(from, n) : WN(load)(from))
#define STORE(to, v)                                                                               \
    if (PART)                                                                                      \
        WN(store_part)(to, v, n);                                                                  \
    else                                                                                           \
        WN(store)(to, v)
    CBP_UNROLL
    for (int s = 0; s < KS; s++) {
        CBP_UNROLL
        for (int r = 0; r < R; r++) {
            CBP_UNROLL
            for (int v = 0; v < NV; v++)
                sum[s][r][v] = WN(set)(0);
        }
    }
    if (PENDING) {
        CBP_UNROLL
        for (int v = 0; v < NV; v++)
            move[v] = WN(load)(step + COLUMN(v));
    }
#define INPUT(s)                                                                                   \
    {                                                                                              \
        V w[4];                                                                                    \
        CBP_UNROLL                                                                                 \
        for (int v = 0; v < NV; v++)                                                               \
            w[v] = LOAD(W1 + COLUMN(v));                                                           \
        if (PENDING) {                                                                             \
            const V x_before = WN(set)(before[i]);                                                 \
            CBP_UNROLL                                                                             \
            for (int v = 0; v < NV; v++)                                                           \
                w[v] += x_before * move[v];                                                        \
            CBP_UNROLL                                                                             \
            for (int v = 0; v < NV; v++)                                                           \
                STORE(W1 + COLUMN(v), w[v]);                                                       \
        }                                                                                          \
        CBP_UNROLL                                                                                 \
        for (int r = 0; r < R; r++) {                                                              \
            const V x_now = WN(set)(x[r][i]);                                                      \
            CBP_UNROLL                                                                             \
            for (int v = 0; v < NV; v++)                                                           \
                sum[s][r][v] += x_now * w[v];                                                      \
        }                                                                                          \
        W1 += ld;                                                                                  \
        i++;                                                                                       \
    }
    while (i + KS <= n_in) {
        CBP_UNROLL
        for (int s = 0; s < KS; s++)
            INPUT(s)
    }
    if (KS > 1)
        while (i < n_in)
            INPUT(0)
#undef INPUT
    CBP_UNROLL
    for (int r = 0; r < R; r++) {
        CBP_UNROLL
        for (int v = 0; v < NV; v++) {
            if (KS == 4)
                sum[0][r][v] += sum[2][r][v], sum[1][r][v] += sum[3][r][v];
            if (KS >= 2)
                sum[0][r][v] += sum[1][r][v];
            if (bias != NULL) /* last, since the previous step has just stored it */
                sum[0][r][v] += WN(load)(bias + COLUMN(v));
            WN(store)(H + r * padded + COLUMN(v), sum[0][r][v]);
        }
    }
}

/* (2) by itself: W1 += X^T step, for R rows */
CBP_INLINE void WN(step_update_panel)(const int R, const int NV, const int PART, ptrdiff_t n_in,
                                      T *W1, ptrdiff_t ld, ptrdiff_t n, ptrdiff_t last,
                                      const T *const *x, const T *step, ptrdiff_t padded)
{
    V move[4][4]; /* R, NV */
    CBP_UNROLL
    for (int r = 0; r < R; r++) {
        CBP_UNROLL
        for (int v = 0; v < NV; v++)
            move[r][v] = WN(load)(step + r * padded + COLUMN(v));
    }
    for (ptrdiff_t i = 0; i < n_in; i++, W1 += ld) {
        V w[4];
        CBP_UNROLL
        for (int v = 0; v < NV; v++)
            w[v] = LOAD(W1 + COLUMN(v));
        CBP_UNROLL
        for (int r = 0; r < R; r++) {
            const V x_now = WN(set)(x[r][i]);
            CBP_UNROLL
            for (int v = 0; v < NV; v++)
                w[v] += x_now * move[r][v];
        }
        CBP_UNROLL
        for (int v = 0; v < NV; v++)
            STORE(W1 + COLUMN(v), w[v]);
    }
}
#undef COLUMN
#undef LOAD
#undef STORE

/* What the two passes over W1 share */
typedef struct WN(inputs) {
    ptrdiff_t n_in, n_hidden, padded;
    const T *const *x; /* the step's rows */
    const T *before;   /* the previous step's row, or NULL */
} WN(inputs);

/* PANEL(R, NV): a function for each number of rows and of vectors across */
#define STEP_PANELS(PANEL)                                                                         \
    PANEL(1, 1) PANEL(1, 2) PANEL(1, 3) PANEL(1, 4) PANEL(2, 1) PANEL(2, 2) PANEL(2, 3)            \
    PANEL(2, 4) PANEL(3, 1) PANEL(3, 2) PANEL(4, 1) PANEL(4, 2)
#define PANEL(R, NV)                                                                               \
    static void WN(step_inputs_##R##x##NV)(const WN(inputs) *in, T *W1, ptrdiff_t n,               \
                                           ptrdiff_t last, const T *step, const T *bias, T *H)     \
    {                                                                                              \
        const ptrdiff_t n_in = in->n_in, ld = in->n_hidden, padded = in->padded;                   \
        const T *const *x = in->x;                                                                 \
        const T *before = in->before;                                                              \
        if (R == 1 && before != NULL) {                                                            \
            if (NV == 1 && n < W)                                                                  \
                WN(step_panel)(1, NV, 1, 1, n_in, W1, ld, n, last, x, before, step, bias, H,       \
                               padded);                                                            \
            else                                                                                   \
                WN(step_panel)(1, NV, 0, 1, n_in, W1, ld, n, last, x, before, step, bias, H,       \
                               padded);                                                            \
        }                                                                                          \
        else if (NV == 1 && n < W)                                                                 \
            WN(step_panel)(R, NV, 1, 0, n_in, W1, ld, n, last, x, NULL, NULL, bias, H, padded);    \
        else                                                                                       \
            WN(step_panel)(R, NV, 0, 0, n_in, W1, ld, n, last, x, NULL, NULL, bias, H, padded);    \
    }                                                                                              \
    static void WN(step_update_##R##x##NV)(const WN(inputs) *in, T *W1, ptrdiff_t n,               \
                                           ptrdiff_t last, const T *step, const T *bias, T *H)     \
    {                                                                                              \
        const ptrdiff_t n_in = in->n_in, ld = in->n_hidden, padded = in->padded;                   \
        (void)bias, (void)H;                                                                       \
        if (NV == 1 && n < W)                                                                      \
            WN(step_update_panel)(R, NV, 1, n_in, W1, ld, n, last, in->x, step, padded);           \
        else                                                                                       \
            WN(step_update_panel)(R, NV, 0, n_in, W1, ld, n, last, in->x, step, padded);           \
    }
STEP_PANELS(PANEL)
#undef PANEL

typedef void (*WN(step_function))(const WN(inputs) *, T *, ptrdiff_t, ptrdiff_t, const T *,
                                  const T *, T *);

/* All columns of W1, in panels of up to `most` vectors, as equal as possible */
CBP_INLINE void WN(step_columns)(const WN(step_function) *of_vectors, const ptrdiff_t most,
                                 const WN(inputs) *in, T *W1, const T *step, const T *bias, T *H)
{
    ptrdiff_t n = in->n_hidden, vectors = (n + W - 1) / W, panels = (vectors + most - 1) / most;
    for (; panels > 0; panels--) {
        /* The wider panels come last: at least W columns are left, except with one vector. */
        const ptrdiff_t across = panels == 1 ? vectors : vectors / panels;
        const ptrdiff_t last = (panels == 1 ? n : across * W) - W;
        of_vectors[across - 1](in, W1, n, last, step, bias, H);
        vectors -= across;
        n -= across * W;
        W1 += across * W;
        step += across * W;
        H += across * W;
        if (bias != NULL)
            bias += across * W;
    }
}

static void WN(step_inputs)(ptrdiff_t rows, const WN(inputs) *in, T *W1, const T *step,
                            const T *bias, T *H)
{
#define PANEL(R, NV) [R - 1][NV - 1] = WN(step_inputs_##R##x##NV),
    static const WN(step_function) panel[4][4] = {STEP_PANELS(PANEL)};
#undef PANEL
    WN(step_columns)(panel[rows - 1], rows > 2 ? 2 : 4, in, W1, step, bias, H);
}

static void WN(step_update)(ptrdiff_t rows, const WN(inputs) *in, T *W1, T *step)
{
#define PANEL(R, NV) [R - 1][NV - 1] = WN(step_update_##R##x##NV),
    static const WN(step_function) panel[4][4] = {STEP_PANELS(PANEL)};
#undef PANEL
    WN(step_columns)(panel[rows - 1], rows > 2 ? 2 : 4, in, W1, step, NULL, step);
}
#undef STEP_PANELS

/* Z = sigma(H); the columns after the last hidden unit become 0 */
CBP_INLINE void WN(step_sigma_loop)(const int activation, T *Z, ptrdiff_t rows, ptrdiff_t n,
                                    ptrdiff_t padded)
{
    for (ptrdiff_t r = 0; r < rows; r++, Z += padded) {
        ptrdiff_t h = 0;
        for (; h + W <= n; h += W)
            WN(store)(Z + h, WN(act)(activation, WN(load)(Z + h)));
        if (h < n) {
            const M inside = (M)(WN(lane_numbers)() < (BITS)(n - h));
            const V z = WN(act)(activation, WN(load)(Z + h));
            WN(store)(Z + h, WN(from_bits)(WN(bits)(z) & inside));
        }
    }
}

/* The same for any activation, and slope = sigma'(H) */
static CBP_NOINLINE void WN(step_sigma_keeping)(int activation, T *Z, T *slope, ptrdiff_t rows,
                                                ptrdiff_t n, ptrdiff_t padded)
{
    for (ptrdiff_t r = 0; r < rows; r++, Z += padded, slope += padded)
        for (ptrdiff_t h = 0; h < n; h += W) {
            const M inside = WN(inside)(n - h);
            V steep;
            const V z = WN(act_and_slope)(activation, WN(load)(Z + h), &steep);
            WN(store)(Z + h, WN(from_bits)(WN(bits)(z) & inside));
            WN(store)(slope + h, WN(from_bits)(WN(bits)(steep) & inside));
        }
}

static void WN(step_sigma)(int activation, const WN(scratch) *to, ptrdiff_t rows, ptrdiff_t n)
{
#define LOOP(a) WN(step_sigma_loop)(a, to->Z, rows, n, to->padded)
#define OTHERS WN(step_sigma_keeping)(activation, to->Z, to->slope, rows, n, to->padded)
    FOR_EACH_ACTIVATION(LOOP, OTHERS)
#undef LOOP
#undef OTHERS
}

/* Y_hat = sigma(O), from O to the error Y_hat - Y and to alpha delta_O */
CBP_INLINE void WN(step_delta_loop)(const int activation, const WN(scratch) *to, ptrdiff_t n,
                                    T alpha)
{
    for (ptrdiff_t i = 0; i < n; i += W) {
        const V Y_hat = WN(act)(activation, WN(load)(to->O + i));
        const V error = Y_hat - WN(load)(to->Y + i);
        V step_O = alpha * error;
        if (activation != CBP_IDENTITY)
            step_O *= WN(derivative)(activation, Y_hat);
        WN(store)(to->error + i, error);
        WN(store)(to->step_O + i, step_O);
    }
}

/* The same for any activation */
static CBP_NOINLINE void WN(step_delta_keeping)(int activation, const WN(scratch) *to, ptrdiff_t n,
                                                T alpha)
{
    for (ptrdiff_t i = 0; i < n; i += W) {
        V slope;
        const V Y_hat = WN(act_and_slope)(activation, WN(load)(to->O + i), &slope);
        const V error = Y_hat - WN(load)(to->Y + i);
        WN(store)(to->error + i, error);
        WN(store)(to->step_O + i, alpha * error * slope);
    }
}

/* (x, 0, 0, ...) */
CBP_INLINE V WN(first_lane)(T x)
{
#if W > 1
    return WN(from_bits)(WN(bits)(WN(set)(x)) & (M)(WN(lane_numbers)() < (BITS)1));
#else
    return x;
#endif
}

/* O = Z W2 + b2, Y_hat, alpha delta_O; returns the sum of (Y - Y_hat)^2 */
static double WN(step_output)(const NET *net, const WN(scratch) *to, ptrdiff_t rows, T alpha)
{
    const int activation = net->output_activation;
    const ptrdiff_t n_out = net->n_out, n = rows * n_out;
    double squares = 0;
    ptrdiff_t j = 0;
    V O = WN(set)(0);
    const T *Z = to->Z, *W2_T = to->W2_T;
    for (ptrdiff_t i = 0; i < n; i++) {
        /* Two independent sums, b2 in a lane of the first. */
        V sum = WN(first_lane)(net->b2 == NULL ? 0 : net->b2[j]), other = WN(set)(0);
        sum += WN(load)(Z) * WN(load)(W2_T);
        for (ptrdiff_t h = W; h < to->padded; h += 2 * W) {
            other += WN(load)(Z + h) * WN(load)(W2_T + h);
            if (h + W < to->padded)
                sum += WN(load)(Z + h + W) * WN(load)(W2_T + h + W);
        }
        const T one = WN(sum)(sum + other);
        /* Put together in a register: what was stored in parts is slow to load whole. */
#if W > 1
        O = WN(select)((M)(WN(lane_numbers)() == (BITS)(i % W)), WN(set)(one), O);
#else
        O = one;
#endif
        if (i % W == W - 1 || i == n - 1)
            WN(store)(to->O + i / W * W, O);
        W2_T += to->padded;
        if (++j == n_out) {
            j = 0;
            W2_T = to->W2_T;
            Z += to->padded;
        }
    }
#define LOOP(a) WN(step_delta_loop)(a, to, n, alpha)
#define OTHERS WN(step_delta_keeping)(activation, to, n, alpha)
    FOR_EACH_ACTIVATION(LOOP, OTHERS)
#undef LOOP
#undef OTHERS
    for (ptrdiff_t i = 0; i < n; i++)
        squares += (double)to->error[i] * (double)to->error[i];
    return squares;
}

/* step_H = alpha delta_H = (alpha delta_O W2^T) * sigma'(H); Z: the source of sigma' */
CBP_INLINE void WN(step_hidden_loop)(const int activation, const WN(scratch) *to, const T *Z,
                                     ptrdiff_t rows, ptrdiff_t n_out)
{
    const ptrdiff_t padded = to->padded;
    for (ptrdiff_t r = 0; r < rows; r++) {
        const T *step_O = to->step_O + r * n_out;
        for (ptrdiff_t h = 0; h < padded; h += W) {
            const T *W2_T = to->W2_T + h;
            V step_H = WN(set)(step_O[0]) * WN(load)(W2_T);
            for (ptrdiff_t j = 1; j < n_out; j++)
                step_H += WN(set)(step_O[j]) * WN(load)(W2_T + j * padded);
            if (activation != CBP_IDENTITY)
                step_H *= WN(derivative)(activation, WN(load)(Z + r * padded + h));
            WN(store)(to->step_H + r * padded + h, step_H);
        }
    }
}

static CBP_NOINLINE void WN(step_hidden_keeping)(const WN(scratch) *to, ptrdiff_t rows,
                                                 ptrdiff_t n_out)
{
    WN(step_hidden_loop)(CBP_KEPT, to, to->slope, rows, n_out);
}

static void WN(step_hidden)(int activation, const WN(scratch) *to, ptrdiff_t rows, ptrdiff_t n_out)
{
#define LOOP(a) WN(step_hidden_loop)(a, to, to->Z, rows, n_out)
#define OTHERS WN(step_hidden_keeping)(to, rows, n_out)
    FOR_EACH_ACTIVATION(LOOP, OTHERS)
#undef LOOP
#undef OTHERS
}

/* (1): W2 += Z^T step_O, and the same for the biases (A = 1) */
static void WN(step_gradient_2)(const NET *net, const WN(scratch) *to, ptrdiff_t rows)
{
    const ptrdiff_t n_out = net->n_out, padded = to->padded;
    for (ptrdiff_t j = 0; j < n_out; j++) {
        const T *step_O = to->step_O + j;
        T *W2_T = to->W2_T + j * padded;
        for (ptrdiff_t h = 0; h < padded; h += W) {
            V w = WN(load)(W2_T + h);
            for (ptrdiff_t r = 0; r < rows; r++)
                w += WN(load)(to->Z + r * padded + h) * WN(set)(step_O[r * n_out]);
            WN(store)(W2_T + h, w);
        }
        if (net->b2 != NULL)
            for (ptrdiff_t r = 0; r < rows; r++)
                net->b2[j] += step_O[r * n_out];
    }
    if (net->b1 != NULL) {
        for (ptrdiff_t h = 0; h < padded; h += W) {
            V b = WN(load)(to->b1 + h);
            for (ptrdiff_t r = 0; r < rows; r++)
                b += WN(load)(to->step_H + r * padded + h);
            WN(store)(to->b1 + h, b);
        }
    }
}

/* Elements of scratch memory, and where each part of it lies */
static ptrdiff_t WN(step_scratch)(ptrdiff_t n_hidden, ptrdiff_t n_out, ptrdiff_t rows, T *memory,
                                  WN(scratch) *to)
{
    const ptrdiff_t padded = (n_hidden + W - 1) / W * W, flat = (rows * n_out + W - 1) / W * W;
    if (to != NULL) {
        to->padded = padded;
        to->Z = memory;
        to->step_H = to->Z + rows * padded;
        to->W2_T = to->step_H + rows * padded;
        to->b1 = to->W2_T + n_out * padded;
        to->Y = to->b1 + padded;
        to->error = to->Y + flat;
        to->O = to->error + flat;
        to->step_O = to->O + flat;
        to->slope = to->step_O + flat;
    }
    return (3 * rows + n_out + 1) * padded + 4 * flat;
}

/* W2 and b1 into the scratch memory, and back */
CBP_INLINE void WN(step_take)(const NET *net, const WN(scratch) *to)
{
    for (ptrdiff_t h = 0; h < net->n_hidden; h++) {
        for (ptrdiff_t j = 0; j < net->n_out; j++)
            to->W2_T[j * to->padded + h] = net->W2[h * net->n_out + j];
        if (net->b1 != NULL)
            to->b1[h] = net->b1[h];
    }
}

CBP_INLINE void WN(step_give_back)(const NET *net, const WN(scratch) *to)
{
    for (ptrdiff_t h = 0; h < net->n_hidden; h++) {
        for (ptrdiff_t j = 0; j < net->n_out; j++)
            net->W2[h * net->n_out + j] = to->W2_T[j * to->padded + h];
        if (net->b1 != NULL)
            net->b1[h] = to->b1[h];
    }
}

/* Whether every parameter is finite after a step; W1 has no pending update. */
static int WN(step_finite)(const NET *net, const WN(scratch) *to)
{
    const T *const parts[4] = {net->W1, to->W2_T, net->b1 == NULL ? NULL : to->b1, net->b2};
    const ptrdiff_t sizes[4] = {net->n_in * net->n_hidden, net->n_out * to->padded, net->n_hidden,
                                net->n_out};
    T none = 0;
    for (int part = 0; part < 4; part++)
        if (parts[part] != NULL)
            for (ptrdiff_t i = 0; i < sizes[part]; i++)
                none += parts[part][i] - parts[part][i];
    return none == 0;
}

#if W >= 4 && BYTES <= 32
#include "step_vector.h"
#endif

static ptrdiff_t WN(steps)(const NET *net, const T *X, const T *Y, const int64_t *order,
                           ptrdiff_t rows, ptrdiff_t n_steps, T alpha, T *scratch, double *squares,
                           double *each)
{
#if W >= 4 && BYTES <= 32
    if (WN(takes_vector_steps)(net, rows))
        return WN(vector_steps)(net, X, Y, order, n_steps, alpha, squares, each);
#endif

    const ptrdiff_t n_in = net->n_in, n_hidden = net->n_hidden, n_out = net->n_out;
    const T *x[4];
    WN(scratch) to;
    WN(step_scratch)(n_hidden, n_out, rows, scratch, &to);
    WN(inputs) in = {n_in, n_hidden, to.padded, x, NULL};
    ptrdiff_t step = 0;
    /* One column of whole vectors is its own transpose. */
    const int in_place = n_out == 1 && to.padded == n_hidden;
    if (in_place) {
        to.W2_T = net->W2;
        to.b1 = net->b1;
    }
    else
        WN(step_take)(net, &to);
    while (step < n_steps) {
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t row = (each == NULL ? step * rows : 0) + r;
            const ptrdiff_t at = order == NULL ? row : (ptrdiff_t)order[row];
            x[r] = X + at * n_in;
            for (ptrdiff_t j = 0; j < n_out; j++)
                to.Y[r * n_out + j] = Y[at * n_out + j];
        }
        WN(step_inputs)(rows, &in, net->W1, to.step_H, net->b1 == NULL ? NULL : to.b1, to.Z);
        WN(step_sigma)(net->hidden_activation, &to, rows, n_hidden);
        const double sum = WN(step_output)(net, &to, rows, alpha);
        WN(step_hidden)(net->hidden_activation, &to, rows, n_out);
        WN(step_gradient_2)(net, &to, rows); /* (1) */
        if (rows > 1)
            WN(step_update)(rows, &in, net->W1, to.step_H); /* (2) */
        else
            in.before = x[0];
        if (each == NULL)
            *squares += sum;
        else
            *squares = each[step] = sum;
        step++;
        if (!(*squares - *squares == 0)) /* infinite or NaN */
            break;
        if (each != NULL && rows > 1 && !WN(step_finite)(net, &to))
            break;
    }
    if (in.before != NULL)
        WN(step_update)(1, &in, net->W1, to.step_H); /* (2) */
    if (!in_place)
        WN(step_give_back)(net, &to);
    return step;
}
