"""The solvers' settings: defaults, limits, what they tell the core, and their JSON form."""

import contextlib
import dataclasses
import json
import math
import pickle

import numpy as np
import pytest

import cbackprop
from cbackprop import (
    LBFGS,
    SGD,
    Adam,
    AdamW,
    BayesianRegularization,
    LevenbergMarquardt,
    NAdam,
    RProp,
    solvers,
)
from cbackprop.core.gradient.update_rules import RULES, RuleSettings
from cbackprop.errors import InputError, InputTypeError
from cbackprop.solvers.schedules import CosineDecay, ReduceOnPlateau, StepDecay, WarmUp

EXAMPLES = [
    SGD(),
    SGD(momentum=0.9, nesterov=True, weight_decay=0.01, max_gradient_norm=2),
    SGD(momentum=0.5),
    SGD(learning_rate=WarmUp(CosineDecay(0.3, epochs=8), epochs=3)),
    Adam(),
    Adam(learning_rate=ReduceOnPlateau(0.01), epsilon_form="folded", amsgrad=True),
    AdamW(),
    AdamW(learning_rate=CosineDecay(0.3, epochs=8), amsgrad=True, weight_decay=0.5),
    NAdam(),
    NAdam(momentum_decay=0, weight_decay=0.1, max_gradient_norm=1),
    RProp(),
    RProp(initial_step=0.1, min_step=1e-9),
    LBFGS(),
    LBFGS(memory=3, loss_tolerance=1e-9),
    LevenbergMarquardt(),
    LevenbergMarquardt(damping="nielsen", scaling="diagonal", geodesic=True),
    BayesianRegularization(),
    BayesianRegularization(keep_posterior=True),
]
WITH_RATE = [SGD, Adam, AdamW, NAdam]


# -- what a solver declares -----------------------------------------------------------------------

SYSTEM = ("mu", "rejected")
EVIDENCE = ("penalty", *SYSTEM, "alpha", "beta", "effective_parameters")
NUMBERS = 8  # of Levenberg-Marquardt, as levenberg_marquardt.pyx counts them


