"""What the estimators have that scikit-learn's have not."""

import inspect
import json
import pickle
import time

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")
from scipy.sparse import csr_array
from sklearn.datasets import load_iris
from sklearn.metrics import mean_poisson_deviance, mean_squared_error, r2_score
from sklearn.model_selection import cross_val_score
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

import cbackprop
from cbackprop import Huber, Quantile
from cbackprop.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(n_rows=150, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n_rows, 3))
    return X, np.sin(3 * X[:, 0]) + X[:, 1] ** 2


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_rprop_learns_without_a_learning_rate(cls):
    X, y = data()
    if cls is MLPClassifier:
        y = np.digitize(y, [0, 0.8])
    model = cls(
        solver="rprop", hidden_layer_sizes=10, activation="tanh", alpha=0, random_state=0
    ).fit(X, y)
    assert model.score(X, y) > 0.97
    assert not hasattr(model, "partial_fit")
    more = cls(**{**model.get_params(), "warm_start": True, "max_iter": 5, "tol": 0})
    whole = cls(**{**more.get_params(), "max_iter": 15}).fit(X, y)
    for _ in range(3):
        more.fit(X, y)
    np.testing.assert_array_equal(more.coefs_[0], whole.coefs_[0])


@pytest.mark.parametrize("solver", ["adamw", "nadam"])
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_adams_kin_learn_and_go_on(cls, solver):
    X, y = data()
    if cls is MLPClassifier:
        y = np.digitize(y, [0, 0.8])
    settings = dict(solver=solver, hidden_layer_sizes=20, activation="tanh", random_state=0)
    model = cls(**settings, learning_rate_init=0.02, max_iter=300, tol=0, n_iter_no_change=300)
    model.fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.learning_rate_ == 0.02
    parts, whole = (cls(**settings, shuffle=False) for _ in range(2))
    for _ in range(3):
        parts.partial_fit(X, y, **({"classes": [0, 1, 2]} if cls is MLPClassifier else {}))
    whole.set_params(max_iter=3).fit(X, y)
    np.testing.assert_array_equal(parts.coefs_[0], whole.coefs_[0])
    np.testing.assert_array_equal(parts.intercepts_[1], whole.intercepts_[1])


def test_adamws_alpha_is_its_weight_decay():
    X, y = data()
    settings = dict(
        solver="adamw", hidden_layer_sizes=4, max_iter=1, batch_size=150, random_state=0
    )
    rate = 0.1
    free, halved, whole = (
        MLPRegressor(alpha=alpha, learning_rate_init=rate, **settings).fit(X, y)
        for alpha in (0, 1, 2)
    )
    for W, W_1, W_2 in zip(free.coefs_, halved.coefs_, whole.coefs_, strict=True):
        assert np.abs(W_1 - W).min() > 0
        np.testing.assert_allclose(W_2 - W, 2 * (W_1 - W), rtol=1e-9, atol=1e-15)
    for b, b_2 in zip(free.intercepts_, whole.intercepts_, strict=True):
        np.testing.assert_array_equal(b, b_2)
    assert whole.loss_ == free.loss_  # no penalty is in it
    with pytest.raises(ValueError, match=r"^alpha is 10: with a .* an alpha below 10"):
        whole.set_params(alpha=10).fit(X, y)


def test_losses_find_what_each_is_for():
    """Without inputs that matter: the mean, the median, a quantile."""
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.uniform(0, 1, 400), [50.0] * 5])
    X = np.zeros((len(y), 1))
    settings = dict(hidden_layer_sizes=(), solver="rprop", alpha=0, max_iter=400, tol=0)
    expected = {
        "squared_error": y.mean(),
        "absolute_error": np.median(y),
        Quantile(quantile=0.9): np.quantile(y, 0.9),
        "quantile": np.median(y),
    }
    for loss, value in expected.items():
        model = MLPRegressor(loss=loss, **settings).fit(X, y)
        assert model.predict([[0.0]]) == pytest.approx(value, abs=0.02), loss
    near, far = (
        MLPRegressor(loss=Huber(threshold=t), **settings).fit(X, y).predict([[0.0]])[0]
        for t in (0.01, 1e3)
    )
    assert near == pytest.approx(np.median(y), abs=0.05) and far == pytest.approx(y.mean())


