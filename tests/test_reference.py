"""The specification against what it is derived from: finite differences, complex steps, mpmath."""

import itertools

import mpmath
import numpy as np
import pytest

from cbackprop import reference


def page(N=7, n_in=4, n_hidden=5, n_out=3):
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(N, n_in)), rng.uniform(size=(N, n_out))
    return X, Y, rng.normal(size=(n_in, n_hidden)), rng.normal(size=(n_hidden, n_out))


def test_the_page_by_hand():
    """One row, one unit each: every number of the page written out."""
    X, Y, W1, W2 = (np.array([[v]]) for v in (0.5, 1.0, 2.0, -1.0))
    z = 1 / (1 + np.exp(-1.0))
    y = 1 / (1 + np.exp(z))
    delta_o = -(1 - y) * y * (1 - y)
    loss, grad_W1, grad_W2 = reference.gradients(X, Y, W1, W2)
    assert loss == pytest.approx((1 - y) ** 2 / 2, rel=1e-15)
    assert grad_W2[0, 0] == pytest.approx(z * delta_o, rel=1e-15)
    assert grad_W1[0, 0] == pytest.approx(0.5 * delta_o * -1.0 * z * (1 - z), rel=1e-15)


def test_the_page_by_complex_step():
    X, Y, W1, W2 = page()
    _, *gradients = reference.gradients(X, Y, W1, W2)
    for which, gradient in enumerate(gradients):
        for index in np.ndindex(gradient.shape):
            stepped = [W1.astype(complex), W2.astype(complex)]
            stepped[which][index] += 1e-30j
            exact = reference.gradients(X, Y, *stepped)[0].imag / 1e-30
            assert gradient[index] == pytest.approx(exact, rel=1e-12, abs=1e-15)


def test_the_general_net_is_the_page():
    X, Y, W1, W2 = page()
    loss, grad_W1, grad_W2 = reference.gradients(X, Y, W1, W2)
    value, grad_W, grad_b = reference.gradient([W1, W2], (), ["sigmoid", "sigmoid"], X, Y)
    assert value == pytest.approx(loss, rel=1e-15)
    np.testing.assert_allclose(grad_W[0], grad_W1, rtol=1e-13)
    np.testing.assert_allclose(grad_W[1], grad_W2, rtol=1e-13)
    assert grad_b == []


@pytest.mark.parametrize("h", [-1000.0, -745.0, -700.0, -40.0, -1.0, 0.0, 1e-9, 3.0, 40.0, 1000.0])
def test_sigmoid_against_mpmath(h):
    with np.errstate(over="raise", under="ignore"):
        got = float(reference.sigmoid(h))
    exact = float(1 / (1 + mpmath.exp(-mpmath.mpf(h))))
    assert got == pytest.approx(exact, rel=1e-14, abs=1e-320)


def test_special_values():
    assert np.isnan(reference.sigmoid(np.nan))
    assert reference.sigmoid(np.array([-np.inf, np.inf])).tolist() == [0.0, 1.0]
    assert np.isnan(reference.relu(np.nan))
    assert reference.relu(np.array([-np.inf, -1.0, 0.0, 2.0])).tolist() == [0, 0, 0, 2]
    assert reference.ACTIVATIONS["relu"][1](np.zeros(1), np.zeros(1)).tolist() == [
        0.0
    ]  # relu'(0) = 0


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_each_derivative_belongs_to_its_activation(name):
    activation, derivative = reference.ACTIVATIONS[name]
    h = np.linspace(-3, 3, 20)  # 0 is not among them
    exact = activation(h + 1e-30j).imag / 1e-30
    np.testing.assert_allclose(derivative(h, activation(h)), exact, rtol=1e-12, atol=1e-15)


def test_row_weights_are_repetitions():
    X, Y, W1, W2 = page(N=3)
    net = ([W1, W2], (), ["tanh", "identity"])
    weighted = reference.gradient(*net, X, Y, np.array([1.0, 0.0, 2.0]))
    repeated = reference.gradient(*net, X[[0, 2, 2]], Y[[0, 2, 2]])
    assert weighted[0] == pytest.approx(repeated[0], rel=1e-14)
    for a, b in zip(weighted[1], repeated[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_the_general_net_by_complex_step():
    """Four layers of four activations, biases, row weights."""
    rng = np.random.default_rng(3)
    sizes, names = (3, 4, 5, 4, 2), ("tanh", "relu", "sigmoid", "identity")
    weights = [rng.normal(size=shape) for shape in itertools.pairwise(sizes)]
    biases = [rng.normal(size=n) for n in sizes[1:]]
    X, Y, w = rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), rng.uniform(size=6)
    _, grad_W, grad_b = reference.gradient(weights, biases, names, X, Y, w)
    for gradients, arrays in ((grad_W, weights), (grad_b, biases)):
        for i, gradient in enumerate(gradients):
            whole, exact = arrays[i], np.empty(arrays[i].shape)
            for index in np.ndindex(whole.shape):
                arrays[i] = whole.astype(complex)
                arrays[i][index] += 1e-30j
                exact[index] = reference.loss(weights, biases, names, X, Y, w).imag / 1e-30
            arrays[i] = whole
            assert exact.any()
            np.testing.assert_allclose(gradient, exact, rtol=1e-10, atol=1e-15)


def test_it_stays_under_a_hundred_lines():
    with open(reference.__file__, encoding="utf-8") as file:
        assert len(file.readlines()) < 100
