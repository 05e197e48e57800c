"""The loss curve in text: where marks stand, what the numbers say, any history is drawn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cbackprop
from cbackprop.plotting.text import log_helps, loss_curve


def a_history(loss, validation_loss=(), best_epoch=None, first_epoch=0):
    history = cbackprop.History(first_epoch)
    history._extend(loss=loss, validation_loss=validation_loss)
    history.best_epoch = best_epoch
    return history


def test_a_logarithmic_curve():
    history = a_history([100, 10, 1, 0.1], [100, 100, 10, 10], best_epoch=2)
    assert loss_curve(history, width=30, height=4).splitlines() == [
        "loss, log scale",
        "100 ┤◉◉◉◉○○○○",
        "    │    ••••○○○○○○○○",
        "  1 ┤        ••••",
        "0.1 ┤            ••••",
        "    └────────▲───────",
        "     epoch 0        3",
        "     • training   ○ validation   ◉ both   ▲ best epoch 2",
    ]


def test_a_linear_curve_in_ascii():
    lines = loss_curve(a_history([3, 2, 1], first_epoch=7), width=30, height=3, encoding="ascii")
    assert lines.splitlines() == [
        "loss",
        "3 +******",
        "2 +      ******",
        "1 +            ******",
        "  +------------------",
        "   epoch 7          9",
    ]


def test_a_column_is_the_mean_of_its_epochs():
    """In the scale of the axis; 40 epochs in 20 columns."""
    steady = loss_curve(a_history(np.repeat([3.0, 2.0, 1.0, 2.0], 10)), width=32, height=3)
    noisy = loss_curve(a_history(np.repeat([3.0, 2.0, 1.0, 2.0], 10) + [0.5, -0.5] * 20), width=32,
                       height=3)  # fmt: skip
    assert noisy == steady
    log = loss_curve(a_history([100.0, 1.0] * 20 + [1e3, 1e-1] * 20), width=52, height=2)
    assert log.splitlines()[1:2] == ["10 ┤" + "•" * 40]  # each column's geometric mean


@pytest.mark.parametrize("n_epochs", [1, 7, 59, 60, 61, 100, 1000])
@pytest.mark.parametrize("part", [0, 0.4, 1])
def test_the_best_epoch_stands_below_its_own_column(n_epochs, part):
    """The only epoch of another height."""
    best = round(part * (n_epochs - 1))
    loss = np.zeros(n_epochs)
    loss[best] = 1
    lines = loss_curve(a_history(loss, best_epoch=best), height=2).splitlines()
    columns = [k for k, mark in enumerate(lines[1]) if mark == "•"]
    assert lines[-3].index("▲") == columns[0]
    assert lines[-1].strip() == f"▲ best epoch {best}"


def test_a_best_epoch_of_another_record_is_not_marked():
    for best in (6, 10):
        assert "best" not in loss_curve(a_history([3, 2, 1], best_epoch=best, first_epoch=7))


def test_gaps_are_left_out():
    curve = loss_curve(a_history([2, math.nan, 1, math.inf]), width=30, height=2)
    assert curve.splitlines()[1:3] == ["2 ┤••••", "1 ┤        ••••"]
    largest = loss_curve(a_history([np.finfo(float).max, 100, 1e-300]), width=30, height=2)
    assert largest.splitlines()[1] == "   100 ┤      ••••••"


@pytest.mark.parametrize("losses", [[], [math.nan], [math.inf, -math.inf]])
def test_nothing_to_draw_is_an_empty_text(losses):
    assert loss_curve(a_history(losses)) == ""


@pytest.mark.parametrize("encoding", [None, "latin-1", "cp1252", "cp437", "no such"])
def test_ascii_where_the_stream_cannot_show_more(encoding):
    history = a_history([1, 2], [2, 1], best_epoch=0)
    assert loss_curve(history, encoding=encoding).isascii()
    assert not loss_curve(history, encoding="utf-8").isascii()


@given(
    st.integers(1, 200).flatmap(
        lambda n: st.tuples(*[st.lists(st.floats(), min_size=n, max_size=n)] * 2)
    ),
    st.integers(0, 100),
    st.integers(0, 20),
)
def test_every_history_is_drawn(losses, width, height):
    loss, validation_loss = losses
    history = a_history(loss, validation_loss, best_epoch=len(loss) // 2)
    text = loss_curve(history, width=width, height=height)
    lines = text.splitlines()
    if text:
        assert "nan" not in text and "inf" not in text
        assert len(lines) <= max(height, 2) + 4
        # Notes are not broken, and a number may be as long as -1.23e-100.
        assert max(map(len, lines[:-1])) <= max(width, 28)
        assert all(line == line.rstrip() for line in lines)


def test_log_helps():
    assert log_helps(np.array([1, 10.0]))
    assert log_helps(np.array([5e-324, math.nan, 1.7976931348623157e308, math.inf]))
    assert not log_helps(np.array([1, 9.99]))
    assert not log_helps(np.array([0, 1.0]))
    assert not log_helps(np.array([-1.0, 100]))
    assert not log_helps(np.array([math.nan]))
