"""A noisy regression: validation data in fit, and the curves of both losses as a picture.

python examples/regression_with_validation_curve.py [curve.png]

The picture wants matplotlib (pip install "cbackprop[plot]").
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from cbackprop import TrainingCurveDisplay
from cbackprop.sklearn import MLPRegressor

rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (400, 2))
y = 200 + 30 * np.sin(2 * X[:, 0]) * X[:, 1] + 5 * rng.standard_normal(400)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

model = MLPRegressor(
    hidden_layer_sizes=(40,),
    activation="tanh",
    learning_rate_init=0.02,
    batch_size=32,
    max_iter=400,
    n_iter_no_change=40,
    early_stopping=True,
    scaling="standard",  # of inputs and targets, inside the model
    random_state=0,
)
model.fit(X_train, y_train, validation_data=(X_test, y_test))

print(f"{model.n_iter_} epochs, best R2 on the held-out rows {model.best_validation_score_:.3f}")
print(f"R2 of the model that is kept: {model.score(X_test, y_test):.3f}")

path = Path(sys.argv[1] if len(sys.argv) > 1 else "curve.png")
display = TrainingCurveDisplay.from_history(model.history_)
display.figure_.savefig(path)
print(f"wrote {path}")
