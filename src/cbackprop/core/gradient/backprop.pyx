"""Forward and backward pass of one block of rows: the four lines of backpropagation.

    H = A W + b       Z = sigma(H)              forward, layer by layer; A is X, then each Z
    delta_O = -(Y - Y_hat) * sigma'(O)
    grad W2 = 1/N  Z^T delta_O                  (1)
    delta_H = (delta_O W2^T) * sigma'(H)
    grad W1 = 1/N  X^T delta_H                  (2)

A deeper network repeats the last two lines.  A delta never contains 1/N, which enters once, as the
``alpha`` of the gradient products.  sigma' is computed from the activation's output, or kept from
the forward pass.  Another loss changes only ``output_delta``, where delta_O = dl/dY_hat *
sigma'(O); some are computed from O itself, and then the last sigma is left out (``linear``).

Buffers: Z and delta hold, layer after layer, (capacity, n_out) rows each; a block starts at row
``first`` of every layer (``layer_rows``).  This file promises to contain only the mathematics: no
threads, no allocation, no choice of rows.
"""

from cbackprop.core.linalg cimport elementwise, product
from cbackprop.core.simd.dispatch cimport CBP_IDENTITY, cbp_of_outputs_only


cdef void transpose_weights(const Net* net, const real* parameters,
                            real* transposed) noexcept nogil:
    """W^T at the start of a step, for delta W^T, of each layer that keeps one."""
    cdef Py_ssize_t i
    cdef const Layer* layer
    for i in range(1, net.n_layers):
        layer = &net.layers[i]
        if layer.W_T >= 0:
            elementwise.transpose(parameters + layer.W, layer.n_in, layer.n_out,
                                  transposed + layer.W_T)


cdef const real* forward(const Net* net, const real* parameters, const real* X, Py_ssize_t rows,
                         real* Z, Py_ssize_t capacity, Py_ssize_t first, bint linear,
                         bint slopes) noexcept nogil:
    """Every layer's Z for a block: H = A W + b, Z = sigma(H).  Returns Y_hat (rows, n_out).

    X : (rows, n_in)
    Z : written, every layer
    linear : leave out the last layer's sigma: O instead of Y_hat
    slopes : whether a backward pass follows: layers that keep sigma'(H) compute it with Z
    """
    cdef Py_ssize_t i
    cdef const Layer* layer
    cdef const real* A = X
    cdef const real* b
    cdef real* H
    for i in range(net.n_layers):
        layer = &net.layers[i]
        H = layer_rows(Z, layer, capacity, first)
        b = parameters + layer.b if layer.b >= 0 else NULL
        product.affine(rows, layer.n_in, layer.n_out, A, parameters + layer.W, b, H)
        if cbp_of_outputs_only(layer.activation):
            if not linear:
                elementwise.output_sigma(layer.activation, H, H, rows, layer.n_out)
        elif slopes and layer.slope >= 0:
            elementwise.sigma_keeping(layer.activation, H, H, slope_rows(Z, layer, capacity, first),
                                      rows * layer.n_out)
        elif layer.activation != CBP_IDENTITY and not (linear and i == net.n_layers - 1):
            elementwise.sigma(layer.activation, H, H, rows * layer.n_out)
        A = H
    return A


cdef double output_delta(const Net* net, const Goal* goal, const real* Y, const real* weight,
                         Py_ssize_t rows, const real* Z, real* delta, Py_ssize_t capacity,
                         Py_ssize_t first) noexcept nogil:
    """delta_O = -(Y - Y_hat) * sigma'(O), or dl/dO of another loss.  Returns the sum of
    (Y - Y_hat)^2, or of l.

    weight : NULL, or the weights in both: of rows (rows,) for the plain objective, else of elements
        (rows, n_out)
    """
    cdef:
        const Layer* layer = &net.layers[net.n_layers - 1]
        const real* Y_hat = layer_rows(<real*>Z, layer, capacity, first)
        real* delta_O = layer_rows(delta, layer, capacity, first)
        # If sigma'(O) is kept, delta_O is first computed without it.
        int activation = layer.activation if layer.slope < 0 else CBP_IDENTITY
        double total
    if not goal.plain:
        total = elementwise.loss_delta(goal.loss, activation, <real>goal.parameter, weight, Y,
                                       Y_hat, delta_O, rows, layer.n_out)
    elif weight == NULL:
        total = elementwise.delta_O(activation, Y, Y_hat, delta_O, rows * layer.n_out)
    else:
        total = elementwise.delta_O_weighted(activation, weight, Y, Y_hat, delta_O, rows,
                                             layer.n_out)
    if layer.slope >= 0:
        elementwise.times_slope(<const real*>slope_rows(<real*>Z, layer, capacity, first), delta_O,
                                rows * layer.n_out)
    return total


