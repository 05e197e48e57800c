"""Trainer: steps against the reference, batches, shuffling, history, solvers, errors."""

import pickle
import threading
import warnings

import numpy as np
import pytest

import cbackprop
from cbackprop import reference
from cbackprop.core.data.shuffle import epoch_order
from cbackprop.errors import BusyError, InputError, InputTypeError

XOR = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0.0, 1, 1, 0])


def data(n_rows, n_in=3, n_out=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_rows, n_in)), rng.uniform(0.1, 0.9, (n_rows, n_out))


def philox_order(seed, epoch, n):
    """Fisher-Yates with Lemire's bounded integers on NumPy's own Philox: the documented stream."""
    raw = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw
    halves = []

    def half():
        if not halves:
            word = int(raw())
            halves.extend([word & 0xFFFFFFFF, word >> 32])
        return halves.pop(0)

    def below(bound):
        while True:
            product = half() * bound
            if product & 0xFFFFFFFF >= (1 << 32) % bound:
                return product >> 32

    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def replay(net, X, Y, orders, batch_size, lr, mu=0.0, nesterov=False):
    """The epochs in plain NumPy; returns parameters and losses."""
    parameters = net.parameters.copy()
    twin = pickle.loads(pickle.dumps(net))
    v = np.zeros_like(parameters)
    losses = []
    for order in orders:
        total = 0.0
        for start in range(0, len(X), batch_size):
            rows = order[start : start + batch_size]
            twin.parameters[:] = parameters
            loss, g = twin.gradient(X[rows], Y[rows])
            total += loss * len(rows)
            if mu:
                v = mu * v - lr * g
                parameters += mu * v - lr * g if nesterov else v
            else:
                parameters -= lr * g
        losses.append(total / len(X))
    return parameters, losses


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("seed, epoch", [(0, 0), (7, 3), (2**64 - 1, 12345)])
def test_order_is_numpys_philox(seed, epoch, n):
    order = np.empty(n, np.int64)
    epoch_order(seed, epoch, order)
    assert order.tolist() == philox_order(seed, epoch, n)


def test_orders_are_uniform():
    """Each of the 24 permutations of four rows comes about equally often (chi-squared, 1e-6)."""
    from scipy.stats import chisquare

    counts = {}
    order = np.empty(4, np.int64)
    for epoch in range(24_000):
        epoch_order(11, epoch, order)
        counts[tuple(order)] = counts.get(tuple(order), 0) + 1
    assert len(counts) == 24
    assert chisquare(list(counts.values())).pvalue > 1e-6


