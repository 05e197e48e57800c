"""The estimators against the installed scikit-learn: the same numbers from the same arguments.

Also, through public names, what scikit-learn's own tests assert of private attributes.
"""

import inspect
import itertools
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")
import sklearn.neural_network as peer
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

import cbackprop.sklearn as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = {
    "adam": dict(solver="adam", beta_1=0.8, epsilon=1e-6, learning_rate_init=0.01),
    "sgd": dict(solver="sgd", momentum=0, learning_rate_init=0.1),
    "momentum": dict(solver="sgd", nesterovs_momentum=False, learning_rate_init=0.05),
    "nesterov": dict(solver="sgd", learning_rate_init=0.05),
    "invscaling": dict(solver="sgd", learning_rate="invscaling", learning_rate_init=0.2),
    "adaptive": dict(solver="sgd", learning_rate="adaptive", learning_rate_init=0.2, tol=1e-3),
}


def regression(n_rows=103, n_outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n_rows, 4))
    Y = np.stack([np.sin(3 * X[:, k % 4]) + X[:, (k + 1) % 4] ** 2 for k in range(n_outputs)], 1)
    return X, Y[:, 0] if n_outputs == 1 else Y


def classes(n_classes=3, n_rows=103, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 4))
    score = X[:, 0] + X[:, 1] ** 2 + 0.5 * rng.standard_normal(n_rows)
    return X, np.searchsorted(np.quantile(score, np.arange(1, n_classes) / n_classes), score)


def both(name, **parameters):
    return getattr(ours, name)(**parameters), getattr(peer, name)(**parameters)


def assert_same(mine, theirs, loss_factor=1.0):
    """Every public number of the training."""
    assert mine.n_iter_ == theirs.n_iter_ and mine.t_ == theirs.t_
    np.testing.assert_allclose(
        mine.loss_curve_, loss_factor * np.array(theirs.loss_curve_), rtol=1e-10
    )
    assert mine.loss_ == pytest.approx(loss_factor * theirs.loss_, rel=1e-10)
    for a, b in itertools.zip_longest(
        mine.coefs_ + mine.intercepts_, theirs.coefs_ + theirs.intercepts_
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
        assert a.dtype == b.dtype
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(mine, name) == getattr(theirs, name), name
    for name in ("validation_scores_", "best_validation_score_", "best_loss_"):
        a, b = getattr(mine, name), getattr(theirs, name)
        assert (a is None) == (b is None), name
        if b is not None:
            factor = loss_factor if name == "best_loss_" else 1.0
            np.testing.assert_allclose(a, factor * np.array(b), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("alpha", "early_stopping"), [(0.0, True), (0.3, False)])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["multiclass", "binary", "regression"])
def test_trajectories_are_the_peers(kind, solver, early_stopping, alpha):
    X, y = regression() if kind == "regression" else classes(2 if kind == "binary" else 3)
    mine, theirs = both(
        "MLPRegressor" if kind == "regression" else "MLPClassifier",
        **{
            "hidden_layer_sizes": (7, 5),
            "activation": "tanh",
            "alpha": alpha,
            "batch_size": 16,  # the last of an epoch is shorter
            "max_iter": 15,
            "n_iter_no_change": 2,
            "random_state": 3,
            "early_stopping": early_stopping,
            **SOLVERS[solver],
        },
    )
    assert_same(mine.fit(X, y), theirs.fit(X, y))
    np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("hidden", [(), 6, (6,), np.array([6, 3])], ids=str)
def test_every_activation_and_shape_starts_and_ends_like_the_peers(activation, hidden):
    X, y = classes()
    mine, theirs = both(
        "MLPClassifier",
        hidden_layer_sizes=hidden,
        activation=activation,
        max_iter=10,
        random_state=np.random.RandomState(5),
        learning_rate_init=0.01,
    )
    # One RandomState each, or the second fit would go on where the first ended.
    theirs.random_state = np.random.RandomState(5)
    assert_same(mine.fit(X, y), theirs.fit(X, y))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_without_shuffling_the_rows_keep_the_peers_order(shuffle, early_stopping):
    X, y = regression()
    mine, theirs = both(
        "MLPRegressor",
        max_iter=5,
        batch_size=10,
        shuffle=shuffle,
        early_stopping=early_stopping,
        random_state=0,
        hidden_layer_sizes=5,
    )
    assert_same(mine.fit(X, y), theirs.fit(X, y))