def test_a_loss_of_ones_own():
    X, y = data()

    def squared(Y, Y_hat):
        d = Y_hat - Y
        return 0.5 * (d**2).mean(), d / len(d)

    settings = dict(random_state=0, max_iter=10, batch_size=32)
    mine = MLPRegressor(loss=squared, **settings).fit(X, y)
    named = MLPRegressor(**settings).fit(X, y)
    np.testing.assert_allclose(mine.loss_curve_, named.loss_curve_, rtol=1e-12)


def test_poisson_refuses_negative_counts_and_predicts_rates():
    X, y = data()
    counts = np.random.default_rng(0).poisson(np.exp(y))
    model = MLPRegressor(loss="poisson", solver="lbfgs", random_state=0).fit(X, counts)
    assert model.out_activation_ == "exp" and (model.predict(X) > 0).all()
    assert mean_poisson_deviance(counts, model.predict(X)) < 1
    with pytest.raises(ValueError, match="expected targets at least 0"):
        model.fit(X, -counts)


def test_an_activation_for_each_layer_and_one_for_the_output():
    X, y = data()
    model = MLPRegressor(
        hidden_layer_sizes=(4, 3),
        activation=("tanh", "logistic"),
        output_activation="tanh",
        max_iter=3,
    ).fit(X, y / 3)
    hidden = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    hidden = 1 / (1 + np.exp(-(hidden @ model.coefs_[1] + model.intercepts_[1])))
    expected = np.tanh(hidden @ model.coefs_[2] + model.intercepts_[2]).ravel()
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12)
    assert model.out_activation_ == "tanh"
    positive = MLPRegressor(output_activation="exp", max_iter=3).fit(X, y + 2)
    assert (positive.predict(X) > 0).all()


def test_each_class_against_the_others():
    X, y = load_iris(return_X_y=True)
    model = MLPClassifier(solver="lbfgs", output_activation="logistic", random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95 and model.out_activation_ == "logistic"
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict_proba(X).argmax(axis=1), model.predict(X))
    with pytest.raises(ValueError, match="output_activation is 'softmax'"):
        MLPClassifier(output_activation="softmax").fit(X, y > 0)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5, 2: 1.0}])
def test_class_weights_are_sample_weights(solver, class_weight):
    X, y = load_iris(return_X_y=True)
    X, y = X[20:], y[20:]
    settings = dict(solver=solver, random_state=0, max_iter=10)
    mine = MLPClassifier(class_weight=class_weight, **settings).fit(X, y)
    other = MLPClassifier(**settings).fit(
        X, y, sample_weight=compute_sample_weight(class_weight, y)
    )
    np.testing.assert_array_equal(mine.coefs_[0], other.coefs_[0])


def test_balanced_classes_in_parts_are_refused_with_the_way_to_mend_it():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="compute_class_weight on all labels"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])
    weights = dict(enumerate(compute_class_weight("balanced", classes=np.unique(y), y=y)))
    MLPClassifier(class_weight=weights).partial_fit(X, y, classes=[0, 1, 2])


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_validation_data_are_looked_at_and_take_the_place_of_a_part(solver):
    X, y = data()
    train, held_out = (X[:100], y[:100]), (X[100:], y[100:])
    model = MLPRegressor(solver=solver, random_state=0, max_iter=30, hidden_layer_sizes=8, tol=1e-9)
    watched = MLPRegressor(**model.get_params()).fit(*train, validation_data=held_out)
    model.fit(*train)
    np.testing.assert_array_equal(model.coefs_[0], watched.coefs_[0])
    assert len(watched.validation_loss_curve_) == watched.n_iter_
    error = 0.5 * mean_squared_error(held_out[1], watched.predict(held_out[0]))
    assert watched.validation_loss_curve_[-1] == pytest.approx(error, rel=1e-10)
    assert watched.validation_scores_[-1] == pytest.approx(watched.score(*held_out), rel=1e-10)
    assert watched.best_validation_score_ is None and model.validation_loss_curve_ is None

    stopped = MLPRegressor(**{**model.get_params(), "early_stopping": True})
    stopped.fit(*train, validation_data=held_out)
    assert stopped.score(*held_out) == pytest.approx(max(stopped.validation_scores_), rel=1e-9)
    assert stopped.best_validation_score_ == max(stopped.validation_scores_)
    weighted = MLPRegressor(**stopped.get_params()).fit(
        *train, validation_data=(*held_out, np.linspace(0, 1, len(held_out[1])))
    )
    assert weighted.validation_scores_[0] != stopped.validation_scores_[0]
    with pytest.raises(ValueError, match=r"expected a tuple \(X, y\)"):
        model.fit(*train, validation_data=0.2)


