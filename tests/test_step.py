"""Trainer.step: one update from a gradient made elsewhere, with the bits of a fit's own step."""

import copy
import pickle
import signal
import threading
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import cbackprop
from cbackprop import SGD, Adam, RProp, schedules
from cbackprop.errors import BusyError, DivergenceError, InputError, InputTypeError

# One leaf in one block, many leaves, and tiles (more than 256 KB of parameters in both dtypes).
SHAPES = {
    "one block": ((3, 5, 2), 20),
    "leaves": ((3, 5, 2), 5000),
    "tiles": ((300, 240, 2), 60),
}
SOLVERS = {
    "sgd": SGD(learning_rate=0.3),
    "momentum": SGD(learning_rate=0.3, momentum=0.9),
    "nesterov": SGD(learning_rate=0.3, momentum=0.9, nesterov=True),
    "adam": Adam(learning_rate=0.02),
    "folded": Adam(learning_rate=0.02, epsilon_form="folded"),
    "amsgrad": Adam(learning_rate=0.02, amsgrad=True),
    "rprop": RProp(),
    "decay": Adam(learning_rate=0.02, weight_decay=0.1),
    "clipped": SGD(learning_rate=0.3, max_gradient_norm=0.01),
    "decay and clipped": SGD(
        learning_rate=0.3, momentum=0.5, weight_decay=0.1, max_gradient_norm=0.01
    ),
    "schedule": SGD(
        learning_rate=schedules.WarmUp(schedules.CosineDecay(0.3, epochs=4), epochs=2),
        momentum=0.5,
    ),
    "plateau": Adam(learning_rate=schedules.ReduceOnPlateau(0.5, patience=1, min_delta=0.1)),
}


def data(sizes, n_rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_rows, sizes[0])), rng.uniform(0.1, 0.9, (n_rows, sizes[-1]))


def trainer_of(solver, sizes=(3, 5, 2), *, bias=True, dtype="float64", **settings):
    net = cbackprop.Network(sizes, bias=bias, dtype=dtype, seed=1)
    return cbackprop.Trainer(net, solver=solver, seed=0, **settings)


def step_by_gradients(trainer, X, Y, steps):
    for _ in range(steps):
        loss, gradient = trainer.network.gradient(X, Y)
        trainer.step(gradient, loss)


def assert_same_training(one, other):
    assert_array_equal(one.network.parameters, other.network.parameters)
    assert one.history.keys() == other.history.keys()
    for name in one.history.keys() - {"seconds"}:
        assert_array_equal(one.history[name], other.history[name], name)
    places = one._state.as_dict(), other._state.as_dict()
    for name in ("epoch", "kind", "vectors", "watch"):
        assert_array_equal(places[0][name], places[1][name], name)


# --- the bits of a fit's step -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_steps_have_the_bits_of_a_full_batch_fit(solver, shape, dtype):
    sizes, n_rows = SHAPES[shape]
    X, Y = data(sizes, n_rows)
    settings = {"batch_size": n_rows} if solver != "rprop" else {}
    # A fit by plain SGD that records the norm does not fuse the product with the update.
    norm = solver == "sgd"
    fitted, stepped = (
        trainer_of(SOLVERS[solver], sizes, dtype=dtype, **settings) for _ in range(2)
    )
    fitted.fit(X, Y, epochs=7, gradient_norm=norm)
    step_by_gradients(stepped, X, Y, 7)
    if norm:
        del fitted.history._columns["gradient_norm"]
    assert_same_training(fitted, stepped)


@pytest.mark.parametrize("penalties", [{"l2": 0.1}, {"l1": 0.01}, {"l1": 0.01, "l2": 0.1}])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("solver", ["sgd", "momentum", "adam", "rprop", "decay and clipped"])
@pytest.mark.parametrize("shape", ["one block", "tiles"])
def test_penalties_are_those_of_the_trainer(shape, solver, bias, penalties):
    sizes, n_rows = SHAPES[shape]
    X, Y = data(sizes, n_rows)
    fitted, stepped = (trainer_of(SOLVERS[solver], sizes, bias=bias, **penalties) for _ in range(2))
    fitted.fit(X, Y, epochs=5)
    step_by_gradients(stepped, X, Y, 5)
    assert "penalty" in stepped.history
    assert_same_training(fitted, stepped)


def test_a_fused_step_differs_from_it_by_rounding_alone():
    X, Y = data((3, 5, 2), 20)
    fitted, stepped = trainer_of(SGD()), trainer_of(SGD())
    fitted.fit(X, Y, epochs=3)
    step_by_gradients(stepped, X, Y, 3)
    np.testing.assert_allclose(
        fitted.network.parameters, stepped.network.parameters, rtol=0, atol=1e-14
    )


