"""Programs in the manner of scikit-learn's gallery and user guide, before and after the swap.

Each is written once, as a function of the module that has the two classes, and run with
scikit-learn's and with ours.  What it returns is compared: scores, losses, weights, pictures.
"""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")
import sklearn.neural_network as peer
from scipy.stats import loguniform
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_circles,
    make_classification,
    make_moons,
    make_multilabel_classification,
)
from sklearn.ensemble import BaggingClassifier, StackingRegressor, VotingClassifier
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    LabelEncoder,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)

import cbackprop.sklearn as ours

ignore_convergence = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    # scikit-learn 1.7 beside a newer SciPy.
    "ignore:scipy.optimize.*L-BFGS-B:DeprecationWarning",
)
PROGRAMS = []


def program(function):
    """One whose numbers are to be the same to 1e-9."""
    PROGRAMS.append(function)
    return function


def toy_sets():
    X, y = make_classification(
        n_features=2, n_redundant=0, n_informative=2, random_state=1, n_clusters_per_class=1
    )
    X += 2 * np.random.RandomState(2).uniform(size=X.shape)
    return [
        make_moons(noise=0.3, random_state=0),
        make_circles(noise=0.2, factor=0.5, random_state=1),
        (X, y),
    ]


def mesh(X, step=0.25):
    low, high = X.min(axis=0) - 0.5, X.max(axis=0) + 0.5
    axes = [np.arange(a, b, step) for a, b in zip(low, high, strict=True)]
    return np.column_stack([grid.ravel() for grid in np.meshgrid(*axes)])


@program
def compare_classifiers(module):
    """As the comparison of classifiers on toy sets, with their decision surfaces."""
    for X, y in toy_sets():
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, random_state=42)
        model = make_pipeline(
            StandardScaler(), module.MLPClassifier(alpha=1, max_iter=200, random_state=42)
        )
        model.fit(X_train, y_train)
        assert not hasattr(model, "decision_function")
        yield model.score(X_test, y_test)
        yield model.predict_proba(mesh(X))[:, 1]


@program
def compare_learning_rates(module):
    """As the comparison of learning rates and momenta, by their loss curves."""
    digits = [array[::4] for array in load_digits(return_X_y=True)]
    sets = [load_iris(return_X_y=True), digits, *toy_sets()[:2]]
    plain = dict(solver="sgd", learning_rate_init=0.2)
    ways = [
        plain | dict(momentum=0),
        plain | dict(nesterovs_momentum=False),
        plain,
        plain | dict(learning_rate="invscaling", momentum=0),
        plain | dict(learning_rate="invscaling", nesterovs_momentum=False),
        plain | dict(learning_rate="invscaling"),
        plain | dict(learning_rate="adaptive"),
        dict(solver="adam", learning_rate_init=0.01),
    ]
    for X, y in sets:
        X = MinMaxScaler().fit_transform(X)
        for way in ways:
            model = module.MLPClassifier(random_state=0, max_iter=3 if len(X) > 200 else 12, **way)
            model.fit(X, y)
            yield [model.score(X, y), model.loss_, model.n_iter_]
            yield model.loss_curve_