def test_early_stopping_by_another_score():
    X, y = load_iris(return_X_y=True)
    settings = dict(early_stopping=True, random_state=0, max_iter=40, validation_fraction=0.3)
    plain = MLPClassifier(**settings).fit(X, y)
    named = MLPClassifier(scoring="accuracy", **settings).fit(X, y)
    assert named.validation_scores_ == pytest.approx(plain.validation_scores_)
    by_loss = MLPClassifier(scoring="neg_log_loss", **settings).fit(X, y)
    np.testing.assert_allclose(
        by_loss.validation_scores_, -np.array(by_loss.validation_loss_curve_), rtol=1e-10
    )
    assert by_loss.best_validation_score_ == max(by_loss.validation_scores_)
    assert by_loss.validation_scores_ != plain.validation_scores_


def test_restarts_keep_the_best_and_begin_with_the_single_fit():
    X, y = data(60)
    settings = dict(hidden_layer_sizes=3, max_iter=40, solver="lbfgs", activation="tanh")
    single = MLPRegressor(random_state=0, **settings).fit(X, y)
    kept = MLPRegressor(random_state=0, restarts=6, **settings).fit(X, y)
    assert kept.loss_ < single.loss_
    threaded = MLPRegressor(random_state=0, restarts=6, n_jobs=2, **settings).fit(X, y)
    np.testing.assert_array_equal(kept.coefs_[0], threaded.coefs_[0])
    one = MLPRegressor(random_state=0, restarts=1, **settings).fit(X, y)
    np.testing.assert_array_equal(one.coefs_[0], single.coefs_[0])
    stopped = MLPRegressor(
        random_state=0, restarts=3, early_stopping=True, max_iter=30, hidden_layer_sizes=3
    ).fit(X, y)
    assert stopped.best_validation_score_ == max(stopped.validation_scores_)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_restart_that_diverges_leaves_the_others(n_jobs):
    X, y = data(60)
    spoilt = []

    def loss(Y, Y_hat):
        if not spoilt:  # the first call
            spoilt.append(None)
            return np.nan, Y_hat
        d = Y_hat - Y
        return 0.5 * (d**2).mean(), d / len(d)

    settings = dict(hidden_layer_sizes=3, random_state=0, max_iter=5, restarts=4, n_jobs=n_jobs)
    model = MLPRegressor(loss=loss, **settings).fit(X, y)
    assert model.n_iter_ == 5 and np.isfinite(model.loss_)
    if n_jobs is None:  # the first restart, which is the single fit
        single = MLPRegressor(hidden_layer_sizes=3, random_state=0, max_iter=5).fit(X, y)
        assert not np.array_equal(model.coefs_[0], single.coefs_[0])
    model.set_params(loss=lambda Y, Y_hat: (np.nan, Y_hat))
    with pytest.raises(cbackprop.DivergenceError, match=r"In each of 4 restarts; of the first:"):
        model.fit(X, y)
    assert np.isfinite(model.predict(X)).all()


def test_an_error_in_a_restart_ends_all():
    X, y = data(60)
    with pytest.raises(ZeroDivisionError):
        MLPRegressor(loss=lambda Y, Y_hat: 1 / 0, restarts=4, n_jobs=2).fit(X, y)