def test_fits_and_steps_go_on_with_each_other():
    X, Y = data((3, 5, 2), 20)
    mixed, fitted = trainer_of(Adam()), trainer_of(Adam())
    mixed.fit(X, Y, epochs=2)
    step_by_gradients(mixed, X, Y, 3)
    mixed.fit(X, Y, epochs=2)
    fitted.fit(X, Y, epochs=7)
    assert_same_training(mixed, fitted)
    assert mixed.epoch == 7


def test_a_gradient_of_ones_own_objective_trains():
    """A loss in Python that a fit knows, too: by `backward` and by a fit, the same steps."""
    X, Y = data((3, 5, 2), 20)

    def loss(Y, Y_hat):
        return float(((Y - Y_hat) ** 4).mean()), 4 * (Y_hat - Y) ** 3 / Y.size

    fitted = trainer_of(Adam(), loss=loss)
    fitted.fit(X, Y, epochs=4)
    stepped = trainer_of(Adam())
    for _ in range(4):
        value, dL_dY_hat = loss(Y, stepped.network.predict(X))
        stepped.step(stepped.network.backward(X, dL_dY_hat), value)
    assert_same_training(fitted, stepped)


def test_momentum_by_hand():
    trainer = trainer_of(SGD(learning_rate=0.5, momentum=0.75), l2=0.25)
    net = trainer.network
    weights = np.concatenate([np.ones(15), np.zeros(5), np.ones(10), np.zeros(2)])
    W, v = net.parameters.copy(), np.zeros(net.n_parameters)
    rng = np.random.default_rng(3)
    for _ in range(4):
        g = rng.standard_normal(net.n_parameters)
        trainer.step(g)
        v = 0.75 * v - 0.5 * (g + 0.25 * weights * W)
        W = W + v
        np.testing.assert_allclose(net.parameters, W, rtol=1e-14)


# --- what it takes, and what it leaves --------------------------------------------------------


@pytest.mark.parametrize("cast", [np.float64, np.float32, np.float16, list, tuple])
def test_the_gradient_is_cast_and_not_written(cast):
    trainer = trainer_of(SGD(max_gradient_norm=0.1), dtype="float32", l2=0.5)
    gradient = np.linspace(-1, 1, 32).astype(np.float16)
    given = cast(gradient) if cast in (list, tuple) else gradient.astype(cast)
    before = copy.deepcopy(given)
    trainer.step(given)
    assert_array_equal(given, before)
    twin = trainer_of(SGD(max_gradient_norm=0.1), dtype="float32", l2=0.5)
    twin.step(gradient.astype(np.float32))
    assert_array_equal(trainer.network.parameters, twin.network.parameters)


def test_the_parameters_themselves_may_be_the_gradient():
    trainer = trainer_of(SGD(learning_rate=0.5))
    before = trainer.network.parameters.copy()
    trainer.step(trainer.network.parameters)
    assert_array_equal(trainer.network.parameters, before / 2)


def test_a_strided_and_a_read_only_gradient_are_read():
    strided = np.arange(64.0)[::2]
    frozen = np.arange(0.0, 64.0, 2.0)
    frozen.flags.writeable = False
    one, other = trainer_of(Adam()), trainer_of(Adam())
    one.step(strided)
    other.step(frozen)
    assert_array_equal(one.network.parameters, other.network.parameters)


def test_the_history_has_a_line_for_a_step():
    trainer = trainer_of(SGD(learning_rate=schedules.StepDecay(0.5, every=2, factor=0.5)))
    for loss in (0.25, None, 0.125):
        trainer.step(np.ones(32), loss)
    history = trainer.history
    assert set(history) == {"loss", "learning_rate", "seconds"}
    assert_array_equal(history["loss"], [0.25, np.nan, 0.125])
    assert_array_equal(history["learning_rate"], [0.5, 0.5, 0.25])
    assert (history["seconds"] > 0).all()
    assert (history["seconds"] < 1).all()
    assert (trainer.epoch, history.stop_reason, history.best_epoch) == (3, None, None)


def test_after_a_fit_nothing_has_stopped_it():
    X, Y = data((3, 5, 2), 20)
    trainer = trainer_of(SGD())
    trainer.fit(X, Y, epochs=2, early_stopping=cbackprop.EarlyStopping(monitor="loss"))
    assert trainer.history.stop_reason == "epochs"
    trainer.step(np.ones(32))
    assert (trainer.history.stop_reason, trainer.history.best_epoch) == (None, None)
    assert trainer.history.n_epochs == trainer.epoch == 3


