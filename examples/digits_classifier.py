"""Handwritten digits: a pipeline as for scikit-learn, with another import.

python examples/digits_classifier.py
"""

from sklearn.datasets import load_digits
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from cbackprop.sklearn import MLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

model = make_pipeline(
    MinMaxScaler(),
    MLPClassifier((50,), early_stopping=True, learning_rate_init=0.01, random_state=0),
)
model.fit(X_train, y_train)

network = model[-1]
print(f"{network.n_iter_} epochs, best validation score {network.best_validation_score_:.3f}")
print(f"test score {model.score(X_test, y_test):.3f}")
print(classification_report(y_test, model.predict(X_test)))
