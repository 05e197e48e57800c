"""scikit-learn's conventions: its own checks of estimators, over every solver."""

import copy
import inspect
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")
import scipy.sparse
import sklearn
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import _get_feature_names

import cbackprop
from cbackprop.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# For each: of both, of the classifier, of the regressor, whose targets here are in the hundreds.
FULL_BATCH = [
    (dict(solver="lbfgs", max_iter=100), {}, {}),
    (dict(solver="adam", max_iter=30), {}, {}),
    (dict(solver="sgd", max_iter=60), dict(learning_rate_init=0.1), {}),
    (dict(solver="rprop", max_iter=30), {}, {}),
    (dict(solver="lm", activation="tanh", hidden_layer_sizes=8, max_iter=30), {}, {}),
    (
        dict(activation=("tanh", "relu"), hidden_layer_sizes=(20, 20), max_iter=100),
        dict(learning_rate_init=0.01),
        dict(learning_rate_init=0.03),
    ),
]
MINI_BATCHES = [
    (dict(solver="adam", batch_size=7, max_iter=30), {}, {}),
    (
        dict(solver="sgd", batch_size=7, max_iter=30),
        dict(learning_rate_init=0.05),
        dict(learning_rate_init=3e-4),
    ),
]
REASON = (
    "a weight of 2 is not a row twice in shuffled batches, which then hold other rows; the steps "
    "agree in expectation (test_weights_are_unbiased_in_mini_batches)"
)


def estimators(settings):
    return [
        cls(**both, **own)
        for both, *each in settings
        for cls, own in zip((MLPClassifier, MLPRegressor), each, strict=True)
    ]


# Its noise is Gaussian: of regressions only.
EVIDENCE = MLPRegressor(solver="br", activation="tanh", hidden_layer_sizes=5, max_iter=12)


def expected_failures(estimator):
    names = (
        "check_sample_weight_equivalence_on_dense_data",
        ("check_sample_weight_equivalence_on_sparse_data"),
    )
    return dict.fromkeys(names, REASON) if estimator.batch_size != "auto" else {}


STRICT = (
    {"xfail_strict": True}
    if "xfail_strict" in inspect.signature(parametrize_with_checks).parameters
    else {}
)


def checks_of(settings):
    made = parametrize_with_checks(
        [*estimators(settings), EVIDENCE],
        legacy=True,
        expected_failed_checks=expected_failures,
        **STRICT,
    )
    # scikit-learn 1.7 hands on a generator, which pytest no longer likes.
    return pytest.mark.parametrize(made.args[0], list(made.args[1]), **made.kwargs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@checks_of(FULL_BATCH + MINI_BATCHES)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("batch_size", [1, 4, 10, 40])
def test_weights_are_unbiased_in_mini_batches(batch_size):
    """Without inputs that matter the output is the weighted mean, at every batch size."""
    rng = np.random.default_rng(0)
    y = rng.uniform(size=40)
    w = np.where(y > 0.5, 5.0, 0.2)
    model = MLPRegressor(
        hidden_layer_sizes=(),
        solver="sgd",
        momentum=0,
        alpha=0,
        batch_size=batch_size,
        learning_rate="invscaling",
        learning_rate_init=0.2,
        max_iter=600,
        tol=0,
        random_state=0,
    ).fit(np.zeros((40, 1)), y, sample_weight=w)
    assert model.predict([[0.0]]) == pytest.approx(np.average(y, weights=w), abs=0.02)


def data(n_rows=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 4))
    return X, X[:, 0] + np.sin(X[:, 1])


def test_without_scikit_learn_one_error_says_how_to_get_it():
    script = (
        "import sys, cbackprop\n"
        "assert 'sklearn' not in sys.modules\n"
        "sys.modules['sklearn'] = None\n"
        "try:\n"
        "    import cbackprop.sklearn\n"
        "except cbackprop.errors.MissingExtraError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == (
        "cbackprop.sklearn needs scikit-learn, which is not installed: "
        'pip install "cbackprop[sklearn]"'
    ), done.stderr


