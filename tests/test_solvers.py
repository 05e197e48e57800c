"""The solvers' settings: defaults, limits, what they tell the core, and their JSON form."""

import dataclasses
import json
import math
import pickle

import pytest

import cbackprop
from cbackprop import LBFGS, SGD, Adam, RProp, solvers
from cbackprop.errors import InputError, InputTypeError
from cbackprop.solvers.schedules import CosineDecay, ReduceOnPlateau, StepDecay, WarmUp

EXAMPLES = [
    SGD(),
    SGD(momentum=0.9, nesterov=True, weight_decay=0.01, max_gradient_norm=2),
    SGD(learning_rate=WarmUp(CosineDecay(0.3, epochs=8), epochs=3)),
    Adam(),
    Adam(learning_rate=ReduceOnPlateau(0.01), epsilon_form="folded", amsgrad=True),
    RProp(),
    RProp(initial_step=0.1, min_step=1e-9),
    LBFGS(),
    LBFGS(memory=3, loss_tolerance=1e-9),
]


@pytest.mark.parametrize(
    "solver, rule, full_batch, n_vectors, n_numbers",
    [
        (SGD(), "sgd", False, 0, 0),
        (SGD(momentum=0.9), "momentum", False, 1, 0),
        (SGD(momentum=0.9, nesterov=True), "nesterov", False, 1, 0),
        (Adam(), "adam", False, 2, 1),
        (Adam(amsgrad=True), "amsgrad", False, 3, 1),
        (RProp(), "rprop", True, 3, 2),
    ],
)
def test_what_the_core_is_told(solver, rule, full_batch, n_vectors, n_numbers):
    told = solver.rule, solver.full_batch, solver.n_vectors, solver.n_numbers
    assert told == (rule, full_batch, n_vectors, n_numbers)


def test_what_the_core_is_told_of_lbfgs():
    assert (LBFGS().rule, LBFGS().full_batch, LBFGS(memory=4).memory) == ("lbfgs", True, 4)


RATES = [
    ({"learning_rate": 0}, InputError, "learning_rate is 0.0"),
    ({"learning_rate": math.inf}, InputError, "learning_rate is inf"),
    ({"learning_rate": "fast"}, InputTypeError, "learning_rate is 'fast'.*, or a schedule"),
    ({"learning_rate": StepDecay}, InputTypeError, "learning_rate is a type"),
    ({"weight_decay": -1}, InputError, "weight_decay is -1.0"),
    ({"weight_decay": 4, "learning_rate": 0.25}, InputError, "weight_decay is 4.*below 4"),
    (
        {"weight_decay": 20, "learning_rate": WarmUp(StepDecay(0.1, every=3), epochs=2)},
        InputError,
        "weight_decay is 20: with a learning rate of 0.1 .* by -1; expected .* below 10",
    ),
    ({"max_gradient_norm": 0}, InputError, "max_gradient_norm is 0.0"),
    ({"max_gradient_norm": "1"}, InputTypeError, "max_gradient_norm is '1'"),
]
REFUSED = [
    *((SGD, *case) for case in RATES),
    *((Adam, *case) for case in RATES),
    (SGD, {"momentum": 1}, InputError, "momentum is 1.0"),
    (SGD, {"nesterov": True}, InputError, "nesterov is True and momentum is 0"),
    (Adam, {"beta_1": 1}, InputError, "beta_1 is 1.0"),
    (Adam, {"beta_2": -0.1}, InputError, "beta_2 is -0.1"),
    (Adam, {"epsilon": 0}, InputError, "epsilon is 0.0"),
    (Adam, {"epsilon": 1e-39}, InputError, "epsilon is 1e-39; expected at least 1.2e-38"),
    (Adam, {"epsilon_form": "Paper"}, InputError, "epsilon_form is 'Paper'.*mean 'paper'"),
    (Adam, {"amsgrad": 1}, InputTypeError, "amsgrad is 1"),
    (RProp, {"initial_step": 0}, InputError, "initial_step is 0.0"),
    (RProp, {"initial_step": 1e-7}, InputError, "min_step is 1e-06, .*ascending"),
    (RProp, {"max_step": 0.01}, InputError, "max_step 0.01; .*ascending"),
    (RProp, {"min_step": 0}, InputError, "min_step is 0.0"),
    (RProp, {"increase": 1}, InputError, "increase is 1"),
    (RProp, {"decrease": 1}, InputError, "decrease is 1.0"),
    (LBFGS, {"memory": 0}, InputError, "memory is 0"),
    (LBFGS, {"memory": 2.0}, InputTypeError, "memory is 2.0"),
    (LBFGS, {"gradient_tolerance": -1}, InputError, "gradient_tolerance is -1.0"),
    (LBFGS, {"loss_tolerance": None}, InputTypeError, "loss_tolerance is None"),
    (LBFGS, {"step_tolerance": math.nan}, InputError, "step_tolerance is nan"),
    (LBFGS, {"max_line_search": 0}, InputError, "max_line_search is 0"),
    (LBFGS, {"curvature": 1}, InputError, "curvature is 1.0"),
    (LBFGS, {"sufficient_decrease": 0.9}, InputError, "sufficient_decrease is 0.9; .*below 0.5"),
    (LBFGS, {"sufficient_decrease": 0}, InputError, "sufficient_decrease is 0.0"),
]