@pytest.mark.parametrize(
    "solver, rule, kind, n_vectors, n_numbers, full_batch, columns, init",
    [
        (SGD(), "sgd", "sgd", 0, 0, False, (), "auto"),
        (SGD(momentum=0.9), "momentum", "momentum", 1, 0, False, (), "auto"),
        (SGD(momentum=0.9, nesterov=True), "nesterov", "momentum", 1, 0, False, (), "auto"),
        (Adam(), "adam", "adam", 2, 1, False, (), "auto"),
        (Adam(amsgrad=True), "amsgrad", "amsgrad", 3, 1, False, (), "auto"),
        (AdamW(), "adam", "adam", 2, 1, False, (), "auto"),
        (AdamW(amsgrad=True), "amsgrad", "amsgrad", 3, 1, False, (), "auto"),
        (NAdam(), "nadam", "nadam", 2, 2, False, (), "auto"),
        (RProp(), "rprop", "rprop", 3, 2, True, (), "auto"),
        (LBFGS(memory=4), "lbfgs", "lbfgs", 9, 14, True, (), "auto"),
        (
            LevenbergMarquardt(),
            *("levenberg_marquardt", "levenberg_marquardt", 0, NUMBERS, True),
            *(SYSTEM, "nguyen_widrow"),
        ),
        (
            BayesianRegularization(),
            *("bayesian_regularization", "bayesian_regularization", 0, NUMBERS, True),
            *(EVIDENCE, "nguyen_widrow"),
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, solvers.Solver) else "",
)
def test_what_a_solver_declares(
    solver, rule, kind, n_vectors, n_numbers, full_batch, columns, init
):
    assert (solver.rule, solver.memory_kind) == (rule, kind)
    assert (solver.n_vectors, solver.n_numbers) == (n_vectors, n_numbers)
    assert (solver.full_batch, solver.columns) == (full_batch, columns)
    assert solver.preferred_init == init
    assert solver.solves_a_system == (columns != ())


@pytest.mark.parametrize("solver", EXAMPLES, ids=repr)
def test_what_is_declared_is_what_a_fit_has(solver):
    """The state's memory and the history's columns; and the options are those of the table."""
    assert set(solver.core_options("squared_error")) == set(RULES[solver.rule])
    assert solver.rule_settings("squared_error", 0.0, 0.0).name == solver.rule
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((12, 2)), rng.uniform(0.1, 0.9, (12, 1))
    trainer = cbackprop.Trainer(cbackprop.Network((2, 3, 1), seed=1), solver=solver, seed=0)
    history = trainer.fit(X, Y, epochs=2)
    state = trainer._state
    assert state.kind == solver.memory_kind
    assert (0 if state.vectors is None else len(state.vectors)) == solver.n_vectors
    assert (0 if state.numbers is None else len(state.numbers)) == solver.n_numbers
    norm = ("gradient_norm",) if solver.full_batch else ()
    assert set(history) == {"loss", "learning_rate", "seconds", *solver.columns, *norm}
    assert (trainer.network.posterior is not None) == solver.keep_posterior


def test_fresh_memory_has_its_first_values():
    vectors, numbers = np.zeros((3, 5)), np.zeros(2)
    RProp(initial_step=0.25).fill(vectors, numbers)
    assert (vectors == [[0], [0.25], [0]]).all() and (numbers == 0).all()
    vectors, numbers = np.zeros((2, 5)), np.zeros(2)
    NAdam().fill(vectors, numbers)
    assert (vectors == 0).all() and (numbers == [0, 1]).all()
    Adam().fill(vectors, numbers)
    assert (vectors == 0).all() and (numbers == [0, 1]).all()


@pytest.mark.parametrize("solver", EXAMPLES, ids=repr)
def test_which_losses_and_penalties_a_solver_takes(solver):
    evidence = isinstance(solver, BayesianRegularization)
    for loss in ("squared_error", "cross_entropy", "poisson", "absolute_error", print):
        curved = loss in ("squared_error", "cross_entropy", "poisson")
        geodesic = getattr(solver, "geodesic", False)
        takes = not solver.solves_a_system or (
            loss == "squared_error" if evidence or geodesic else curved
        )
        with contextlib.nullcontext() if takes else pytest.raises(InputError, match="loss is"):
            solver.check_goes_with(loss, 0.0, 0.0)
    for l1, l2 in ((0.0, 0.1), (0.1, 0.0)):
        takes = not solver.solves_a_system or not (l1 or evidence)
        with contextlib.nullcontext() if takes else pytest.raises(InputError, match="l1 is"):
            solver.check_goes_with("squared_error", l1, l2)


def test_the_solvers_and_their_names():
    assert {type(solver) for solver in EXAMPLES} == set(solvers.SOLVERS)
    names = [solver.short_name for solver in solvers.SOLVERS]
    assert names == ["sgd", "adam", "adamw", "nadam", "rprop", "lbfgs", "lm", "br"]
    assert dict(zip(names, solvers.SOLVERS, strict=True)) == solvers.BY_SHORT_NAME
    assert {cls.__name__ for cls in solvers.SOLVERS} <= set(cbackprop.__all__)


# -- the core's table -----------------------------------------------------------------------------


def test_every_rule_is_one_of_a_solver():
    assert {solver.rule for solver in EXAMPLES} == set(RULES)


def test_an_unknown_rule_is_an_error():
    with pytest.raises(ValueError, match="unknown rule 'newton'; expected one of sgd, momentum"):
        RuleSettings("newton", weight_decay=0.0, max_norm=0.0)


@pytest.mark.parametrize("rule", RULES)
def test_an_unknown_or_missing_option_is_an_error(rule):
    options = dict.fromkeys(RULES[rule], 0.5)
    assert RuleSettings(rule, **options).options == options
    for name in options:
        with pytest.raises(ValueError, match=f"rule {rule} is given no option '{name}'; expected"):
            RuleSettings(rule, **{n: v for n, v in options.items() if n != name})
    with pytest.raises(ValueError, match=f"rule {rule} is given an unknown option 'speed'"):
        RuleSettings(rule, **options, speed=1.0)


def test_a_rule_with_other_options():
    rule = SGD(momentum=0.5).rule_settings("squared_error", 0.1, 0.2)
    other = rule.but(momentum=0.75)
    assert rule.options["momentum"] == 0.5 and other.options["momentum"] == 0.75
    with pytest.raises(ValueError, match="unknown option 'mu'"):
        rule.but(mu=0.75)


# -- settings -------------------------------------------------------------------------------------

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
    *((kind, *case) for kind in WITH_RATE for case in RATES),
    (SGD, {"momentum": 1}, InputError, "momentum is 1.0"),
    (SGD, {"nesterov": True}, InputError, "nesterov is True and momentum is 0"),
    (Adam, {"beta_1": 1}, InputError, "beta_1 is 1.0"),
    (Adam, {"beta_2": -0.1}, InputError, "beta_2 is -0.1"),
    (Adam, {"epsilon": 0}, InputError, "epsilon is 0.0"),
    (Adam, {"epsilon": 1e-39}, InputError, "epsilon is 1e-39; expected at least 1.2e-38"),
    (Adam, {"epsilon_form": "Paper"}, InputError, "epsilon_form is 'Paper'.*mean 'paper'"),
    (Adam, {"amsgrad": 1}, InputTypeError, "amsgrad is 1"),
    (NAdam, {"beta_1": 1}, InputError, "beta_1 is 1.0"),
    (NAdam, {"beta_2": -0.1}, InputError, "beta_2 is -0.1"),
    (NAdam, {"epsilon": 1e-39}, InputError, "epsilon is 1e-39; expected at least 1.2e-38"),
    (NAdam, {"momentum_decay": -1}, InputError, "momentum_decay is -1.0"),
    (NAdam, {"momentum_decay": "0"}, InputTypeError, "momentum_decay is '0'"),
    (AdamW, {"epsilon_form": "Paper"}, InputError, "epsilon_form is 'Paper'"),
    (AdamW, {"learning_rate": 100}, InputError, "weight_decay is 0.01.*below 0.01"),
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
