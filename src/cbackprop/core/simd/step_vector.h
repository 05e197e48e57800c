/* Whole steps on four rows, if the hidden units fill one vector at most and there is one output:
 * the four lines of step.h with everything but X in registers (W1 where there are two inputs).
 *
 * Such a step is one chain of dependent operations with two sigmoids; the stores and loads between
 * the passes of step.h take as long as the chain.  Factors of a product that are not on the chain
 * are multiplied beforehand: W2 sigma'(H) while O's sigmoid is being computed.
 *
 * This file promises the steps of step.h, with O and (2) summed in another order.  Values are
 * opaque where the compiler could fuse either of two products with a sum, so that all versions of
 * the loop round alike.  Only variables are made opaque: an array with an opaque element would stay
 * in memory.
 */
#define MOST_INPUTS 16

/* inputs: their number, or 0 if it is not a constant.
 * inside: the lanes that are hidden units; W1, W2 and b1 are 0 in the others */
CBP_INLINE ptrdiff_t WN(vector_steps_of)(const int inputs, const int hidden, const int output,
                                         const NET *net, const T *X, const T *Y,
                                         const int64_t *order, ptrdiff_t n_steps, T alpha,
                                         double *squares, double *each)
{
    const ptrdiff_t n_in = inputs > 0 ? inputs : net->n_in, n_hidden = net->n_hidden;
    const M inside = (M)(WN(lane_numbers)() < (BITS)n_hidden);
    V W1[MOST_INPUTS];
    V b1 = WN(set)(0), W2 = WN(load_up_to)(net->W2, n_hidden);
    T b2 = net->b2 == NULL ? 0 : *net->b2;
    ptrdiff_t step = 0;
    int finite = 1;
    if (net->b1 != NULL)
        b1 = WN(load_up_to)(net->b1, n_hidden);
    for (ptrdiff_t i = 0; i < n_in; i++)
        W1[i] = WN(load_up_to)(net->W1 + i * n_hidden, n_hidden);
    while (step < n_steps && finite) {
        const T *x[4];
        T y[4];
        V Z[4], slope[4], step_H[4], O, error, move, none = WN(set)(0);
        CBP_UNROLL
        for (int r = 0; r < 4; r++) {
            const ptrdiff_t row = (each == NULL ? 4 * step : 0) + r;
            const ptrdiff_t at = order == NULL ? row : (ptrdiff_t)order[row];
            x[r] = X + at * n_in;
            y[r] = Y[at];
            Z[r] = b1;
        }
        for (ptrdiff_t i = 0; i < n_in; i++) { /* H = X W1 + b1 */
            CBP_UNROLL
            for (int r = 0; r < 4; r++)
                Z[r] += WN(set)(x[r][i]) * W1[i];
        }
        CBP_UNROLL
        for (int r = 0; r < 4; r++) /* Z = sigma(H) */
            Z[r] = WN(act)(hidden, Z[r]);
        /* O = Z W2 + b2, b2 in the first lane's term: row r's sum in lane r, and in r + 4 */
        O = WN(first_lane)(b2);
        O = WN(fold)(2, WN(fold)(1, Z[0] * W2 + O, Z[1] * W2 + O),
                     WN(fold)(1, Z[2] * W2 + O, Z[3] * W2 + O));
        if (W == 8)
            O = WN(fold)(4, O, O);
        CBP_UNROLL
        for (int r = 0; r < 4; r++) {
            V product = W2 * WN(derivative)(hidden, Z[r]);
            CBP_OPAQUE_VECTOR(product);
            slope[r] = product;
            Z[r] = WN(from_bits)(WN(bits)(Z[r]) & inside);
        }
        {
            const V Y_hat = WN(act)(output, O);
            /* Put together in a register: what was stored in parts is slow to load whole. */
#if W == 8
            error = Y_hat - (V){y[0], y[1], y[2], y[3], y[0], y[1], y[2], y[3]};
#else
            error = Y_hat - (V){y[0], y[1], y[2], y[3]};
#endif
            V step_O = alpha * error; /* alpha delta_O */
            if (output != CBP_IDENTITY)
                step_O *= WN(derivative)(output, Y_hat);
            CBP_OPAQUE_VECTOR(step_O);
            move = W2;
            CBP_UNROLL
            for (int r = 0; r < 4; r++) { /* delta_H, which reads the W2 before (1) */
                const V s = WN(set)(step_O[r]);
                V product = s * slope[r];
                CBP_OPAQUE_VECTOR(product);
                step_H[r] = product;
                move += Z[r] * s; /* (1) */
            }
            W2 = move;
            if (net->b2 != NULL)
                b2 += (step_O[0] + step_O[1]) + (step_O[2] + step_O[3]);
            if (net->b1 != NULL)
                b1 += (step_H[0] + step_H[1]) + (step_H[2] + step_H[3]);
        }
        for (ptrdiff_t i = 0; i < n_in; i++) { /* (2) */
            V w = W1[i], other = WN(set)(x[2][i]) * step_H[2];
            CBP_OPAQUE_VECTOR(other);
            w += WN(set)(x[0][i]) * step_H[0];
            other += WN(set)(x[3][i]) * step_H[3];
            w += WN(set)(x[1][i]) * step_H[1];
            w += other;
            W1[i] = w;
            none += w - w;
        }
        {
            double sum = 0;
            CBP_UNROLL
            for (int r = 0; r < 4; r++)
                sum += (double)error[r] * (double)error[r];
            if (each == NULL)
                *squares += sum;
            else
                *squares = each[step] = sum;
        }
        step++;
        finite = *squares - *squares == 0;
        if (each != NULL)
            finite &= WN(sum)(none + (W2 - W2) + (b1 - b1) + WN(set)(b2 - b2)) == 0;
    }
    for (ptrdiff_t i = 0; i < n_in; i++)
        WN(store_up_to)(net->W1 + i * n_hidden, W1[i], n_hidden);
    WN(store_up_to)(net->W2, W2, n_hidden);
    if (net->b1 != NULL)
        WN(store_up_to)(net->b1, b1, n_hidden);
    if (net->b2 != NULL)
        *net->b2 = b2;
    return step;
}

/* Whether a network's steps use this function, which depends only on its shape */
CBP_INLINE int WN(takes_vector_steps)(const NET *net, ptrdiff_t rows)
{
    return rows == 4 && net->n_out == 1 && net->n_hidden <= W && net->n_in <= MOST_INPUTS &&
           (net->hidden_activation == CBP_SIGMOID || net->hidden_activation == CBP_TANH) &&
           (net->output_activation == CBP_SIGMOID || net->output_activation == CBP_IDENTITY);
}

static ptrdiff_t WN(vector_steps)(const NET *net, const T *X, const T *Y, const int64_t *order,
                                  ptrdiff_t n_steps, T alpha, double *squares, double *each)
{
#define STEPS(hidden, output)                                                                      \
    if (net->hidden_activation == hidden && net->output_activation == output)                      \
        return net->n_in == 2 ? WN(vector_steps_of)(2, hidden, output, net, X, Y, order, n_steps,  \
                                                    alpha, squares, each)                          \
                              : WN(vector_steps_of)(0, hidden, output, net, X, Y, order, n_steps,  \
                                                    alpha, squares, each);
    STEPS(CBP_SIGMOID, CBP_SIGMOID)
    STEPS(CBP_SIGMOID, CBP_IDENTITY)
    STEPS(CBP_TANH, CBP_SIGMOID)
    STEPS(CBP_TANH, CBP_IDENTITY)
#undef STEPS
    return 0;
}
#undef MOST_INPUTS
