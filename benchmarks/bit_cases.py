"""What same_bits.py runs: small trainings and evaluations, each told by its arrays and numbers.

A case is a name and a function that returns (what, value) pairs; its data come from NumPy's
default_rng, its results depend on no clock.  The cases use public names alone, which every version
has: the package, its estimators and its command line.  They judge nothing: whether a number is
right is the tests' to say, here it is only asked whether it is still the same.
"""

import contextlib
import copy
import importlib.util
import io
import itertools
import json
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import cbackprop
from cbackprop import (
    LBFGS,
    SGD,
    Adam,
    BayesianRegularization,
    EarlyStopping,
    Huber,
    LevenbergMarquardt,
    Quantile,
    RProp,
    schedules,
)

DTYPES = ("float64", "float32")
HIDDEN = ("identity", "sigmoid", "tanh", "relu")

# Gradients of more than 256 KB of parameters are computed by tiles, of fewer by leaves.
TILES = {"float64": (120, 300, 150, 5), "float32": (240, 300, 150, 5)}

Told = Iterator[tuple[str, Any]]


# ------------------------------------------------------------------------------------------- data


def inputs(n_rows, n_columns, dtype="float64", seed=0):
    return np.random.default_rng([seed, n_rows, n_columns]).normal(size=(n_rows, n_columns)).astype(
        dtype
    )  # fmt: skip


def targets(kind, X, n_columns, seed=1):
    """Targets of a kind: smooth functions of X and noise, or what follows from them."""
    rng = np.random.default_rng([seed, *X.shape, n_columns])
    n_rows, n_in = X.shape
    noise = 0.1 * rng.normal(size=(n_rows, n_columns))
    smooth = np.sin(X.astype("float64") @ rng.normal(size=(n_in, n_columns))) + noise
    if kind == "numbers":
        Y = smooth
    elif kind == "unit":  # within the range of a sigmoid or a tanh
        Y = 0.5 + 0.3 * np.clip(smooth, -1, 1)
    elif kind == "counts":
        Y = rng.poisson(np.exp(smooth)).astype("float64")
    elif kind == "answers":
        Y = (smooth > 0).astype("float64")
    elif kind == "classes":
        Y = np.eye(n_columns)[smooth.argmax(axis=1)]
    elif kind == "shares":
        Y = np.exp(smooth) / np.exp(smooth).sum(axis=1, keepdims=True)
    else:
        raise ValueError(kind)
    return Y.astype(X.dtype)


def labels(n_rows, n_classes, seed=2):
    """(X, y) for a classifier."""
    X = inputs(n_rows, 4, seed=seed)
    return X, targets("classes", X, n_classes, seed).argmax(axis=1)