@program
def look_at_weights(module):
    """As the filters of digits: strings for labels, an integer for verbose, weights as pictures."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, y.astype(str).astype(object), random_state=0, test_size=0.7
    )
    model = module.MLPClassifier(
        hidden_layer_sizes=(40,),
        max_iter=8,
        alpha=1e-4,
        solver="sgd",
        verbose=10,
        random_state=1,
        learning_rate_init=0.2,
    )
    model.fit(X_train, y_train)
    yield [model.score(X_train, y_train), model.score(X_test, y_test)]
    yield [model.coefs_[0].min(), model.coefs_[0].max()]
    for filter_ in model.coefs_[0].T[:16]:
        yield filter_.reshape(8, 8)
    yield model.predict(X_test) == y_test


@program
def look_at_partial_dependence(module):
    """As the partial dependence of a disease's progression, of a frame's columns by name."""
    pytest.importorskip("pandas")
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = make_pipeline(
        StandardScaler(),
        module.MLPRegressor(hidden_layer_sizes=(30, 15), tol=1e-2, max_iter=60, random_state=0),
    )
    model.fit(X, y)
    for features in (["age"], ["bmi"], ["age", "bmi"]):
        yield partial_dependence(model, X, features, grid_resolution=8)["average"]
    yield permutation_importance(model, X, y, n_repeats=2, random_state=0).importances_mean


@program
def regress_on_mixed_columns(module):
    """As the demand for bicycles: scaled numbers and one-hot categories of a frame."""
    pd = pytest.importorskip("pandas")
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    X["season"] = pd.Categorical(np.array(["spring", "summer", "fall"])[np.arange(len(X)) % 3])
    numbers = ["age", "bmi", "bp"]
    model = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", QuantileTransformer(n_quantiles=50), numbers),
                ("categories", OneHotEncoder(handle_unknown="ignore"), ["sex", "season"]),
            ]
        ).set_output(transform="default"),
        module.MLPRegressor(
            hidden_layer_sizes=(30, 15),
            learning_rate_init=0.01,
            early_stopping=True,
            random_state=0,
        ),
    )
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.1, random_state=0)
    model.fit(X_train, y_train)
    network = model[-1]
    yield [model.score(X_test, y_test), network.n_iter_, network.best_validation_score_]
    yield network.validation_scores_


@program
def search_parameters(module):
    """As grid and randomized searches, with refit, of a pipeline's step."""
    X, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), module.MLPClassifier(random_state=0, max_iter=10))
    grid = {
        "mlpclassifier__hidden_layer_sizes": [(5,), (4, 3)],
        "mlpclassifier__activation": ["tanh", "relu"],
    }
    search = GridSearchCV(model, grid, cv=3, scoring=["roc_auc", "accuracy"], refit="accuracy")
    search.fit(X[::3], y[::3])
    yield search.cv_results_["mean_test_accuracy"]
    yield search.cv_results_["mean_test_roc_auc"]
    yield [search.score(X[1::3], y[1::3]), search.best_index_]
    ranges = {
        "mlpclassifier__alpha": loguniform(1e-5, 10),
        "mlpclassifier__learning_rate_init": loguniform(1e-4, 1e-1),
        "mlpclassifier__solver": ["sgd", "adam"],
        "mlpclassifier__early_stopping": [True, False],
    }
    search = RandomizedSearchCV(model, ranges, n_iter=4, cv=3, random_state=0)
    search.fit(X[::3], y[::3])
    yield search.cv_results_["mean_test_score"]


@program
def validate_across(module):
    """As the user guide's cross validation: scores, predictions, learning curves."""
    X, y = load_wine(return_X_y=True)
    model = make_pipeline(StandardScaler(), module.MLPClassifier((8,), random_state=0, max_iter=15))
    scores = cross_validate(
        model, X, y, cv=3, scoring=["accuracy", "neg_log_loss"], return_train_score=True
    )
    for name in sorted(scores):
        if "time" not in name:
            yield scores[name]
    yield cross_val_predict(model, X, y, cv=3, method="predict_proba")
    yield learning_curve(model, X, y, cv=3, shuffle=True, random_state=0)[1]


@program
def combine_estimators(module):
    """As voting, bagging, stacking, chains, and a target that is transformed."""
    X, y = load_iris(return_X_y=True)
    voting = VotingClassifier(
        [
            ("network", module.MLPClassifier((6,), random_state=0, max_iter=30)),
            ("neighbours", KNeighborsClassifier()),
            ("linear", LogisticRegression()),
        ],
        voting="soft",
    )
    yield voting.fit(X, y).predict_proba(X)
    bagging = BaggingClassifier(
        module.MLPClassifier((4,), max_iter=8), n_estimators=3, random_state=0
    )
    yield bagging.fit(X, y).predict_proba(X)
    X, Y = load_linnerud(return_X_y=True)
    X, Y = StandardScaler().fit_transform(X), StandardScaler().fit_transform(Y)
    network = module.MLPRegressor(hidden_layer_sizes=5, random_state=0, max_iter=30)
    yield MultiOutputRegressor(network).fit(X, Y).predict(X)
    yield RegressorChain(network, order=[2, 0, 1]).fit(X, Y).predict(X)
    yield network.fit(X, Y).predict(X)
    X, y = load_diabetes(return_X_y=True)
    yield (
        TransformedTargetRegressor(network, func=np.log1p, inverse_func=np.expm1)
        .fit(X, y)
        .predict(X)
    )
    stacking = StackingRegressor(
        [("ridge", Ridge()), ("network", network)], final_estimator=Ridge(), cv=3
    )
    yield stacking.fit(X, np.log(y)).predict(X)


@program
def learn_out_of_core(module):
    """As classifying texts in parts: sparse counts, partial_fit, labels to come."""
    texts = ["a cat sat", "a dog ran", "the cat ran", "the dog sat", "one cow", "two cows moo"] * 5
    labels = LabelEncoder().fit_transform(["cat", "dog", "cat", "dog", "cow", "cow"] * 5)
    X = CountVectorizer().fit_transform(texts)
    model = module.MLPClassifier((10,), random_state=np.random.RandomState(0))
    for begin in range(0, len(texts), 6):
        part = slice(begin, begin + 6)
        model.partial_fit(X[part], labels[part], classes=[0, 1, 2] if begin == 0 else None)
        yield model.predict_proba(X)
    yield [model.score(X, labels), *model.loss_curve_]