def test_the_constructor_only_stores():
    for cls in (MLPClassifier, MLPRegressor):
        names = set(inspect.signature(cls).parameters)
        values = {name: object() for name in names}
        model = cls(**values)
        assert model.__dict__ == values


def test_parameters_are_checked_by_scikit_learns_own_error():
    X, y = data()
    for bad in (
        dict(alpha=-1),
        dict(solver="none"),
        dict(hidden_layer_sizes=0),
        dict(alpha_scaling="rows"),
        dict(restarts=0),
        dict(loss="log"),
        dict(activation=3),
    ):
        with pytest.raises(InvalidParameterError, match=f"The {next(iter(bad))!r} parameter"):
            MLPRegressor(**bad).fit(X, y)
    with pytest.raises(cbackprop.errors.InputError, match="activation has 1 names"):
        MLPRegressor(activation=["tanh"], hidden_layer_sizes=(3, 3)).fit(X, y)


def test_predicting_before_fitting_is_a_not_fitted_error():
    X, _ = data()
    for method in ("predict", "predict_proba", "predict_log_proba"):
        with pytest.raises(NotFittedError):
            getattr(MLPClassifier(), method)(X)
    with pytest.raises(NotFittedError):
        MLPRegressor().predict(X)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("container", [scipy.sparse.csr_array, scipy.sparse.csc_array])
def test_sparse_and_dense_inputs_give_the_same_numbers(container, early_stopping):
    X, y = data(90)
    X[X < 0.3] = 0
    settings = dict(
        max_iter=8, batch_size=16, random_state=0, early_stopping=early_stopping, scoring=None
    )
    dense = MLPRegressor(**settings).fit(X, y)
    sparse = MLPRegressor(**settings).fit(container(X), y)
    assert dense.loss_curve_ == sparse.loss_curve_
    assert dense.validation_scores_ == sparse.validation_scores_
    np.testing.assert_array_equal(dense.predict(X), sparse.predict(container(X)))
    scored = MLPRegressor(**{**settings, "scoring": "r2"}).fit(container(X), y)
    np.testing.assert_array_equal(scored.coefs_[0], dense.coefs_[0])


def test_a_wide_sparse_input_is_never_dense_as_a_whole():
    """2,000 rows of 20,000 columns would take 320 MB."""
    tracemalloc = pytest.importorskip("tracemalloc")
    X = scipy.sparse.random(2_000, 20_000, density=1e-4, format="csr", random_state=0)
    y = np.asarray(X.sum(axis=1)).ravel()
    model = MLPRegressor(hidden_layer_sizes=2, max_iter=1, random_state=0)
    tracemalloc.start()
    model.fit(X, y).predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 180e6


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_feature_names_are_taken_and_compared(package):
    frames = pytest.importorskip(package)
    X, y = data()
    frame = frames.DataFrame({name: X[:, k] for k, name in enumerate("abcd")})
    if _get_feature_names(frame) is None:
        pytest.skip(f"this scikit-learn does not know the frames of this {package}")
    model = MLPRegressor(max_iter=3, random_state=0).fit(frame, y)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        plain = model.predict(X)
    np.testing.assert_array_equal(plain, model.predict(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frames.DataFrame({name: X[:, k] for k, name in enumerate("abce")}))


def test_metadata_is_routed():
    X, y = data()
    y = (y > 0).astype(int)
    weight = np.linspace(0.1, 2, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(max_iter=5, random_state=0).set_fit_request(sample_weight=True)
        search = GridSearchCV(
            model.set_score_request(sample_weight=True), {"alpha": [0.1, 1.0]}, cv=2
        ).fit(X, y, sample_weight=weight)
    direct = clone(search.best_estimator_).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(search.best_estimator_.coefs_[0], direct.coefs_[0])


@pytest.mark.slow
def test_many_fits_in_threads_and_processes_score_the_same():
    X, y = data(120)
    model = make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=8, max_iter=15, random_state=0)
    )
    expected = cross_val_score(model, X, y, cv=4)
    with joblib.parallel_backend("threading"):
        np.testing.assert_array_equal(cross_val_score(model, X, y, cv=4, n_jobs=2), expected)
    np.testing.assert_array_equal(cross_val_score(model, X, y, cv=4, n_jobs=2), expected)