# -------------------------------------------------------------------------------------- trainings


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training of a small network, and what came of it."""

    sizes: tuple[int, ...] = (5, 7, 3)
    activation: Any = "tanh"
    output: str = "identity"
    bias: bool = True
    dtype: str = "float64"
    init: str = "auto"
    kind: str = "numbers"
    n_rows: int = 61
    scaled: tuple[str, ...] = ()
    trainer: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    epochs: int = 4
    calls: int = 1
    between: Callable[[Any], Any] | None = None
    form: Callable[[np.ndarray], Any] | None = None

    def network(self):
        network = cbackprop.Network(
            self.sizes,
            activation=self.activation,
            output_activation=self.output,
            bias=self.bias,
            dtype=self.dtype,
            init=self.init,
            seed=7,
        )
        X, Y = self.data()
        if self.scaled:
            network.fit_scaling(3 + 2 * X, 50 + 20 * Y, inputs=self.scaled[0],
                                targets=self.scaled[1])  # fmt: skip
        return network

    def data(self):
        X = inputs(self.n_rows, self.sizes[0], self.dtype)
        return X, targets(self.kind, X, self.sizes[-1])

    def __call__(self, network=None):
        network = self.network() if network is None else network
        X, Y = self.data()
        if self.scaled:
            X, Y = 3 + 2 * X, 50 + 20 * Y
        trainer = cbackprop.Trainer(network, seed=11, **self.trainer)
        for _ in range(self.calls):
            settings = {
                name: value(X, Y) if isinstance(value, FromData) else value
                for name, value in self.fit.items()
            }
            rows = X if self.form is None else self.form(X)
            yield "fit", trainer.fit(rows, Y, epochs=self.epochs, **settings)
            if self.between is not None:
                trainer = self.between(trainer)
                network = trainer.network
        yield "all epochs", trainer.history
        yield "epoch", trainer.epoch
        yield from told_of(network, X)
        if network.posterior is not None:
            yield from told_of_posterior(network, X)


@dataclass(frozen=True)
class FromData:
    """An argument of fit that is made from the data."""

    make: Callable[[np.ndarray, np.ndarray], Any]

    def __call__(self, X, Y):
        return self.make(X, Y)


def told_of(network, X):
    yield "parameters", network.parameters
    yield "predictions", network.predict(X)
    yield "predictions of few rows", network.predict(X[:3])
    yield "prediction of one row", network.predict(X[:1])


def told_of_posterior(network, X):
    posterior = network.posterior
    yield "factor", posterior.factor
    yield "alpha, beta", [posterior.alpha, posterior.beta, posterior.effective_parameters]
    yield "std", network.predict(X, return_std=True)[1]


CASES: dict[str, Callable[[], Told]] = {}


def add(name, case):
    if name in CASES:
        raise ValueError(f"two cases are named {name!r}")
    CASES[name] = case


def case(name):
    """Add a function that yields what it found."""

    def register(function):
        add(name, function)
        return function

    return register


def add_in_both(name, training):
    for dtype in DTYPES:
        add(f"{name}, {dtype}", replace(training, dtype=dtype))


# ---------------------------------------------------------------------------------------- solvers

SOLVERS = {
    "SGD": SGD(),
    "SGD momentum": SGD(momentum=0.9),
    "SGD nesterov": SGD(momentum=0.8, nesterov=True),
    "SGD weight decay": SGD(weight_decay=0.01),
    "SGD clipped": SGD(max_gradient_norm=0.05),
    "SGD nesterov, weight decay, clipped": SGD(
        momentum=0.9, nesterov=True, weight_decay=0.01, max_gradient_norm=0.1
    ),
    "SGD step decay": SGD(learning_rate=schedules.StepDecay(0.2, every=2, factor=0.3)),
    "SGD exponential decay": SGD(learning_rate=schedules.ExponentialDecay(0.2, factor=0.9)),
    "SGD cosine decay": SGD(learning_rate=schedules.CosineDecay(0.2, epochs=3, minimum=0.01)),
    "SGD inverse scaling": SGD(learning_rate=schedules.InverseScaling(0.2, power=0.7)),
    "SGD warm-up": SGD(
        learning_rate=schedules.WarmUp(schedules.ExponentialDecay(0.2, factor=0.9), epochs=2)
    ),
    "SGD plateau": SGD(
        learning_rate=schedules.ReduceOnPlateau(0.2, patience=1, min_delta=0.05, factor=0.5)
    ),
    "Adam": Adam(learning_rate=0.01),
    "Adam amsgrad": Adam(learning_rate=0.01, amsgrad=True),
    "Adam folded": Adam(learning_rate=0.01, epsilon_form="folded", epsilon=1e-3),
    "Adam amsgrad, folded": Adam(learning_rate=0.01, amsgrad=True, epsilon_form="folded"),
    "Adam betas": Adam(learning_rate=0.01, beta_1=0.7, beta_2=0.9, epsilon=1e-4),
    "Adam weight decay, clipped": Adam(
        learning_rate=0.01, weight_decay=0.05, max_gradient_norm=0.1
    ),
    "Adam plateau": Adam(
        learning_rate=schedules.ReduceOnPlateau(0.05, patience=1, min_delta=0.02, minimum=1e-3)
    ),
    "RProp": RProp(),
    "RProp options": RProp(
        initial_step=0.1, increase=1.5, decrease=0.3, min_step=1e-4, max_step=0.2
    ),
    "LBFGS": LBFGS(),
    "LBFGS memory": LBFGS(memory=2),
    "LBFGS line search": LBFGS(curvature=0.1, sufficient_decrease=0.01, max_line_search=4),
    "LBFGS converges": LBFGS(loss_tolerance=0.2, step_tolerance=1e-2),
}
BY_SYSTEM = {
    "marquardt": {},
    "nielsen": {"damping": "nielsen"},
    "diagonal": {"scaling": "diagonal"},
    "nielsen, diagonal": {"damping": "nielsen", "scaling": "diagonal", "mu": 0.1},
    "geodesic": {"geodesic": True},
    "geodesic, nielsen, diagonal": {
        "geodesic": True,
        "damping": "nielsen",
        "scaling": "diagonal",
        "mu": 0.1,
    },
    "mu": {"mu": 10.0, "mu_increase": 4.0, "mu_decrease": 0.3, "mu_max": 1e4},
}

for name, solver in SOLVERS.items():
    of_batches = {} if solver.full_batch else {"batch_size": 16}
    training = Training(trainer={"solver": solver, **of_batches}, epochs=8)
    add_in_both(f"solver: {name}", training)

for name, options in BY_SYSTEM.items():
    lm = Training(trainer={"solver": LevenbergMarquardt(**options)}, init="nguyen_widrow", epochs=6)
    add_in_both(f"LM: {name}, more residuals", lm)
    if options.keys() <= {"damping", "mu"}:
        add_in_both(f"LM: {name}, more parameters", replace(lm, sizes=(5, 30, 3), n_rows=40))
    br = {"solver": BayesianRegularization(**options, keep_posterior=True)}
    add_in_both(f"evidence: {name}", replace(lm, trainer=br))

for name, training in {
    "LM: no hidden layer": Training(sizes=(5, 3)),
    "LM: three hidden layers": Training(sizes=(5, 6, 5, 4, 2)),
    "LM: sigmoid, no biases": Training(activation="sigmoid", output="sigmoid", bias=False,
                                       kind="unit"),
    "LM: relu and identity": Training(sizes=(5, 6, 5, 2), activation=("relu", "identity")),
    "LM: softmax": Training(output="softmax", kind="shares"),
    "LM: many rows, two threads": Training(n_rows=3000, trainer={"n_threads": 2}),
    "LM: one output": Training(sizes=(4, 9, 1), n_rows=200),
    "LM: more parameters, three hidden layers": Training(sizes=(5, 12, 12, 8, 2), n_rows=30),
    "LM: large, blocks of the system": Training(sizes=(12, 40, 2), n_rows=400),
    "LM: a thousand parameters": Training(sizes=(20, 45, 2), n_rows=700),
    "LM: l2": Training(trainer={"l2": 0.01}),
    "LM: l2, more parameters": Training(sizes=(5, 30, 3), n_rows=40, trainer={"l2": 0.01}),
    "LM: cross-entropy of sigmoids": Training(output="sigmoid", kind="answers",
                                              trainer={"loss": "cross_entropy"}),
    "LM: cross-entropy of softmax": Training(output="softmax", kind="classes",
                                             trainer={"loss": "cross_entropy", "l2": 1e-3}),
    "LM: poisson": Training(output="exp", kind="counts", trainer={"loss": "poisson"}),
    "LM: weights of rows": Training(
        fit={"sample_weight": FromData(lambda X, Y: np.abs(X[:, 0]))}
    ),
    "LM: weights of outputs and missing targets": Training(
        fit={"output_weight": [1.0, 0.5, 2.0]}, kind="numbers"
    ),
    "LM: scaled": Training(scaled=("minmax", "standard")),
}.items():  # fmt: skip
    settings = {"solver": LevenbergMarquardt(), **training.trainer}
    add(name, replace(training, trainer=settings, init="nguyen_widrow", epochs=5))
    if not training.trainer and training.output != "softmax":
        evidence = {"solver": BayesianRegularization(keep_posterior="weights of" not in name)}
        add(
            name.replace("LM", "evidence"),
            replace(training, trainer=evidence, init="nguyen_widrow", epochs=5),
        )


# ----------------------------------------------------------------------------- losses and outputs

TARGETS = {"sigmoid": "unit", "tanh": "unit", "relu": "counts", "exp": "counts",
           "softmax": "shares", "identity": "numbers"}  # fmt: skip
ELEMENTWISE = ("identity", "sigmoid", "tanh", "relu", "exp")
LOSSES = {
    "squared_error": ("squared_error", (*ELEMENTWISE, "softmax")),
    "cross_entropy": ("cross_entropy", ("sigmoid", "softmax")),
    "poisson": ("poisson", ("exp",)),
    "absolute_error": ("absolute_error", ELEMENTWISE),
    "huber": ("huber", ELEMENTWISE),
    "Huber(0.2)": (Huber(threshold=0.2), ("identity", "tanh")),
    "quantile": ("quantile", ELEMENTWISE),
    "Quantile(0.9)": (Quantile(quantile=0.9), ("identity", "sigmoid")),
}


def missing_one_in_seven(Y):
    Y = Y.copy()
    Y.flat[::7] = np.nan
    return Y


@dataclass(frozen=True, kw_only=True)
class OfLoss(Training):
    """A training, and loss and gradient at its end, with weights and missing targets too."""

    def __call__(self, network=None):
        network = self.network() if network is None else network
        yield from super().__call__(network)
        X, Y = self.data()
        loss = self.trainer["loss"]
        for n_rows in (1, 4, 5, len(X)):
            yield f"gradient of {n_rows}", network.gradient(X[:n_rows], Y[:n_rows], loss=loss)
        weighted = {"sample_weight": np.abs(X[:, 0]), "output_weight": [0.5, 1.0, 2.0]}
        yield "loss", network.loss(X, Y, loss=loss, **weighted)
        if "softmax" not in self.output:
            Y = missing_one_in_seven(Y)
            yield "missing", network.gradient(X, Y, loss=loss, missing="ignore", **weighted)


for name, (loss, outputs) in LOSSES.items():
    for output in outputs:
        add_in_both(
            f"loss: {name} of {output}",
            OfLoss(
                output=output,
                kind="classes" if (name, output) == ("cross_entropy", "softmax")
                else TARGETS[output],
                trainer={"loss": loss, "batch_size": 16, "solver": SGD(learning_rate=0.05)},
            ),
        )  # fmt: skip


# ------------------------------------------------------------------------- activations and shapes

DEPTHS = ((6, 3), (6, 9, 3), (6, 9, 7, 3), (6, 9, 8, 7, 3))

for sizes, activation, bias, dtype in itertools.product(DEPTHS, HIDDEN, (True, False), DTYPES):
    if len(sizes) == 2 and activation != "identity":
        continue  # it has no hidden layer
    if len(sizes) == 4 and dtype == "float32":
        continue  # three hidden layers are covered
    add(
        f"shape: {'-'.join(map(str, sizes))} {activation}{'' if bias else ', no biases'}, {dtype}",
        Training(
            sizes=sizes,
            activation=activation,
            bias=bias,
            dtype=dtype,
            n_rows=143,
            trainer={"batch_size": 32, "solver": SGD(learning_rate=0.05, momentum=0.5)},
        ),
    )

add_in_both(
    "shape: an activation for each layer",
    Training(sizes=(6, 9, 8, 7, 3), activation=("relu", "sigmoid", "tanh"), output="sigmoid",
             kind="unit"),
)  # fmt: skip

# Whole steps on few rows have code of their own, for up to 12 and 32 outputs.
for (sizes, output), batch_size, dtype in itertools.product(
    (((2, 4, 1), "sigmoid"), ((9, 17, 3), "identity"), ((20, 33, 13), "sigmoid"),
     ((6, 9, 7, 3), "identity")),
    (1, 2, 3, 4),
    DTYPES,
):  # fmt: skip
    for bias in (True, False):
        if not bias and batch_size in (2, 3):
            continue
        add(
            f"few rows: {'-'.join(map(str, sizes))} b{batch_size}{'' if bias else ', no biases'}, "
            f"{dtype}",
            Training(
                sizes=sizes,
                activation="sigmoid",
                output=output,
                bias=bias,
                dtype=dtype,
                kind="unit",
                n_rows=22,
                trainer={"batch_size": batch_size, "solver": SGD(learning_rate=0.5)},
            ),
        )

for name, changed in {
    "momentum": {"trainer": {"solver": SGD(momentum=0.9)}},
    "nesterov": {"trainer": {"solver": SGD(momentum=0.9, nesterov=True)}},
    "Adam": {"trainer": {"solver": Adam(learning_rate=0.01)}},
    "amsgrad": {"trainer": {"solver": Adam(learning_rate=0.01, amsgrad=True)}},
    "weight decay": {"trainer": {"solver": SGD(weight_decay=0.1)}},
    "clipped": {"trainer": {"solver": SGD(max_gradient_norm=0.1)}},
    "l1 and l2": {"trainer": {"solver": SGD(), "l1": 0.01, "l2": 0.1}},
    "tanh": {"activation": "tanh", "output": "tanh"},
    "relu": {"activation": "relu", "output": "relu"},
    "identity": {"activation": "identity", "output": "identity"},
    "cross-entropy of softmax": {
        "output": "softmax",
        "kind": "classes",
        "trainer": {"loss": "cross_entropy"},
    },
    "cross-entropy of sigmoids": {"kind": "answers", "trainer": {"loss": "cross_entropy"}},
    "poisson": {"output": "exp", "kind": "counts", "trainer": {"loss": "poisson"}},
    "huber": {"trainer": {"loss": "huber"}},
    "weights": {"fit": {"sample_weight": FromData(lambda X, Y: np.abs(X[:, 0]))}},
    "weights of outputs": {"fit": {"output_weight": [0.5, 1.0, 2.0]}},
    "scaled": {"output": "identity", "scaled": ("standard", "standard")},
    "some rows held out": {"fit": {"validation_data": 0.3}},
    "rows as they are": {"trainer": {"shuffle": False}},
}.items():
    for batch_size, dtype in itertools.product((1, 2, 3, 4), DTYPES):
        training = Training(
            **{
                "sizes": (9, 17, 3),
                "activation": "sigmoid",
                "output": "sigmoid",
                "kind": "unit",
                "n_rows": 21,
                **changed,
                "dtype": dtype,
                "trainer": {"solver": SGD(learning_rate=0.05), **changed.get("trainer", {}),
                            "batch_size": batch_size},
            }
        )  # fmt: skip
        add(f"few rows: {name}, b{batch_size}, {dtype}", training)

for (name, solver), (dtype, activation), shuffle in itertools.product(
    (("SGD", SGD(learning_rate=2.0)), ("momentum", SGD(learning_rate=0.5, momentum=0.9)),
     ("Adam", Adam(learning_rate=0.02))),
    (("float64", "sigmoid"), ("float32", "sigmoid"), ("float64", "relu"), ("float32", "tanh")),
    (False, True),
):  # fmt: skip
    add(
        f"four rows: {name}, {activation}{', shuffled' if shuffle else ''}, {dtype}",
        Training(
            sizes=(2, 4, 1),
            activation=activation,
            output="sigmoid",
            dtype=dtype,
            kind="answers",
            n_rows=4,
            epochs=200,
            trainer={"batch_size": 4, "solver": solver, "shuffle": shuffle},
        ),
    )

for dtype in DTYPES:
    for name, training in {
        "SGD": Training(trainer={"solver": SGD(), "batch_size": 100}),
        "momentum, relu, no biases": Training(
            activation="relu", bias=False,
            trainer={"solver": SGD(learning_rate=0.02, momentum=0.9), "batch_size": 60},
        ),
        "Adam, sigmoid": Training(
            activation="sigmoid", output="sigmoid", kind="unit",
            trainer={"solver": Adam(), "batch_size": None, "l2": 1e-4},
        ),
        "clipped, weights": Training(
            trainer={"solver": SGD(max_gradient_norm=0.1, weight_decay=0.01), "batch_size": 90},
            fit={"sample_weight": FromData(lambda X, Y: np.abs(X[:, 0]))},
        ),
        "softmax, cross-entropy": Training(
            output="softmax", kind="classes",
            trainer={"loss": "cross_entropy", "batch_size": 50, "solver": SGD()},
        ),
        "RProp": Training(trainer={"solver": RProp()}),
        "LBFGS": Training(trainer={"solver": LBFGS()}),
        **{
            f"b{rows}": Training(trainer={"batch_size": rows, "solver": SGD()}, n_rows=13)
            for rows in (1, 2, 3, 4)
        },
    }.items():  # fmt: skip
        training = replace(
            training,
            sizes=TILES[dtype],
            dtype=dtype,
            epochs=2,
            n_rows=min(training.n_rows, 13) if training.n_rows < 61 else 230,
        )
        add(f"tiles: {name}, {dtype}", training)
    add(
        f"tiles: few rows of one hidden layer, {dtype}",
        Training(sizes=(784, 100, 10), dtype=dtype, n_rows=9, epochs=2,
                 trainer={"batch_size": 1, "solver": SGD(learning_rate=0.01)}),
    )  # fmt: skip
    add(
        f"tiles: of a W for BLAS, {dtype}",
        Training(sizes=(790, 701, 2), dtype=dtype, n_rows=150, epochs=1,
                 trainer={"batch_size": 150, "solver": SGD(momentum=0.9)}),
    )  # fmt: skip
    add(
        f"leaves: the digits' network, {dtype}",
        Training(sizes=(784, 30, 10), activation="sigmoid", output="sigmoid", bias=False,
                 dtype=dtype, kind="unit", n_rows=300, epochs=2, trainer={"batch_size": 10}),
    )  # fmt: skip


# --------------------------------------------------------------------- order, penalties and weights


def _reversed_order(n_rows):
    return lambda epoch: np.roll(np.arange(n_rows)[::-1], epoch)


# So many rows that a window does not hold them all.
ORDERED = 70_000

for name, shuffle in {
    "seed": True,
    "none": False,
    "window": "window",
    "callable": _reversed_order(ORDERED),
}.items():
    for dtype in DTYPES:
        add(
            f"order: {name}, {dtype}",
            Training(sizes=(3, 4, 1), n_rows=ORDERED, epochs=2, dtype=dtype,
                     trainer={"shuffle": shuffle, "batch_size": 500}),
        )  # fmt: skip
    full = {"shuffle": shuffle, "batch_size": ORDERED, "solver": SGD()}
    add(f"order: {name}, full batch", Training(n_rows=ORDERED, epochs=2, trainer=full))

for (name, penalty), (solver_name, solver) in itertools.product(
    {"l1": {"l1": 0.01}, "l2": {"l2": 0.01}, "l1 and l2": {"l1": 0.002, "l2": 0.01}}.items(),
    {"SGD": SGD(), "Adam": Adam(learning_rate=0.01), "RProp": RProp(), "LBFGS": LBFGS()}.items(),
):
    of_batches = {} if solver.full_batch else {"batch_size": 16}
    add_in_both(
        f"penalty: {name}, {solver_name}",
        Training(trainer={"solver": solver, **penalty, **of_batches}),
    )

WEIGHTED = {
    "rows": {"sample_weight": FromData(lambda X, Y: np.abs(X[:, 0]) + (X[:, 1] > 0))},
    "classes, balanced": {"class_weight": "balanced"},
    "classes, a mapping": {"class_weight": {0: 2.0, 2: 0.5}},
    "rows and classes": {
        "sample_weight": FromData(lambda X, Y: np.abs(X[:, 0])),
        "class_weight": "balanced",
    },
    "outputs": {"output_weight": [0.5, 1.0, 3.0]},
}
for (name, fit), (solver_name, solver) in itertools.product(
    WEIGHTED.items(), {"SGD": SGD(), "LBFGS": LBFGS()}.items()
):
    of_batches = {} if solver.full_batch else {"batch_size": 16}
    add(
        f"weights: {name}, {solver_name}",
        Training(output="softmax", kind="classes", fit=fit,
                 trainer={"loss": "cross_entropy", "solver": solver, **of_batches}),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WithMissing(Training):
    """A training where some targets are missing."""

    def data(self):
        X, Y = super().data()
        return X, missing_one_in_seven(Y)


for name, solver in {
    "SGD": SGD(),
    "Adam": Adam(),
    "RProp": RProp(),
    "LBFGS": LBFGS(),
    "LM": LevenbergMarquardt(),
    "evidence": BayesianRegularization(keep_posterior=True),
}.items():
    of_batches = {} if solver.full_batch else {"batch_size": 16}
    add_in_both(
        f"missing: {name}",
        WithMissing(fit={"missing": "ignore"}, trainer={"solver": solver, **of_batches}),
    )
add(
    "missing: weights and validation",
    WithMissing(
        fit={"missing": "ignore", "output_weight": [0.5, 1.0, 2.0], "validation_data": 0.25,
             "sample_weight": FromData(lambda X, Y: np.abs(X[:, 0])), "metric": "r2"},
        trainer={"batch_size": 16},
    ),
)  # fmt: skip


# ----------------------------------------------------------------------- validation and stopping


def _pair(X, Y):
    other = inputs(33, X.shape[1], X.dtype, seed=5)
    return other, targets("numbers", other, Y.shape[1])


def _triple(X, Y):
    X, Y = _pair(X, Y)
    return X, Y, np.abs(X[:, 0])


def worst_error(Y, Y_hat):
    return np.abs(Y - Y_hat).max()


OUTSIDE = FromData(_pair)
WATCHING = {
    "a fraction": {"validation_data": 0.25},
    "fractions": {"validation_data": 0.25, "test_data": 0.2},
    "rows": {"validation_data": np.arange(3, 40, 3), "test_data": np.arange(4, 20, 3)},
    "other data": {"validation_data": OUTSIDE, "test_data": OUTSIDE},
    "other data with weights": {"validation_data": FromData(_triple)},
    "r2": {"validation_data": OUTSIDE, "test_data": 0.2, "metric": "r2"},
    "a metric in Python": {"validation_data": OUTSIDE, "metric": worst_error},
    "gradient norm": {"gradient_norm": True},
    "target loss": {"target_loss": 0.9},
    "early stopping": {
        "validation_data": 0.25,
        "early_stopping": EarlyStopping(patience=2),
    },
    "early stopping, the last parameters": {
        "validation_data": 0.25,
        "early_stopping": EarlyStopping(patience=2, restore_best=False, min_delta=0.01),
    },
    "early stopping by the metric": {
        "validation_data": OUTSIDE,
        "metric": "r2",
        "early_stopping": EarlyStopping(monitor="validation_metric", patience=3, start_epoch=4),
    },
    "early stopping by a metric in Python": {
        "validation_data": OUTSIDE,
        "metric": worst_error,
        "early_stopping": EarlyStopping(monitor="validation_metric", mode="min", patience=3),
    },
    "early stopping by the loss": {
        "early_stopping": EarlyStopping(monitor="loss", patience=1, min_delta=0.1)
    },
}
for (name, fit), (solver_name, solver) in itertools.product(
    WATCHING.items(),
    {
        "SGD": SGD(learning_rate=0.3, momentum=0.9),
        "LBFGS": LBFGS(),
    }.items(),
):
    of_batches = {} if solver.full_batch else {"batch_size": 16}
    add(
        f"watching: {name}, {solver_name}",
        Training(fit=fit, epochs=25, trainer={"solver": solver, **of_batches}),
    )
for name, solver in (("LM", LevenbergMarquardt()), ("RProp", RProp())):
    add_in_both(
        f"watching: early stopping, {name}",
        Training(fit=WATCHING["early stopping"], epochs=25, trainer={"solver": solver}),
    )
add_in_both(
    "watching: accuracy of classes",
    Training(
        output="softmax",
        kind="classes",
        epochs=10,
        fit={"validation_data": 0.3, "metric": "accuracy",
             "early_stopping": EarlyStopping(monitor="validation_metric", patience=2)},
        trainer={"loss": "cross_entropy", "batch_size": 16},
    ),
)  # fmt: skip
add(
    "watching: accuracy of one output",
    Training(
        sizes=(5, 7, 1),
        output="sigmoid",
        kind="answers",
        fit={"validation_data": 0.3, "test_data": 0.2, "metric": "accuracy",
             "class_weight": "balanced"},
        trainer={"loss": "cross_entropy", "batch_size": 16},
    ),
)  # fmt: skip
add(
    "watching: a plateau and early stopping",
    Training(fit=WATCHING["early stopping"], epochs=30,
             trainer={"solver": SOLVERS["SGD plateau"], "batch_size": 16}),
)  # fmt: skip


class StopAtThree:
    """A callback that stops the training after its third epoch."""

    def on_epoch_end(self, trainer, record):
        return record["epoch"] == 2


add("callback: stops", Training(fit={"callbacks": StopAtThree()}, epochs=6,
                                trainer={"batch_size": 16}))  # fmt: skip


def own_loss(Y, Y_hat):
    """The logarithm of cosh of the error, and its derivative."""
    return float(np.log(np.cosh(Y_hat - Y)).sum() / len(Y)), np.tanh(Y_hat - Y) / len(Y)


for name, solver in {"SGD": SGD(), "Adam": Adam(), "RProp": RProp(), "LBFGS": LBFGS()}.items():
    of_batches = {} if solver.full_batch else {"batch_size": 16}
    add_in_both(
        f"loss in Python: {name}",
        Training(fit={"validation_data": 0.2},
                 trainer={"loss": own_loss, "solver": solver, **of_batches}),
    )  # fmt: skip
    if name in ("SGD", "LBFGS"):
        add(
            f"restarts: {name}",
            Training(fit={"restarts": 3, "validation_data": 0.2},
                     trainer={"solver": solver, "n_threads": 2, **of_batches}),
        )  # fmt: skip
add("restarts: LM", Training(fit={"restarts": 3},
                             trainer={"solver": LevenbergMarquardt(), "n_threads": 2}))  # fmt: skip
add(
    "restarts: evidence with a posterior",
    Training(fit={"restarts": 2},
             trainer={"solver": BayesianRegularization(keep_posterior=True)}),
)  # fmt: skip

for inputs_by, targets_by in (("standard", "standard"), ("minmax", "minmax")):
    for name, solver in {
        "Adam": Adam(),
        "LBFGS": LBFGS(),
        "evidence": BayesianRegularization(keep_posterior=True),
    }.items():
        of_batches = {} if solver.full_batch else {"batch_size": 16}
        add_in_both(
            f"scaled: {inputs_by}, {name}",
            Training(scaled=(inputs_by, targets_by), fit={"validation_data": 0.2, "metric": "r2"},
                     trainer={"solver": solver, **of_batches}),
        )  # fmt: skip
add(
    "scaled: huber",
    Training(scaled=("standard", "standard"),
             trainer={"loss": Huber(threshold=0.5), "batch_size": 16}),
)  # fmt: skip


# -------------------------------------------------------------------- calls, threads, interruptions

for name, solver in {
    **{k: SOLVERS[k] for k in ("SGD momentum", "Adam amsgrad", "SGD plateau", "RProp", "LBFGS")},
    "LM": LevenbergMarquardt(damping="nielsen"),
    "evidence": BayesianRegularization(),
}.items():
    of_batches = {} if solver.full_batch else {"batch_size": 16}
    training = Training(trainer={"solver": solver, **of_batches}, epochs=6)
    add(f"calls: {name}, six epochs at once", training)
    add(f"calls: {name}, one by one", replace(training, epochs=1, calls=6))


def pickled(trainer):
    return pickle.loads(pickle.dumps(trainer))


def checkpointed(trainer):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        trainer.save(path)
        return cbackprop.Trainer.load(path)


def another_solver(trainer):
    trainer.solver = Adam(learning_rate=0.02) if isinstance(trainer.solver, SGD) else SGD()
    return trainer


for name, between in {
    "pickled": pickled,
    "deepcopied": copy.deepcopy,
    "in a checkpoint": checkpointed,
    "another solver": another_solver,
}.items():
    training = Training(epochs=2, calls=3, between=between,
                        trainer={"solver": SGD(momentum=0.9), "batch_size": 16})  # fmt: skip
    add(f"goes on: {name}", training)
    stopping = {"validation_data": 0.2, "early_stopping": EarlyStopping(patience=4)}
    add(f"goes on: {name}, early stopping", replace(training, fit=stopping))
for name, solver in {"LBFGS": LBFGS(), "LM": LevenbergMarquardt(), "RProp": RProp()}.items():
    add(f"goes on: in a checkpoint, {name}",
        Training(epochs=2, calls=3, between=checkpointed, trainer={"solver": solver}))  # fmt: skip

for n_threads, dtype in itertools.product((1, 2), DTYPES):
    for name, training in {
        "leaves": Training(sizes=(8, 16, 1), n_rows=60_000, epochs=1,
                           trainer={"batch_size": 20_000, "solver": SGD(momentum=0.9)}),
        "tiles": Training(sizes=TILES[dtype], n_rows=2600, epochs=1,
                          trainer={"batch_size": 1000, "solver": Adam()},
                          fit={"validation_data": 0.2}),
        "LBFGS": Training(sizes=(8, 16, 1), n_rows=40_000, epochs=3, trainer={"solver": LBFGS()}),
        "evidence": Training(n_rows=3000, epochs=3, init="nguyen_widrow",
                             trainer={"solver": BayesianRegularization(keep_posterior=True)}),
    }.items():  # fmt: skip
        settings = {**training.trainer, "n_threads": n_threads}
        plural = "s" * (n_threads > 1)
        add(
            f"threads: {name}, {n_threads} thread{plural}, {dtype}",
            replace(training, dtype=dtype, trainer=settings),
        )


for name, form in {
    "Fortran order": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X: X[::-1].copy()[::-1],
    "float32": lambda X: X.astype("float32"),
    "big-endian": lambda X: X.astype(">f8"),
    "integers": lambda X: np.rint(2 * X).astype("int16"),
}.items():
    for solver_name, solver in {"SGD": SGD(), "LBFGS": LBFGS()}.items():
        of_batches = {} if solver.full_batch else {"batch_size": 16}
        add(f"rows: {name}, {solver_name}",
            Training(form=form, trainer={"solver": solver, **of_batches}))  # fmt: skip


@case("diverges")
def _diverges():
    training = Training(activation="relu", trainer={"solver": SGD(learning_rate=1e30)})
    network = training.network()
    trainer = cbackprop.Trainer(network, seed=11, batch_size=16, **training.trainer)
    try:
        trainer.fit(*training.data(), epochs=3)
    except cbackprop.DivergenceError as error:
        yield "where", [error.epoch, error.step, error.learning_rate]
    yield "epoch", trainer.epoch
    yield from told_of(network, training.data()[0])


# --------------------------------------------------------------------- evaluations and derivatives

EVALUATED = {
    "no hidden layer": Training(sizes=(5, 3)),
    "leaves": Training(sizes=(5, 9, 3), activation="sigmoid"),
    "leaves, relu": Training(sizes=(7, 20, 11, 2), activation="relu", output="tanh"),
    "no biases": Training(sizes=(5, 9, 3), bias=False, output="exp"),
    "softmax": Training(sizes=(5, 9, 8, 4), output="softmax"),
    "scaled": Training(sizes=(5, 9, 3), scaled=("standard", "minmax")),
    "tiles": Training(sizes=TILES["float32"]),
}


@dataclass(frozen=True)
class Evaluation:
    """Predictions, losses, gradients and derivatives of a network as it was drawn."""

    training: Training
    row_counts: tuple[int, ...]

    def __call__(self, network=None):
        training = self.training
        network = training.network() if network is None else network
        for n_rows in self.row_counts:
            rows = replace(training, n_rows=n_rows)
            X, _ = rows.data()
            Y = targets("shares" if training.output == "softmax" else "unit", X, X.shape[1])
            Y = np.resize(Y, (n_rows, training.sizes[-1]))
            for n_threads in (None, 2):
                threads = {"n_threads": n_threads}
                yield f"predict {n_rows}", network.predict(X, **threads)
                yield f"loss {n_rows}", network.loss(X, Y, **threads)
                yield f"gradient {n_rows}", network.gradient(X, Y, **threads)
                yield f"backward {n_rows}", network.backward(X, Y - 0.5, **threads)
            if n_rows <= 200:
                yield f"jacobian {n_rows}", network.jacobian(X)
                yield f"input gradient {n_rows}", network.input_gradient(X, Y - 0.5)
            if n_rows * network.n_parameters <= 100_000:
                yield f"parameter jacobian {n_rows}", network.parameter_jacobian(X)
                for which, block in network.parameter_jacobian_blocks(X, rows=9):
                    yield f"block {which.start}:{which.stop}", block
        X = inputs(40, training.sizes[0], training.dtype)
        yield "Fortran order", network.predict(np.asfortranarray(X))
        yield "reversed", network.predict(X[::-1])
        yield "float32 rows", network.predict(X.astype("float32"))


for name, training in EVALUATED.items():
    counts = (1, 3, 60) if name == "tiles" else (1, 2, 3, 4, 5, 31, 200, 9000)
    for dtype in DTYPES:
        add(f"evaluation: {name}, {dtype}", Evaluation(replace(training, dtype=dtype), counts))


@case("initializations")
def _initializations():
    for init, seed, dtype in itertools.product(
        ("auto", "glorot", "normal", "nguyen_widrow"), (0, 1, 2**40), DTYPES
    ):
        for activation in ("relu", "tanh", "sigmoid"):
            for bias in (True, False):
                network = cbackprop.Network((4, 6, 5, 2), activation=activation, bias=bias,
                                            dtype=dtype, init=init, seed=seed)  # fmt: skip
                yield f"{init} {seed} {dtype} {activation} {bias}", network.parameters
    network = cbackprop.Network((4, 6, 2), seed=np.random.SeedSequence(5))
    yield "of a SeedSequence", network.parameters
    network.initialize(seed=np.random.default_rng(5))
    yield "of a Generator", network.parameters


@case("formulas of two layers")
def _formulas():
    for dtype in DTYPES:
        rng = np.random.default_rng(3)
        for n_rows in (1, 5, 100, 999):
            X, Y = rng.normal(size=(n_rows, 4)), rng.uniform(size=(n_rows, 2))
            W1, W2 = rng.normal(size=(4, 8)), rng.normal(size=(8, 2))
            X, Y, W1, W2 = (A.astype(dtype) for A in (X, Y, W1, W2))
            Z = cbackprop.sigmoid(X @ W1)
            # The products in between are NumPy's: only what is cbackprop's own is told.
            Z_given = rng.uniform(size=(n_rows, 8)).astype(dtype)
            Y_hat = rng.uniform(size=(n_rows, 2)).astype(dtype)
            delta_O = cbackprop.delta_output(Y, Y_hat)
            yield "Z", cbackprop.sigmoid(X)
            yield "shape", list(Z.shape)
            yield "delta_O", delta_O
            yield "delta_H", cbackprop.delta_hidden(delta_O, W2, Z_given)
            yield "gradients", cbackprop.gradients(X, Y, W1, W2)
        yield "far", cbackprop.sigmoid(np.linspace(-800, 800, 4001).astype(dtype))


# -------------------------------------------------------------------------------------- estimators


def estimator_case(name, make, data, act=None):
    """Add a case of cbackprop.sklearn; ``act`` fits the estimator, by its fit where it is None."""

    def run():
        X, y = data()
        estimator = make()
        fitted = estimator.fit(X, y) if act is None else act(estimator, X, y)
        yield from told_of_estimator(fitted, X)

    add(f"estimator: {name}", run)


def told_of_estimator(estimator, X):
    yield "coefs_", list(estimator.coefs_)
    yield "intercepts_", list(estimator.intercepts_)
    yield "loss_curve_", [float(loss) for loss in estimator.loss_curve_]
    yield "n_iter_, t_", [estimator.n_iter_, estimator.t_]
    yield "history_", estimator.history_
    yield "predict", estimator.predict(X)
    if hasattr(estimator, "predict_proba"):
        yield "predict_proba", np.asarray(estimator.predict_proba(X))
    scores = estimator.validation_scores_
    yield "validation_scores_", None if scores is None else [float(score) for score in scores]


def _regression():
    X = inputs(90, 4, seed=2)
    return X, targets("numbers", X, 1)[:, 0]


def _several_targets():
    X = inputs(90, 4, seed=2)
    return X, targets("numbers", X, 3)


def _counts():
    X = inputs(90, 4, seed=2)
    return X, targets("counts", X, 1)[:, 0]


def _missing_targets():
    X, Y = _several_targets()
    return X, missing_one_in_seven(Y)


def _single():
    X, y = _regression()
    return X.astype("float32"), y.astype("float32")


def _sparse():
    from scipy.sparse import csr_array

    X, y = labels(90, 3)
    return csr_array(np.where(np.abs(X) > 0.8, X, 0.0)), y


def _sparse_regression():
    from scipy.sparse import csr_array

    X, y = _regression()
    return csr_array(np.where(np.abs(X) > 0.8, X, 0.0)), y


def _answers():
    X = inputs(90, 4, seed=2)
    return X, targets("answers", X, 3).astype(int)


def _in_parts(estimator, X, y):
    classes = {} if not hasattr(estimator, "predict_proba") else {"classes": np.unique(y)}
    for start in (0, 30, 60, 0):
        rows = slice(start, start + 30)
        estimator.partial_fit(X[rows], y[rows], **classes)
        classes = {}
    return estimator


def _three_times(estimator, X, y):
    for _ in range(3):
        estimator.fit(X, y)
    return estimator


def _pickled_between(estimator, X, y):
    return pickle.loads(pickle.dumps(estimator.fit(X, y))).fit(X, y)


def _weighted(estimator, X, y):
    return estimator.fit(X, y, sample_weight=np.abs(np.asarray(X[:, 0]).ravel()) + 0.1)


def _validated(estimator, X, y):
    return estimator.fit(X[:60], y[:60], validation_data=(X[60:], y[60:]))


def of(name, **parameters):
    """What makes an estimator of that name; scikit-learn is imported then."""

    def make():
        from cbackprop import sklearn

        settings = {"hidden_layer_sizes": (6,), "max_iter": 12, "random_state": 3, **parameters}
        return getattr(sklearn, name)(**settings)

    return make


def _add_estimators():
    classifier, regressor = "MLPClassifier", "MLPRegressor"

    for solver in ("adam", "sgd", "lbfgs", "rprop", "lm"):
        for n_classes in (2, 3):
            name = f"classifier of {n_classes}, {solver}"
            estimator_case(name, of(classifier, solver=solver), lambda n=n_classes: labels(90, n))
    for solver in ("adam", "sgd", "lbfgs", "rprop", "lm", "br"):
        estimator_case(f"regressor, {solver}", of(regressor, solver=solver), _regression)
        if solver != "rprop":
            more = of(regressor, solver=solver, activation="tanh", scaling="standard")
            estimator_case(f"regressor of three, scaled, {solver}", more, _several_targets)
    for loss in ("poisson", "absolute_error", "huber", "quantile", Huber(threshold=0.3)):
        estimator_case(f"regressor, {loss}", of(regressor, loss=loss), _counts)
    for activation in ("identity", "logistic", "tanh", "relu"):
        two = of(regressor, activation=activation, hidden_layer_sizes=(6, 5))
        estimator_case(f"regressor, {activation}", two, _regression)
    for rate in ("constant", "invscaling", "adaptive"):
        sgd = of(classifier, solver="sgd", learning_rate=rate, learning_rate_init=0.5,
                 n_iter_no_change=2, tol=0.01, max_iter=40)  # fmt: skip
        estimator_case(f"classifier, sgd {rate}", sgd, lambda: labels(90, 3))
    for name, make, data, act in (
        ("classifier, partial_fit", of(classifier), lambda: labels(90, 3), _in_parts),
        ("regressor, partial_fit", of(regressor, solver="sgd"), _regression, _in_parts),
        ("classifier, warm start", of(classifier, warm_start=True, max_iter=4),
         lambda: labels(90, 3), _three_times),
        ("regressor, warm start of lbfgs",
         of(regressor, warm_start=True, max_iter=4, solver="lbfgs"), _regression, _three_times),
        ("regressor, warm start, pickled",
         of(regressor, warm_start=True, max_iter=4, solver="lbfgs"), _regression,
         _pickled_between),
        ("classifier, sparse", of(classifier), _sparse, None),
        ("classifier, sparse, lbfgs", of(classifier, solver="lbfgs"), _sparse, None),
        ("regressor, sparse, batches of 7",
         of(regressor, solver="sgd", batch_size=7), _sparse_regression, None),
        ("regressor, float32", of(regressor), _single, None),
        ("regressor, float32, lbfgs", of(regressor, solver="lbfgs"), _single, None),
        ("classifier, multilabel", of(classifier), _answers, None),
        ("classifier, early stopping",
         of(classifier, early_stopping=True, n_iter_no_change=3, max_iter=60,
            learning_rate_init=0.05), lambda: labels(90, 3), None),
        ("regressor, early stopping",
         of(regressor, early_stopping=True, n_iter_no_change=3, max_iter=60,
            learning_rate_init=0.05), _regression, None),
        ("regressor, validation data",
         of(regressor, early_stopping=True, n_iter_no_change=3, max_iter=60,
            learning_rate_init=0.05), _regression, _validated),
        ("classifier, class weights", of(classifier, class_weight="balanced"),
         lambda: labels(90, 3), None),
        ("classifier, sample weights", of(classifier), lambda: labels(90, 3), _weighted),
        ("regressor, sample weights", of(regressor, solver="lbfgs"), _regression, _weighted),
        ("classifier, each against all", of(classifier, output_activation="logistic"),
         lambda: labels(90, 3), None),
        ("regressor, missing targets", of(regressor, missing="ignore"), _missing_targets, None),
        ("regressor, restarts", of(regressor, solver="lbfgs", restarts=3, n_jobs=2),
         _regression, None),
        ("regressor, penalty as it is", of(regressor, alpha=0.1, alpha_scaling="none"),
         _regression, None),
        ("regressor, batches of 7, no order", of(regressor, batch_size=7, shuffle=False),
         _regression, None),
        ("regressor, momentum",
         of(regressor, solver="sgd", momentum=0.5, nesterovs_momentum=False), _regression, None),
        ("regressor, a loss in Python", of(regressor, loss=own_loss), _regression, None),
    ):  # fmt: skip
        estimator_case(name, make, data, act)

    @case("estimator: regressor with error bars")
    def _error_bars():
        X, y = _regression()
        model = of(regressor, solver="br", scaling="minmax")().fit(X, y)
        yield from told_of_estimator(model, X)
        yield "std", model.predict(X, return_std=True)[1]


if importlib.util.find_spec("sklearn"):  # else these cases are not there, and not compared
    _add_estimators()


# ------------------------------------------------------------------------------------ command line


def _csv(path, X, y):
    lines = ["a,b,c,d,y", *(",".join(map(repr, row)) for row in np.column_stack([X, y]).tolist())]
    path.write_text("\n".join(lines) + "\n")


def command(*words):
    """Run a command; returns what it printed."""
    from cbackprop.commandline import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = main([str(word) for word in words])
    if status:
        raise RuntimeError(f"{' '.join(map(str, words))} ended with status {status}")
    return printed.getvalue()


def command_case(name, options, data, *, classify=False):
    def run():
        X, y = data()
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            _csv(place / "data.csv", X, y)
            command("train", place / "data.csv", *options.split(), *["--classify"] * classify,
                    "--hidden", "6", "--epochs", "8", "--quiet", "--save", place / "model",
                    "--history", place / "history")  # fmt: skip
            network = cbackprop.Network.load(place / "model")
            yield from told_of(network, X)
            columns = json.loads((place / "history").read_text())["columns"]
            yield "history", {k: v for k, v in columns.items() if k != "seconds"}
            yield "answers", command("predict", place / "model", place / "data.csv", "--quiet")

    add(f"command line: {name}", run)


for name, options in {
    "defaults": "",
    "momentum": "--momentum 0.9 --nesterov --batch-size 7",
    "adam": "--solver adam --l2 1e-3 --validation 0.2 --patience 3",
    "float32": "--dtype float32 --scale minmax --activation tanh",
    "lbfgs": "--solver lbfgs --test-fraction 0",
    "restarts": "--solver rprop --restarts 2 --validation 0.2",
}.items():
    command_case(name, options, _regression)
command_case("evidence", "--solver br --error-bars", _regression)
command_case("classes", "--loss cross_entropy", lambda: labels(90, 3), classify=True)
command_case("classes, lm", "--solver lm", lambda: labels(90, 3), classify=True)


def run(case):
    """What a case tells; warnings and what it prints are dropped."""
    with warnings.catch_warnings(), open(os.devnull, "w") as nothing:
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(nothing):
            yield from case()