def test_scaling_inside_the_model():
    X, y = data()
    X, y = 1000 + 50 * X, 5000 + 800 * y
    settings = dict(solver="lbfgs", random_state=0, max_iter=100, activation="tanh")
    plain = MLPRegressor(**settings).fit(X, y)
    for kind in ("standard", "minmax"):
        scaled = MLPRegressor(scaling=kind, **settings).fit(X, y)
        assert scaled.score(X, y) > 0.99 > plain.score(X, y)
    labels = (y > 5000).astype(int)
    scaled = MLPClassifier(scaling="standard", **settings).fit(X, labels)
    assert scaled.score(X, labels) > 0.98
    np.testing.assert_allclose(
        scaled.predict_log_proba(X), np.log(scaled.predict_proba(X)), atol=1e-9
    )
    import scipy.sparse

    with pytest.raises(ValueError, match="scaling is 'standard' and X is sparse"):
        MLPRegressor(scaling="standard").fit(scipy.sparse.csr_array(X), y)


@pytest.mark.parametrize("change", [None, "minmax"])
def test_another_scaling_after_a_warm_start_is_an_error(change):
    X, y = data()
    model = MLPRegressor(scaling="standard", warm_start=True, max_iter=2).fit(X, y)
    model.set_params(scaling=change)
    for call in (model.fit, model.partial_fit):
        with pytest.raises(
            ValueError, match=rf"scaling is {change!r} and that which is fitted 'standard'"
        ):
            call(X, y)
    model.set_params(warm_start=False).fit(X, y)
    again = pickle.loads(pickle.dumps(model.set_params(warm_start=True)))
    again.fit(X, y)


def test_callbacks_are_told_and_may_stop():
    X, y = data()
    seen = []

    class Stop:
        def on_epoch_end(self, trainer, record):
            seen.append(record["loss"])
            return len(seen) == 4

    model = MLPRegressor(callbacks=Stop(), random_state=0).fit(X, y)
    assert model.loss_curve_ == seen and model.n_iter_ == 4
    assert model.history_.stop_reason == "callback"


def test_a_fit_ends_in_time():
    X, y = data(5000)
    model = MLPRegressor(max_time=0.2, max_iter=10**7, tol=0, n_iter_no_change=np.inf)
    begin = time.monotonic()
    model.fit(X, y)
    assert time.monotonic() - begin < 30 and model.history_.stop_reason == "seconds"


def test_missing_targets_add_nothing():
    X, y = data()
    Y = np.stack([y, -y], axis=1)
    Y[::3, 0] = np.nan
    Y[1::4, 1] = np.nan
    model = MLPRegressor(
        missing="ignore",
        solver="lbfgs",
        random_state=0,
        hidden_layer_sizes=10,
        activation="tanh",
    ).fit(X, Y)
    guess = model.predict(X)
    np.testing.assert_allclose(guess[:, 0], y, atol=0.15)
    with pytest.raises(ValueError, match="contains NaN"):
        MLPRegressor().fit(X, Y)
    early = MLPRegressor(missing="ignore", early_stopping=True, random_state=0, max_iter=5)
    assert np.isfinite(early.fit(X, Y).validation_scores_).all()
    alone = np.where(np.isnan(Y[:, 0]), np.nan, y)
    kept = ~np.isnan(alone)
    one = MLPRegressor(missing="ignore", solver="lbfgs", alpha=0, max_iter=5, random_state=0)
    assert one.fit(X, alone).loss_ == pytest.approx(
        0.5 * ((one.predict(X) - y)[kept] ** 2).sum() / len(y), rel=1e-10
    )


def missing_targets(n_outputs=2):
    X, y = data()
    Y = np.stack([50 + 20 * y, -y], axis=1)[:, :n_outputs]
    Y[::3, 0] = np.nan
    Y[1::4, -1] = np.nan
    return X, Y if n_outputs > 1 else Y[:, 0]


