"""Schedules: their formulas, and settings that are refused."""

import math
import pickle

import numpy as np
import pytest

from cbackprop.errors import InputError, InputTypeError
from cbackprop.solvers import schedules
from cbackprop.solvers.schedules import (
    CosineDecay,
    ExponentialDecay,
    InverseScaling,
    ReduceOnPlateau,
    StepDecay,
    WarmUp,
)

E = np.arange(12)
EXAMPLES = [
    StepDecay(0.3, every=4, factor=0.5),
    ExponentialDecay(0.3, factor=0.8),
    CosineDecay(0.3, epochs=8, minimum=0.1),
    InverseScaling(0.3, power=0.7),
    ReduceOnPlateau(0.3),
    WarmUp(0.3, epochs=3),
    WarmUp(CosineDecay(0.3, epochs=8), epochs=3),
]


@pytest.fixture(params=EXAMPLES, ids=lambda schedule: type(schedule).__name__)
def schedule(request):
    return request.param


def test_step_decay():
    np.testing.assert_allclose(EXAMPLES[0].rates(E), [0.3] * 4 + [0.15] * 4 + [0.075] * 4)
    assert StepDecay(0.3, every=1).factor == 0.1


def test_exponential_decay():
    np.testing.assert_allclose(EXAMPLES[1].rates(E), 0.3 * 0.8**E, rtol=1e-14)


def test_cosine_decay():
    rates = EXAMPLES[2].rates(E)
    np.testing.assert_allclose(rates[:9], 0.1 + 0.2 * (1 + np.cos(np.pi * E[:9] / 8)) / 2)
    np.testing.assert_array_equal(rates[8:], 0.1)  # and no second wave
    assert rates[4] == pytest.approx(0.2)  # half-way down in the middle


def test_inverse_scaling():
    np.testing.assert_allclose(EXAMPLES[3].rates(E), 0.3 / (E + 1) ** 0.7)


def test_warm_up_ends_where_its_follower_begins():
    np.testing.assert_allclose(
        WarmUp(0.4, epochs=3).rates(range(6)), [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]
    )
    rates = EXAMPLES[6].rates(E)
    np.testing.assert_allclose(rates[:3], [0.3 / 4, 0.6 / 4, 0.9 / 4])
    np.testing.assert_array_equal(rates[3:], CosineDecay(0.3, epochs=8).rates(E[:-3]))
    assert EXAMPLES[6].rate == 0.3


def test_a_plateau_is_left_to_the_trainer():
    np.testing.assert_array_equal(EXAMPLES[4].rates(E), 0.3)
    assert [type(s).__name__ for s in EXAMPLES if s.adaptive] == ["ReduceOnPlateau"]


def test_a_rate_depends_on_its_epoch_alone(schedule):
    whole = schedule.rates(E)
    assert whole.dtype == np.float64
    one_by_one = [schedule.rates([epoch])[0] for epoch in E]
    np.testing.assert_array_equal(one_by_one, whole)
    np.testing.assert_array_equal(schedule.rates(E[::-1].reshape(3, 4)), whole[::-1].reshape(3, 4))
    assert schedule.rates(5).shape == () and schedule.rates(5) == whole[5]
    assert schedule.rates([]).shape == (0,)


def test_rates_are_finite_and_never_above_the_highest(schedule):
    rates = schedule.rates([0, 1, 10, 10**6, 2**62])
    assert np.isfinite(rates).all() and (rates >= 0).all() and (rates <= schedule.rate).all()


def test_epochs_are_checked(schedule):
    for epochs, error, words in [
        (1.0, InputTypeError, r"epochs is 1.0 \(float\)"),
        ([True], InputTypeError, "dtype bool"),
        ("7", InputTypeError, "epochs is '7'"),
        (None, InputTypeError, "epochs is None"),
        ([[1], [2, 3]], InputTypeError, "cannot be read as an array"),
        ([3, -1], InputError, "epochs holds -1 to 3"),
        ([2**63], InputError, "epochs holds"),
    ]:
        with pytest.raises(error, match=words):
            schedule.rates(epochs)


def test_schedules_are_values(schedule):
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert len({*EXAMPLES, pickle.loads(pickle.dumps(schedule))}) == len(EXAMPLES)
    with pytest.raises(AttributeError):
        schedule.epochs = 3


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: StepDecay(0, every=1), InputError, "rate is 0.0"),
        (lambda: StepDecay("fast", every=1), InputTypeError, "rate is 'fast'"),
        (lambda: StepDecay(0.1, every=0), InputError, "every is 0"),
        (lambda: StepDecay(0.1, every=1.5), InputTypeError, "every is 1.5"),
        (lambda: StepDecay(0.1, every=1, factor=1), InputError, "factor is 1.0; .* below 1"),
        (lambda: ExponentialDecay(math.nan, factor=0.5), InputError, "rate is nan"),
        (lambda: ExponentialDecay(0.1, factor=0), InputError, "factor is 0.0"),
        (lambda: CosineDecay(math.inf, epochs=3), InputError, "rate is inf"),
        (lambda: CosineDecay(0.1, epochs=-1), InputError, "epochs is -1"),
        (lambda: CosineDecay(0.1, epochs=3, minimum=0.1), InputError, "minimum is 0.1; .*w 0.1"),
        (lambda: InverseScaling(0.1, power=0), InputError, "power is 0.0"),
        (lambda: ReduceOnPlateau(0.1, patience=0), InputError, "patience is 0"),
        (lambda: ReduceOnPlateau(0.1, min_delta=-1), InputError, "min_delta is -1.0"),
        (lambda: ReduceOnPlateau(0.1, minimum=1), InputError, "minimum is 1.0"),
        (lambda: ReduceOnPlateau(0.1, factor=2), InputError, "factor is 2.0"),
        (lambda: ReduceOnPlateau(StepDecay(1, every=1)), InputTypeError, "rate is a StepDecay"),
        (lambda: WarmUp(-0.1, epochs=3), InputError, "then is -0.1"),
        (lambda: WarmUp("x", epochs=3), InputTypeError, "then is 'x'.*or a schedule"),
        (lambda: WarmUp(0.1, epochs=0), InputError, "epochs is 0"),
        (lambda: WarmUp(WarmUp(0.1, epochs=1), epochs=1), InputError, "then is a WarmUp; expected"),
        (lambda: WarmUp(ReduceOnPlateau(0.1), epochs=1), InputError, "then is a ReduceOnPlateau"),
    ],
)
def test_bad_settings(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_all_but_the_rate_is_keyword_only():
    with pytest.raises(TypeError):
        StepDecay(0.1, 3)
    with pytest.raises(TypeError):
        WarmUp(0.1, 3)


def test_every_schedule_is_public_and_has_an_example():
    assert {kind.__name__ for kind in schedules.SCHEDULES} == set(schedules.__all__)
    assert {type(schedule) for schedule in EXAMPLES} == set(schedules.SCHEDULES)