def test_several_fits_from_one_stream_are_the_peers():
    """A full batch uses up as many draws as the peer's shuffles before it."""
    X, y = regression(n_rows=30)
    draws = []
    for module in (ours, peer):
        stream = np.random.RandomState(0)
        for batch_size in ("auto", 7):
            for early_stopping in (False, True):
                module.MLPRegressor(
                    random_state=stream,
                    max_iter=3,
                    batch_size=batch_size,
                    early_stopping=early_stopping,
                ).fit(X, y)
                draws.append(stream.uniform())
    assert draws[:4] == draws[4:]


def test_the_global_stream_and_generators_are_drawn_from():
    X, y = regression(n_rows=30)
    coefs = []
    for module in (ours, peer):
        np.random.seed(7)  # noqa: NPY002  (what random_state=None means)
        coefs.append(module.MLPRegressor(max_iter=2).fit(X, y).coefs_[0])
    np.testing.assert_allclose(*coefs, atol=1e-12)
    first, second = (
        ours.MLPRegressor(max_iter=2, random_state=np.random.default_rng(1)).fit(X, y)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])
    generator = first.random_state
    again = ours.MLPRegressor(max_iter=2, random_state=generator).fit(X, y)
    assert not np.array_equal(first.coefs_[0], again.coefs_[0])


def test_a_multi_output_regression_has_the_peers_weights_and_a_loss_that_agrees_with_them():
    """The peer's loss is the mean over outputs, its gradient that of the sum.  (Defect 1)"""
    X, Y = regression(n_outputs=3)
    mine, theirs = both(
        "MLPRegressor", random_state=0, max_iter=20, tol=0, alpha=0, hidden_layer_sizes=5
    )
    assert_same(mine.fit(X, Y), theirs.fit(X, Y), loss_factor=3)


def test_poisson_and_multilabel_are_the_peers():
    X, y = regression()
    counts = np.random.default_rng(0).poisson(np.exp(y))
    if "loss" in inspect.signature(peer.MLPRegressor).parameters:
        mine, theirs = both("MLPRegressor", loss="poisson", random_state=0, max_iter=20)
        assert_same(mine.fit(X, counts), theirs.fit(X, counts))
    X, Y = make_multilabel_classification(n_samples=60, n_labels=2, random_state=0)
    for early_stopping in (False, True):
        mine, theirs = both(
            "MLPClassifier", random_state=0, max_iter=20, early_stopping=early_stopping
        )
        assert_same(mine.fit(X, Y), theirs.fit(X, Y))
        np.testing.assert_array_equal(mine.predict(X), theirs.predict(X))
        np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("solver", ["adam", "sgd", "invscaling", "adaptive"])
def test_warm_starts_are_the_peers(solver):
    X, y = regression()
    mine, theirs = both(
        "MLPRegressor",
        random_state=0,
        warm_start=True,
        batch_size=20,
        hidden_layer_sizes=5,
        n_iter_no_change=2,
        max_iter=12,
        **SOLVERS[solver],
    )
    for _ in range(3):
        assert_same(mine.fit(X, y), theirs.fit(X, y))


def test_partial_fits_on_whole_batches_are_the_peers():
    """In mini-batches the peer repeats one order with an int seed; a RandomState goes on."""
    X, y = classes()
    for batch_size, states in (("auto", (0, 0)), (16, map(np.random.RandomState, (0, 0)))):
        mine, theirs = both("MLPClassifier", batch_size=batch_size, learning_rate_init=0.01)
        mine.random_state, theirs.random_state = states
        for _ in range(1 if batch_size == 16 else 8):
            mine.partial_fit(X, y, classes=[0, 1, 2])
            theirs.partial_fit(X, y, classes=[0, 1, 2])
        np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-10)
        np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], atol=1e-10)
        np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), atol=1e-10)


def test_partial_fit_after_fit_goes_on_with_the_optimiser_as_the_peers():
    X, y = regression(n_rows=50)
    mine, theirs = both("MLPRegressor", random_state=0, max_iter=10)
    for model in (mine, theirs):
        model.fit(X, y).partial_fit(X, y)
    np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], atol=1e-12)


def test_float32_stays_float32_and_near_the_peers():
    X, y = regression()
    mine, theirs = both("MLPRegressor", random_state=0, max_iter=20, hidden_layer_sizes=8)
    X = X.astype(np.float32)
    mine.fit(X, y), theirs.fit(X, y)
    assert mine.predict(X).dtype == mine.coefs_[0].dtype == np.float32
    np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], atol=1e-4)