@pytest.mark.parametrize("kind, settings, error, words", REFUSED)
def test_bad_settings(kind, settings, error, words):
    with pytest.raises(error, match=words):
        kind(**settings)


@pytest.mark.parametrize("kind", solvers.SOLVERS)
def test_settings_are_keyword_only_and_frozen(kind):
    assert getattr(cbackprop, kind.__name__) is kind
    with pytest.raises(TypeError):
        kind(0.1)
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(AttributeError):
        setattr(kind(), name, 0.2)


def test_numbers_are_kept_as_floats():
    solver = Adam(learning_rate=1, max_gradient_norm=3)
    assert type(solver.learning_rate) is type(solver.max_gradient_norm) is float


# -- as plain values ------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", EXAMPLES, ids=lambda solver: type(solver).__name__)
def test_a_solver_survives_json(solver):
    described = json.loads(json.dumps(solvers.describe(solver), allow_nan=False))
    restored = solvers.restore(described)
    assert restored == solver and type(restored) is type(solver)
    assert pickle.loads(pickle.dumps(solver)) == solver


def test_how_a_solver_is_described():
    assert solvers.describe(SGD(learning_rate=WarmUp(StepDecay(0.3, every=8), epochs=3))) == {
        "solver": "SGD",
        "learning_rate": {
            "schedule": "WarmUp",
            "then": {"schedule": "StepDecay", "rate": 0.3, "every": 8, "factor": 0.1},
            "epochs": 3,
        },
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
        "max_gradient_norm": None,
    }


def changed(**changes):
    return {**solvers.describe(SGD()), **changes}


def without(name):
    return {key: value for key, value in changed().items() if key != name}


def nested(depth):
    described = {"schedule": "WarmUp", "then": 0.1, "epochs": 1}
    for _ in range(depth):
        described = {"schedule": "WarmUp", "then": described, "epochs": 1}
    return described


@pytest.mark.parametrize(
    "described, error, words",
    [
        (None, InputTypeError, "a solver is None; expected a dict"),
        ([], InputTypeError, "a solver is a list"),
        ({}, InputTypeError, "solver is None; expected one of 'SGD'"),
        (changed(solver="sgd"), InputError, "solver is 'sgd'"),
        (changed(solver="StepDecay"), InputError, "solver is 'StepDecay'"),
        (changed(solver=["SGD"]), InputTypeError, "solver is a list"),
        (without("momentum"), InputError, "the solver SGD has no setting 'momentum'; expected"),
        (changed(speed=1), InputError, "the solver SGD has an unknown setting 'speed'"),
        ({**changed(), 3: 1}, InputError, "the solver SGD has an unknown setting 3"),
        (changed(rule="sgd"), InputError, "unknown setting 'rule'"),
        (changed(momentum=math.nan), InputError, "momentum is nan"),
        (changed(momentum="0.9"), InputTypeError, "momentum is '0.9'"),
        (changed(momentum=None), InputTypeError, "momentum is None"),
        (changed(nesterov=0), InputTypeError, "nesterov is 0"),
        (changed(learning_rate={}), InputTypeError, "schedule is None"),
        (changed(learning_rate={"schedule": "SGD"}), InputError, "schedule is 'SGD'"),
        (changed(learning_rate={"schedule": "StepDecay"}), InputError, "no setting 'rate'"),
        (changed(learning_rate=[0.1]), InputTypeError, "learning_rate is a list"),
        (changed(momentum=nested(0)), InputTypeError, "momentum is a WarmUp"),
        (changed(learning_rate=nested(1)), InputError, "then is a WarmUp"),
        (changed(learning_rate=nested(5000)), InputTypeError, "then is a dict"),
    ],
)
def test_what_is_no_description_is_refused(described, error, words):
    with pytest.raises(error, match=words):
        solvers.restore(described)
