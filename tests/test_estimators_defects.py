"""Defects of scikit-learn 1.9.1's MLP that ours must not have: a named test for each.

That positional arguments broke (defect 16) and that a multi-output regression's loss is not its
gradient's (defect 1) stand in test_estimators.py, biased weights (2) in
test_estimators_conventions.py; what is the trainer's alone in test_defects.py.
"""

import os
import pickle
import signal
import threading
import tracemalloc
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split

import cbackprop
from cbackprop.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(n_rows=80, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 4))
    return X, X[:, 0] + np.sin(2 * X[:, 1])


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "absolute_error", "huber"])
@pytest.mark.parametrize("n_outputs", [1, 3, 5])
def test_the_reported_loss_is_the_one_whose_gradient_is_followed(loss, n_outputs):
    """A step of plain SGD lowers the loss by rate |gradient|^2.  (Defect 1)"""
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((40, 3)), rng.uniform(0.5, 2, (40, n_outputs))
    Y = Y[:, 0] if n_outputs == 1 else Y
    rate = 1e-5
    model = MLPRegressor(
        loss=loss,
        solver="sgd",
        momentum=0,
        learning_rate_init=rate,
        alpha=0.1,
        hidden_layer_sizes=6,
        activation="tanh",
        random_state=0,
    )
    model.partial_fit(X, Y)
    before = [array.copy() for array in model.coefs_ + model.intercepts_]
    model.partial_fit(X, Y).partial_fit(X, Y)
    moved = sum(
        ((a - b) ** 2).sum() for a, b in zip(model.coefs_ + model.intercepts_, before, strict=True)
    )
    fall = model.loss_curve_[0] - model.loss_curve_[2]
    # Two steps: |2 rate g|^2 = 2 rate (2 rate |g|^2).
    assert fall == pytest.approx(moved / (2 * rate), rel=1e-3)


def test_a_batch_whose_weights_are_zero_is_a_step_like_another():
    """(Defect 3)"""
    X, y = data(10)
    weight = np.r_[np.zeros(8), 1.0, 1.0]
    model = MLPRegressor(batch_size=2, shuffle=False, max_iter=3).fit(X, y, sample_weight=weight)
    assert np.isfinite(model.loss_curve_).all()
    with pytest.raises(ValueError, match=r"[Ww]eight"):
        model.fit(X, y, sample_weight=np.zeros(10))


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_after_a_warm_start_the_weights_score_what_is_said(cls):
    """(Defect 4)"""
    X, y = data(120)
    if cls is MLPClassifier:
        y = np.digitize(y, [-0.5, 0.5])
    model = cls(
        early_stopping=True,
        warm_start=True,
        random_state=0,
        max_iter=15,
        learning_rate_init=0.03,
        n_iter_no_change=3,
    )
    _, held_out = first_split(model, len(y))
    best = -np.inf
    model.fit(X, y)  # draws weights first, and so holds out other rows than those that follow
    for rate in (0.03, 3.0, 0.03):  # the second ruins what the first has learnt
        model.set_params(learning_rate_init=rate).fit(X, y)
        score = accuracy_score if cls is MLPClassifier else r2_score
        assert score(y[held_out], model.predict(X[held_out])) == pytest.approx(
            model.best_validation_score_, rel=1e-9
        )
        assert model.best_validation_score_ >= best - 1e-12
        best = model.best_validation_score_
    assert len(model.validation_scores_) == len(model.loss_curve_) > model.n_iter_


def first_split(model, n_rows):
    """The validation rows of a warm start, whose stream begins with them."""
    return train_test_split(
        np.arange(n_rows),
        random_state=np.random.RandomState(model.random_state),
        test_size=model.validation_fraction,
    )


def test_warm_starts_without_a_first_draw_hold_out_the_same_rows():
    """So that the scores of `test_after_a_warm_start...` are of one set."""
    X, y = data(50)
    model = MLPRegressor(early_stopping=True, warm_start=True, random_state=0, max_iter=2)
    scores = []
    model.set_params(scoring=lambda model, X, y: scores.append(X[0, 0]) or 0.0)
    model.fit(X, y)
    scores.clear()
    model.fit(X, y), model.fit(X, y)
    assert len(set(scores)) == 1


