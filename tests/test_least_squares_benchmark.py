"""The benchmark of Levenberg-Marquardt: peers that do the same, table, switches.  No clock."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import cbackprop
from cbackprop.plotting.text import plot

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmarks import least_squares, limit, solvers
from benchmarks.least_squares import Line
from benchmarks.marquardt_peers import PEERS, Failed, Process, parts

HIDDEN = 3
# PyTorch takes seconds to import.
NAMES = [pytest.param(n, marks=pytest.mark.slow) if n == "torch" else n for n in PEERS]


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (30, 2))
    Y = np.sin(2 * X[:, :1]) * X[:, 1:]
    return X, Y, least_squares.fresh(1, (2, HIDDEN, 1)).parameters.copy(), HIDDEN


def predicted(parameters, X):
    W1, b1, W2, b2 = parts(parameters, HIDDEN)
    return np.tanh(X @ W1 + b1) @ W2 + b2


def test_parameters_are_taken_apart_in_our_order(task):
    X, _, start, _ = task
    net = least_squares.fresh(1, (2, HIDDEN, 1))
    np.testing.assert_allclose(net.predict(X), predicted(start, X), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_lowers_the_loss_from_the_same_start(name, task):
    if reason := PEERS[name].missing():
        pytest.skip(reason)
    X, Y, start, _ = task
    peer = PEERS[name](*task)
    before = np.mean((predicted(start, X) - Y) ** 2)
    n, trials, error = peer.run(4)
    assert 1 <= n <= 4
    assert trials >= n
    assert error < 0.8 * before
    assert peer.run(4) == (n, trials, error)  # each call begins anew


@pytest.mark.parametrize("name", NAMES[2:])
def test_peers_with_our_damping_take_our_steps(name, task):
    if reason := PEERS[name].missing():
        pytest.skip(reason)
    expected = PEERS["cbackprop"](*task).run(4)
    got = PEERS[name](*task).run(4)
    assert got[:2] == expected[:2]
    assert got[2] == pytest.approx(expected[2], rel=1e-4)


def test_scipys_jacobian_is_that_of_its_residuals(task):
    peer = PEERS["scipy"](*task)
    peer.iterations = 0
    W = task[2]
    J = peer.jacobian(W).copy()
    h = 1e-6
    for i, column in enumerate(J.T):
        step = h * (np.arange(len(W)) == i)
        slope = (peer.residuals(W + step) - peer.residuals(W - step)) / (2 * h)
        np.testing.assert_allclose(column, slope, atol=1e-8)


def test_a_process_answers_and_tells_its_errors(task):
    with Process("cbackprop", None, *task) as process:
        seconds, n, trials, error = process.call("clock", 2, 3)
        assert seconds > 0
        assert (n, error) == (6, PEERS["cbackprop"](*task).run(2)[2])
        assert trials >= n
        with pytest.raises(Failed, match="no_such_method"):
            process.call("no_such_method")


def test_the_limit_of_an_iteration():
    flops = least_squares.iteration_flops(2000, 61, 20)
    assert flops == 2000 * 61**2 + 61**3 / 3 + 2 * 49 * 2000 * 20
    assert limit.FLOPS_PER_UNIT["float64"] == 49
    twice = least_squares.iteration_flops(2000, 61, 20, trials=2)
    assert twice - flops == pytest.approx(61**3 / 3 + 49 * 2000 * 20)


def test_sizes_have_about_as_many_parameters_as_their_key():
    for about, (n_in, n_hidden) in least_squares.SIZES.items():
        assert least_squares.fresh(0, (n_in, n_hidden, 1)).n_parameters == pytest.approx(
            about, rel=0.05
        )
    assert least_squares.fresh(0, least_squares.DUAL_SIZES).n_parameters == pytest.approx(
        2000, 0.01
    )


def test_the_table_marks_and_counts():
    lines = [
        Line("a", "b", ">= 3", "4", True),
        Line("a", "c", ">= 3", "2", False),
        Line("a", "", "", ""),
    ]
    text = list(least_squares.table(lines))
    assert text[1].endswith("  met")
    assert text[2].endswith("  MISSED")
    assert text[-1] == "1 of 2 met"


def test_a_rival_that_was_stopped_gives_a_lower_bound():
    ours = [(0.1, 15, True)] * 3
    arrived = least_squares.beside("x", ours, [(1.0, 9, True)] * 3, 10.0)
    assert (arrived.met, arrived.measured.startswith("10 ")) == (False, True)
    stopped = least_squares.beside("x", ours, [(10.0, 9, False)] * 3, 10.0)
    assert (stopped.met, stopped.measured.startswith("at least 100 ")) == (True, True)
    too_short = least_squares.beside("x", ours, [(1.0, 9, False)] * 3, 1.0)
    assert too_short.met is None


def test_the_exponent_and_the_curves():
    points = [(n, 10, 1e-6 * (n * 100) ** 1.5, 1) for n in (10, 20, 40)]
    assert least_squares.exponent(points) == pytest.approx(1.5)
    (curve,) = least_squares.growth_curves({"by rows": points})
    assert curve.points[-1] == pytest.approx(curve.limits[-1])
    assert curve.limits[0][1] == pytest.approx(curve.points[-1][1] / 4)
    assert any("A" in line for line in plot([curve], "x", "y"))


def test_the_switch_to_the_primal_system_changes_no_step():
    given = least_squares.small_fit((2, 20, 1), 6, 2, dual=True)[1]
    primal = least_squares.small_fit((2, 20, 1), 6, 2, dual=False)[1]
    np.testing.assert_allclose(given, primal, rtol=1e-6)
    assert not np.array_equal(given, primal)  # it was another system that was solved


def test_end_to_end(tmp_path, capsys):
    path = tmp_path / "results.json"
    assert least_squares.main(["--quick", "--tasks", "dual", "--json", str(path)]) == 0
    assert "times as fast as primal" in capsys.readouterr().out
    (line,) = json.loads(path.read_text())["lines"]
    assert (line["task"], line["met"]) == ("dual", None)


@pytest.mark.parametrize("name", ["building", "robot"])
def test_real_data(name, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        X = rng.uniform(0, 1, (40, 2))
        Y = np.stack([X.mean(axis=1), X[:, 0] * X[:, 1]], axis=1)
        rows = "\n".join(" ".join(map(str, row)) for pair in zip(X, Y, strict=True) for row in pair)
        (tmp_path / f"{name}.{part}").write_text(f"40 2 2\n{rows}\n")
    (data,) = least_squares.accuracy.read(tmp_path)
    net = least_squares.data_network(data, 0, "nguyen_widrow")
    assert (net.output_scaling is None) == (name == "robot")
    runs = least_squares.data_runs(data, range(1), quick=True)
    assert all(0 < run.error < 1 for (run,) in runs.values())
    bayesian = {"BayesianRegularization, stopped", "BayesianRegularization, all rows"}
    assert (bayesian <= set(runs)) == (name == "robot")
    lm = runs["LevenbergMarquardt"][0]
    assert least_squares.spread([lm]).startswith(f"{lm.error:.5f} (")


def test_data_want_a_folder(capsys):
    with pytest.raises(SystemExit):
        least_squares.main(["--tasks", "data"])
    assert "--data FOLDER" in capsys.readouterr().err


# --- the figure of all solvers --------------------------------------------------------------------


def test_the_lowest_loss_by_each_time():
    losses, seconds = [4.0, 2.0, 3.0, 1.0], [0.01] * 4
    assert solvers.lowest_by(losses, seconds, [5, 10, 20, 35, 80]) == [
        (10, 4.0),
        (20, 2.0),
        (35, 2.0),
        (80, 1.0),
    ]


@pytest.mark.slow
def test_every_solver_has_a_curve(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(solvers, "TIMES_MS", [1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
    path = tmp_path / "solvers.png"
    plotted = ["--plot", str(path)] if pytest.importorskip("matplotlib") else []
    assert solvers.main([*plotted]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    text = capsys.readouterr().out
    for name in solvers.candidates():
        assert name in text
    names = {type(solver).__name__ for solver in solvers.candidates().values()}
    known = {"SGD", "Adam", "RProp", "LBFGS", "LevenbergMarquardt", "BayesianRegularization"}
    assert names == known <= set(dir(cbackprop))
    assert math.isfinite(solvers.GOAL)