@pytest.mark.parametrize("kind", ["standard", "minmax"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_targets_are_scaled_by_those_that_are_known(kind, n_outputs):
    X, Y = missing_targets(n_outputs)
    model = MLPRegressor(
        missing="ignore", scaling=kind, solver="lbfgs", hidden_layer_sizes=6, random_state=0
    ).fit(X, Y)
    assert model.score(X, Y) > 0.97
    known = ~np.isnan(Y.reshape(len(X), -1)[:, 0])
    alone = MLPRegressor(scaling=kind, max_iter=1).fit(X[known], Y.reshape(len(X), -1)[known, 0])
    for name in ("shift", "scale"):
        scalings = (getattr(m._network.output_scaling, name)[0] for m in (model, alone))
        assert next(scalings) == pytest.approx(next(scalings))
    Y = np.stack([Y.reshape(len(X), -1)[:, 0], np.full(len(X), np.nan)], axis=1)
    assert np.isfinite(MLPRegressor(**model.get_params()).fit(X, Y).predict(X)).all()


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_score_is_of_the_targets_that_are_known(n_outputs):
    X, Y = missing_targets(n_outputs)
    settings = dict(missing="ignore", early_stopping=True, random_state=0, max_iter=5)
    model = MLPRegressor(**settings).fit(X, Y, validation_data=(X, Y))
    assert model.score(X, Y) == pytest.approx(model.validation_scores_[-1], rel=1e-9)
    table = np.isnan(Y.reshape(len(X), -1))
    by_column = [
        r2_score(column[known], guess[known])
        for column, guess, known in zip(
            Y.reshape(len(X), -1).T, model.predict(X).reshape(len(X), -1).T, ~table.T, strict=True
        )
    ]
    assert model.score(X, Y) == pytest.approx(np.mean(by_column), rel=1e-12)
    weight = np.linspace(0, 1, len(X))
    assert model.score(X, Y, sample_weight=weight) != model.score(X, Y)
    assert np.isfinite(cross_val_score(model, X, Y, cv=2)).all()


def test_a_scorer_sees_the_rows_whose_targets_are_known():
    X, Y = missing_targets()
    known = ~np.isnan(Y).any(axis=1)
    settings = dict(missing="ignore", early_stopping=True, random_state=0, max_iter=5)
    models = [
        MLPRegressor(scoring="neg_mean_absolute_error", **settings).fit(
            X, Y, sample_weight=np.ones(len(X)), validation_data=(X[rows], Y[rows])
        )
        for rows in (slice(None), known)
    ]
    assert models[0].validation_scores_ == pytest.approx(models[1].validation_scores_, rel=1e-12)
    assert len(MLPRegressor(scoring="r2", **settings).fit(X, Y).validation_scores_) == 5
    with pytest.raises(ValueError, match="scoring is 'r2' and each validation row lacks a target"):
        MLPRegressor(scoring="r2", **settings).fit(X, Y, validation_data=(X[~known], Y[~known]))


def test_no_target_at_all_is_an_error_except_in_a_part():
    X, y = data()
    model = MLPRegressor(missing="ignore", max_iter=2)
    with pytest.raises(ValueError, match="y is NaN in each row; expected a number in one at least"):
        model.fit(X, y * np.nan)
    with pytest.raises(ValueError, match="validation_data: y is NaN in each row"):
        model.fit(X, y, validation_data=(X, y * np.nan))
    model.partial_fit(X, y)
    before = model.coefs_[0].copy()
    model.set_params(alpha=0, momentum=0, solver="sgd").partial_fit(X, y * np.nan)
    np.testing.assert_array_equal(model.coefs_[0], before)


@pytest.mark.parametrize("n_rows", [20, 150])
def test_targets_out_of_reach_are_told_where_some_are_missing(n_rows):
    X, y = data(n_rows)
    y[[0, 7]] = np.nan
    with pytest.warns(UserWarning, match=r"y lies in .*but a logistic output") as caught:
        MLPRegressor(
            missing="ignore", output_activation="logistic", max_iter=2, restarts=3, n_jobs=2
        ).fit(X, y)
    assert [w.filename for w in caught if "lies in" in str(w.message)] == [__file__]
    assert f"{np.nanmax(y):g}]" in str(caught[0].message)


def test_the_deviations_of_outputs_are_refused_by_solvers_that_do_not_know_them():
    X, y = data(30)
    model = MLPRegressor(max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="return_std is True and the solver is 'adam'"):
        model.predict(X, return_std=True)


def test_the_history_is_drawn_and_written():
    X, y = data()
    model = MLPRegressor(early_stopping=True, random_state=0, max_iter=6).fit(X, y)
    assert {"loss", "learning_rate", "validation_loss"} <= set(model.history_)
    assert json.loads(model.history_.to_json())
    assert isinstance(model.history_, cbackprop.History)


def test_verbose_prints_what_the_peer_prints(capsys):
    from sklearn.neural_network import MLPRegressor as Peer

    X, y = data()
    settings = dict(verbose=True, random_state=0, early_stopping=True, n_iter_no_change=1, tol=0.3)
    printed = []
    for cls in (MLPRegressor, Peer):
        cls(**settings).fit(X, y)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] and "Iteration 1, loss" in printed[0]
    MLPRegressor(verbose=True, solver="lbfgs", max_iter=2).fit(X, y)
    assert "Iteration 2, loss" in capsys.readouterr().out


def test_scikit_learns_callbacks_are_told_of_each_epoch():
    callbacks = pytest.importorskip("sklearn.callback", reason="scikit-learn has them since 1.9")
    X, y = data()

    class Recorder:
        def __init__(self):
            self.scores, self.begun, self.ended, self.log = [], 0, 0, []

        def setup(self, estimator, context):
            self.log.append("setup")

        def teardown(self, estimator, context):
            self.log.append("teardown")

        def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
            self.begun += 1

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            self.ended += 1
            if context.task_name == "epoch" and fitted_estimator is not None:
                self.scores.append(fitted_estimator.score(X, y))
            return len(self.scores) == 5

    recorder = Recorder()
    assert isinstance(recorder, callbacks.FitCallback)
    model = MLPRegressor(random_state=0, learning_rate_init=0.01).set_callbacks(recorder)
    model.fit(X, y)
    assert model.n_iter_ == 5 and recorder.log == ["setup", "teardown"]
    assert recorder.scores[-1] == model.score(X, y) and len(set(recorder.scores)) == 5
    assert recorder.begun == recorder.ended == 5 + 1 + 1  # the fit, and an epoch that never came


def test_the_additions_have_defaults_that_change_nothing():
    for cls in (MLPClassifier, MLPRegressor):
        parameters = inspect.signature(cls).parameters
        for name in ("scaling", "scoring", "callbacks", "max_time", "output_activation"):
            assert parameters[name].default is None
        assert parameters["restarts"].default == 1


def test_what_is_watched_may_change_between_warm_starts():
    X, y = data()
    model = MLPRegressor(warm_start=True, max_iter=4, random_state=0, alpha_scaling="none")
    for early_stopping in (False, True, True, False, False):
        model.set_params(early_stopping=early_stopping).fit(X, y)
        assert model.n_iter_ == 4
        assert (model.best_loss_ is None) == early_stopping


# -- Levenberg-Marquardt and the evidence ----------------------------------------------------------


def curve(n_rows=150, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n_rows, 2))
    return X, np.sin(3 * X[:, 0]) * X[:, 1] + noise * rng.normal(size=n_rows)


