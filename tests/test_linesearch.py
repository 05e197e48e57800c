"""The line search on scalar functions: its conditions, its evaluations, noise and edges."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbackprop.core.quasi_newton.linesearch import search_line

# --- the six functions of Moré and Thuente, ACM TOMS 20 (1994), section 5 -------------------------


def one(a, beta=2.0):
    return -a / (a * a + beta), (a * a - beta) / (a * a + beta) ** 2


def two(a, beta=0.004):
    return (a + beta) ** 5 - 2 * (a + beta) ** 4, (a + beta) ** 3 * (5 * (a + beta) - 8)


def three(a, beta=0.01, waves=39):
    if abs(a - 1) >= beta:
        base, slope = abs(a - 1), math.copysign(1, a - 1)
    else:
        base, slope = beta / 2 + (a - 1) ** 2 / (2 * beta), (a - 1) / beta
    wave = 2 * (1 - beta) / (waves * math.pi) * math.sin(waves * math.pi / 2 * a)
    return base + wave, slope + (1 - beta) * math.cos(waves * math.pi / 2 * a)


def yanai(beta1, beta2):
    gamma1, gamma2 = (math.sqrt(1 + b * b) - b for b in (beta1, beta2))

    def phi(a):
        left, right = math.hypot(1 - a, beta2), math.hypot(a, beta1)
        return gamma1 * left + gamma2 * right, -gamma1 * (1 - a) / left + gamma2 * a / right

    return phi


MORE_THUENTE = [
    (one, 0.001, 0.1),
    (two, 0.1, 0.1),
    (three, 0.1, 0.1),
    (yanai(0.001, 0.001), 0.001, 0.001),
    (yanai(0.01, 0.001), 0.001, 0.001),
    (yanai(0.001, 0.01), 0.001, 0.001),
]


def wolfe(phi, step, decrease, curvature):
    (loss0, slope0), (loss, slope) = phi(0.0), phi(step)
    return loss <= loss0 + decrease * step * slope0 and abs(slope) <= curvature * abs(slope0)


@pytest.mark.parametrize("phi, decrease, curvature", MORE_THUENTE)
@pytest.mark.parametrize("first", [1e-3, 1e-1, 1e1, 1e3])
def test_the_functions_of_more_and_thuente(phi, decrease, curvature, first):
    verdict, step, evaluations = search_line(phi, first, decrease, curvature)
    assert verdict == "accepted"
    assert wolfe(phi, step, decrease, curvature)
    assert evaluations <= 16


# --- properties -----------------------------------------------------------------------------------

SMALL = st.floats(-3, 3)


@given(st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=5), st.floats(-4, -1e-3), st.floats(-3, 3))
def test_a_smooth_function_gets_a_step_that_satisfies_the_conditions(waves, slope, exponent):
    def phi(a):
        value, rate = 0.2 * a * a, 0.4 * a
        for height, frequency, shift in waves:
            value += height * math.sin(frequency * a + shift)
            rate += height * frequency * math.cos(frequency * a + shift)
        return value + tilt * a, rate + tilt

    tilt = 0.0
    tilt = slope - phi(0.0)[1]
    verdict, step, _ = search_line(phi, 10.0**exponent, most_evaluations=60)
    assert verdict == "accepted"
    assert wolfe(phi, step, 1e-4, 0.9)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30), st.floats(1e-300, 1e300))
def test_no_answers_make_it_go_on_for_ever_or_up(answers, first):
    asked = []

    def phi(a):
        if a == 0:
            return 1.0, -1.0
        asked.append(a)
        return answers[len(asked) % len(answers)]

    verdict, step, evaluations = search_line(phi, first, most_evaluations=20)
    assert evaluations == len(asked) <= 20
    assert all(math.isfinite(a) and a > 0 for a in asked)
    assert step == 0 or answers[(asked.index(step) + 1) % len(answers)][0] <= 1.0
    assert verdict == "exhausted" or step == asked[-1]


# --- noise, edges ---------------------------------------------------------------------------------


def test_among_losses_that_are_noise_slopes_decide():
    """The decrease, 1e-18, is below the spacing of numbers at 1; the last trial seems to rise."""

    def phi(a):
        return 1.0 + (2.3e-16 if a > 0.9e-9 else 0.0), -1e-9 + a

    assert search_line(phi, 1.9e-9, curvature=0.1, rounding=0.0)[0] == "exhausted"
    verdict, step, evaluations = search_line(phi, 1.9e-9, curvature=0.1, rounding=1e-15)
    assert (verdict, evaluations) == ("accepted", 2)
    assert step == pytest.approx(1e-9, rel=1e-6)  # the secant of a linear slope


def test_among_such_losses_the_slope_must_have_halved_enough():
    """phi'(a) <= (2 c1 - 1) phi'(0): with c1 = 0.3 a slope of 0.6 is too much, of 0.4 is not."""

    def phi(a):
        return 1.0, 1e-17 * (a - 1.0)

    for first, evaluations in ((1.6, 2), (1.39, 1)):
        assert search_line(phi, first, 0.3, 0.9, rounding=1e-15)[2] == evaluations


def test_noise_does_not_hide_a_loss_that_rises_beyond_it():
    def phi(a):
        return 1.0 + 1e-9 * a, -1e-12 if a < 1e-20 else 0.0  # a slope that lies

    assert search_line(phi, 1.0, rounding=1e-12, most_evaluations=3)[0] == "exhausted"


@pytest.mark.parametrize("edge", [0.9, 1e-3, 1e-12])
@pytest.mark.parametrize("beyond", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_step_too_long(edge, beyond):
    def phi(a):
        if a >= edge:
            return beyond, math.nan
        return -math.log(edge - a) - 2 * a / edge, 1 / (edge - a) - 2 / edge

    verdict, step, evaluations = search_line(phi, 1.0)
    assert verdict == "accepted"
    assert wolfe(phi, step, 1e-4, 0.9)
    assert evaluations <= 2 - math.log10(edge)


@pytest.mark.parametrize("steepness, most", [(10, 5), (100, 8), (1000, 12)])
def test_before_a_wall_the_bracket_closes_fast(steepness, most):
    """Measured: 4, 7, 9."""

    def phi(a):
        wall = math.exp(min(steepness * (a - 1), 600))
        return -a + wall, -1 + steepness * wall

    verdict, step, evaluations = search_line(phi, 1.5, curvature=0.1)
    assert (verdict, wolfe(phi, step, 1e-4, 0.1)) == ("accepted", True)
    assert evaluations <= most


def test_a_kink_gets_the_lowest_point():
    verdict, step, _ = search_line(lambda a: (abs(a - 0.3), -1.0 if a < 0.3 else 1.0), 1.0)
    assert verdict == "exhausted"
    assert step == pytest.approx(0.3, abs=1e-4)


def test_without_a_bound_the_longest_step_is_the_best():
    verdict, step, evaluations = search_line(lambda a: (-a, -1.0), 1.0)
    assert (verdict, evaluations) == ("exhausted", 20)
    assert step == sum(4.0**k for k in range(20))
    assert search_line(lambda a: (-a, -1.0), 1e308)[:2] == ("exhausted", 1e308)


def test_where_nothing_is_lower_the_step_is_zero():
    assert search_line(lambda a: (a, -1.0), 1.0)[:2] == ("exhausted", 0.0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((lambda a: (a, 1.0), 1.0), "descent"),
        ((lambda a: (a, math.nan), 1.0), "descent"),
        ((lambda a: (-a, -1.0), 0.0), "step > 0"),
        ((lambda a: (-a, -1.0), 1.0, 0.5, 0.9), "c1 < 1/2"),
        ((lambda a: (-a, -1.0), 1.0, 0.2, 0.1), "c1 <= c2"),
        ((lambda a: (-a, -1.0), 1.0, 0.2, 1.0), "c2 < 1"),
    ],
)
def test_what_cannot_be_searched_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        search_line(*arguments)