cdef double output_loss(const Net* net, const Goal* goal, const real* Y, const real* Y_hat,
                        const real* weight, Py_ssize_t rows) noexcept nogil:
    """The sum that ``output_delta`` returns, without the deltas."""
    cdef const Layer* layer = &net.layers[net.n_layers - 1]
    if not goal.plain:
        return elementwise.loss_only(goal.loss, layer.activation, <real>goal.parameter, weight, Y,
                                     Y_hat, rows, layer.n_out)
    if weight == NULL:
        return elementwise.squared_error(Y, Y_hat, rows * layer.n_out)
    return elementwise.squared_error_weighted(weight, Y, Y_hat, rows, layer.n_out)


cdef void hidden_delta(const Net* net, Py_ssize_t i, const real* parameters,
                       const real* transposed, Py_ssize_t rows, const real* Z, real* delta,
                       Py_ssize_t capacity, Py_ssize_t first) noexcept nogil:
    """delta_H = (delta_O W^T) * sigma'(H): from layer i's delta to that of layer i - 1.

    transposed : W^T at the start of the step, if the layer keeps one
    """
    cdef:
        const Layer* upper = &net.layers[i]
        const Layer* lower = &net.layers[i - 1]
        const real* delta_O = layer_rows(delta, upper, capacity, first)
        const real* W_T = transposed + upper.W_T if upper.W_T >= 0 else NULL
        real* delta_H = layer_rows(delta, lower, capacity, first)
        int activation
        const real* source = sigma_prime_source(lower, Z, capacity, first, &activation)
    if (W_T != NULL and activation != CBP_IDENTITY
            and elementwise.joins_delta_H(upper.n_in, upper.n_out, net.itemsize)):
        # Both calls below in one pass.
        elementwise.delta_H(activation, delta_O, upper.n_out, rows, upper.n_out, W_T,
                            upper.n_in, source, delta_H)
        return
    product.delta_W_T(rows, upper.n_in, upper.n_out, delta_O, parameters + upper.W, W_T, delta_H)
    if activation != CBP_IDENTITY:
        elementwise.times_sigma_prime(activation, source, delta_H, rows * lower.n_out)


cdef void layer_gradient(const Net* net, Py_ssize_t i, const real* X, Py_ssize_t rows,
                         real* Z, real* delta, Py_ssize_t capacity,
                         double alpha, double beta, real* gradient) noexcept nogil:
    """grad W = beta grad W + alpha A^T delta and the same for b (A = 1): (1) for the output layer,
    (2) for the first, whose A is X.

    gradient : (n_parameters,); only this layer's part is written, and not read if beta = 0
    """
    cdef:
        const Layer* layer = &net.layers[i]
        const real* A = X if i == 0 else layer_rows(Z, &net.layers[i - 1], capacity, 0)
        const real* layer_delta = layer_rows(delta, layer, capacity, 0)
    product.weight_gradient(layer.n_in, layer.n_out, rows, <real>alpha, A, layer.n_in, layer_delta,
                            layer.n_out, <real>beta, gradient + layer.W, layer.n_out)
    if layer.b >= 0:
        elementwise.column_sums(<real>alpha, layer_delta, rows, layer.n_out, <real>beta,
                                gradient + layer.b)


cdef double backprop(const Net* net, const Goal* goal, const real* parameters,
                     const real* transposed, const real* X, const real* Y, const real* weight,
                     Py_ssize_t rows, real* Z, real* delta, Py_ssize_t capacity,
                     double alpha, double beta, real* gradient) noexcept nogil:
    """Forward and backward pass of a block: gradient = beta gradient + alpha * the block's sum.

    Returns the block's sum of (Y - Y_hat)^2, or of l.  ``gradient`` may be the parameters
    themselves (a step of plain SGD: alpha = -learning_rate / N, beta = 1): delta W^T then reads
    ``transposed``, which holds the weights at the step's start.
    """
    forward(net, parameters, X, rows, Z, capacity, 0, goal.linear, True)
    return back(net, goal, parameters, transposed, X, Y, weight, rows, Z, delta, capacity, alpha,
                beta, gradient)


cdef double back(const Net* net, const Goal* goal, const real* parameters, const real* transposed,
                 const real* X, const real* Y, const real* weight, Py_ssize_t rows, real* Z,
                 real* delta, Py_ssize_t capacity, double alpha, double beta,
                 real* gradient) noexcept nogil:
    """``backprop`` without the forward pass, whose Z is given."""
    cdef Py_ssize_t i = net.n_layers - 1
    cdef double total
    total = output_delta(net, goal, Y, weight, rows, <const real*>Z, delta, capacity, 0)
    layer_gradient(net, i, X, rows, Z, delta, capacity, alpha, beta, gradient)          # (1)
    while i > 0:
        hidden_delta(net, i, parameters, transposed, rows, <const real*>Z, delta, capacity, 0)
        i -= 1
        layer_gradient(net, i, X, rows, Z, delta, capacity, alpha, beta, gradient)      # (2)
    return total