def test_lm_is_the_trainers_from_weights_by_nguyen_and_widrow():
    X, y = curve()
    settings = dict(hidden_layer_sizes=6, activation="tanh", random_state=3)
    model = MLPRegressor(solver="lm", alpha=0.01, max_iter=12, **settings).fit(X, y)
    net = cbackprop.Network(
        (2, 6, 1),
        activation="tanh",
        output_activation="identity",
        init="nguyen_widrow",
        seed=int(np.random.RandomState(3).randint(2**31)),
    )
    trainer = cbackprop.Trainer(net, solver=cbackprop.LevenbergMarquardt(), l2=0.01 / len(X))
    history = trainer.fit(X, y, epochs=12)
    for W, ours in zip(model.coefs_, net.weights, strict=True):
        np.testing.assert_array_equal(W, ours)
    assert model.n_iter_ == history.n_epochs
    assert model.score(X, y) > 0.97
    np.testing.assert_array_equal(model.history_["mu"], history["mu"])


def test_lm_classifies_and_stops_early():
    X, _ = curve(300)
    y = np.where(np.hypot(*X.T) > 0.7, "out", "in")
    settings = dict(solver="lm", hidden_layer_sizes=6, activation="tanh", random_state=0)
    model = MLPClassifier(early_stopping=True, max_iter=100, alpha=0.1, **settings).fit(X, y)
    assert model.score(X, y) > 0.9
    assert len(model.validation_scores_) == model.n_iter_ < 100
    with pytest.raises(AttributeError, match="partial_fit"):
        model.partial_fit(X, y)


