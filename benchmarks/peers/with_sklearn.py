"""scikit-learn: MLPRegressor, solver="sgd", one ``fit`` of many epochs from given weights.

Its output layer is the identity and its biases cannot be switched off, so its model is not quite
the table's: one sigmoid a row and output less, the biases more.  Its result is checked against ours
on exactly that model; only its time stands in the table's row.
"""

import warnings

import numpy as np

from benchmarks import rows
from benchmarks.peers.base import Peer, Skip


class WithScikitLearn(Peer):
    name = "sklearn"
    modules = ("sklearn",)
    tasks = ("train", "predict")

    @classmethod
    def checked_as(cls, row):
        return rows.as_regressor(row)

    @classmethod
    def refuse(cls, row, dtype):
        super().refuse(row, dtype)
        if row.n_rows == 1 and row.task == "train":
            raise Skip("one row")

    def __init__(self, row, dtype, setting):
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor

        warnings.simplefilter("ignore", ConvergenceWarning)
        self.row = row = self.checked_as(row)
        self.X, self.Y = rows.data(row, dtype)
        if row.sizes[-1] == 1:
            self.Y = self.Y.ravel()
        self.first = rows.start(row, dtype)
        self.model = MLPRegressor(
            hidden_layer_sizes=row.sizes[1:-1],
            activation={"sigmoid": "logistic"}.get(row.activation, row.activation),
            solver="sgd",
            alpha=0,
            batch_size=row.batch,
            learning_rate_init=row.learning_rate,
            momentum=row.momentum,
            nesterovs_momentum=False,
            shuffle=row.shuffle,
            random_state=0,
            warm_start=True,  # fit goes on from the weights it finds
            max_iter=1,
            n_iter_no_change=np.inf,
        )
        self.model.fit(self.X, self.Y)  # so that the weights exist

    def reset(self):
        for k, (W, b) in enumerate(rows.layers(self.row, self.first.copy())):
            self.model.coefs_[k], self.model.intercepts_[k] = W, b

    def train(self, epochs, order=None):
        X, Y = self.X, self.Y
        self.model.max_iter = epochs
        if order is not None:
            X, Y = X[order], Y[order]
        self.model.shuffle = self.row.shuffle and order is None
        self.model.fit(X, Y)

    def predict(self):
        return self.model.predict(self.X).reshape(self.row.n_rows, -1)

    def parameters(self):
        both = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return np.concatenate([part.ravel() for pair in both for part in pair])

    def version(self):
        import sklearn

        return sklearn.__version__
