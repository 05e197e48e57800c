"""Validation, metrics, early stopping, limits, splits, callbacks."""

import pickle
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cbackprop
from cbackprop import SGD, EarlyStopping
from cbackprop.errors import InputError, InputTypeError
from cbackprop.training.splits import classes_of, split


def data(n_rows, n_in=3, n_out=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_in))
    return X, 0.5 + 0.4 * np.sin(X @ rng.standard_normal((n_in, n_out)))


def classes(n_rows, n_classes=3, seed=0, rare=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n_rows)
    if rare:
        labels[labels == 0] = 1
        labels[rng.choice(n_rows, rare, replace=False)] = 0
    X = rng.standard_normal((n_rows, 4)) + 2 * labels[:, None]
    return X, np.eye(n_classes)[labels]


def net_for(sizes=(3, 6, 2), **kwargs):
    return cbackprop.Network(sizes, **{"seed": 1, **kwargs})


# --- the rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
def test_a_fraction_is_that_of_the_rows_and_a_function_of_the_seed(fraction):
    rest, (validation, test) = split([fraction, None], 101, 7, None)
    assert test is None and len(validation) == round(fraction * 101)
    assert sorted([*rest, *validation]) == list(range(101))
    again = split([fraction, None], 101, 7, None)[1][0]
    other = split([fraction, None], 101, 8, None)[1][0]
    assert again.tolist() == validation.tolist() != other.tolist()


def test_three_ways():
    rest, (validation, test) = split([0.15, 0.15], 1000, 3, None)
    assert [len(rest), len(validation), len(test)] == [700, 150, 150]
    assert sorted([*rest, *validation, *test]) == list(range(1000))


@pytest.mark.parametrize("rare", [2, 3, 5])
def test_a_rare_class_is_in_both_parts(rare):
    """(Defect 7)"""
    labels = np.repeat([0, 1, 2], [rare, 300, 120])
    for seed in range(20):
        rest, (validation, _) = split([0.1, None], len(labels), seed, labels)
        for part in (rest, validation):
            assert set(labels[part]) == {0, 1, 2}
        counts = np.bincount(labels[validation])
        assert abs(counts[1] - 30) <= 1 and abs(counts[2] - 12) <= 1


def test_a_split_by_the_trainer_is_stratified_and_copies_nothing():
    X, Y = classes(200, rare=3)
    X.setflags(write=False)
    net = net_for((4, 6, 3), output_activation="softmax")
    seen = []
    trainer = cbackprop.Trainer(net, loss="cross_entropy", seed=4, batch_size=20)
    trainer.fit(
        X, Y, epochs=1, validation_data=0.2, metric=lambda Y, Y_hat: seen.append(Y.copy()) or 0.0
    )
    assert seen[0].sum(axis=0).min() >= 1 and len(seen[0]) == 40


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=15),
    st.floats(0.01, 0.99),
    st.integers(0, 2**64 - 1),
)
def test_a_fraction_takes_of_each_class_its_share_and_in_all_that_of_the_rows(sizes, part, seed):
    """Each class gives the floor or the ceiling of its share; a class is in both if that can be."""
    sizes = np.array(sizes)
    n_rows, count = sizes.sum(), max(1, round(part * sizes.sum()))
    if count >= n_rows:
        return
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rest, (validation, _) = split([part, None], n_rows, seed, labels)
    assert sorted([*rest, *validation]) == list(range(n_rows)) and len(validation) == count
    taken = np.bincount(labels[validation], minlength=len(sizes))
    share = count * sizes / n_rows
    assert (np.abs(taken - share) < 1).all()
    least = np.maximum(np.floor(share), np.minimum(sizes - 1, 1))
    most = np.minimum(np.ceil(share), sizes - 1)
    if least.sum() <= count <= most.sum():
        assert (least <= taken).all() and (taken <= most).all()


def test_more_classes_than_rows_to_draw():
    """Which classes go without is drawn by the seed."""
    labels = np.repeat(np.arange(100), 2)
    drawn = [split([0.1, None], 200, seed, labels)[1][0] for seed in range(3)]
    for rows in drawn:
        assert len(rows) == len(set(labels[rows])) == 20
    assert len({tuple(labels[rows]) for rows in drawn}) == 3