def test_br_returns_error_bars():
    X, y = curve()
    model = MLPRegressor(
        solver="br", hidden_layer_sizes=8, activation="tanh", random_state=0, max_iter=100
    ).fit(X, y)
    Y_hat, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(Y_hat, model.predict(X))
    assert std.shape == Y_hat.shape
    X_new, y_new = curve(2000, seed=1)
    Y_hat, std = model.predict(X_new, return_std=True)
    assert 0.9 < np.mean(np.abs(y_new - Y_hat) < 2 * std) < 0.99
    again = pickle.loads(pickle.dumps(model)).predict(X, return_std=True)
    np.testing.assert_array_equal(again, model.predict(X, return_std=True))
    # The penalty is the solver's own.
    other = MLPRegressor(
        solver="br", hidden_layer_sizes=8, activation="tanh", random_state=0, max_iter=100, alpha=9
    ).fit(X, y)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_br_is_for_regressions():
    X, y = curve()
    with pytest.raises(ValueError, match="its noise is Gaussian"):
        MLPClassifier(solver="br").fit(X, y > 0)
    model = MLPRegressor(solver="lm", hidden_layer_sizes=3, max_iter=3).fit(X, y)
    with pytest.raises(ValueError, match="expected one that does \\('br'\\)"):
        model.predict(X, return_std=True)


@pytest.mark.parametrize("solver", ["lm", "br"])
def test_a_weight_is_a_number_of_rows(solver):
    X, y = curve()
    w = np.random.default_rng(1).integers(0, 4, len(y))
    settings = dict(
        solver=solver, hidden_layer_sizes=5, activation="tanh", random_state=0, max_iter=10
    )
    one = MLPRegressor(**settings).fit(X, y, sample_weight=w)
    other = MLPRegressor(**settings).fit(np.repeat(X, w, axis=0), np.repeat(y, w))
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-7, atol=1e-9)
    if solver == "br":
        for got, expected in zip(
            one.predict(X, return_std=True), other.predict(X, return_std=True), strict=True
        ):
            np.testing.assert_allclose(got, expected, rtol=1e-6)
        for name in ("alpha", "beta", "effective_parameters", "penalty"):
            np.testing.assert_allclose(one.history_[name], other.history_[name], rtol=1e-6)


# -- What is said of mistakes, in the words of the estimators --------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda X, y: (X,), "validation_data has 1 item; expected a tuple"),
        (lambda X, y: (X, y, None, None), "validation_data has 4 items; expected a tuple"),
        (lambda X, y: (X * np.nan, y), "validation_data: Input X contains NaN"),
        (lambda X, y: (X[:, :2], y), "validation_data: X has 2 features"),
        (lambda X, y: (X, y[:3]), "validation_data: Found input variables with inconsistent"),
        (lambda X, y: (X, y, np.ones(3)), "validation_data: sample_weight.shape"),
        (lambda X, y: (X, y, -np.ones(len(y))), r"validation_data\[2\]\[0\] is -1.0"),
        (lambda X, y: (X, y, np.zeros(len(y))), "validation_data"),
        (lambda X, y: (X, np.stack([y, y], 1)), "validation_data: y has 2 columns; expected 1"),
        (lambda X, y: (X[:1], y[:1]), "validation_data has 1 row; expected at least 2"),
    ],
)
def test_what_is_wrong_with_validation_data_says_so(given, words):
    X, y = data()
    with pytest.raises(ValueError, match=words):
        MLPRegressor(early_stopping=True, max_iter=3).fit(X, y, validation_data=given(X, y))


