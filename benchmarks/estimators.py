"""The estimators beside scikit-learn's: the same arguments, the same numbers, the time of each.

python -m benchmarks.estimators
python -m benchmarks.estimators --rounds 11 --rows digits predict

float64.  A round times ours and scikit-learn's back to back, scikit-learn with the BLAS threads of
its better setting (all, or one); what is reported is the median of the ratios of the pairs.  Where
a row trains, the loss curves of both are compared first: a row whose curves differ is no row.  The
last row is a search in two processes beside the same with every BLAS pinned to one thread: 1 means
that nothing is oversubscribed.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from statistics import median

import numpy as np

ROUNDS = 7

# Where the curves may differ by rounding.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Row:
    """One row: how each side is made, what is timed, and the goal."""

    name: str
    goal: float
    prepare: object  # of a module (ours or the peer's): a function to time; it returns a loss curve


def trained(kind, X, y, **settings):
    """Rows that fit a model anew."""

    def prepare(module):
        def run():
            return getattr(module, kind)(random_state=0, **settings).fit(X, y).loss_curve_

        return run

    return prepare


def synthetic(n_in, n_classes, n_rows):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_in))
    score = np.tanh(X @ rng.standard_normal((n_in, max(n_classes, 1))))
    return X, score.argmax(axis=1) if n_classes else score[:, 0]


def partial_fit(module):
    X, y = synthetic(4, 0, 100)
    model = module.MLPRegressor(hidden_layer_sizes=(10,), random_state=0).partial_fit(X, y)
    one, target = X[:1].copy(), y[:1].copy()

    def run():
        for _ in range(200):
            model.partial_fit(one, target)
        return model.loss_curve_[:100]

    return run


def predict(kind):
    def prepare(module):
        X, y = synthetic(4, 3 if kind == "MLPClassifier" else 0, 100)
        model = getattr(module, kind)((10,)) if kind == "MLPClassifier" else module.MLPRegressor()
        model.set_params(hidden_layer_sizes=(10,), random_state=0, max_iter=20).fit(X, y)
        one = X[:1].copy()

        def run():
            for _ in range(300):
                model.predict(one)
            return model.loss_curve_

        return run

    return prepare


def search(module, n_jobs=None):
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), module.MLPClassifier(random_state=0, max_iter=30))
    grid = {
        "mlpclassifier__hidden_layer_sizes": [(10,), (30,), (10, 10)],
        "mlpclassifier__alpha": [1e-4, 1e-2],
        "mlpclassifier__activation": ["relu", "tanh"],
        "mlpclassifier__batch_size": [32, 200],
    }

    def run():
        found = GridSearchCV(model, grid, cv=3, n_jobs=n_jobs).fit(X, y)
        return found.cv_results_["mean_test_score"]

    return run


def rows():
    from sklearn.datasets import load_digits

    digits, labels = load_digits(return_X_y=True)
    return [
        Row(
            "digits 64-100-10, Adam, batch 200",
            3,
            trained("MLPClassifier", digits / 16, labels, max_iter=60),
        ),
        Row(
            "30-30-10, Adam, batch 32",
            8,
            trained(
                "MLPClassifier",
                *synthetic(30, 10, 1000),
                hidden_layer_sizes=(30,),
                batch_size=32,
                max_iter=30,
            ),
        ),
        Row(
            "4-10-1, Adam, batch 10",
            50,
            trained(
                "MLPRegressor",
                *synthetic(4, 0, 500),
                hidden_layer_sizes=(10,),
                batch_size=10,
                max_iter=100,
                tol=0,
            ),
        ),
        Row("partial_fit of one row, 4-10-1", 2, partial_fit),
        Row("predict of one row, regressor", 5, predict("MLPRegressor")),
        Row("predict of one row, classifier", 5, predict("MLPClassifier")),
        Row("grid search, 24 candidates, breast_cancer", 5, search),
    ]


def timed(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


@contextlib.contextmanager
def blas_threads(one):
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas") if one else contextlib.nullcontext():
        yield


def compare(row, rounds):
    """(our seconds, the peer's, median ratio, the peer's better setting)."""
    import sklearn.neural_network as peer

    import cbackprop.sklearn as ours

    mine, theirs = row.prepare(ours), row.prepare(peer)
    np.testing.assert_allclose(mine(), theirs(), rtol=TOLERANCE, err_msg=row.name)
    settings = {}
    for one in (False, True):
        with blas_threads(one):
            settings[one] = min(timed(theirs) for _ in range(2))
    one = min(settings, key=settings.get)
    pairs = []
    for _ in range(rounds):
        own = timed(mine)
        with blas_threads(one):
            pairs.append((own, timed(theirs)))
    ratio = median(b / a for a, b in pairs)
    own, other = (median(times) for times in zip(*pairs, strict=True))
    return own, other, ratio, "one BLAS thread" if one else "all BLAS threads"


def search_in_processes(rounds):
    """Wall time of a search with n_jobs=2 over that with every library pinned to one thread."""
    script = (
        "import time, benchmarks.estimators as b, cbackprop.sklearn as ours\n"
        "if __name__ == '__main__':\n"
        "    run = b.search(ours, n_jobs=2); run()\n"  # the workers have started
        "    print(b.timed(run))\n"
    )
    pins = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    ratios = []
    for _ in range(rounds):
        seconds = [
            float(
                subprocess.run(
                    [sys.executable, "-W", "ignore", "-c", script],
                    env={**os.environ, "PYTHONWARNINGS": "ignore", **more},
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for more in ({}, pins)
        ]
        ratios.append(seconds[0] / seconds[1])
    return median(ratios)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", nargs="*", help="those whose names contain one of these words")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    import sklearn

    import cbackprop

    def wanted(name):
        return not options.rows or any(word in name for word in options.rows)

    print(f"cbackprop {cbackprop.__version__}, scikit-learn {sklearn.__version__}, float64")
    print("| | cbackprop | scikit-learn, at its better of | ratio | goal |")
    print("|---|---:|---:|---:|---:|")
    for row in rows():
        if wanted(row.name):
            own, other, ratio, setting = compare(row, options.rounds)
            print(
                f"| {row.name} | {1e3 * own:.3g} ms | {1e3 * other:.3g} ms, {setting} "
                f"| {ratio:.1f} | {row.goal} |",
                flush=True,
            )
    name = "grid search in two processes, over the same pinned to one thread"
    if wanted(name):
        print(f"| {name} | | | {search_in_processes(max(3, options.rounds // 2)):.2f} | 1.15 |")


if __name__ == "__main__":
    main()