def test_lbfgs_finds_the_peers_minimum_where_there_is_one():
    """Without hidden layers the objective is convex; with them each finds a minimum of its own."""
    X, y = classes()
    for alpha in (0.1, 10.0):
        mine, theirs = both(
            "MLPClassifier",
            solver="lbfgs",
            alpha=alpha,
            random_state=0,
            tol=1e-7,
            hidden_layer_sizes=(),
        )
        mine.fit(X, y), theirs.fit(X, y)
        assert mine.loss_ == pytest.approx(theirs.loss_, rel=1e-6) and mine.loss_ < theirs.loss_
        assert mine.loss_ == pytest.approx(objective(mine, X, y), rel=1e-12)
        np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], atol=1e-2)


def objective(model, X, y):
    """The log loss and the penalty, as scikit-learn defines them."""
    P = model.predict_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return -np.log(P).mean() + 0.5 * model.alpha / len(y) * sum((W**2).sum() for W in model.coefs_)


def test_parameters_and_defaults_are_the_peers():
    for name in ("MLPClassifier", "MLPRegressor"):
        mine = inspect.signature(getattr(ours, name)).parameters
        theirs = inspect.signature(getattr(peer, name)).parameters
        for parameter in theirs.values():
            assert mine[parameter.name].default == parameter.default, parameter


# --- scikit-learn's tests that reach into private attributes, through public ones -----------------


def worked_example(X, W1, b1, W2, b2, alpha, rate):
    """One step on one row of class 0: a logistic hidden layer and output, by hand."""
    h = 1 / (1 + np.exp(-(X @ W1 + b1)))
    o = 1 / (1 + np.exp(-(h @ W2 + b2)))
    delta_2 = o - 0
    delta_1 = delta_2 @ W2.T * h * (1 - h)
    return (
        W1 - rate * (X.T @ delta_1 + alpha * W1),
        b1 - rate * delta_1[0],
        W2 - rate * (h.T @ delta_2 + alpha * W2),
        b2 - rate * delta_2[0],
    )


def test_fit_is_a_worked_example():
    """For `test_fit`: its numbers, whose comments round them to three places."""
    X, y = np.array([[0.6, 0.8, 0.7]]), np.array([0])
    model = ours.MLPClassifier(
        solver="sgd",
        learning_rate_init=0.1,
        alpha=0.1,
        activation="logistic",
        hidden_layer_sizes=2,
        momentum=0,
    )
    model.partial_fit(X, y, classes=[0, 1])
    start = (
        np.array([[0.1, 0.2], [0.3, 0.1], [0.5, 0]]),
        np.array([0.1, 0.1]),
        np.array([[0.1], [0.2]]),
        np.array([1.0]),
    )
    model.coefs_ = [start[0].copy(), start[2].copy()]  # new arrays count as well as written ones
    for view, b in zip(model.intercepts_, (start[1], start[3]), strict=True):
        view[:] = b
    model.partial_fit(X, y)
    expected = worked_example(X, *start, alpha=0.1, rate=0.1)
    found = model.coefs_[0], model.intercepts_[0], model.coefs_[1], model.intercepts_[1]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(
        found[0], [[0.098, 0.195756], [0.2956664, 0.096008], [0.4939998, -0.002244]], atol=1.5e-3
    )
    np.testing.assert_allclose(found[1], [0.098333, 0.09626], atol=1.5e-3)
    np.testing.assert_allclose(found[2], [[0.04706], [0.154089]], atol=1.5e-3)
    np.testing.assert_allclose(found[3], [0.9235], atol=1.5e-3)
    assert model.predict_proba(X)[0, 1] == pytest.approx(0.739, abs=1.5e-3)


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_a_step_is_down_the_numerical_gradient(activation, n_labels):
    """For `test_gradient`: a step of plain SGD on all rows shows the gradient."""
    rng = np.random.RandomState(42)
    X = rng.rand(5, 10)
    y = 1 + np.mod(np.arange(5) + 1, n_labels)
    rate = 1e-3
    model = ours.MLPClassifier(
        activation=activation,
        hidden_layer_sizes=10,
        solver="sgd",
        momentum=0,
        alpha=0.3,
        learning_rate_init=rate,
        random_state=1,
    )
    model.partial_fit(X, y, classes=np.unique(y))
    arrays = model.coefs_ + model.intercepts_
    before = [array.copy() for array in arrays]
    numerical = []
    for array in arrays:
        slopes = np.empty(array.shape)
        for place in np.ndindex(array.shape):
            kept = array[place]
            losses = []
            for step in (1e-5, -1e-5):
                array[place] = kept + step
                losses.append(objective(model, X, y))
            array[place] = kept
            slopes[place] = (losses[0] - losses[1]) / 2e-5
        numerical.append(slopes)
    model.partial_fit(X, y)
    for array, start, slopes in zip(arrays, before, numerical, strict=True):
        np.testing.assert_allclose((start - array) / rate, slopes, atol=1e-7)