def test_a_score_that_is_no_number_is_an_error():
    X, y = load_iris(return_X_y=True)
    model = MLPClassifier(early_stopping=True, scoring=lambda model, X, y: np.nan, max_iter=3)
    with pytest.raises(ValueError, match="the validation score is nan; expected a number"):
        model.fit(X, y)
    assert not hasattr(model, "coefs_")


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_a_class_weight_below_0_is_named(weight):
    X, y = load_iris(return_X_y=True)
    model = MLPClassifier(class_weight={0: 1.0, 1: weight, 2: 1.0}, max_iter=2)
    with pytest.raises(ValueError, match=rf"class_weight gives row 50 the weight {weight}; exp"):
        model.fit(X, y)
    model.set_params(class_weight={0: 0, 1: 0, 2: 0})
    with pytest.raises(ValueError, match=r"weights, class_weight's included, sum to 0"):
        model.fit(X, y)


@pytest.mark.parametrize("loss", ["huber", Quantile(quantile=0.3), lambda Y, Y_hat: None])
@pytest.mark.parametrize("solver", ["lm", "br"])
def test_a_loss_that_a_solver_does_not_take_is_told_by_the_parameters_names(solver, loss):
    X, y = data()
    with pytest.raises(ValueError, match=rf"solver is '{solver}' and loss .*solver='lbfgs' takes"):
        MLPRegressor(solver=solver, loss=loss).fit(X, y)


def test_messages_have_the_parameters_names():
    X, y = data()
    with pytest.raises(
        ValueError, match=r"loss is 'poisson' and output_activation 'logistic'; expected 'exp' or"
    ):
        MLPRegressor(loss="poisson", output_activation="logistic").fit(X, np.abs(y))
    with pytest.raises(cbackprop.DivergenceError, match="Use a smaller learning_rate_init") as told:
        MLPRegressor(solver="sgd", learning_rate_init=1e8, activation="identity").fit(X, y)
    assert "learning_rate=" not in str(told.value)
    with pytest.raises(MemoryError, match=r"^solver='lm' with .*Use solver='lbfgs'"):
        MLPClassifier(solver="lm", hidden_layer_sizes=10**5).fit(X, np.digitize(y, [0, 0.8]))


def test_error_bars_are_the_fits_whatever_the_parameters_say_since():
    X, y = curve()
    settings = dict(hidden_layer_sizes=3, activation="tanh", random_state=0, max_iter=10)
    model = MLPRegressor(solver="br", **settings).fit(X, y)
    expected = model.predict(X, return_std=True)
    sparse = model.predict(csr_array(X), return_std=True)
    np.testing.assert_array_equal(sparse, expected)
    np.testing.assert_array_equal(
        model.set_params(solver="adam").predict(X, return_std=True), expected
    )
    other = MLPRegressor(**settings).fit(X, y).set_params(solver="br")
    with pytest.raises(ValueError, match="the last fit was by another solver; fit again"):
        other.predict(X, return_std=True)
    model.coefs_[0][:] += 1
    with pytest.raises(ValueError, match="have changed since; fit with solver='br' again"):
        model.predict(X, return_std=True)


def test_verbose_restarts_say_which_they_are(capsys):
    X, y = data()
    MLPRegressor(verbose=True, restarts=3, n_jobs=2, max_iter=2, random_state=0).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    expected = {f"Restart {k}: iteration {i}, loss =" for k in (1, 2, 3) for i in (1, 2)}
    assert {line.rpartition(" ")[0] for line in lines} == expected and len(lines) == 6