@pytest.mark.parametrize("batch_size", [1, 7, 10, 30, 45])
@pytest.mark.parametrize(
    "solver",
    [
        cbackprop.SGD(learning_rate=0.3),
        cbackprop.SGD(learning_rate=0.1, momentum=0.9),
        cbackprop.SGD(learning_rate=0.1, momentum=0.8, nesterov=True),
    ],
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_epochs_equal_their_numpy_twin(batch_size, solver, shuffle):
    X, Y = data(30)
    net = cbackprop.Network((3, 4, 2), seed=1)
    trainer = cbackprop.Trainer(net, solver=solver, batch_size=batch_size, shuffle=shuffle, seed=9)
    in_order = list(range(30))
    orders = [philox_order(9, e, 30) if shuffle and batch_size < 30 else in_order for e in range(3)]
    expected, losses = replay(
        net, X, Y, orders, batch_size, solver.learning_rate, solver.momentum, solver.nesterov
    )
    history = trainer.fit(X, Y, epochs=3)
    np.testing.assert_allclose(net.parameters, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-13)


@pytest.mark.parametrize("sizes", [(3, 4, 2), (150, 300, 2)])
def test_momentum_equals_its_numpy_twin_to_the_bit(sizes):
    """Full batch: the gradient is the same call's, so the update rule alone decides the bits."""
    X, Y = data(700, sizes[0])
    net = cbackprop.Network(sizes, seed=1)
    expected, _ = replay(net, X, Y, [np.arange(700)] * 4, 700, 0.1, 0.9)
    cbackprop.Trainer(
        net, solver=cbackprop.SGD(learning_rate=0.1, momentum=0.9), batch_size=700
    ).fit(X, Y, epochs=4)
    assert net.parameters.tobytes() == expected.tobytes()


def test_batch_size_none_is_at_most_200_rows():
    X, Y = data(500)
    results = []
    for batch_size in (None, 200):
        net = cbackprop.Network((3, 4, 2), seed=1)
        cbackprop.Trainer(net, batch_size=batch_size, seed=2).fit(X, Y, epochs=2)
        results.append(net.parameters.tobytes())
    assert results[0] == results[1]


def test_supplied_orders():
    X, Y = data(40)
    rng = np.random.default_rng(1)
    orders = [rng.permutation(40) for _ in range(3)]
    net = cbackprop.Network((3, 4, 2), seed=1)
    expected, _ = replay(net, X, Y, orders, 8, 0.1)
    asked = []

    def shuffle(epoch):
        asked.append(epoch)
        return orders[epoch]

    cbackprop.Trainer(net, solver=cbackprop.SGD(), batch_size=8, shuffle=shuffle).fit(
        X, Y, epochs=3
    )
    assert asked == [0, 1, 2]
    np.testing.assert_allclose(net.parameters, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "bad", [np.arange(39), np.zeros(40, int), np.arange(40.0), np.arange(1, 41), None, "abc"]
)
def test_a_bad_supplied_order_is_refused_and_whole_epochs_stay(bad):
    X, Y = data(40)
    net = cbackprop.Network((3, 4, 2), seed=1)
    one = pickle.loads(pickle.dumps(net))
    cbackprop.Trainer(one, batch_size=8, shuffle=False).fit(X, Y, epochs=1)
    trainer = cbackprop.Trainer(
        net, batch_size=8, shuffle=lambda epoch: np.arange(40) if epoch == 0 else bad
    )
    with pytest.raises(InputError, match=r"shuffle\(1\) returned .*permutation of 0 \.\. 39"):
        trainer.fit(X, Y, epochs=3)
    assert trainer.epoch == 1 == trainer.history.n_epochs
    assert net.parameters.tobytes() == one.parameters.tobytes()


def test_what_a_supplied_order_raises_ends_the_fit():
    X, Y = data(40)
    net = cbackprop.Network((3, 4, 2), seed=1)

    def shuffle(epoch):
        raise LookupError("no order today")

    before = net.parameters.copy()
    trainer = cbackprop.Trainer(net, batch_size=8, shuffle=shuffle)
    with pytest.raises(LookupError, match="no order today"):
        trainer.fit(X, Y, epochs=3)
    np.testing.assert_array_equal(net.parameters, before)
    trainer.shuffle = False
    trainer.fit(X, Y, epochs=1)


def test_validation_loss_is_the_loss_after_the_epoch():
    X, Y = data(50)
    V, W = data(33, seed=4)
    net = cbackprop.Network((3, 4, 2), seed=1)
    trainer = cbackprop.Trainer(net, batch_size=10, seed=0)
    for _ in range(3):
        history = trainer.fit(X, Y, epochs=1, validation_data=(V, W))
        assert history["validation_loss"].tolist() == [net.loss(V, W)]
        expected = reference.loss(net.weights, net.biases, net.activations, V, W)
        assert history["validation_loss"][0] == pytest.approx(expected, rel=1e-13)


def test_history():
    X, Y = data(50)
    trainer = cbackprop.Trainer(cbackprop.Network((3, 4, 2), seed=1))
    first = trainer.fit(X, Y, epochs=3)
    second = trainer.fit(X, Y, epochs=2, validation_data=(X, Y))
    always = ["loss", "learning_rate", "seconds"]
    assert list(first) == always and list(second) == [*always, "validation_loss"]
    assert first["loss"].dtype == np.float64 and first["loss"].shape == (3,)
    whole = trainer.history
    np.testing.assert_array_equal(whole["loss"], np.r_[first["loss"], second["loss"]])
    assert np.isnan(whole["validation_loss"][:3]).all()
    np.testing.assert_array_equal(whole["validation_loss"][3:], second["validation_loss"])
    assert whole.n_epochs == trainer.epoch == 5
    with pytest.raises(KeyError, match=r"no column 'lost'.*'loss', .*'validation_loss'"):
        whole["lost"]
    trainer.reset()
    assert trainer.epoch == 0 == trainer.history.n_epochs


def test_many_short_epochs_are_all_recorded():
    """More epochs than the core records at once, on four rows."""
    net = cbackprop.Network((2, 4, 1), seed=1)
    history = cbackprop.Trainer(net, solver=cbackprop.SGD(learning_rate=2.0)).fit(
        *XOR, epochs=50_000
    )
    assert history.n_epochs == 50_000
    assert history["loss"][-1] == pytest.approx(net.loss(*XOR), rel=1e-3)
    assert history["loss"][-1] < history["loss"][0] / 20


def test_zero_epochs_change_nothing():
    net = cbackprop.Network((2, 4, 1), seed=1)
    before = net.parameters.copy()
    assert cbackprop.Trainer(net).fit(*XOR, epochs=0).n_epochs == 0
    np.testing.assert_array_equal(net.parameters, before)


def test_a_changed_learning_rate_is_honoured_and_the_velocity_kept():
    X, Y = data(20)
    net = cbackprop.Network((3, 4, 2), seed=1)
    twin = pickle.loads(pickle.dumps(net))
    trainer = cbackprop.Trainer(
        net, solver=cbackprop.SGD(learning_rate=0.1, momentum=0.9), batch_size=20
    )
    trainer.fit(X, Y, epochs=1)
    trainer.solver = cbackprop.SGD(learning_rate=0.5, momentum=0.9)
    trainer.fit(X, Y, epochs=1)
    v = np.zeros_like(twin.parameters)
    for lr in (0.1, 0.5):
        v = 0.9 * v - lr * twin.gradient(X, Y)[1]
        twin.parameters[:] += v
    assert net.parameters.tobytes() == twin.parameters.tobytes()


def test_without_momentum_the_velocity_is_forgotten():
    X, Y = data(20)
    net = cbackprop.Network((3, 4, 2), seed=1)
    trainer = cbackprop.Trainer(net, solver=cbackprop.SGD(momentum=0.9), batch_size=20)
    trainer.fit(X, Y, epochs=3)
    trainer.solver = cbackprop.SGD()
    trainer.fit(X, Y, epochs=1)
    trainer.solver = cbackprop.SGD(momentum=0.9)
    twin = pickle.loads(pickle.dumps(net))
    trainer.fit(X, Y, epochs=1)
    twin.parameters[:] += -0.1 * twin.gradient(X, Y)[1]
    np.testing.assert_allclose(net.parameters, twin.parameters, rtol=1e-14)


def test_a_trainer_pickled_by_0_1_0_goes_on():
    X, Y = data(50)
    trainer = cbackprop.Trainer(
        cbackprop.Network((3, 4, 2), seed=1), solver=cbackprop.Adam(), batch_size=9, seed=3
    )
    trainer.fit(X, Y, epochs=2)
    state = trainer.__getstate__() | {"_most_steps": -1, "_between_slices": None}
    old = cbackprop.Trainer.__new__(cbackprop.Trainer)
    old.__setstate__(pickle.loads(pickle.dumps(state)))
    assert vars(old).keys() <= vars(trainer).keys()
    trainer.fit(X, Y, epochs=2)
    old.fit(X, Y, epochs=2)
    assert trainer.network.parameters.tobytes() == old.network.parameters.tobytes()


def test_a_pickled_trainer_goes_on_with_the_same_bits():
    X, Y = data(50)
    trainer = cbackprop.Trainer(
        cbackprop.Network((3, 4, 2), seed=1),
        solver=cbackprop.SGD(momentum=0.9),
        batch_size=9,
        seed=3,
    )
    trainer.fit(X, Y, epochs=2)
    twin = pickle.loads(pickle.dumps(trainer))
    trainer.fit(X, Y, epochs=2)
    twin.fit(X, Y, epochs=2)
    assert trainer.network.parameters.tobytes() == twin.network.parameters.tobytes()


@pytest.mark.parametrize("steps", [1, 3, 5, 6, 7, 13])
def test_a_fit_left_within_an_epoch_goes_on_there(steps):
    """50 rows in batches of 9 are six steps an epoch, the last of five rows."""
    X, Y = data(50)
    runs = []
    for interrupted in (False, True):
        net = cbackprop.Network((3, 4, 2), seed=1)
        trainer = cbackprop.Trainer(net, solver=cbackprop.SGD(momentum=0.5), batch_size=9, seed=3)
        if interrupted:
            trainer._fit(X, Y, 4, steps=steps)
            # The one more is for an epoch that ends right here, but whose end is still to come.
            assert trainer.epoch in (steps // 6, max(0, steps // 6 - 1))
            trainer.fit(X, Y, epochs=4 - trainer.epoch)
        else:
            trainer.fit(X, Y, epochs=4)
        runs.append((net.parameters.tobytes(), trainer.history["loss"].tobytes()))
    assert runs[0] == runs[1]


def test_a_failed_call_leaves_the_place_in_the_epoch():
    X, Y = data(50)
    runs = []
    for fails in (False, True):
        net = cbackprop.Network((3, 4, 2), seed=1)
        trainer = cbackprop.Trainer(net, batch_size=9, seed=3)
        trainer._fit(X, Y, 4, steps=4)
        if fails:
            with pytest.raises(InputError, match="row 11"):
                trainer.fit(np.where(np.arange(20)[:, None] < 11, X[:20], np.nan), Y[:20], epochs=1)
        trainer.fit(X, Y, epochs=1)
        runs.append((net.parameters.tobytes(), trainer.history["loss"].tobytes(), trainer.epoch))
    assert runs[0] == runs[1]


def test_other_rows_begin_their_own_epoch():
    X, Y = data(50)
    trainer = cbackprop.Trainer(cbackprop.Network((3, 4, 2), seed=1), batch_size=9, seed=3)
    trainer._fit(X, Y, 4, steps=2)
    history = trainer.fit(X[:20], Y[:20], epochs=1)
    assert history.n_epochs == 1 and trainer.epoch == 1


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["X", "Y", "validation X", "validation Y"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sizes", [(3, 4, 2), (150, 300, 2)])
def test_a_bad_value_is_named_and_everything_is_rolled_back(where, value, sizes):
    X, Y = data(1300, sizes[0])
    V, W = data(70, sizes[0], seed=5)
    {"X": X, "Y": Y, "validation X": V, "validation Y": W}[where][50:, 1] = value
    net = cbackprop.Network(sizes, seed=1)
    trainer = cbackprop.Trainer(net, solver=cbackprop.SGD(momentum=0.9), batch_size=32, seed=2)
    good_X, good_Y = data(1300, sizes[0], seed=8)
    trainer.fit(good_X, good_Y, epochs=1)
    before = net.parameters.copy(), trainer._state.vectors.copy(), trainer.history["loss"]
    name = where if len(where) == 1 else f"validation_data\\[{int(where[-1] == 'Y')}\\]"
    with pytest.raises(InputError, match=rf"{name} holds -?(nan|inf) at row 50, column 1"):
        trainer.fit(X, Y, epochs=2, validation_data=(V, W))
    np.testing.assert_array_equal(net.parameters, before[0])
    np.testing.assert_array_equal(trainer._state.vectors, before[1])
    np.testing.assert_array_equal(trainer.history["loss"], before[2])
    assert trainer.epoch == 1
    trainer.fit(good_X, good_Y, epochs=1)


def test_a_float64_too_large_for_a_float32_network():
    X, Y = data(30)
    X[7, 2] = 1e300
    net = cbackprop.Network((3, 4, 2), dtype="float32", seed=1)
    with pytest.raises(InputError, match=r"X holds 1e\+300 at row 7, column 2.*float32"):
        cbackprop.Trainer(net).fit(X, Y, epochs=1)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("batch_size", [4, 100])
def test_divergence_is_told_and_rolled_back(momentum, batch_size):
    X, Y = data(100)
    net = cbackprop.Network((3, 4, 2), activation="relu", output_activation="identity", seed=1)
    trainer = cbackprop.Trainer(
        net,
        solver=cbackprop.SGD(learning_rate=1e3, momentum=momentum),
        batch_size=batch_size,
        shuffle=False,
    )
    before = net.parameters.copy()
    with pytest.raises(cbackprop.DivergenceError, match="learning_rate=1000") as caught:
        trainer.fit(X, Y, epochs=1000)
    error = caught.value
    assert error.learning_rate == 1e3
    assert np.isfinite(net.parameters).all()
    np.testing.assert_array_equal(net.parameters, before)  # it took less than one slice
    assert trainer.epoch == 0 == trainer.history.n_epochs
    # The step that is named is the first one whose loss is not finite.
    twin = pickle.loads(pickle.dumps(trainer))
    done = error.epoch * (100 // batch_size) + error.step
    twin._fit(X, Y, 1000, steps=done)
    assert np.isfinite(twin.network.parameters).all() or done == 0
    with pytest.raises(cbackprop.DivergenceError):
        twin._fit(X, Y, 1000, steps=1)


def test_a_parameter_that_overflows_behind_a_finite_loss_is_divergence():
    """The loss is taken before the step, so the last step of a fit shows in the parameters only."""
    net = cbackprop.Network((1, 1), output_activation="identity", bias=False, seed=1)
    net.parameters[:] = 1e100
    trainer = cbackprop.Trainer(net, solver=cbackprop.SGD(learning_rate=1e300))
    with pytest.raises(cbackprop.DivergenceError, match="step 0 of epoch 0"):
        trainer.fit(np.ones((1, 1)), np.zeros((1, 1)), epochs=1)
    assert net.parameters[0] == 1e100 and trainer.epoch == 0


def test_one_fit_at_a_time():
    X, Y = data(2000)
    net = cbackprop.Network((3, 64, 2), seed=1)
    started, errors = threading.Event(), []

    def shuffle(epoch):
        started.set()
        return np.arange(2000)

    first = cbackprop.Trainer(net, batch_size=10, shuffle=shuffle)
    stop = []

    def run():
        while not stop:
            first.fit(X, Y, epochs=50)

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        for _ in range(200):
            try:
                cbackprop.Trainer(net).fit(X[:5], Y[:5], epochs=1)
            except BusyError as error:
                errors.append(error)
                break
        for _ in range(20):
            assert np.isfinite(net.predict(X[:10])).all()
    finally:
        stop.append(1)
        thread.join()
    assert errors and "being trained" in str(errors[0])
    cbackprop.Trainer(net).fit(X, Y, epochs=1)


@pytest.mark.parametrize(
    "kwargs, error, words",
    [
        ({"learning_rate": 0}, InputError, "learning_rate is 0.0; expected"),
        ({"learning_rate": -1}, InputError, "learning_rate is -1.0"),
        ({"learning_rate": np.nan}, InputError, "learning_rate is nan"),
        ({"learning_rate": np.inf}, InputError, "learning_rate is inf"),
        ({"learning_rate": "fast"}, InputTypeError, "learning_rate is 'fast'"),
        ({"momentum": 1.0}, InputError, "momentum is 1.0; expected .* below 1"),
        ({"momentum": -0.1}, InputError, "momentum is -0.1"),
        ({"nesterov": 1}, InputTypeError, "nesterov is 1"),
        ({"nesterov": True}, InputError, "nesterov is True and momentum is 0"),
    ],
)
def test_bad_solver_settings(kwargs, error, words):
    with pytest.raises(error, match=words):
        cbackprop.SGD(**kwargs)


@pytest.mark.parametrize(
    "kwargs, error, words",
    [
        ({"batch_size": 0}, InputError, "batch_size is 0"),
        ({"batch_size": 2.5}, InputTypeError, "batch_size is 2.5"),
        ({"batch_size": True}, InputTypeError, "batch_size is True"),
        ({"n_threads": 0}, InputError, "n_threads is 0"),
        ({"n_threads": "all"}, InputTypeError, "n_threads is 'all'"),
        ({"shuffle": 1}, InputTypeError, "shuffle is 1"),
        ({"seed": -1}, InputError, "seed is -1"),
        ({"seed": "x"}, InputTypeError, "seed is 'x'"),
        ({"loss": "mse"}, InputError, "loss is 'mse'; expected one of 'squared_error'"),
        ({"solver": 0.1}, InputTypeError, "solver is 0.1"),
        ({"solver": cbackprop.SGD}, InputTypeError, "solver is a type"),
    ],
)
def test_bad_trainer_settings(kwargs, error, words):
    net = cbackprop.Network((2, 3, 1), seed=0)
    with pytest.raises(error, match=words):
        cbackprop.Trainer(net, **kwargs)
    trainer = cbackprop.Trainer(net)
    ((name, value),) = kwargs.items()
    if name != "seed":  # settings that are assigned are checked by fit
        setattr(trainer, name, value)
        with pytest.raises(error, match=words):
            trainer.fit(*XOR, epochs=1)


def test_settings_are_keyword_only():
    net = cbackprop.Network((2, 3, 1), seed=0)
    with pytest.raises(TypeError):
        cbackprop.Trainer(net, cbackprop.SGD())
    with pytest.raises(TypeError):
        cbackprop.SGD(0.1)
    with pytest.raises(TypeError):
        cbackprop.Trainer(net).fit(*XOR, 3)
    with pytest.raises(InputTypeError, match="network is 'net'"):
        cbackprop.Trainer("net")


@pytest.mark.parametrize(
    "args, kwargs, error, words",
    [
        ((XOR[0][:3], XOR[1]), {}, InputError, "X has 3 rows and Y has 4"),
        ((XOR[0], XOR[0]), {}, InputError, "Y has 2 columns"),
        (XOR, {"epochs": -1}, InputError, "epochs is -1"),
        (XOR, {"epochs": 1.5}, InputTypeError, "epochs is 1.5"),
        (XOR, {"progress": 1}, InputTypeError, "progress is 1"),
        (XOR, {"validation_data": XOR[0]}, InputTypeError, "validation_data is an array"),
        (
            XOR,
            {"validation_data": (XOR[0][:, :1], XOR[1])},
            InputError,
            r"validation_data\[0\] has 1 column",
        ),
    ],
)
def test_bad_arguments_of_fit(args, kwargs, error, words):
    net = cbackprop.Network((2, 3, 1), seed=0)
    before = net.parameters.copy()
    trainer = cbackprop.Trainer(net)
    with pytest.raises(error, match=words):
        trainer.fit(*args, **{"epochs": 1, **kwargs})
    np.testing.assert_array_equal(net.parameters, before)
    assert trainer.epoch == 0


@pytest.mark.parametrize(
    "activation, value, range_",
    [("sigmoid", 2, "0, 1"), ("tanh", -3, "-1, 1"), ("relu", -1, "0, inf")],
)
def test_targets_out_of_range_are_warned_about_once(activation, value, range_):
    net = cbackprop.Network((2, 3, 1), output_activation=activation, seed=0)
    X, Y = XOR[0], XOR[1] * value
    trainer = cbackprop.Trainer(net, solver=cbackprop.SGD(learning_rate=1e-3))
    with pytest.warns(UserWarning, match=rf"only reaches \[{range_}\]") as caught:
        trainer.fit(X, Y, epochs=1)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(X, Y, epochs=1)
        identity = cbackprop.Network((2, 3, 1), output_activation="identity", seed=0)
        cbackprop.Trainer(identity).fit(X, Y, epochs=1)


@pytest.mark.parametrize("n_rows", [8, 100])
def test_missing_targets_do_not_hide_those_out_of_range(n_rows):
    X, Y = data(n_rows)
    Y = np.where(np.arange(n_rows)[:, None] % 3 == 0, np.nan, Y * 0 + 0.5)
    Y[1, 0] = 7.0
    net = cbackprop.Network((3, 4, 2), seed=1)
    with pytest.warns(UserWarning, match=r"Y lies in \[0.5, 7\]"):
        cbackprop.Trainer(net).fit(X, Y, epochs=1, missing="ignore")
    Y[:] = np.nan
    cbackprop.Trainer(net).fit(X, Y, epochs=1, missing="ignore")


def test_input_scaling_is_part_of_training():
    from cbackprop.network.scaling import Scaling

    X, Y = data(60)
    X = X * 40 + 300
    scaling = Scaling.standard(X)
    nets = []
    for scaled in (False, True):
        net = cbackprop.Network((3, 4, 2), seed=1)
        rows = (X - scaling.shift) * scaling.scale if scaled else X
        if not scaled:
            net.input_scaling = scaling
        cbackprop.Trainer(net, batch_size=7, seed=1).fit(
            rows, Y, epochs=3, validation_data=(rows, Y)
        )
        nets.append(net)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=1e-12)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_training_in_child_processes(method):
    import multiprocessing

    X, Y = data(4000, 20)
    net = cbackprop.Network((20, 30, 2), seed=1)
    cbackprop.Trainer(net, batch_size=4000, n_threads=2).fit(X, Y, epochs=3)
    expected = train_a_copy((X, Y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork while other threads live
        with multiprocessing.get_context(method).Pool(2) as pool:
            for result in pool.map(train_a_copy, [(X, Y)] * 3):
                assert result == expected


def train_a_copy(rows):
    net = cbackprop.Network((20, 30, 2), seed=1)
    cbackprop.Trainer(net, batch_size=4000, n_threads=2).fit(*rows, epochs=3)
    return net.parameters.tobytes()
