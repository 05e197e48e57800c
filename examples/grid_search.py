"""Twenty-four candidates on the breast cancer data, cross-validated.

python examples/grid_search.py
"""

import time

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cbackprop.sklearn import MLPClassifier

X, y = load_breast_cancer(return_X_y=True)
model = make_pipeline(
    StandardScaler(), MLPClassifier(solver="lbfgs", max_iter=2000, random_state=0)
)
grid = {
    "mlpclassifier__hidden_layer_sizes": [(5,), (20,), (10, 10)],
    "mlpclassifier__activation": ["tanh", "logistic"],
    "mlpclassifier__alpha": [0.1, 1.0, 3.0, 10.0],
}

begin = time.perf_counter()
search = GridSearchCV(model, grid, cv=3).fit(X, y)

print(f"{len(search.cv_results_['params'])} candidates in {time.perf_counter() - begin:.1f} s")
print(f"best score {search.best_score_:.3f} with {search.best_params_}")