def test_the_learning_rate_of_a_warm_start():
    """For `test_learning_rate_warmstart`."""
    X, y = [[3, 2], [1, 6], [5, 6], [-2, -4]], [1, 1, 1, 0]
    for learning_rate in ("invscaling", "constant"):
        model = ours.MLPClassifier(
            solver="sgd",
            hidden_layer_sizes=4,
            learning_rate=learning_rate,
            max_iter=1,
            power_t=0.25,
            warm_start=True,
        )
        rates = [model.fit(X, y).learning_rate_ for _ in range(2)]
        if learning_rate == "constant":
            assert rates[0] == rates[1]
        else:
            assert rates[1] == model.learning_rate_init / pow(8 + 1, model.power_t)


def test_the_adaptive_rate_ends_below_a_millionth():
    """For `test_adaptive_learning_rate`."""
    model = ours.MLPClassifier(tol=0.5, max_iter=3000, solver="sgd", learning_rate="adaptive")
    model.fit([[3, 2], [1, 6]], [1, 0])
    assert model.n_iter_ < model.max_iter
    assert model.learning_rate_ < 1e-6
    rates = model.history_["learning_rate"]
    assert set(np.round(rates[:-1] / rates[1:], 9)) == {1.0, 5.0}


@pytest.mark.parametrize("n_iter_no_change", [1, 2, 5, 10, 50])
def test_a_fit_ends_after_the_epochs_without_change(n_iter_no_change):
    """For `test_n_iter_no_change`."""
    X, y = classes(2)
    model = ours.MLPClassifier(
        tol=0.01, max_iter=3000, solver="sgd", n_iter_no_change=n_iter_no_change
    ).fit(X, y)
    assert model.n_iter_ < model.max_iter
    losses = np.array(model.loss_curve_)
    best = np.minimum.accumulate(losses)
    unchanged = losses[1:] > best[:-1] - 0.01
    tail = len(unchanged) if unchanged.all() else unchanged[::-1].argmin()
    assert tail == n_iter_no_change + 1


def test_an_infinite_n_iter_no_change_ends_no_fit():
    """For `test_n_iter_no_change_inf`."""
    X, y = classes(2)
    model = ours.MLPClassifier(tol=1e9, max_iter=500, solver="sgd", n_iter_no_change=np.inf)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(500\) reached"):
        model.fit(X, y)
    assert model.n_iter_ == 500


def test_one_order_is_the_last_one_shuffled_again():
    """Shuffling an order in place takes the draws of shuffling a range and taking it by that."""
    mine, theirs = np.arange(50), np.arange(50)
    a, b = check_random_state(0), check_random_state(0)
    from sklearn.utils import shuffle

    for _ in range(5):
        a.shuffle(mine)
        theirs = shuffle(theirs, random_state=b)
        np.testing.assert_array_equal(mine, theirs)


def test_a_users_pipeline_runs_after_the_swap():
    from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = load_iris(return_X_y=True)
    results = []
    for module in (ours, peer):
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
        model = make_pipeline(
            StandardScaler(), module.MLPClassifier((8,), random_state=0, max_iter=20)
        )
        scores = cross_val_score(model, X_train, y_train, cv=3)
        search = GridSearchCV(
            model,
            {
                "mlpclassifier__alpha": [1e-4, 1.0],
                "mlpclassifier__learning_rate_init": [1e-3, 1e-2],
            },
            cv=3,
        ).fit(X_train, y_train)
        results.append(
            (*scores, search.score(X_test, y_test), *search.cv_results_["mean_test_score"])
        )
    np.testing.assert_allclose(*results, atol=1e-12)


def test_positional_arguments_are_the_classifiers_first_alone():
    assert ours.MLPClassifier((5,)).hidden_layer_sizes == (5,)
    with warnings.catch_warnings(), pytest.raises(TypeError):
        ours.MLPRegressor((5,))
    with pytest.raises(TypeError):
        ours.MLPClassifier((5,), "tanh")