@program
def watch_a_fit(module):
    """As the user guide's loop of warm starts with one epoch each."""
    X, y = [[0.0, 0.0], [1.0, 1.0]], [0, 1]
    model = module.MLPClassifier(
        hidden_layer_sizes=(15,), random_state=1, max_iter=1, warm_start=True
    )
    for _ in range(10):
        model.fit(X, y)
        yield [model.loss_, *model.predict_proba([[2.0, 2.0], [-1.0, -2.0]]).ravel()]
    Y = [[0, 1], [1, 1]]
    model = module.MLPClassifier(hidden_layer_sizes=(15,), random_state=1, max_iter=50)
    yield model.fit(X, Y).predict_proba([[1.0, 2.0], [0.0, 0.0]])
    yield model.predict([[1.0, 2.0], [0.0, 0.0]])


@program
def weight_rows_and_label_sets(module):
    """As the highlights of 1.7: weights of rows, here of whole batches; the Poisson loss."""
    X, Y = make_multilabel_classification(n_samples=80, random_state=0)
    model = module.MLPClassifier((8,), random_state=0, max_iter=20)
    yield model.fit(X, Y, sample_weight=np.linspace(0.5, 2, len(X))).predict_proba(X)
    X, y = load_diabetes(return_X_y=True)
    model = module.MLPRegressor(
        loss="poisson", hidden_layer_sizes=(8,), random_state=0, max_iter=30, batch_size=len(X)
    )
    weight = np.random.RandomState(0).randint(1, 4, len(X)) * 1.0
    yield model.fit(X, y, sample_weight=weight).predict(X)


@ignore_convergence
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_gives_the_same_numbers_after_the_swap(program):
    results = [list(program(module)) for module in (peer, ours)]
    assert len(results[0]) == len(results[1]) > 0
    for theirs, mine in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-10)


@ignore_convergence
def test_the_penalty_smooths_as_the_peers_does():
    """As the comparison of penalties, with L-BFGS, whose steps are our own: ours ends lower."""
    for X, y in toy_sets()[:1]:
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, random_state=42)
        losses, sizes = [], []
        for alpha in (1.0, 10.0):
            models = [
                make_pipeline(
                    StandardScaler(),
                    module.MLPClassifier(
                        solver="lbfgs",
                        alpha=alpha,
                        random_state=1,
                        max_iter=300,
                        early_stopping=True,
                        hidden_layer_sizes=[10, 10],
                    ),
                ).fit(X_train, y_train)
                for module in (peer, ours)
            ]
            theirs, mine = (model[-1] for model in models)
            assert mine.loss_ < theirs.loss_ + 0.02
            losses.append(mine.loss_)
            sizes.append(sum((W**2).sum() for W in mine.coefs_))
            scores = [model.score(X_test, y_test) for model in models]
            assert scores[1] > scores[0] - 0.11
        assert sorted(losses) == losses and sorted(sizes, reverse=True) == sizes


def test_a_filter_that_names_scikit_learn_counts_for_our_warnings():
    """As the gallery does with fits that are not meant to converge."""
    X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
    column = [[label] for label in y]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for category in (ConvergenceWarning, DataConversionWarning, UserWarning):
            warnings.filterwarnings("ignore", category=category, module="sklearn")
        ours.MLPClassifier(max_iter=2).fit(X, column)
        ours.MLPRegressor(max_iter=2).fit(X, column)
        ours.MLPRegressor(max_iter=2, batch_size=10, solver="sgd").fit(X, y)
        ours.MLPRegressor(max_iter=1, solver="lbfgs").fit(X, y)
    assert not caught


def test_a_warning_points_at_the_users_line():
    X, y = load_iris(return_X_y=True)
    model = ours.MLPClassifier(max_iter=1, random_state=0)
    pipeline = make_pipeline(StandardScaler(), model)
    for call in (
        lambda: model.fit(X, y),
        lambda: model.fit(X, y.reshape(-1, 1)),
        lambda: pipeline.fit(X, y),
        lambda: cross_validate(model, X, y, cv=2),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        categories = {warning.category for warning in caught}
        assert ConvergenceWarning in categories <= {ConvergenceWarning, DataConversionWarning}
        if call.__code__.co_names[-1] != "cross_validate":
            assert {warning.filename for warning in caught} == {__file__}