@pytest.mark.parametrize(
    "Y, parts",
    [
        (np.array([[0.0], [1.0]]), [0.5, None]),
        (np.eye(2), [0.5, None]),
        (np.eye(10)[np.arange(20) % 10], [0.1, 0.1]),
        (np.eye(9), [0.3, 0.3]),
    ],
)
def test_classes_of_few_rows_leave_no_part_empty(Y, parts):
    output = "sigmoid" if Y.shape[1] == 1 else "softmax"
    net = net_for((1, Y.shape[1]), output_activation=output)
    X = np.linspace(-1, 1, len(Y))[:, None]
    rest, held_out = split(parts, len(Y), 0, classes_of(Y))
    for part, rows in zip(parts, held_out, strict=True):
        assert part is None or len(rows) == round(part * len(Y))
    assert len(rest) == len(Y) - sum(len(rows) for rows in held_out if rows is not None)
    history = cbackprop.Trainer(net, loss="cross_entropy", seed=0).fit(
        X, Y, epochs=1, validation_data=parts[0], test_data=parts[1]
    )
    assert np.isfinite(history["validation_loss"]).all()


def test_one_row_cannot_be_split():
    trainer = cbackprop.Trainer(net_for((1, 1)), loss="cross_entropy")
    with pytest.raises(InputError, match=r"validation_data takes 0\.5 of 1 rows.*or more rows"):
        trainer.fit([[1.0]], [[1.0]], epochs=1, validation_data=0.5)


@pytest.mark.parametrize(
    "Y, expected",
    [
        ([[0], [1], [1], [0]], [0, 1, 1, 0]),
        ([[1], [1]], [1, 1]),
        ([[0, 1, 0], [1, 0, 0]], [1, 0]),
        ([[0.1], [0.9], [0.1]], None),
        ([[0], [1], [0.5]], None),
        ([[0], [1], [np.nan]], None),
        ([[1], [2]], None),
        ([[0.2, 0.8], [1, 0]], None),
        ([[0, 1], [1, 1]], None),
        ([[0, 1], [0, 0]], None),
        ([[0, 1], [np.nan, 1]], None),
        ([[2, -1], [1, 0]], None),
    ],
)
def test_targets_are_classes_if_they_are_0_and_1_or_one_hot(Y, expected):
    classes = classes_of(np.array(Y, float))
    assert expected == (None if classes is None else classes.tolist())


@pytest.mark.parametrize("n_alike", [0, 5], ids=["none alike", "five alike"])
@pytest.mark.parametrize("n_out", [1, 2])
def test_probabilities_as_targets_are_no_classes(n_alike, n_out):
    """A fraction of the rows is meant, not of each distinct value."""
    X = np.random.default_rng(0).normal(size=(40, 2))
    Y = 1 / (1 + np.exp(-X[:, :1]))
    Y[:n_alike] = 0.5
    if n_out == 2:
        Y = np.hstack([Y, 1 - Y])
    net = net_for((2, 3, n_out), output_activation="sigmoid" if n_out == 1 else "softmax")
    trainer = cbackprop.Trainer(net, loss="cross_entropy", seed=0)
    seen = []
    trainer.fit(
        X, Y, epochs=1, validation_data=0.2, metric=lambda Y, Y_hat: seen.append(Y.copy()) or 0.0
    )
    np.testing.assert_array_equal(seen[0], Y[split([0.2, None], 40, 0, None)[1][0]])


@pytest.mark.parametrize("batch_size", [7, 60])
def test_rows_by_number_equal_rows_of_their_own(batch_size):
    X, Y = data(80)
    rows = np.array([3, 77, 8, 20, 21, 50])
    rest = np.setdiff1d(np.arange(80), rows)
    runs = []
    for own in (False, True):
        net = net_for()
        trainer = cbackprop.Trainer(net, batch_size=batch_size, seed=2)
        if own:
            history = trainer.fit(X[rest], Y[rest], epochs=3, validation_data=(X[rows], Y[rows]))
        else:
            history = trainer.fit(X, Y, epochs=3, validation_data=rows)
        runs.append((net.parameters.tobytes(), history["validation_loss"].tobytes()))
    assert runs[0] == runs[1]