@pytest.mark.parametrize("early_stopping", [False, True])
def test_divergence_ends_the_fit_and_keeps_the_last_finite_weights(early_stopping):
    """(Defect 5)"""
    X, y = data()
    model = MLPRegressor(
        activation="identity",
        solver="sgd",
        learning_rate_init=10.0,
        batch_size=8,
        early_stopping=early_stopping,
        random_state=0,
        max_iter=300,
    )
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights") as caught:
        model.fit(X, y)
    assert isinstance(caught.value, cbackprop.DivergenceError)
    assert caught.value.epoch < 30 and caught.value.learning_rate == 10.0
    assert f"epoch {caught.value.epoch}" in str(caught.value)
    assert all(np.isfinite(a).all() for a in model.coefs_ + model.intercepts_)
    assert np.isfinite(model.predict(X)).all()
    again = pickle.loads(pickle.dumps(caught.value))  # from a worker process
    assert str(again) == str(caught.value) and again.step == caught.value.step


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
def test_epoch_by_epoch_is_one_fit_bit_for_bit(cls, solver, learning_rate):
    """(Defects 6 and 14)"""
    X, y = data()
    if cls is MLPClassifier:
        y = np.digitize(y, [-0.5, 0.5])
    settings = dict(solver=solver, batch_size=7, random_state=0, tol=0, learning_rate=learning_rate)
    whole = cls(**settings, max_iter=9, n_iter_no_change=np.inf).fit(X, y)
    parts = cls(**settings)
    for _ in range(9):
        parts.partial_fit(X, y, *([None, [0, 1, 2]] if cls is MLPClassifier else []))
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.n_iter_ == len(parts.loss_curve_) == 9 and parts.t_ == whole.t_
    for a, b in zip(whole.coefs_, parts.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
    whole.partial_fit(X, y), parts.partial_fit(X, y)
    assert parts.loss_curve_ == whole.loss_curve_ and whole.n_iter_ == parts.n_iter_ == 10


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_is_raised_and_leaves_whole_steps():
    """(Defect 8)"""
    X, y = data(2000)
    model = MLPRegressor(max_iter=10**7, n_iter_no_change=np.inf, random_state=0)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert len(model.loss_curve_) == model.n_iter_ > 0


@pytest.mark.parametrize("labels", [2, 3, "multilabel"])
@pytest.mark.parametrize("output_activation", [None, "logistic"])
def test_log_probabilities_are_finite(labels, output_activation):
    """(Defect 10)"""
    X, y = data()
    if labels == "multilabel":
        y = np.stack([y > 0, y < 0.3], axis=1).astype(int)
    else:
        y = np.digitize(y, [-0.5, 0.5][: labels - 1])
    model = MLPClassifier(max_iter=20, random_state=0, output_activation=output_activation).fit(
        X, y
    )
    np.testing.assert_allclose(
        np.exp(model.predict_log_proba(X)), model.predict_proba(X), rtol=1e-12
    )
    model.coefs_[-1][:] *= 1e5
    log_P = model.predict_log_proba(X)
    assert np.isfinite(log_P).all() and log_P.min() < -1e4
    assert np.isfinite(np.log(model.predict_proba(X))).all()
    with np.errstate(all="raise", under="ignore"):
        model.predict_log_proba(X)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_alpha_can_be_independent_of_the_batch_size(solver):
    """(Defect 11, behind an option here)"""
    X, y = np.zeros((40, 2)), np.zeros(40)
    norms = {}
    for scaling in ("none", "batch"):
        for rows in (1, 4):
            model = MLPRegressor(
                solver="sgd",
                momentum=0,
                alpha=0.5,
                alpha_scaling=scaling,
                batch_size=10,
                hidden_layer_sizes=(),
                learning_rate_init=0.1,
                max_iter=4 // rows,
                n_iter_no_change=np.inf,
                random_state=0,
            ).fit(np.repeat(X, rows, 0), np.repeat(y, rows, 0))
            norms[scaling, rows] = np.abs(model.coefs_[0]).sum()
    assert norms["none", 1] == pytest.approx(norms["none", 4], rel=1e-12)
    start = norms["none", 1] / (1 - 0.1 * 0.5) ** 16
    assert norms["batch", 1] == pytest.approx(start * (1 - 0.1 * 0.5 / 10) ** 16, rel=1e-12)


@pytest.mark.parametrize(
    "change",
    [dict(hidden_layer_sizes=(6,)), dict(hidden_layer_sizes=(5, 5)), dict(activation="tanh")],
)
def test_other_layers_after_a_warm_start_are_an_error(change):
    """(Defect 12)"""
    X, y = data()
    model = MLPRegressor(hidden_layer_sizes=5, warm_start=True, max_iter=2).fit(X, y)
    model.set_params(**change)
    with pytest.raises(ValueError, match="expected the same with warm_start=True"):
        model.fit(X, y)
    model.set_params(warm_start=False).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_learning_rate_changed_between_calls_is_honoured(solver):
    """(Defect 13)"""
    X, y = data()
    model = MLPRegressor(solver=solver, momentum=0, random_state=0).partial_fit(X, y)
    before = model.coefs_[0].copy()
    model.set_params(learning_rate_init=1e-13).partial_fit(X, y)
    assert model.learning_rate_ == 1e-13
    assert np.abs(model.coefs_[0] - before).max() < 1e-11


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs", "rprop"])
def test_the_pickle_holds_the_weights_once(solver):
    """(Defect 17)"""
    X, y = data()
    model = MLPRegressor(
        solver=solver, hidden_layer_sizes=(400, 30), max_iter=5, warm_start=solver == "lbfgs"
    ).fit(X, y)
    weights = sum(a.nbytes for a in model.coefs_ + model.intercepts_)
    assert len(pickle.dumps(model)) < weights + 6000


def test_partial_fit_after_a_fit_that_stopped_early():
    """(Issue 25693)"""
    X, y = data()
    model = MLPRegressor(early_stopping=True, random_state=0, max_iter=5).fit(X, y)
    n_epochs = len(model.loss_curve_)
    model.partial_fit(X, y)
    assert len(model.loss_curve_) == n_epochs + 1


def test_one_iteration_of_lbfgs_at_a_time_is_one_long_run():
    """(Issue 13656)"""
    X, y = data()
    settings = dict(solver="lbfgs", hidden_layer_sizes=5, random_state=0, tol=0)
    whole = MLPRegressor(**settings, max_iter=12).fit(X, y)
    parts = MLPRegressor(**settings, max_iter=1, warm_start=True)
    for _ in range(12):
        parts.fit(X, y)
    np.testing.assert_array_equal(whole.coefs_[0], parts.coefs_[0])
    assert whole.loss_curve_ == parts.loss_curve_


def test_a_small_change_of_the_loss_does_not_end_lbfgs():
    """scipy's ftol does, and cannot be reached from the peer's parameters."""
    X, y = data()
    model = MLPRegressor(
        solver="lbfgs", hidden_layer_sizes=(), alpha=1e-3, tol=1e-12, max_iter=1000
    ).fit(X, y)
    assert model.history_["gradient_norm"][-1] < 1e-10
    assert model.history_.stop_reason == "converged"


def test_a_validation_set_of_one_row_is_an_error_that_says_how_many_there_are():
    """(Issue 24713)"""
    X, y = data(10)
    with pytest.raises(ValueError, match=r"The validation set is too small.*has 1 of 10 rows"):
        MLPRegressor(early_stopping=True).fit(X, y)


def test_a_read_only_memmap_is_not_copied_for_early_stopping(tmp_path):
    X, y = data(20_000)
    X = np.tile(X, (1, 50))
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    MLPRegressor(early_stopping=True, max_iter=1, hidden_layer_sizes=2).fit(mapped, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 4


def test_predicting_from_many_threads_is_safe():
    """(Issue 18530)"""
    X, y = data(500)
    model = MLPRegressor(max_iter=3, random_state=0).fit(X, y)
    expected = model.predict(X)
    wrong = []

    def work():
        for _ in range(50):
            if not np.array_equal(model.predict(X), expected):
                wrong.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_max_fun_ends_lbfgs_and_is_told():
    X, y = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning, match="max_fun=7 was reached"):
            MLPRegressor(solver="lbfgs", max_fun=7, tol=0).fit(X, y)


def test_an_error_before_the_first_epoch_leaves_the_estimator_as_it_was():
    X, y = data()
    model = MLPRegressor(loss="poisson", max_iter=3, random_state=0).fit(X, np.abs(y))
    before, expected = model.__dict__.copy(), model.predict(X)
    for bad_X, bad_y in ((X[:, :3], -np.abs(y)), (X, -np.abs(y) - 1)):
        with pytest.raises(ValueError, match="expected targets at least 0"):
            model.fit(bad_X, bad_y)
    assert model.__dict__ == before
    np.testing.assert_array_equal(model.predict(X), expected)
    fresh = MLPRegressor(loss="poisson")
    with pytest.raises(ValueError, match="expected targets at least 0"):
        fresh.fit(X, y - 10)
    assert not hasattr(fresh, "coefs_")


def test_warnings_point_at_the_line_that_called_fit():
    X, y = data()
    for model in (
        MLPRegressor(max_iter=1),
        MLPRegressor(solver="lbfgs", max_iter=1),
        MLPRegressor(batch_size=1000, max_iter=500, tol=10),
    ):
        with pytest.warns(UserWarning, match="reached|clipped") as caught:
            model.fit(X, y)
        assert [w.filename for w in caught] == [__file__]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_ends_restarts_in_threads():
    X, y = data(2000)
    model = MLPRegressor(
        max_iter=10**7, n_iter_no_change=np.inf, random_state=0, restarts=4, n_jobs=2
    )
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