def test_multilabel_targets_and_several_outputs():
    X, Y = make_multilabel_classification(n_samples=60, n_classes=4, random_state=0)
    model = MLPClassifier(solver="lbfgs", random_state=0, max_iter=200).fit(X, Y)
    assert model.score(X, Y) > 0.95 and model.predict(X).shape == Y.shape
    assert model.predict_proba(X).shape == model.predict_log_proba(X).shape == Y.shape
    sparse = MLPClassifier(solver="lbfgs", random_state=0, max_iter=200, early_stopping=True)
    sparse.fit(X, scipy.sparse.csr_array(Y))
    assert scipy.sparse.issparse(sparse.predict(X))
    np.testing.assert_array_equal(sparse.predict(X).toarray(), model.predict(X))
    sparse.set_params(solver="adam", max_iter=3).fit(X, scipy.sparse.csr_array(Y))
    assert len(sparse.validation_scores_) == 3
    Y = X[:, :2] / 30
    assert MLPRegressor(solver="lbfgs", random_state=0).fit(X, Y).predict(X).shape == Y.shape


def test_pickles_and_copies_predict_and_train_as_the_original():
    X, y = data()
    for solver in ("adam", "lbfgs"):
        model = MLPRegressor(solver=solver, max_iter=5, random_state=0, scaling="standard")
        model.fit(X, y)
        for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            np.testing.assert_array_equal(copied.predict(X), model.predict(X))
            assert copied.coefs_[0].base is not None
            copied.coefs_[0][:] = 0  # its own weights
            assert model.coefs_[0].any()


def test_partial_fit_goes_on_from_a_pickle_with_the_same_bits():
    X, y = data()
    model = MLPRegressor(random_state=0, batch_size=7)
    for _ in range(3):
        model.partial_fit(X, y)
    copied = pickle.loads(pickle.dumps(model))
    for _ in range(3):
        model.partial_fit(X, y), copied.partial_fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], copied.coefs_[0])
    assert model.loss_curve_ == copied.loss_curve_


def test_arrays_put_into_the_attributes_count():
    X, y = data()
    model = MLPRegressor(max_iter=3, hidden_layer_sizes=3, random_state=0).fit(X, y)
    other = MLPRegressor(max_iter=3, hidden_layer_sizes=3, random_state=1).fit(X, y)
    model.coefs_ = [W.copy() for W in other.coefs_]
    model.intercepts_ = [b.copy() for b in other.intercepts_]
    np.testing.assert_array_equal(model.predict(X), other.predict(X))
    model.coefs_[0] = np.zeros((2, 2))
    with pytest.raises(ValueError, match=r"coefs_\[0\] has the shape \(2, 2\); expected \(4, 3\)"):
        model.predict(X)
    model.coefs_ = other.coefs_[:1]
    with pytest.raises(ValueError, match="coefs_ has 1 arrays; expected 2, one for each layer"):
        model.predict(X)


def test_the_html_representation_links_to_documentation():
    html = MLPClassifier()._repr_html_()
    assert "https://pypi.org/project/cbackprop/" in html


def test_every_parameter_and_attribute_is_documented():
    X, y = data()
    for cls, targets in ((MLPClassifier, (y > 0).astype(int)), (MLPRegressor, y)):
        documented = {
            name.strip()
            for line in cls.__doc__.splitlines()
            if " : " in line
            for name in line.split(" : ")[0].split(",")
        }
        model = cls(max_iter=2, early_stopping=True).fit(X, targets)
        wanted = {n for n in vars(model) if not n.startswith("_")} | set(model.get_params())
        assert wanted <= documented, wanted - documented