def test_test_rows_are_recorded_and_decide_nothing():
    X, Y = data(90)
    nets = [net_for(), net_for()]
    first = cbackprop.Trainer(nets[0], seed=1, batch_size=10).fit(
        X, Y, epochs=4, validation_data=0.2, test_data=0.2, metric="r2"
    )
    assert {"test_loss", "test_metric", "validation_metric"} <= set(first)
    _rest, (_, test) = split([0.2, 0.2], 90, 1, None)
    assert first["test_loss"][-1] == nets[0].loss(X[test], Y[test])


@pytest.mark.parametrize(
    "given, error, words",
    [
        (0.0, InputError, "validation_data is 0.0; expected a fraction above 0 and below 1"),
        (1.5, InputError, "validation_data is 1.5; expected a fraction"),
        (0.999, InputError, "leaves none to train on"),
        ([0, 40], InputError, "validation_data holds row 40; expected row numbers of 0 .. 39"),
        ([-1], InputError, "validation_data holds row -1"),
        ([1, 1], InputError, "holds a row twice"),
        (list(range(40)), InputError, "take every row"),
        ("all", InputTypeError, "validation_data is 'all' .*; expected"),
        ([], InputTypeError, "validation_data is"),
        ((1, 2, 3, 4), InputTypeError, "validation_data is a tuple"),
        ([np.ones((4, 3)), np.ones(4)], InputTypeError, r"expected a pair \(X, Y\)"),
    ],
)
def test_bad_validation_data(given, error, words):
    net = net_for()
    before = net.parameters.copy()
    with pytest.raises(error, match=words):
        cbackprop.Trainer(net).fit(*data(40), epochs=1, validation_data=given)
    np.testing.assert_array_equal(net.parameters, before)


def test_one_row_of_validation():
    net = net_for()
    history = cbackprop.Trainer(net).fit(*data(40), epochs=2, validation_data=[5], metric="r2")
    assert np.isfinite(history["validation_loss"]).all()
    assert history["validation_metric"].tolist() == [0.0, 0.0]


# --- metrics -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", [(4, 6, 3), (4, 300, 250, 3)])
def test_accuracy_and_r2_are_scikit_learns(dtype, sizes):
    metrics = pytest.importorskip("sklearn.metrics")
    X, Y = classes(300)
    V, W = classes(170, seed=4)
    net = net_for(sizes, output_activation="softmax", dtype=dtype)
    trainer = cbackprop.Trainer(net, loss="cross_entropy", seed=1)
    history = trainer.fit(X, Y, epochs=3, validation_data=(V, W), metric="accuracy")
    answers = net.predict(V).argmax(axis=1)
    expected = metrics.accuracy_score(W.argmax(axis=1), answers)
    assert history["validation_metric"][-1] == pytest.approx(expected, abs=1e-15)
    net = net_for(sizes, output_activation="identity", dtype=dtype)
    history = cbackprop.Trainer(net, seed=1, solver=SGD(learning_rate=0.01)).fit(
        X, Y, epochs=3, validation_data=(V, W), metric="r2"
    )
    expected = metrics.r2_score(W, net.predict(V))
    assert history["validation_metric"][-1] == pytest.approx(expected, rel=1e-5)


def test_accuracy_of_one_output():
    X, Y = classes(100, 2)
    net = net_for((4, 5, 1))
    history = cbackprop.Trainer(net, loss="cross_entropy", seed=1).fit(
        X, Y[:, 1], epochs=20, validation_data=(X, Y[:, 1]), metric="accuracy"
    )
    expected = ((net.predict(X)[:, 0] >= 0.5) == (Y[:, 1] >= 0.5)).mean()
    assert history["validation_metric"][-1] == expected


