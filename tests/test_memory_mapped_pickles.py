"""Trainers and estimators from joblib's memory maps, whose arrays are read-only, train on."""

import pickle

import numpy as np
import pytest

import cbackprop
from cbackprop import EarlyStopping, Network, Trainer

joblib = pytest.importorskip("joblib")

X = np.random.default_rng(0).uniform(0, 1, (50, 300))
Y = X[:, :1]
SOLVERS = [
    cbackprop.SGD(learning_rate=0.01, momentum=0.9),
    cbackprop.Adam(amsgrad=True),
    cbackprop.AdamW(),
    cbackprop.NAdam(),
    cbackprop.RProp(),
    cbackprop.LBFGS(),
]


def mapped(thing, folder):
    joblib.dump(thing, folder / "file")
    return joblib.load(folder / "file", mmap_mode="r")  # every array is mapped


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.short_name)
def test_a_trainer_goes_on(solver, dtype, tmp_path):
    settings = {"epochs": 2, "validation_data": 0.2, "early_stopping": EarlyStopping(patience=3)}
    trainer = Trainer(Network((300, 100, 1), dtype=dtype, seed=0), solver=solver, seed=1)
    trainer.fit(X, Y, **settings)
    copied = mapped(trainer, tmp_path)
    for one in (trainer, copied):
        one.fit(X, Y, **settings)
    assert trainer.network.parameters.tobytes() == copied.network.parameters.tobytes()


@pytest.mark.parametrize("solver", [cbackprop.LevenbergMarquardt(), SOLVERS[1]])
def test_a_trainer_steps_and_saves(solver, tmp_path):
    net = Network((300, 20, 1), output_activation="identity", seed=0)
    trainer = Trainer(net, solver=solver, seed=1)
    trainer.fit(X, Y, epochs=2)
    copied = mapped(trainer, tmp_path)
    copied.save(tmp_path / "checkpoint")
    if solver.steps_from_a_gradient:
        gradient = net.gradient(X, Y)[1]
        for one in (trainer, copied):
            one.step(gradient)
    else:
        for one in (trainer, copied):
            one.fit(X, Y, epochs=1)
    assert net.parameters.tobytes() == copied.network.parameters.tobytes()


@pytest.mark.parametrize("solver", ["adam", "sgd", "adamw", "nadam"])
@pytest.mark.parametrize("name", ["MLPRegressor", "MLPClassifier"])
def test_an_estimator_goes_on(name, solver, tmp_path):
    estimators = pytest.importorskip("cbackprop.sklearn")
    model = getattr(estimators, name)(hidden_layer_sizes=(500,), solver=solver, random_state=0)
    if name == "MLPRegressor":
        target, classes = Y[:, 0], {}
    else:
        target, classes = (Y[:, 0] > 0.5).astype(int), {"classes": [0, 1]}
    model.partial_fit(X, target, **classes)
    copied = mapped(model, tmp_path)
    for one in (model, copied):
        one.partial_fit(X, target)
    np.testing.assert_array_equal(model.predict(X), copied.predict(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["lbfgs", "rprop", "lm"])
def test_a_warm_start_goes_on(solver, tmp_path):
    estimators = pytest.importorskip("cbackprop.sklearn")
    model = estimators.MLPRegressor(
        hidden_layer_sizes=(10,), solver=solver, random_state=0, warm_start=True, max_iter=3
    )
    model.fit(X, Y[:, 0])
    unpickled, copied = pickle.loads(pickle.dumps(model)), mapped(model, tmp_path)
    for one in (unpickled, copied):
        one.fit(X, Y[:, 0])
    np.testing.assert_array_equal(unpickled.predict(X), copied.predict(X))
