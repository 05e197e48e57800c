"""Defects that scikit-learn 1.9.1's MLP has and a trainer must not: one named test each.

Those that need more than a few lines stand with what they belong to: the multi-output factor,
biased and zero weights, logits that saturate (test_objectives), best parameters, stratified splits,
exact patience (test_stopping), the penalty's strength (test_training_rules), Ctrl-C
(test_interrupt).
"""

import inspect
import pickle

import numpy as np
import pytest

import cbackprop
from cbackprop import LBFGS, SGD, Adam, EarlyStopping


def data(n_rows=60, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_rows, 3)), rng.uniform(0.1, 0.9, (n_rows, 2))


def net(**kwargs):
    return cbackprop.Network((3, 4, 2), **{"seed": 1, **kwargs})


@pytest.mark.parametrize("early_stopping", [None, EarlyStopping(patience=300)])
def test_a_diverging_training_stops_within_the_epoch(early_stopping):
    """Not at the end of 300 epochs, and with a "fitted" model of NaN."""
    X, Y = data()
    n = net(activation="relu", output_activation="identity")
    trainer = cbackprop.Trainer(n, solver=SGD(learning_rate=50.0), batch_size=10, seed=0)
    with pytest.raises(cbackprop.DivergenceError) as caught:
        trainer.fit(X, Y, epochs=300, validation_data=0.2, early_stopping=early_stopping)
    assert caught.value.epoch < 10 and caught.value.learning_rate == 50.0
    assert np.isfinite(n.parameters).all()


@pytest.mark.parametrize("solver", [SGD(momentum=0.5), Adam(), LBFGS()], ids=str)
def test_one_epoch_at_a_time_is_one_long_training(solver):
    """The orders differ from call to call, and what the solver remembers goes on."""
    X, Y = data()
    runs = []
    for parts in ([6], [1] * 6):
        n = net()
        batch_size = None if solver.full_batch else 7
        trainer = cbackprop.Trainer(n, solver=solver, batch_size=batch_size, seed=3)
        for part in parts:
            trainer.fit(X, Y, epochs=part)
        assert trainer.epoch == 6 == trainer.history.n_epochs
        runs.append((n.parameters.tobytes(), trainer.history["loss"].tobytes()))
    assert runs[0] == runs[1]


def test_a_learning_rate_changed_between_calls_is_honoured():
    X, Y = data()
    n = net()
    trainer = cbackprop.Trainer(n, solver=Adam(learning_rate=0.1), batch_size=60)
    trainer.fit(X, Y, epochs=3)
    trainer.solver = Adam(learning_rate=1e-12)
    before = n.parameters.copy()
    assert trainer.fit(X, Y, epochs=3)["learning_rate"].tolist() == [1e-12] * 3
    assert 0 < np.abs(n.parameters - before).max() < 1e-10


def test_settings_are_keyword_only_from_the_first_release():
    for function, positional in (
        (cbackprop.Trainer.__init__, ["self", "network"]),
        (cbackprop.Trainer.fit, ["self", "X", "Y"]),
        (cbackprop.Network.loss, ["self", "X", "Y"]),
        (cbackprop.Network.gradient, ["self", "X", "Y"]),
    ):
        kinds = inspect.signature(function).parameters.values()
        found = [p.name for p in kinds if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert found == positional


def test_the_pickle_of_a_fitted_network_holds_its_parameters_once():
    X, Y = data()
    n = cbackprop.Network((3, 500, 2), seed=1)
    fresh = len(pickle.dumps(n))
    cbackprop.Trainer(n, solver=Adam()).fit(
        X, Y, epochs=3, validation_data=0.2, early_stopping=EarlyStopping()
    )
    assert len(pickle.dumps(n)) == fresh < n.parameters.nbytes + 1000


def test_training_goes_on_after_early_stopping():
    X, Y = data()
    trainer = cbackprop.Trainer(net(), seed=0)
    trainer.fit(X, Y, epochs=5, validation_data=0.2, early_stopping=EarlyStopping(patience=1))
    before = trainer.epoch
    assert trainer.fit(X, Y, epochs=2).n_epochs == 2 and trainer.epoch == before + 2


def test_a_read_only_memmap_with_early_stopping_is_not_copied(tmp_path):
    rows = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", "float64", (50_000, 40))
    rows[:] = 0.5
    rows.flush()
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    Y = np.full((50_000, 1), 0.3)
    n = cbackprop.Network((40, 2, 1), seed=0)
    import tracemalloc

    tracemalloc.start()
    cbackprop.Trainer(n, seed=0).fit(
        X, Y, epochs=2, validation_data=0.1, early_stopping=EarlyStopping()
    )
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < X.nbytes / 4