def test_a_metric_in_python_sees_what_predict_returns():
    X, Y = data(60)
    net = net_for(output_activation="identity")
    net.fit_scaling(X, Y)
    seen = []

    def metric(targets, outputs):
        seen.append((targets, outputs))
        return np.abs(targets - outputs).max()

    history = cbackprop.Trainer(net, seed=1, solver=SGD(learning_rate=0.01)).fit(
        X, Y, epochs=2, validation_data=(X[:20], Y[:20]), metric=metric
    )
    np.testing.assert_allclose(seen[-1][0], Y[:20], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(seen[-1][1], net.predict(X[:20]), rtol=1e-12, atol=1e-12)
    assert history["validation_metric"][-1] == np.abs(seen[-1][0] - seen[-1][1]).max()


def test_a_metric_that_is_no_number_or_raises():
    X, Y = data(60)
    for metric, error, words in (
        (lambda Y, Y_hat: "good", InputError, "metric returned 'good' .*; expected a number"),
        (lambda Y, Y_hat: 1 / 0, ZeroDivisionError, "division"),
        ("auc", InputError, "metric is 'auc'"),
    ):
        net = net_for()
        trainer = cbackprop.Trainer(net)
        with pytest.raises(error, match=words):
            trainer.fit(X, Y, epochs=3, validation_data=0.2, metric=metric)
        trainer.fit(X, Y, epochs=1)
    with pytest.raises(InputError, match="metric is given without validation_data"):
        trainer.fit(X, Y, epochs=1, metric="r2")


# --- stopping ------------------------------------------------------------------------------------


class Script:
    """A metric whose values are given in advance."""

    def __init__(self, values):
        self.values, self.calls = values, 0

    def __call__(self, Y, Y_hat):
        self.calls += 1
        return self.values[self.calls - 1]


@pytest.mark.parametrize(
    "values, settings, stops_after, best",
    [
        ([1, 2, 3, 4, 5], {"patience": 2, "mode": "max"}, None, 4),
        ([5, 5, 5, 5], {"patience": 1, "mode": "max"}, 2, 0),  # (defect 15)
        ([5, 4, 3, 6, 5, 4], {"patience": 3, "mode": "max"}, 7, 3),
        ([5, 4, 3, 6, 5, 4], {"patience": 3, "mode": "min"}, 6, 2),
        ([5, 4.95, 4.9, 4.85, 4], {"patience": 3, "min_delta": 0.5, "mode": "min"}, 4, 3),
        ([9, 1, 5, 4, 4, 4], {"patience": 2, "mode": "min", "start_epoch": 2}, 6, 3),
    ],
)
def test_patience_counts_exactly(values, settings, stops_after, best):
    script = Script([*values, *[values[-1]] * 20])
    net = net_for()
    n = len(values) if stops_after is None else 20
    history = cbackprop.Trainer(net, seed=1).fit(
        *data(40),
        epochs=n,
        validation_data=0.2,
        metric=script,
        early_stopping=EarlyStopping(monitor="validation_metric", **settings),
    )
    assert history.n_epochs == (stops_after or n)
    assert history.stop_reason == ("early_stopping" if stops_after else "epochs")
    assert history.best_epoch == best


@pytest.mark.parametrize("batch_size", [10, 64])
def test_the_returned_parameters_have_the_best_value(batch_size):
    """Across two fits as well.  (Defect 4)"""
    X, Y = data(64, seed=5)
    net = net_for(activation="tanh", output_activation="identity")
    trainer = cbackprop.Trainer(
        net, solver=SGD(learning_rate=0.9, momentum=0.9), batch_size=batch_size, seed=3
    )
    V = data(40, seed=6)
    stopping = EarlyStopping(patience=4)
    values = []
    for _ in range(3):
        history = trainer.fit(X, Y, epochs=60, validation_data=V, early_stopping=stopping)
        values.extend(history["validation_loss"])
        assert net.loss(*V) == min(values)
        assert trainer.history["validation_loss"][trainer.history.best_epoch] == min(values)


def test_without_restore_best_the_last_parameters_stay():
    X, Y = data(64)
    V = data(40, seed=6)
    net = net_for()
    history = cbackprop.Trainer(net, solver=SGD(learning_rate=5.0), batch_size=8).fit(
        X,
        Y,
        epochs=40,
        validation_data=V,
        early_stopping=EarlyStopping(patience=3, restore_best=False),
    )
    assert net.loss(*V) == history["validation_loss"][-1]


def test_the_training_loss_can_be_monitored():
    X, Y = data(64)
    history = cbackprop.Trainer(net_for(), solver=SGD(learning_rate=1e-9), batch_size=64).fit(
        X, Y, epochs=50, early_stopping=EarlyStopping(monitor="loss", patience=5, min_delta=1e-3)
    )
    assert history.n_epochs == 6 and history.stop_reason == "early_stopping"


def test_limits():
    X, Y = data(64)
    net = net_for()
    start = net.loss(X, Y)
    trainer = cbackprop.Trainer(net, solver=SGD(learning_rate=0.5), batch_size=8, seed=1)
    history = trainer.fit(X, Y, epochs=10**9, target_loss=start / 2)
    assert history.stop_reason == "target_loss"
    assert history["loss"][-1] <= start / 2 < history["loss"][-2]
    begun = time.monotonic()
    history = trainer.fit(X, Y, epochs=10**9, max_seconds=0.2)
    assert history.stop_reason == "seconds" and 0.15 < time.monotonic() - begun < 5
    assert history["seconds"].sum() == pytest.approx(0.2, abs=0.15)
    assert trainer.fit(X, Y, epochs=2).stop_reason == "epochs"


def test_seconds_limit_within_an_epoch():
    X, Y = data(60_000, 20)
    net = net_for((20, 50, 2))
    trainer = cbackprop.Trainer(net, batch_size=10, seed=1)
    before = net.parameters.copy()
    history = trainer.fit(X, Y, epochs=10**6, max_seconds=0.02)
    assert history.stop_reason == "seconds"
    assert not np.array_equal(net.parameters, before)


@pytest.mark.parametrize(
    "kwargs, words",
    [
        ({"early_stopping": EarlyStopping()}, "there is no validation_data"),
        (
            {"early_stopping": EarlyStopping(monitor="validation_metric"), "validation_data": 0.2},
            "metric is None",
        ),
        (
            {
                "early_stopping": EarlyStopping(monitor="validation_metric"),
                "validation_data": 0.2,
                "metric": lambda Y, Y_hat: 0.0,
            },
            "mode is 'auto'",
        ),
        ({"early_stopping": 5}, "early_stopping is 5"),
        ({"max_seconds": 0}, "max_seconds is 0"),
        ({"target_loss": np.nan}, "target_loss is nan"),
        ({"callbacks": [3]}, "a callback is 3 .*; expected an object with a method on_epoch_end"),
        ({"missing": "drop"}, "missing is 'drop'"),
    ],
)
def test_bad_settings(kwargs, words):
    net = net_for()
    before = net.parameters.copy()
    with pytest.raises((InputError, InputTypeError), match=words):
        cbackprop.Trainer(net).fit(*data(40), epochs=1, **kwargs)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize(
    "kwargs, words",
    [
        ({"patience": 0}, "patience is 0"),
        ({"min_delta": -1}, "min_delta is -1"),
        ({"monitor": "test_loss"}, "monitor is 'test_loss'"),
        ({"mode": "most"}, "mode is 'most'"),
        ({"restore_best": 1}, "restore_best is 1"),
        ({"start_epoch": -1}, "start_epoch is -1"),
    ],
)
def test_bad_early_stopping(kwargs, words):
    with pytest.raises((InputError, InputTypeError), match=words):
        EarlyStopping(**kwargs)


# --- callbacks -----------------------------------------------------------------------------------


class Recorder:
    def __init__(self, stop_at=None, fail_at=None):
        self.records, self.stop_at, self.fail_at = [], stop_at, fail_at

    def on_epoch_end(self, trainer, record):
        self.records.append((record, trainer.network.parameters.copy(), trainer.history.n_epochs))
        if record["epoch"] == self.fail_at:
            raise LookupError("enough")
        return record["epoch"] == self.stop_at


def test_a_callback_changes_nothing_and_sees_every_epoch():
    X, Y = data(64)
    nets = [net_for(), net_for()]
    histories = []
    recorder = Recorder()
    for net, callbacks in zip(nets, ((), recorder), strict=True):
        trainer = cbackprop.Trainer(net, batch_size=10, seed=1)
        histories.append(
            trainer.fit(X, Y, epochs=5, validation_data=0.2, metric="r2", callbacks=callbacks)
        )
    assert nets[0].parameters.tobytes() == nets[1].parameters.tobytes()
    for name in ("loss", "validation_loss", "validation_metric"):
        np.testing.assert_array_equal(histories[0][name], histories[1][name])
        assert [r[name] for r, _, _ in recorder.records] == histories[0][name].tolist()
    assert [n for _, _, n in recorder.records] == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(recorder.records[-1][1], nets[1].parameters)


@pytest.mark.parametrize("answer", [None, 0, 1, "stop", np.zeros(3), False])
def test_only_true_stops(answer):
    class Answers:
        def on_epoch_end(self, trainer, record):
            return answer

    history = cbackprop.Trainer(net_for()).fit(*data(20), epochs=3, callbacks=Answers())
    assert history.n_epochs == 3


def test_validation_rows_without_weight():
    w = np.r_[0.0, 0, np.ones(38)]
    with pytest.raises(InputError, match="the rows of validation_data have no sample_weight"):
        cbackprop.Trainer(net_for()).fit(
            *data(40), epochs=1, sample_weight=w, validation_data=[0, 1]
        )


def test_divergence_of_a_solver_without_a_rate():
    net = net_for(output_activation="identity", activation="relu")
    X, Y = data(20)
    with pytest.raises(cbackprop.DivergenceError, match=r"with LBFGS; .* Scale the inputs"):
        cbackprop.Trainer(net, solver=cbackprop.LBFGS()).fit(X * 1e200, Y, epochs=3)


def test_a_callback_stops_the_training_or_ends_it_with_its_exception():
    X, Y = data(64)
    trainer = cbackprop.Trainer(net_for(), batch_size=10, seed=1)
    history = trainer.fit(X, Y, epochs=9, callbacks=[Recorder(), Recorder(stop_at=2)])
    assert history.n_epochs == 3 and history.stop_reason == "callback"
    with pytest.raises(LookupError, match="enough"):
        trainer.fit(X, Y, epochs=9, callbacks=[Recorder(fail_at=4)])
    assert trainer.epoch == 5 == trainer.history.n_epochs
    twin = cbackprop.Trainer(net_for(), batch_size=10, seed=1)
    twin.fit(X, Y, epochs=7)
    trainer.fit(X, Y, epochs=2)
    assert trainer.network.parameters.tobytes() == twin.network.parameters.tobytes()


# --- the state -----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_early_stopping_resumes_as_if_never_left(steps):
    X, Y = data(64)
    V = data(40, seed=6)
    kwargs = {
        "validation_data": V,
        "metric": "r2",
        "early_stopping": EarlyStopping(monitor="validation_metric", patience=3),
    }
    solver = SGD(learning_rate=0.9, momentum=0.9)
    whole = cbackprop.Trainer(net_for(), solver=solver, batch_size=10, seed=1)
    whole.fit(X, Y, epochs=60, **kwargs)
    parts = cbackprop.Trainer(net_for(), solver=solver, batch_size=10, seed=1)
    best = parts.network.parameters.copy()

    class Leave(Exception):
        pass

    class Counter:
        left = steps

        def on_epoch_end(self, trainer, record):
            self.left -= 1
            if self.left == 0:
                raise Leave

    try:
        parts.fit(X, Y, epochs=60, callbacks=Counter(), **kwargs)
    except Leave:
        parts = pickle.loads(pickle.dumps(parts))
        parts.fit(X, Y, epochs=60 - parts.epoch, **kwargs)
    assert whole.history.stop_reason == "early_stopping" and whole.epoch > steps
    assert parts.network.parameters.tobytes() == whole.network.parameters.tobytes()
    assert not np.array_equal(best, parts.network.parameters)
    for name in ("loss", "validation_loss", "validation_metric"):
        np.testing.assert_array_equal(parts.history[name], whole.history[name])