@pytest.mark.parametrize("solver", ["momentum", "adam", "rprop", "plateau"])
def test_steps_go_on_from_a_file_and_from_a_pickle(solver, tmp_path):
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((6, 32))
    trainer = trainer_of(SOLVERS[solver])
    for g in gradients[:3]:
        trainer.step(g, float(np.abs(g).mean()))
    trainer.save(tmp_path / "trainer")
    twins = [cbackprop.Trainer.load(tmp_path / "trainer"), pickle.loads(pickle.dumps(trainer))]
    for one in (trainer, *twins):
        for g in gradients[3:]:
            one.step(g, float(np.abs(g).mean()))
    for twin in twins:
        assert_same_training(trainer, twin)


def test_an_epoch_under_way_is_dropped():
    """As it is by a fit on other rows: the step is an epoch of its own."""
    X, Y = data((3, 5, 2), 20)
    trainer = trainer_of(SGD(), batch_size=6)
    trainer._fit(X, Y, 2, steps=6)  # one epoch and two steps
    assert trainer._state.position == 12
    trainer.step(np.zeros(32))
    assert (trainer.epoch, trainer._state.position, trainer._state.loss_sum) == (2, 0, 0)
    twin = pickle.loads(pickle.dumps(trainer))
    twin._state.n_rows = 0  # nothing of that epoch is known any more
    for one in (trainer, twin):
        one.fit(X, Y, epochs=1)
    assert_same_training(trainer, twin)


def test_another_solver_begins_afresh():
    trainer, fresh = trainer_of(Adam()), trainer_of(SGD(momentum=0.5))
    trainer.step(np.ones(32))
    trainer.solver = SGD(momentum=0.5)
    trainer.network.parameters[:] = fresh.network.parameters
    trainer.step(np.ones(32))
    fresh.step(np.ones(32))
    assert_array_equal(trainer.network.parameters, fresh.network.parameters)


def test_rprop_takes_back_a_step_after_which_the_loss_has_risen():
    g = np.zeros(32)
    g[0] = 1.0
    trainer = trainer_of(RProp())
    start = trainer.network.parameters[0]
    trainer.step(g, 1.0)
    assert trainer.network.parameters[0] == start - RProp().initial_step
    trainer.step(-g, 2.0)
    assert trainer.network.parameters[0] == pytest.approx(start, abs=1e-15)


# --- errors, after which everything is as it was ----------------------------------------------


def unchanged(trainer):
    """What a failed step must leave alone."""
    state = {name: np.array(v).tolist() for name, v in trainer._state.as_dict().items()}
    return trainer.network.parameters.tobytes(), repr(state), trainer.history.to_json()


def infinite_at(place, value=np.inf):
    g = np.zeros(32)
    g[place] = value
    return g


@pytest.mark.parametrize(
    ("gradient", "loss", "error", "message"),
    [
        (np.ones(31), None, InputError, r"gradient has shape \(31,\); expected \(32,\)"),
        (np.ones((1, 32)), None, InputError, r"gradient has shape \(1, 32\); expected \(32,\)"),
        (3.0, None, InputError, r"gradient has shape \(\); expected \(32,\)"),
        (np.ones(32) * 1j, None, InputTypeError, "gradient"),
        (["a"] * 32, None, InputTypeError, "gradient"),
        (None, None, InputTypeError, "gradient"),
        (infinite_at(7, np.nan), None, InputError, r"gradient\[7\] is nan; expected finite"),
        (infinite_at(31), None, InputError, r"gradient\[31\] is inf; expected finite"),
        (np.ones(32), np.nan, InputError, "loss is nan; expected a finite number"),
        (np.ones(32), np.inf, InputError, "loss is inf; expected a finite number"),
        (np.ones(32), "0.5", InputTypeError, "loss is '0.5'"),
        (np.ones(32), np.ones(2), InputTypeError, "loss is an array of shape"),
    ],
)
def test_a_wrong_argument_changes_nothing(gradient, loss, error, message):
    trainer = trainer_of(Adam())
    trainer.step(np.ones(32), 1.0)
    before = unchanged(trainer)
    with warnings.catch_warnings(), pytest.raises(error, match=message):
        warnings.simplefilter("error")
        trainer.step(gradient, loss)
    assert unchanged(trainer) == before


def test_a_number_that_float32_cannot_hold():
    trainer = trainer_of(SGD(), dtype="float32")
    with pytest.raises(InputError, match=r"gradient\[3\] is 1e\+300, which float32 cannot hold"):
        trainer.step(infinite_at(3, 1e300))


@pytest.mark.parametrize("solver", ["rprop", "plateau"])
def test_a_loss_is_asked_for_where_the_step_depends_on_it(solver):
    trainer = trainer_of(SOLVERS[solver])
    name = {"rprop": "RProp", "plateau": "ReduceOnPlateau"}[solver]
    with pytest.raises(InputError, match=f"loss is None, and {name} looks at whether it falls"):
        trainer.step(np.ones(32))
    assert trainer.epoch == 0


