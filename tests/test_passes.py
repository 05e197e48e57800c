"""The profile of a step: its passes, what they add up to, the text.  No clock is judged."""

import sys
from pathlib import Path

import numpy as np
import pytest

import cbackprop
from cbackprop.core.testing.passes import passes as measure

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmarks import growth, limit, passes
from benchmarks.rows import Row

SHORT = 1e-5


def measured(row, dtype="float64"):
    fit = growth.Fit(growth.Point(row.name, 0, row), dtype)
    return fit, passes.passes(fit, SHORT)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "row",
    [
        Row((5, 7, 3), 64, 64),
        Row((5, 7, 3), 1000, 1000),  # several blocks
        Row((300, 200, 10), 96, 96),  # by tiles
        Row((300, 200, 10), 1024, 1024),  # two super-blocks
        Row((4, 32, 16, 4), 200, 200, activation="tanh"),
        Row((6, 2), 50, 50),  # no hidden layer
        Row((5, 7, 3), 2, 8),  # whole steps
    ],
    ids=lambda row: row.name,
)
def test_the_passes_are_the_whole_work_of_a_step(row, dtype):
    fit, parts = measured(row, dtype)
    before = fit.net.parameters.copy()
    parts = passes.passes(fit, SHORT)
    assert sum(part[2] for part in parts) == pytest.approx(limit.flops(row))
    assert sum(part[3] for part in parts) == limit.units(row)
    assert all(0 < us < 1e6 for _, us, _, _ in parts)
    np.testing.assert_array_equal(fit.net.parameters, before)


def test_the_passes_have_the_formulas_names_in_their_order():
    _, parts = measured(Row((5, 7, 3), 64, 64))
    assert [name for name, *_ in parts] == [
        *("copy W2^T", "X W1", "Z1 = sigma(H1)", "Z1 W2", "Y_hat = sigma(O)", "delta_O"),
        *("grad W2", "delta W2^T", "* sigma'(H1)", "grad W1"),
    ]
    _, parts = measured(Row((5, 7, 3), 64, 64, activation="identity", output_activation="identity"))
    assert not [name for name, *_ in parts if "sigma" in name]


def test_what_does_not_fit_is_refused():
    plan = cbackprop.Network((4, 3, 2), bias=False)._plan
    parameters, X, Y = np.zeros(plan.n_parameters), np.zeros((5, 4)), np.zeros((5, 2))
    assert measure(plan, parameters, X, Y, SHORT)
    for arguments in (
        (parameters, X[:, :3], Y),
        (parameters, X[:4], Y),
        (parameters, X.astype(np.float32), Y),
        (parameters, X[:0], Y[:0]),
    ):
        with pytest.raises(ValueError, match="X and Y have the same rows"):
            measure(plan, *arguments, SHORT)
    with pytest.raises(ValueError, match="parameters has"):
        measure(plan, parameters[:-1], X, Y, SHORT)
    wide = cbackprop.Network((300, 200, 2), bias=False)
    rows = wide._plan.super_rows + 1
    with pytest.raises(ValueError, match="super-block"):
        measure(wide._plan, wide.parameters, np.zeros((rows, 300)), np.zeros((rows, 2)), SHORT)


def test_the_text_adds_up():
    row = Row((10, 20, 1), 100, 100)
    work = limit.flops(row) + 49 * limit.units(row)
    parts = [("X W1", 30.0, 40_000.0, 0), ("delta_O", 10.0, 0.0, 0)]
    text = list(passes.lines(row, "float64", 50.0, parts, work * 1e6 / 40, 2))
    assert text[0] == "10-20-1 b100 float64, 2 threads: 50 us a step, 40 % of the limit (20 us)"
    assert text[2].split() == ["X", "W1", "15", "30.0", f"{100 * 40e3 * 20 / work / 15:.0f}"]
    assert text[3].split() == ["delta_O", "5", "10.0", "-"]
    assert text[4].split() == ["the", "rest", "30", "60.0"]


def test_the_command(capsys):
    assert passes.main(["8-16-2 b1", "--repeat", "1", "--seconds", "0.0001"]) == 0
    out = capsys.readouterr().out
    assert "8-16-2 b1 float64, one thread:" in out
    assert "whole steps" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no row matches 'nowhere'"),
        (["--repeat", "0"], "--repeat is at least 1"),
        (["--seconds", "0"], "--seconds between 0 and 60"),
        (["--dtype", "float16"], "invalid choice"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        passes.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
