"""A trainer's state belongs to its network and its solver, and to no other."""

import copy
import pickle

import numpy as np
import pytest

import cbackprop
from cbackprop import Adam, EarlyStopping, Network, Trainer
from cbackprop.errors import BusyError, DivergenceError, InputError, InputTypeError

X = np.random.default_rng(0).normal(size=(10, 2))
Y = X[:, :1] * 0.5
SIZES = [(2, 3, 1), (200, 300, 10), (2, 1)]


def trained(solver=None):
    net = Network((2, 3, 1), output_activation="identity", seed=0)
    trainer = Trainer(net, solver=Adam() if solver is None else solver)
    trainer.fit(X, Y, epochs=1)
    return trainer


def step(trainer):
    trainer.step(np.full(trainer.network.n_parameters, 1e-3))


def fit(trainer):
    sizes = trainer.network.sizes
    trainer.fit(np.ones((5, sizes[0])), np.ones((5, sizes[-1])), epochs=1)


@pytest.mark.parametrize("call", [step, fit])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("way", [lambda trainer: trainer, copy.deepcopy, "pickle"])
def test_another_network_is_refused_after_the_first_step(call, dtype, sizes, way):
    """The solver's memory has the length and dtype of the first one's parameters."""
    trainer = trained()
    trainer = pickle.loads(pickle.dumps(trainer)) if way == "pickle" else way(trainer)
    first = trainer.network
    trainer.network = Network(sizes, output_activation="identity", dtype=dtype, seed=1)
    before = trainer.network.parameters.copy()
    for _ in range(2):  # it is refused again
        with pytest.raises(InputError, match=r"network is another one .* trainer.reset\(\)"):
            call(trainer)
    np.testing.assert_array_equal(trainer.network.parameters, before)
    trainer.network = first
    trainer.fit(X, Y, epochs=1)
    assert trainer.epoch == 2


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("call", [step, fit])
def test_another_network_after_a_reset_is_as_with_a_new_trainer(call, sizes):
    trainer = trained()
    trainer.reset()
    networks = [Network(sizes, dtype="float32", seed=1) for _ in range(2)]
    trainer.network = networks[0]
    new = Trainer(networks[1], solver=Adam(), seed=trainer.seed)
    for one in (trainer, new):
        call(one)
    assert networks[0].parameters.tobytes() == networks[1].parameters.tobytes()


def test_what_is_no_network_is_refused():
    trainer = trained()
    trainer.network = "net"
    with pytest.raises(InputTypeError, match=r"network is 'net'.* expected a cbackprop.Network"):
        trainer.fit(X, Y, epochs=1)


def test_another_network_has_to_go_with_the_loss():
    trainer = Trainer(Network((2, 3, 1), seed=0), loss="cross_entropy")
    trainer.network = Network((2, 3, 1), output_activation="identity", seed=0)
    with pytest.raises(InputError, match="output activation"):
        trainer.fit(X, np.full((10, 1), 0.5), epochs=1)


SOLVERS = [Adam(), cbackprop.RProp(), cbackprop.SGD(learning_rate=0.1, momentum=0.9)]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("call", ["step", "diverges", "bad rows", "bad order"])
def test_a_failed_first_step_of_another_solver_keeps_the_memory_of_the_one_before(solver, call):
    """Divergence and bad data leave network and trainer as before the call."""
    trainer, twin = trained(solver), trained(solver)
    trainer.solver = cbackprop.SGD(learning_rate=1e308)
    stopping = EarlyStopping(monitor="loss", patience=2)
    with pytest.raises((DivergenceError, InputError, ZeroDivisionError)):
        if call == "step":
            trainer.step(np.full(13, 1e300))
        elif call == "bad rows":
            trainer.fit(X, np.full_like(Y, np.nan), epochs=1, early_stopping=stopping)
        elif call == "diverges":
            trainer.fit(X, np.full_like(Y, 1e300), epochs=1, early_stopping=stopping)
        else:
            trainer.shuffle, trainer.batch_size = lambda epoch: 1 // 0, 2
            trainer.fit(X, Y, epochs=1, early_stopping=stopping)
    trainer.solver, trainer.shuffle, trainer.batch_size = solver, True, None
    for name, value in trainer._state.as_dict().items():
        np.testing.assert_array_equal(value, twin._state.as_dict()[name])
    trainer.seed = twin.seed
    for one in (trainer, twin):
        one.fit(X, Y, epochs=3)
    assert trainer.network.parameters.tobytes() == twin.network.parameters.tobytes()


def test_a_loss_too_large_for_a_float_is_an_input_error():
    net = Network((2, 1), output_activation="identity", seed=0)
    with pytest.raises(InputError, match="loss is inf"):
        Trainer(net, solver=Adam()).step(np.ones(3), 10**400)
    with pytest.raises(InputError, match="the loss returned"):
        Trainer(net, loss=lambda Y, Y_hat: (10**400, 0 * Y_hat)).fit(X, Y, epochs=1)
    with pytest.raises(InputError, match="the loss returned"):
        Trainer(net, loss=lambda Y, Y_hat: (1.0, 1j * Y_hat)).fit(X, Y, epochs=1)


@pytest.mark.parametrize("solver", [Adam(), cbackprop.BayesianRegularization(keep_posterior=True)])
def test_a_callback_cannot_exchange_the_network(solver, tmp_path):
    """The checkpoint would hold the other one, with the state of the first."""
    other = Network((2, 3, 1), output_activation="identity", seed=5)
    before = other.parameters.copy()

    class Exchange:
        def on_epoch_end(self, trainer, record):
            trainer.network = other

    net = Network((2, 3, 1), output_activation="identity", seed=0)
    trainer = Trainer(net, solver=solver)
    saved = cbackprop.Checkpoint(tmp_path / "saved")
    with pytest.raises(BusyError, match=r"a callback has set trainer\.network"):
        trainer.fit(X, Y, epochs=2, callbacks=Exchange(), checkpoint=saved)
    assert trainer.epoch == 1
    assert other.posterior is None
    np.testing.assert_array_equal(other.parameters, before)
    assert not (tmp_path / "saved").exists()
    trainer.network = net
    trainer.fit(X, Y, epochs=1)
    assert trainer.epoch == 2
