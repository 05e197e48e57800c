"""The rules of training that a front end sets: each is followed, and by default none is set."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import cbackprop
from cbackprop.core.fit.early_stopping import StoppingSettings, nothing_remembered
from cbackprop.training.conventions import Conventions

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 3)), RNG.uniform(0.1, 0.9, (30, 2))
W = RNG.uniform(0.5, 1.5, 30)


def trainer_of(conventions=None, **settings):
    net = cbackprop.Network((3, 4, 2), seed=1)
    settings = {"solver": cbackprop.SGD(learning_rate=0.5), "batch_size": 7, "seed": 2} | settings
    trainer = cbackprop.Trainer(net, **settings)
    if conventions is not None:
        trainer._follow(conventions)
    return trainer


def parameters_after(trainer, epochs=3, **settings):
    trainer.fit(X, Y, epochs=epochs, **settings)
    return trainer.network.parameters


def test_none_is_set_by_default():
    assert_array_equal(parameters_after(trainer_of(Conventions())), parameters_after(trainer_of()))


def test_the_order_is_that_of_the_convention():
    def order(epoch):
        return np.roll(np.arange(30), epoch + 1)

    assert_array_equal(
        parameters_after(trainer_of(Conventions(order=order))),
        parameters_after(trainer_of(shuffle=order)),
    )


def test_the_rates_are_those_of_the_convention():
    rates = cbackprop.schedules.ExponentialDecay(0.3, factor=0.5).rates
    trainer = trainer_of(Conventions(rates=rates))
    trainer.fit(X, Y, epochs=4)
    assert_array_equal(trainer.history["learning_rate"], rates(range(4)))


def test_l2_is_divided_by_the_rows_of_each_batch():
    """Of batches of one size, l2 is l2 / 10; it is a part of the loss then."""
    shared = trainer_of(Conventions(l2_shared=True), l2=0.5, batch_size=10)
    plain = trainer_of(l2=0.05, batch_size=10)
    assert_array_equal(parameters_after(shared), parameters_after(plain))
    assert "penalty" not in shared.history
    assert "penalty" in plain.history
    assert (shared.history["loss"] > plain.history["loss"]).all()


def test_the_mean_of_the_weights_makes_them_numbers_of_rows():
    """Weights of 2 are rows that stand there twice, for the evidence."""
    solver = cbackprop.BayesianRegularization()
    twice = trainer_of(Conventions(weight_mean=2.0), solver=solver, batch_size=None)
    twice.fit(X, Y, epochs=5, sample_weight=np.full(30, 2.0))
    rows = trainer_of(solver=solver, batch_size=None)
    rows.fit(np.repeat(X, 2, axis=0), np.repeat(Y, 2, axis=0), epochs=5)
    np.testing.assert_allclose(twice.history["alpha"], rows.history["alpha"], rtol=1e-6)
    once = trainer_of(solver=solver, batch_size=None)
    once.fit(X, Y, epochs=5, sample_weight=np.full(30, 2.0))
    assert abs(once.history["alpha"] / rows.history["alpha"] - 1).max() > 1e-3


def test_the_data_are_checked_by_the_convention():
    seen = []

    def check_data(loss, X_name, X, Y_name, Y):
        seen.append((loss, X_name, Y_name))
        return X, Y

    trainer_of(Conventions(check_data=check_data)).fit(X, Y, epochs=1, validation_data=(X, Y))
    assert seen == [
        ("squared_error", "X", "Y"),
        ("squared_error", "validation_data[0]", "validation_data[1]"),
    ]


def test_the_user_is_told_by_the_convention():
    told = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer_of(Conventions(warn=told.append)).fit(X, Y + 3, epochs=1)
    assert len(told) == 1
    assert told[0].startswith("Y lies in [3.")


def test_without_a_convention_the_caller_is_warned():
    with pytest.warns(UserWarning, match="Y lies in") as caught:
        trainer_of().fit(X, Y + 3, epochs=1)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="Y lies in") as caught:
        trainer_of().fit(X, Y + 3, epochs=1, restarts=2)
    assert [warning.filename for warning in caught] == [__file__]


class ContentWithAnyLoss:
    """A monitor whose fits end with their first epoch."""

    plateau = None
    settings = StoppingSettings(target_loss=1e9)

    def adopt(self, state, parameters, same_plateau):
        state.stopping = nothing_remembered()


def test_the_monitor_decides_when_to_stop():
    trainer = trainer_of(Conventions(monitor=ContentWithAnyLoss()))
    history = trainer.fit(X, Y, epochs=9)
    assert (history.n_epochs, history.stop_reason) == (1, "target_loss")


def test_between_slices_an_error_ends_the_fit_at_a_whole_step():
    class EnoughError(Exception):
        pass

    def enough(epochs_done):
        raise EnoughError

    trainer = trainer_of(Conventions(between_slices=enough), batch_size=None)
    with pytest.raises(EnoughError):
        trainer.fit(X, Y, epochs=10**9)
    done = trainer.epoch
    assert done > 0
    twin = trainer_of(batch_size=None)
    assert_array_equal(parameters_after(twin, done), trainer.network.parameters)