@pytest.mark.parametrize(
    "spoil",
    [
        lambda X: np.where(np.arange(4) == 2, np.nan, X),
        lambda X: X[:, :3],
        lambda X: X[0],
        lambda X: X[:0],
        lambda X: X * 1j,
    ],
)
def test_the_short_way_to_predict_has_the_errors_of_the_long_one(spoil):
    from sklearn.neural_network import MLPRegressor as Peer

    X, y = data()
    bad = spoil(X)
    messages = []
    for cls in (MLPRegressor, Peer):
        model = cls(max_iter=2, random_state=0).fit(X, y)
        with pytest.raises((ValueError, TypeError)) as caught:
            model.predict(bad)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_unusual_arrays_take_the_long_way_to_the_same_numbers():
    X, y = data()
    model = MLPRegressor(max_iter=2, random_state=0).fit(X, y)
    expected = model.predict(X)
    for same in (np.asfortranarray(X), X.tolist(), np.repeat(X, 2, axis=0)[::2], X[::-1][::-1]):
        np.testing.assert_array_equal(model.predict(same), expected)
    whole = np.round(X).astype(int)
    np.testing.assert_array_equal(model.predict(whole), model.predict(whole.astype(float)))


@pytest.mark.parametrize("kind", ["int", "str", "bool"])
def test_the_short_way_to_partial_fit_gives_the_long_ones_numbers(kind):
    X, y = data()
    labels = {"int": [2, 5, 9], "str": ["a", "b", "c"], "bool": [False, True]}
    classes = np.array(labels[kind])
    y = classes[np.digitize(y, [-0.5, 0.5][: len(classes) - 1])]
    models = [MLPClassifier(random_state=0, hidden_layer_sizes=4) for _ in range(2)]
    for model, rows in zip(models, (X, X.tolist()), strict=True):
        model.partial_fit(X, y, classes=classes)
        for i in range(5):
            model.partial_fit(rows[i : i + 1], y[i : i + 1])
        model.partial_fit(rows, y)
    assert models[0].loss_curve_ == models[1].loss_curve_
    with pytest.raises(ValueError, match="classes not in"):
        models[0].partial_fit(X[:1], np.array([7]) if kind != "str" else np.array(["z"]))
    with pytest.raises(ValueError, match="contains NaN"):
        models[0].partial_fit(X[:1] * np.nan, y[:1])


@pytest.mark.parametrize("as_y", [lambda y: y.astype(str), lambda y: y.astype("M8[D]")])
@pytest.mark.parametrize("missing", ["error", "ignore"])
def test_targets_that_are_no_numbers_are_refused(as_y, missing):
    X, y = data()
    y = as_y(np.round(10 * y))
    model = MLPRegressor(max_iter=2, missing=missing)
    with pytest.raises((TypeError, ValueError), match=r"dtype.*(expected numbers|numeric)"):
        model.fit(X, y)
    with pytest.raises((TypeError, ValueError), match=r"dtype.*(expected numbers|numeric)"):
        model.fit(X, np.zeros(len(X)), validation_data=(X, y))


@pytest.mark.parametrize("missing", ["error", "ignore"])
def test_sparse_targets_of_a_regression_are_their_numbers(missing):
    X, y = data()
    Y = np.stack([np.where(y > 1, y, 0), y], axis=1)
    settings = dict(max_iter=3, random_state=0, early_stopping=True, missing=missing)
    dense = MLPRegressor(**settings).fit(X, Y)
    sparse = MLPRegressor(**settings).fit(X, scipy.sparse.csc_array(Y))
    np.testing.assert_array_equal(sparse.coefs_[0], dense.coefs_[0])
    sparse.partial_fit(X, scipy.sparse.csr_array(Y)), dense.partial_fit(X, Y)
    np.testing.assert_array_equal(sparse.coefs_[0], dense.coefs_[0])


def test_a_column_of_targets_is_told_in_partial_fit_too():
    X, y = data()
    model = MLPRegressor().partial_fit(X, y)
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        model.partial_fit(X, y.reshape(-1, 1))