@pytest.mark.parametrize(
    "solver",
    [cbackprop.LBFGS(), cbackprop.LevenbergMarquardt(), cbackprop.BayesianRegularization()],
)
def test_solvers_that_one_gradient_is_not_enough_for(solver):
    trainer = trainer_of(solver)
    with pytest.raises(
        InputError,
        match=f"the solver is {type(solver).__name__}, for which one gradient is not enough",
    ) as e:
        trainer.step(np.ones(32), 1.0)
    assert "fit(X, Y, epochs=1)" in str(e.value)
    assert trainer.epoch == 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("solver", [SGD(learning_rate=1e30), SGD(learning_rate=1e30, momentum=0.9)])
def test_a_step_to_infinity_is_taken_back(solver, dtype):
    trainer = trainer_of(solver, dtype=dtype)
    trainer.step(np.full(32, 1e-30), 1.0)
    before = unchanged(trainer)
    huge = np.finfo(dtype).max / 4
    with pytest.raises(DivergenceError, match=r"after step 0 of epoch 1 .* learning_rate=1e") as e:
        trainer.step(np.full(32, huge), 1.0)
    assert (e.value.epoch, e.value.step, e.value.learning_rate) == (1, 0, 1e30)
    assert unchanged(trainer) == before
    trainer.step(np.full(32, 1e-30), 1.0)
    assert trainer.epoch == 2


@pytest.mark.parametrize(("dtype", "rate"), [("float64", 1e307), ("float32", 1e37)])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_does_not_count_a_step_that_is_taken_back(amsgrad, dtype, rate):
    trainer = trainer_of(Adam(learning_rate=rate, amsgrad=amsgrad), dtype=dtype)
    trainer.step(np.ones(32))
    trainer.network.parameters[:] = -np.finfo(dtype).max
    before = unchanged(trainer)
    with pytest.raises(DivergenceError, match="after step 0 of epoch 1"):
        trainer.step(np.ones(32))
    assert unchanged(trainer) == before
    assert trainer._state.numbers.tolist() == [1.0]


def test_a_changed_setting_is_checked():
    trainer = trainer_of(SGD())
    trainer.l2 = -1.0
    with pytest.raises(InputError, match="l2 is -1"):
        trainer.step(np.ones(32))


def test_a_network_that_is_being_trained_is_busy():
    trainer = trainer_of(SGD())
    claim = object()
    trainer.network._begin_fit("fit", claim)
    before = unchanged(trainer)
    try:
        with pytest.raises(BusyError, match="cannot make a step: the network is being trained"):
            trainer.step(np.ones(32))
    finally:
        trainer.network._end_fit(claim)
    assert unchanged(trainer) == before
    trainer.step(np.ones(32))


def test_a_callback_of_a_fit_cannot_step():
    X, Y = data((3, 5, 2), 20)

    class Stepping:
        def on_epoch_end(self, trainer, record):
            trainer.step(np.ones(32))

    with pytest.raises(BusyError, match="cannot make a step"):
        trainer_of(SGD()).fit(X, Y, epochs=2, callbacks=Stepping())


def test_a_signal_finds_whole_steps():
    """However often it comes: as many lines as steps, and the parameters of so many steps."""
    trainer = trainer_of(SGD(learning_rate=1.0, momentum=0.5), (300, 240, 2))
    g = np.ones(trainer.network.n_parameters)
    start = trainer.network.parameters.copy()

    class RungError(Exception):
        pass

    def ring(number, frame):
        raise RungError

    if not hasattr(signal, "setitimer"):
        pytest.skip("no timer for signals")
    before = signal.signal(signal.SIGALRM, ring)
    try:
        for i in range(30):
            signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.0001 * i)
            with pytest.raises(RungError):
                while True:
                    trainer.step(g, 1.0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert trainer.history.n_epochs == trainer.epoch > 0
    twin = trainer_of(SGD(learning_rate=1.0, momentum=0.5), (300, 240, 2))
    for _ in range(trainer.epoch):
        twin.step(g, 1.0)
    assert not np.array_equal(start, twin.network.parameters)
    assert_array_equal(trainer.network.parameters, twin.network.parameters)
    assert_array_equal(trainer._state.vectors, twin._state.vectors)


def test_who_predicts_meanwhile_sees_whole_steps():
    """All parameters are equal after each step; a mixture of two steps would not be."""
    trainer = trainer_of(SGD(learning_rate=1.0), (300, 240, 2))
    net = trainer.network
    net.parameters[:] = 0.0
    g = np.ones(net.n_parameters)
    torn = []
    ended = threading.Event()

    def watch():
        while not ended.is_set():
            seen = np.frombuffer(net.parameters.tobytes())
            if seen.min() != seen.max():
                torn.append(seen)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(200):
            trainer.step(g)
    finally:
        ended.set()
        thread.join()
    assert not torn
    assert (net.parameters == -200.0).all()
