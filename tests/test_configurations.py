"""Random configurations: solver x loss x activations x weights x bias x depth x batch x dtype."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cbackprop
from cbackprop import LBFGS, SGD, Adam, AdamW, NAdam, RProp
from cbackprop.core.gradient import batch
from test_objectives import ALLOWED, complex_step, targets

SOLVERS = [
    SGD(learning_rate=0.05),
    SGD(learning_rate=0.05, momentum=0.9, weight_decay=0.01),
    SGD(learning_rate=0.05, momentum=0.9, nesterov=True, max_gradient_norm=0.5),
    Adam(learning_rate=0.01),
    Adam(learning_rate=0.01, amsgrad=True, epsilon_form="folded"),
    AdamW(learning_rate=0.01, weight_decay=0.3),
    NAdam(learning_rate=0.01),
    RProp(),
    LBFGS(memory=4),
]


@st.composite
def configurations(draw):
    loss = draw(st.sampled_from(sorted(ALLOWED)))
    output = draw(st.sampled_from(ALLOWED[loss]))
    hidden = draw(st.lists(st.integers(1, 6), max_size=3))
    n_out = draw(st.integers(2 if output == "softmax" else 1, 4))
    return {
        "loss": loss,
        "output": output,
        "sizes": (draw(st.integers(1, 4)), *hidden, n_out),
        "activations": tuple(
            draw(st.sampled_from(["sigmoid", "tanh", "relu", "identity"])) for _ in hidden
        ),
        "bias": draw(st.booleans()),
        "solver": draw(st.sampled_from(SOLVERS)),
        "batch": draw(st.sampled_from([1, 3, 4, 10, 64])),
        "weighted": draw(st.booleans()),
        "output_weighted": draw(st.booleans()),
        "penalty": draw(st.sampled_from([0.0, 0.01])),
        "seed": draw(st.integers(0, 1000)),
    }


@settings(
    max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(configurations())
def test_gradients_threads_and_resuming(c):
    rng = np.random.default_rng(c["seed"])
    n_out, N = c["sizes"][-1], 23
    X, Y = rng.standard_normal((N, c["sizes"][0])), targets(c["loss"], c["output"], (N, n_out))
    w = rng.uniform(0.1, 2, N) if c["weighted"] else None
    u = rng.uniform(0.1, 2, n_out) if c["output_weighted"] else None

    def network(dtype="float64"):
        return cbackprop.Network(
            c["sizes"],
            activation=c["activations"],
            output_activation=c["output"],
            bias=c["bias"],
            dtype=dtype,
            seed=c["seed"],
        )

    net = network()
    _, g = net.gradient(X, Y, loss=c["loss"], sample_weight=w, output_weight=u)
    weight = np.ones((N, n_out))
    weight *= 1 if w is None else (w * N / w.sum())[:, None]
    weight *= 1 if u is None else u
    exact = complex_step(net, X, Y, c["loss"], weight)
    scale = np.abs(exact).max()
    assert np.abs(g - exact).max() <= 1e-12 * scale or scale < 1e-14
    single = network("float32").gradient(X, Y, loss=c["loss"], sample_weight=w, output_weight=u)[1]
    if "relu" not in (*c["activations"], c["output"]):  # a kink may lie between the two
        assert np.abs(single - g).max() <= 1e-5 * max(scale, 1)

    solver = c["solver"]

    def train(n_threads=1, parts=(4,), copies=False):
        trainer = cbackprop.Trainer(
            network(),
            solver=solver,
            loss=c["loss"],
            l2=c["penalty"],
            seed=c["seed"],
            batch_size=None if solver.full_batch else c["batch"],
            n_threads=n_threads,
        )
        try:
            for part in parts:
                if part < 0:
                    trainer._fit(X, Y, 4, steps=-part, sample_weight=w, output_weight=u)
                    trainer = pickle.loads(pickle.dumps(trainer))
                else:
                    epochs = 4 - trainer.epoch if copies else part
                    trainer.fit(X, Y, epochs=epochs, sample_weight=w, output_weight=u)
        except cbackprop.DivergenceError as error:
            return error.epoch, error.step
        return trainer.network.parameters.tobytes(), trainer.history["loss"].tobytes()

    before = batch.set_worthwhile(0.0)
    try:
        runs = {train(), train(2), train(5), train(1, (1, 3)), train(2, (-3, 4), copies=True)}
    finally:
        batch.set_worthwhile(before)
    assert len(runs) == 1


def test_the_strategies_reach_every_solver():
    seen = set()

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(configurations())
    def collect(c):
        seen.add(c["solver"])

    collect()
    assert seen == set(SOLVERS)
    pytest.importorskip("hypothesis")
